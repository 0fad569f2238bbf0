"""A fresh, migrated database for a test: copied from a template, so that it costs milliseconds."""

from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg

from shared import clock, migrate, outbox
from shared.database import Database
from shared.platform.postgres import Postgres


@dataclass
class Databases:
    """Makes databases on one PostgreSQL, each service's from a template that is migrated once."""

    postgres: Postgres
    _templates: set[str] = field(default_factory=set)

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

    async def drop(self, database: Database) -> None:
        """Close a database and give its space back."""
        await database.close()
        maintenance = await asyncpg.connect(self.postgres.dsn("postgres"))
        try:
            await maintenance.execute(f'DROP DATABASE "{database.url.database}" WITH (FORCE)')
        finally:
            await maintenance.close()
