"""The whole product as a newcomer runs it, for tests that walk across services or break something.

Real processes under the real supervisor, on a stack and in a folder of their own.
"""

import asyncio
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from typer.testing import CliRunner, Result

from shared import deployment, envelope, topics
from shared.platform import supervisor
from shared.testing import quiet

_PATIENCE_SECONDS = 180.0
_START_SECONDS = 600
_AT_A_TIME = threading.Lock()


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
        """Start it, detached, without the story: what is to outlive this process is started by one of its own."""
        words = ("up", "--detach", "--no-story", "--data", str(self.data))
        done = subprocess.run(  # noqa: S603 - our own command.
            [sys.executable, "-m", "services.cli", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_START_SECONDS,
        )
        assert done.returncode == 0, f"iacs {' '.join(words)}:\n{done.stdout}\n{done.stderr}"

    def stop(self) -> None:
        """End everything."""
        self.command("down", "--data", str(self.data))

    def give(self, *words: str) -> Result:
        """Give an `iacs` command in this process: to start one takes longer than most commands.

        One at a time, since what it prints is caught by exchanging the whole process's output.
        """
        app = importlib.import_module("services.cli").app  # As a newcomer would: this module knows no service.
        with _AT_A_TIME:
            return CliRunner().invoke(app, words, env={"COLUMNS": "500"})  # Whole sentences on one line.

    def command(self, *words: str, check: bool = True) -> str:
        """Give an `iacs` command and return what it prints."""
        done = self.give(*words)
        assert not check or done.exit_code == 0, f"iacs {' '.join(words)}:\n{done.output}\n{_trace(done)}"
        return done.stdout

    def refused(self, *words: str) -> str:
        """Give an `iacs` command that must fail, and return what it says."""
        done = self.give(*words)
        assert done.exit_code != 0, f"iacs {' '.join(words)} was not refused:\n{done.output}"
        assert isinstance(done.exception, SystemExit), f"iacs {' '.join(words)}:\n{done.output}\n{_trace(done)}"
        return done.output

    @property
    def origin(self) -> str:
        """The one address of everything."""
        return str(supervisor.status(self.data)["address"])

    @property
    def told(self) -> Mapping[str, str]:
        """Every setting of every service."""
        return deployment.read(self.data / deployment.SETTINGS_FILE)

    @property
    def kafka_servers(self) -> str:
        """Where Kafka answers."""
        return self.told["IACS_DIRECTORY_KAFKA_SERVERS"]

    def pid(self, name: str) -> int:
        """Return the process of a part (a service, postgres, kafka, mail or gateway) once one runs.

        The status file lags behind a death, and a part between two of its processes has none.
        """
        found: list[int] = []

        def runs() -> bool:
            parts = supervisor.status(self.data)["parts"]
            found[:] = (part["pid"] for part in parts if part["name"] == name and part["pid"])
            return bool(found) and psutil.pid_exists(found[0])

        wait_until(runs, f"{name} has a process")
        return found[0]

    def kill(self, name: str) -> None:
        """Kill -9 a part; the supervisor starts it again."""
        _signal(self.pid(name), signal.SIGKILL)

    def tell_to_end(self, name: str) -> None:
        """Tell a part to end, as an operator does; the supervisor starts it again."""
        psutil.Process(self.pid(name)).terminate()

    def pause(self, name: str) -> None:
        """Stop a part where it stands, without a word to anybody."""
        _signal(self.pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused part go on."""
        _signal(self.pid(name), signal.SIGCONT)

    def wait_ready(self) -> None:
        """Return once every part runs and every service answers that it is ready."""
        wait_until(
            lambda: all(part["state"] == "running" for part in supervisor.status(self.data)["parts"]), "all parts run"
        )

    def wait_quiet(self) -> None:
        """Return once every outbox is sent, every record is handled, everybody is told, and every mail has left."""
        asyncio.run(quiet.wait(self.told, self.kafka_servers))

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Return where each partition ends: how many records were ever put on it."""
        async with quiet.kafka_reader(self.kafka_servers) as reader:
            return await quiet.ends_of(reader)

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
        return asyncio.run(_records(self.kafka_servers, names))

    def send(
        self,
        topic: str,
        records: Sequence[tuple[bytes | None, list[tuple[str, bytes | None]]]],
        partitions: Sequence[int] = range(topics.PARTITION_COUNT),
    ) -> None:
        """Put records (value, headers) on each of these partitions of a topic, whatever they hold."""
        asyncio.run(_send(self.kafka_servers, topic, records, partitions))

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


def _signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and to all its children."""
    head = psutil.Process(pid)
    for process in [head, *head.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # A child may end meanwhile.
            process.send_signal(number)


def _trace(done: Result) -> str:
    return "".join(traceback.format_exception(*done.exc_info)) if done.exc_info else ""


async def _records(servers: str, names: tuple[str, ...]) -> list[Record]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest", max_poll_records=5000
    )
    found: list[Record] = []
    try:
        await consumer.start()
        places = quiet.places(*names)
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers)) for r in records]
        return found
    finally:
        await consumer.stop()


async def _send(
    servers: str,
    topic: str,
    records: Sequence[tuple[bytes | None, list[tuple[str, bytes | None]]]],
    partitions: Sequence[int],
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
    try:
        await producer.start()
        for partition in partitions:
            for value, headers in records:
                await producer.send_and_wait(topic, key=b"a key", value=value, headers=headers, partition=partition)
    finally:
        await producer.stop()


assert os.name == "posix", "signals are what these tests break things with"
