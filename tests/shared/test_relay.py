"""The relay on a real Kafka: everything that was committed, once under one id, in order, in contiguous numbers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from aiokafka.partitioner import DefaultPartitioner
from prometheus_client import REGISTRY
from sqlalchemy import func, select, update

from shared import outbox, relay
from shared.contracts import approval, directory
from shared.database import Database
from shared.ids import new_id
from shared.kafka import Kafka
from shared.platform import kafka
from shared.platform.stack import Stack
from shared.relay import Relay
from shared.tables import outbox as table
from shared.testing.records import Tail, attributes_of, tail
from shared.testing.waiting import someone_waits_for_a_lock, until, until_true
from tests.conftest import PARTITION_COUNT
from tests.shared.builders import a_request_expired, an_account

PARTITIONS = [0, 1]


@pytest.fixture
async def log(stack: Stack) -> AsyncIterator[Tail]:
    """What comes onto approval's topic while a test runs."""
    async with tail(stack.kafka.servers, approval.TOPIC) as listening:
        yield listening


@asynccontextmanager
async def relaying(stack: Stack, database: Database, service: str = "approval") -> AsyncIterator[Relay]:
    """A relay, for as long as the block lasts."""
    one = Relay(service, database, Kafka(stack.kafka.servers), partition_count=PARTITION_COUNT)
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def say(database: Database, scope: UUID, *versions: int) -> list[UUID]:
    """Announce these in one transaction; return their ids."""
    async with database.begin() as tx:
        return [
            outbox.announce(tx, scope=scope, subject=scope, event=a_request_expired(scope, scope, version=version))
            for version in versions
        ]


async def all_is_sent(database: Database) -> None:
    async def nothing_is_unsent() -> bool:
        async with database.begin() as tx:
            return bool(await tx.value(select(func.count()).where(table.c.sent_at.is_(None))) == 0)

    await until(nothing_is_unsent)


async def end_the_leaders_connection(database: Database) -> None:
    """End it from the server's side. There is exactly one."""
    async with database.begin() as tx:
        ended = await tx.raw.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = $1"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            relay._LEADER_CLASS,
        )
    assert ended == 1


def two_scopes_of_one_partition() -> tuple[UUID, UUID]:
    first, second, third = new_id(), new_id(), new_id()
    by_number = {_partition_of(one): one for one in (first, second)}
    return (first, second) if len(by_number) == 1 else (by_number[_partition_of(third)], third)


def _partition_of(scope: UUID) -> int:
    return int(DefaultPartitioner()(str(scope).encode(), PARTITIONS, PARTITIONS))


def said(record: Any) -> tuple[int, int]:
    """Return which one it is, and the number it got."""
    version = approval.RequestExpired.model_validate_json(record.value).version
    return version, int(attributes_of(record)["sequence"])


def in_order(records: list[Any]) -> list[Any]:
    return sorted(records, key=lambda record: record.offset)


def on_the_wire(record: Any) -> tuple[object, ...]:
    return record.topic, record.partition, record.key, record.value, tuple(record.headers)


# --- Order and numbers ----------------------------------------------------------------------------


async def test_a_transaction_that_is_held_open_is_never_skipped(stack: Stack, database: Database, log: Tail) -> None:
    scope = new_id()
    async with relaying(stack, database):
        async with database.begin() as held:
            event = a_request_expired(scope, scope, version=1)
            outbox.announce(held, scope=scope, subject=scope, event=event)
            await outbox.flush(held)  # The first has its row and its place in the order, but has not committed ...
            held.outbox.clear()
            await say(database, scope, 2)
            await log.records(scope, expected_count=1)  # ... when the second has already left.
        records = await log.records(scope, expected_count=2)

    assert [said(record) for record in in_order(records)] == [(2, 1), (1, 2)]


async def test_many_writers_of_one_scope_get_contiguous_numbers_in_the_logs_order(
    stack: Stack, databases: Any, log: Tail
) -> None:
    scope, other = new_id(), new_id()
    database = await asyncio.to_thread(databases.open, "approval", pool_size=12)
    await database.start()
    async with relaying(stack, database):
        ids = await asyncio.gather(*(say(database, scope, n, n) for n in range(1, 101)), say(database, other, 1))
        records = await log.records(scope, other, expected_count=201)
    await database.close()

    ours = in_order([record for record in records if attributes_of(record)["partitionkey"] == str(scope)])
    assert [said(record)[1] for record in ours] == list(range(1, 201))
    assert {attributes_of(record)["id"] for record in records} == {str(one) for some in ids for one in some}
    assert {record.partition for record in ours} == {DefaultPartitioner()(str(scope).encode(), PARTITIONS, PARTITIONS)}
    assert {record.key for record in ours} == {str(scope).encode()}


