"""What the directory answers to an approval, and what ends in it."""

from uuid import UUID

from services.approval import domain, store
from services.approval.domain import State
from services.approval.usecases import stages
from services.approval.usecases.saying import rules_of
from shared import audit
from shared.database import Transaction
from shared.ids import RequestId


async def note_grant(tx: Transaction, request_id: RequestId, round_: int) -> None:
    """The directory has granted it: the request is done. An answer to another round changes nothing.

    One that the help desk holds because nobody had answered yet is access all the same.
    """
    request = await store.lock_request(tx, request_id)
    if request is None or request.state not in (State.APPROVED, State.REFUSED) or request.round != round_:
        return
    await store.save_request(
        tx, request_id, state=State.GRANTED.value, version=request.version + 1, ended_at=tx.now, refusal=None
    )
    await store.close_queues(tx, request_id)
    await store.stop_timers(tx, request_id)
    await store.add_history(tx, request_id, "granted")
    audit.record(tx, actor="directory", act="grant", subject=request_id, scope=request.scope_id, round=round_)


async def note_refusal(
    tx: Transaction, request_id: RequestId, round_: int, reason: str, stage: int | None = None
) -> None:
    """The directory could not grant it: decide again, or the help desk finds out what to do.

    An approver who had lost authority decided nothing, so their stage is open again, and those after it follow
    anew: `stage`, or the last. Anything else goes to the help desk, which may have it announced again, or close it.
    Source: domain 5.
    """
    request = await store.lock_request(tx, request_id)
    if request is None or request.round != round_ or not (request.state is State.APPROVED or request.is_unanswered):
        return
    await store.stop_timers(tx, request_id)
    await store.add_history(tx, request_id, "not_granted", reason=reason)
    audit.record(tx, actor="directory", act="refuse_grant", subject=request_id, scope=request.scope_id, reason=reason)
    if reason == "approver_lost_authority" and await store.is_closed(tx, request_id):
        await stages.close(tx, request, "scope_closed")  # Its place ended while it was approved.
    elif reason == "approver_lost_authority":
        await _reopen(tx, request, reason, stage or request.stage)
    else:
        await stages.hand_to_help_desk(tx, request, reason)


async def _reopen(tx: Transaction, request: domain.Request, reason: str, number: int) -> None:
    community, kind = await rules_of(tx, request)
    await stages.take_from_help_desk(tx, request, community, kind)
    if number != request.stage:
        await store.close_queues(tx, request.id)
        request = await store.save_request(
            tx, request.id, stage=number, steps_added=0, has_next_step=True, absent_since=None
        )
    stage = domain.stage_of(kind, request)
    assert stage is not None, "only a stage is approved"
    expires_at = domain.stage_expires_at(stage, request.steps_added, tx.now)
    await store.set_timer(tx, request.id, "expire", expires_at)
    request = await stages.decide_again(tx, request, why=reason, expires_at=expires_at, since_at=tx.now)
    await stages.start_clock(tx, request, community, kind)


async def close_in(tx: Transaction, place_id: UUID) -> None:
    """An organization, group or practitioner record has ended: so do the open requests about it.

    An approved one waits for the directory's answer, as ever. Source: domain 5.
    """
    for request in await store.lock_open_in(tx, place_id):
        await stages.close(tx, request, "scope_closed")
