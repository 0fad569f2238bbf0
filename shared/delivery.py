"""How a service hears: batches in one transaction, effects once, bad records set aside, nothing lost.

A batch is one transaction. When it fails, its records are applied one by one, each with one of four
outcomes: *done*; *skipped* (seen before, or a kind younger than this reader); *parked* (it cannot be
read, or still fails after three tries for a reason that is not the world's); or the *world's fault*,
for which we wait and try again for ever. Later events of a parked one's subject wait behind it;
nothing else does, and state records never wait. Source: architecture 5.
"""

import base64
import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import and_, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert

from shared import database, envelope, telemetry, topics
from shared.contracts.base import Event, State
from shared.database import Database, Transaction
from shared.envelope import BadRecordError, Envelope
from shared.ids import new_id
from shared.tables import inbox, parked

log = telemetry.logger(__name__)

TRIES = 3
BACK_OFF_SECONDS = (0.2, 15.0)

E = TypeVar("E", bound=Event)
S = TypeVar("S", bound=State)


class KafkaRecord(Protocol):
    """The part of aiokafka's record that is read here."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


@dataclass(frozen=True)
class Change(Generic[S]):
    """The latest state of one entity; `now` is None once it is deleted for good."""

    entity_id: str
    version: int
    now: S | None


class _Item(NamedTuple):
    """One record as far as it could be read."""

    record: KafkaRecord
    envelope: Envelope | None = None
    body: Event | State | None = None
    fault: str = ""
    is_known: bool = False

    @property
    def is_event(self) -> bool:
        return not topics.BY_NAME[self.record.topic].is_state

    @property
    def subject(self) -> str | None:
        return self.envelope.subject if self.envelope else None


class Handlers:
    """What one service does about what it hears: one function for each type.

    A type without a handler is skipped and counted: it is younger than this reader.
    """

    def __init__(self, consumer: str) -> None:
        self.consumer = consumer
        self._bodies: dict[str, type[Event] | type[State]] = {}
        self._events: dict[str, Callable[[Transaction, Any], Awaitable[None]]] = {}
        self._states: dict[str, Callable[[Transaction, Any], Awaitable[None]]] = {}

    def __call__(
        self, event: type[E]
    ) -> Callable[[Callable[[Transaction, E], Awaitable[None]]], Callable[[Transaction, E], Awaitable[None]]]:
        """Register the handler of one type of event."""

        def register(
            function: Callable[[Transaction, E], Awaitable[None]],
        ) -> Callable[[Transaction, E], Awaitable[None]]:
            self._bodies[event.wire], self._events[event.wire] = event, function
            return function

        return register

    def state(
        self, state: type[S]
    ) -> Callable[
        [Callable[[Transaction, Sequence[Change[S]]], Awaitable[None]]],
        Callable[[Transaction, Sequence[Change[S]]], Awaitable[None]],
    ]:
        """Register the handler of one type of state: it gets the latest of each entity in a batch."""

        def register(
            function: Callable[[Transaction, Sequence[Change[S]]], Awaitable[None]],
        ) -> Callable[[Transaction, Sequence[Change[S]]], Awaitable[None]]:
            self._bodies[state.wire], self._states[state.wire] = state, function
            return function

        return register

    @property
    def topics(self) -> list[str]:
        """The topics that these handlers need."""
        return sorted({body.topic for body in self._bodies.values()})

    @property
    def state_topics(self) -> list[str]:
        """Those of them that carry state."""
        return [name for name in self.topics if topics.BY_NAME[name].is_state]

    @property
    def event_types(self) -> frozenset[str]:
        """The types of the events that these handlers do something about."""
        return frozenset(self._events)

    def read(self, record: KafkaRecord) -> _Item:
        """Read one record as far as it can be read. Never raises."""
        about: Envelope | None = None
        try:
            about, value = envelope.read(record.headers, record.value)
            body_type = self._bodies.get(about.type)
            if body_type is None:
                return _Item(record, about)
            if issubclass(body_type, State) and about.entity_version is None:
                raise BadRecordError("a state record must have an entityversion")
            if value is None:
                if issubclass(body_type, Event):
                    raise BadRecordError("an event must have a body")
                return _Item(record, about, is_known=True)
            return _Item(record, about, body_type.model_validate_json(value), is_known=True)
        except BadRecordError as error:
            return _Item(record, about, fault=str(error))
        except ValidationError as error:
            return _Item(record, about, fault=_without_content(error))
        except Exception as error:  # Raised from here, it would cost the whole batch.
            return _Item(record, about, fault=_said_without_content(error))

    async def apply_states(self, tx: Transaction, items: Iterable[_Item]) -> None:
        """Hand the latest state of each entity to its handler."""
        latest: dict[str, dict[str, Change[Any]]] = {}
        for item in items:
            assert item.envelope is not None
            entity_id = item.envelope.subject
            assert item.body is None or isinstance(item.body, State)
            change: Change[Any] = Change(entity_id, item.envelope.entity_version or 0, item.body)
            before = latest.setdefault(item.envelope.type, {}).get(entity_id)
            if before is None or before.version <= change.version:
                latest[item.envelope.type][entity_id] = change
        for wire, changes in latest.items():
            await self._states[wire](tx, list(changes.values()))

    async def apply_event(self, tx: Transaction, item: _Item) -> None:
        """Hand one event to its handler, as a part of the event's own thread."""
        about = item.envelope
        assert about is not None
        cause = telemetry.Trace(about.correlation_id, _uuid_or_none(about.id), about.traceparent)
        with telemetry.tracing(cause):
            await self._events[about.type](tx, item.body)


