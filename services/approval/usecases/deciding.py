"""An approver decides, or says that they are looking at it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.approval import domain, store
from services.approval.domain import State, Verdict
from services.approval.usecases import opening, stages
from services.approval.usecases.saying import about, rules_of, say
from shared import audit, policy
from shared.contracts import approval as said
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId, RequestId, new_id


@dataclass(frozen=True)
class Answer:
    """What the approver is told: the decision, as it was answered the first time."""

    body: dict[str, Any]


async def decide_request(
    tx: Transaction,
    request_id: RequestId,
    approver_id: PersonId,
    order: domain.Order,
    *,
    key: str | None,
    body_sha256: bytes,
) -> Answer | Refusal:
    """Record one approver's decision and announce it. Refuses as `domain.decide` does.

    The row lock makes a second approver wait, and then meet `already_decided`. An expiry found due
    is recorded, and *returned* as a refusal, so that the edge commits it. The same key and body get
    the first answer again, also when the request has moved on since.
    """
    found = await store.lock_for_decision(tx, request_id, approver_id, key)
    prior = found.prior if found else await store.find_prior(tx, approver_id, key) if key else None
    if prior is not None:
        return _repeated(prior, body_sha256)
    if found is None:
        raise Refusal("not_an_approver")
    request = found.request
    try:
        community, kind = await rules_of(tx, request)
        decision = domain.decide(request, found.approver, order, community, found.around, tx.now)
    except Refusal:
        # The lock may have been waited for: then this very order may have been carried out meanwhile.
        prior = await store.find_prior(tx, approver_id, key) if key else None
        if prior is not None:
            return _repeated(prior, body_sha256)
        raise
    if isinstance(decision, domain.ExpiryFound):
        await stages.expire(tx, request)
        return Refusal("expired")

    answer = _answer(request, decision)
    approved_event_id = await _say_decision(tx, request, decision)
    audit.record(
        tx,
        actor=approver_id,
        act=f"decide_{decision.verdict.value}",
        subject=request_id,
        scope=request.scope_id,
        role=decision.capacity.role,
        stage=request.stage,
        round=request.round,
    )
    await store.save_decision(
        tx,
        request,
        decision,
        decision_id=new_id(),
        key=key,
        body_sha256=body_sha256,
        answer=answer.body,
        approved_event_id=approved_event_id,
    )
    if decision.state is State.RETURNED:
        await _hand_back(tx, request, decision, order, kind.returned_expires_after_days)
    elif decision.state is State.AWAITING_DOCUMENTS:
        await opening.await_documents(tx, request, community, kind, found.around.documents_missing)
    elif decision.is_settled and decision.state is State.PENDING:
        await stages.enter_stage(tx, request, community, kind, decision.stage)
    return answer


def _repeated(prior: store.Prior, body_sha256: bytes) -> Answer:
    if prior.body_sha256 != body_sha256:
        raise Refusal("idempotency_key_reused")
    return Answer(prior.answer)


def _answer(request: domain.Request, made: domain.Decision) -> Answer:
    return Answer(
        {
            "request_id": str(request.id),
            "verdict": made.verdict.value,
            "reason": made.reason,
            "state": made.state.value,
            "stage": made.stage,
            "round": made.round,
            "version": made.version,
            "decided_as": made.capacity.role,
            "decided_at": made.at.isoformat(),
        }
    )


async def _say_decision(tx: Transaction, request: domain.Request, made: domain.Decision) -> UUID | None:
    """Say what was decided, where it is final for the request; return the approval's event id."""
    told = about(request, round=made.round, version=made.version, previous_state=request.state.value)
    event: said.RequestEvent
    if made.state is State.DENIED:
        assert made.reason is not None
        event = said.RequestDenied(
            **told,
            decided_by=made.by,
            capacity=_capacity(made.capacity),
            reason=domain.shown_reason(made.reason),
            decided_at=made.at,
        )
    elif made.state is State.CLOSED:
        event = said.RequestClosed(**told, why="cannot_be_granted", closed_at=made.at)
    elif made.verdict is Verdict.RETRY:
        # The approval is announced again as it was decided: the directory judges *its* decider.
        first = await store.load_approval(tx, request.id)
        event = said.RequestApproved(
            **told,
            decided_by=first.approver_id,
            capacity=_capacity(first),
            decided_at=first.decided_at,
            earlier=await _earlier(tx, request.id, first.stage, first.round, first.approver_id),
        )
    elif made.state is State.APPROVED:
        event = said.RequestApproved(
            **told,
            decided_by=made.by,
            capacity=_capacity(made.capacity),
            decided_at=made.at,
            # What was decided at once by one person, as nearly everything is, is not asked about.
            earlier=await _earlier(tx, request.id, request.stage, request.round, made.by)
            if request.stage > 1 or request.voter_ids
            else (),
        )
    else:
        return None
    event_id: UUID = say(tx, request, event)
    return event_id if made.state is State.APPROVED else None


