"""The two replicas that every service keeps alike: token keys and communities.

Each is fed from the directory's state topic and answered from the service's own database, so a
service judges and verifies with the directory down.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert

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


def newer(statement: Any, table: Any, version: str) -> Any:
    """Make an insert replace the row it meets, if that row's version is lower."""
    keys = [column.name for column in table.primary_key]
    others = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(
        index_elements=keys, set_=others, where=table.c[version] < statement.excluded[version]
    )


async def load_community(tx: Transaction, community_id: str, version: int | None = None) -> Community | None:
    """Return one version of a community, or its current one; None if it has not been heard of."""
    if version is None:
        # The highest: an end of the one before may not have been heard yet.
        version = await tx.value(
            select(func.max(community.c.version)).where(community.c.id == community_id, community.c.current)
        )
    known: Community | None = tx.memory.get((community_id, version))
    if known is None and version is not None:
        definition = await tx.value(
            select(community.c.definition).where(community.c.id == community_id, community.c.version == version)
        )
        if definition is not None:
            known = tx.memory[community_id, version] = Community.model_validate(definition)
    return known


async def list_communities(tx: Transaction) -> list[Community]:
    """Return the current version of every community, by id."""
    rows = await tx.rows(
        select(community.c.definition)
        .ext(distinct_on(community.c.id))
        .where(community.c.current)
        .order_by(community.c.id, community.c.version.desc())
    )
    return [Community.model_validate(row.definition) for row in rows]
