"""The full state said once more: for when Kafka has lost it. Our own rows are its source. Source: architecture 5."""

from typing import Any

from services.directory import store
from services.directory.usecases import states
from shared import audit
from shared.database import Transaction
from shared.ids import directory_scope

AT_ONCE = 500


async def say_everything(
    tx: Transaction, kind: str, after: tuple[Any, ...] | None, *, by: str
) -> tuple[Any, ...] | None:
    """Say the state of the next rows of a table, as it is; return the key of the last, or None after the end.

    Each row is held until the commit: whoever changes it then says so after us, and not before. The versions are as
    they were, so that nothing changes for a reader who has heard it already.
    """
    rows = await store.lock_rows_after(tx, kind, after, limit=AT_ONCE)
    for row in rows:
        states.publish(tx, kind, row._mapping)
    if after is None:
        audit.record(tx, actor=by, act="say_everything", subject=directory_scope(), table=kind)
    return store.key_of(kind, rows[-1]) if rows else None