class Delivery:
    """Applies what one consumer reads to one database. Any number of them may work side by side."""

    def __init__(self, db: Database, handlers: Handlers) -> None:
        self._db = db
        self._handlers = handlers
        self.moved_at = time.monotonic()
        """When the last event was handled: a batch on a slow database takes its time and does not stand still."""

    async def take(self, records: Sequence[KafkaRecord], *, wait: Callable[[float], Awaitable[None]]) -> None:
        """Apply a batch; return when every record is done, skipped or parked and that is committed.

        While the world is at fault it calls `wait(seconds)` between tries, for ever.
        """
        items = [self._handlers.read(record) for record in records]
        tries = 0
        while True:
            try:
                async with self._db.begin() as tx:
                    await self._apply(tx, items)
            except Exception as error:  # Whatever a handler raises: one bad record must not hold up the others.
                if not database.is_worlds_fault(error):
                    log.warning(
                        "a batch failed: record by record",
                        error=type(error).__name__,
                        record_count=len(items),
                    )
                    break
                tries += 1
                await wait(_back_off(tries))
            else:
                return
        for item in items:
            await self._take_one(item, wait)

    async def park_unreadable(self, topic: str, partition: int, offset: int, error: BaseException) -> None:
        """Park the place of a record that the Kafka client itself cannot decode: there are no bytes to keep."""
        item = _Item(_Stored(topic, partition, offset, None, None, ()), fault=f"unreadable: {type(error).__name__}")
        async with self._db.begin() as tx:
            await self._apply(tx, [item])

    async def replay(self, parked_id: UUID, *, by: str) -> str:
        """Apply a parked record again, and all others of its subject with it, in their order.

        One that fails again stays parked under the new error, and those behind it wait on. Returns what
        became of the one that was asked for: replayed, parked, or gone (resolved already, or given up).
        """
        async with self._db.begin() as tx:
            asked = await tx.one(select(parked).where(parked.c.id == parked_id, parked.c.resolved_at.is_(None)))
        if asked is None:
            return "gone"
        if asked.subject is None:
            await self._replay_one(asked, by)
        else:
            # Looked for one by one: while this goes on, a consumer may put another behind them.
            while (row := await self._first_open(asked.subject)) is not None and await self._replay_one(row, by):
                pass
        async with self._db.begin() as tx:
            state = await tx.value(select(parked.c.state).where(parked.c.id == parked_id))
        return {"replayed": "replayed", "discarded": "gone"}.get(state, "parked")

    async def _first_open(self, subject: str) -> Any | None:
        mine = and_(parked.c.consumer == self._handlers.consumer, parked.c.subject == subject)
        async with self._db.begin() as tx:
            return await tx.one(
                select(parked).where(mine, parked.c.resolved_at.is_(None)).order_by(parked.c.id).limit(1)
            )

    async def _replay_one(self, row: Any, by: str) -> bool:
        item = self._handlers.read(_Stored.of(row))
        error = item.fault
        if not error:
            try:
                async with self._db.begin() as tx:
                    await self._lock(tx, [item])
                    still = await tx.value(
                        select(parked.c.id)
                        .where(parked.c.id == row.id, parked.c.resolved_at.is_(None))
                        .with_for_update()
                    )
                    if still is not None:
                        await self._effect(tx, [item])
                        await tx.execute(_resolved(row.id, "replayed", by))
            except Exception as failure:  # The operator asked for one more try; its error is the answer.
                error = _said_without_content(failure)
        if error:
            async with self._db.begin() as tx:
                still_open = and_(parked.c.id == row.id, parked.c.resolved_at.is_(None))
                await tx.execute(update(parked).where(still_open).values(error=error, state="parked"))
        return not error

    async def _take_one(self, item: _Item, wait: Callable[[float], Awaitable[None]]) -> None:
        tries = own_faults = 0
        while True:
            try:
                async with self._db.begin() as tx:
                    await self._apply(tx, [item])
            except Exception as error:
                if database.is_worlds_fault(error):
                    tries += 1
                    await wait(_back_off(tries))
                    continue
                own_faults += 1
                if own_faults < TRIES:
                    await wait(_back_off(0))
                    continue
                fault = _said_without_content(error)
                log.error("parked", topic=item.record.topic, offset=item.record.offset, error=fault)
                item = _Item(item.record, item.envelope, None, fault)
                own_faults = 0
            else:
                return

    async def _apply(self, tx: Transaction, items: Sequence[_Item]) -> None:
        """Apply items in this transaction: lock the subjects, set the unreadable aside, do the rest."""
        await self._lock(tx, items)
        held = await self._subjects_parked(tx, items)
        for_effect: list[_Item] = []
        for item in items:
            if item.fault:
                is_open = await self._park(tx, item, "parked", item.fault)
                if is_open and item.is_event and item.subject:
                    held.add(item.subject)
            elif not item.is_known:
                telemetry.events_handled.labels(item.envelope.type if item.envelope else "?", "unknown").inc()
            elif item.is_event and item.subject in held:
                await self._park(tx, item, "waiting", "an earlier record of the same subject is parked")
            else:
                for_effect.append(item)
        await self._effect(tx, for_effect)
        await self._note_progress(tx, items)

    async def _effect(self, tx: Transaction, items: Sequence[_Item]) -> None:
        events = [item for item in items if item.is_event]
        fresh = await self._unseen(tx, events)
        await self._handlers.apply_states(tx, [item for item in items if not item.is_event])
        for item in events:
            assert item.envelope is not None
            if item.envelope.id in fresh:
                fresh.discard(item.envelope.id)
                await self._handlers.apply_event(tx, item)
                self.moved_at = time.monotonic()
                telemetry.events_handled.labels(item.envelope.type, "done").inc()
                telemetry.event_lag.observe(max(0.0, (tx.now - item.envelope.time).total_seconds()))
            else:
                telemetry.events_handled.labels(item.envelope.type, "seen").inc()

    async def _lock(self, tx: Transaction, items: Sequence[_Item]) -> None:
        """Take the lock of every subject, in one order for everybody: replay and consumer exclude each other."""
        subjects = {item.subject for item in items if item.is_event and item.subject}
        keys = sorted(_lock_key(self._handlers.consumer, subject) for subject in subjects)
        if keys:
            await tx.raw.execute("SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key", keys)

    async def _subjects_parked(self, tx: Transaction, items: Sequence[_Item]) -> set[str]:
        subjects = {item.subject for item in items if item.is_event and item.subject}
        if not subjects:
            return set()
        rows = await tx.rows(
            select(parked.c.subject)
            .distinct()
            .where(
                parked.c.consumer == self._handlers.consumer,
                parked.c.subject.in_(subjects),
                parked.c.resolved_at.is_(None),
            )
        )
        return {row.subject for row in rows}

    async def _unseen(self, tx: Transaction, events: Sequence[_Item]) -> set[str]:
        """Enter the events in the inbox; return the ids that were not there."""
        if not events:
            return set()
        rows = await tx.raw.fetch(
            """
            INSERT INTO inbox (consumer, event_id, topic)
            SELECT $1, e.id, e.topic FROM unnest($2::text[], $3::text[]) AS e (id, topic)
            ON CONFLICT DO NOTHING RETURNING event_id
            """,
            self._handlers.consumer,
            [item.envelope.id for item in events if item.envelope],
            [item.record.topic for item in events],
        )
        return {row["event_id"] for row in rows}

    async def _park(self, tx: Transaction, item: _Item, state: str, error: str) -> bool:
        """Set a record aside, once however often it comes. False if an operator has resolved it already."""
        record = item.record
        made = await tx.execute(
            insert(parked)
            .values(
                id=new_id(),
                consumer=self._handlers.consumer,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                digest=_digest(record),
                key=record.key,
                headers=[
                    # A name with a NUL is a fault, but JSON in PostgreSQL cannot hold it.
                    [name.replace("\0", "\ufffd"), None if raw is None else base64.b64encode(raw).decode()]
                    for name, raw in record.headers
                ],
                value=record.value,
                type=item.envelope.type if item.envelope else None,
                subject=item.subject if item.is_event else None,
                error=error,
                state=state,
            )
            .on_conflict_do_nothing()
        )
        telemetry.events_handled.labels(item.envelope.type if item.envelope else "?", state).inc()
        if made.rowcount:
            return True
        same = and_(
            parked.c.consumer == self._handlers.consumer,
            parked.c.topic == record.topic,
            parked.c.partition == record.partition,
            parked.c.offset == record.offset,
            parked.c.digest == _digest(record),
        )
        return bool(await tx.value(select(exists().where(same, parked.c.resolved_at.is_(None)))))

    async def _note_progress(self, tx: Transaction, items: Sequence[_Item]) -> None:
        nexts: dict[tuple[str, int], int] = {}
        for item in items:
            place = (item.record.topic, item.record.partition)
            nexts[place] = max(nexts.get(place, 0), item.record.offset + 1)
        await tx.raw.execute(
            """
            INSERT INTO progress (consumer, topic, partition, next_offset)
            SELECT $1, p.* FROM unnest($2::text[], $3::int[], $4::bigint[]) AS p
            ON CONFLICT (consumer, topic, partition)
            DO UPDATE SET next_offset = greatest(progress.next_offset, excluded.next_offset), moved_at = now()
            """,
            self._handlers.consumer,
            [topic for topic, _ in nexts],
            [partition for _, partition in nexts],
            list(nexts.values()),
        )


