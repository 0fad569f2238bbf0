"""Makes containers ready for the services: secrets, a database and a role for each, topics, first contents.

Each step finds what an earlier run has made, so that doing it again changes nothing. Used by the compose file's
one-shot `install`. What an embedded stack needs besides `preparation`: shared/platform/embedded.py.
"""

import asyncio
import secrets
from pathlib import Path

import asyncpg
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url

from services import preparation
from shared import deployment
from shared.platform import state
from shared.settings import DatabaseUrl, Origin

PORT = 8100
"""Each service has a host of its own, so all answer on the same port."""


class InstallationSettings(BaseSettings):
    """Where the containers are: IACS_INSTALLATION_…"""

    model_config = SettingsConfigDict(env_prefix="IACS_INSTALLATION_", frozen=True, extra="ignore")

    postgres_url: DatabaseUrl = Field(description="An administrator's: makes a role and a database for each service")
    kafka_servers: str = Field(min_length=1, description="host:port[,host:port]")
    public_url: Origin = Field(description="The one origin that people and programs use")
    smtp_url: SecretStr = Field(description="As notification's")
    documents_url: str = Field(default="file:///documents", description="As registration's")
    clock_file: Path = Field(default=Path("/clock/offset"), description="Offset of the domain clock, for the story")


def install(folder: Path, told: InstallationSettings) -> None:
    """Make everything ready; the settings of each service go into a folder of its own below `folder`."""
    kept: dict[str, str] = {}
    for service in deployment.SERVICES:
        path = folder / service / deployment.SETTINGS_FILE
        kept |= deployment.read(path) if path.exists() else {}
    urls = asyncio.run(_databases(told.postgres_url.get_secret_value(), kept))
    place = deployment.Place(
        database_url=urls.__getitem__,
        listen=lambda _: ("0.0.0.0", PORT),  # noqa: S104 - inside a container, whose network is its own.
        kafka_servers=told.kafka_servers,
        public_url=told.public_url,
        documents_url=told.documents_url,
        smtp_url=told.smtp_url.get_secret_value(),
        clock_file=told.clock_file,
    )
    settings = deployment.settings(place, kept)
    for service in deployment.SERVICES:
        path = folder / service / deployment.SETTINGS_FILE
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # In containers each is there, as a volume.
        # Whole: a service that starts at this moment reads the old file or the new one.
        state.write_whole(path, deployment.text(deployment.of_service(settings, service)))
    preparation.prepare(settings)


async def _databases(admin_url: str, kept: dict[str, str]) -> dict[str, str]:
    """Make sure that each service has its role and database; return the address of each."""
    admin = make_url(admin_url).set(drivername="postgresql")
    connection = await asyncpg.connect(admin.render_as_string(hide_password=False))
    try:
        found = {}
        for service in deployment.SERVICES:
            known = kept.get(f"IACS_{service.upper()}_DATABASE_URL")
            password = make_url(known).password if known else None
            url = admin.set(username=f"iacs_{service}", password=password or secrets.token_urlsafe(24))
            url = url.set(database=f"iacs_{service}")
            await _database(connection, service, str(url.password))
            found[service] = url.render_as_string(hide_password=False)
        return found
    finally:
        await connection.close()


async def _database(connection: asyncpg.Connection, service: str, password: str) -> None:
    name = f"iacs_{service}"  # One of four words of ours: safe to write into a statement.
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
        await connection.execute(f"CREATE ROLE {name} LOGIN")
    quoted = await connection.fetchval("SELECT quote_literal($1::text)", password)
    await connection.execute(f"ALTER ROLE {name} PASSWORD {quoted}")
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        await connection.execute(f"CREATE DATABASE {name} OWNER {name}")
        await connection.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
