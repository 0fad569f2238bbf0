"""What notification hears, in its own words."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.ids import AssignmentId, EntitlementId, PersonId, PlaceId, RequestId, ScopeId


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
    application: str | None = None
    resting_kind: str | None = None
    """Of the place where the role is held that the request rests on, if it rests on one."""
    resting_id: PlaceId | None = None
    resting_role: str | None = None


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
class Corrected:
    """A returned request was sent again: what it is about may be called otherwise now."""

    request: RequestFacts


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
class Reminded:
    """Nothing has happened for a while: those who may decide, or the applicant, hear it again."""

    turn: Turn
    awaited: Literal["decision", "documents"]
    number: int
    roles: tuple[str, ...]
    approver_ids: tuple[PersonId, ...]
    to_help_desk: bool
    documents_awaited: tuple[str, ...]
    since_at: datetime
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
class Returned:
    """It is the applicant's turn to correct something, until `expires_at`."""

    turn: Turn
    reason: str
    correct: tuple[str, ...]
    role: str
    expires_at: datetime


@dataclass(frozen=True)
class WithdrawalRefused:
    """The applicant wished to withdraw, too late."""

    turn: Turn
    why: str


@dataclass(frozen=True)
class Settled:
    """Nobody has to decide any more. `role` is the decider's capacity, where there is one."""

    turn: Turn
    how: Literal["approved", "denied", "withdrawn", "expired", "closed"]
    reason: str = ""
    role: str = ""
    decided_by: PersonId | None = None
    previous_state: str | None = None


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
    is_entitlement: bool
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


@dataclass(frozen=True)
class AccountLocked:
    """Too many wrong passwords: nobody can sign in as this person until a moment."""

    person_id: PersonId
    community_id: str
    at: datetime
    until: datetime


@dataclass(frozen=True)
class LockEnded:
    """An account is in another state than locked."""

    person_id: PersonId


@dataclass(frozen=True)
class Invited:
    """An application is there for somebody, of whom only the address is known."""

    invitation_id: UUID
    scope_id: ScopeId
    community_id: str
    application: str
    email: str
    criteria: str
    not_for: str
    code_sealed: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class RoleEnded:
    """A person no longer holds a role in a place."""

    assignment_id: AssignmentId
    person_id: PersonId
    role: str
    place_kind: str
    place_id: PlaceId
    scope_id: ScopeId
    community_id: str
    cause: str
    ended_by: PersonId | None
    at: datetime


@dataclass(frozen=True)
class EntitlementEnded:
    """A person may no longer use an application."""

    entitlement_id: EntitlementId
    assignment_id: AssignmentId
    person_id: PersonId
    application: str
    role: str
    scope_id: ScopeId
    community_id: str
    cause: str
    at: datetime


@dataclass(frozen=True)
class OrganizationSuspended:
    """Nobody keeps an organization any more; its entitlements end on the day given."""

    organization_id: ScopeId
    community_id: str
    at: datetime
    entitlements_end_at: datetime


@dataclass(frozen=True)
class GroupLeftWithoutAdministrator:
    """Nobody administers a user group any more; it is closed on the day given."""

    group_id: PlaceId
    organization_id: ScopeId
    at: datetime
    closes_at: datetime


Fact = (
    CodeAsked
    | Submitted
    | Corrected
    | Opened
    | DecisionAwaited
    | Reminded
    | Escalated
    | Returned
    | WithdrawalRefused
    | Settled
    | Reopened
    | Granted
    | GrantRefused
    | AccountIssued
    | LinkAsked
    | AccountLocked
    | LockEnded
    | Invited
    | RoleEnded
    | EntitlementEnded
    | OrganizationSuspended
    | GroupLeftWithoutAdministrator
)
