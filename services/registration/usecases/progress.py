"""What approval and the directory have said about a request is shown."""

from dataclasses import replace
from datetime import datetime

from services.registration import domain, store
from shared.database import Transaction
from shared.ids import RequestId

_DECISIONS = ("approved", "denied", "returned")


async def note_step(tx: Transaction, request_id: RequestId, step: domain.Step, what: str) -> None:
    """Show what approval did about a request. `what` is its line in the timeline."""
    request = await store.lock_request(tx, request_id)
    if request is not None:
        await _note(tx, request, domain.after_step(request.progress, step), step.at, what)


async def note_refused_withdrawal(tx: Transaction, request_id: RequestId, at: datetime) -> None:
    """Show that the wish to withdraw came too late."""
    request = await store.lock_request(tx, request_id)
    now = domain.after_refused_withdrawal(request.progress) if request is not None else None
    if request is not None and now is not None:
        await store.save_wish(tx, replace(request, progress=now))
        await store.add_moment(tx, request_id, at, "withdrawal_refused")


async def note_grant(tx: Transaction, request_id: RequestId, at: datetime) -> None:
    """Show that a request is granted."""
    request = await store.lock_request(tx, request_id)
    if request is not None:
        await _note(tx, request, domain.after_grant(request.progress, at), at, "granted")


async def note_refused_grant(tx: Transaction, request_id: RequestId, round_: int, reason: str, at: datetime) -> None:
    """Show that an approval could not be carried out."""
    request = await store.lock_request(tx, request_id)
    if request is not None:
        now = domain.after_refused_grant(request.progress, round_, reason, at)
        await _note(tx, request, now, at, "refused")


async def _note(tx: Transaction, request: domain.Request, now: domain.Progress | None, at: datetime, what: str) -> None:
    if now is None or request.is_draft:
        return
    await store.save_progress(tx, request, now)
    before = request.progress
    if _shown(before) != _shown(now):
        by = (now.decided_as,) if now.decided_as and what in _DECISIONS else now.roles
        await store.add_moment(tx, request.id, at, what, by)


def _shown(it: domain.Progress) -> tuple[object, ...]:
    """Return what makes a line of the timeline when it changes."""
    return it.state, it.stage, it.round, it.roles, it.reminded, it.escalated
