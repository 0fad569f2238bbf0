"""An approval service to speak to, on an empty database."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache

import httpx
import pytest
from fastapi import FastAPI
from joserfc.jwk import ECKey
from sqlalchemy import insert

from services.approval import main
from services.approval.settings import ApprovalSettings
from shared import settings
from shared.contracts import directory
from shared.database import Database
from shared.tables import replica
from tests.approval import builders
from tests.approval.desk import ORIGIN, Desk

_SIGNER = ECKey.generate_key("P-256")


@pytest.fixture
async def desk(emptied: Callable[[str], Awaitable[Database]]) -> AsyncIterator[Desk]:
    """Approval and its API; it knows the shipped community and a key of tokens."""
    db = await emptied("approval")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=_application(db)), base_url=ORIGIN) as http:
        it = Desk(db, http, _SIGNER)
        await it.publish(builders.COMMUNITY)
        await it.trust_tokens()
        async with db.begin() as tx:
            await tx.execute(insert(replica).values(topic=directory.STATE_TOPIC, complete_at=tx.now))
        yield it


@cache
def _application(db: Database) -> FastAPI:
    """Return the application on one database, for all who borrow it: to build it takes longer than many tests."""
    told = settings.load(
        ApprovalSettings,
        {
            "IACS_APPROVAL_PROFILE": "embedded",
            "IACS_APPROVAL_DATABASE_URL": db.dsn,
            "IACS_APPROVAL_KAFKA_SERVERS": "localhost:1",
            "IACS_APPROVAL_API_PORT": "1234",
            "IACS_APPROVAL_PUBLIC_URL": ORIGIN,
            "IACS_APPROVAL_SECRET_KEY": urlsafe_b64encode(bytes(32)).decode(),
        },
    )
    return main.application(told, db, None, with_api=True)
