"""The whole product as a newcomer runs it, for tests that walk across services or break something.

Real processes under the real supervisor, on a stack and in a folder of their own.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from shared import envelope, topics
from shared.platform import embedded, supervisor

QUIET_SECONDS = 1.5
_PATIENCE_SECONDS = 90.0


@dataclass(frozen=True)
class Record:
    """One record as it lies on its topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def about(self) -> envelope.Envelope:
        """What it says of itself."""
        return envelope.read(self.headers, self.value)[0]


class Product:
    """The product in one data folder. `start` returns once it is ready; `stop` leaves nothing running."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def start(self) -> None:
        """Start it, detached, without the story."""
        self.command("up", "--detach", "--no-story", "--data", str(self.data))

    def stop(self) -> None:
        """End everything."""
        self.command("down", "--data", str(self.data))

    def command(self, *words: str, check: bool = True) -> str:
        """Run an `iacs` command and return what it prints."""
        done = subprocess.run(  # noqa: S603 - our own command.
            [sys.executable, "-m", "services.cli", *words], capture_output=True, text=True, check=False, timeout=180
        )
        assert not check or done.returncode == 0, f"iacs {' '.join(words)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @property
    def origin(self) -> str:
        """The one address of everything."""
        return str(supervisor.status(self.data)["address"])

    @property
    def told(self) -> Mapping[str, str]:
        """Every setting of every service."""
        return embedded.read(self.data / embedded.SETTINGS_FILE)

    @property
    def kafka_servers(self) -> str:
        """Where Kafka answers."""
        return self.told["IACS_DIRECTORY_KAFKA_SERVERS"]

    def pid(self, name: str) -> int:
        """Return the process of a part: a service, postgres, kafka, mail or gateway."""
        status = supervisor.status(self.data)
        return int(next(part["pid"] for part in status["parts"] if part["name"] == name))

    def kill(self, name: str) -> None:
        """Kill -9 a part; the supervisor starts it again."""
        for process in _family(self.pid(name)):
            process.send_signal(signal.SIGKILL)

    def pause(self, name: str) -> None:
        """Stop a part where it stands, without a word to anybody."""
        for process in _family(self.pid(name)):
            process.send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused part go on."""
        for process in _family(self.pid(name)):
            process.send_signal(signal.SIGCONT)

    def wait_ready(self) -> None:
        """Return once every part runs and every service answers that it is ready."""
        wait_until(
            lambda: all(part["state"] == "running" for part in supervisor.status(self.data)["parts"]), "all parts run"
        )

    def wait_quiet(self) -> None:
        """Return once every outbox is sent, every record is handled, and every mail has left."""

        async def is_quiet() -> bool:
            ends = await _ends(self.kafka_servers)
            for service in embedded.SERVICES:
                unsent = await self.query(service, "SELECT count(*) AS n FROM outbox WHERE sent_at IS NULL")
                progress = await self.query(service, "SELECT topic, partition, next_offset FROM progress")
                read = {(row["topic"], row["partition"]): row["next_offset"] for row in progress}
                heard = {topic for topic, _ in read}
                behind = [
                    p for p, end in ends.items() if p.topic in heard and read.get((p.topic, p.partition), 0) < end
                ]
                if unsent[0]["n"] or behind:
                    return False
            waiting = await self.query(
                "notification",
                "SELECT count(*) AS n FROM notice WHERE state IN ('waiting', 'due', 'sending', 'unknown')",
            )
            return not waiting[0]["n"]

        quiet_since = time.monotonic()
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() - quiet_since < QUIET_SECONDS:
            assert time.monotonic() < ends_at, "it never became quiet"
            try:
                if not asyncio.run(is_quiet()):
                    quiet_since = time.monotonic()
            except (KafkaError, OSError, asyncpg.PostgresError):  # What was killed is on its way up again.
                quiet_since = time.monotonic()
            time.sleep(0.1)

    def rows(self, service: str, query: str, *values: object) -> list[dict[str, Any]]:
        """Return rows of a service's database."""
        return asyncio.run(self.query(service, query, *values))

    async def query(self, service: str, query: str, *values: object) -> list[dict[str, Any]]:
        """Return rows of a service's database."""
        connection = await asyncpg.connect(self.told[f"IACS_{service.upper()}_DATABASE_URL"])
        try:
            return [dict(row) for row in await connection.fetch(query, *values)]
        finally:
            await connection.close()

    def records(self, *names: str) -> list[Record]:
        """Return every record of these topics (of all, if none is named), partition by partition."""
        return asyncio.run(_records(self.kafka_servers, names or tuple(topics.BY_NAME)))

    def send(self, topic: str, records: Sequence[tuple[bytes | None, list[tuple[str, bytes | None]]]]) -> None:
        """Put records (value, headers) on every partition of a topic, whatever they hold."""
        asyncio.run(_send(self.kafka_servers, topic, records))

    def logs(self) -> dict[str, str]:
        """Return the log of every part."""
        return {path.name: path.read_text(errors="replace") for path in (self.data / "logs").iterdir()}

    def parked(self, service: str) -> list[dict[str, Any]]:
        """Return what a service has parked."""
        return self.rows(service, "SELECT * FROM parked WHERE resolved_at IS NULL ORDER BY id")


def by_source(records: list[Record]) -> dict[str, list[int]]:
    """Return the sequences of every source in the order of the log, repeats of the same event left out."""
    seen: set[tuple[str, str]] = set()
    found: dict[str, list[int]] = defaultdict(list)
    for record in records:
        about = record.about
        if about.sequence is not None and (about.source, about.id) not in seen:
            seen.add((about.source, about.id))
            found[about.source].append(about.sequence)
    return found


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return once it holds; fail, saying what did not, when it never does."""
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < ends_at, f"never: {what}"
        time.sleep(0.05)


def _family(pid: int) -> list[psutil.Process]:
    head = psutil.Process(pid)
    return [head, *head.children(recursive=True)]


async def _ends(servers: str) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    try:
        await consumer.start()
        ends: dict[TopicPartition, int] = await consumer.end_offsets(_places(tuple(topics.BY_NAME)))
        return ends
    finally:
        await consumer.stop()


def _places(names: tuple[str, ...]) -> list[TopicPartition]:
    return [TopicPartition(name, number) for name in names for number in range(topics.PARTITION_COUNT)]


async def _records(servers: str, names: tuple[str, ...]) -> list[Record]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest", max_poll_records=5000
    )
    await consumer.start()
    found: list[Record] = []
    try:
        places = _places(names)
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers)) for r in records]
        return found
    finally:
        await consumer.stop()


async def _send(
    servers: str, topic: str, records: Sequence[tuple[bytes | None, list[tuple[str, bytes | None]]]]
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
    await producer.start()
    try:
        for place in _places((topic,)):
            for value, headers in records:
                await producer.send_and_wait(
                    topic, key=b"a key", value=value, headers=headers, partition=place.partition
                )
    finally:
        await producer.stop()


assert os.name == "posix", "signals are what these tests break things with"