async def _earlier(
    tx: Transaction, request_id: RequestId, stage: int, round_: int, decided_by: PersonId
) -> tuple[said.EarlierApproval, ...]:
    return tuple(
        said.EarlierApproval(
            stage=one.stage, decided_by=one.approver_id, capacity=_capacity(one), decided_at=one.decided_at
        )
        for one in await store.list_earlier_approvals(tx, request_id, stage, round_, decided_by)
    )


def _capacity(held: Any) -> said.Capacity:
    """Return the capacity of a queue, or of a decision's row."""
    return said.Capacity(role=held.role, place_kind=held.place_kind, place_id=held.place_id)


async def _hand_back(
    tx: Transaction, before: domain.Request, made: domain.Decision, order: domain.Order, days: int
) -> None:
    """Make it the applicant's turn: every clock of the approvers stands still. Source: domain 5, 6."""
    assert made.reason is not None, "a return has a reason"
    expires_at = tx.now + timedelta(days=days)
    request = await store.save_request(tx, before.id, expires_at=expires_at, returns_count=before.returns_count + 1)
    await store.pause_timers(tx, before.id)
    await store.set_timer(tx, before.id, "give_up", expires_at)
    say(
        tx,
        request,
        said.RequestReturned(
            **about(request, previous_state=before.state.value),
            returned_by=made.by,
            capacity=_capacity(made.capacity),
            reason=made.reason,
            correct=order.correct,
            returned_at=made.at,
            expires_at=expires_at,
        ),
    )


# --- Claims -----------------------------------------------------------------------------------


async def claim_request(tx: Transaction, request_id: RequestId, person_id: PersonId) -> None:
    """Note for half an hour that this approver looks at a request. It stops nobody: the latest claim stands.

    Raises not_an_approver, or request_closed once nothing is left to decide.
    """
    request = await _held_for(tx, request_id, person_id)
    if request.state not in (State.PENDING, State.REFUSED):
        raise Refusal("request_closed")
    await store.save_claim(tx, request_id, person_id, tx.now + domain.CLAIM_LASTS)
    audit.record(tx, actor=person_id, act="claim", subject=request_id, scope=request.scope_id)


async def release_request(tx: Transaction, request_id: RequestId, person_id: PersonId) -> None:
    """Take one's claim back; nothing happens without one. Raises not_an_approver."""
    await _held_for(tx, request_id, person_id)
    await store.delete_claim(tx, request_id, person_id)


async def _held_for(tx: Transaction, request_id: RequestId, person_id: PersonId) -> domain.Request:
    request = await store.lock_request(tx, request_id)
    is_others = request is not None and request.applicant_id != person_id
    is_approver = is_others and await store.is_approver(tx, request_id, person_id)
    standings = {policy.Standing.APPROVER} if is_approver else set[policy.Standing]()
    policy.require(domain.POLICY, "claim", standings, otherwise="not_an_approver")
    assert request is not None
    return request
