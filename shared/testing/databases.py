"""An empty, migrated database for a test: copied from a template, or emptied by the test before."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg

from shared import clock, migrate, outbox
from shared.database import Database
from shared.platform.postgres import Postgres

_TABLES = """
SELECT format('%I', relname) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
"""
_SEQUENCES_ANEW = """
SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
WHERE relnamespace = 'public'::regnamespace
"""


@dataclass
class Databases:
    """Makes databases on one PostgreSQL, each service's from a template that is migrated once."""

    postgres: Postgres
    _templates: set[str] = field(default_factory=set)
    _free: dict[str, list[Database]] = field(default_factory=lambda: defaultdict(list))

    def url_of(self, service: str) -> str:
        """Return the address of a fresh database of `service`."""
        template = f"template_{service}"
        if template not in self._templates:
            self.postgres.create_database(template)
            migrate.upgrade(service, self.postgres.dsn(template))
            self._templates.add(template)
        name = f"test_{service}_{uuid4().hex[:12]}"
        self.postgres.create_database(name, template=template)
        return self.postgres.dsn(name)

    def open(self, service: str, *, now: clock.Clock = clock.wall_clock, pool_size: int = 5) -> Database:
        """Return a fresh database of `service`, not started yet."""
        return Database(self.url_of(service), flush=outbox.flush, clock=now, pool_size=pool_size)

    async def borrow(self, service: str) -> Database:
        """Return an empty, started database of `service`, for a test that only puts rows into it.

        Its connections and the statements that they know are those of the test before, as in a service that has run
        for a while: that saves half of what a fresh one costs.
        """
        if self._free[service]:
            return self._free[service].pop()
        database = await asyncio.to_thread(self.open, service)
        await database.start()
        return database

    async def give_back(self, service: str, database: Database) -> None:
        """Empty a borrowed database for the next test. Raises if it does not become empty; then it is dropped."""
        database.clock = database.real_clock = clock.wall_clock
        try:
            async with database.begin() as tx:
                tx.memory.clear()
                await _empty(tx.raw)
        except BaseException:
            await self.drop(database)
            raise
        self._free[service].append(database)

    async def close(self) -> None:
        """Close what was given back."""
        for databases in self._free.values():
            for database in databases:
                await database.close()
        self._free.clear()

    async def drop(self, database: Database) -> None:
        """Close a database and give its space back."""
        await database.close()
        maintenance = await asyncpg.connect(self.postgres.dsn("postgres"))
        try:
            await maintenance.execute(f'DROP DATABASE "{database.url.database}" WITH (FORCE)')
        finally:
            await maintenance.close()


async def _empty(connection: asyncpg.Connection) -> None:
    """Delete every row, and let sequences begin anew.

    Not by TRUNCATE: each table would get new files, and each statement that its connections know a new plan.
    """
    tables = [row[0] for row in await connection.fetch(_TABLES)]
    # Whoever is still writing is waited for: rows that are not committed yet would be seen too late.
    await connection.execute(f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE")
    # All go, so no reference needs to be looked at.
    deletions = [f"DELETE FROM {table}" for table in tables]  # noqa: S608 - names of tables, from the catalogue.
    await connection.execute("; ".join(["SET LOCAL session_replication_role = replica", *deletions]))
    await connection.execute(_SEQUENCES_ANEW)
