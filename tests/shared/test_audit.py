"""The record: chained in the order it was written, so that whoever walks the chain finds what was changed."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from shared import audit
from shared.database import Database
from shared.ids import new_id
from shared.tables import audit as table


async def act(database: Database, *names: str) -> None:
    for name in names:
        async with database.begin() as tx:
            audit.record(tx, actor=new_id(), act=name, subject=new_id(), scope=new_id(), version=3)


async def seal(database: Database) -> int:
    async with database.begin() as tx:
        return await audit.seal(tx)


async def sealed(database: Database) -> Sequence[Any]:
    async with database.begin() as tx:
        return await tx.rows(select(table).where(table.c.number.is_not(None)).order_by(table.c.number))


async def test_acts_are_chained_in_the_order_they_were_written(database: Database) -> None:
    await act(database, "a", "b")
    assert await sealed(database) == []

    assert await seal(database) == 2
    await act(database, "c", "d")
    assert await seal(database) == 2
    assert await seal(database) == 0

    rows = await sealed(database)
    assert [(row.number, row.act) for row in rows] == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
    assert rows[0].detail == {"version": "3"}
    assert audit.first_broken(rows) is None


async def test_acts_of_one_transaction_keep_their_order(database: Database) -> None:
    async with database.begin() as tx:
        for name in "abcdefgh":
            audit.record(tx, actor="timer", act=name, subject=new_id())
    await seal(database)

    assert "".join(row.act for row in await sealed(database)) == "abcdefgh"


@pytest.mark.parametrize(
    ("column", "value"),
    [("actor", "mallory"), ("act", "other"), ("subject", "x"), ("scope_id", None), ("detail", {}), ("hash", bytes(32))],
)
async def test_a_changed_row_is_found(database: Database, column: str, value: object) -> None:
    await act(database, "a", "b", "c", "d")
    await seal(database)
    async with database.begin() as tx:
        await tx.execute(update(table).where(table.c.number == 3).values({column: value}))

    assert audit.first_broken(await sealed(database)) == 3


async def test_a_changed_moment_a_removed_row_and_an_inserted_row_are_found(database: Database) -> None:
    await act(database, "a", "b", "c", "d")
    await seal(database)
    rows = list(await sealed(database))
    async with database.begin() as tx:
        await tx.execute(update(table).where(table.c.number == 4).values(at=rows[0].at))
    assert audit.first_broken(await sealed(database)) == 4

    async with database.begin() as tx:
        await tx.execute(delete(table).where(table.c.number == 2))
    assert audit.first_broken(await sealed(database)) == 2

    async with database.begin() as tx:
        await tx.execute(update(table).where(table.c.number == 1).values(number=0))
    assert audit.first_broken(await sealed(database)) == 1

    assert audit.first_broken([*rows[:2], rows[0], *rows[2:]]) == 3
    assert audit.first_broken([rows[1], rows[0]]) == 1
    assert audit.first_broken(rows[1:]) == 1


async def test_a_second_sealer_leaves_the_work_to_the_first(database: Database) -> None:
    await act(database, "a", "b")

    async with database.begin() as first:  # Has numbered the rows but not committed ...
        assert await audit.seal(first) == 2
        assert await asyncio.wait_for(seal(database), 60) == 0  # ... when the second comes.
    await act(database, "c")
    await asyncio.gather(*(seal(database) for _ in range(5)))
    await seal(database)

    rows = await sealed(database)
    assert [row.number for row in rows] == [1, 2, 3]
    assert audit.first_broken(rows) is None


async def test_an_act_that_commits_late_is_sealed_late_and_the_chain_holds(database: Database) -> None:
    async with database.begin() as tx:
        await tx.raw.execute(
            "INSERT INTO audit (id, at, actor, act, subject, detail) VALUES ($1, now(), 'x', 'late', 'x', '{}')",
            new_id(),
        )
        await act(database, "early")
        assert await seal(database) == 1
    assert await seal(database) == 1

    rows = await sealed(database)
    assert [row.act for row in rows] == ["early", "late"]
    assert audit.first_broken(rows) is None


async def test_nothing_is_noted_of_an_act_that_was_undone(database: Database) -> None:
    with pytest.raises(KeyError):
        async with database.begin() as tx:
            audit.record(tx, actor="x", act="undone", subject=new_id())
            raise KeyError
    await seal(database)

    assert await sealed(database) == []