def _digest(record: Any) -> bytes:
    """Return what tells one record from another that stands at the same offset."""
    parts = [record.key, record.value, *(part for name, raw in record.headers for part in (name.encode(), raw))]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"-" if part is None else b"%d:" % len(part) + part)
    return digest.digest()


async def list_parked(tx: Transaction, *, consumer: str | None = None) -> Sequence[Any]:
    """Return what waits for an operator, oldest first."""
    query = select(parked).where(parked.c.resolved_at.is_(None)).order_by(parked.c.id)
    return await tx.rows(query.where(parked.c.consumer == consumer) if consumer else query)


async def show_parked(tx: Transaction, parked_id: UUID) -> Any | None:
    """Return one parked record, whole, or None."""
    return await tx.one(select(parked).where(parked.c.id == parked_id))


async def discard(tx: Transaction, parked_id: UUID, *, by: str) -> bool:
    """Give a parked record up for good, however often it is delivered again; False if it is not parked.

    Those behind it are to be replayed.
    """
    if (await tx.execute(_resolved(parked_id, "discarded", by))).rowcount == 0:
        return False
    row = await tx.one(select(parked).where(parked.c.id == parked_id))
    assert row is not None, "it was resolved just now"
    for name, raw in row.headers:
        if name == "ce_id" and raw is not None:
            event_id = base64.b64decode(raw).decode(errors="replace").replace("\0", "\ufffd")
            seen = insert(inbox).values(consumer=row.consumer, event_id=event_id, topic=row.topic)
            await tx.execute(seen.on_conflict_do_nothing())
    return True


