"""The example subscriber, as it stands in the guide, keeps exactly the directory's grants whatever the topics hold."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from shared import topics
from shared.contracts.directory import GroupActivated, RoleAssignmentState, RoleEnded, RoleGranted
from shared.ids import AssignmentId, PersonId, PlaceId, RequestId, ScopeId, new_id
from shared.kafka import Kafka
from shared.platform import jars
from shared.testing import product as whole
from shared.testing.product import Product
from shared.testing.records import Record, record_of
from shared.topics import Topic
from tests.subscribers.conftest import EXAMPLES, REPOSITORY, append, grants, held

GUIDE = REPOSITORY / "docs" / "subscribing.md"
GRANTED = "iacs.directory.role.granted.v1"
PATIENCE_SECONDS = 60


# --- One scope, record by record --------------------------------------------------------------


class Scope:
    """Makes the records of one organization, and puts them where the subscriber reads."""

    def __init__(self, producer: AIOKafkaProducer, example: ModuleType) -> None:
        self._producer = producer
        self._example = example
        self.id = ScopeId(new_id())

    async def send(self, *records: Record) -> None:
        for record in records:
            topic = self._example.STATE if record.topic.endswith(".state.v1") else self._example.EVENTS
            await self._producer.send_and_wait(
                topic, record.value, key=record.key, partition=0, headers=list(record.headers)
            )

    def granted(self, assignment: UUID, *, sequence: int) -> Record:
        return self._record(
            RoleGranted(**about(assignment, self.id), effective_from=NOW), assignment, sequence=sequence
        )

    def ended(self, assignment: UUID, *, sequence: int) -> Record:
        event = RoleEnded(**about(assignment, self.id), cause="revoked", effective_until=NOW)
        return self._record(event, assignment, sequence=sequence)

    def state(
        self, assignment: UUID, status: Literal["active", "revoked"], *, version: int, as_of_sequence: int
    ) -> Record:
        state = RoleAssignmentState(**about(assignment, self.id), status=status, effective_from=NOW)
        return self._record(state, assignment, entity_version=version, as_of_sequence=as_of_sequence)

    def deleted(self, assignment: UUID, *, version: int, as_of_sequence: int) -> Record:
        last = self.state(assignment, "revoked", version=version, as_of_sequence=as_of_sequence)
        return Record(last.topic, last.headers, None, key=last.key)

    def unrelated(self, *, sequence: int) -> Record:
        group_id = PlaceId(new_id())
        event = GroupActivated(
            group_id=group_id,
            organization_id=self.id,
            group_kind="provider",
            request_id=RequestId(new_id()),
            effective_from=NOW,
        )
        return self._record(event, group_id, sequence=sequence)

    def _record(self, body: Any, subject: UUID, **values: object) -> Record:
        return record_of(body, subject=subject, scope=self.id, **values)


NOW: Any = "2026-11-02T14:05:09Z"
PERSON, PLACE = PersonId(new_id()), PlaceId(new_id())
A, B = UUID(int=0xA), UUID(int=0xB)


def about(assignment: UUID, scope: ScopeId) -> dict[str, Any]:
    return {
        "assignment_id": AssignmentId(assignment),
        "person_id": PERSON,
        "role": "END_USER",
        "place_kind": "group",
        "place_id": PLACE,
        "scope_id": scope,
        "community_id": "provider-supplier",
    }


@pytest.fixture
async def scope(product: Product, example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scope]:
    """A scope on two topics of this test's own, which the example reads instead of the public ones."""
    name = f"toy.{new_id()}"
    both = (
        Topic(f"{name}.events", "directory", topics.BY_NAME["iacs.directory.v1"].kept, public=False),
        Topic(f"{name}.state", "directory", None, public=False),
    )
    await topics.apply(Kafka(product.kafka_servers), both, partition_count=2)
    monkeypatch.setattr(example, "EVENTS", both[0].name)
    monkeypatch.setattr(example, "STATE", both[1].name)
    producer = AIOKafkaProducer(bootstrap_servers=product.kafka_servers)
    await producer.start()
    yield Scope(producer, example)
    await producer.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=product.kafka_servers)
    await admin.start()
    await admin.delete_topics([topic.name for topic in both])
    await admin.close()


