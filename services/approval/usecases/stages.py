"""How a request comes into a stage, gains queues there, and comes to its end."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from services.approval import domain, store
from services.approval.domain import State
from services.approval.usecases.saying import about, rules_of, say, say_awaiting
from shared import audit
from shared.contracts import approval as said
from shared.contracts.community import Community, Kind, QueueOf
from shared.database import Transaction


async def enter_stage(
    tx: Transaction, request: domain.Request, community: Community, kind: Kind, number: int, **columns: Any
) -> domain.Request:
    """Bring a request into a stage: its queues, its clock, and those who may decide now hear of it."""
    stage = kind.stage(number, request.rests_on)
    expires_at = domain.stage_expires_at(stage, 0, tx.now)
    request = await store.save_request(
        tx,
        request.id,
        state=State.PENDING.value,
        stage=number,
        steps_added=0,
        has_next_step=True,
        absent_since=None,
        since_at=tx.now,
        expires_at=expires_at,
        **columns,
    )
    await start_clock(tx, request, community, kind, expire=expires_at)
    await store.add_queues(tx, request, domain.queues_of_stage(community, kind, request), why="stage")
    await store.add_history(tx, request.id, "awaiting_decision")
    await say_awaiting(tx, request, always=True)
    return request


async def start_clock(
    tx: Transaction, request: domain.Request, community: Community, kind: Kind, **others: datetime
) -> None:
    """Set the clocks of a stage that begins now: its first reminder, the next queue to be added, and `others`."""
    stage = domain.stage_of(kind, request)
    assert stage is not None, "only a stage has reminders and steps"
    due = {
        "remind": domain.reminder_due(kind, request, 1, community.calendar),
        "escalate": domain.escalation_due(stage, request.steps_added, tx.now),
    }
    await store.set_timers(tx, request.id, {**due, **others})


async def decide_again(tx: Transaction, request: domain.Request, *, why: str, **columns: Any) -> domain.Request:
    """Open a stage for another round: the same queues, and all who may decide hear of it anew."""
    before = request.state
    request = await store.save_request(
        tx,
        request.id,
        state=State.PENDING.value,
        round=request.round + 1,
        version=request.version + 1,
        decided_by=None,
        decided_role=None,
        decided_at=None,
        refusal=None,
        **columns,
    )
    await store.reopen_queues(tx, request.id, request.stage)
    await store.add_history(tx, request.id, "reopened", reason=why)
    say(
        tx,
        request,
        said.RequestReopened(
            **about(request, previous_state=before.value), why=why, reopened_at=tx.now, expires_at=request.expires_at
        ),
    )
    await say_awaiting(tx, request, always=True)
    return request


async def add_step(
    tx: Transaction, request: domain.Request, queues: Sequence[QueueOf], *, why: Any, refusal: str | None = None
) -> None:
    """Add queues to a request; those before keep theirs. Say each, and who may decide now."""
    await store.add_queues(tx, request, queues, why=why)
    for each in queues:
        await store.add_history(tx, request.id, "escalated", role=each.role, reason=refusal or why)
        audit.record(
            tx, actor="approval", act="escalate", subject=request.id, scope=request.scope_id, role=each.role, why=why
        )
        say(
            tx,
            request,
            said.RequestEscalated(
                **about(request),
                queue=said.Queue(role=each.role, place_kind=each.place_kind, place_id=each.place_id),
                why=why,
                refusal=refusal,
                may_approve=each.may_approve,
                escalated_at=tx.now,
                expires_at=request.expires_at,
            ),
        )
    if request.state is State.PENDING:
        await say_awaiting(tx, request, always=False)


async def add_next_step(tx: Transaction, request: domain.Request, *, why: str) -> None:
    """Add the next fallback step of a request's stage, if there is one left, and set its clock for the one after."""
    community, kind = await rules_of(tx, request)
    stage = domain.stage_of(kind, request)
    queues = domain.queues_of_step(community, stage, request) if stage else []
    if stage is None or not queues:
        await store.save_request(tx, request.id, has_next_step=False, absent_since=None)
        return
    steps_added = request.steps_added + 1
    expires_at = max(request.expires_at, domain.stage_expires_at(stage, steps_added, tx.now))
    request = await store.save_request(
        tx, request.id, steps_added=steps_added, absent_since=None, expires_at=expires_at
    )
    await store.set_timer(tx, request.id, "expire", expires_at)
    escalate_at = domain.escalation_due(stage, steps_added, tx.now)
    if escalate_at is None:
        await store.stop_timer(tx, request.id, "escalate")
    else:
        await store.set_timer(tx, request.id, "escalate", escalate_at)
    await add_step(tx, request, queues, why=why)


async def hand_to_help_desk(tx: Transaction, request: domain.Request, reason: str) -> None:
    """Let the help desk find out what to do about an approval that could not be carried out. Source: domain 5."""
    community, kind = await rules_of(tx, request)
    stage = domain.stage_of(kind, request)
    assert stage is not None, "only an approval is answered"
    expires_at = tx.now + timedelta(days=stage.expire_after_days)
    request = await store.save_request(
        tx,
        request.id,
        state=State.REFUSED.value,
        version=request.version + 1,
        expires_at=expires_at,
        refusal=reason,
    )
    await store.set_timer(tx, request.id, "expire", expires_at)
    await add_step(tx, request, [domain.help_desk_queue(community)], why="cannot_be_granted", refusal=reason)


async def take_from_help_desk(tx: Transaction, request: domain.Request, community: Community, kind: Kind) -> None:
    """Make the queues of a stage that is to be opened again what they were before `hand_to_help_desk`.

    The help desk's own queue of the stage is the same row as that of what could not be granted: left as it is, nobody
    there could approve any more.
    """
    stage = domain.stage_of(kind, request)
    assert stage is not None, "only an approval was handed over"
    for queues, why in (
        (domain.queues_of_stage(community, kind, request), "stage"),
        (domain.queues_added(community, stage, request), None),
    ):
        for own in queues:
            await store.restore_queue(tx, request, own, why=why)


async def end(
    tx: Transaction, request: domain.Request, state: State, *, act: str, actor: Any, reason: str | None = None
) -> domain.Request:
    """End a request without a decision: out of every queue, no clock runs on. The caller says so to others."""
    ended = await store.save_request(
        tx,
        request.id,
        state=state.value,
        version=request.version + 1,
        ended_at=tx.now,
        claimed_by=None,
        claimed_until=None,
    )
    await store.close_queues(tx, request.id)
    await store.stop_timers(tx, request.id)
    await store.add_history(tx, request.id, state.value, reason=reason)
    audit.record(tx, actor=actor, act=act, subject=request.id, scope=request.scope_id, reason=reason or "")
    return ended


async def expire(tx: Transaction, request: domain.Request) -> None:
    """End a request whose time is up."""
    ended = await end(tx, request, State.EXPIRED, act="expire", actor="approval")
    say(tx, ended, said.RequestExpired(**about(ended, previous_state=request.state.value), expired_at=tx.now))


async def close(tx: Transaction, request: domain.Request, why: str) -> None:
    """End a request about what is not there any more."""
    ended = await end(tx, request, State.CLOSED, act="close", actor="directory", reason=why)
    say(tx, ended, said.RequestClosed(**about(ended, previous_state=request.state.value), why=why, closed_at=tx.now))
