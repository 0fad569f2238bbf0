"""The worker on a real Kafka: it hears everything once, whatever is on the wire and whatever happens around it."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaConnectionError
from aiokafka.record.util import calc_crc32c
from sqlalchemy import func, insert, select, text, update

from shared import audit, delivery, slices, worker
from shared.contracts.directory import PEOPLE_TOPIC, PersonState
from shared.contracts.notification import TOPIC, NoticeSent
from shared.database import Database, Transaction
from shared.delivery import Change, Handlers
from shared.ids import PersonId, new_id
from shared.kafka import Kafka
from shared.platform.stack import Stack
from shared.tables import audit as audit_table
from shared.tables import inbox, outbox, parked, progress, replica
from shared.testing.records import Record, record_of
from shared.testing.waiting import someone_waits_for_a_lock, until, until_true
from shared.worker import CHORES_AT_ONCE, Chore, Errand, Worker
from tests.conftest import PARTITION_COUNT
from tests.shared.builders import NOW

LOCK_EFFECTS = text("LOCK TABLE toy_effect")


@dataclass
class Toy:
    """A service that notes the notices it hears of, in a group of its own."""

    stack: Stack
    database: Database
    consumer: str = field(default_factory=lambda: f"toy-{new_id()}")
    with_states: bool = False
    sent: list[UUID] = field(default_factory=list)

    @property
    def group(self) -> str:
        return f"iacs.{self.consumer}"

    def handlers(self) -> Handlers:
        handle = Handlers(self.consumer)

        @handle(NoticeSent)
        async def sent(tx: Transaction, it: NoticeSent) -> None:
            await tx.raw.execute("INSERT INTO toy_effect (notice_id) VALUES ($1)", it.notice_id)

        if self.with_states:

            @handle.state(PersonState)
            async def people(tx: Transaction, changes: Sequence[Change[PersonState]]) -> None:
                await tx.raw.executemany(
                    "INSERT INTO toy_effect (notice_id) VALUES ($1)", [[UUID(change.entity_id)] for change in changes]
                )

        return handle

    @asynccontextmanager
    async def working(
        self, *chores: Chore | Errand, servers: str | None = None, within_seconds: float = 60
    ) -> AsyncIterator[Worker]:
        """A worker, for as long as the block lasts. It must end when it is told to."""
        one = Worker(
            "approval",
            self.database,
            Kafka(servers or self.stack.kafka.servers),
            self.handlers(),
            chores,
            partition_count=PARTITION_COUNT,
        )
        task = asyncio.create_task(one.run())
        try:
            yield one
        finally:
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=within_seconds)
            assert done, "the worker does not end"

    async def send(self, *records: Record) -> None:
        """Put records on the wire, each header as it is."""
        producer = AIOKafkaProducer(bootstrap_servers=self.stack.kafka.servers)
        await producer.start()
        try:
            for record in records:
                await producer.send_and_wait(
                    record.topic, record.value, key=record.key, partition=record.partition, headers=list(record.headers)
                )
        finally:
            await producer.stop()

    async def effects(self) -> list[UUID]:
        async with self.database.begin() as tx:
            return [row[0] for row in await tx.raw.fetch("SELECT notice_id FROM toy_effect ORDER BY n")]

    async def heard(self, *notices: UUID) -> None:
        """Return when these have had their effect."""

        async def all_there() -> bool:
            return set(notices) <= set(await self.effects())

        await until(all_there, within_seconds=60)

    async def committed(self) -> dict[int, int]:
        """Return what the group has told Kafka of its progress."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.stack.kafka.servers, group_id=self.group)
        consumer.assign([TopicPartition(TOPIC, n) for n in (0, 1)])
        await consumer.start()
        try:
            return {n: await consumer.committed(TopicPartition(TOPIC, n)) or 0 for n in (0, 1)}
        finally:
            await consumer.stop()

    async def end_of(self, partition: int) -> int:
        """Return the offset behind the last record of a partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.stack.kafka.servers)
        await consumer.start()
        try:
            (end,) = (await consumer.end_offsets([TopicPartition(TOPIC, partition)])).values()
            return int(end)
        finally:
            await consumer.stop()

    async def members(self) -> list[Any]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.stack.kafka.servers)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([self.group])
            return list(answer.groups[0][5])
        finally:
            await admin.close()


@pytest.fixture
async def toy(stack: Stack, database: Database) -> AsyncIterator[Toy]:
    async with database.begin() as tx:
        await tx.raw.execute("CREATE TABLE toy_effect (n bigint GENERATED ALWAYS AS IDENTITY, notice_id uuid NOT NULL)")
    yield Toy(stack, database)
    # Nothing that a test has put on the wire is met by another test's worker.
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka.servers)
    await admin.start()
    await admin.delete_records({TopicPartition(TOPIC, n): RecordsToDelete(before_offset=-1) for n in (0, 1)})
    await admin.close()


def a_notice(partition: int = 0) -> Record:
    notice = new_id()
    event = NoticeSent(notice_id=notice, notice="toy", scope_id=notice, sent_at=NOW)
    record = record_of(event, subject=notice)
    return Record(record.topic, record.headers, record.value, partition=partition, key=record.key)


def id_of(record: Record) -> UUID:
    return NoticeSent.model_validate_json(record.value or b"").notice_id


# --- Hearing ----------------------------------------------------------------------------------------


async def test_what_is_on_the_wire_has_its_effect_once_and_is_acknowledged_after(toy: Toy) -> None:
    before = [a_notice(n % 2) for n in range(10)]
    await toy.send(*before)
    async with toy.working():
        await toy.heard(*map(id_of, before))
        later = [a_notice(n % 2) for n in range(10)]
        await toy.send(*later)
        await toy.heard(*map(id_of, later))

        async def all_is_acknowledged() -> bool:
            async with toy.database.begin() as tx:
                noted = {row.partition: row.next_offset for row in await tx.rows(select(progress))}
            return await toy.committed() == noted

        await until(all_is_acknowledged)
    async with toy.working():
        last = a_notice()
        await toy.send(last)
        await toy.heard(id_of(last))
    assert sorted(await toy.effects()) == sorted(map(id_of, [*before, *later, last]))


async def test_of_several_servers_one_that_answers_is_enough(toy: Toy) -> None:
    record = a_notice(0)
    await toy.send(record)
    async with toy.working(servers=f"127.0.0.1:1,{toy.stack.kafka.servers}"):
        await toy.heard(id_of(record))


async def test_nothing_is_acknowledged_before_its_effect_is_committed(toy: Toy) -> None:
    record = a_notice()
    async with toy.working():
        before = a_notice()
        await toy.send(before)
        await toy.heard(id_of(before))
        end = await toy.end_of(0)
        async with toy.database.begin() as tx:
            await tx.execute(LOCK_EFFECTS)
            await toy.send(record)
            await someone_waits_for_a_lock(toy.database)
            assert (await toy.committed())[0] <= end
        await toy.heard(id_of(record))


async def test_a_record_of_a_partition_that_comes_while_the_world_is_waited_for_is_not_passed_by(toy: Toy) -> None:
    one = Worker("approval", toy.database, Kafka(toy.stack.kafka.servers), toy.handlers(), partition_count=2)
    record = a_notice()
    await toy.send(record)
    place = TopicPartition(TOPIC, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=toy.stack.kafka.servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([place])
        end = await toy.end_of(0)
        consumer.pause = lambda *_: None  # As for a partition that came when the others had been paused.
        await one._back_off(consumer, 1.0)
        assert await consumer.position(place) == end - 1
    finally:
        await consumer.stop()


async def test_what_was_applied_but_not_acknowledged_has_no_second_effect(toy: Toy) -> None:
    records = [a_notice(n % 2) for n in range(6)]
    await toy.send(*records)
    async with toy.working():
        await toy.heard(*map(id_of, records))
    consumer = AIOKafkaConsumer(bootstrap_servers=toy.stack.kafka.servers, group_id=toy.group)
    await consumer.start()
    consumer.assign([TopicPartition(TOPIC, n) for n in (0, 1)])
    await consumer.commit({TopicPartition(TOPIC, n): 0 for n in (0, 1)})
    await consumer.stop()

    async with toy.working():
        last = a_notice()
        await toy.send(last)
        await toy.heard(id_of(last))

    assert sorted(await toy.effects()) == sorted(map(id_of, [*records, last]))


async def test_poison_on_the_wire_is_parked_and_its_neighbours_are_heard(toy: Toy) -> None:
    good = [a_notice() for _ in range(3)]
    poison = [
        a_notice().having("x-null", None),
        a_notice().having("x-latin", b"\xff\xfe"),
        a_notice().lacking("ce_id"),
        a_notice().having("ce_sequence", b"9" * 5000),
        a_notice().having("ce_subject", b"a\0b"),
        Record(TOPIC, a_notice().headers, b"{"),
        Record(TOPIC, a_notice().headers, None, key=b"k"),
        Record(TOPIC, [], b"no headers at all"),
        Record(TOPIC, [("content-type", b"application/cloudevents+json")], b"[" * 100_000),
    ]
    await toy.send(good[0], *poison[:4], good[1], *poison[4:], good[2])

    async with toy.working():
        await toy.heard(*map(id_of, good))

    assert await toy.effects() == [id_of(record) for record in good]
    async with toy.database.begin() as tx:
        rows = list(await delivery.list_parked(tx, consumer=toy.consumer))
    assert [row.value for row in rows] == [record.value for record in poison]
    assert "x-null" in rows[0].error
    assert "x-latin" in rows[1].error


# --- The database is gone -------------------------------------------------------------------------------


async def test_a_database_that_is_gone_is_waited_for_in_the_group_and_everything_is_heard_after(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "BACK_OFF_SECONDS", (0.05, 0.2))
    first, during, late = a_notice(0), a_notice(0), a_notice(1)
    await toy.send(first)
    async with toy.working() as one:
        await toy.heard(id_of(first))
        (member,) = await toy.members()
        name = str(toy.database.url.database)
        await asyncio.to_thread(toy.stack.postgres.psql, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await asyncio.to_thread(
            toy.stack.postgres.psql,
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608 - ours.
        )
        await toy.send(during)
        consumer = one._consumer
        await until_true(lambda: consumer.paused() == consumer.assignment() != set())
        await toy.send(late)
        assert one.is_alive
        assert [left[0] for left in await toy.members()] == [member[0]]

        await asyncio.to_thread(toy.stack.postgres.psql, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await toy.heard(*map(id_of, (first, during, late)))
        await until_true(lambda: consumer.paused() == set())
        assert [left[0] for left in await toy.members()] == [member[0]], "it never left the group"

    assert sorted(await toy.effects()) == sorted(map(id_of, (first, during, late)))
    async with toy.database.begin() as tx:
        assert await tx.value(select(func.count()).select_from(parked)) == 0


# --- Whether it lives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("does_listen", [False, True])
async def test_a_worker_without_a_broker_that_answers_is_alive(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, does_listen: bool
) -> None:
    monkeypatch.setattr(worker, "MAX_POLL_INTERVAL_SECONDS", 2)
    monkeypatch.setattr(worker, "START_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if does_listen else 1
        async with toy.working(servers=f"127.0.0.1:{port}") as one:
            began = time.monotonic()

            async def longer_than_two_intervals() -> bool:
                assert one.is_alive
                return time.monotonic() - began > 5

            await until(longer_than_two_intervals)


async def test_a_worker_is_dead_when_nothing_moves_for_two_intervals(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Worker(
        "approval", toy.database, Kafka(toy.stack.kafka.servers), toy.handlers(), partition_count=PARTITION_COUNT
    )
    assert one.is_alive

    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * worker.MAX_POLL_INTERVAL_SECONDS + 1)
    assert not one.is_alive
    one._delivery.moved_at = time.monotonic()  # It is in the middle of a long batch.
    assert one.is_alive


async def test_a_worker_that_has_lost_its_assignment_for_good_starts_anew(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = a_notice(), a_notice()
    await toy.send(first)
    async with toy.working() as one:
        await toy.heard(id_of(first))
        stuck = one._consumer
        monkeypatch.setattr(type(stuck), "assignment", lambda self: set() if self is stuck else ASSIGNMENT(self))
        # No poll that brings nothing counts as a move.
        monkeypatch.setattr(worker, "MAX_POLL_INTERVAL_SECONDS", 2)
        await until_true(lambda: one._consumer not in (None, stuck))
        await toy.send(second)
        await toy.heard(id_of(second))

    assert await toy.effects() == [id_of(first), id_of(second)]


ASSIGNMENT = AIOKafkaConsumer.assignment


async def test_a_client_whose_own_task_has_died_is_replaced_and_no_record_is_blamed_for_it(toy: Toy) -> None:
    first, second = a_notice(), a_notice()
    await toy.send(first)
    async with toy.working() as one:
        await toy.heard(id_of(first))
        dead = one._consumer
        coordinator = dead._coordinator
        coordinator._coordination_task.cancel()
        # As uvloop leaves it when a connection was closed under a write.
        coordinator._coordination_task = asyncio.get_running_loop().create_future()
        coordinator._coordination_task.set_exception(RuntimeError("the handler is closed"))
        await toy.send(second)
        await until_true(lambda: one._consumer not in (None, dead))
        await toy.heard(id_of(second))

    assert await toy.effects() == [id_of(first), id_of(second)]
    async with toy.database.begin() as tx:
        assert list(await delivery.list_parked(tx)) == []


@pytest.mark.parametrize("asked", ["getmany", "commit"])
async def test_a_client_that_never_answers_is_replaced(toy: Toy, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    first, second = a_notice(), a_notice()
    await toy.send(first)
    async with toy.working() as one:
        await toy.heard(id_of(first))
        monkeypatch.setattr(worker, "ANSWER_SECONDS", 1)
        stuck = one._consumer

        async def wait_for_ever(*_: object, **__: object) -> None:
            await asyncio.Event().wait()  # As for a coordinator, or an assignment, that never comes.

        monkeypatch.setattr(stuck, asked, wait_for_ever)
        await toy.send(second)
        await until_true(lambda: one._consumer not in (None, stuck))
        monkeypatch.setattr(worker, "ANSWER_SECONDS", 20)
        await toy.heard(id_of(second))

    assert await toy.effects() == [id_of(first), id_of(second)]


@pytest.mark.parametrize("asked", ["getmany", "commit"])
@pytest.mark.parametrize("error", [None, KafkaConnectionError()])
async def test_a_worker_ends_when_it_is_told_though_its_client_answers_at_that_very_moment(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, asked: str, error: Exception | None
) -> None:
    async with toy.working(within_seconds=30) as one:
        await toy.send(first := a_notice())
        await toy.heard(id_of(first))
        was_asked = asyncio.Event()

        async def take_it_for_its_own(*_: object, **__: object) -> dict[TopicPartition, list[Any]]:
            was_asked.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            if error:
                raise error
            return {}

        monkeypatch.setattr(one._consumer, asked, take_it_for_its_own)
        await toy.send(a_notice())
        await was_asked.wait()


async def put_a_header_name_that_is_no_text(stack: Stack, record: Record) -> None:
    """Put a record on the wire whose header name is bytes that no client can decode."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka.servers)
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.append(key=record.key, value=record.value, timestamp=None, headers=[("bad!", b"x")])
        batch.close()
        whole = bytearray(batch._build())
        name_at = whole.index(b"bad!")
        whole[name_at : name_at + 2] = b"\xff\xfe"
        struct.pack_into(">I", whole, 17, calc_crc32c(whole[21:]))  # The batch is sound; only the name is no text.
        batch._buffer = whole
        await (await producer.send_batch(batch, record.topic, partition=record.partition))
    finally:
        await producer.stop()