async def test_numbers_go_on_where_a_former_leader_left_them(stack: Stack, database: Database, log: Tail) -> None:
    scope = new_id()
    for n in (1, 2, 3):
        async with relaying(stack, database):
            await say(database, scope, n)
            await log.records(scope, expected_count=n)
            await all_is_sent(database)
        async with database.begin() as tx:  # Receipts are kept for a while only; numbers must not begin again.
            await tx.execute(table.delete())

    assert [said(record) for record in in_order(await log.records(scope, expected_count=3))] == [(1, 1), (2, 2), (3, 3)]


async def test_each_source_is_counted_by_itself(stack: Stack, database: Database, log: Tail) -> None:
    one, other = new_id(), new_id()
    async with relaying(stack, database):
        await say(database, one, 1, 2)
        await say(database, other, 1)
        records = await log.records(one, other, expected_count=3)

    assert sorted((attributes_of(record)["source"], said(record)) for record in records) == sorted(
        [
            (f"/iacs/iacs.approval.v1/scopes/{one}", (1, 1)),
            (f"/iacs/iacs.approval.v1/scopes/{one}", (2, 2)),
            (f"/iacs/iacs.approval.v1/scopes/{other}", (1, 1)),
        ]
    )


async def test_more_than_a_batch_leaves_in_order(
    stack: Stack, database: Database, log: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 7)
    scope = new_id()
    await say(database, scope, *range(1, 51))
    async with relaying(stack, database):
        records = await log.records(scope, expected_count=50)

    assert [said(record) for record in in_order(records)] == [(n, n) for n in range(1, 51)]


async def test_state_records_say_up_to_which_event_they_tell(
    stack: Stack, database_of: Callable[[str], Awaitable[Database]]
) -> None:
    database = await database_of("directory")
    scope, person = new_id(), new_id()

    def ended() -> directory.GrantRefused:
        event = a_request_expired(scope_id=scope)
        return directory.GrantRefused(
            request_id=event.request_id,
            round=1,
            scope_id=event.scope_id,
            reason="closed",
            refused_at=event.expired_at,
        )

    async with tail(stack.kafka.servers, directory.TOPIC, directory.STATE_TOPIC) as log:
        # State, events, state again, all of one scope: three commits.
        async with database.begin() as tx:
            outbox.publish_state(tx, scope=scope, entity=person, version=1, state=an_account(person))
        async with database.begin() as tx:
            outbox.publish_state(tx, scope=scope, entity=person, version=2, state=an_account(person))
            for _ in range(3):
                outbox.announce(tx, scope=scope, subject=new_id(), event=ended())
        async with database.begin() as tx:
            outbox.announce(tx, scope=scope, subject=new_id(), event=ended())
        async with database.begin() as tx:
            outbox.publish_state(tx, scope=scope, entity=person, version=3, state=an_account(person))
        async with relaying(stack, database, "directory"):
            records = await log.records(scope, expected_count=7)

    states = in_order([record for record in records if record.topic == directory.STATE_TOPIC])
    assert [
        (attributes_of(record)["entityversion"], int(attributes_of(record)["asofsequence"])) for record in states
    ] == [("1", 0), ("2", 3), ("3", 4)]
    assert {record.key for record in states} == {str(person).encode()}
    assert {record.partition for record in records} == {
        DefaultPartitioner()(str(scope).encode(), PARTITIONS, PARTITIONS)
    }
    assert all("sequence" not in attributes_of(record) for record in states)
    events = in_order([record for record in records if record.topic == directory.TOPIC])
    assert [int(attributes_of(record)["sequence"]) for record in events] == [1, 2, 3, 4]


async def test_what_was_rolled_back_is_never_published(stack: Stack, database: Database, log: Tail) -> None:
    scope = new_id()
    async with relaying(stack, database):
        with pytest.raises(KeyError):
            async with database.begin() as tx:
                outbox.announce(tx, scope=scope, subject=scope, event=a_request_expired(scope, scope, version=1))
                await outbox.flush(tx)
                raise KeyError
        await say(database, scope, 2)
        records = await log.records(scope, expected_count=1)

    assert [said(record) for record in records] == [(2, 1)]


# --- Leaders --------------------------------------------------------------------------------------


