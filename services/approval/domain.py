"""The rules of deciding, pure: who may decide what, in which order a "no" is found, what follows.

Source: domain 1 (approver, stage, capacity), 5 (life of a request), R6 to R8, R11; architecture 5
(the order of the checks is part of the promise).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.contracts import community as rules
from shared.contracts.community import Community, Holding, Kind, QueueOf, Stage, Surroundings
from shared.errors import Refusal, invalid
from shared.ids import PersonId, PlaceId, RequestId, ScopeId

ABSENCE_IS_SURE_AFTER = timedelta(seconds=25)
ANNOUNCED_AGAIN_AFTER = timedelta(minutes=10)
UNROUTED_EXPIRES_AFTER = timedelta(days=30)
ACTING_ACCOUNTS = ("invited", "active")
"""The account states whose holder may decide. Source: domain 1 (approver)."""

DENIAL_REASONS = (
    "document_missing",
    "document_mismatch",
    "duplicate_organization",
    "wrong_path",
    "ineligible",
    "unknown_person",
    "wrong_group",
    "not_needed",
    "role_conflict",
    "suspected_fraud",
)
_SHOWN_INSTEAD = {"suspected_fraud": "not_confirmed"}

STATEMENT = "I know this person and that this role is needed."
"""What an approval attests. Source: R11."""


class State(StrEnum):
    """Where a request stands."""

    UNROUTED = "unrouted"
    AWAITING_DOCUMENTS = "awaiting_documents"
    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    GRANTED = "granted"
    DENIED = "denied"
    EXPIRED = "expired"
    CLOSED = "closed"

    @property
    def is_final(self) -> bool:
        """Whether it can never change again. Source: R12."""
        return self in (State.GRANTED, State.DENIED, State.EXPIRED, State.CLOSED)


class Verdict(StrEnum):
    """What an approver can say; the last two only of an approval that could not be granted."""

    APPROVE = "approve"
    DENY = "deny"
    RETRY = "retry"
    CLOSE = "close"


@dataclass(frozen=True)
class DecidedBy:
    """Who settled a request, as far as others are told: by role, and when."""

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
    round: int
    version: int
    steps_added: int
    """How many fallback steps of the stage were added to its queues."""
    voter_ids: tuple[PersonId, ...]
    """Who has approved this stage in this round, while its quorum is not reached."""
    absent_since: datetime | None
    """Since when nobody is known who could decide it."""
    expires_at: datetime
    decided: DecidedBy | None


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


@dataclass(frozen=True)
class Order:
    """What an approver says."""

    verdict: Verdict
    reason: str | None
    expected_version: int | None
    """The version that the approver has read (If-Match)."""


@dataclass(frozen=True)
class Around:
    """What an approval is judged on besides the request itself, on our replica."""

    surroundings: Surroundings
    applicant_holdings: Sequence[Holding]
    seats_by_role: Mapping[str, int]
    """Role code -> how many hold it in the request's place."""


@dataclass(frozen=True)
class Decision:
    """What was decided, and where the request stands then."""

    verdict: Verdict
    reason: str | None
    by: PersonId
    capacity: Queue
    at: datetime
    state: State
    stage: int
    round: int
    version: int
    is_settled: bool
    """Whether the stage is settled by it; False for a vote that leaves the quorum unreached."""


@dataclass(frozen=True)
class ExpiryFound:
    """The time was up already: the expiry is recorded instead of a decision."""


def decide(
    request: Request, approver: Approver, order: Order, community: Community, around: Around, at: datetime
) -> Decision | ExpiryFound:
    """Return what `approver` may decide on `request` at `at` (aware, UTC).

    Refuses, tried in this order: not_an_approver (a stranger learns nothing), self_approval,
    already_decided, expired or request_closed (a late approver learns who was first),
    if_match_required, stale_version, then the rules of the place: separation_of_duty,
    cardinality_reached, other preconditions. Source: architecture 5.
    """
    if not approver.capacities:
        raise Refusal("not_an_approver")
    if approver.id == request.applicant_id:
        raise Refusal("self_approval")
    _refuse_ended(request)
    if request.expires_at <= at:
        return ExpiryFound()
    if order.expected_version is None:
        raise Refusal("if_match_required")
    if order.expected_version != request.version:
        raise Refusal("stale_version", current_version=request.version)
    _refuse_unfitting_verdict(request, order.verdict)
    capacity = _capacity(approver, order.verdict)
    if order.verdict is Verdict.APPROVE:
        _refuse_unmet(request, community, around)
        return _approval(request, approver, community, capacity, at)
    state, settled_round = {
        Verdict.DENY: (State.DENIED, request.round),
        Verdict.CLOSE: (State.CLOSED, request.round),
        Verdict.RETRY: (State.APPROVED, request.round + 1),
    }[order.verdict]
    return Decision(
        order.verdict,
        order.reason,
        approver.id,
        capacity,
        at,
        state,
        request.stage,
        settled_round,
        request.version + 1,
        True,
    )


