"""How Alembic reaches a service's database: one connection, one transaction, one at a time."""

import asyncio
import importlib

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared import tables

_ONE_AT_A_TIME = 0x1AC5_0DB0


def _metadata() -> list[object]:
    own = importlib.import_module(f"services.{context.config.attributes['service']}.tables")
    return [tables.metadata, own.metadata]


def _migrate(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ONE_AT_A_TIME})
    context.configure(connection=connection, target_metadata=_metadata(), compare_type=True)  # type: ignore[arg-type]
    context.run_migrations()


async def _run() -> None:
    engine = create_async_engine(context.config.attributes["url"])
    async with engine.begin() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


asyncio.run(_run())