async def test_one_relay_leads_and_the_other_takes_over_when_its_connection_dies(
    stack: Stack, database: Database, log: Tail
) -> None:
    scope = new_id()
    first, second = (
        Relay("approval", database, Kafka(stack.kafka.servers), partition_count=PARTITION_COUNT) for _ in range(2)
    )
    leading = asyncio.create_task(first.run())
    await until_true(lambda: first.is_leader)
    waiting = asyncio.create_task(second.run())
    ids = await say(database, scope, *range(1, 11))
    await log.records(scope, expected_count=10)
    assert not second.is_leader

    async def write(n: int) -> None:
        ids.extend(await say(database, scope, n))

    writing = asyncio.gather(*(write(n) for n in range(11, 61)))
    await end_the_leaders_connection(database)
    leading.cancel()  # The process is gone as well.
    await writing
    await until_true(lambda: second.is_leader)
    await all_is_sent(database)
    records = in_order(await log.records(scope, expected_count=60))
    waiting.cancel()
    await asyncio.gather(leading, waiting, return_exceptions=True)

    by_id: dict[str, set[tuple[object, ...]]] = {}
    for record in records:
        by_id.setdefault(attributes_of(record)["id"], set()).add(on_the_wire(record))
    assert set(by_id) == {str(one) for one in ids}
    assert all(len(copies) == 1 for copies in by_id.values()), "a repeat is the same bytes"
    numbers = [said(record)[1] for record in records]
    assert list(dict.fromkeys(numbers)) == list(range(1, 61)), "the first of each number comes in order"


async def test_a_leader_that_lost_its_connection_leads_again(stack: Stack, database: Database, log: Tail) -> None:
    scope = new_id()
    async with relaying(stack, database) as one:
        await say(database, scope, 1)
        await log.records(scope, expected_count=1)
        await all_is_sent(database)
        await end_the_leaders_connection(database)
        await say(database, scope, 2)
        records = await log.records(scope, expected_count=2)
        await until_true(lambda: one.is_leader)

    assert [said(record) for record in in_order(records)] == [(1, 1), (2, 2)]


async def test_a_relay_ends_when_it_is_told_to_even_if_its_connection_dies_at_that_moment(
    stack: Stack, database: Database
) -> None:
    one = Relay("approval", database, Kafka(stack.kafka.servers), partition_count=PARTITION_COUNT)
    task = asyncio.create_task(one.run())
    async with database.begin() as tx:
        await tx.raw.execute("LOCK TABLE outbox_source")
        await say(database, new_id(), 1)
        await someone_waits_for_a_lock(database)  # The relay, in the middle of a transaction.
        # Not awaited: nothing else here runs until both have happened.
        stack.postgres.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"  # noqa: S608 - the name is ours.
            f" WHERE datname = '{database.url.database}' AND wait_event_type = 'Lock'"
        )
        task.cancel()
        ended, _ = await asyncio.wait([task], timeout=60)

    assert ended, "it leads on, and the process that waits for it never ends"


# --- Sending again ----------------------------------------------------------------------------------


async def test_a_kill_between_acknowledgement_and_receipt_sends_the_same_bytes_again(
    stack: Stack, database: Database, log: Tail
) -> None:
    scope = new_id()
    async with relaying(stack, database):
        await say(database, scope, 1, 2)
        await log.records(scope, expected_count=2)
        await all_is_sent(database)
    async with database.begin() as tx:
        await tx.execute(update(table).values(sent_at=None, sent_partition=None, sent_offset=None))
    async with relaying(stack, database):
        await say(database, scope, 3)
        records = in_order(await log.records(scope, expected_count=5))

    assert [said(record) for record in records] == [(1, 1), (2, 2), (1, 1), (2, 2), (3, 3)]
    assert [on_the_wire(record) for record in records[:2]] == [on_the_wire(record) for record in records[2:4]]


