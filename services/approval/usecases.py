"""What approval can be asked to do: one function each, inside a transaction that the edge owns.

Lock, decide, save, record, announce.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.approval import domain, store
from services.approval.domain import State, Verdict
from shared import audit, outbox
from shared.contracts import approval as said
from shared.contracts import registration
from shared.contracts.community import Community, Kind, QueueOf
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import DocumentId, PersonId, RequestId, new_id
from shared.replicas import load_community

ANNOUNCED_AGAIN_AT_MOST = 3

# --- Opening ----------------------------------------------------------------------------------


async def open_request(tx: Transaction, it: registration.RequestSubmitted) -> None:
    """Open one request per submitted registration, however often it is delivered.

    A request whose community version has not been heard of yet is opened all the same, and routed
    when that arrives.
    """
    place_name = it.organization.legal_business_name if it.organization else it.group.name if it.group else ""
    is_new = await store.add_request(
        tx,
        id=it.request_id,
        community_id=it.community_id,
        community_version=it.community_version,
        kind=it.kind,
        scope_id=it.scope_id,
        place_kind=it.place_kind,
        place_id=it.place_id,
        applicant_id=it.applicant.person_id,
        applicant_name=f"{it.applicant.given_name} {it.applicant.family_name}",
        place_name=place_name,
        documents_needed=list(it.documents_needed),
        state=State.UNROUTED.value,
        stage=0,
        opened_at=tx.now,
        expires_at=tx.now + domain.UNROUTED_EXPIRES_AFTER,
    )
    if not is_new:
        return
    audit.record(tx, actor=it.applicant.person_id, act="open_request", subject=it.request_id, scope=it.scope_id)
    await store.add_history(tx, it.request_id, "opened")
    await store.set_timer(tx, it.request_id, "expire", tx.now + domain.UNROUTED_EXPIRES_AFTER)
    await _route(tx, it.request_id)


async def route_unrouted(tx: Transaction) -> int:
    """Route the requests whose community has been heard of since; return how many."""
    routed = 0
    for request_id in await store.list_unrouted(tx):
        routed += await _route(tx, request_id)
    return routed


async def _route(tx: Transaction, request_id: RequestId) -> bool:
    """Bring an opened request to its first state; False while its community is unknown."""
    request = await store.lock_request(tx, request_id)
    assert request is not None
    community = await load_community(tx, request.community_id, request.community_version)
    kind = community.kind(request.kind) if community else None
    if request.state is not State.UNROUTED or community is None or kind is None:
        return False
    missing = await store.documents_missing(tx, request_id, await store.documents_needed(tx, request_id))
    state = State.AWAITING_DOCUMENTS if missing else State.PENDING
    stage = 0 if missing else 1
    waiting = (
        tx.now + timedelta(days=kind.documents_expire_after_days)
        if missing
        else domain.stage_expires_at(kind.stage(1), tx.now)
    )
    await store.save_request(tx, request_id, state=state.value, stage=stage, expires_at=waiting)
    await store.set_timer(tx, request_id, "expire", waiting)
    outbox.announce(
        tx,
        scope=request.scope_id,
        subject=request_id,
        event=said.RequestOpened(
            **_about(request, stage=stage),
            state=state.value,
            documents_awaited=tuple(missing),
            opened_at=tx.now,
            expires_at=waiting,
        ),
    )
    if not missing:
        await _enter_stage(tx, request_id, community, kind)
    return True


async def add_document(
    tx: Transaction, request_id: RequestId, document_id: DocumentId, code: str, *, actor: str
) -> None:
    """Note a document, and let the request be decided once the last that it needs is there."""
    await store.add_document(tx, id=document_id, request_id=request_id, code=code, added_at=tx.now)
    request = await store.lock_request(tx, request_id)
    if request is None or request.state is not State.AWAITING_DOCUMENTS:
        return
    audit.record(tx, actor=actor, act="add_document", subject=request_id, scope=request.scope_id, document=code)
    await store.add_history(tx, request_id, "document_added", reason=code)
    if await store.documents_missing(tx, request_id, await store.documents_needed(tx, request_id)):
        return
    community, kind = await _rules_of(tx, request)
    expires_at = domain.stage_expires_at(kind.stage(1), tx.now)
    await store.save_request(
        tx, request_id, state=State.PENDING.value, stage=1, version=request.version + 1, expires_at=expires_at
    )
    await store.set_timer(tx, request_id, "expire", expires_at)
    await _enter_stage(tx, request_id, community, kind)


async def _enter_stage(tx: Transaction, request_id: RequestId, community: Community, kind: Kind) -> None:
    """Put a request that has just reached a stage into its queues, and name who may decide."""
    request = await store.lock_request(tx, request_id)
    assert request is not None
    queues = domain.queues_of_stage(community, kind, request.stage, request.scope_id, request.place_id)
    await store.add_queues(tx, request, queues, why="stage", opened_at=await store.opened_at(tx, request_id))
    await store.add_history(tx, request_id, "awaiting_decision")
    await _announce_awaiting(tx, request, always=True)


async def _announce_awaiting(tx: Transaction, request: domain.Request, *, always: bool) -> None:
    """Say who may decide; without news about that, only when `always`."""
    approver_ids = await store.name_approvers(tx, request)
    if not approver_ids and not always:
        return
    queues = await store.list_queues(tx, request.id, request.stage)
    outbox.announce(
        tx,
        scope=request.scope_id,
        subject=request.id,
        event=said.RequestAwaitingDecision(
            **_about(request),
            queues=tuple(said.Queue(role=q.role, place_kind=q.place_kind, place_id=q.place_id) for q in queues),
            approver_ids=tuple(approver_ids),
            # The address is told when the stage begins, not again with each newcomer elsewhere.
            community_address=always and any(q.place_kind == "community" for q in queues),
            since_at=tx.now,
            expires_at=request.expires_at,
        ),
    )


# --- Deciding ---------------------------------------------------------------------------------


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
        community, kind = await _rules_of(tx, request)
        decision = domain.decide(request, found.approver, order, community, found.around, tx.now)
    except Refusal:
        # The lock may have been waited for: then this very order may have been carried out meanwhile.
        prior = await store.find_prior(tx, approver_id, key) if key else None
        if prior is not None:
            return _repeated(prior, body_sha256)
        raise
    if isinstance(decision, domain.ExpiryFound):
        await _expire(tx, request)
        return Refusal("expired")

    answer = _answer(request, decision)
    approved_event_id = await _announce_decision(tx, request, decision)
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
    if decision.is_settled and decision.state is State.PENDING:
        await _begin_next_stage(tx, request_id, community, kind, decision.stage)
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


async def _announce_decision(tx: Transaction, request: domain.Request, made: domain.Decision) -> UUID | None:
    """Say what was decided, where it is final for the request; return the approval's event id."""
    about = _about(request, round=made.round, version=made.version, previous_state=request.state.value)
    capacity = said.Capacity(
        role=made.capacity.role, place_kind=made.capacity.place_kind, place_id=made.capacity.place_id
    )
    event: said.RequestEvent
    if made.state is State.DENIED:
        assert made.reason is not None
        event = said.RequestDenied(
            **about,
            decided_by=made.by,
            capacity=capacity,
            reason=domain.shown_reason(made.reason),
            decided_at=made.at,
        )
    elif made.state is State.CLOSED:
        event = said.RequestClosed(**about, why="cannot_be_granted", closed_at=made.at)
    elif made.verdict is Verdict.RETRY:
        # The approval is announced again as it was decided: the directory judges *its* decider.
        first = await store.load_approval(tx, request.id)
        event = said.RequestApproved(
            **about,
            decided_by=first.approver_id,
            capacity=said.Capacity(role=first.role, place_kind=first.place_kind, place_id=first.place_id),
            decided_at=first.decided_at,
        )
    elif made.state is State.APPROVED:
        event = said.RequestApproved(**about, decided_by=made.by, capacity=capacity, decided_at=made.at)
    else:
        return None
    event_id = outbox.announce(tx, scope=request.scope_id, subject=request.id, event=event)
    return event_id if made.state is State.APPROVED else None


