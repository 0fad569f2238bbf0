"""What the tests of the shared floor need: a database with its tables, and nothing of any service's rules."""

from collections.abc import Awaitable, Callable

import pytest

from shared.database import Database


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[Database]]) -> Database:
    """A fresh database. Any service's will do: the tables of the shared floor are in each."""
    return await database_of("approval")
