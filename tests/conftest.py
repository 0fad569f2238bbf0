"""What all tests stand on: one embedded stack for the session, an empty database for each test."""

import asyncio
import gc
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from shared import telemetry, topics
from shared.database import Database
from shared.kafka import Kafka
from shared.platform.postgres import Postgres
from shared.platform.stack import Stack
from shared.testing.databases import Databases
from shared.testing.product import Product

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

PARTITION_COUNT = 2
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in memory: copying a template there takes a tenth of the time.


@pytest.fixture(scope="session")
def ground() -> Iterator[Stack]:
    """The stack that all tests share that do not break it. Each part is started when the first test asks for it."""
    fast = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="iacs tests ", dir=fast) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL, lent to another user when root starts it, walks through here.
        stack = _stack(Path(folder))
        try:
            yield stack
        finally:
            stack.stop()


def _stack(folder: Path) -> Stack:
    if os.environ.get("STACK") != "containers":
        return Stack(folder, durable=False)
    from tests.in_containers import ContainerStack

    return ContainerStack(folder)


@pytest.fixture(scope="session")
def postgres(ground: Stack) -> Postgres:
    """PostgreSQL."""
    ground.postgres.start()
    return ground.postgres


@pytest.fixture(scope="session")
def stack(ground: Stack, postgres: Postgres) -> Stack:
    """PostgreSQL, and Kafka with its topics."""
    ground.kafka.start()
    asyncio.run(topics.apply(Kafka(ground.kafka.servers), partition_count=PARTITION_COUNT))
    return ground


@pytest.fixture(scope="session")
async def databases(postgres: Postgres) -> AsyncIterator[Databases]:
    """Where databases come from."""
    found = Databases(postgres)
    yield found
    await found.close()


@pytest.fixture
async def database_of(databases: Databases) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """A fresh, migrated and started database of a service, for this test alone."""
    opened: list[Database] = []

    async def open_one(service: str) -> Database:
        database = await asyncio.to_thread(databases.open, service)
        await database.start()
        opened.append(database)
        return database

    yield open_one
    for database in opened:
        await databases.drop(database)


@pytest.fixture
async def emptied(databases: Databases) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """An empty, started database of a service, which the next test gets again: for tests that break nothing of it."""
    borrowed: list[tuple[str, Database]] = []

    async def borrow(service: str) -> Database:
        database = await databases.borrow(service)
        borrowed.append((service, database))
        return database

    yield borrow
    async with AsyncExitStack() as all_of_them:
        for service, database in borrowed:
            all_of_them.push_async_callback(databases.give_back, service, database)


@pytest.fixture(scope="session")
def product() -> Iterator[Product]:
    """The whole product in real processes, on a stack of its own: what breaks it disturbs nobody else."""
    with tempfile.TemporaryDirectory(prefix="iacs product ") as folder:
        running = Product(Path(folder) / "data")
        running.start()
        try:
            yield running
        finally:
            running.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what breaks the product come last of its tests, since its poison stays on the topics."""
    items.sort(key=lambda item: "tests/guarantees" in item.nodeid)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking through all that was imported, again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def log_shape() -> None:
    """Logs look as they do in production; left alone, structlog would draw every exception with its locals."""
    telemetry.configure_logs("tests", as_json=True)