async def _begin_next_stage(
    tx: Transaction, request_id: RequestId, community: Community, kind: Kind, stage: int
) -> None:
    expires_at = domain.stage_expires_at(kind.stage(stage), tx.now)
    await store.save_request(tx, request_id, expires_at=expires_at)
    await store.set_timer(tx, request_id, "expire", expires_at)
    await _enter_stage(tx, request_id, community, kind)


# --- What the directory answers ---------------------------------------------------------------


async def note_grant(tx: Transaction, request_id: RequestId, round_: int) -> None:
    """The directory has granted it: the request is done. An answer to another round changes nothing.

    One that the help desk holds because nobody had answered yet is access all the same.
    """
    request = await store.lock_request(tx, request_id)
    if request is None or request.state not in (State.APPROVED, State.REFUSED) or request.round != round_:
        return
    await store.save_request(tx, request_id, state=State.GRANTED.value, version=request.version + 1, ended_at=tx.now)
    await store.close_queues(tx, request_id)
    await store.stop_timers(tx, request_id)
    await store.add_history(tx, request_id, "granted")
    audit.record(tx, actor="directory", act="grant", subject=request_id, scope=request.scope_id, round=round_)


async def note_refusal(tx: Transaction, request_id: RequestId, round_: int, reason: str) -> None:
    """The directory could not grant it: decide again, or the help desk finds out what to do.

    An approver who had lost authority decided nothing, so the same stage is open again. Anything
    else goes to the help desk, which may have it announced again, or close it. Source: domain 5.
    """
    request = await store.lock_request(tx, request_id)
    if request is None or request.state is not State.APPROVED or request.round != round_:
        return
    await store.stop_timers(tx, request_id)
    await store.add_history(tx, request_id, "not_granted", reason=reason)
    audit.record(tx, actor="directory", act="refuse_grant", subject=request_id, scope=request.scope_id, reason=reason)
    if reason == "approver_lost_authority":
        await _reopen(tx, request, reason)
    else:
        await _hand_to_help_desk(tx, request, reason)