@pytest.mark.parametrize("where", ["beyond the end", "in the place of a younger one"])
async def test_what_the_log_has_lost_is_sent_again(stack: Stack, database: Database, log: Tail, where: str) -> None:
    scope = new_id()
    async with relaying(stack, database):
        await say(database, scope, 1, 2, 3)
        await log.records(scope, expected_count=3)
        await all_is_sent(database)
    async with database.begin() as tx:
        # As PostgreSQL remembers it after Kafka's disk has lost the end of its log.
        lost = update(table).where(table.c.sequence == 2)
        if where == "beyond the end":
            await tx.execute(lost.values(sent_offset=table.c.sent_offset + 1_000_000))
        else:
            await tx.execute(lost.values(sent_offset=table.c.sent_offset + 1))
    # From the cut on all goes again: a compacted topic must not end with what is older.
    again = 2 * ([(2, 2)] if where == "beyond the end" else [(2, 2), (3, 3)])
    async with relaying(stack, database):
        records = in_order(await log.records(scope, expected_count=3 + len(again)))
        await all_is_sent(database)

    assert [said(record) for record in records] == [(1, 1), (2, 2), (3, 3), *again]
    assert on_the_wire(records[1]) == on_the_wire(records[3])
    async with relaying(stack, database):
        await say(database, scope, 4)
        records = in_order(await log.records(scope, expected_count=4 + len(again)))
    assert said(records[-1]) == (4, 4), "and nothing is sent a third time"


async def test_a_log_that_is_cut_under_a_leading_relay_is_noticed_with_the_next_receipt(
    stack: Stack, database: Database, log: Tail
) -> None:
    scope = new_id()
    async with relaying(stack, database) as one:
        await say(database, scope, 1, 2)
        await all_is_sent(database)
        async with database.begin() as tx:
            # The log grows again where something of ours stood: the next receipt names a place that is taken.
            await tx.execute(update(table).where(table.c.sequence == 2).values(sent_offset=table.c.sent_offset + 1))
            (row,) = await tx.rows(select(table).where(table.c.sequence == 2))
        one._highest[row.topic, row.sent_partition] = row.sent_offset
        await say(database, scope, 3)
        records = in_order(await log.records(scope, expected_count=7))
        await all_is_sent(database)

    assert [said(record)[0] for record in records] == [1, 2, 3, 2, 3, 2, 3]


async def test_what_was_lost_comes_once_more_behind_the_place_that_it_has_filled(
    stack: Stack, database: Database, log: Tail
) -> None:
    # Who had read some of it before it was lost reads on at a place where now something else may lie.
    scope, other = two_scopes_of_one_partition()
    async with relaying(stack, database):
        await say(database, scope, 1, 2)
        await say(database, other, 3)
        await log.records(scope, other, expected_count=3)
        await all_is_sent(database)
    async with database.begin() as tx:
        await tx.execute(update(table).values(sent_offset=table.c.sent_offset + 1_000_000))
    async with relaying(stack, database):
        records = in_order(await log.records(scope, other, expected_count=9))
        await all_is_sent(database)

    told = [said(record)[0] for record in records]
    assert [sorted(told[n : n + 3]) for n in (0, 3, 6)] == [[1, 2, 3]] * 3
    assert [version for version in told if version != 3] == [1, 2] * 3


async def test_an_announcement_again_is_the_same_bytes_and_at_most_so_many(
    stack: Stack, database: Database, log: Tail
) -> None:
    scope = new_id()
    answers = []
    async with relaying(stack, database):
        (event_id,) = await say(database, scope, 1)
        for _ in range(4):
            await all_is_sent(database)
            async with database.begin() as tx:
                answers.append(await outbox.resend(tx, event_id, at_most=3))
        await say(database, scope, 2)
        records = in_order(await log.records(scope, expected_count=5))

    assert answers == [outbox.Resent.AGAIN] * 3 + [outbox.Resent.ENOUGH]
    assert [said(record) for record in records] == [(1, 1), (1, 1), (1, 1), (1, 1), (2, 2)]
    assert len({on_the_wire(record) for record in records}) == 2


async def test_nothing_later_of_a_scope_leaves_before_what_could_not_be_sent(
    stack: Stack, database: Database, log: Tail
) -> None:
    scope, other = new_id(), new_id()
    for one in (scope, other):
        await say(database, one, 1, 2)
    first = select(table.c.id).where(table.c.scope_id == scope).order_by(table.c.position).limit(1).scalar_subquery()
    async with database.begin() as tx:
        good = await tx.value(select(table.c.body).where(table.c.id == first))
        # Kafka refuses a record of this size.
        await tx.execute(update(table).where(table.c.id == first).values(body='{"x": "' + "x" * 300_000 + '"}'))

    async with relaying(stack, database):
        await log.records(other, expected_count=2)
        assert await log.records(scope, expected_count=0) == []
        async with database.begin() as tx:
            numbered = select(table.c.sequence).where(table.c.scope_id == scope).order_by(table.c.position)
            assert [row.sequence for row in await tx.rows(numbered)] == [1, 2], "numbers are committed before sends"
            await tx.execute(update(table).where(table.c.id == first).values(body=good))
        records = in_order(await log.records(scope, expected_count=2))
        await all_is_sent(database)

    assert [said(record) for record in records] == [(1, 1), (2, 2)]