def _resolved(parked_id: UUID, state: str, by: str) -> Any:
    return (
        update(parked)
        .where(and_(parked.c.id == parked_id, parked.c.resolved_at.is_(None)))
        .values(state=state, resolved_at=func.now(), resolved_by=by)
    )


@dataclass(frozen=True)
class _Stored:
    """A parked record, as it came from Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]

    @classmethod
    def of(cls, row: Any) -> "_Stored":
        headers = [(name, None if raw is None else base64.b64decode(raw)) for name, raw in row.headers]
        return cls(row.topic, row.partition, row.offset, row.key, row.value, headers)


def _lock_key(consumer: str, subject: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{consumer}\0{subject}".encode(), digest_size=8).digest(), signed=True)


def _back_off(tries: int) -> float:
    least, most = BACK_OFF_SECONDS
    return float(min(most, least * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter.


def _uuid_or_none(text_: str) -> UUID | None:
    try:
        return UUID(text_)
    except ValueError:
        return None


def _without_content(error: ValidationError) -> str:
    """Say what is wrong with a body by field and rule, never by value."""
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['type']}"
        for fault in error.errors(include_input=False, include_url=False, include_context=False)
    )


def _said_without_content(error: BaseException) -> str:
    """Name a failure without its message, which may quote a row. The constraint's name is enough."""
    cause: BaseException | None = error
    while cause is not None:
        constraint = getattr(cause, "constraint_name", None)
        if constraint:
            return f"{type(error).__name__} ({constraint})"
        cause = getattr(cause, "orig", None) or cause.__cause__
    return type(error).__name__
