"""The replicas that every service keeps: token keys and communities, as the directory's records tell them."""

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

import shared
from shared import replicas
from shared.contracts.directory import CommunityState, TokenKeyState
from shared.database import Database
from shared.delivery import Delivery, Handlers
from shared.ids import new_id
from shared.tables import community, token_key
from shared.testing.records import Record, record_of

DEFINITION = tomllib.loads((Path(shared.__path__[0]) / "communities" / "provider-supplier.toml").read_text())
HANDLERS = Handlers("toy")
replicas.follow(HANDLERS)


async def hear(database: Database, records: Sequence[Record]) -> None:
    async def no_wait(_seconds: float) -> None:
        raise AssertionError("the world is at fault")

    await Delivery(database, HANDLERS).take(records, wait=no_wait)


def a_community(version: int, *, current: bool, record_version: int = 1, community_id: str = "toy") -> Record:
    definition = {**DEFINITION, "id": community_id, "version": version, "name": f"Version {version}"}
    state = CommunityState(community_id=community_id, version=version, current=current, definition=definition)
    return record_of(state, subject=f"{community_id}@{version}", scope=new_id(), entity_version=record_version)


def a_key(kid: str, version: int, x: str) -> Record:
    now = datetime.now(UTC)
    state = TokenKeyState(kid=kid, jwk={"x": x}, not_before=now, not_after=now + timedelta(days=1))
    return record_of(state, subject=kid, scope=new_id(), entity_version=version)


async def test_each_version_of_a_community_is_kept_and_one_is_the_current(database: Database) -> None:
    await hear(database, [a_community(1, current=True)])
    await hear(database, [a_community(1, current=False, record_version=2), a_community(2, current=True)])

    async with database.begin() as tx:
        assert (await loaded(tx, None), await loaded(tx, 1), await loaded(tx, 2)) == (2, 1, 2)
        assert await replicas.load_community(tx, "toy", 3) is None
        assert await replicas.load_community(tx, "unknown") is None
        assert [(one.id, one.version) for one in await replicas.list_communities(tx)] == [("toy", 2)]


async def test_a_community_of_a_younger_directory_is_read_without_what_is_new_in_it(database: Database) -> None:
    kinds = [{**kind, "colour": "blue"} for kind in DEFINITION["kinds"]]
    definition = {**DEFINITION, "id": "toy", "version": 1, "kinds": kinds, "motto": "Care"}
    state = CommunityState(community_id="toy", version=1, current=True, definition=definition)
    await hear(database, [record_of(state, subject="toy@1", scope=new_id(), entity_version=1)])

    async with database.begin() as tx:
        read = await replicas.load_community(tx, "toy")
        assert read is not None
        assert [kind.code for kind in read.kinds] == [kind["code"] for kind in kinds]
        assert [one.id for one in await replicas.list_communities(tx)] == ["toy"]


async def test_an_older_record_changes_nothing(database: Database) -> None:
    await hear(database, [a_key("k1", 2, "new"), a_community(1, current=False, record_version=2)])
    await hear(database, [a_key("k1", 1, "old"), a_community(1, current=True, record_version=1)])

    async with database.begin() as tx:
        assert (await tx.rows(select(token_key.c.jwk, token_key.c.version))) == [({"x": "new"}, 2)]
        assert (await tx.rows(select(community.c.current, community.c.record_version))) == [(False, 2)]


@pytest.mark.parametrize(
    ("heard", "current"),
    [
        pytest.param([(1, True), (2, True)], 2, id="the end of the old one is still to come"),
        pytest.param([(1, False)], 1, id="the new one was parked"),
    ],
)
async def test_the_highest_version_is_the_current_one_whatever_is_said_of_each(
    database: Database, heard: list[tuple[int, bool]], current: int
) -> None:
    await hear(database, [a_community(version, current=is_current) for version, is_current in heard])

    async with database.begin() as tx:
        assert await loaded(tx, None) == current
        assert [one.version for one in await replicas.list_communities(tx)] == [current]


async def test_communities_are_listed_by_id(database: Database) -> None:
    await hear(database, [a_community(1, current=True, community_id=name) for name in ("toys", "arts", "food")])

    async with database.begin() as tx:
        assert [one.id for one in await replicas.list_communities(tx)] == ["arts", "food", "toys"]


@pytest.mark.parametrize("what", ["key", "community"])
async def test_a_tombstone_is_heard_and_harms_nothing(database: Database, what: str) -> None:
    record = a_key("k1", 2, "x") if what == "key" else a_community(1, current=True, record_version=2)
    await hear(database, [record, Record(record.topic, record.headers, None)])

    async with database.begin() as tx:
        assert len(await tx.rows(select(token_key.c.kid))) + len(await tx.rows(select(community.c.id))) <= 1


async def loaded(tx: object, version: int | None) -> int:
    found = await replicas.load_community(tx, "toy", version)  # type: ignore[arg-type]
    assert found is not None
    return found.version