async def test_a_record_that_the_client_itself_cannot_read_is_parked_and_its_neighbours_are_heard(toy: Toy) -> None:
    before, beside, after = a_notice(), a_notice(partition=1), a_notice()
    bad = a_notice()
    await toy.send(before, beside)
    await put_a_header_name_that_is_no_text(toy.stack, bad)
    await toy.send(after)
    async with toy.working():
        await toy.heard(id_of(before), id_of(beside), id_of(after))
        end = await toy.end_of(partition=0)

    assert sorted(await toy.effects()) == sorted([id_of(before), id_of(beside), id_of(after)])
    async with toy.database.begin() as tx:
        (row,) = await delivery.list_parked(tx)
    assert (row.offset, row.error) == (end - 2, "unreadable: UnicodeDecodeError")


# --- Replicas -------------------------------------------------------------------------------------------


async def test_a_replica_is_complete_when_all_that_was_there_has_been_applied(toy: Toy) -> None:
    toy.with_states = True
    person = new_id()
    state = PersonState(person_id=PersonId(person), given_name="Ann", family_name="Lee", email="ann@example.com")
    await toy.send(record_of(state, subject=person, entity_version=1))

    async def complete() -> Any:
        async with toy.database.begin() as tx:
            return await tx.value(select(replica.c.complete_at).where(replica.c.topic == PEOPLE_TOPIC))

    async with toy.database.begin() as held:
        await held.execute(LOCK_EFFECTS)
        async with toy.database.begin() as tx:  # Sealed twice over: so long nobody calls the replica complete.
            audit.record(tx, actor="toy", act="a", subject=person)
        working = toy.working()
        await working.__aenter__()
        await someone_waits_for_a_lock(toy.database)  # The state is read, but not applied ...
        for act in ("b", "c"):
            await all_is_sealed(toy.database)
            async with toy.database.begin() as tx:
                audit.record(tx, actor="toy", act=act, subject=person)
        await all_is_sealed(toy.database)
        assert await complete() is None
    complete_at = await until(complete)  # ... until now.
    await working.__aexit__(None, None, None)

    assert person in await toy.effects()
    assert complete_at is not None


