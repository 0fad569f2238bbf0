"""What a request is, where it can stand, and who stands around it.

Source: domain 1 (approver, stage, capacity), 5 (life of a request).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared import reasons
from shared.contracts.community import Holding, Places, Resting, Surroundings
from shared.ids import PersonId, PlaceId, RequestId, ScopeId
from shared.policy import Policy, Standing

ACTING_ACCOUNTS = ("invited", "active")
"""The account states whose holder may decide. Source: domain 1 (approver)."""

POLICY: Policy = {
    "list_queue": frozenset({Standing.SIGNED_IN}),
    "list_requests": frozenset({Standing.HELP_DESK, Standing.AUDITOR}),
    "show_request": frozenset({Standing.APPROVER, Standing.HELP_DESK, Standing.AUDITOR}),
    "decide": frozenset({Standing.APPROVER}),
    "claim": frozenset({Standing.APPROVER}),
}
"""Who may do what here. An approver of a request is whoever holds a role in one of its queues."""

DENIAL_REASONS = tuple(reasons.DENIALS)
RETURN_REASONS = tuple(reasons.RETURNS)
_SHOWN_INSTEAD = {"suspected_fraud": "not_confirmed"}

STATEMENT = "I know this person and that this role is needed."
"""What an approval attests. Source: R11."""


class State(StrEnum):
    """Where a request stands."""

    UNROUTED = "unrouted"
    AWAITING_DOCUMENTS = "awaiting_documents"
    PENDING = "pending"
    RETURNED = "returned"
    APPROVED = "approved"
    REFUSED = "refused"
    GRANTED = "granted"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"

    @property
    def is_final(self) -> bool:
        """Whether it can never change again. Source: R12."""
        return self in _FINAL

    @property
    def can_be_ended(self) -> bool:
        """Whether its applicant may end it: what was approved waits for the directory, or for the help desk."""
        return self not in (State.APPROVED, State.REFUSED) and not self.is_final


UNANSWERED = "unanswered"
"""Why the help desk has an approval to which the directory has said nothing, however often it was announced."""
_FINAL = (State.GRANTED, State.DENIED, State.EXPIRED, State.WITHDRAWN, State.CLOSED)


class Verdict(StrEnum):
    """What an approver can say; the last two only of an approval that could not be granted."""

    APPROVE = "approve"
    DENY = "deny"
    RETURN = "return"
    RETRY = "retry"
    CLOSE = "close"


@dataclass(frozen=True)
class DecidedBy:
    """Who settled a request, or a stage of it, as far as others are told: by role, and when."""

    role: str
    at: datetime


@dataclass(frozen=True)
class Request:
    """One access request as approval sees it."""

    id: RequestId
    community_id: str
    community_version: int
    kind: str
    scope_id: ScopeId
    place_kind: str
    place_id: PlaceId
    applicant_id: PersonId
    state: State
    stage: int
    """0 while documents are awaited or a concern is looked into, then counted from 1."""
    round: int
    version: int
    steps_added: int
    """How many fallback steps of the stage were added to its queues."""
    voter_ids: tuple[PersonId, ...]
    """Who has approved this stage in this round, while its quorum is not reached."""
    absent_since: datetime | None
    """Since when nobody is known who could decide it."""
    since_at: datetime
    """Since when this stage, or the wait for documents, lasts; what stood still is not counted."""
    expires_at: datetime
    decided: DecidedBy | None
    application: str | None = None
    resting: Resting | None = None
    revision: int = 1
    returns_count: int = 0
    concern: str | None = None
    """What the help desk is to look into before anybody decides."""
    refusal: str | None = None
    """Why an approval could not be carried out."""
    us_state: str | None = None
    """The state in which its organization or practice is, as far as it is known."""

    @property
    def is_unanswered(self) -> bool:
        """Whether it may be access already, for all that is known: then nothing ends it before the answer is there."""
        return self.state is State.REFUSED and self.refusal == UNANSWERED

    @property
    def places(self) -> Places:
        """Where it takes place, and where the role is held that it rests on."""
        return Places(self.scope_id, self.place_kind, self.place_id, self.resting)

    @property
    def rests_on(self) -> str | None:
        """The role that it rests on, if it rests on one."""
        return self.resting.role if self.resting else None


@dataclass(frozen=True)
class Queue:
    """One queue in which a request is."""

    role: str
    place_kind: str
    place_id: PlaceId
    may_approve: bool


@dataclass(frozen=True)
class Approver:
    """Who wants to decide: their present roles in the request's queues, if they may act at all."""

    id: PersonId
    capacities: tuple[Queue, ...]
    was_too_late: DecidedBy | None = None
    """Who settled the latest of the settled stages that this person could have decided, whoever has it now."""

    @property
    def standings(self) -> frozenset[Standing]:
        """How they stand to the request."""
        return frozenset({Standing.APPROVER} if self.capacities or self.was_too_late else ())


@dataclass(frozen=True)
class Around:
    """What an approval is judged on besides the request itself, on our replica."""

    surroundings: Surroundings
    applicant_holdings: Sequence[Holding]
    seats_by_role: Mapping[str, int]
    """Role code -> how many hold it in the request's place."""
    documents_missing: Sequence[str] = ()
    """The codes of the documents still awaited. None is once stage 1 has begun."""


def shown_reason(reason: str) -> str:
    """Return the reason that the applicant and public events see. Source: domain 8."""
    return _SHOWN_INSTEAD.get(reason, reason)