@pytest.fixture
def subscriber(product: Product, example: ModuleType) -> Any:
    return example.Subscriber(product.kafka_servers)


async def test_a_grant_that_only_the_state_still_knows_is_held(scope: Scope, subscriber: Any) -> None:
    await scope.send(scope.state(A, "active", version=1, as_of_sequence=1))
    await subscriber.run(once=True)
    assert set(subscriber.held) == {str(A)}


async def test_events_that_the_state_counts_already_are_not_told_again(
    scope: Scope, subscriber: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await scope.send(scope.granted(A, sequence=1), scope.ended(A, sequence=2))
    await scope.send(scope.state(A, "revoked", version=2, as_of_sequence=2))
    await subscriber.run(once=True)
    assert (subscriber.held, capsys.readouterr().out) == ({}, "")


async def test_events_after_the_state_are_told(
    scope: Scope, subscriber: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await scope.send(scope.state(A, "active", version=1, as_of_sequence=1))
    await scope.send(scope.granted(A, sequence=1), scope.granted(B, sequence=2), scope.ended(A, sequence=3))
    await subscriber.run(once=True)
    assert [line[0] for line in capsys.readouterr().out.splitlines()] == ["+", "+", "-"]
    assert set(subscriber.held) == {str(B)}


async def test_a_state_that_is_only_half_there_loses_nobody(scope: Scope, subscriber: Any) -> None:
    """Both were granted in one act; of its two states only the first has come, and it counts both events."""
    await scope.send(scope.granted(A, sequence=1), scope.granted(B, sequence=2))
    await scope.send(scope.state(A, "active", version=1, as_of_sequence=2))
    await subscriber.run(once=True)
    assert set(subscriber.held) == {str(A), str(B)}


async def test_a_repeated_grant_does_not_bring_back_what_has_ended(scope: Scope, subscriber: Any) -> None:
    granted = scope.granted(A, sequence=1)
    await scope.send(granted, scope.ended(A, sequence=2), granted)
    await subscriber.run(once=True)
    assert subscriber.held == {}


async def test_an_older_state_that_comes_again_changes_nothing(scope: Scope, subscriber: Any) -> None:
    older = scope.state(A, "active", version=1, as_of_sequence=1)
    await scope.send(older, scope.state(A, "revoked", version=2, as_of_sequence=2), older)
    await subscriber.run(once=True)
    assert subscriber.held == {}


async def test_a_deleted_assignment_is_not_held_and_an_old_event_does_not_bring_it_back(
    scope: Scope, subscriber: Any
) -> None:
    await scope.send(scope.state(A, "active", version=1, as_of_sequence=1))
    await scope.send(scope.deleted(A, version=2, as_of_sequence=2), scope.granted(A, sequence=1))
    await subscriber.run(once=True)
    assert subscriber.held == {}


async def test_a_gap_makes_it_read_the_state_again(scope: Scope, subscriber: Any, example: ModuleType) -> None:
    await subscriber.read(example.STATE, to_end=True)
    await scope.send(scope.unrelated(sequence=1))
    await scope.send(scope.state(A, "active", version=1, as_of_sequence=2))  # Its event, the second, is lost.
    await scope.send(scope.unrelated(sequence=3))
    await subscriber.read(example.EVENTS, to_end=True)
    assert set(subscriber.held) == {str(A)}


async def test_unknown_types_are_skipped_whatever_they_carry(scope: Scope, subscriber: Any) -> None:
    await scope.send(scope.granted(A, sequence=1))
    await scope.send(scope.ended(A, sequence=2).having("ce_type", b"iacs.directory.role.praised.v1"))
    await scope.send(scope.ended(A, sequence=3).having("ce_type", b"a.stranger.v1").lacking("ce_sequence"))
    await subscriber.run(once=True)
    assert set(subscriber.held) == {str(A)}


# --- On the running product -------------------------------------------------------------------


def test_who_listens_all_the_while_who_is_killed_and_who_starts_late_end_with_the_same(
    product: Product, tell: Callable[[], None], tmp_path: Path
) -> None:
    before = grants(product)
    with listening(product, tmp_path / "all the while") as steady, ThreadPoolExecutor(1) as beside:
        with listening(product, tmp_path / "killed") as killed:
            whole.wait_until(lambda: held(lines_of(killed)) == before, "it has all that there was")
            people = beside.submit(tell)
            whole.wait_until(lambda: not held(lines_of(killed)) <= before, "it has heard something of this")
        people.result()
        assert held(lines_of(killed)) < grants(product)
        with listening(product, tmp_path / "started again") as again:
            whole.wait_until(lambda: held(lines_of(again)) == grants(product), "the one that was killed has all")
        whole.wait_until(lambda: held(lines_of(steady)) == grants(product), "the one that was never away has all")
    assert held(once(product)) == grants(product)


def test_repeats_and_unknown_types_change_nothing(told: Product) -> None:
    before = once(told)
    granted = [record for record in told.records("iacs.directory.v1") if record.about.type == GRANTED]
    other = {"ce_type": b"iacs.directory.role.praised.v1", "ce_id": str(new_id()).encode()}
    stranger = replace(
        granted[0],
        value=b'{"new": 1}',
        headers=tuple((name, other.get(name, raw)) for name, raw in granted[0].headers if name != "ce_sequence"),
    )
    append(told, *granted, stranger)
    assert sorted(once(told)) == sorted(before)
    assert held(before) == grants(told)


def test_a_subscriber_in_java_ends_with_the_same(told: Product, tmp_path: Path) -> None:
    if not (shutil.which("javac") and shutil.which("java")):
        pytest.skip("NO JDK: the Java subscriber is neither compiled nor tried. apt-get install default-jdk-headless")
    class_path = [str(path) for path in jars.class_path(print)]
    source = EXAMPLES / "java" / "Subscriber.java"
    subprocess.run(["javac", "-d", tmp_path, "-cp", ":".join(class_path), source], check=True, timeout=120)
    java = ["java", "-cp", ":".join([str(tmp_path), *class_path]), "Subscriber", told.kafka_servers, "--once"]
    done = subprocess.run(java, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert held(done.stdout.splitlines()) == grants(told)


def once(product: Product) -> list[str]:
    """Start the subscriber as a newcomer would, to the topics' ends; return its lines."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "subscriber.py", product.kafka_servers, "--once"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@contextmanager
def listening(product: Product, out: Path) -> Iterator[Path]:
    """Let a subscriber run beside the block, into a file; then kill it, without a word."""
    with out.open("w") as file:
        process = subprocess.Popen([sys.executable, EXAMPLES / "subscriber.py", product.kafka_servers], stdout=file)
        try:
            yield out
        finally:
            assert process.poll() is None, "it ended by itself"
            process.send_signal(signal.SIGKILL)
            process.wait()


def lines_of(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


# --- What the guide says ----------------------------------------------------------------------


def test_the_guide_shows_the_subscriber_as_it_is_tested() -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown == (EXAMPLES / "subscriber.py").read_text(encoding="utf-8")


def test_the_guide_names_every_public_topic_and_how_long_it_keeps_what() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for topic in topics.TOPICS:
        assert (f"`{topic.name}`" in text) == topic.public
        if topic.public and topic.kept:
            (row,) = re.findall(rf"^\| `{re.escape(topic.name)}` \|.*", text, re.MULTILINE)
            assert f"{topic.kept.days} days" in row


def test_the_java_example_asks_for_the_versions_that_it_is_tested_with() -> None:
    pom = (EXAMPLES / "java" / "pom.xml").read_text(encoding="utf-8")
    asked = dict(re.findall(r"<artifactId>([\w-]+)</artifactId>\s*<version>([\d.]+)</version>\s*</dependency>", pom))
    locked = {jar.artifact: jar.version for jar in jars.locked()}
    assert {name: asked[name] for name in ("kafka-clients", "jackson-databind")} == {
        name: locked[name] for name in ("kafka-clients", "jackson-databind")
    }