async def all_is_sealed(database: Database) -> None:
    async def nothing_is_open() -> bool:
        async with database.begin() as tx:
            return bool(await tx.value(select(func.count()).where(audit_table.c.number.is_(None))) == 0)

    await until(nothing_is_open)


# --- Chores -----------------------------------------------------------------------------------------------


async def test_a_chore_that_fails_is_tried_again_and_stops_no_other(toy: Toy) -> None:
    tries: list[str] = []

    async def fail(_tx: Transaction) -> int:
        tries.append("fail")
        raise KeyError

    async def errand() -> int:
        tries.append("errand")
        raise ConnectionRefusedError

    async with toy.working(Chore("fail", 0.01, fail), Errand("errand", 0.01, errand)):
        await until_true(lambda: min(tries.count("fail"), tries.count("errand")) >= 3)
        event = a_notice()
        await toy.send(event)
        await toy.heard(id_of(event))


async def test_chores_take_turns_so_that_a_start_needs_few_connections(toy: Toy) -> None:
    working, at_once, done = set[int](), list[int](), set[int]()

    def a_chore(number: int) -> Chore:
        async def work(tx: Transaction) -> int:
            working.add(number)
            at_once.append(len(working))
            await tx.execute(text("SELECT pg_sleep(0.01)"))
            working.remove(number)
            done.add(number)
            return 0

        return Chore(f"chore {number}", 3600, work)

    async with toy.working(*map(a_chore, range(12))):
        await until_true(lambda: len(done) == 12)
    assert max(at_once) == CHORES_AT_ONCE


