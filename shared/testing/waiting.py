"""How a test waits for what happens elsewhere: it asks until it is so, and fails when it is not so in time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.database import Database

T = TypeVar("T")


async def until(ask: Callable[[], Awaitable[T]], *, within_seconds: float = 60) -> T:
    """Return the first answer of `ask` that is true. Raises TimeoutError."""
    async with asyncio.timeout(within_seconds):
        while not (answer := await ask()):  # noqa: ASYNC110 - it happens in another process.
            await asyncio.sleep(0.01)
    return answer


async def until_true(holds: Callable[[], bool], *, within_seconds: float = 60) -> None:
    """Return when `holds` says so. Raises TimeoutError."""

    async def ask() -> bool:
        return holds()

    await until(ask, within_seconds=within_seconds)


async def someone_waits_for_a_lock(database: Database, *, count: int = 1) -> None:
    """Return when so many transactions of `database` wait for a lock: PostgreSQL says it, nobody guesses."""
    connection = await database.connect()
    try:

        async def waiting() -> bool:
            found = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(found >= count)

        await until(waiting)
    finally:
        await connection.close()
