"""An empty, migrated database for a test: copied from a template, or emptied by the test before."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg

from shared import clock, migrate, outbox
from shared.database import Database
from shared.platform.postgres import Postgres

_EMPTY = """
DO $$
DECLARE
    every text[];
    names text[] := '{}';
    name text;
    filled boolean;
BEGIN
    SELECT array_agg(format('%I', relname)) INTO every FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version';
    -- Whoever is still writing is waited for: rows that are not committed yet would be seen too late.
    EXECUTE 'LOCK TABLE ' || array_to_string(every, ', ') || ' IN ACCESS EXCLUSIVE MODE';
    -- Only what has rows: each table that is truncated gets new files.
    FOREACH name IN ARRAY every LOOP
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO filled;
        IF filled THEN
            names := names || name;
        END IF;
    END LOOP;
    IF names <> '{}' THEN
        EXECUTE 'TRUNCATE ' || array_to_string(names, ', ') || ' CASCADE';
    END IF;
    FOR name IN SELECT format('%I', sequencename) FROM pg_sequences WHERE last_value IS NOT NULL LOOP
        EXECUTE 'ALTER SEQUENCE ' || name || ' RESTART';
    END LOOP;
END $$
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
                await tx.raw.execute(_EMPTY)
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
