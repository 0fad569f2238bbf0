"""What goes wrong: drawn from a seed, and then done to the product, one trouble after another."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import uuid4

import asyncpg
import httpx
import psutil
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared import deployment, topics
from shared.platform import supervisor
from shared.testing.product import Product, Record, wait_until
from shared.testing.torture.timeline import Timeline

STACK = ("kafka", "postgres", "mail", "gateway")
PARTS = (*deployment.SERVICES, "nursery", *STACK)
"""What is killed and paused: with the nursery, all that was forked from it."""
FAULTS = ("refuse_temporarily", "hang_after_data", "drop_after_data")
POISON_KEY = b"a key"
"""What `Product.send` puts on each record, and nobody else does."""
_HELD_ROWS = {
    "registration": "SELECT FROM request ORDER BY id DESC LIMIT 20 FOR UPDATE",
    "approval": "SELECT FROM request ORDER BY id DESC LIMIT 20 FOR UPDATE",
    "directory": "SELECT FROM role_assignment ORDER BY id DESC LIMIT 20 FOR UPDATE",
    "notification": "SELECT FROM notice ORDER BY id DESC LIMIT 20 FOR UPDATE",
}
_KINDS = {
    "kill": 8,
    "terminate": 3,
    "pause": 4,
    "kafka down": 2,
    "cut": 2,
    "smtp": 3,
    "duplicate": 2,
    "poison": 1,
    "hold": 2,
}
"""How many of each lie in the deck from which troubles are drawn: half of the processes die, the rest suffers.
What is terminated is told to end in the middle of its work, and cancels what it cannot finish."""
_PATIENCE_SECONDS = 180.0
_DUPLICATES = 25

T = TypeVar("T")


@dataclass(frozen=True)
class Trouble:
    """One thing that goes wrong."""

    number: int
    kind: str
    target: str
    seconds: float
    """How long it lasts, if it lasts."""
    rest_seconds: float
    """How long nothing is done before it."""
    seed: int

    def __str__(self) -> str:
        lasts = "" if self.kind in ("kill", "terminate", "cut", "duplicate", "poison") else f" for {self.seconds:.1f} s"
        return f"{self.kind} {self.target}".rstrip() + lasts


def plan(seed: int, count: int, *, longest_seconds: float = 5.0, rest_seconds: float = 2.0) -> list[Trouble]:
    """Return `count` troubles: the same for the same seed. Each kind comes as often as the deck says."""
    dice = random.Random(seed)  # noqa: S311 - it is to be repeatable.
    deck: list[str] = []
    troubles = []
    for number in range(1, count + 1):
        if not deck:
            deck = [kind for kind, copies in _KINDS.items() for _ in range(copies)]
            dice.shuffle(deck)
        kind = deck.pop()
        target = {
            "kill": lambda: dice.choice(PARTS),
            "terminate": lambda: dice.choice(deployment.SERVICES),
            "pause": lambda: dice.choice(PARTS),
            "smtp": lambda: dice.choice(FAULTS),
            "hold": lambda: dice.choice(deployment.SERVICES),
        }.get(kind, lambda: "")()
        lasts, rests = dice.uniform(1.0, longest_seconds), dice.uniform(0.2, rest_seconds)
        troubles.append(Trouble(number, kind, target, lasts, rests, dice.randrange(2**32)))
    return troubles


@dataclass
class Bully:
    """Does what was drawn. It counts what the judgement has to know."""

    product: Product
    timeline: Timeline
    windows: list[tuple[float, float, Trouble]] = field(default_factory=list)
    kill_counts: dict[str, int] = field(default_factory=dict)
    """How often each part was killed, or told to end."""
    appended_count: int = 0
    """Records that were on the log already and were put there once more."""
    cut_places: set[tuple[str, int]] = field(default_factory=set)
    """Partitions whose log was cut short."""

    def inflict(self, trouble: Trouble) -> None:
        """Do one trouble to its end; what it breaks may still be on its way up when this returns."""
        dice = random.Random(trouble.seed)  # noqa: S311 - as above.
        began = self.timeline.now()
        self.timeline.tell("trouble", f"{trouble.number}. {trouble}")
        match trouble.kind:
            case "kill":
                self._end(trouble.target, self.product.kill)
            case "terminate":
                self._end(trouble.target, self.product.tell_to_end)
            case "pause":
                self._pause(trouble.target, trouble.seconds)
            case "kafka down":
                with self._without_kafka():
                    time.sleep(trouble.seconds)
            case "cut":
                self._cut(dice)
            case "smtp":
                self._misbehave(trouble.target, trouble.seconds)
            case "duplicate":
                self._duplicate(dice)
            case "poison":
                self._poison(dice)
            case "hold":
                _insist(lambda: asyncio.run(self._hold(trouble.target, trouble.seconds)))
        self.windows.append((began, self.timeline.now(), trouble))

    def _until_running(self, name: str) -> None:
        """Wait until a part is up: only what lives can be killed, and no stranger under its old number."""

        def is_running() -> bool:
            parts = supervisor.status(self.product.data)["parts"]
            return any(part["name"] == name and part["state"] == "running" for part in parts)

        wait_until(is_running, f"{name} runs")

    def _end(self, name: str, end: Callable[[str], None]) -> None:
        while True:
            self._until_running(name)
            try:
                end(name)
            except psutil.NoSuchProcess:  # It died by itself between the look and the shot.
                time.sleep(0.1)
                continue
            self.kill_counts[name] = self.kill_counts.get(name, 0) + 1
            return

    def _pause(self, name: str, seconds: float) -> None:
        self._until_running(name)
        self.product.pause(name)
        try:
            time.sleep(seconds)
        finally:
            self.product.resume(name)

    @contextmanager
    def _without_kafka(self) -> Iterator[None]:
        """Kill Kafka, and let nobody start it again meanwhile: whoever would is stopped where it stands."""
        self._until_running("kafka")
        owner = int(supervisor.status(self.product.data)["pid"])
        os.kill(owner, signal.SIGSTOP)
        try:
            self.product.kill("kafka")
            self.kill_counts["kafka"] = self.kill_counts.get("kafka", 0) + 1
            yield
        finally:
            os.kill(owner, signal.SIGCONT)

    def _cut(self, dice: random.Random) -> None:
        """Take the end of one partition's log away, as a disk does that had not written it yet."""
        with self._without_kafka():
            time.sleep(0.3)  # The killed process lets go of its files.
            logs = [
                (log, name, number)
                for name in topics.BY_NAME
                for number in range(topics.PARTITION_COUNT)
                for log in sorted((self.product.data / "kafka" / f"{name}-{number}").glob("*.log"))[-1:]
                if log.stat().st_size > 0
            ]
            log, name, number = dice.choice(logs)
            size = log.stat().st_size
            taken = dice.randint(1, max(1, min(6000, size // 2)))
            os.truncate(log, size - taken)
            self.cut_places.add((name, number))
            self.timeline.tell("trouble", f"cut {taken} of {size} bytes from {name}-{number}")

    def _misbehave(self, fault: str, seconds: float) -> None:
        self._until_running("mail")
        self._tell_mail(fault)
        time.sleep(seconds)
        self._tell_mail("normal")

    def _tell_mail(self, mode: str) -> None:
        parts = supervisor.status(self.product.data)["parts"]
        address = next(part["address"] for part in parts if part["name"] == "mail")

        def tell() -> None:
            httpx.post(f"{address}/behaviour", json={"mode": mode}, trust_env=False).raise_for_status()

        _insist(tell)

    def _whole_partitions(self, name: str) -> list[int]:
        """Return the partitions to which strangers may write: not one that was cut, where they would hide the cut.

        A relay knows a cut by its receipts beyond the log's end; a stranger's records push that end out again.
        """
        return [number for number in range(topics.PARTITION_COUNT) if (name, number) not in self.cut_places]

    def _duplicate(self, dice: random.Random) -> None:
        """Put records on their partitions once more: of state only the newest of its entity, as delivery would."""
        name = dice.choice(sorted(topics.BY_NAME))
        whole = self._whole_partitions(name)
        records = _insist(lambda: self.product.records(name))
        found = [it for it in records if it.partition in whole and it.key != POISON_KEY]
        if topics.BY_NAME[name].is_state:
            found = list({it.key: it for it in found}.values())
        chosen = dice.sample(found, min(_DUPLICATES, len(found)))
        for record in chosen:
            _insist(partial(_append, self.product, record))
            self.appended_count += 1
        self.timeline.tell("trouble", f"{len(chosen)} records of {name} lie there twice")

    def _poison(self, dice: random.Random) -> None:
        name = dice.choice(sorted(topics.BY_NAME))
        about = {"ce_id": str(uuid4()), "ce_subject": str(uuid4()), "ce_type": "Not A Type"}
        headers: list[tuple[str, bytes | None]] = [(key, value.encode()) for key, value in about.items()]
        bad = [
            (b"{}", [*headers, ("ce_bad", b"\xff\xfe")]),
            (b"no JSON", [*headers, ("ce_null", None)]),
            (b"{}", []),
        ]
        whole = self._whole_partitions(name)
        _insist(lambda: self.product.send(name, bad, whole))
        self.timeline.tell("trouble", f"{len(bad)} bad records on {len(whole)} partitions of {name}")

    async def _hold(self, service: str, seconds: float) -> None:
        """Hold a transaction open, with rows that others need, and then roll it back."""
        connection = await asyncpg.connect(self.product.told[f"IACS_{service.upper()}_DATABASE_URL"], timeout=5)
        try:
            await connection.execute("BEGIN")
            await connection.fetchval("SELECT pg_current_xact_id()")
            await connection.execute(_HELD_ROWS[service])
            await asyncio.sleep(seconds)
            await connection.execute("ROLLBACK")
        finally:
            await connection.close(timeout=2)


def _append(product: Product, it: Record) -> None:
    """Put a record at the end of its own partition, as a relay does that sends again."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=product.kafka_servers) as producer:
            await producer.send_and_wait(
                it.topic, it.value, key=it.key, partition=it.partition, headers=list(it.headers)
            )

    asyncio.run(send())


def _insist(work: Callable[[], T]) -> T:
    """Do it, again and again while an earlier trouble stands in the way."""
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return work()
        except (KafkaError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, httpx.HTTPError):
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.3)
