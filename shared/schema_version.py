"""Which migrations a service's code stands on, and which of them its database has not had."""

from collections.abc import Collection, Iterable
from pathlib import Path

_HERE = Path(__file__).parent


def places(service: str) -> tuple[Path, Path]:
    """Return the folders of a service's migrations: those of the tables that all have in common, and its own."""
    return _HERE / "migrations" / "versions", _HERE.parent / "services" / service / "migrations"


def needed(service: str) -> list[str]:
    """Return the newest migration of each folder, by its name: `<branch>_<number>`."""
    names = [sorted(path.stem for path in place.glob("*_[0-9]*.py")) for place in places(service)]
    return [of_one[-1] for of_one in names if of_one]


def missing(needed: Iterable[str], had: Collection[str]) -> list[str]:
    """Return those of the needed that a database has neither had nor gone past.

    `had` are the newest of each branch, as Alembic keeps them: without the first of the common branch, on which the
    first of each service rests. A newer one is no fault: migrations only expand, and the processes of the version
    before go on meanwhile.
    """
    newest = {_branch(name): name for name in ("spine_0001", *had)} if had else {}
    return [name for name in needed if newest.get(_branch(name), "") < name]


def _branch(name: str) -> str:
    return name.rpartition("_")[0]
