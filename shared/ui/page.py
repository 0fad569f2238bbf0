"""What every page knows besides its own subject: the product's name, banner, help desk, errors."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shared.errors import Entry

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class HelpDesk:
    """How a person reaches people."""

    email: str
    phone: str
    tty: str


HELP_DESK = HelpDesk(email="help-desk@iacs.example", phone="1-555-555-0100", tty="1-555-555-0101")
"""Who helps where no community is known yet. A community's own file names its own."""


@dataclass(frozen=True)
class Shell:
    """What surrounds every page of one service; built once.

    `static_url` is the path under which `assets.static_files()` is mounted, without a slash at its end.
    """

    static_url: str
    help_desk: HelpDesk = HELP_DESK
    app_name: str = "Provider Access"
    banner: str = "A demonstration system, not an official website of the United States government"

    def asset(self, path: str) -> str:
        """Return the address of the asset at `path`. It changes with the content, so it may be kept for ever."""
        return f"{self.static_url}/{path}?v={_digest(path)}"


@cache
def _digest(path: str) -> str:
    return hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]


@dataclass(frozen=True)
class ErrorPage:
    """One error of the product explained."""

    code: str
    title: str
    why: str
    remedy: str
    status: int


@dataclass(frozen=True)
class ErrorsPage:
    """Every error of the product, by its code."""

    entries: Mapping[str, Entry]


@dataclass(frozen=True)
class FieldError:
    """One thing to mend: `field` is the id of its control, `message` says what to do."""

    field: str
    message: str
