"""What notification hears, in its own words."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.ids import PersonId, PlaceId, RequestId, ScopeId


@dataclass(frozen=True)
class RequestFacts:
    """What one fact tells about a request; what it does not tell is None, and what was known stays."""

    id: RequestId
    scope_id: ScopeId
    community_id: str | None = None
    community_version: int | None = None
    kind: str | None = None
    place_kind: str | None = None
    place_id: PlaceId | None = None
    applicant_id: PersonId | None = None
    tracking_number: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    email: str | None = None
    organization_name: str | None = None
    group_name: str | None = None


@dataclass(frozen=True)
class Turn:
    """Where a request stood when something was said of it."""

    request: RequestFacts
    applicant_id: PersonId
    stage: int
    round: int
    at: datetime

    @property
    def occasion(self) -> str:
        """The version of a notice that may come once in each round of each stage."""
        return f"{self.round}.{self.stage}"


@dataclass(frozen=True)
class CodeAsked:
    """An address is to be proved; or, with a person and no code, an account's holder is to sign in."""

    request: RequestFacts
    email: str
    sign_in_needed: bool
    person_id: PersonId | None
    code_sealed: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class Submitted:
    """A request was filed."""

    request: RequestFacts
    applicant_id: PersonId
    documents_needed: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class Opened:
    """Approval took the request in; it may have to wait for documents until `expires_at`."""

    turn: Turn
    documents_awaited: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True)
class DecisionAwaited:
    """These persons, or the help desk, may decide now."""

    turn: Turn
    roles: tuple[str, ...]
    approver_ids: tuple[PersonId, ...]
    to_help_desk: bool
    expires_at: datetime


@dataclass(frozen=True)
class Escalated:
    """A further queue was added."""

    turn: Turn
    role: str
    to_help_desk: bool
    why: str
    refusal: str | None
    expires_at: datetime


@dataclass(frozen=True)
class Settled:
    """Nobody has to decide any more. `role` is the decider's capacity, where there is one."""

    turn: Turn
    how: Literal["approved", "denied", "expired", "closed"]
    reason: str = ""
    role: str = ""


@dataclass(frozen=True)
class Reopened:
    """It has to be decided again."""

    turn: Turn
    why: str


@dataclass(frozen=True)
class Granted:
    """An approval has become access."""

    request: RequestFacts
    person_id: PersonId
    account_issued: bool
    at: datetime


@dataclass(frozen=True)
class GrantRefused:
    """An approval could not become access."""

    request: RequestFacts
    round: int
    reason: str
    at: datetime


@dataclass(frozen=True)
class AccountIssued:
    """A person has an account; without a request, an operator made it."""

    person_id: PersonId
    community_id: str
    request_id: RequestId | None
    link_sealed: str = field(repr=False)
    link_expires_at: datetime


@dataclass(frozen=True)
class LinkAsked:
    """A person wants to set the password (again)."""

    person_id: PersonId
    community_id: str
    link_id: UUID
    link_sealed: str = field(repr=False)
    link_expires_at: datetime


Fact = (
    CodeAsked
    | Submitted
    | Opened
    | DecisionAwaited
    | Escalated
    | Settled
    | Reopened
    | Granted
    | GrantRefused
    | AccountIssued
    | LinkAsked
)
