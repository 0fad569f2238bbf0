"""A directory to speak to, on an empty database."""

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from services.directory import main, passwords
from services.directory.settings import DirectorySettings
from shared import settings
from shared.database import Database
from tests.directory import builders
from tests.directory.desk import ORIGIN, Desk

KEY = urlsafe_b64encode(bytes(32)).decode()


def told(db: Database, origin: str = ORIGIN) -> dict[str, str]:
    """Return the settings of a directory on this database, as its environment tells them."""
    return {
        "IACS_DIRECTORY_PROFILE": "embedded",
        "IACS_DIRECTORY_DATABASE_URL": db.dsn,
        "IACS_DIRECTORY_KAFKA_SERVERS": "localhost:1",
        "IACS_DIRECTORY_API_PORT": "1234",
        "IACS_DIRECTORY_PUBLIC_URL": origin,
        "IACS_DIRECTORY_SECRET_KEY": KEY,
        "IACS_DIRECTORY_FINGERPRINT_KEY": KEY,
        "IACS_DIRECTORY_DATA_KEYS": json.dumps({"k1": KEY}),
        "IACS_DIRECTORY_SEAL_KEY": json.dumps(builders.SEAL_KEY),
        "IACS_DIRECTORY_NOTIFICATION_SEAL_KEY": json.dumps(dict(builders.KEYS.notification_jwk)),
    }


def client(db: Database, origin: str = ORIGIN) -> httpx.AsyncClient:
    """Return a client of a directory at an origin that remembers nothing yet."""
    return _client_of(_application(db, origin), origin)


def _application(db: Database, origin: str) -> FastAPI:
    return main.application(settings.load(DirectorySettings, told(db, origin)), db, None, with_api=True)


def _client_of(app: FastAPI, origin: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=origin)


_served = cache(_application)
"""The application on one database, for all who borrow it: to build it takes longer than most tests."""
_QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
_QUICK_NOBODYS = _QUICK.hash("nobody has this password")
"""Passwords are slow to hash by design, which is the subject of few tests here: those undo it."""


@pytest.fixture
async def desk(emptied: Callable[[str], Awaitable[Database]], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """The directory and its API; it has the shipped community, one help desk person and a signing key."""
    monkeypatch.setattr(passwords, "_HASHER", _QUICK)
    monkeypatch.setattr(passwords, "_NOBODYS", _QUICK_NOBODYS)
    db = await emptied("directory")
    async with _client_of(_served(db, ORIGIN), ORIGIN) as http:
        it = Desk(db, http)
        await it.prepare()
        yield it
