"""Writes the two lock files: every package with its hashes, no address of where it comes from.

`--check` tells, without a network, whether they were written for the dependencies that
pyproject.toml names now.
"""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    "requirements.lock": ("--extra", "embedded", "--extra", "build"),
    # What a container needs that runs a service: no embedded stack.
    "requirements-services.lock": ("-c", "requirements.lock"),
    # The same versions as in the first, and what tests and checks need besides.
    "requirements-dev.lock": ("--extra", "embedded", "--extra", "build", "--group", "dev", "-c", "requirements.lock"),
}
MARK = "# For the dependencies of pyproject.toml with sha256 "


def digest() -> str:
    """Return the hash of what pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [project["project"][name] for name in ("requires-python", "dependencies", "optional-dependencies")]
    return hashlib.sha256(json.dumps([asked, project["dependency-groups"]], sort_keys=True).encode()).hexdigest()


def write() -> None:
    """Resolve and write both files."""
    for name, extras in LOCKS.items():
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *extras, "--universal"),
            *("--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate"),
            *("--quiet", "--upgrade", "--output-file", name),
        ]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own words.
        path = ROOT / name
        path.write_text(f"{MARK}{digest()}\n{path.read_text()}")


def check() -> list[str]:
    """Return the names of lock files that were written for other dependencies."""
    first_line = f"{MARK}{digest()}"
    return [name for name in LOCKS if (ROOT / name).read_text().split("\n", 1)[0] != first_line]


if __name__ == "__main__":
    if "--check" in sys.argv:
        stale = check()
        if stale:
            sys.exit(f"Out of date: {', '.join(stale)}. Run `make lock`.")
    else:
        write()
