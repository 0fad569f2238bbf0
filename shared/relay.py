"""From the outbox to Kafka: one leader per service, numbers before sends, never out of order in a scope.

The leader holds an advisory lock on a direct connection and works on that very connection: who has
lost the lock can write nothing. It takes whatever is committed and unnumbered (never "id > last":
ids commit out of order), gives each record the next number of its source and commits that *before*
the first send, so that sending again sends the same bytes. Within a scope nothing leaves after a
failed send until that one is acknowledged. Kafka does not fsync and PostgreSQL does, so a leader
compares its receipts with the log's end before it goes on. Source: architecture 5.
"""

import asyncio
import time
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from shared import database, envelope, telemetry, topics
from shared.kafka import Kafka

log = telemetry.logger(__name__)

BATCH = 500
POLL_SECONDS = 0.5
COMPARE_SECONDS = 10.0
CUT_LOOKED_FOR_RECORDS = 10_000
GRACE_SECONDS = 3.0
SILENCE_SECONDS = 15.0
_LEADER_CLASS = 0x1AC5
_REST_SECONDS = (0.1, 2.0)
_STEADY_SECONDS = 10.0

Row = Mapping[str, Any]
T = TypeVar("T")


class LogCutError(Exception):
    """Kafka acknowledged at an offset where something of ours already stood: its log was cut short."""


