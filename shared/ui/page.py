"""What every page knows besides its own subject: the product's name, banner, help desk, errors."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import Entry


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
