"""Whole tables, slice by slice: for saying the full state once more."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, select, tuple_

from services.directory.tables import (
    account,
    entitlement,
    organization,
    person,
    practitioner,
    role_assignment,
    user_group,
)
from shared.database import Transaction
from shared.tables import community, token_key

_TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        token_key,
        community,
        person,
        account,
        organization,
        practitioner,
        user_group,
        role_assignment,
        entitlement,
    )
}


async def lock_rows_after(tx: Transaction, name: str, after: tuple[Any, ...] | None, *, limit: int) -> Sequence[Any]:
    """Return the next rows of a table in the order of its key, and hold them until the commit."""
    table = _TABLES[name]
    key = list(table.primary_key.columns)
    columns = list(table.columns)
    query = select(*columns)
    if name == "person":
        query = query.add_columns(account.c.user_id).outerjoin(account, account.c.person_id == person.c.id)
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    return await tx.rows(query.order_by(*key).limit(limit).with_for_update(of=table))


def key_of(name: str, row: Any) -> tuple[Any, ...]:
    """Return the key of a row, to go on after."""
    return tuple(row._mapping[column.name] for column in _TABLES[name].primary_key.columns)
