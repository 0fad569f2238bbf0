"""Who may decide as that changes, and what happens when nobody does."""

from collections.abc import Sequence
from uuid import UUID

from services.approval import domain, store
from services.approval.domain import State
from services.approval.usecases import stages
from services.approval.usecases.saying import rules_of, say_awaiting, say_reminder
from shared import audit, outbox
from shared.database import Transaction
from shared.erasure import UNGRANTED_KEPT
from shared.ids import RequestId

ANNOUNCED_AGAIN_AT_MOST = 3

# --- Who may decide, as it changes ------------------------------------------------------------


async def name_newcomers(tx: Transaction, person_ids: Sequence[UUID]) -> None:
    """Tell people who can act in a role now of the older work that waits for them. Source: R8."""
    if person_ids:
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
            await say_awaiting(tx, request, always=False)


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
        request = await store.lock_request(tx, request_id)
        assert request is not None
        await stages.add_next_step(tx, request, why="no_approver")
    return changed + len(absent)


async def forget_who_was_told(tx: Transaction) -> int:
    """Forget, a month after a request has ended, who was told that it awaits their decision. Returns how many rows."""
    return await store.forget_who_was_told(tx, tx.now - domain.TOLD_KEPT)


async def forget_names(tx: Transaction) -> int:
    """Forget who asked for what ended without a grant long ago. Returns how many requests. Source: domain 7."""
    forgotten = await store.forget_names(tx, tx.now - UNGRANTED_KEPT)
    for request in forgotten:
        audit.record(tx, actor="approval", act="forget_names", subject=request.id, scope=request.scope_id)
    return len(forgotten)


# --- Time -------------------------------------------------------------------------------------


async def fire_timer(tx: Transaction) -> int:
    """Do what the longest due timer asks for, if its request still does; return 0 when none is due."""
    due = await store.claim_due_timer(tx)
    if due is None:
        return 0
    request = await store.lock_request(tx, due.request_id)
    assert request is not None
    if request.state is State.APPROVED:
        if due.kind == "announce_again":
            await _announce_again(tx, request)
    elif not request.state.is_final and due.kind in ("expire", "give_up"):
        if request.expires_at <= tx.now and request.is_unanswered:
            await stages.hand_to_help_desk(tx, request, domain.UNANSWERED)
        elif request.expires_at <= tx.now:
            await stages.expire(tx, request)
        else:
            await store.set_timer(tx, request.id, due.kind, request.expires_at)
    elif due.kind == "escalate" and request.state is State.PENDING:
        await stages.add_next_step(tx, request, why="overdue")
    elif due.kind == "remind" and request.state in (State.PENDING, State.AWAITING_DOCUMENTS):
        await _remind(tx, request, due.number)
    return 1


async def _remind(tx: Transaction, request: domain.Request, number: int) -> None:
    """Say whose turn it is once more, and set the clock for the next time. Source: domain 6.

    Reminders that came due while nobody looked are one reminder: the latest of them.
    """
    community, kind = await rules_of(tx, request)
    missing: list[str] = []
    if request.state is State.AWAITING_DOCUMENTS:
        missing = await store.documents_missing(tx, request.id)
    due_at = domain.reminder_due(kind, request, number + 1, community.calendar)
    while due_at is not None and due_at <= tx.now:
        number += 1
        due_at = domain.reminder_due(kind, request, number + 1, community.calendar)
    await store.add_history(tx, request.id, "reminded")
    audit.record(tx, actor="approval", act="remind", subject=request.id, scope=request.scope_id, number=number)
    await say_reminder(tx, request, number, missing)
    if due_at is not None:
        await store.set_timer(tx, request.id, "remind", due_at, number=number + 1)


async def _announce_again(tx: Transaction, request: domain.Request) -> None:
    """Send an approval that nobody has answered again, exactly as it was; after three times, the help desk hears.

    The help desk can have it announced in a new round, which the directory answers whatever it has done
    before. It can do nothing else, and no time ends it: it may be access already. Source: domain 5.
    """
    event_id = await store.approved_event_id(tx, request.id)
    assert event_id is not None, "an approved request was announced"
    outcome = await outbox.resend(tx, event_id, at_most=ANNOUNCED_AGAIN_AT_MOST)
    if outcome is outbox.Resent.ENOUGH:
        await store.add_history(tx, request.id, "not_granted", reason=domain.UNANSWERED)
        await stages.hand_to_help_desk(tx, request, domain.UNANSWERED)
        return
    if outcome is outbox.Resent.AGAIN:
        await store.add_history(tx, request.id, "announced_again")
        audit.record(tx, actor="approval", act="announce_again", subject=request.id, scope=request.scope_id)
    await store.set_timer(tx, request.id, "announce_again", tx.now + domain.ANNOUNCED_AGAIN_AFTER)
