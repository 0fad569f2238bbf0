"""What all tests stand on: one embedded stack for the session, a fresh database for each test."""

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
from shared.platform.stack import Stack
from shared.testing.databases import Databases
from shared.testing.product import Product

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

PARTITION_COUNT = 2
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in memory: copying a template there takes a tenth of the time.


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """PostgreSQL, Kafka with its topics, and mail, shared by every test that does not break them."""
    fast = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="iacs tests ", dir=fast) as folder, _stack(Path(folder)) as running:
        asyncio.run(topics.apply(Kafka(running.kafka.servers), partition_count=PARTITION_COUNT))
        yield running


def _stack(folder: Path) -> Stack:
    if os.environ.get("STACK") != "containers":
        return Stack(folder, faults=True, durable=False)
    from tests.in_containers import ContainerStack

    return ContainerStack(folder)


@pytest.fixture(scope="session")
async def databases(stack: Stack) -> AsyncIterator[Databases]:
    """Where databases come from."""
    found = Databases(stack.postgres)
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