async def _reopen(tx: Transaction, request: domain.Request, reason: str) -> None:
    _, kind = await _rules_of(tx, request)
    expires_at = domain.stage_expires_at(kind.stage(request.stage), tx.now)
    await store.save_request(
        tx,
        request.id,
        state=State.PENDING.value,
        round=request.round + 1,
        version=request.version + 1,
        expires_at=expires_at,
        decided_by=None,
        decided_role=None,
        decided_at=None,
    )
    await store.reopen_queues(tx, request.id, request.stage)
    await store.set_timer(tx, request.id, "expire", expires_at)
    reopened = await store.lock_request(tx, request.id)
    assert reopened is not None
    outbox.announce(
        tx,
        scope=request.scope_id,
        subject=request.id,
        event=said.RequestReopened(
            **_about(reopened, previous_state=State.APPROVED.value),
            why=reason,
            reopened_at=tx.now,
            expires_at=expires_at,
        ),
    )
    await _announce_awaiting(tx, reopened, always=True)


async def _hand_to_help_desk(tx: Transaction, request: domain.Request, reason: str) -> None:
    community, kind = await _rules_of(tx, request)
    expires_at = tx.now + timedelta(days=kind.stage(request.stage).expire_after_days)
    await store.save_request(
        tx,
        request.id,
        state=State.REFUSED.value,
        version=request.version + 1,
        expires_at=expires_at,
        refusal=reason,
    )
    await store.set_timer(tx, request.id, "expire", expires_at)
    held = await store.lock_request(tx, request.id)
    assert held is not None
    added = domain.help_desk_queue(community)
    await _add_step(tx, held, [added], why="cannot_be_granted", refusal=reason)


async def _add_step(
    tx: Transaction, request: domain.Request, queues: Sequence[QueueOf], *, why: Any, refusal: str | None = None
) -> None:
    """Add queues to a request; those before keep theirs. Say each, and who may decide now."""
    await store.add_queues(tx, request, queues, why=why, opened_at=await store.opened_at(tx, request.id))
    for each in queues:
        await store.add_history(tx, request.id, "escalated", role=each.role, reason=refusal or why)
        audit.record(
            tx, actor="approval", act="escalate", subject=request.id, scope=request.scope_id, role=each.role, why=why
        )
        outbox.announce(
            tx,
            scope=request.scope_id,
            subject=request.id,
            event=said.RequestEscalated(
                **_about(request),
                queue=said.Queue(role=each.role, place_kind=each.place_kind, place_id=each.place_id),
                why=why,
                refusal=refusal,
                may_approve=each.may_approve,
                escalated_at=tx.now,
                expires_at=request.expires_at,
            ),
        )
    if request.state is State.PENDING:
        await _announce_awaiting(tx, request, always=False)


# --- Who may decide, as it changes ------------------------------------------------------------


async def name_newcomers(tx: Transaction, person_ids: Sequence[UUID]) -> None:
    """Tell people who can act in a role now of the older work that waits for them. Source: R8."""
    await _name_gained(tx, await store.list_requests_gaining(tx, person_ids))


async def name_overlooked(tx: Transaction) -> int:
    """Tell approvers whom nobody has told yet.

    A request that is opened and a role that is heard of at the same moment do not see each other,
    so neither transaction names that approver. Source: R8.
    """
    await _name_gained(tx, await store.list_requests_gaining(tx))
    return 0


async def _name_gained(tx: Transaction, request_ids: Sequence[RequestId]) -> None:
    for request_id in request_ids:
        request = await store.lock_request(tx, request_id)
        if request is not None and request.state is State.PENDING:
            await _announce_awaiting(tx, request, always=False)


