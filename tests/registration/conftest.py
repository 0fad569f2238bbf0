"""A registration service to file at, on an empty database."""

import json
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import ECKey

from services.registration import main
from services.registration.settings import RegistrationSettings
from shared import settings
from shared.contracts.community import Community
from shared.database import Database
from tests.registration.desk import ORIGIN, Desk, key_text

COMMUNITIES = Path(__file__).parents[2] / "shared" / "communities"


@pytest.fixture
def provider_supplier() -> Community:
    """The community that the product ships."""
    return Community.model_validate(tomllib.loads((COMMUNITIES / "provider-supplier.toml").read_text()))


@pytest.fixture
def contractors() -> Community:
    """The other community that the product ships, as it will be once it is open: by invitation only."""
    closed = Community.model_validate(tomllib.loads((COMMUNITIES / "fi-carrier-mac.toml").read_text()))
    return closed.model_copy(update={"open": True})


@pytest.fixture
async def desk(
    emptied: Callable[[str], Awaitable[Database]], tmp_path: Path, provider_supplier: Community
) -> AsyncIterator[Desk]:
    """A running API of registration, with the shipped community."""
    db = await emptied("registration")
    directory_key, notification_key, signer = (ECKey.generate_key("P-256") for _ in range(3))
    folder = tmp_path / "docu ments"
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
            "IACS_REGISTRATION_DIRECTORY_SEAL_KEY": json.dumps(directory_key.as_dict(private=False)),
            "IACS_REGISTRATION_NOTIFICATION_SEAL_KEY": json.dumps(notification_key.as_dict(private=False)),
        },
    )
    app = main.application(told, db, None, with_api=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN) as http:
        it = Desk(db, http, provider_supplier, directory_key, notification_key, signer, folder)
        await it.publish(provider_supplier)
        await it.trust_tokens()
        yield it
