"""The CloudEvents project's own reader takes every example and every released record for what it is."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.exceptions import CloudEventValidationError

from services import compatibility
from tests.subscribers.documents import document

Json = dict[str, Any]
GRANTED = "iacs.directory.role.granted.v1"


def messages() -> Iterator[Any]:
    """Give every example of the document, and every sample of every released version, as a Kafka message."""
    for wire, message in document()["components"]["messages"].items():
        for it in message["examples"]:
            yield pytest.param(as_message(it["headers"], json.dumps(it["payload"])), id=f"{wire} {it['name']}")
    for version in compatibility.versions():
        for path in sorted((version / "samples").iterdir()):
            it = json.loads(path.read_text(encoding="utf-8"))
            yield pytest.param(as_message(it["headers"], it["body"], it["key"]), id=f"{version.name} {path.stem}")


def as_message(headers: Json, body: str, key: str | None = None) -> kafka.KafkaMessage:
    return kafka.KafkaMessage({name: text.encode() for name, text in headers.items()}, key, body.encode())


def granted(**changed: str | None) -> kafka.KafkaMessage:
    """Return a good message with some headers otherwise; None takes one away."""
    example = document()["components"]["messages"][GRANTED]["examples"][0]
    headers = {**example["headers"], **{f"ce_{name}": text for name, text in changed.items()}}
    return as_message(
        {name: text for name, text in headers.items() if text is not None}, json.dumps(example["payload"])
    )


@pytest.mark.parametrize("message", list(messages()))
def test_it_is_read_as_what_its_headers_and_its_body_say(message: kafka.KafkaMessage) -> None:
    event = kafka.from_kafka_event(message)

    said = {name.removeprefix("ce_"): raw.decode() for name, raw in message.headers.items() if name[:3] == "ce_"}
    time = datetime.fromisoformat(said.pop("time"))
    if message.key is not None:
        said["partitionkey"] = str(message.key)  # This reader takes the key for it: a state's is its entity's.
    assert event.get_time() == time
    assert {name: event.get_attributes()[name] for name in said} == said
    assert event.get_datacontenttype() == "application/json"
    assert event.get_data() == json.loads(message.value)


@pytest.mark.parametrize(
    "message",
    [
        granted(source=None),
        granted(type=None),
        granted(id=""),
        granted(specversion="0.9"),
        granted(subject=""),
        granted(time="2026-11-02T14:05:09"),
        granted(correlation_id="an underscore"),
    ],
    ids=["no source", "no type", "empty id", "other version", "empty subject", "no offset", "name of an attribute"],
)
def test_a_broken_record_is_refused(message: kafka.KafkaMessage) -> None:
    with pytest.raises(CloudEventValidationError):
        kafka.from_kafka_event(message)
