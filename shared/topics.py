"""The topics: who writes each, what its key is, how long it keeps what.

`apply` makes the missing ones and fails on drift; nothing else creates a topic.
Source: architecture 4.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.contracts import approval, directory, notification, registration
from shared.kafka import Kafka

PARTITION_COUNT = 12

_KEPT_DELETED = timedelta(days=90)
_COPIES_THAT_OUTLIVE_ONE = 3
_EXISTS = 36
"""Kafka's code for "already exists": somebody else has made it since we looked."""
_NOT_YET = (3, 5)
"""Kafka's codes for "unknown" and for "has no leader"."""
_ASK_AGAIN_SECONDS = 0.02


@dataclass(frozen=True)
class Topic:
    """One topic. `stream` is the event topic whose sequence a state record's `asofsequence` counts."""

    name: str
    owner: Literal["registration", "approval", "directory", "notification"]
    kept: timedelta | None
    """How long records are kept; None for a compacted topic, which keeps each key's latest."""
    public: bool
    stream: str | None = None

    @property
    def is_state(self) -> bool:
        """Whether the topic is compacted: one latest record for each entity."""
        return self.kept is None

    @property
    def settings(self) -> dict[str, str]:
        """What Kafka is told, and what drift is measured against."""
        if self.kept is None:
            return {
                "cleanup.policy": "compact",
                "delete.retention.ms": _ms(_KEPT_DELETED),
                "max.message.bytes": "131072",
            }
        return {"cleanup.policy": "delete", "retention.ms": _ms(self.kept), "max.message.bytes": "131072"}

    def settings_with(self, replication: int) -> dict[str, str]:
        """Return the settings of the topic when it has so many copies.

        With three an acknowledged record lies on two brokers at least, so that the loss of any one loses nothing, and
        with any one away records are still taken.
        """
        return self.settings | ({"min.insync.replicas": "2"} if replication >= _COPIES_THAT_OUTLIVE_ONE else {})


TOPICS: tuple[Topic, ...] = (
    Topic(registration.TOPIC, "registration", timedelta(days=30), public=False),
    Topic(approval.TOPIC, "approval", timedelta(days=365), public=True),
    Topic(directory.TOPIC, "directory", timedelta(days=365), public=True),
    Topic(directory.STATE_TOPIC, "directory", None, public=True, stream=directory.TOPIC),
    Topic(directory.ACCOUNTS_TOPIC, "directory", timedelta(days=4), public=False),
    Topic(directory.PEOPLE_TOPIC, "directory", None, public=False, stream=directory.ACCOUNTS_TOPIC),
    Topic(notification.TOPIC, "notification", timedelta(days=30), public=False),
)

BY_NAME = {topic.name: topic for topic in TOPICS}


class TopicDriftError(Exception):
    """Topics that exist are not as decided; the message lists each difference."""


async def apply(
    kafka: Kafka, wanted: Sequence[Topic] = TOPICS, *, partition_count: int = PARTITION_COUNT, replication: int = 1
) -> list[str]:
    """Make the topics that are missing and return their names.

    Raises TopicDriftError when an existing one differs: a changed partition count would send an
    organization's later events to another partition, out of order. More copies than asked for are no difference.
    """
    admin = AIOKafkaAdminClient(**kafka.client())
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in existing]
        made: list[str] = []
        if missing:
            answer = await admin.create_topics(
                [
                    NewTopic(topic.name, partition_count, replication, topic_configs=topic.settings_with(replication))
                    for topic in missing
                ]
            )
            made = [name for name, code, _ in answer.topic_errors if code == 0]
            failed = [f"{name}: {text}" for name, code, text in answer.topic_errors if code not in (0, _EXISTS)]
            if failed:
                raise TopicDriftError("; ".join(failed))
            await _until_known(admin, [topic.name for topic in missing])
        present = [topic for topic in wanted if topic.name not in made]
        if present:
            await _refuse_drift(admin, present, partition_count, replication)
        return made
    finally:
        await admin.close()


async def _until_known(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    """Wait until the broker names what it has just made: until then it would seem to be missing."""
    while any(  # noqa: ASYNC110 - it is the broker that we wait for.
        found["error_code"] in _NOT_YET for found in await admin.describe_topics(names)
    ):
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


async def _refuse_drift(
    admin: AIOKafkaAdminClient, present: list[Topic], partition_count: int, replication: int
) -> None:
    differences: list[str] = []
    for found in await admin.describe_topics([topic.name for topic in present]):
        count = len(found["partitions"])
        if count != partition_count:
            differences.append(f"{found['topic']}: {count} partitions instead of {partition_count}")
        copies = min(len(partition["replicas"]) for partition in found["partitions"])
        if copies < replication:
            differences.append(f"{found['topic']}: {copies} copies of a partition instead of {replication}")
    decided = {topic.name: topic.settings_with(replication) for topic in present}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in present]
    for answer in await admin.describe_configs(resources):
        for _, _, _, name, entries in answer.resources:
            actual = {entry[0]: entry[1] for entry in entries}
            differences += [
                f"{name}: {key} is {actual.get(key)} instead of {wanted}"
                for key, wanted in decided[name].items()
                if actual.get(key) != wanted
            ]
    if differences:
        raise TopicDriftError("; ".join(differences))


def _ms(kept: timedelta) -> str:
    return str(int(kept.total_seconds() * 1000))
