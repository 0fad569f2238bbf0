"""What must be there before the services start: databases at their newest schema, topics, keys, communities.

Each step finds what an earlier run has made, so that doing it again changes nothing.
"""

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from services.directory import assembly, domain, store, usecases
from services.directory.settings import DirectorySettings
from shared import deployment, migrate, settings, topics
from shared.contracts.community import Community
from shared.database import Transaction
from shared.errors import Refusal

SERVICES: Sequence[str] = deployment.SERVICES


def prepare(told: Mapping[str, str]) -> None:
    """Make everything ready that the services have in common, as they are told."""
    upgrade_databases(told)
    asyncio.run(topics.apply(settings.load(DirectorySettings, dict(told)).kafka))
    asyncio.run(first_contents(told))


def upgrade_databases(told: Mapping[str, str], services: Sequence[str] = SERVICES) -> None:
    """Bring the databases of these services to their newest schema. Raises SettingsError where one has no address."""
    addresses = settings.database_addresses(told, services)
    for service, address in addresses.items():
        migrate.upgrade(service, address)


def read_community(path: Path) -> Community:
    """Read a community file. Raises community_invalid, which names every fault at once."""
    try:
        toml = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Refusal("community_invalid", "not UTF-8", community_faults=["The file is not UTF-8."]) from error
    return parse_community(toml)


def parse_community(toml: str) -> Community:
    """Read a community from its TOML. Raises community_invalid, which names every fault at once."""
    try:
        community = Community.model_validate(tomllib.loads(toml))
    except tomllib.TOMLDecodeError as error:
        raise Refusal("community_invalid", f"not TOML: {error}", community_faults=[str(error)]) from error
    except ValidationError as error:
        found = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise Refusal("community_invalid", "; ".join(found), community_faults=found) from error
    domain.check_community(community, [])
    return community


def shipped_communities() -> list[Community]:
    """Return the communities that the product ships, by file name."""
    folder = files("shared") / "communities"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return [parse_community(file.read_text(encoding="utf-8")) for file in found]


async def first_contents(told: Mapping[str, str]) -> None:
    """Make the first signing key, and publish the communities that the product ships."""
    directory_settings = settings.load(DirectorySettings, dict(told))
    database = directory_settings.open_database()
    try:
        async with database.begin() as tx:
            await usecases.ensure_signing_key(tx, assembly.keys(directory_settings))
            await apply_shipped(tx, shipped_communities())
    finally:
        await database.close()


async def apply_shipped(tx: Transaction, shipped: Sequence[Community]) -> list[str]:
    """Publish what is newer than the newest version published; return the ids. What an operator has applied stays."""
    newer = []
    for community in shipped:
        published = [row.version for row in await store.list_versions(tx, community.id)]
        if community.version > max(published, default=0):
            await usecases.apply_community(tx, community, by="installation")
            newer.append(community.id)
    return newer