class Relay:
    """Sends what one service says. `run` leads whenever no other process does, until cancelled."""

    def __init__(
        self, service: str, db: database.Database, kafka: Kafka, *, partition_count: int = topics.PARTITION_COUNT
    ) -> None:
        self._service = service
        self._db = db
        self._kafka = kafka
        self._partition_count = partition_count
        self._topics = [topic for topic in topics.TOPICS if topic.owner == service]
        self._highest: dict[tuple[str, int], int] = {}
        self._wake = asyncio.Event()
        self.is_leader = False

    async def run(self) -> None:
        """Lead, and after trouble lead again. Trouble around us is waited out, and never ends this."""
        rest = _REST_SECONDS[0]
        while True:
            began = time.monotonic()
            try:
                await self._lead()
            except (
                KafkaError,
                LogCutError,
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
                TimeoutError,
            ) as error:
                database.raise_if_cancelled(error)
                log.warning("relay rests", error=type(error).__name__)
            finally:
                self.is_leader = False
                telemetry.broker_reachable.set(0)
            # Who led for a while met new trouble, not the old.
            rest = _REST_SECONDS[0] if time.monotonic() - began > _STEADY_SECONDS else min(rest * 2, _REST_SECONDS[1])
            await asyncio.sleep(rest)

    async def _lead(self) -> None:
        # A leader that vanished without closing its connection is noticed by the server in seconds.
        connection = await self._db.connect(
            tcp_keepalives_idle="1",
            tcp_keepalives_interval="1",
            tcp_keepalives_count="2",
            tcp_user_timeout="3000",
        )
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            lock = zlib.crc32(self._service.encode()) & 0x7FFFFFFF
            # Asked again and again: a statement that waits for the lock would hold back vacuum all the while.
            while not await connection.fetchval(  # noqa: ASYNC110 - the lock is PostgreSQL's.
                "SELECT pg_try_advisory_lock($1, $2)", _LEADER_CLASS, lock
            ):
                await asyncio.sleep(POLL_SECONDS)
            self.is_leader = True
            await connection.add_listener(database.WAKE_CHANNEL, lambda *_: self._wake.set())
            await self._send_while_all_is_well(connection, lost)
        finally:
            with suppress(
                OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError
            ):
                await connection.close(timeout=2)

    async def _send_while_all_is_well(self, connection: Any, lost: asyncio.Event) -> None:
        producer = AIOKafkaProducer(
            **self._kafka.client(), acks="all", enable_idempotence=True, request_timeout_ms=10_000
        )
        consumer = AIOKafkaConsumer(**self._kafka.client(), enable_auto_commit=False)
        try:
            await producer.start()
            await consumer.start()
            counts = {topic.name: len(await producer.partitions_for(topic.name)) for topic in self._topics}
            if set(counts.values()) != {self._partition_count}:
                # A broker that has just started tells of some partitions only: counted on, they would send a
                # scope to another partition than before, out of its order.
                raise ConnectionError(f"not every partition is known yet: {counts}")
            telemetry.broker_reachable.set(1)
            order = await connection.fetchval("SELECT coalesce(max(sending_order), 0) FROM outbox")
            lost_ids = await self._resend_what_the_log_lost(
                connection, consumer, counts, look_back=CUT_LOOKED_FOR_RECORDS
            )
            compared_at, looked_at = time.monotonic(), float("-inf")
            ahead: Sequence[Row] = []
            while True:
                self._wake.clear()
                if time.monotonic() - compared_at > COMPARE_SECONDS:
                    lost_ids |= await self._resend_what_the_log_lost(connection, consumer, counts, look_back=0)
                    compared_at, looked_at = time.monotonic(), float("-inf")
                rows, ahead = ahead, []
                if time.monotonic() - looked_at > POLL_SECONDS:
                    # What has its numbers goes before all that has none: a former leader left it, it is to be sent
                    # again, or it was numbered ahead.
                    most = BATCH + len(rows)
                    rows = await _numbered(connection, most)
                    if not rows and lost_ids:
                        # What was lost has filled its place in the log, in whatever order: who had read some of it
                        # goes on amid of that. Sent once more, all of it lies where everybody is still to read.
                        rows, lost_ids = await _unsent_again(connection, lost_ids), set()
                    elif len(rows) < most:
                        looked_at = time.monotonic()
                if not rows:
                    rows, order = await _number(connection, order)
                if rows:
                    # While Kafka takes these, PostgreSQL numbers the next; not while something waits for its turn.
                    is_all = not lost_ids and time.monotonic() - looked_at <= POLL_SECONDS
                    numbering = partial(_number, connection, order) if is_all else partial(_nothing, order)
                    ahead, order = await _unless(lost, self._send(connection, producer, counts, rows, numbering))
                else:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_SECONDS):
                            await self._wake.wait()
        finally:
            await _abandon(producer)
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await consumer.stop()

    async def _send(
        self,
        connection: Any,
        producer: AIOKafkaProducer,
        counts: Mapping[str, int],
        rows: Sequence[Row],
        beside: Callable[[], Awaitable[T]],
    ) -> T:
        """Send rows: scopes beside each other, each scope's rows one after the other.

        Returns what comes of the work that is done `beside`, on the same connection before the receipts are written.
        """
        scopes: dict[UUID, list[Row]] = defaultdict(list)
        for row in rows:
            scopes[row["scope_id"]].append(row)
        receipts: list[tuple[UUID, int, int]] = []
        trouble: list[BaseException] = []

        async def send_scope(mine: Sequence[Row]) -> None:
            for row in mine:
                partition = _hash_of(row["scope_id"]) % counts[row["topic"]]
                try:
                    future = await producer.send(
                        row["topic"],
                        key=row["key"].encode(),
                        value=None if row["body"] is None else row["body"].encode(),
                        headers=envelope.headers_of(row),
                        partition=partition,
                    )
                    receipt = await future
                except (KafkaError, OSError) as error:
                    trouble.append(error)
                    return
                receipts.append((row["id"], receipt.partition, receipt.offset))
                telemetry.broker_reachable.set(1)
                telemetry.events_sent.labels(row["topic"]).inc()
                if not self._is_in_order(row["topic"], receipt.partition, receipt.offset):
                    trouble.append(LogCutError(row["topic"]))

        watching = asyncio.create_task(_watch(receipts), name="silence")
        sending = [asyncio.create_task(send_scope(mine)) for mine in scopes.values()]
        try:
            done = await beside()
            await asyncio.gather(*sending)
        finally:
            for task in (watching, *sending):
                task.cancel()
        await connection.execute(
            """
            UPDATE outbox SET sent_at = now(), sent_partition = r.partition, sent_offset = r.offset_
            FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS r (id, partition, offset_)
            WHERE outbox.id = r.id
            """,
            [receipt[0] for receipt in receipts],
            [receipt[1] for receipt in receipts],
            [receipt[2] for receipt in receipts],
        )
        if trouble:
            raise trouble[0]
        return done

    def _is_in_order(self, topic: str, partition: int, offset: int) -> bool:
        highest = self._highest.get((topic, partition), -1)
        self._highest[(topic, partition)] = max(highest, offset)
        return offset > highest

    async def _resend_what_the_log_lost(
        self, connection: Any, consumer: AIOKafkaConsumer, counts: Mapping[str, int], *, look_back: int
    ) -> set[UUID]:
        """Mark as unsent what we have receipts for and the log has not, and all that came after it there.

        A log was cut where our receipts lie beyond its end, or where two of them name the same offset:
        it has grown again since. From the cut on everything is sent once more, so that what is new does
        not stand before what is old; a compacted topic would keep the old for ever. Returns the ids.
        """
        ends = await consumer.end_offsets(
            [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]
        )
        lost = await connection.fetch(
            """
            WITH recent AS (
              SELECT o.id, o.topic, o.sent_partition, o.sent_offset, e.end_,
                     count(*) OVER (PARTITION BY o.topic, o.sent_partition, o.sent_offset) AS twins
              FROM unnest($1::text[], $2::int[], $3::bigint[]) AS e (topic, partition, end_)
              -- OFFSET 0 keeps this a walk along ix_outbox_receipt, and never a scan of a week of rows.
              CROSS JOIN LATERAL (
                SELECT id, topic, sent_partition, sent_offset FROM outbox
                WHERE topic = e.topic AND sent_partition = e.partition AND sent_offset >= e.end_ - $4 OFFSET 0) AS o
            ), cut AS (
              SELECT topic, sent_partition, min(sent_offset) AS at FROM recent
              WHERE sent_offset >= end_ OR twins > 1 GROUP BY topic, sent_partition
            )
            UPDATE outbox SET sent_at = NULL, sent_partition = NULL, sent_offset = NULL
            FROM recent JOIN cut USING (topic, sent_partition)
            WHERE outbox.id = recent.id AND recent.sent_offset >= cut.at
            RETURNING outbox.id
            """,
            [place.topic for place in ends],
            [place.partition for place in ends],
            list(ends.values()),
            look_back,
        )
        if lost:
            log.warning("the log was cut short: sending again", record_count=len(lost))
        self._highest = {(place.topic, place.partition): end - 1 for place, end in ends.items()}
        return {row["id"] for row in lost}