async def test_a_chore_that_found_work_is_called_again_at_once_in_a_new_transaction(toy: Toy) -> None:
    left = [1, 1, 1, 0]
    transactions: set[int] = set()

    async def work(tx: Transaction) -> int:
        transactions.add(await tx.value(text("SELECT txid_current()")))
        return left.pop(0)

    async with toy.working(Chore("work", 3600, work)):
        await until_true(lambda: not left)
    assert len(transactions) == 4


async def test_a_worker_ends_when_it_is_told_to_even_in_the_middle_of_a_statement(toy: Toy) -> None:
    async def wait(tx: Transaction) -> int:
        await tx.execute(LOCK_EFFECTS)
        return 1

    async with toy.database.begin() as held:
        await held.execute(LOCK_EFFECTS)
        async with toy.working(Chore("wait", 3600, wait), within_seconds=20):
            await someone_waits_for_a_lock(toy.database)


async def add_receipts(tx: Transaction, *ages_days: int) -> None:
    """Add rows of the outbox that were sent so many days ago."""
    await tx.raw.executemany(
        "INSERT INTO outbox (id, topic, key, scope_id, type, subject, time, traceparent, sending_order, recorded_at,"
        " sent_at) VALUES ($1, 't', 'k', $1, 't', 's', now(), '', 1, now(), now() - $2::interval)",
        [(new_id(), timedelta(days=days)) for days in ages_days],
    )


