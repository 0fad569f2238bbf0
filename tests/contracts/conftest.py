"""The four services, each alive for a whole module, with somebody of every role and something of every kind."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from shared.database import Database
from shared.testing.databases import Databases
from tests.contracts import inhabitants
from tests.contracts.applications import ORIGIN, SERVICES, Surroundings, application
from tests.contracts.living import Living


@pytest.fixture(scope="module")
async def living(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Living]]:
    """All four, each on a database of its own."""
    found: dict[str, Living] = {}
    opened: list[Database] = []
    clients: list[httpx.AsyncClient] = []
    for service in SERVICES:
        db = await asyncio.to_thread(databases.open, service)
        await db.start()
        opened.append(db)
        folder = tmp_path_factory.mktemp("documents")
        app = application(service, Surroundings(db, folder.as_uri()))
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN)
        clients.append(http)
        found[service] = await inhabitants.MOVE_IN[service](db, http, folder)
    yield found
    for http in clients:
        await http.aclose()
    for db in opened:
        await databases.drop(db)