def _refuse_ended(request: Request) -> None:
    if request.state is State.EXPIRED:
        raise Refusal("expired")
    if request.state is State.CLOSED:
        raise Refusal("request_closed")
    if request.decided is not None and request.state in (State.APPROVED, State.GRANTED, State.DENIED):
        raise Refusal(
            "already_decided", decided_by=request.decided.role, decided_at=request.decided.at, state=request.state.value
        )
    if request.state in (State.UNROUTED, State.AWAITING_DOCUMENTS):
        raise Refusal("not_an_approver")


def _refuse_unfitting_verdict(request: Request, verdict: Verdict) -> None:
    fitting = (Verdict.RETRY, Verdict.CLOSE) if request.state is State.REFUSED else (Verdict.APPROVE, Verdict.DENY)
    if verdict not in fitting:
        raise invalid(
            "/verdict",
            f"while the request is {request.state.value}: {' or '.join(v.value for v in fitting)}",
            fitting[0].value,
        )


def _capacity(approver: Approver, verdict: Verdict) -> Queue:
    """Return the role in which they decide. A queue added by escalation may not approve. Source: R8."""
    if verdict in (Verdict.DENY, Verdict.CLOSE, Verdict.RETRY):
        return approver.capacities[0]
    able = next((capacity for capacity in approver.capacities if capacity.may_approve), None)
    if able is None:
        raise Refusal("may_not_approve")
    return able


def _refuse_unmet(request: Request, community: Community, around: Around) -> None:
    kind = community.kind(request.kind)
    assert kind is not None, "a request is opened only for a kind of its community"
    seats_taken = around.seats_by_role.get(kind.role, 0)
    conflict = rules.role_conflict(
        community, kind.role, request.place_id, request.scope_id, around.applicant_holdings, seats_taken
    )
    unmet = conflict or rules.unmet_precondition(kind, around.surroundings)
    if unmet:
        raise Refusal(unmet)


def _approval(request: Request, approver: Approver, community: Community, capacity: Queue, at: datetime) -> Decision:
    kind = community.kind(request.kind)
    assert kind is not None
    if approver.id in request.voter_ids:
        raise Refusal("already_decided", decided_by=capacity.role, decided_at=at, state=request.state.value)
    settled = len(request.voter_ids) + 1 >= kind.stage(request.stage).quorum
    following = kind.next_stage(request.stage)
    if not settled:  # A vote leaves the version: others have read the same request still.
        return Decision(
            Verdict.APPROVE,
            None,
            approver.id,
            capacity,
            at,
            State.PENDING,
            request.stage,
            request.round,
            request.version,
            False,
        )
    state, stage = (State.APPROVED, request.stage) if following is None else (State.PENDING, following)
    return Decision(
        Verdict.APPROVE, None, approver.id, capacity, at, state, stage, request.round, request.version + 1, True
    )


def shown_reason(reason: str) -> str:
    """Return the reason that the applicant and public events see. Source: domain 8."""
    return _SHOWN_INSTEAD.get(reason, reason)


def queues_of_stage(
    community: Community, kind: Kind, number: int, scope_id: ScopeId, place_id: PlaceId
) -> list[QueueOf]:
    """Return the queues that a stage begins with."""
    return [rules.queue_of(community, decider, scope_id, place_id) for decider in kind.stage(number).deciders]


def queues_of_step(
    community: Community, stage: Stage, steps_added: int, scope_id: ScopeId, place_id: PlaceId
) -> list[QueueOf]:
    """Return the queues that the next fallback step adds; none when there is no further step."""
    return [rules.queue_of(community, decider, scope_id, place_id) for decider in stage.fallback(steps_added)]


def help_desk_queue(community: Community) -> QueueOf:
    """Return the queue for what cannot be granted: of the role that an operator can always staff."""
    role = next(role for role in community.roles if role.appointed_by_operator)
    return QueueOf(role.code, role.place, community.place_id, may_approve=False)


def stage_expires_at(stage: Stage, since: datetime) -> datetime:
    """Return when a stage that nobody decides expires. Source: domain 6."""
    return since + timedelta(days=stage.escalate_after_days + stage.expire_after_days)


def documents_missing(needed: Collection[str], received: Collection[str]) -> list[str]:
    """Return the documents still awaited, in the order in which they are asked for."""
    return [code for code in needed if code not in received]


def is_absence_sure(absent_since: datetime | None, at: datetime) -> bool:
    """Tell whether a request had no approver in two looks far enough apart. Source: R8."""
    return absent_since is not None and at - absent_since >= ABSENCE_IS_SURE_AFTER
