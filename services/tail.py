"""Prints events as they come: for subscribers who try the topics, and for operators who follow a request.

Reads without a group, so it leaves no trace and takes nothing from anybody.
"""

import heapq
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from rich.text import Text

from shared import envelope, topics
from shared.envelope import BadRecordError, Envelope
from shared.kafka import Kafka

_FACTS = (
    "kind",
    "role",
    "place_kind",
    "state",
    "status",
    "stage",
    "reason",
    "why",
    "refusal",
    "cause",
    "decided_as",
    "version",
    "current",
    "person_id",
    "applicant_id",
    "place_id",
    "community_id",
)
"""What a line shows of a body, if it is there: codes and ids, never what could be somebody's name."""
_BATCH_MS = 250
_LONGEST_FACT = 64


@dataclass(frozen=True)
class Seen:
    """One event as it lies on its topic. `body` is None where a record deletes its entity."""

    topic: str
    partition: int
    offset: int
    about: Envelope
    attributes: dict[str, str]
    body: dict[str, Any] | None

    @property
    def requests(self) -> set[str]:
        """The ids that may be the one of its request."""
        named = {str(self.about.correlation_id), self.about.subject}
        return named | {str((self.body or {}).get("request_id"))}


@dataclass(frozen=True)
class Bad:
    """A record that is no event as decided, and where it lies. `why` names rules, never content."""

    topic: str
    partition: int
    offset: int
    why: str


@dataclass(frozen=True)
class Wanted:
    """Which events to show. Whatever is left open is wanted in full."""

    type_part: str | None = None
    scope_id: UUID | None = None
    request_id: UUID | None = None

    def has(self, event: Seen) -> bool:
        """Whether an event is one of them."""
        about = event.about
        return (
            (self.type_part is None or self.type_part in about.type)
            and (self.scope_id is None or self.scope_id == about.scope_id)
            and (self.request_id is None or str(self.request_id) in event.requests)
        )


def names(asked: Sequence[str], *, with_internal: bool) -> tuple[str, ...]:
    """Return the topics to read: those asked for, by name or by its middle, or else all with events.

    Raises ValueError for one that there is not, or that is internal.
    """
    allowed = [topic for topic in topics.TOPICS if topic.public or with_internal]
    if not asked:
        return tuple(topic.name for topic in allowed if not topic.is_state)
    found = []
    for name in asked:
        whole = name if name.startswith("iacs.") else f"iacs.{name}.v1"
        if whole not in topics.BY_NAME:
            raise ValueError(f"There is no topic {whole}: {', '.join(topic.name for topic in allowed)}.")
        if whole not in {topic.name for topic in allowed}:
            raise ValueError(f"{whole} is internal, and may hold names and addresses: add --internal to read it.")
        found.append(whole)
    return tuple(dict.fromkeys(found))


async def follow(
    kafka: Kafka,
    names: Sequence[str],
    wanted: Wanted,
    *,
    from_beginning: bool = False,
    on_listening: Callable[[], None] = lambda: None,
) -> AsyncGenerator[Seen | Bad]:
    """Yield what is wanted of these topics, for ever: what comes, after what is there if so asked.

    Calls `on_listening` once nothing that comes can be missed. What cannot be read is yielded too,
    unless only some events are wanted: nobody knows which it was. Raises KafkaError.
    """
    consumer = AIOKafkaConsumer(*names, **kafka.client(), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        if not from_beginning:
            for place, end in (await consumer.end_offsets(consumer.assignment())).items():
                consumer.seek(place, end)
        on_listening()
        while True:
            batch = await consumer.getmany(timeout_ms=_BATCH_MS)
            # Each partition keeps its order; between them the clock decides.
            for record in heapq.merge(*batch.values(), key=lambda record: record.timestamp):
                found = read(record)
                if wanted == Wanted() or (isinstance(found, Seen) and wanted.has(found)):
                    yield found
    finally:
        await consumer.stop()


def read(record: ConsumerRecord) -> Seen | Bad:
    """Return what a record says, or why it says nothing."""
    try:
        about, value = envelope.read(record.headers, record.value)
        body = None if value is None else json.loads(value)
        if not isinstance(body, dict | None):
            raise BadRecordError("the body must be a JSON object")
    except (BadRecordError, ValueError, RecursionError) as trouble:
        why = str(trouble) if isinstance(trouble, BadRecordError) else "the body must be JSON"
        return Bad(record.topic, record.partition, record.offset, why)
    return Seen(record.topic, record.partition, record.offset, about, _attributes(record), body)


def _attributes(record: ConsumerRecord) -> dict[str, str]:
    texts = {name: raw.decode() for name, raw in record.headers}
    if not texts.get("content-type", "").startswith("application/cloudevents"):
        found = {name[3:]: text for name, text in texts.items() if name.startswith("ce_")}
    else:
        found = {name: it for name, it in json.loads(record.value).items() if name not in ("data", "datacontenttype")}
    return found | ({"traceparent": texts["traceparent"]} if "traceparent" in texts else {})


# --- How it is shown --------------------------------------------------------------------------


def structured(event: Seen) -> str:
    """Return an event as one line: CloudEvents' structured mode in JSON, without data where it deletes."""
    whole: dict[str, Any] = dict(event.attributes)
    if event.body is not None:
        whole |= {"datacontenttype": envelope.JSON, "data": event.body}
    return json.dumps(whole)


def line(found: Seen | Bad) -> Text:
    """Return a line for people: when, what, about what, and what matters of it."""
    if isinstance(found, Bad):
        return Text(f"{found.topic}/{found.partition}/{found.offset} is no event: {_shown(found.why)}", "red")
    about, kind = found.about, found.about.type.removeprefix("iacs.").removesuffix(".v1")
    parts = [
        (f"{about.time.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{about.time.microsecond // 1000:03} ", "dim"),
        (f"{_shown(kind)} ", "bold"),
        (_shown(about.subject), "cyan"),
    ]
    if found.body is None:
        return Text.assemble(*parts, " deleted")
    facts = [(name, found.body[name]) for name in _FACTS if isinstance(found.body.get(name), str | int)]
    return Text.assemble(*parts, *(f" {name}={_shown(value)}" for name, value in facts if value != about.subject))


def _shown(value: str | int) -> str:
    """Return a text that cannot steer a terminal."""
    return "".join(letter if letter.isprintable() else "·" for letter in str(value)[:_LONGEST_FACT])
