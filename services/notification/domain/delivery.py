"""What follows from a mail server's answer: done, try again and when, or give up. Source: architecture 5, "Mail"."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

FIRST_PAUSE = timedelta(seconds=0.5)
LONGEST_PAUSE = timedelta(seconds=60)
GIVE_UP_AFTER = timedelta(days=5)
"""As mail servers do among themselves (RFC 5321, 4.5.4.1)."""


@dataclass(frozen=True)
class Accepted:
    """The server has taken the mail (2xx)."""


@dataclass(frozen=True)
class Deferred:
    """The server said: not now (4xx)."""

    status: int


@dataclass(frozen=True)
class Refused:
    """The server said: never (5xx)."""

    status: int


@dataclass(frozen=True)
class Unreachable:
    """No server talked to us, or it would not talk to us about any mail. Nothing was handed over."""

    status: int = 0


@dataclass(frozen=True)
class Lost:
    """The connection went after the mail was handed over: nobody knows whether it was taken."""


@dataclass(frozen=True)
class CannotBeMade:
    """This notice can never become a mail, for `why`: its address or its sealed secret is unusable."""

    why: str


Outcome = Accepted | Deferred | Refused | Unreachable | Lost | CannotBeMade

OUTCOMES: Mapping[type[Outcome], str] = {
    Accepted: "accepted",
    Deferred: "deferred",
    Refused: "refused",
    Unreachable: "unreachable",
    Lost: "lost",
    CannotBeMade: "cannot_be_made",
}
"""How a notice's history of tries names each outcome."""


@dataclass(frozen=True)
class Sent:
    """Done."""


@dataclass(frozen=True)
class TryAgain:
    """Send the very same mail again after `pause`. `unknown`: it may have arrived already."""

    state: Literal["due", "unknown"]
    pause: timedelta
    status: int | None


@dataclass(frozen=True)
class Failed:
    """Given up. `status` is the server's last word, 0 if there was none."""

    status: int
    why: str


Fate = Sent | TryAgain | Failed


def fate_of(
    outcome: Outcome, *, attempts: int, tried_for: timedelta, may_have_left: bool = False, jitter: float = 1.0
) -> Fate:
    """Return what becomes of a mail whose latest of `attempts` tries had this outcome.

    `may_have_left`: an earlier try ended without an answer. `jitter` (0 to 1) spreads the next tries
    of many mails that met the same trouble.
    """
    match outcome:
        case Accepted():
            return Sent()
        case Refused(status):
            return Failed(status, "refused")
        case CannotBeMade(why):
            return Failed(0, why)
        case Lost():
            status, may_have_left = 0, True
        case Deferred(status) | Unreachable(status):
            pass
    if tried_for >= GIVE_UP_AFTER:
        return Failed(status, "given_up")
    return TryAgain("unknown" if may_have_left else "due", back_off(attempts, jitter), status or None)


def back_off(attempts: int, jitter: float) -> timedelta:
    """Return the pause after `attempts` tries: doubled each time up to a minute, and up to half of it off."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(attempts - 1, 16)
    return min(LONGEST_PAUSE, doubled) * (0.5 + jitter / 2)
