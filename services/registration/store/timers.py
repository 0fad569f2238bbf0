"""What is due."""

from collections.abc import Sequence

from sqlalchemy import case, delete, exists, func, null, select, update

from services.registration import domain
from services.registration.store import rows
from services.registration.store.directory import account_of
from services.registration.tables import document, email_code, identity, person, request
from shared.database import Transaction

_AT_ONCE = 100


async def lock_due(tx: Transaction, timer: str) -> list[domain.Request]:
    """Return some requests of which this timer is due, each for this transaction alone.

    `timer` is a column: draft_expires_at, erase_at or announce_again_at.
    """
    due = request.c[timer]
    due_rows = await tx.rows(
        select(request)
        .where(due.is_not(None), due <= tx.now)
        .order_by(due)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return [rows.request_of(row) for row in due_rows]


async def delete_identities(tx: Transaction, them: Sequence[domain.Request]) -> None:
    """Erase who filed some requests, with documents, codes and, if nothing else needs it, the person.

    The documents' bytes have no row any more from here on, so they go as orphans do.
    """
    ids = [it.id for it in them]
    for table in (identity, document, email_code):
        await tx.execute(delete(table).where(table.c.request_id.in_(ids)))
    await tx.execute(update(request).where(request.c.id.in_(ids)).values(erase_at=None))
    # Held first, in a statement of its own: whoever submits for one of them meanwhile has then done so for all to see.
    people = person.c.id.in_([it.person_id for it in them])
    await tx.execute(select(person.c.id).where(people).order_by(person.c.id).with_for_update())
    still_needed = exists().where(request.c.person_id == person.c.id, identity.c.request_id == request.c.id)
    await tx.execute(delete(person).where(people, ~still_needed, ~account_of(person.c.id)))


async def save_announced_again(tx: Transaction, it: domain.Request, *, was_sent: bool) -> bool:
    """Note one more try to have a request opened; True once it has had all its tries.

    A try counts only if the event had left before: while Kafka is down nobody is to blame.
    """
    given_up = request.c.announced_again_count >= domain.ANNOUNCED_AGAIN_AT_MOST
    row = await tx.one(
        update(request)
        .where(request.c.id == it.id)
        .values(
            announced_again_count=request.c.announced_again_count + (1 if was_sent else 0),
            announce_again_at=case((given_up, null()), else_=tx.now + domain.MUST_BE_OPENED_WITHIN),
            unopened_since=case((given_up, tx.now), else_=null()),
        )
        .returning(request.c.unopened_since)
    )
    return row is not None and row.unopened_since is not None


async def count_unopened(tx: Transaction) -> int:
    """Return how many requests approval never opened, although they were announced again and again."""
    return int(await tx.value(select(func.count()).select_from(request).where(request.c.unopened_since.is_not(None))))
