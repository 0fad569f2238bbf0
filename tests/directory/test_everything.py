"""The full state is said once more from the directory's own rows, exactly as it was said before."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select

from services.directory import tables, usecases
from services.directory.usecases import everything, places
from shared.ids import ScopeId
from shared.tables import outbox
from shared.testing.waiting import someone_waits_for_a_lock
from tests.directory.desk import Desk


async def _said(desk: Desk) -> dict[tuple[str, str], tuple[int, Any, str]]:
    """Return the latest state of every entity: version, body and scope, by topic and key."""
    async with desk.db.begin() as tx:
        rows = await tx.rows(
            select(outbox).where(outbox.c.entity_version.is_not(None)).order_by(outbox.c.entity_version)
        )
    return {
        (row.topic, row.key): (row.entity_version, json.loads(row.body) if row.body else None, str(row.scope_id))
        for row in rows
    }


async def _say_all(desk: Desk) -> None:
    for kind in usecases.KINDS:
        after = None
        while True:
            async with desk.db.begin() as tx:
                after = await usecases.say_everything(tx, kind, after, by="ann")
            if after is None:
                break


@pytest.fixture
async def full(desk: Desk) -> Desk:
    """A directory with something of everything, something ended among it."""
    organization = await desk.organization()
    official = organization.applicant.person_id
    group = await desk.group(organization)
    user = await desk.joined(organization, group)
    await desk.entitled(group, official)
    await desk.entitled(user, official)
    await desk.practitioner()
    await desk.end(user, user.applicant.person_id)
    return desk


async def test_everything_is_said_again_with_the_versions_that_it_has(
    full: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everything, "AT_ONCE", 2)  # In several slices, each from where the last one ended.
    before = await _said(full)
    async with full.db.begin() as tx:
        await tx.execute(delete(outbox))
    await _say_all(full)
    after = await _said(full)
    assert after == before
    assert {topic for topic, _ in after} == {"iacs.directory.state.v1", "iacs.directory.people.v1"}
    async with full.db.begin() as tx:
        assert not await tx.rows(select(outbox.c.id).where(outbox.c.sequence.is_not(None)))  # No event is invented.


async def test_who_changes_a_row_meanwhile_says_so_after_and_not_before(full: Desk) -> None:
    (organization,) = [
        key for topic, key in await _said(full) if topic.endswith("state.v1") and key in await _ids(full)
    ]
    async with full.db.begin() as tx:
        await usecases.say_everything(tx, "organization", None, by="ann")
        closing = asyncio.create_task(_close(full, organization))
        await someone_waits_for_a_lock(full.db)
    await closing
    async with full.db.begin() as tx:
        rows = await tx.rows(
            select(outbox.c.entity_version)
            .where(outbox.c.key == organization, outbox.c.entity_version.is_not(None))
            .order_by(outbox.c.position)
        )
    assert [row.entity_version for row in rows] == [1, 1, 2]


async def _ids(desk: Desk) -> set[str]:
    return {str(row.id) for row in await desk.rows(tables.organization)}


async def _close(desk: Desk, organization_id: str) -> None:
    async with desk.db.begin() as tx:
        row = await tx.one(select(tables.organization).where(tables.organization.c.id == UUID(organization_id)))
        assert row is not None
        await places.end_organization(tx, ScopeId(row.id), by=None)