async def ages_of_receipts(tx: Transaction) -> list[int]:
    """Return how many days ago what is still in the outbox was sent."""
    rows = await tx.rows(select((func.now() - outbox.c.sent_at).label("age")).order_by(outbox.c.sent_at.desc()))
    return [row.age.days for row in rows]


async def test_what_has_served_its_time_is_cleaned_up_and_the_rest_is_kept(database: Database) -> None:
    async with database.begin() as tx:
        await add_receipts(tx, 6, 8)
        unsent = {"topic": "t", "key": "k", "type": "t", "subject": "s", "traceparent": "", "time": NOW}
        await tx.execute(insert(outbox).values(id=new_id(), scope_id=new_id(), **unsent))
        await tx.execute(
            insert(inbox), [{"consumer": "t", "event_id": name, "topic": "t"} for name in ("old", "young")]
        )
        for name, days in (("old", 396), ("young", 394)):
            seen_at = func.now() - timedelta(days=days)
            await tx.execute(update(inbox).where(inbox.c.event_id == name).values(seen_at=seen_at))

        for age_days, state in ((396, "replayed"), (394, "discarded"), (None, "parked")):
            resolved_at = None if age_days is None else func.now() - timedelta(days=age_days)
            await tx.execute(
                insert(parked).values(
                    id=new_id(),
                    consumer="t",
                    topic="t",
                    partition=0,
                    offset=0,
                    digest=state.encode(),
                    headers=[],
                    error="",
                    state=state,
                    resolved_at=resolved_at,
                )
            )

        assert await worker.clean_up(tx) == 0

        assert await tx.value(select(func.count()).select_from(outbox)) == 2
        kept = await tx.rows(select(parked.c.state).order_by(parked.c.state))
        assert [row.state for row in kept] == ["discarded", "parked"]
        assert [row.event_id for row in await tx.rows(select(inbox.c.event_id))] == ["young"]


