"""Forgetting a slice at a time: however much has come of age, no statement outlasts its limit."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, delete, select, tuple_, update

from shared.database import Transaction

AT_ONCE = 10_000
"""How many rows of a table go in one transaction. A week of receipts would outlast the limit of a statement."""


async def delete_oldest(tx: Transaction, at: Column[Any], before: Any, *also: ColumnElement[bool]) -> int:
    """Delete the rows of a column's table whose moment lies before another, the oldest first. Returns how many went."""
    key = tuple_(*at.table.primary_key.columns)
    return (await tx.execute(delete(at.table).where(key.in_(_oldest(at, before, *also))))).rowcount


async def wipe_oldest(
    tx: Transaction, at: Column[Any], before: Any, *also: ColumnElement[bool], values: Mapping[str, Any]
) -> int:
    """Write values over what `delete_oldest` would delete. Returns how many rows changed."""
    key = tuple_(*at.table.primary_key.columns)
    return (await tx.execute(update(at.table).where(key.in_(_oldest(at, before, *also))).values(values))).rowcount


def left_over(*counts: int) -> int:
    """Return what a chore says that forgot these slices: 0 unless one of them was full.

    Some row comes of age at each moment: called again until there is none, a chore would never rest.
    """
    return sum(counts) if max(counts) >= AT_ONCE else 0


def _oldest(at: Column[Any], before: Any, *also: ColumnElement[bool]) -> Select[Any]:
    oldest = select(*at.table.primary_key.columns).where(at < before, *also).order_by(at).limit(AT_ONCE)
    # Locked, since what somebody makes young again just now must stay; what is locked already is theirs.
    return oldest.with_for_update(skip_locked=True)
