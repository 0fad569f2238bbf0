"""When nothing is left to do: every outbox is sent, every record is handled, everybody is told, every mail has left."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared import deployment, topics

SECONDS = 1.5
LOOKS = 3
_PAUSE_SECONDS = 0.25
_LOOK_SECONDS = 15.0
_PATIENCE_SECONDS = 180.0
_UNSENT = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
_PROGRESS = "SELECT topic, partition, next_offset FROM progress"
_NOTICES = (
    "SELECT state, name, count(*) AS n, max(attempt_count) AS tries, min(next_at) AS next_at FROM notice "
    "WHERE state IN ('waiting', 'due', 'sending', 'unknown') GROUP BY state, name"
)
_DEPARTURES = "SELECT what, tell_at FROM departure WHERE told_at IS NULL"


@dataclass(frozen=True)
class Watch:
    """Connections to all that has to become quiet: opening them costs more than many a look."""

    databases: Mapping[str, asyncpg.Connection]
    kafka: AIOKafkaConsumer

    async def left(self) -> list[str]:
        """Return what is still to be done."""
        ends = await ends_of(self.kafka)
        found = []
        for service, database in self.databases.items():
            unsent = await database.fetchval(_UNSENT)
            read = {(row["topic"], row["partition"]): row["next_offset"] for row in await database.fetch(_PROGRESS)}
            heard = {topic for topic, _ in read}
            behind = [p for p, end in ends.items() if p.topic in heard and read.get((p.topic, p.partition), 0) < end]
            if unsent:
                found.append(f"{service} has {unsent} records to send")
            if behind:
                places = ", ".join(f"{place.topic}-{place.partition}" for place in behind)
                found.append(f"{service} has not read {places} to the end")
        notification = self.databases["notification"]
        # Who is left when a role ends is told a moment after: what others hear meanwhile is looked at first.
        kept = [*await notification.fetch(_NOTICES), *await notification.fetch(_DEPARTURES)]
        return found + [f"notification keeps {dict(row)}" for row in kept]


async def wait(told: Mapping[str, str], kafka_servers: str) -> None:
    """Return once it has been quiet for a while. Fails, saying what is left, if it never becomes so."""
    left: object = "nothing was looked at"
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            async with _watching(told, kafka_servers) as watch:
                quiet_since, quiet_looks = time.monotonic(), 0
                # A look is not one moment: what leaves one service while another is looked at is seen by the next.
                while quiet_looks < LOOKS or time.monotonic() - quiet_since < SECONDS:
                    assert time.monotonic() < ends_at, f"it never became quiet: {left}"
                    async with asyncio.timeout(_LOOK_SECONDS):
                        left = await watch.left()
                    quiet_looks += 1
                    if left:
                        quiet_since, quiet_looks = time.monotonic(), 0
                    await asyncio.sleep(_PAUSE_SECONDS)
                return
        except (KafkaError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as trouble:
            left = repr(trouble)  # What was killed is on its way up again.
        assert time.monotonic() < ends_at, f"it never became quiet: {left}"
        await asyncio.sleep(_PAUSE_SECONDS)


@asynccontextmanager
async def _watching(told: Mapping[str, str], kafka_servers: str) -> AsyncIterator[Watch]:
    async with AsyncExitStack() as opened:
        databases = {}
        for service in deployment.SERVICES:
            connection = await asyncpg.connect(
                told[f"IACS_{service.upper()}_DATABASE_URL"], command_timeout=_LOOK_SECONDS
            )
            opened.push_async_callback(connection.close)
            databases[service] = connection
        yield Watch(databases, await opened.enter_async_context(kafka_reader(kafka_servers)))


@asynccontextmanager
async def kafka_reader(servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that knows every partition of ours."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    try:
        await consumer.start()
        consumer.assign(places())  # It asks for them at once, where it else waits until a pause for metadata is over.
        yield consumer
    finally:
        await consumer.stop()


async def ends_of(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """Return where each partition ends: how many records were ever put on it."""
    ends: dict[TopicPartition, int] = await consumer.end_offsets(places())
    return ends


def places(*names: str) -> list[TopicPartition]:
    """Return the partitions of these topics; of all, if none is named."""
    return [
        TopicPartition(name, number) for name in names or topics.BY_NAME for number in range(topics.PARTITION_COUNT)
    ]
