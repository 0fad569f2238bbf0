"""Replicas of what the directory says is true: each service keeps what it needs in its own database.

They are fed from the state topics and guarded by version, so a service judges and verifies with the directory down,
and which record comes first never matters. Token keys and communities are kept alike by all.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Table, Text, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert

from shared.contracts.base import State
from shared.contracts.community import Community
from shared.contracts.directory import CommunityState, TokenKeyState
from shared.database import Transaction
from shared.delivery import Change, Handlers
from shared.tables import community, token_key


def follow(handle: Handlers) -> None:
    """Register the handlers that keep both replicas."""

    @handle.state(TokenKeyState)
    async def keys(tx: Transaction, changes: Sequence[Change[TokenKeyState]]) -> None:
        rows = [
            {"version": change.version, **change.now.model_dump(include={"kid", "jwk", "not_before", "not_after"})}
            for change in changes
            if change.now
        ]
        if rows:
            await tx.execute(newer(insert(token_key), token_key, "version").values(rows))

    @handle.state(CommunityState)
    async def communities(tx: Transaction, changes: Sequence[Change[CommunityState]]) -> None:
        rows = [
            {
                "id": change.now.community_id,
                "version": change.now.version,
                "record_version": change.version,
                "current": change.now.current,
                "definition": change.now.definition,
            }
            for change in changes
            if change.now
        ]
        if rows:
            await tx.execute(newer(insert(community), community, "record_version").values(rows))


GONE = "deleted"
"""The status of what the directory has deleted. Its row and version stay: an older record must not bring it back."""

S = TypeVar("S", bound=State)


def keep(
    handle: Handlers,
    body: type[S],
    table: Table,
    then: Callable[[Transaction, Sequence[S]], Awaitable[None]] | None = None,
    **renamed: str,
) -> None:
    """Register the handler that keeps one row of `table` for each entity of a state topic.

    The table has the entity's id as its key, and a `version`. Every other column takes the field of its own name, or
    the one that `renamed` says (column=field). `then` is called in the same transaction with what is true now.
    """
    (key,) = table.primary_key.columns
    save = newer(insert(table), table, "version")
    fields = {column.name: renamed.get(column.name, column.name) for column in table.columns}
    del fields[key.name], fields["version"]

    @handle.state(body)
    async def changed(tx: Transaction, changes: Sequence[Change[S]]) -> None:
        rows = [
            {
                key.name: UUID(change.entity_id),
                "version": change.version,
                **{column: getattr(change.now, field) for column, field in fields.items()},
            }
            for change in changes
            if change.now is not None
        ]
        if rows:
            # One order for everybody: two workers that save the same rows never wait for each other in a circle.
            ordered = sorted(rows, key=lambda row: str(row[key.name]))
            await tx.execute(save, ordered)
        for change in changes:
            if change.now is None:
                same = (key == UUID(change.entity_id)) & (table.c.version < change.version)
                await tx.execute(update(table).where(same).values(version=change.version, **_blank(table, fields)))
        if then is not None and rows:
            await then(tx, [change.now for change in changes if change.now is not None])


def _blank(table: Table, columns: Iterable[str]) -> dict[str, object]:
    """Return what stands in the row of a deleted entity: its status, or no personal data where it has none."""
    if "status" in table.columns:
        return {"status": GONE}
    return {name: "" for name in columns if isinstance(table.c[name].type, Text)}


def newer(statement: Any, table: Any, version: str) -> Any:
    """Make an insert replace the row it meets, if that row's version is lower."""
    keys = [column.name for column in table.primary_key]
    others = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(
        index_elements=keys, set_=others, where=table.c[version] < statement.excluded[version]
    )


async def load_community(tx: Transaction, community_id: str, version: int | None = None) -> Community | None:
    """Return one version of a community, or its current one; None if it has not been heard of.

    The current one is the highest, whatever is said of each: a record may still come, or be parked.
    """
    if version is None:
        version = await tx.value(select(func.max(community.c.version)).where(community.c.id == community_id))
    known: Community | None = tx.memory.get((community_id, version))
    if known is None and version is not None:
        definition = await tx.value(
            select(community.c.definition).where(community.c.id == community_id, community.c.version == version)
        )
        if definition is not None:
            known = tx.memory[community_id, version] = _community(definition)
    return known


async def list_communities(tx: Transaction) -> list[Community]:
    """Return the current version of every community, by id."""
    rows = await tx.rows(
        select(community.c.definition)
        .ext(distinct_on(community.c.id))
        .order_by(community.c.id, community.c.version.desc())
    )
    return [_community(row.definition) for row in rows]


def _community(definition: Any) -> Community:
    # A file with an unknown word is a fault; a definition with one comes from a directory younger than this reader.
    return Community.model_validate(definition, extra="ignore")
