"""The running product with people who have come in, and who holds what by the directory's own rows."""

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import pytest
from aiokafka import AIOKafkaProducer
from rich.console import Console

from services.story import Story
from services.story.telling import bearer
from shared.testing.product import Product, Record

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples"


@pytest.fixture(scope="session")
def tell(product: Product) -> Callable[[], None]:
    """Let grants of every kind be made, and some end; each time of fresh people in a fresh organization."""

    def tell_it() -> None:
        story = Story.at(product.origin, product.told, Console(quiet=True))
        xyz = story.an_organization_registers(story.the_help_desk_opens(), "XYZ Medical Group")
        administrator, group_id = story.a_group_is_created(xyz)
        user = story.an_end_user_joins(xyz, administrator, group_id)
        story.applications_are_opened(xyz, administrator, user)
        role_id = story.do.role_of(user, "END_USER")["id"]
        left = story.do.http.delete(f"/directory/v1/role-assignments/{role_id}", headers=bearer(user.token))
        assert left.is_success, left.text
        product.wait_quiet()

    return tell_it


@pytest.fixture(scope="session")
def told(product: Product, tell: Callable[[], None]) -> Product:
    """The product after grants, which another test may have made."""
    if not product.rows("directory", "SELECT FROM role_assignment WHERE request_id IS NOT NULL LIMIT 1"):
        tell()
    return product


@pytest.fixture(scope="session")
def example() -> ModuleType:
    """The example subscriber as a module, so that its topics can be others."""
    spec = importlib.util.spec_from_file_location("subscriber", EXAMPLES / "subscriber.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def grants(product: Product) -> set[str]:
    """Return who holds which role and may use what, as the directory's database says, in a subscriber's words."""
    queries = (
        "SELECT person_id, role AS what, place_id AS at FROM role_assignment WHERE status = 'active'",
        "SELECT person_id, application AS what, assignment_id AS at FROM entitlement WHERE status = 'active'",
    )
    rows = [row for query in queries for row in product.rows("directory", query)]
    return {f"{row['person_id']} {row['what']} {row['at']}" for row in rows}


def append(product: Product, *records: Record) -> None:
    """Put records at the end of their own partitions, as the relay does when it sends again."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=product.kafka_servers) as producer:
            for it in records:
                await producer.send_and_wait(
                    it.topic, it.value, key=it.key, partition=it.partition, headers=list(it.headers)
                )

    asyncio.run(send())


def held(lines: Iterable[str]) -> set[str]:
    """Return what remains of a subscriber's lines: each + adds a grant, each - takes one that was there."""
    found: set[str] = set()
    for line in lines:
        sign, grant = line.rstrip("\n").split(" ", maxsplit=1)
        assert (grant in found) == (sign == "-"), line
        (found.add if sign == "+" else found.remove)(grant)
    return found
