"""What time brings: drafts expire, identities are erased, silence is noticed, old rows go."""

from services.registration import domain, store
from shared import audit, outbox, slices, telemetry
from shared.database import Transaction

log = telemetry.logger(__name__)


async def expire_drafts(tx: Transaction) -> int:
    """Delete drafts that nobody proved in time, with all that was typed. Returns how many."""
    due = await store.lock_due(tx, "draft_expires_at")
    for draft in due:
        await store.delete_request(tx, draft.id)
        audit.record(tx, actor="timer", act="expire_draft", subject=draft.id, scope=draft.place.scope_id)
    return len(due)


async def clean_up(tx: Transaction) -> int:
    """Delete what proves, limits and repeats nothing any more. Returns how many rows; 0 when no more of them wait."""
    return slices.left_over(
        await store.delete_expired_codes(tx),
        await store.delete_old_acts(tx),
        await store.delete_ended_keys(tx),
        await store.delete_old_invitations(tx),
    )


async def erase_identities(tx: Transaction) -> int:
    """Erase who filed what ended without a grant long ago. Returns how many."""
    due = await store.lock_due(tx, "erase_at")
    if due:
        await store.delete_identities(tx, due)
    for request in due:
        audit.record(tx, actor="timer", act="erase_identity", subject=request.id, scope=request.place.scope_id)
    return len(due)


async def announce_again(tx: Transaction) -> int:
    """Say once more what approval has not opened within an hour; after three times, mark it. Returns how many."""
    due = await store.lock_due(tx, "announce_again_at")
    for request in due:
        assert request.submitted_event_id is not None
        outcome = await outbox.resend(tx, request.submitted_event_id, at_most=domain.ANNOUNCED_AGAIN_AT_MOST)
        if await store.save_announced_again(tx, request, was_sent=outcome is outbox.Resent.AGAIN):
            log.error("unopened", request_id=str(request.id))
            audit.record(tx, actor="timer", act="mark_unopened", subject=request.id, scope=request.place.scope_id)
    return len(due)
