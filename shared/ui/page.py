"""What every page knows besides its own subject: the product's name, banner, help desk, errors."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HelpDesk:
    """How a person reaches people. The values come from settings or the community file."""

    email: str
    phone: str
    tty: str


@dataclass(frozen=True)
class Shell:
    """What surrounds every page of one service; built once, from its settings.

    `static_url` is the path under which `assets.static_files()` is mounted, without a slash at its end.
    """

    help_desk: HelpDesk
    static_url: str
    app_name: str = "Provider Access"
    banner: str = "A demonstration system, not an official website of the United States government"


@dataclass(frozen=True)
class FieldError:
    """One thing to mend: `field` is the id of its control, `message` says what to do."""

    field: str
    message: str
