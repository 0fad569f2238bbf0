"""Topics: made as decided, left alone when they are so, and refused when they are not."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared import topics
from shared.contracts import approval, directory, notification, registration
from shared.contracts.base import Event, State
from shared.ids import new_id
from shared.kafka import Kafka
from shared.platform.stack import Stack
from shared.topics import Topic, TopicDriftError


@pytest.fixture
async def admin(stack: Stack) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=stack.kafka.servers)
    await client.start()
    yield client
    await client.close()


@pytest.fixture
async def wanted(admin: AIOKafkaAdminClient) -> AsyncIterator[tuple[Topic, Topic]]:
    """Two topics that nobody else uses: one of events, one of states."""
    name = f"toy.{new_id()}"
    two = (
        Topic(f"{name}.events", "approval", timedelta(days=30), public=False),
        Topic(f"{name}.state", "approval", None, public=False),
    )
    yield two
    await admin.delete_topics([topic.name for topic in two])


async def test_missing_topics_are_made_as_decided(
    stack: Stack, admin: AIOKafkaAdminClient, wanted: tuple[Topic, Topic]
) -> None:
    events, states = wanted

    made = await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=3)

    assert made == [events.name, states.name]
    assert [len(found["partitions"]) for found in await admin.describe_topics(made)] == [3, 3]
    kept = await settings_of(admin, events.name)
    assert (kept["cleanup.policy"], kept["retention.ms"]) == ("delete", str(30 * 24 * 3600 * 1000))
    kept = await settings_of(admin, states.name)
    assert (kept["cleanup.policy"], kept["delete.retention.ms"]) == ("compact", str(90 * 24 * 3600 * 1000))


async def test_topics_that_are_as_decided_are_left_alone(stack: Stack, wanted: tuple[Topic, Topic]) -> None:
    await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=2)

    assert await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=2) == []


async def test_only_what_is_missing_is_made(stack: Stack, wanted: tuple[Topic, Topic]) -> None:
    await topics.apply(Kafka(stack.kafka.servers), wanted[:1], partition_count=2)

    assert await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=2) == [wanted[1].name]


async def test_another_partition_count_is_refused(stack: Stack, wanted: tuple[Topic, Topic]) -> None:
    await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=2)

    with pytest.raises(TopicDriftError) as drift:
        await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=12)

    assert {f"{topic.name}: 2 partitions instead of 12" for topic in wanted} == set(str(drift.value).split("; "))


async def test_another_setting_is_refused_by_name(
    stack: Stack, admin: AIOKafkaAdminClient, wanted: tuple[Topic, Topic]
) -> None:
    events, states = wanted
    await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=2)
    changed = {**events.settings, "retention.ms": "60000"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, events.name, changed)])
    await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, states.name, {**states.settings, "cleanup.policy": "delete"})]
    )

    with pytest.raises(TopicDriftError) as drift:
        await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=2)

    assert set(str(drift.value).split("; ")) == {
        f"{events.name}: retention.ms is 60000 instead of {events.settings['retention.ms']}",
        f"{states.name}: cleanup.policy is delete instead of compact",
    }


async def test_three_copies_that_are_asked_for_are_never_taken_for_granted(
    stack: Stack, wanted: tuple[Topic, Topic]
) -> None:
    await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=2)

    with pytest.raises(TopicDriftError) as drift:
        await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=2, replication=3)

    assert set(str(drift.value).split("; ")) == {
        f"{topic.name}: {fault}"
        for topic in wanted
        for fault in ("1 copies of a partition instead of 3", "min.insync.replicas is 1 instead of 2")
    }


async def test_more_copies_than_there_are_brokers_are_refused(stack: Stack, wanted: tuple[Topic, Topic]) -> None:
    with pytest.raises(TopicDriftError, match="replication factor"):
        await topics.apply(Kafka(stack.kafka.servers), wanted, partition_count=2, replication=3)


@pytest.mark.parametrize(("replication", "in_sync"), [(1, None), (2, None), (3, "2"), (4, "2")])
def test_with_three_copies_a_record_is_acknowledged_by_two_of_them(replication: int, in_sync: str | None) -> None:
    for topic in topics.TOPICS:
        assert topic.settings_with(replication).get("min.insync.replicas") == in_sync
        assert topic.settings.items() <= topic.settings_with(replication).items()


def test_every_published_type_has_its_topic_and_states_are_on_compacted_ones() -> None:
    types = published()

    assert types
    assert {body.topic for body in types} == set(topics.BY_NAME)
    for body in types:
        topic = topics.BY_NAME[body.topic]
        assert issubclass(body, State if topic.is_state else Event), body
        assert body.wire.startswith(f"iacs.{topic.owner}."), body
        assert body.wire.endswith(".v1"), body
    assert len({body.wire for body in types}) == len(types)


def test_a_state_topic_joins_an_event_topic_of_its_owner() -> None:
    for topic in topics.TOPICS:
        if topic.is_state:
            assert topic.stream is not None
            stream = topics.BY_NAME[topic.stream]
            assert (stream.owner, stream.is_state) == (topic.owner, False)


async def settings_of(admin: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}


def published() -> list[type[Event] | type[State]]:
    modules = (approval, directory, notification, registration)
    found = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [body for body in found if issubclass(body, (Event, State)) and hasattr(body, "wire")]
