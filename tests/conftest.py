"""What all tests stand on: one embedded stack for the session, a fresh database for each test."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from shared import topics
from shared.database import Database
from shared.platform.stack import Stack
from shared.testing.databases import Databases
from shared.testing.product import Product

PARTITION_COUNT = 2


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """PostgreSQL, Kafka with its topics, and mail, shared by every test that does not break them."""
    with tempfile.TemporaryDirectory(prefix="iacs tests ") as folder, Stack(Path(folder), faults=True) as running:
        asyncio.run(topics.apply(running.kafka.servers, partition_count=PARTITION_COUNT))
        yield running


@pytest.fixture(scope="session")
def databases(stack: Stack) -> Iterator[Databases]:
    """Where fresh databases come from."""
    made = Databases(stack.postgres)
    yield made
    made.drop_all()


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
        await database.close()


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
