"""Runs every test, in rows beside each other: `python -m tests`, or some rows alone: `python -m tests services`.

A row is one pytest over some folders. What needs the whole product is one row, since starting it takes longer than
most tests; what starts and breaks stacks or tries ports is another, since two of that kind would disturb each other.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

ROWS = {
    "product": ("guarantees", "journeys", "subscribers", "who_may"),
    "stacks": ("containers", "platform", "torture"),
    "services": ("approval", "directory", "newcomer", "notification", "registration"),
    "shared": ("contracts", "contracts_released", "histories", "shared", "test_docs.py", "ui"),
}
TESTS = Path(__file__).parent
LOGS = TESTS.parent / ".pytest_cache"

say = partial(print, flush=True)


def without_row() -> set[str]:
    """Return what holds tests and is in no row: it would never run."""
    placed = {name for places in ROWS.values() for name in places}
    return {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")} - placed


def run(names: list[str]) -> bool:
    """Run these rows, and show what each found when it ends. Returns whether every test passed."""
    LOGS.mkdir(exist_ok=True)
    say(f"{', '.join(names)}: beside each other. Each shows what it found when it ends; till then: {LOGS}/*.log")
    began, statuses = time.monotonic(), dict[str, int]()
    with ExitStack() as opened:
        rows = dict[str, subprocess.Popen[bytes]]()
        opened.callback(_end, rows)
        for name in names:
            log = opened.enter_context((LOGS / f"{name}.log").open("w"))
            # The plugins left out: nobody reads what is cached; schemathesis takes a second to load.
            words = ["-p", "no:cacheprovider", *([] if "contracts" in ROWS[name] else ["-p", "no:schemathesis"])]
            words += [str(TESTS / place) for place in ROWS[name]]
            # In a session of its own: a Ctrl-C reaches it once, from here, and not once more in its clean-up.
            rows[name] = subprocess.Popen(
                [sys.executable, "-m", "pytest", *words], stdout=log, stderr=log, start_new_session=True
            )
        while len(statuses) < len(rows):
            for name, row in rows.items():
                if name not in statuses and (status := row.poll()) is not None:
                    statuses[name] = status
                    say(f"\n{name}, after {time.monotonic() - began:.0f} s")
                    say((LOGS / f"{name}.log").read_text())
            time.sleep(0.2)
    failed = [name for name, status in statuses.items() if status]
    say(f"Not everything passed: {', '.join(failed)}" if failed else "Everything passed")
    return not failed


def _end(rows: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Interrupt what still runs, and return when all have taken down what they had started."""
    for row in rows.values():
        if row.poll() is None:
            row.send_signal(signal.SIGINT)
    for row in rows.values():
        row.wait()


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__.splitlines()[0])
    parser.add_argument("row", nargs="*", help=f"{', '.join(ROWS)}; all of them, if none is named")
    names = dict.fromkeys(parser.parse_args().row or ROWS)
    if unknown := names.keys() - ROWS.keys():
        parser.error(f"there is no row {', '.join(sorted(unknown))}: {', '.join(ROWS)}")
    if lost := without_row():
        parser.error(f"tests/{', tests/'.join(sorted(lost))} is in no row of tests/__main__.py")
    for number in (signal.SIGINT, signal.SIGTERM):  # Where the first is ignored, as beside a shell, rows would, too.
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(0 if run(list(names)) else 1)
    except KeyboardInterrupt:
        sys.exit("Interrupted: nothing runs any more")


if __name__ == "__main__":
    main()
