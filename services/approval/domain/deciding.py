"""The one judge: who may decide what, in which order a "no" is found, and where the request stands then.

Source: domain 5, R6 to R8, R11; architecture 5 (the order of the checks is part of the promise).
"""

from dataclasses import dataclass, replace
from datetime import datetime

from services.approval.domain.requests import (
    DENIAL_REASONS,
    POLICY,
    RETURN_REASONS,
    Approver,
    Around,
    Queue,
    Request,
    State,
    Verdict,
)
from shared import policy
from shared.contracts import community as rules
from shared.contracts.community import Community, Kind
from shared.errors import Refusal, invalid
from shared.ids import PersonId


@dataclass(frozen=True)
class Order:
    """What an approver says."""

    verdict: Verdict
    reason: str | None
    expected_version: int | None
    """The version that the approver has read (If-Match)."""
    correct: tuple[str, ...] = ()
    """With a return: the fields and documents that the applicant is to look at."""


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


def check_order(order: Order) -> Order:
    """Return an order whose parts fit together. Raises field_invalid: it is no order at all, whoever gives it."""
    reasons = {Verdict.DENY: DENIAL_REASONS, Verdict.RETURN: RETURN_REASONS}.get(order.verdict)
    if reasons is None and order.reason is not None:
        raise invalid("/reason", "is given with deny and return alone: leave it out", "leave it out")
    if reasons is not None and order.reason not in reasons:
        raise invalid("/reason", f"with the verdict {order.verdict.value}: one of {', '.join(reasons)}", reasons[0])
    if order.correct and order.verdict is not Verdict.RETURN:
        raise invalid("/correct", "is given with return alone: leave it out", "leave it out")
    return order


def decide(
    request: Request, approver: Approver, order: Order, community: Community, around: Around, at: datetime
) -> Decision | ExpiryFound:
    """Return what `approver` may decide on `request` at `at` (aware, UTC).

    Refuses, tried in this order: not_an_approver (a stranger learns nothing), self_approval,
    already_decided, expired or request_closed (a late approver learns who was first),
    if_match_required, stale_version, then the rules of the place: separation_of_duty,
    cardinality_reached, other preconditions. Source: architecture 5.
    """
    policy.require(POLICY, "decide", approver.standings, otherwise="not_an_approver")
    if approver.id == request.applicant_id:
        raise Refusal("self_approval")
    _refuse_ended(request)
    if not approver.capacities:
        late = approver.was_too_late
        assert late is not None, "an approver has a capacity now, or had one in a stage that is settled"
        raise Refusal("already_decided", decided_by=late.role, decided_at=late.at, state=request.state.value)
    if request.expires_at <= at and not request.is_unanswered:
        return ExpiryFound()
    if order.expected_version is None:
        raise Refusal("if_match_required")
    if order.expected_version != request.version:
        raise Refusal("stale_version", current_version=request.version)
    kind = community.kind(request.kind)
    assert kind is not None, "a request is opened only for a kind of its community"
    _refuse_unfitting(request, kind, order)
    capacity = _capacity(approver, order.verdict)
    if order.verdict is Verdict.APPROVE:
        _refuse_unmet(request, community, kind, around)
        return _approval(request, approver, kind, capacity, around, at)
    state, round_ = {
        Verdict.DENY: (State.DENIED, request.round),
        Verdict.RETURN: (State.RETURNED, request.round),
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
        round_,
        request.version + 1,
        is_settled=True,
    )


def _refuse_ended(request: Request) -> None:
    if request.state is State.EXPIRED:
        raise Refusal("expired")
    if request.state in (State.CLOSED, State.WITHDRAWN):
        raise Refusal("request_closed")
    if request.decided is not None and request.state is not State.PENDING and request.state is not State.REFUSED:
        raise Refusal(
            "already_decided", decided_by=request.decided.role, decided_at=request.decided.at, state=request.state.value
        )
    if request.state in (State.UNROUTED, State.AWAITING_DOCUMENTS):
        raise Refusal("not_an_approver")


def _refuse_unfitting(request: Request, kind: Kind, order: Order) -> None:
    """Refuse a verdict that cannot be said now, and a return for what is not there."""
    fitting: tuple[Verdict, ...] = (Verdict.APPROVE, Verdict.DENY, Verdict.RETURN)
    if request.state is State.REFUSED:
        fitting = (Verdict.RETRY,) if request.is_unanswered else (Verdict.RETRY, Verdict.CLOSE)
    if order.verdict not in fitting:
        raise invalid(
            "/verdict",
            f"while the request is {request.state.value}: {' or '.join(v.value for v in fitting)}",
            fitting[0].value,
        )
    if order.verdict is not Verdict.RETURN:
        return
    if request.returns_count >= kind.returns_at_most:
        raise invalid(
            "/verdict", f"a request is returned at most {kind.returns_at_most} times: approve or deny", "deny"
        )
    known = [name.removesuffix("?") for name in kind.fields] + [need.code for need in kind.documents]
    if order.correct and not known:
        raise invalid("/correct", "this kind asks for nothing that could be corrected: leave it out", "leave it out")
    for number, code in enumerate(order.correct):
        if code not in known:
            raise invalid(f"/correct/{number}", f"one of what this kind asks for: {', '.join(known)}", known[0])


def _capacity(approver: Approver, verdict: Verdict) -> Queue:
    """Return the role in which they decide. A queue added by escalation may not approve. Source: R8."""
    if verdict is not Verdict.APPROVE:
        return approver.capacities[0]
    able = next((capacity for capacity in approver.capacities if capacity.may_approve), None)
    if able is None:
        raise Refusal("may_not_approve")
    return able


def _refuse_unmet(request: Request, community: Community, kind: Kind, around: Around) -> None:
    seats_taken = around.seats_by_role.get(kind.role or "", 0)
    conflict = rules.role_conflict(
        community, kind.role, request.place_id, request.scope_id, around.applicant_holdings, seats_taken
    )
    unmet = conflict or rules.unmet_precondition(community, kind, around.surroundings, is_filed=True)
    if unmet:
        raise Refusal(unmet)


def _approval(
    request: Request, approver: Approver, kind: Kind, capacity: Queue, around: Around, at: datetime
) -> Decision:
    if approver.id in request.voter_ids:
        raise Refusal("already_decided", decided_by=capacity.role, decided_at=at, state=request.state.value)
    made = Decision(
        Verdict.APPROVE,
        None,
        approver.id,
        capacity,
        at,
        State.PENDING,
        request.stage,
        request.round,
        request.version,
        is_settled=False,
    )
    # Before stage 1 the help desk alone has looked into a concern: no stage of the kind is settled by that.
    quorum = kind.stage(request.stage, request.rests_on).quorum if request.stage else 1
    if len(request.voter_ids) + 1 < quorum:  # A vote leaves the version: others have read the same request still.
        return made
    following = kind.next_stage(request.stage, request.rests_on)
    if following is None:
        state, stage = State.APPROVED, request.stage
    elif around.documents_missing:
        state, stage = State.AWAITING_DOCUMENTS, request.stage
    else:
        state, stage = State.PENDING, following
    return replace(made, state=state, stage=stage, version=request.version + 1, is_settled=True)