async def test_what_has_served_its_time_goes_in_slices_the_oldest_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "AT_ONCE", 2)
    async with database.begin() as tx:
        await add_receipts(tx, 9, 6, 12, 8, 5, 11, 10)
        await tx.execute(
            insert(inbox),
            [{"consumer": "t", "event_id": name, "topic": "t"} for name in ("one", "two", "three", "young")],
        )
        old = update(inbox).where(inbox.c.event_id != "young")
        await tx.execute(old.values(seen_at=func.now() - timedelta(days=396)))

    counts, ages = [], []
    for _ in range(3):
        async with database.begin() as tx:
            counts.append(await worker.clean_up(tx))
            ages.append(await ages_of_receipts(tx))

    assert ages == [[5, 6, 8, 9, 10], [5, 6, 8], [5, 6]]
    assert counts == [4, 3, 0], "a slice that was not full was the last"
    async with database.begin() as tx:
        assert [row.event_id for row in await tx.rows(select(inbox.c.event_id))] == ["young"]


async def test_what_is_to_be_sent_again_is_neither_cleaned_up_nor_waited_for(database: Database) -> None:
    async with database.begin() as tx:
        await add_receipts(tx, 8, 9)

    async with database.begin() as held:
        await held.execute(update(outbox).values(sent_at=None).where(outbox.c.sent_at < func.now() - timedelta(8.5)))
        async with asyncio.timeout(30), database.begin() as tx:
            await worker.clean_up(tx)

    async with database.begin() as tx:
        assert [row.sent_at for row in await tx.rows(select(outbox.c.sent_at))] == [None]
