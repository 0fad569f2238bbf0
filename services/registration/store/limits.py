"""What is limited, and what was answered already: counted in the database, for all processes alike."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Integer, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.registration import domain
from services.registration.tables import counted_act, filing_key
from shared import slices
from shared.database import Transaction
from shared.ids import new_id

_acts = (
    select(counted_act.c.at)
    .where(
        counted_act.c.limit == bindparam("limit"),
        counted_act.c.who == bindparam("who"),
        counted_act.c.at > bindparam("since"),
    )
    .order_by(counted_act.c.at.desc())
    .limit(bindparam("at_most", type_=Integer))
    .subquery()
)
_COUNT = select(func.count().label("count"), func.min(_acts.c.at).label("first")).select_from(_acts)
_ADD_ACT = insert(counted_act)


@dataclass(frozen=True)
class Answer:
    """How a filing under an Idempotency-Key was answered."""

    body_fingerprint: str
    status: int
    content: dict[str, Any]


async def lock_free_in(tx: Transaction, limit: domain.Limit, who: str) -> timedelta | None:
    """Return how long somebody must wait before doing this once more; None if they need not.

    Nobody else passes for the same `who` until the commit, so two at once are never both the last.
    """
    await tx.raw.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{limit.name}/{who}")
    counted = {"limit": limit.name, "who": who, "since": tx.now - limit.within, "at_most": limit.at_most}
    row = await tx.one(_COUNT, counted)
    assert row is not None, "an aggregate is always one row"
    return None if row.count < limit.at_most else row.first + limit.within - tx.now


async def add_act(tx: Transaction, limit: domain.Limit, who: str) -> None:
    """Count one act."""
    await tx.execute(_ADD_ACT, {"id": new_id(), "limit": limit.name, "who": who, "at": tx.now})


async def delete_old_acts(tx: Transaction) -> int:
    """Delete what no limit counts any more, and return how many. No limit looks back further than a day."""
    return await slices.delete_oldest(tx, counted_act.c.at, tx.now - timedelta(days=1))


async def add_key(tx: Transaction, caller: str, key: str, body_fingerprint: str) -> Answer | None:
    """Take a key for a filing; or return the answer that was given under it.

    Of two calls at once the second waits here until the first has committed, or failed.
    """
    done = await tx.execute(
        insert(filing_key)
        .values(caller=caller, key=key, body_fingerprint=body_fingerprint, ends_at=tx.now + domain.KEY_KEPT)
        .on_conflict_do_nothing()
    )
    if done.rowcount == 1:
        return None
    row = await tx.one(select(filing_key).where(filing_key.c.caller == caller, filing_key.c.key == key))
    assert row is not None and row.answer is not None, "a key commits with its answer"
    return Answer(row.body_fingerprint, row.status, row.answer)


async def save_answer(tx: Transaction, caller: str, key: str, status: int, content: dict[str, Any]) -> None:
    """Keep how the filing under a key was answered."""
    await tx.execute(
        update(filing_key)
        .where(filing_key.c.caller == caller, filing_key.c.key == key)
        .values(status=status, answer=content)
    )


async def delete_ended_keys(tx: Transaction) -> int:
    """Delete keys that have had their day, and return how many."""
    return await slices.delete_oldest(tx, filing_key.c.ends_at, tx.now)
