"""What the tests of the shared floor need: a database with its tables, and nothing of any service's rules."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import redirect_stderr
from io import StringIO

import pytest
import structlog

from shared import telemetry
from shared.database import Database
from shared.testing.databases import Databases


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    """A fresh database. Any service's will do: the tables of the shared floor are in each."""
    return await database_of("approval")


@pytest.fixture(scope="session")
async def one_database(databases: Databases) -> AsyncIterator[Database]:
    """One database for all tests that keep apart by ids of their own: making one for each takes longer than they do."""
    database = await asyncio.to_thread(databases.open, "approval")
    await database.start()
    yield database
    await database.close()


@pytest.fixture(scope="session", autouse=True)
def log_lines() -> None:
    """Log as the services do: left alone, structlog draws each traceback with all values in it, for seconds."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, telemetry._tell_exception, structlog.processors.JSONRenderer()]
    )


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What a process of its own would log."""
    told, before = StringIO(), structlog.get_config()
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with redirect_stderr(told):
        telemetry.configure_logs("toy", as_json=True)
    yield told
    structlog.configure(**before)
