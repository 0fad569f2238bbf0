"""All routes of version 1."""

from collections.abc import Mapping

from fastapi import APIRouter

from services.registration import files
from services.registration.api import communities, documents, filing, guides, invitations, requests
from services.registration.files import Files
from services.registration.keys import Keyring
from shared import web
from shared.database import Database
from shared.tokens import Verifier

LARGER_BODIES: Mapping[str, int] = {r"/registration/v1/requests/[^/]+/documents/[^/]+": files.LARGEST_BYTES}


def routes(
    db: Database, verifier: Verifier, ring: Keyring, kept: Files, cursors: web.Cursors, *, filings_an_hour: int
) -> APIRouter:
    """Return them. `filings_an_hour` are taken from one network address of people who are not signed in."""
    router = APIRouter(prefix="/v1")
    router.include_router(communities.endpoints(db))
    router.include_router(guides.endpoints(db))
    router.include_router(filing.endpoints(db, verifier, ring, filings_an_hour))
    router.include_router(requests.endpoints(db, verifier, ring, cursors))
    router.include_router(documents.endpoints(db, verifier, ring, kept))
    router.include_router(invitations.endpoints(db, verifier, ring, cursors))
    return router
