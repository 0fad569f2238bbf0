"""Kafka records for tests: made by hand as the relay would make them, and read back from a topic."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError

from shared import envelope
from shared.contracts.base import Event, State
from shared.ids import new_id
from shared.testing.waiting import until

Header = tuple[str, bytes | None]

_offsets = count()


@dataclass(frozen=True)
class Record:
    """A record as a consumer gets it."""

    topic: str
    headers: Sequence[Header]
    value: bytes | None
    partition: int = 0
    offset: int = field(default_factory=lambda: next(_offsets))
    key: bytes | None = None

    def having(self, name: str, value: bytes | None) -> "Record":
        """Return it with another value of one header, which it need not have had."""
        return replace(self, headers=[*self.lacking(name).headers, (name, value)])

    def lacking(self, name: str) -> "Record":
        """Return it without one header."""
        return replace(self, headers=[header for header in self.headers if header[0] != name])

    def again(self) -> "Record":
        """Return it as a resend makes it: the same bytes, further on in the log."""
        return replace(self, offset=next(_offsets))


def row_of(body: Event | State, *, subject: UUID | str, scope: UUID | None = None, **values: object) -> dict[str, Any]:
    """Return the outbox row of `body`, numbered; `values` are columns that matter here."""
    is_state = isinstance(body, State)
    return {
        "id": new_id(),
        "topic": body.topic,
        "key": str(subject if is_state else scope or subject),
        "scope_id": scope or subject,
        "type": body.wire,
        "subject": str(subject),
        "time": datetime.now(UTC),
        "recorded_at": datetime.now(UTC),
        "sequence": None if is_state else 1,
        "entity_version": 1 if is_state else None,
        "as_of_sequence": 0 if is_state else None,
        "correlation_id": None,
        "causation_id": None,
        "traceparent": "",
        **values,
    }


def record_of(body: Event | State, *, subject: UUID | str, scope: UUID | None = None, **values: object) -> Record:
    """Return the record that the relay would send for `body`."""
    row = row_of(body, subject=subject, scope=scope, **values)
    headers: list[Header] = list(envelope.headers_of(row))
    return Record(body.topic, headers, body.model_dump_json().encode(), key=row["key"].encode())


def attributes_of(record: Any) -> dict[str, str]:
    """Return the CloudEvents attributes of a record that is as it should be."""
    return {name[3:]: raw.decode() for name, raw in record.headers if name.startswith("ce_")}


class Tail:
    """What has come onto some topics since this was made."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._seen: list[ConsumerRecord] = []

    async def records(
        self, *scopes: UUID, expected_count: int, of_topics: Sequence[str] | None = None
    ) -> list[ConsumerRecord]:
        """Return what came of these scopes, in the log's order, when there is as much as expected.

        Raises TimeoutError. More than is expected is returned too, if it was there already.
        """
        wanted = {str(scope) for scope in scopes}

        def fits(record: ConsumerRecord) -> bool:
            here = of_topics is None or record.topic in of_topics
            return here and attributes_of(record).get("partitionkey") in wanted

        return await self._those(fits, expected_count)

    async def _those(self, fits: Callable[[ConsumerRecord], bool], expected_count: int) -> list[ConsumerRecord]:
        idle_count = 0
        while len(found := [record for record in self._seen if fits(record)]) < expected_count:
            got = await self._consumer.getmany(timeout_ms=500)
            idle_count = 0 if got else idle_count + 1
            if idle_count > 30:
                raise TimeoutError(f"{len(found)} records came instead of {expected_count}")
            self._seen += [record for records in got.values() for record in records]
        return found


@asynccontextmanager
async def tail(servers: str, *topics: str) -> AsyncIterator[Tail]:
    """Listen to `topics` from their present ends."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await consumer.start()
    try:
        cluster = await until(lambda: _known(consumer))
        assert cluster is not None
        places = [TopicPartition(topic, n) for topic in topics for n in cluster.partitions_for_topic(topic) or ()]
        consumer.assign(places)
        for place, end in (await consumer.end_offsets(places)).items():
            consumer.seek(place, end)
        yield Tail(consumer)
    finally:
        await consumer.stop()


async def _known(consumer: AIOKafkaConsumer) -> ClusterMetadata | None:
    """Return what there is; None of a broker that was silent and is about to be let in again."""
    try:
        return await consumer._client.fetch_all_metadata()
    except KafkaError:
        return None
