"""Who did what, when, to what: append-only rows in the transaction of the act, chained afterwards.

The hot path takes no global lock: rows are written unnumbered, and one sealer numbers and chains
them within a second. Each hash covers its row and the hash before it, so a changed, removed or
inserted row is found by whoever walks the chain.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from shared.database import Transaction
from shared.ids import new_id
from shared.tables import audit

_SEALER_LOCK = 0x1AC5_5EA1
_BATCH = 1000
_START = bytes(32)


@dataclass(frozen=True)
class Act:
    """One line of the record. `detail` holds ids and codes, never personal data."""

    id: UUID
    actor: str
    act: str
    subject: str
    scope_id: UUID | None
    detail: dict[str, Any]


def record(
    tx: Transaction,
    *,
    actor: UUID | str,
    act: str,
    subject: UUID,
    scope: UUID | None = None,
    **detail: object,
) -> None:
    """Note that `actor` (a person's id, or the name of a timer or operator) did `act` to `subject`."""
    tx.audit.append(Act(new_id(), str(actor), act, str(subject), scope, {k: str(v) for k, v in detail.items()}))


async def seal(tx: Transaction) -> int:
    """Number and chain what is not sealed yet; return how many rows. Only one sealer works at a time."""
    if not await tx.value(select(func.pg_try_advisory_xact_lock(_SEALER_LOCK))):
        return 0
    last = (
        await tx.execute(
            select(audit.c.number, audit.c.hash)
            .where(audit.c.number.is_not(None))
            .order_by(audit.c.number.desc())
            .limit(1)
        )
    ).one_or_none()
    number, previous = (last.number, last.hash) if last else (0, _START)
    rows = await tx.rows(select(audit).where(audit.c.number.is_(None)).order_by(audit.c.position).limit(_BATCH))
    sealed: list[tuple[UUID, int, bytes]] = []
    for row in rows:
        number += 1
        previous = _link(previous, number, row)
        sealed.append((row.id, number, previous))
    if sealed:
        await tx.raw.execute(
            """
            UPDATE audit SET number = s.number, hash = s.hash
            FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS s (id, number, hash) WHERE audit.id = s.id
            """,
            *(list(column) for column in zip(*sealed, strict=True)),
        )
    return len(sealed)


def first_broken(rows: Sequence[Any]) -> int | None:
    """Return the number of the first row that does not fit the chain, or None if all do.

    `rows` are all sealed rows in the order of their numbers, from 1.
    """
    previous = _START
    for number, row in enumerate(rows, start=1):
        previous = _link(previous, number, row)
        if row.number != number or row.hash != previous:
            return number
    return None


def _link(previous: bytes, number: int, row: Any) -> bytes:
    entry = [
        number,
        str(row.id),
        row.at.isoformat(),
        row.actor,
        row.act,
        row.subject,
        str(row.scope_id),
        row.detail,
    ]
    return hashlib.sha256(previous + json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()).digest()
