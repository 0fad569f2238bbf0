"""A notice: one thing that one person is told; and what a fact leads to besides. Source: domain 1, 9."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid5

from shared.ids import PersonId, PlaceId, RequestId, ScopeId

OVERDUE_AFTER = timedelta(hours=24)
"""How long a notice waits for what it lacks before the help desk hears of it."""

RecipientKind = Literal["applicant", "approver", "person", "help_desk"]

_NAMES = UUID("5b1f3a64-92c7-5d0e-8f7e-0c8d3b2a9e41")


@dataclass(frozen=True)
class Notice:
    """One thing that one person is told. `version` counts the occasion; `about_id` is what it is about.

    `detail` holds codes and moments for its text; `secret` is sealed to us and opened nowhere but
    where the mail is made. It is looked at after `held_for`: what follows soon may make it pointless.
    """

    name: str
    about_id: UUID
    recipient: RecipientKind
    recipient_id: PersonId | None
    scope_id: ScopeId
    version: str = "1"
    request_id: RequestId | None = None
    community_id: str | None = None
    address: str | None = field(default=None, repr=False)
    detail: Mapping[str, Any] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    held_for: timedelta = timedelta()

    @property
    def id(self) -> UUID:
        """The same for the same notice, recipient and version, whoever works it out and how often."""
        key = (self.name, self.about_id, self.recipient, self.recipient_id, self.version)
        return uuid5(_NAMES, "\0".join(map(str, key)))


@dataclass(frozen=True)
class Departure:
    """Something has ended, and those who are left there are to hear of it.

    Who they are is asked a moment later: roles are heard on another topic. `community_id` is None where
    the fact does not tell it and the place does.
    """

    what: Literal["role_ended", "organization_suspended", "group_left"]
    about_id: UUID
    version: str
    scope_id: ScopeId
    place_kind: str
    place_id: PlaceId
    community_id: str | None
    detail: Mapping[str, Any]

    @property
    def id(self) -> UUID:
        """The same for the same departure, however often it is heard."""
        return uuid5(_NAMES, "\0".join((self.what, str(self.about_id), self.version)))


@dataclass(frozen=True)
class Settlement:
    """Work that is done: whoever had been told of it, but for its decider, hears so in the next digest."""

    request_id: RequestId
    occasion: str
    community_id: str
    how: str
    role: str
    decided_by: PersonId | None
    at: datetime


@dataclass(frozen=True)
class Consequences:
    """What a fact leads to: notices to keep, those to withdraw, a line of the request's history.

    Of the names in `pointless`, notices that have not left are withdrawn, but for those whose version is
    `kept` or a part of it; where `only` is said, those alone whose version is `only` or a part of it. They are
    the request's, or else those about `about_id`.
    """

    notices: tuple[Notice, ...] = ()
    pointless: frozenset[str] = frozenset()
    kept: str = ""
    only: str = ""
    step: Mapping[str, Any] | None = None
    ends_at: datetime | None = None
    about_id: UUID | None = None
    departure: Departure | None = None
    settlement: Settlement | None = None


def undelivered(notice: Notice, *, why: str, status: int | None = None) -> tuple[Notice, ...]:
    """Return the notice by which the help desk hears that `notice` reached nobody.

    None about what was for the help desk itself: its address would refuse this one too.
    """
    if notice.recipient == "help_desk":
        return ()
    person = str(notice.recipient_id) if notice.recipient_id else None
    detail = {"why": why, "status": status, "name": notice.name, "to": notice.recipient, "person_id": person}
    return (
        Notice(
            "delivery_failed_help_desk",
            notice.id,
            "help_desk",
            None,
            notice.scope_id,
            version=why,  # One that was overdue may fail for good later.
            request_id=notice.request_id,
            community_id=notice.community_id,
            detail=detail,
        ),
    )