async def test_what_is_numbered_while_others_are_sent_does_not_overtake_what_could_not_be_sent(
    stack: Stack, database: Database, log: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 2)
    scope = new_id()
    await say(database, scope, *range(1, 8))
    nth = select(table.c.id).where(table.c.scope_id == scope).order_by(table.c.position).limit(1)
    third = nth.offset(2).scalar_subquery()
    async with database.begin() as tx:
        good = await tx.value(select(table.c.body).where(table.c.id == third))
        await tx.execute(update(table).where(table.c.id == third).values(body='{"x": "' + "x" * 300_000 + '"}'))

    async def more_are_numbered_than_were_to_be_sent() -> bool:
        async with database.begin() as tx:
            return bool(await tx.value(select(func.count()).where(table.c.sequence.is_not(None))) > 4)

    async with relaying(stack, database):
        await until(more_are_numbered_than_were_to_be_sent)
        assert len(await log.records(scope, expected_count=2)) == 2
        async with database.begin() as tx:
            await tx.execute(update(table).where(table.c.id == third).values(body=good))
        records = in_order(await log.records(scope, expected_count=7))

    assert [said(record) for record in records] == [(n, n) for n in range(1, 8)]


async def test_a_broker_that_cannot_be_reached_is_waited_for(stack: Stack, database: Database, log: Tail) -> None:
    scope = new_id()
    tries: list[None] = []

    class Counted(Relay):
        async def _lead(self) -> None:
            tries.append(None)
            await super()._lead()

    one = Counted("approval", database, Kafka("127.0.0.1:1"), partition_count=PARTITION_COUNT)
    task = asyncio.create_task(one.run())
    await say(database, scope, 1)
    await until_true(lambda: len(tries) > 2)  # It has tried, given the lead back, and tried again.
    one._kafka = Kafka(stack.kafka.servers)
    records = await log.records(scope, expected_count=1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert [said(record) for record in records] == [(1, 1)]


async def test_a_broker_that_falls_silent_under_a_send_is_told_of_once_and_until_it_acknowledges_again(
    stack: Stack,
    database: Database,
    log: Tail,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def is_reachable() -> bool:
        return REGISTRY.get_sample_value("iacs_broker_reachable") == 1

    monkeypatch.setattr(relay, "COMPARE_SECONDS", 3600.0)  # To ask for the log's end is to give up some time.
    port = stack.kafka.port
    assert port is not None
    scope = new_id()
    async with relaying(stack, database) as one:
        await say(database, scope, 1)
        await log.records(scope, expected_count=1)
        await all_is_sent(database)
        assert is_reachable()
        monkeypatch.setattr(relay, "SILENCE_SECONDS", 0.2)
        stack.kafka.pause()
        try:
            await say(database, scope, 2)
            await until_true(lambda: not is_reachable())
            assert one.is_leader, "the send still waits"
            assert not await asyncio.to_thread(kafka.is_ready, port)  # The silence goes on meanwhile.
        finally:
            stack.kafka.resume()
        records = await log.records(scope, expected_count=2)
        await until_true(is_reachable)
        assert one.is_leader

    assert [said(record) for record in in_order(records)] == [(1, 1), (2, 2)]
    told = [line for line in caplog.records if "the broker does not answer" in line.getMessage()]
    assert [line.levelname for line in told] == ["WARNING"]


async def test_a_broker_that_tells_of_some_partitions_only_is_waited_for(
    stack: Stack, database: Database, log: Tail
) -> None:
    scope = new_id()
    one = Relay("approval", database, Kafka(stack.kafka.servers), partition_count=PARTITION_COUNT + 1)
    task = asyncio.create_task(one.run())
    await say(database, scope, 1)
    for _ in range(2):  # It has led, and given the lead back, and again.
        await until_true(lambda: one.is_leader)
        await until_true(lambda: not one.is_leader)
    async with database.begin() as tx:
        sent = await tx.value(select(func.count()).select_from(table).where(table.c.sent_at.is_not(None)))
    assert sent == 0, "sent by a wrong count, it would lie out of its scope's order"
    one._partition_count = PARTITION_COUNT
    assert [said(record) for record in await log.records(scope, expected_count=1)] == [(1, 1)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
