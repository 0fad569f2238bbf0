"""A registration service to file at, on an empty database."""

import json
import shutil
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from joserfc.jwk import ECKey

from services.registration import main
from services.registration.settings import RegistrationSettings
from shared import settings
from shared.contracts.community import Community
from shared.database import Database
from tests.registration.desk import ORIGIN, Desk, key_text

COMMUNITIES = Path(__file__).parents[2] / "shared" / "communities"


@pytest.fixture(scope="session")
def provider_supplier() -> Community:
    """The community that the product ships."""
    return Community.model_validate(tomllib.loads((COMMUNITIES / "provider-supplier.toml").read_text()))


@pytest.fixture(scope="session")
def contractors() -> Community:
    """The other community that the product ships, as it will be once it is open: by invitation only."""
    closed = Community.model_validate(tomllib.loads((COMMUNITIES / "fi-carrier-mac.toml").read_text()))
    return closed.model_copy(update={"open": True})


@dataclass(frozen=True)
class Served:
    """The application on one database, for all who borrow it: to build it takes longer than most tests."""

    application: FastAPI
    folder: Path


_DIRECTORY_KEY, _NOTIFICATION_KEY, _SIGNER = (ECKey.generate_key("P-256") for _ in range(3))


@pytest.fixture
async def desk(
    emptied: Callable[[str], Awaitable[Database]],
    tmp_path_factory: pytest.TempPathFactory,
    provider_supplier: Community,
) -> AsyncIterator[Desk]:
    """A running API of registration, with the shipped community."""
    db = await emptied("registration")
    it = _served(db, tmp_path_factory.getbasetemp())
    it.folder.mkdir(exist_ok=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=it.application), base_url=ORIGIN) as http:
        desk = Desk(db, http, provider_supplier, _DIRECTORY_KEY, _NOTIFICATION_KEY, _SIGNER, it.folder)
        await desk.publish(provider_supplier)
        await desk.trust_tokens()
        yield desk
    shutil.rmtree(it.folder, ignore_errors=True)


@cache
def _served(db: Database, below: Path) -> Served:
    folder = below / f"docu ments of {db.url.database}"
    return Served(_application(db, folder), folder)


def _application(db: Database, folder: Path) -> FastAPI:
    told = settings.load(
        RegistrationSettings,
        {
            "IACS_REGISTRATION_PROFILE": "embedded",
            "IACS_REGISTRATION_DATABASE_URL": db.dsn,
            "IACS_REGISTRATION_KAFKA_SERVERS": "localhost:1",
            "IACS_REGISTRATION_API_PORT": "1234",
            "IACS_REGISTRATION_PUBLIC_URL": ORIGIN,
            "IACS_REGISTRATION_SECRET_KEY": key_text(1),
            "IACS_REGISTRATION_FINGERPRINT_KEY": key_text(2),
            "IACS_REGISTRATION_DATA_KEYS": json.dumps({"k1": key_text(3)}),
            "IACS_REGISTRATION_DOCUMENTS_URL": folder.as_uri(),
            "IACS_REGISTRATION_DIRECTORY_SEAL_KEY": json.dumps(_DIRECTORY_KEY.as_dict(private=False)),
            "IACS_REGISTRATION_NOTIFICATION_SEAL_KEY": json.dumps(_NOTIFICATION_KEY.as_dict(private=False)),
        },
    )
    return main.application(told, db, None, with_api=True)