async def look_for_absence(tx: Transaction) -> int:
    """Add the next queue to requests that nobody could decide in two looks at least 25 s apart.

    Absence is judged by a query, never by an event that may not have come yet, and not at all before the
    directory's state was read to its end. Returns how many requests it did something about. Source: R8.
    """
    if not await store.is_replica_complete(tx):
        return 0
    changed = await store.note_absence(tx)
    absent = await store.list_surely_absent(tx)
    for request_id in absent:
        await _add_next_step(tx, request_id)
    return changed + len(absent)


async def _add_next_step(tx: Transaction, request_id: RequestId) -> None:
    request = await store.lock_request(tx, request_id)
    assert request is not None
    community, kind = await _rules_of(tx, request)
    stage = kind.stage(request.stage)
    queues = domain.queues_of_step(community, stage, request.steps_added, request.scope_id, request.place_id)
    if not queues:
        await store.save_request(tx, request_id, has_next_step=False, absent_since=None)
        return
    expires_at = max(request.expires_at, tx.now + timedelta(days=stage.expire_after_days))
    await store.save_request(
        tx, request_id, steps_added=request.steps_added + 1, absent_since=None, expires_at=expires_at
    )
    await store.set_timer(tx, request_id, "expire", expires_at)
    extended = await store.lock_request(tx, request_id)
    assert extended is not None
    await _add_step(tx, extended, queues, why="no_approver")


# --- Time -------------------------------------------------------------------------------------


async def fire_timer(tx: Transaction) -> int:
    """Do what the longest due timer asks for; return 0 when none is due."""
    due = await store.claim_due_timer(tx)
    if due is None:
        return 0
    request = await store.lock_request(tx, due.request_id)
    assert request is not None
    if due.kind == "announce_again":
        if request.state is State.APPROVED:
            await _announce_again(tx, request)
    elif not request.state.is_final and request.state is not State.APPROVED:
        if request.expires_at <= tx.now:
            await _expire(tx, request)
        else:
            await store.set_timer(tx, request.id, "expire", request.expires_at)
    return 1


async def _announce_again(tx: Transaction, request: domain.Request) -> None:
    """Send an approval that nobody has answered again, exactly as it was; after three times, the help desk hears.

    The help desk can have it announced in a new round, which the directory answers whatever it has done
    before. Source: domain 5.
    """
    event_id = await store.approved_event_id(tx, request.id)
    assert event_id is not None, "an approved request was announced"
    outcome = await outbox.resend(tx, event_id, at_most=ANNOUNCED_AGAIN_AT_MOST)
    if outcome is outbox.Resent.ENOUGH:
        await store.add_history(tx, request.id, "not_granted", reason="unanswered")
        await _hand_to_help_desk(tx, request, "unanswered")
        return
    if outcome is outbox.Resent.AGAIN:
        await store.add_history(tx, request.id, "announced_again")
        audit.record(tx, actor="approval", act="announce_again", subject=request.id, scope=request.scope_id)
    await store.set_timer(tx, request.id, "announce_again", tx.now + domain.ANNOUNCED_AGAIN_AFTER)


async def _expire(tx: Transaction, request: domain.Request) -> None:
    await store.save_request(tx, request.id, state=State.EXPIRED.value, version=request.version + 1, ended_at=tx.now)
    await store.close_queues(tx, request.id)
    await store.stop_timers(tx, request.id)
    await store.add_history(tx, request.id, "expired")
    audit.record(tx, actor="approval", act="expire", subject=request.id, scope=request.scope_id)
    outbox.announce(
        tx,
        scope=request.scope_id,
        subject=request.id,
        event=said.RequestExpired(
            **_about(request, version=request.version + 1, previous_state=request.state.value), expired_at=tx.now
        ),
    )


# --- Common -----------------------------------------------------------------------------------


async def _rules_of(tx: Transaction, request: domain.Request) -> tuple[Community, Kind]:
    """Return the community version under which a request was filed, and its kind."""
    community = await load_community(tx, request.community_id, request.community_version)
    if community is None:
        raise Refusal("not_an_approver")  # Not routed yet: there is nobody who may decide.
    kind = community.kind(request.kind)
    assert kind is not None, "registration files only kinds of the version it names"
    return community, kind


def _about(request: domain.Request, **changed: Any) -> dict[str, Any]:
    """Return what every event about a request says of it."""
    return {
        "request_id": request.id,
        "scope_id": request.scope_id,
        "community_id": request.community_id,
        "community_version": request.community_version,
        "kind": request.kind,
        "place_kind": request.place_kind,
        "place_id": request.place_id,
        "applicant_id": request.applicant_id,
        "stage": request.stage,
        "round": request.round,
        "version": request.version,
        **changed,
    }
