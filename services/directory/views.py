"""What the directory's pages show: one frozen dataclass for each template, made by a pure function."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.directory import domain
from shared.ui.page import FieldError

_LEAST, _MOST = domain.PASSWORD_LENGTHS
_HINT = (
    f"{_LEAST} to {_MOST} characters, spaces included. A password that many people use is refused; "
    "four or more words that do not belong together work well."
)

PasswordProblem = Literal["missing", "too_short", "too_long", "too_common"]

PASSWORD_PROBLEMS: dict[PasswordProblem, str] = {
    "missing": "Enter a password",
    "too_short": f"Password must be {_LEAST} characters or more",
    "too_long": f"Password must be {_MOST} characters or fewer",
    "too_common": "Choose a password that is harder to guess, like four words that do not belong together",
}

USER_ID_PROBLEM = "Enter your user ID: 8 letters and digits, like K7MQ42XP"


@dataclass(frozen=True)
class SetPasswordPage:
    """`directory/set_password.html`: 200, or 422 with errors."""

    action: str
    hint: str
    errors: tuple[FieldError, ...]


@dataclass(frozen=True)
class PasswordSetPage:
    """`directory/password_set.html`: where a person arrives once the password is stored."""


@dataclass(frozen=True)
class LinkInvalidPage:
    """`directory/link_invalid.html`: the link does not work; 422 when a new one was asked for amiss."""

    action: str
    user_id: str
    errors: tuple[FieldError, ...]


@dataclass(frozen=True)
class LinkAskedPage:
    """`directory/link_asked.html`: the one answer to everybody who asks for a new link."""


def set_password_page(token_path: str, errors: Sequence[PasswordProblem] = ()) -> SetPasswordPage:
    """Show the form of the one-time link at `token_path`; what was typed is never shown again.

    Nor is the user ID: whoever has the one mail shall not learn what the other says.
    """
    return SetPasswordPage(
        action=token_path,
        hint=_HINT,
        errors=tuple(FieldError("password", PASSWORD_PROBLEMS[problem]) for problem in errors),
    )


def password_set_page() -> PasswordSetPage:
    """Show how to go on."""
    return PasswordSetPage()


def link_invalid_page(links_path: str, user_id: str = "", *, user_id_is_malformed: bool = False) -> LinkInvalidPage:
    """Say the same of a used, an expired and an unknown link, and offer a new one from `links_path`.

    A malformed user ID is an error of form; whether a well-formed one exists is never told.
    """
    errors = (FieldError("user_id", USER_ID_PROBLEM),) if user_id_is_malformed else ()
    return LinkInvalidPage(action=links_path, user_id=user_id, errors=errors)


def link_asked_page() -> LinkAskedPage:
    """Show the same page whether or not the user ID exists."""
    return LinkAskedPage()
