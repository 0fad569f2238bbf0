"""The half of a service that nobody calls: it listens, sends, keeps time and cleans up.

Any number of workers of one service run side by side: partitions are shared out by the consumer
group, one relay leads, timers are claimed row by row.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from sqlalchemy import func, select, text, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from shared import audit, database, slices, telemetry, topics
from shared.database import Database, Transaction
from shared.delivery import Delivery, Handlers
from shared.kafka import Kafka
from shared.relay import Relay
from shared.tables import inbox, outbox, parked, progress, replica

log = telemetry.logger(__name__)

_DATABASE_TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, SQLAlchemyError)

BATCH = 500
POLL_MILLISECONDS = 200
MAX_POLL_INTERVAL_SECONDS = 60
START_SECONDS = 60
"""How long a member may take to find a broker: silent ones are asked in turn, forty seconds each, and in another order
next time."""
ANSWER_SECONDS = 20
"""How long the client may take to answer: a hundred times what it is asked to wait for records."""
INBOX_KEPT = text("interval '395 days'")
"""The longest retention of an event topic, and 30 days."""
CHORES_AT_ONCE = 2
"""All are due when a worker starts, and each would get a connection of its own then, a process of PostgreSQL for a
moment's work. With two, one that waits for a lock holds up no other."""

A = TypeVar("A")


@dataclass(frozen=True)
class Chore:
    """Something to do again and again, each time in one transaction of its own.

    `work` returns how much it did: while that is not nothing, it is called again without a rest.
    """

    name: str
    every_seconds: float
    work: Callable[[Transaction], Awaitable[int]]


@dataclass(frozen=True)
class Errand:
    """A chore that touches the world, and therefore has transactions of its own."""

    name: str
    every_seconds: float
    work: Callable[[], Awaitable[int]]


