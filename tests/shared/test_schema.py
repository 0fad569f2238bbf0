"""What the migrations make is what the code expects."""

import asyncio
import importlib

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from shared import deployment, tables
from shared.testing.databases import Databases


@pytest.mark.parametrize("service", deployment.SERVICES)
async def test_the_migrated_schema_is_the_declared_one(databases: Databases, service: str) -> None:
    expected = MetaData()
    for metadata in (tables.metadata, importlib.import_module(f"services.{service}.tables").metadata):
        for table in metadata.tables.values():
            table.to_metadata(expected)

    def differences(connection: Connection) -> list[object]:
        # Checks are compared by name: Alembic itself does not look at them.
        inspected = MigrationContext.configure(connection, opts={"compare_type": True})
        found = [d for d in compare_metadata(inspected, expected) if "alembic_version" not in repr(d)]
        stored = {
            row[0]
            for row in connection.exec_driver_sql(
                "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
            )
        }
        declared = {
            constraint.name
            for table in expected.tables.values()
            for constraint in table.constraints
            if type(constraint).__name__ == "CheckConstraint"
        }
        return [*found, *(stored ^ declared)]

    url = (await asyncio.to_thread(databases.url_of, service)).replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()
