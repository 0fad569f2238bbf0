"""Three brokers with three copies of everything, as production has them: the loss of any one loses nothing."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import func, select

from shared import outbox, topics
from shared.contracts import approval
from shared.contracts.approval import RequestExpired
from shared.database import Database, Transaction
from shared.delivery import Handlers
from shared.ids import new_id
from shared.kafka import Kafka
from shared.platform import kafka, part, ports, state
from shared.platform.stack import Stack
from shared.relay import Relay
from shared.tables import outbox as table
from shared.testing.records import attributes_of, tail
from shared.testing.waiting import until
from shared.worker import Worker
from tests.conftest import PARTITION_COUNT
from tests.shared.builders import a_request_expired

NUMBERS = (1, 2, 3)
IN_A_CLUSTER = {
    "offsets.topic.replication.factor": "3",
    # Else a broker that went takes nine seconds to be given up, and these tests as long for each.
    "broker.session.timeout.ms": "2000",
}
CLUSTER_ID = "dGhyZWUgYnJva2VycyBmb3I"


class Broker(kafka.Kafka):
    """One of three, in a folder of its own."""

    def __init__(self, number: int, data: Path) -> None:
        self.number = number
        self._claims = ports.Ports(data)
        super().__init__(data, self._claims, durable=False)
        self.places: Mapping[int, tuple[int, int]] = {}

    def place(self) -> tuple[int, int]:
        """Return the ports at which clients and controllers find it, now and after each start."""
        return self._claims.claim("kafka"), self._claims.claim("kafka-controller")

    def _format(self, class_path: list[Path], primer: Path) -> None:
        super()._format(class_path, primer)
        identity = self.data / "kafka" / "meta.properties"
        told = dict(line.split("=", 1) for line in identity.read_text().splitlines())
        told |= {"node.id": str(self.number), "cluster.id": CLUSTER_ID}
        state.write_whole(identity, "".join(f"{name}={value}\n" for name, value in told.items()))

    def _write_properties(self, port: int, controller_port: int, settings: dict[str, str]) -> None:
        super()._write_properties(port, controller_port, {**settings, **IN_A_CLUSTER, "node.id": str(self.number)})
        voters = ",".join(f"{number}@{ports.HOST}:{place[1]}" for number, place in self.places.items())
        with (self.data / "kafka.properties").open("a") as told:
            told.write(f"controller.quorum.voters={voters}\n")


class Cluster:
    """Three brokers that know each other."""

    def __init__(self, folder: Path) -> None:
        self.brokers = {number: Broker(number, folder / f"broker {number}") for number in NUMBERS}
        for broker in self.brokers.values():
            broker.data.mkdir()
        places = {number: broker.place() for number, broker in self.brokers.items()}
        for broker in self.brokers.values():
            broker.places = places

    def start(self) -> None:
        part.start_together(list(self.brokers.values()), part.silent)

    def stop(self) -> None:
        part.stop_together(list(self.brokers.values()))

    @property
    def kafka(self) -> Kafka:
        """How all three are reached."""
        return Kafka(",".join(broker.address for broker in self.brokers.values()))

    async def leader_of(self, topic: str, partition: int) -> Broker:
        """Return the broker that takes records for this partition."""
        admin = AIOKafkaAdminClient(**self.kafka.client())
        await admin.start()
        try:
            (found,) = await admin.describe_topics([topic])
            return self.brokers[next(it["leader"] for it in found["partitions"] if it["partition"] == partition)]
        finally:
            await admin.close()


@pytest.fixture(scope="module")
def cluster(stack: Stack) -> Iterator[Cluster]:
    """Three that run. The one of the `stack` has taught Java before: of three none is ready without another."""
    with tempfile.TemporaryDirectory(prefix="iacs tests cluster ") as folder:
        made = Cluster(Path(folder))
        try:
            made.start()
            asyncio.run(topics.apply(made.kafka, partition_count=PARTITION_COUNT, replication=len(NUMBERS)))
            yield made
        finally:
            made.stop()


@asynccontextmanager
async def living(cluster: Cluster, database: Database) -> AsyncIterator[None]:
    """A relay that sends what is announced, and a worker that hears of it again; both until the block ends."""
    handle = Handlers(f"cluster-{new_id()}")

    @handle(RequestExpired)
    async def expired(tx: Transaction, it: RequestExpired) -> None:
        await tx.raw.execute("INSERT INTO heard (scope, version) VALUES ($1, $2)", it.scope_id, it.version)

    async with database.begin() as tx:
        await tx.raw.execute("CREATE TABLE heard (n bigint GENERATED ALWAYS AS IDENTITY, scope uuid, version int)")
    relay = Relay("approval", database, cluster.kafka, partition_count=PARTITION_COUNT)
    worker = Worker("approval", database, cluster.kafka, handle, [], partition_count=PARTITION_COUNT)
    async with AsyncExitStack() as ending:
        for task in (asyncio.create_task(relay.run()), asyncio.create_task(worker.run())):
            ending.push_async_callback(ended, task)
        yield


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def say(database: Database, scopes: list[UUID], version: int) -> None:
    """Announce one event in each scope."""
    async with database.begin() as tx:
        for scope in scopes:
            outbox.announce(tx, scope=scope, subject=scope, event=a_request_expired(scope, scope, version=version))


async def unsent_count(database: Database) -> int:
    async with database.begin() as tx:
        return int(await tx.value(select(func.count()).where(table.c.sent_at.is_(None))))


async def heard(database: Database, scopes: list[UUID], versions: list[int]) -> None:
    """Return when the worker has heard these of each scope; fail if in another order, or one twice."""

    async def all_there() -> bool:
        async with database.begin() as tx:
            count = await tx.raw.fetchval("SELECT count(*) FROM heard WHERE scope = ANY ($1)", scopes)
            return bool(count >= len(scopes) * len(versions))

    await until(all_there)
    async with database.begin() as tx:
        rows = await tx.raw.fetch(
            "SELECT scope, array_agg(version ORDER BY n) AS versions FROM heard WHERE scope = ANY ($1) GROUP BY scope",
            scopes,
        )
    assert {row["scope"]: row["versions"] for row in rows} == dict.fromkeys(scopes, versions)


async def test_whichever_broker_dies_what_was_said_is_there_once_and_in_order_and_the_rest_goes_on(
    cluster: Cluster, database: Database
) -> None:
    scopes = [new_id() for _ in range(20)]
    async with tail(cluster.kafka.servers, approval.TOPIC) as log, living(cluster, database):
        await say(database, scopes, 1)
        await heard(database, scopes, [1])
        dead = await cluster.leader_of(approval.TOPIC, 0)
        dead.kill()
        await say(database, scopes, 2)
        await heard(database, scopes, [1, 2])
        await asyncio.to_thread(dead.start)
        records = await log.records(*scopes, expected_count=2 * len(scopes))

    assert len(records) == 2 * len(scopes)
    for scope in scopes:
        ours = [record for record in records if attributes_of(record)["partitionkey"] == str(scope)]
        assert [attributes_of(record)["sequence"] for record in ours] == [f"{n:020}" for n in (1, 2)]


async def test_with_two_of_three_away_nothing_is_taken_for_sent_and_all_is_once_one_is_back(
    cluster: Cluster, database: Database
) -> None:
    scopes = [new_id() for _ in range(20)]
    async with living(cluster, database):
        await say(database, scopes, 1)
        await heard(database, scopes, [1])
        alone = await cluster.leader_of(approval.TOPIC, 0)  # It could take the records of one partition.
        others = [broker for broker in cluster.brokers.values() if broker is not alone]
        for broker in others:
            broker.kill()
        await say(database, scopes, 2)
        await asyncio.sleep(2)  # A broker that took them alone would have in milliseconds.
        assert await unsent_count(database) == len(scopes)
        await asyncio.to_thread(part.start_together, others, part.silent)
        await heard(database, scopes, [1, 2])
        assert await unsent_count(database) == 0