class Worker:
    """Runs one service's consumer, relay and chores until cancelled. `is_alive` says whether it moves."""

    def __init__(
        self,
        service: str,
        db: Database,
        kafka: Kafka,
        handlers: Handlers,
        chores: Sequence[Chore | Errand] = (),
        *,
        partition_count: int = topics.PARTITION_COUNT,
    ) -> None:
        self.service = service
        self._db = db
        self._kafka = kafka
        self._handlers = handlers
        self._delivery = Delivery(db, handlers)
        self._relay = Relay(service, db, kafka, partition_count=partition_count)
        self._chores = (
            *chores,
            Chore("seal the record", 0.5, audit.seal),
            Chore("clean up", 3600, clean_up),
            Chore("count what waits", 15, count_what_waits),
        )
        self._turn = asyncio.Semaphore(CHORES_AT_ONCE)
        self._consumer: Any = None
        self._moved_at = time.monotonic()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._relay.run(), name="relay")
            tasks.create_task(self._listen(), name="listen")
            tasks.create_task(self._watch_completeness(), name="completeness")
            for chore in self._chores:
                tasks.create_task(self._repeat(chore), name=chore.name)

    @property
    def is_alive(self) -> bool:
        """False when nothing has been polled, handled or tried again for two intervals.

        A worker that cannot reach the broker, or waits for the database, tries again and again: it is alive.
        """
        moved_at = max(self._moved_at, self._delivery.moved_at)
        return time.monotonic() - moved_at < 2 * MAX_POLL_INTERVAL_SECONDS

    # --- Listening ---------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Keep a member in the group. One that gets nothing to do although the broker answers is replaced."""
        while True:
            database.raise_if_cancelled()
            try:
                async with self._subscribed() as consumer:
                    await self._poll(consumer)
                log.warning("the consumer has no assignment although the broker answers: starting anew")
                self._moved_at = time.monotonic()
            except (KafkaError, OSError, TimeoutError) as error:
                log.info("the broker cannot be reached", error=type(error).__name__)
                self._moved_at = time.monotonic()
                await asyncio.sleep(1)

    @asynccontextmanager
    async def _subscribed(self) -> AsyncIterator[Any]:
        """A member of the group. FastStream keeps its life; it has no handler, so it reads nothing itself."""
        broker = KafkaBroker(
            self._kafka.servers.split(","),  # As one text it would be taken for one server.
            security=_security(self._kafka),
            client_id=f"iacs-{self.service}",
            allow_auto_create_topics=False,
            logger=None,
        )
        subscriber = broker.subscriber(
            *self._handlers.topics,
            batch=True,
            group_id=f"iacs.{self._handlers.consumer}",
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_poll_interval_ms=MAX_POLL_INTERVAL_SECONDS * 1000,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_000,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                await broker.start()
            self._consumer = subscriber.consumer
            self._moved_at = time.monotonic()
            yield subscriber.consumer
        finally:
            self._consumer = None
            with suppress(Exception):  # It may have died, and says so once more.
                async with asyncio.timeout(10):
                    await broker.stop()

    async def _poll(self, consumer: Any) -> None:
        """Take batch after batch; return when the member has had nothing assigned for too long."""
        handed: dict[TopicPartition, int] = {}
        while self.is_alive:
            try:
                got = await _answer(consumer.getmany(timeout_ms=POLL_MILLISECONDS, max_records=BATCH))
            except UnicodeDecodeError as error:  # A record that the client itself cannot read: see _step_over.
                log.error("a record cannot be read", error=type(error).__name__)
                await self._step_over(consumer, handed)
                continue
            if consumer.assignment():
                self._moved_at = time.monotonic()
            for place in [place for place in handed if place not in consumer.assignment()]:
                del handed[place]
            if got:
                await self._take(consumer, [record for records in got.values() for record in records])
                handed |= {place: records[-1].offset + 1 for place, records in got.items()}

    async def _take(self, consumer: Any, records: Sequence[ConsumerRecord]) -> None:
        """Apply records, then commit their offsets: never the other way round."""
        try:
            await self._delivery.take(records, wait=lambda seconds: self._back_off(consumer, seconds))
        finally:
            consumer.resume(*consumer.paused())
        self._moved_at = time.monotonic()
        nexts: dict[TopicPartition, int] = {}
        for record in records:
            nexts[TopicPartition(record.topic, record.partition)] = record.offset + 1
        mine = {place: offset for place, offset in nexts.items() if place in consumer.assignment()}
        if mine:
            try:
                await _answer(consumer.commit(mine))
            except (KafkaError, IllegalStateError) as error:
                # The effects are committed; whoever gets the partition finds them in the inbox.
                log.info("offsets not committed", error=type(error).__name__)

    async def _step_over(self, consumer: Any, handed: Mapping[TopicPartition, int]) -> None:
        """Set a record aside that the client cannot even decode, and read on behind it.

        The failed poll has moved positions past records that nobody was given, so every partition goes
        back to where its last batch ended, and is then read record by record until the bad one shows.
        """
        for place in consumer.assignment():
            went_to = handed.get(place) or await _answer(consumer.committed(place))
            consumer.seek(place, went_to or (await _answer(consumer.beginning_offsets([place])))[place])
        for place in consumer.assignment():
            end = (await _answer(consumer.end_offsets([place])))[place]
            while (position := await _answer(consumer.position(place))) < end:
                try:
                    got = await _answer(consumer.getmany(place, timeout_ms=POLL_MILLISECONDS, max_records=1))
                except UnicodeDecodeError as error:  # Nothing else was asked for: it is about this record.
                    await self._delivery.park_unreadable(place.topic, place.partition, position, error)
                    consumer.seek(place, position + 1)
                    continue
                for records in got.values():
                    await self._take(consumer, records)

    async def _back_off(self, consumer: Any, seconds: float) -> None:
        """Wait without leaving the group: paused partitions are polled and give nothing."""
        self._moved_at = time.monotonic()
        ends_at = self._moved_at + seconds
        while (left := ends_at - time.monotonic()) > 0:
            consumer.pause(*consumer.assignment())
            try:
                got = await _answer(consumer.getmany(timeout_ms=max(1, int(left * 1000))))
            except UnicodeDecodeError as error:
                # Of a partition that came meanwhile. The poll has moved past what nobody was given: begin anew.
                raise ConnectionError("a record cannot be read") from error
            except (KafkaError, ConnectionError):
                await asyncio.sleep(left)
                return
            for place, records in got.items():  # A partition that came with a rebalance in this very wait.
                consumer.seek(place, records[0].offset)

    # --- Completeness of the replica ---------------------------------------------------------

    async def _watch_completeness(self) -> None:
        """Note, once, that each state topic was read to the end that it had when we looked."""
        wanted = self._handlers.state_topics
        while wanted:
            await asyncio.sleep(0.25)
            consumer = self._consumer
            if consumer is None:
                continue
            with suppress(KafkaError, OSError, TimeoutError, *_DATABASE_TROUBLE):
                wanted = [topic for topic in wanted if not await self._is_complete(consumer, topic)]

    async def _is_complete(self, consumer: Any, topic: str) -> bool:
        async with self._db.begin() as tx:
            if await tx.value(select(replica.c.topic).where(replica.c.topic == topic)) is not None:
                return True
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            return False
        ends = await _answer(consumer.end_offsets([TopicPartition(topic, number) for number in numbers]))
        async with self._db.begin() as tx:
            read = {
                row.partition: row.next_offset
                for row in await tx.rows(
                    select(progress).where(progress.c.consumer == self._handlers.consumer, progress.c.topic == topic)
                )
            }
            if any(read.get(place.partition, 0) < end for place, end in ends.items()):
                return False
            await tx.execute(insert(replica).values(topic=topic, complete_at=func.now()).on_conflict_do_nothing())
        log.info("the replica is complete", topic=topic)
        return True

    # --- Chores ------------------------------------------------------------------------------

    async def _repeat(self, chore: Chore | Errand) -> None:
        while True:
            try:
                if isinstance(chore, Errand):
                    done = await chore.work()
                else:
                    async with self._turn, self._db.begin() as tx:
                        done = await chore.work(tx)
            except Exception as error:  # A chore that fails is said and tried again: it must not end the others.
                done = 0
                say = log.info if database.is_worlds_fault(error) else log.exception
                say("a chore failed", chore=chore.name, error=type(error).__name__)
            if not done:
                await asyncio.sleep(chore.every_seconds)


_SASL = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


def _security(kafka: Kafka) -> BaseSecurity | None:
    """Return how FastStream's broker proves who it is, where it has to."""
    if kafka.context is None:
        return None
    if kafka.protocol == "SASL_SSL":
        return _SASL[kafka.mechanism](kafka.user, kafka.password, ssl_context=kafka.context)
    return BaseSecurity(ssl_context=kafka.context)


async def _answer(asked: Awaitable[A]) -> A:
    """Return what the client answers. Raises UnicodeDecodeError about a record, all else about client or broker.

    A client whose own task has died (on a transport that was closed under it, say) raises that task's error from each
    call from then on: whoever took it for a record's would set aside every record that follows. And one that waits
    inside for a coordinator or an assignment which never comes answers never: it is replaced. Whoever is told to end
    does so, also when the client answers at that very moment and takes the word for its own.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asked
    except (KafkaError, UnicodeDecodeError):
        raise
    except Exception as error:
        raise ConnectionError(f"the client has died: {type(error).__name__}") from error
    finally:
        database.raise_if_cancelled()


async def clean_up(tx: Transaction) -> int:
    """Delete what has served its time, the oldest first. Returns how many rows went; 0 when no more of them wait.

    Receipts go after 7 days, inbox entries after the longest retention and 30, resolved parked records with them.
    """
    now = func.now()
    return slices.left_over(
        await slices.delete_oldest(tx, outbox.c.sent_at, now - text("interval '7 days'")),
        await slices.delete_oldest(tx, inbox.c.seen_at, now - INBOX_KEPT),
        await slices.delete_oldest(tx, parked.c.resolved_at, now - INBOX_KEPT),
    )


async def count_what_waits(tx: Transaction) -> int:
    """Tell operators what is parked, and what waits to be sent: also while the relay cannot, or nobody leads."""
    telemetry.parked_records.set(
        await tx.value(select(func.count()).select_from(parked).where(parked.c.resolved_at.is_(None)))
    )
    # In two halves, each of which is an index of its own: a week of receipts is not walked through.
    unsent = union_all(
        select(outbox.c.time).where(outbox.c.sending_order.is_(None)),
        select(outbox.c.time).where(outbox.c.sent_at.is_(None), outbox.c.sending_order.is_not(None)),
    ).subquery()
    waiting = await tx.one(select(func.count().label("records"), func.min(unsent.c.time).label("oldest")))
    assert waiting is not None, "a count has a row"
    telemetry.outbox_unsent.set(waiting.records)
    telemetry.outbox_age_seconds.set((tx.now - waiting.oldest).total_seconds() if waiting.oldest else 0)
    return 0
