"""The AsyncAPI document says what the models, the envelope and the broker say, and its examples are true to it."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services import asyncapi, contracts
from shared import envelope, topics
from shared.testing.product import Product
from shared.testing.records import record_of
from tests.subscribers.documents import Json, faults, merged

DOCUMENT = json.loads(asyncapi.FILE.read_text(encoding="utf-8"))
PUBLIC = [body for body in contracts.published() if topics.BY_NAME[body.topic].public]
MESSAGES = DOCUMENT["components"]["messages"]
CHANNELS = {channel["address"]: channel for channel in DOCUMENT["channels"].values()}
GRANTED = "iacs.directory.role.granted.v1"


def test_the_file_is_what_the_models_say() -> None:
    assert asyncapi.FILE.read_text(encoding="utf-8") == asyncapi.text()


def test_every_public_type_is_a_message_of_its_topic_and_nothing_internal_is_told() -> None:
    told = {name: set(channel["messages"]) for name, channel in CHANNELS.items()}
    public = {topic.name for topic in topics.TOPICS if topic.public}
    assert told == {name: {body.wire for body in PUBLIC if body.topic == name} for name in public}
    text = json.dumps(DOCUMENT)
    for topic in topics.TOPICS:
        assert topic.public or topic.name not in text
    assert "sealed" not in text


def test_every_message_is_named_after_its_type_and_pins_it() -> None:
    for wire, message in MESSAGES.items():
        assert message["name"] == wire
        assert message["headers"]["properties"]["ce_type"] == {"const": wire}


def test_we_send_every_message_of_every_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        there = DOCUMENT["channels"][channel.rsplit("/")[-1]]["messages"]
        assert operation["action"] == "send"
        assert [each["$ref"] for each in operation["messages"]] == [f"{channel}/messages/{name}" for name in there]
    assert len(DOCUMENT["operations"]) == len(CHANNELS)


async def test_a_channel_has_the_settings_that_the_broker_has(product: Product) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=product.kafka_servers)
    await admin.start()
    try:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in CHANNELS])
    finally:
        await admin.close()
    for _, _, _, name, entries in (resource for answer in answers for resource in answer.resources):
        actual = {entry[0]: entry[1] for entry in entries}
        binding = CHANNELS[name]["bindings"]["kafka"]
        told = binding["topicConfiguration"]
        wanted = {key: value[0] if isinstance(value, list) else str(value) for key, value in told.items()}
        assert wanted == {key: actual[key] for key in told}
        assert {"cleanup.policy", "max.message.bytes"} < set(told)
        assert binding["partitions"] == topics.PARTITION_COUNT


def test_a_payload_is_described_as_in_the_published_schemas() -> None:
    for body in PUBLIC:
        published = json.loads((contracts.FOLDER / f"{body.wire}.json").read_text(encoding="utf-8"))
        schema = DOCUMENT["components"]["schemas"][MESSAGES[body.wire]["payload"]["$ref"].rsplit("/")[-1]]
        assert schema["properties"].keys() == published["properties"].keys()
        assert schema.get("required") == published.get("required")


@pytest.mark.parametrize("wire", MESSAGES)
def test_the_examples_of_a_message_fit_it_with_its_trait_merged_under_it(wire: str) -> None:
    examples = MESSAGES[wire]["examples"]
    assert len(examples) >= 2
    for example in examples:
        assert faults(DOCUMENT, wire, headers=example["headers"], payload=example["payload"]) == []
        raw = [(name, value.encode()) for name, value in example["headers"].items()]
        about, _ = envelope.read(raw, json.dumps(example["payload"]).encode())
        assert about.type == wire


@pytest.mark.parametrize("body", contracts.published(), ids=lambda body: body.wire)
def test_an_example_is_in_the_scope_in_which_it_happens(body: asyncapi.Body) -> None:
    names = [
        name for name in ("scope_id", "organization_id", "practitioner_id", "person_id") if name in body.model_fields
    ]
    for example in asyncapi.examples(body):
        if names:  # Only communities and token keys belong to none of these.
            assert example["headers"]["ce_partitionkey"] == example["payload"][names[0]]


def test_an_example_shows_something_of_every_field() -> None:
    assert asyncapi.stand_ins() == [], "say in services/asyncapi.py, _VALUES, what these fields look like"


def test_a_field_of_which_nobody_has_said_what_it_looks_like_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {name: values for name, values in asyncapi._VALUES.items() if name != "city"}
    monkeypatch.setattr(asyncapi, "_VALUES", told)
    assert asyncapi.stand_ins() == ["OrganizationState.city"]


@pytest.mark.parametrize(
    ("part", "spoil"),
    [
        ("headers", lambda it: it.update({"ce_type": "iacs.directory.role.ended.v1"})),
        ("headers", lambda it: it.pop("ce_type")),
        ("headers", lambda it: it.pop("ce_id")),
        ("headers", lambda it: it.pop("ce_sequence")),
        ("headers", lambda it: it.update({"ce_sequence": "7"})),
        ("headers", lambda it: it.update({"ce_time": "2026-11-02T14:05:09"})),
        ("headers", lambda it: it.update({"ce_source": "/iacs/iacs.approval.v1/scopes/1"})),
        ("headers", lambda it: it.update({"content-type": "text/plain"})),
        ("payload", lambda it: it.pop("person_id")),
        ("payload", lambda it: it.update({"person_id": "somebody"})),
        ("payload", lambda it: it.update({"role": "no code!"})),
        ("payload", lambda it: it.update({"effective_from": "yesterday"})),
    ],
)
def test_a_broken_sample_is_refused(part: str, spoil: Callable[[Json], Any]) -> None:
    sample = json.loads(json.dumps(MESSAGES[GRANTED]["examples"][0]))
    spoil(sample[part])
    assert faults(DOCUMENT, GRANTED, headers=sample["headers"], payload=sample["payload"]) != []


@pytest.mark.parametrize("body", PUBLIC, ids=lambda body: body.wire)
def test_what_the_relay_sends_is_what_the_document_says(body: asyncapi.Body) -> None:
    example = MESSAGES[body.wire]["examples"][0]
    subject = example["headers"]["ce_subject"]
    scope = UUID(example["headers"]["ce_partitionkey"])
    made = body.model_validate(example["payload"])
    trace = example["headers"]["traceparent"]
    record = record_of(made, subject=subject, scope=scope, correlation_id=scope, causation_id=scope, traceparent=trace)
    headers = {name: (raw or b"").decode() for name, raw in record.headers}
    key = (record.key or b"").decode()

    assert faults(DOCUMENT, body.wire, headers=headers, payload=json.loads(record.value or b""), key=key) == []
    described = merged(DOCUMENT, body.wire)["headers"]
    others = {"ce_sequence"} if topics.BY_NAME[body.topic].is_state else {"ce_entityversion", "ce_asofsequence"}
    assert set(headers) == set(described["properties"]) - others
    # What a caller or an operator did has no event as its cause; all else is always there.
    assert set(described["required"]) == set(headers) - {"ce_causationid"}


def test_every_channel_says_how_to_read_it() -> None:
    for name, channel in CHANNELS.items():
        rules = channel["x-iacs-reading"]
        topic = topics.BY_NAME[name]
        assert {"access", "ordering", "delivery", "retention", "unknownTypes", "deprecation"} < set(rules)
        assert ({"versions", "snapshotAndTail"} if topic.is_state else {"gaps", "consumerGroups"}) < set(rules)
        assert ("None of these events is access" in rules["access"]) == (topic.owner == "approval")
        if topic.kept:
            assert str(topic.kept.days) in rules["retention"]


def test_a_server_of_others_asks_who_reads_and_only_development_takes_a_plain_password() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    asked = {
        name: {schemes[each["$ref"].rsplit("/")[-1]]["type"] for each in server.get("security", [])}
        for name, server in DOCUMENT["servers"].items()
    }
    assert asked == {"production": {"X509", "scramSha512"}, "development": {"plain"}, "embedded": set()}