@lru_cache(maxsize=10_000)
def _hash_of(scope_id: UUID) -> int:
    """Return what every client of Kafka makes of a scope as a key. One request leaves ten records of its scope."""
    return int(murmur2(str(scope_id).encode())) & 0x7FFFFFFF


async def _watch(receipts: Sequence[Any]) -> None:
    """Tell operators when nothing was acknowledged for a while: a send that gets no answer waits for one for ever."""
    heard_count, is_silent = 0, False
    while True:
        await asyncio.sleep(SILENCE_SECONDS)
        was_silent, is_silent = is_silent, len(receipts) == heard_count
        heard_count = len(receipts)
        if is_silent and not was_silent:
            telemetry.broker_reachable.set(0)
            log.warning("the broker does not answer")


async def _unless(lost: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Do the work, and stop at once when the lock is lost: another leads by now.

    When we are told to end, what is on its way is finished, so that nothing is sent again needlessly.
    """
    working = asyncio.create_task(work, name="send")
    losing = asyncio.create_task(lost.wait(), name="lock lost")
    try:
        await asyncio.wait({working, losing}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await asyncio.wait({working}, timeout=GRACE_SECONDS)
        raise
    finally:
        losing.cancel()
        if not working.done():
            working.cancel()
    if not working.done():
        raise ConnectionError("the relay has lost its lock")
    return await working


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Close a producer without its flush: what was not acknowledged is for whoever leads next.

    An idempotent producer never gives a batch up, so `stop` would send it when Kafka is back: late,
    and after what the next leader has sent.
    """
    sender = producer._sender
    producer._closed = True
    if sender is not None and sender.sender_task is not None:
        sender.sender_task.cancel()
        await asyncio.wait({sender.sender_task}, timeout=GRACE_SECONDS)
    with suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS):
            await producer.client.close()


async def _numbered(connection: Any, most: int) -> list[Row]:
    """Return what has its numbers but no receipt, in the order of the numbers."""
    rows: list[Row] = await connection.fetch(
        "SELECT * FROM outbox WHERE sent_at IS NULL AND sending_order IS NOT NULL ORDER BY sending_order LIMIT $1",
        most,
    )
    return rows


async def _unsent_again(connection: Any, ids: Collection[UUID]) -> list[Row]:
    """Mark rows that were sent as unsent, and return the first of them."""
    await connection.execute(
        "UPDATE outbox SET sent_at = NULL, sent_partition = NULL, sent_offset = NULL WHERE id = ANY($1)", list(ids)
    )
    return await _numbered(connection, BATCH)


async def _nothing(order: int) -> tuple[list[Row], int]:
    """Number nothing."""
    return [], order


async def _number(connection: Any, order: int) -> tuple[list[Row], int]:
    """Give the oldest unnumbered rows their numbers and commit; return them, and the last order used."""
    async with connection.transaction():
        fresh = await connection.fetch(
            "SELECT * FROM outbox WHERE sending_order IS NULL ORDER BY position LIMIT $1", BATCH
        )
        if not fresh:
            return [], order
        streams = [(topics.BY_NAME[row["topic"]].stream or row["topic"], row["scope_id"]) for row in fresh]
        counted = await connection.fetch(
            """
            SELECT s.topic, s.scope_id, s.sequence FROM outbox_source AS s
            JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::uuid[])) AS w (topic, scope_id) USING (topic, scope_id)
            """,
            [topic for topic, _ in streams],
            [scope for _, scope in streams],
        )
        last = {(row["topic"], row["scope_id"]): row["sequence"] for row in counted}
        numbers: list[tuple[UUID, int, int | None, int | None]] = []
        for row, stream in zip(fresh, streams, strict=True):
            order += 1
            if topics.BY_NAME[row["topic"]].is_state:
                numbers.append((row["id"], order, None, last.get(stream, 0)))
            else:
                last[stream] = last.get(stream, 0) + 1
                numbers.append((row["id"], order, last[stream], None))
        await connection.execute(
            """
            INSERT INTO outbox_source SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[])
            ON CONFLICT (topic, scope_id) DO UPDATE SET sequence = excluded.sequence
            """,
            [topic for topic, _ in last],
            [scope for _, scope in last],
            list(last.values()),
        )
        numbered = await connection.fetch(
            """
            UPDATE outbox SET sending_order = n.order_, sequence = n.sequence, as_of_sequence = n.as_of,
                   recorded_at = now()
            FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS n (id, order_, sequence, as_of)
            WHERE outbox.id = n.id RETURNING outbox.*
            """,
            *(list(column) for column in zip(*numbers, strict=True)),
        )
    return sorted(numbered, key=lambda row: row["sending_order"]), order
