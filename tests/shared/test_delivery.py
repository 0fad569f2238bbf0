"""How a service hears: effects once, bad records set aside with all they held, nothing lost, nobody held up."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import field_validator
from sqlalchemy import select

from shared import delivery, telemetry
from shared.contracts.approval import RequestClosed, RequestExpired
from shared.contracts.directory import AccountState
from shared.database import Database, Transaction
from shared.delivery import Change, Delivery, Handlers
from shared.ids import new_id
from shared.tables import inbox, parked, progress
from shared.testing.records import Record, record_of
from shared.testing.waiting import someone_waits_for_a_lock
from tests.shared.builders import a_request_expired, an_account


@dataclass
class Toy:
    """A service that notes what it hears. `break_on` maps a request to what its handler does first."""

    database: Database
    consumer: str = field(default_factory=lambda: f"toy-{new_id()}")
    break_on: dict[UUID, Callable[[Transaction, RequestExpired], Awaitable[None]]] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    during_wait: Callable[[], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        self.handlers = Handlers(self.consumer)

        @self.handlers(RequestExpired)
        async def expired(tx: Transaction, it: RequestExpired) -> None:
            if (first := self.break_on.get(it.request_id)) is not None:
                await first(tx, it)
            await self.note(tx, it.request_id, it.version)

        @self.handlers.state(AccountState)
        async def accounts(tx: Transaction, changes: Sequence[Change[AccountState]]) -> None:
            for change in changes:
                if change.now is not None and change.now.status == "locked":
                    raise TypeError("a bug of ours")
                await tx.raw.execute(
                    """
                    INSERT INTO toy_account VALUES ($1, $2, $3, $4) ON CONFLICT (consumer, id)
                    DO UPDATE SET version = excluded.version, status = excluded.status
                    WHERE toy_account.version < excluded.version
                    """,
                    self.consumer,
                    change.entity_id,
                    change.version,
                    change.now and change.now.status,
                )

        self.delivery = Delivery(self.database, self.handlers)

    async def note(self, tx: Transaction, subject: UUID, version: int) -> None:
        await tx.raw.execute(
            "INSERT INTO toy_effect (consumer, subject, version) VALUES ($1, $2, $3)", self.consumer, subject, version
        )

    async def hear(self, *records: Record) -> None:
        await self.delivery.take(records, wait=self._wait)

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        if self.during_wait is not None:
            await self.during_wait()

    async def effects(self) -> list[tuple[UUID, int]]:
        async with self.database.begin() as tx:
            query = "SELECT subject, version FROM toy_effect WHERE consumer = $1 ORDER BY n"
            return [(row[0], row[1]) for row in await tx.raw.fetch(query, self.consumer)]

    async def transaction_count(self) -> int:
        async with self.database.begin() as tx:
            query = "SELECT count(DISTINCT xmin::text) FROM toy_effect WHERE consumer = $1"
            return int(await tx.raw.fetchval(query, self.consumer))

    async def accounts(self) -> dict[str, tuple[int, str | None]]:
        async with self.database.begin() as tx:
            rows = await tx.raw.fetch("SELECT * FROM toy_account WHERE consumer = $1", self.consumer)
            return {row["id"]: (row["version"], row["status"]) for row in rows}

    async def set_aside(self) -> list[Any]:
        async with self.database.begin() as tx:
            return list(await delivery.list_parked(tx, consumer=self.consumer))

    async def parked_as(self, record: Record) -> Any:
        async with self.database.begin() as tx:
            return await tx.one(
                select(parked).where(
                    parked.c.consumer == self.consumer,
                    parked.c.topic == record.topic,
                    parked.c.offset == record.offset,
                )
            )

    async def states(self, *records: Record) -> list[str | None]:
        rows = [await self.parked_as(record) for record in records]
        return [row and row.state for row in rows]


@pytest.fixture(scope="module")
async def tables(one_database: Database) -> Database:
    """Where toys note things."""
    async with one_database.begin() as tx:
        await tx.raw.execute(
            """
            CREATE TABLE toy_effect (n bigint GENERATED ALWAYS AS IDENTITY, consumer text NOT NULL,
                                     subject uuid NOT NULL, version bigint NOT NULL,
                                     CONSTRAINT ck_small CHECK (version < 100));
            CREATE TABLE toy_account (consumer text, id text, version bigint NOT NULL, status text,
                                      PRIMARY KEY (consumer, id))
            """
        )
    return one_database


@pytest.fixture
def toy(tables: Database) -> Toy:
    return Toy(tables)


def an_event(request_id: UUID | None = None, *, version: int = 1, **values: object) -> Record:
    request_id = request_id or new_id()
    return record_of(a_request_expired(request_id, version=version), subject=request_id, scope=new_id(), **values)


def a_state(person_id: UUID, version: int, *, gone: bool = False, bug: bool = False) -> Record:
    record = record_of(an_account(person_id, "locked" if bug else "active"), subject=person_id, entity_version=version)
    return Record(record.topic, record.headers, None if gone else record.value, key=record.key)


def subject_of(record: Record) -> UUID:
    return UUID(dict(record.headers)["ce_subject"].decode())  # type: ignore[union-attr]


def with_body(record: Record, value: bytes | None) -> Record:
    return Record(record.topic, record.headers, value, key=record.key)


async def a_bug(_tx: Transaction, _it: RequestExpired) -> None:
    raise TypeError("a bug of ours, which quotes 123-45-6789")


async def too_large(tx: Transaction, it: RequestExpired) -> None:
    await tx.raw.execute("INSERT INTO toy_effect (consumer, subject, version) VALUES ('', $1, 100)", it.request_id)


# --- Once ---------------------------------------------------------------------------------------


async def test_a_batch_is_done_in_order_and_in_one_transaction(toy: Toy) -> None:
    request = new_id()
    batch = [an_event(request, version=n) for n in range(1, 6)]

    await toy.hear(*batch)

    assert await toy.effects() == [(request, n) for n in range(1, 6)]
    assert await toy.transaction_count() == 1
    async with toy.database.begin() as tx:
        noted = select(progress.c.next_offset).where(progress.c.consumer == toy.consumer)
        assert await tx.value(noted) == batch[-1].offset + 1
    assert toy.waits == []


async def test_who_handles_an_event_has_moved(toy: Toy) -> None:
    before = toy.delivery.moved_at
    await toy.hear(an_event())
    assert toy.delivery.moved_at > before


async def test_a_repeat_has_no_second_effect_within_a_batch_and_across(toy: Toy) -> None:
    event, other = an_event(), an_event()

    await toy.hear(event, event.again(), other)
    await toy.hear(event.again(), event)

    assert [subject for subject, _ in await toy.effects()] == [subject_of(event), subject_of(other)]
    assert await toy.set_aside() == []


async def test_two_who_hear_the_same_at_the_same_time_have_one_effect(toy: Toy) -> None:
    event = an_event()
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_tx: Transaction, _it: RequestExpired) -> None:
        started.set()
        await go_on.wait()

    toy.break_on[subject_of(event)] = slow
    first = asyncio.create_task(toy.hear(event))
    await started.wait()
    second = asyncio.create_task(toy.hear(event.again()))  # A rebalance: another worker has the partition now.
    await someone_waits_for_a_lock(toy.database)
    go_on.set()
    await asyncio.gather(first, second)

    assert len(await toy.effects()) == 1


async def test_a_handler_works_in_the_thread_of_its_event(toy: Toy) -> None:
    event = an_event(correlation_id=new_id(), traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    seen: list[telemetry.Trace] = []

    async def note(_tx: Transaction, _it: RequestExpired) -> None:
        seen.append(telemetry.trace())

    toy.break_on[subject_of(event)] = note
    await toy.hear(event)

    headers = {name: (raw or b"").decode() for name, raw in event.headers}
    assert seen == [telemetry.Trace(UUID(headers["ce_correlationid"]), UUID(headers["ce_id"]), headers["traceparent"])]
    assert telemetry.trace() == telemetry.Trace()


# --- Bad records --------------------------------------------------------------------------------

GOOD = an_event()
POISON = {
    "no id": GOOD.lacking("ce_id"),
    "an empty subject": GOOD.having("ce_subject", b""),
    "a null header": GOOD.having("x-trace", None),
    "a header that is not UTF-8": GOOD.having("x-trace", b"\xff"),
    "a header twice": Record(GOOD.topic, [*GOOD.headers, ("ce_id", b"x")], GOOD.value),
    "a NUL in the id": GOOD.having("ce_id", b"a\0b"),
    "a NUL in the subject": GOOD.having("ce_subject", b"a\0b"),
    "a NUL in a header's name": GOOD.having("x\0y", b"1"),
    "a subject too long for an index": GOOD.having("ce_subject", bytes(33 + n % 90 for n in range(9000))),
    "a version too large for a column": GOOD.having("ce_entityversion", b"9" * 19 + b"9"),
    "a sequence too large for Python": GOOD.having("ce_sequence", b"9" * 5000),
    "a strange type": GOOD.having("ce_type", b"not a type"),
    "a naive time": GOOD.having("ce_time", b"2026-03-01T09:30:00"),
    "no headers": Record(GOOD.topic, [], GOOD.value),
    "no body": with_body(GOOD, None),
    "an empty body": with_body(GOOD, b""),
    "a body that is not JSON": with_body(GOOD, b"{"),
    "a body that is not UTF-8": with_body(GOOD, b"\xff\xfe"),
    "a body that is no object": with_body(GOOD, b"[]"),
    "a body that lacks a field": with_body(GOOD, b"{}"),
    "a bottomless body": with_body(GOOD, b"[" * 100_000),
    "a bottomless structured event": Record(
        GOOD.topic, [("content-type", b"application/cloudevents+json")], b"[" * 100_000
    ),
    "a state without a version": a_state(new_id(), 1).lacking("ce_entityversion"),
    "a tombstone without a version": a_state(new_id(), 1, gone=True).lacking("ce_entityversion"),
}


@pytest.mark.parametrize("what", POISON)
async def test_poison_is_parked_once_and_its_neighbours_are_done(toy: Toy, what: str) -> None:
    before, poison, after = an_event(), POISON[what], an_event()

    async with asyncio.timeout(60):
        await toy.hear(before, poison, after)
        await toy.hear(poison, after)

    assert [subject for subject, _ in await toy.effects()] == [subject_of(before), subject_of(after)]
    (row,) = await toy.set_aside()
    assert (row.topic, row.partition, row.offset) == (poison.topic, poison.partition, poison.offset)
    assert (row.key, row.value, row.state) == (poison.key, poison.value, "parked")
    assert len(row.headers) == len(poison.headers)
    assert row.error
    assert toy.waits == [], "what cannot be read is not tried three times"


async def test_a_parked_record_keeps_its_bytes(toy: Toy) -> None:
    poison = Record(GOOD.topic, [("ce_id", b"\xff\x00"), ("x", None), ("x", b"")], b"\x00\xff", key=b"\xfe")

    await toy.hear(poison)
    (row,) = await toy.set_aside()

    assert delivery._Stored.of(row).headers == poison.headers
    assert (row.value, row.key) == (b"\x00\xff", b"\xfe")


async def test_a_body_that_breaks_its_own_type_costs_nobody_else(toy: Toy) -> None:
    class Brittle(RequestExpired):
        @field_validator("kind")
        @classmethod
        def break_down(cls, _value: str) -> str:
            raise KeyError("123-45-6789")  # Not what pydantic asks of a validator.

    handlers = Handlers(toy.consumer)
    handlers(Brittle)(a_bug)

    await Delivery(toy.database, handlers).take([GOOD], wait=toy._wait)

    assert [row.error for row in await toy.set_aside()] == ["KeyError"]


@pytest.mark.parametrize(
    "poison",
    [
        with_body(GOOD, b'{"request_id": "123-45-6789", "kind": "secret-6789", "stage": -6789}'),
        GOOD.having("ce_time", b"6789"),
        GOOD.having("ce_sequence", b"x6789"),
    ],
)
async def test_the_error_of_poison_holds_no_values(toy: Toy, poison: Record) -> None:
    await toy.hear(poison)

    (row,) = await toy.set_aside()
    assert "6789" not in row.error


async def test_a_type_younger_than_this_reader_is_skipped_and_counted(toy: Toy) -> None:
    young = an_event().having("ce_type", b"iacs.approval.request.newly_invented.v1")
    counted = telemetry.events_handled.labels("iacs.approval.request.newly_invented.v1", "unknown")
    before = counted._value.get()

    await toy.hear(young, with_body(young, b"not even JSON"))

    assert counted._value.get() == before + 2
    assert (await toy.effects(), await toy.set_aside()) == ([], [])


async def test_a_type_on_a_topic_that_is_not_its_own_is_parked(toy: Toy) -> None:
    event, state = an_event(), a_state(new_id(), 1)
    strays = [
        Record(state.topic, event.headers, event.value),
        Record(event.topic, state.headers, state.value),
    ]

    await toy.hear(*strays, GOOD)

    assert await toy.states(*strays) == ["parked", "parked"]
    assert await toy.effects() == [(subject_of(GOOD), 1)]


# --- Handlers that fail ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "error"),
    [(a_bug, "TypeError"), (too_large, "CheckViolationError (ck_small)")],
    ids=["bug", "constraint"],
)
async def test_what_fails_three_times_is_parked_and_its_neighbours_are_done(
    toy: Toy, trouble: Callable[[Transaction, RequestExpired], Awaitable[None]], error: str
) -> None:
    before, bad, after = an_event(), an_event(), an_event()
    tries = 0

    async def counted(tx: Transaction, it: RequestExpired) -> None:
        nonlocal tries
        tries += 1
        await trouble(tx, it)

    toy.break_on[subject_of(bad)] = counted
    await toy.hear(before, bad, after)

    assert [subject for subject, _ in await toy.effects()] == [subject_of(before), subject_of(after)]
    (row,) = await toy.set_aside()
    assert (row.subject, row.error, row.state) == (str(subject_of(bad)), error, "parked")
    assert tries == 1 + 3, "once with its batch, three times alone"
    async with toy.database.begin() as tx:
        assert str(dict(bad.headers)["ce_id"], "ascii") not in [  # type: ignore[arg-type]
            row.event_id for row in await tx.rows(select(inbox.c.event_id).where(inbox.c.consumer == toy.consumer))
        ]


async def test_a_value_that_no_column_holds_is_parked_like_any_other_fault(toy: Toy) -> None:
    bad, after = an_event(), an_event()

    async def beyond_bigint(tx: Transaction, it: RequestExpired) -> None:
        await toy.note(tx, it.request_id, 10**30)

    toy.break_on[subject_of(bad)] = beyond_bigint
    async with asyncio.timeout(60):
        await toy.hear(bad, after)

    assert await toy.states(bad) == ["parked"]
    assert await toy.effects() == [(subject_of(after), 1)]


async def test_what_succeeds_at_a_later_try_is_not_parked(toy: Toy) -> None:
    event = an_event()
    failures = iter([TypeError, TypeError, TypeError])

    async def three_times(_tx: Transaction, _it: RequestExpired) -> None:
        for failure in failures:
            raise failure

    toy.break_on[subject_of(event)] = three_times
    await toy.hear(event)

    assert len(await toy.effects()) == 1
    assert await toy.set_aside() == []


async def test_later_events_of_a_parked_subject_wait_and_nobody_else_does(toy: Toy) -> None:
    bad, later, other = an_event(), an_event(), an_event()
    later = an_event(subject_of(bad), version=2)
    toy.break_on[subject_of(bad)] = a_bug

    await toy.hear(bad, later, other)
    del toy.break_on[subject_of(bad)]
    latest = an_event(subject_of(bad), version=3)
    await toy.hear(latest)

    assert await toy.states(bad, later, latest) == ["parked", "waiting", "waiting"]
    assert await toy.effects() == [(subject_of(other), 1)]


async def test_events_behind_a_body_that_cannot_be_read_wait_for_it_too(toy: Toy) -> None:
    request = new_id()
    poison, later = with_body(an_event(request), b"{"), an_event(request, version=2)

    await toy.hear(poison, later)

    assert await toy.states(poison, later) == ["parked", "waiting"]
    assert await toy.effects() == []


async def test_what_one_consumer_parks_holds_up_no_other_consumer(toy: Toy) -> None:
    bad = an_event()
    toy.break_on[subject_of(bad)] = a_bug
    await toy.hear(bad)

    handlers = Handlers("another")
    heard: list[UUID] = []

    @handlers(RequestExpired)
    async def note(_tx: Transaction, it: RequestExpired) -> None:
        heard.append(it.request_id)

    await Delivery(toy.database, handlers).take([bad, an_event(subject_of(bad))], wait=toy._wait)

    assert heard == [subject_of(bad)] * 2


async def test_state_records_never_wait(toy: Toy) -> None:
    person = new_id()
    bad = a_state(person, 1, bug=True)

    await toy.hear(bad)
    event = an_event(person)
    await toy.hear(event)
    toy.break_on[person] = a_bug
    await toy.hear(an_event(person))
    later = an_event(person)
    await toy.hear(later, a_state(person, 2))

    assert await toy.states(bad, event, later) == ["parked", None, "waiting"]
    assert await toy.effects() == [(person, 1)], "nor does an event wait for a state"
    assert await toy.accounts() == {str(person): (2, "active")}


async def test_an_older_state_never_overwrites_a_newer_one(toy: Toy) -> None:
    person, gone = new_id(), new_id()

    await toy.hear(a_state(person, 3), a_state(person, 2), a_state(gone, 1))
    await toy.hear(a_state(person, 1), a_state(gone, 2, gone=True), a_state(gone, 1))
    await toy.hear(a_state(gone, 1))

    assert await toy.accounts() == {str(person): (3, "active"), str(gone): (2, None)}


# --- The world's fault ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        asyncpg.AdminShutdownError("57P01"),
        asyncpg.ConnectionDoesNotExistError("08003"),
        asyncpg.DeadlockDetectedError("40P01"),
        asyncpg.DiskFullError("53100"),
        asyncpg.LockNotAvailableError("55P03"),
        asyncpg.PostgresIOError("58030"),
        ConnectionRefusedError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_the_worlds_fault_is_waited_out_and_never_parked(toy: Toy, trouble: Exception) -> None:
    event, neighbour = an_event(), an_event()

    async def while_it_lasts(_tx: Transaction, _it: RequestExpired) -> None:
        if len(toy.waits) < 20:
            raise trouble

    toy.break_on[subject_of(event)] = while_it_lasts
    await toy.hear(event, neighbour)

    assert len(toy.waits) == 20
    assert toy.waits[0] < 0.5
    assert 7 < max(toy.waits) <= 15
    assert len(await toy.effects()) == 2
    assert await toy.set_aside() == []


async def test_the_worlds_fault_is_waited_out_for_a_record_alone_too(toy: Toy) -> None:
    bad, unlucky = an_event(), an_event()
    toy.break_on[subject_of(bad)] = a_bug

    async def while_it_lasts(_tx: Transaction, _it: RequestExpired) -> None:
        if len(toy.waits) < 10:
            raise asyncpg.AdminShutdownError("57P01")

    toy.break_on[subject_of(unlucky)] = while_it_lasts
    await toy.hear(bad, unlucky)

    assert await toy.effects() == [(subject_of(unlucky), 1)]
    assert await toy.states(bad, unlucky) == ["parked", None]


async def test_a_connection_that_dies_in_the_middle_costs_nothing(toy: Toy) -> None:
    batch = [an_event() for _ in range(3)]

    async def die(tx: Transaction, _it: RequestExpired) -> None:
        if not toy.waits:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
                await tx.raw.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    toy.break_on[subject_of(batch[1])] = die
    await toy.hear(*batch)

    assert [subject for subject, _ in await toy.effects()] == [subject_of(event) for event in batch]
    assert await toy.set_aside() == []
    assert len(toy.waits) == 1
    assert await toy.transaction_count() == 1, "the batch was tried again as one"


# --- Replay, and giving up ---------------------------------------------------------------------------


async def a_parked_subject(toy: Toy, *, waiting_count: int = 2) -> tuple[UUID, list[Record]]:
    request = new_id()
    records = [an_event(request, version=n) for n in range(1, waiting_count + 2)]
    toy.break_on[request] = a_bug
    await toy.hear(*records)
    assert await toy.states(*records) == ["parked", *["waiting"] * waiting_count]
    del toy.break_on[request]
    return request, records


async def test_a_replay_applies_the_parked_record_and_then_those_that_wait_in_order(toy: Toy) -> None:
    request, records = await a_parked_subject(toy)

    assert await toy.delivery.replay((await toy.parked_as(records[0])).id, by="ann") == "replayed"

    assert await toy.effects() == [(request, 1), (request, 2), (request, 3)]
    assert await toy.states(*records) == ["replayed"] * 3
    row = await toy.parked_as(records[0])
    assert (row.resolved_by, row.resolved_at is not None) == ("ann", True)
    assert await toy.set_aside() == []
    await toy.hear(an_event(request, version=4))
    assert (await toy.effects())[-1] == (request, 4)


async def test_what_was_replayed_has_no_second_effect_when_it_is_delivered_or_replayed_again(toy: Toy) -> None:
    request, records = await a_parked_subject(toy, waiting_count=1)
    parked_id = (await toy.parked_as(records[0])).id
    await toy.delivery.replay(parked_id, by="ann")

    assert await toy.delivery.replay(parked_id, by="bob") == "gone"
    await toy.hear(*records, records[0].again())

    assert await toy.effects() == [(request, 1), (request, 2)]
    assert (await toy.parked_as(records[0])).resolved_by == "ann"


async def test_what_fails_again_stays_parked_under_its_new_error(toy: Toy) -> None:
    request, records = await a_parked_subject(toy)
    toy.break_on[request] = too_large

    assert await toy.delivery.replay((await toy.parked_as(records[0])).id, by="ann") == "parked"

    assert await toy.states(*records) == ["parked", "waiting", "waiting"]
    assert (await toy.parked_as(records[0])).error == "CheckViolationError (ck_small)"
    assert await toy.effects() == []


async def test_asking_for_a_record_that_waits_says_so_when_the_one_before_it_fails_again(toy: Toy) -> None:
    request, records = await a_parked_subject(toy)
    toy.break_on[request] = a_bug

    assert await toy.delivery.replay((await toy.parked_as(records[1])).id, by="ann") == "parked"

    assert await toy.effects() == []


async def test_a_replay_ends_at_the_first_that_fails(toy: Toy) -> None:
    request, records = await a_parked_subject(toy)

    async def fail_at_two(_tx: Transaction, it: RequestExpired) -> None:
        if it.version == 2:
            raise TypeError

    toy.break_on[request] = fail_at_two

    assert await toy.delivery.replay((await toy.parked_as(records[0])).id, by="ann") == "replayed"

    assert await toy.states(*records) == ["replayed", "parked", "waiting"]
    assert await toy.effects() == [(request, 1)]


async def test_a_consumer_that_is_busy_with_the_same_subject_and_a_replay_exclude_each_other(toy: Toy) -> None:
    request, records = await a_parked_subject(toy, waiting_count=1)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_tx: Transaction, it: RequestExpired) -> None:
        if it.version == 1:
            started.set()
            await go_on.wait()

    toy.break_on[request] = slow
    replay = asyncio.create_task(toy.delivery.replay((await toy.parked_as(records[0])).id, by="ann"))
    await started.wait()  # The replay is in the middle of the first ...
    latest = an_event(request, version=3)
    hearing = asyncio.create_task(toy.hear(records[0], latest))  # ... when a consumer brings it, and a later one.
    await someone_waits_for_a_lock(toy.database)
    go_on.set()
    await asyncio.gather(replay, hearing)

    # The consumer came in between, found the second still waiting, and put the third behind it.
    assert await toy.effects() == [(request, 1), (request, 2), (request, 3)]
    assert await toy.set_aside() == []


async def test_two_operators_who_replay_the_same_have_one_effect(toy: Toy) -> None:
    request, records = await a_parked_subject(toy, waiting_count=1)
    parked_id = (await toy.parked_as(records[0])).id
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_tx: Transaction, it: RequestExpired) -> None:
        if it.version == 1:
            started.set()
            await go_on.wait()

    toy.break_on[request] = slow
    first = asyncio.create_task(toy.delivery.replay(parked_id, by="ann"))
    await started.wait()
    second = asyncio.create_task(toy.delivery.replay(parked_id, by="bob"))
    await someone_waits_for_a_lock(toy.database)
    go_on.set()

    assert (await first, await second) == ("replayed", "replayed")
    assert await toy.effects() == [(request, 1), (request, 2)]


async def test_a_record_that_cannot_be_read_is_replayed_when_its_reader_can_read_it(toy: Toy) -> None:
    young = an_event().having("ce_type", RequestClosed.wire.encode())
    body = {
        **a_request_expired(subject_of(young)).model_dump(mode="json"),
        "why": "x",
        "closed_at": "2026-03-01T00:00:00Z",
    }
    del body["expired_at"]
    value = str(body).replace("'", '"').replace("None", "null").encode()
    old = Handlers(toy.consumer)

    @old(RequestClosed)
    async def refuse(_tx: Transaction, _it: RequestClosed) -> None:
        raise NotImplementedError

    await Delivery(toy.database, old).take([with_body(young, value)], wait=toy._wait)
    new = Handlers(toy.consumer)
    closed: list[UUID] = []

    @new(RequestClosed)
    async def note(_tx: Transaction, it: RequestClosed) -> None:
        closed.append(it.request_id)

    (row,) = await toy.set_aside()
    assert await Delivery(toy.database, new).replay(row.id, by="ann") == "replayed"
    assert closed == [subject_of(young)]


async def test_poison_stays_poison_when_it_is_replayed(toy: Toy) -> None:
    await toy.hear(POISON["no id"])
    (row,) = await toy.set_aside()

    assert await toy.delivery.replay(row.id, by="ann") == "parked"

    assert [one.state for one in await toy.set_aside()] == ["parked"]


async def test_a_discarded_record_is_given_up_for_good_and_those_behind_it_can_be_replayed(toy: Toy) -> None:
    request, records = await a_parked_subject(toy, waiting_count=1)
    first, second = [await toy.parked_as(record) for record in records]

    async with toy.database.begin() as tx:
        assert await delivery.discard(tx, first.id, by="ann")
    async with toy.database.begin() as tx:
        assert not await delivery.discard(tx, first.id, by="bob")
    assert await toy.delivery.replay(first.id, by="bob") == "gone"
    assert await toy.delivery.replay(second.id, by="bob") == "replayed"

    assert await toy.effects() == [(request, 2)]
    row = await toy.parked_as(records[0])
    assert (row.state, row.resolved_by) == ("discarded", "ann")


async def test_a_discarded_record_that_is_delivered_again_holds_nobody_up(toy: Toy) -> None:
    request, records = await a_parked_subject(toy, waiting_count=0)
    first = await toy.parked_as(records[0])
    async with toy.database.begin() as tx:
        assert await delivery.discard(tx, first.id, by="ann")
    await toy.hear(records[0], an_event(request, version=7))  # As after a crash before the position was committed.
    assert await toy.effects() == [(request, 7)]
    assert (await toy.parked_as(records[0])).state == "discarded"


async def test_a_discarded_body_that_is_delivered_again_with_a_good_record_of_its_subject_holds_that_up_no_more(
    toy: Toy,
) -> None:
    request = new_id()
    bad, good = with_body(an_event(request), b"{}"), an_event(request, version=7)
    await toy.hear(bad)
    async with toy.database.begin() as tx:
        assert await delivery.discard(tx, (await toy.parked_as(bad)).id, by="ann")
    await toy.hear(bad, good)
    assert await toy.effects() == [(request, 7)]


async def test_another_record_at_the_same_offset_is_parked_as_well(toy: Toy) -> None:
    one = POISON["no id"]
    await toy.hear(one, with_body(one, b'{"another": 1}'))  # Kafka's log was cut, and grew again.
    assert len(await toy.set_aside()) == 2
    await toy.hear(one)
    assert len(await toy.set_aside()) == 2


@pytest.mark.parametrize("can_be_read", [True, False])
async def test_a_record_that_is_discarded_while_it_is_replayed_stays_discarded(toy: Toy, can_be_read: bool) -> None:
    if can_be_read:
        await a_parked_subject(toy, waiting_count=0)
    else:
        await toy.hear(POISON["no id"])
    (row,) = await toy.set_aside()

    async with toy.database.begin() as tx:
        assert await delivery.discard(tx, row.id, by="ann")  # Ann has discarded it but not committed ...
        replay = asyncio.create_task(toy.delivery.replay(row.id, by="bob"))
        await someone_waits_for_a_lock(toy.database)  # ... when Bob has it replayed.

    assert await replay == "gone"
    async with toy.database.begin() as tx:
        found = await delivery.show_parked(tx, row.id)
    assert found is not None
    assert (found.state, found.resolved_by) == ("discarded", "ann")
    assert await toy.effects() == []


async def test_a_state_that_was_parked_is_replayed_without_undoing_a_newer_one(toy: Toy) -> None:
    person = new_id()
    bad = a_state(person, 1, bug=True)
    await toy.hear(bad)
    await toy.hear(a_state(person, 2))
    handlers = Handlers(toy.consumer)

    @handlers.state(AccountState)
    async def accounts(tx: Transaction, changes: Sequence[Change[AccountState]]) -> None:
        for change in changes:
            query = "UPDATE toy_account SET status = 'locked' WHERE id = $1 AND version < $2"
            await tx.raw.execute(query, change.entity_id, change.version)

    (row,) = await toy.set_aside()
    assert await Delivery(toy.database, handlers).replay(row.id, by="ann") == "replayed"
    assert await toy.accounts() == {str(person): (2, "active")}


async def test_what_is_parked_is_listed_oldest_first_and_shown_whole(toy: Toy) -> None:
    _, records = await a_parked_subject(toy)

    listed = await toy.set_aside()

    assert [row.offset for row in listed] == [record.offset for record in records]
    async with toy.database.begin() as tx:
        assert await delivery.show_parked(tx, listed[0].id) == listed[0]
        assert await delivery.show_parked(tx, new_id()) is None
        assert list(await delivery.list_parked(tx, consumer="another")) == []
