"""What must be there before the services start: databases at their newest schema, topics, keys, a community.

Each step finds what an earlier run has made, so that doing it again changes nothing.
"""

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from services.directory import main as directory
from services.directory import usecases
from services.directory.settings import DirectorySettings
from shared import migrate, settings, topics
from shared.contracts import community as rules
from shared.contracts.community import Community
from shared.errors import Refusal
from shared.platform import embedded
from shared.platform.stack import Stack
from shared.replicas import list_communities

SERVICES: Sequence[str] = embedded.SERVICES
SHIPPED = "provider-supplier.toml"


def prepare(stack: Stack, told: Mapping[str, str]) -> None:
    """Make an embedded stack ready for the services."""
    existing = stack.postgres.databases()
    for service in SERVICES:
        if f"iacs_{service}" not in existing:
            stack.postgres.create_database(f"iacs_{service}")
    upgrade_databases(told)
    asyncio.run(topics.apply(stack.kafka.servers))
    asyncio.run(_first_contents(told))


def upgrade_databases(told: Mapping[str, str], services: Sequence[str] = SERVICES) -> None:
    """Bring the databases of these services to their newest schema."""
    for service in services:
        migrate.upgrade(service, told[f"IACS_{service.upper()}_DATABASE_URL"])


def read_community(path: Path) -> Community:
    """Read a community file. Raises community_invalid, which names every fault at once."""
    return parse_community(path.read_text(encoding="utf-8"))


def parse_community(toml: str) -> Community:
    """Read a community from its TOML. Raises community_invalid, which names every fault at once."""
    try:
        community = Community.model_validate(tomllib.loads(toml))
    except tomllib.TOMLDecodeError as error:
        raise Refusal("community_invalid", f"not TOML: {error}", community_faults=[str(error)]) from error
    except ValidationError as error:
        found = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise Refusal("community_invalid", "; ".join(found), community_faults=found) from error
    found = rules.faults(community)
    if found:
        raise Refusal("community_invalid", "; ".join(found), community_faults=found)
    return community


async def _first_contents(told: Mapping[str, str]) -> None:
    """The first signing key, and the community that the product ships, unless an operator has applied one."""
    directory_settings = settings.load(DirectorySettings, dict(told))
    database = directory.database(directory_settings)
    try:
        async with database.begin() as tx:
            await usecases.ensure_signing_key(tx, directory.keys(directory_settings))
            if not await list_communities(tx):
                shipped = (files("shared") / "communities" / SHIPPED).read_text(encoding="utf-8")
                await usecases.apply_community(tx, parse_community(shipped), by="installation")
    finally:
        await database.close()
