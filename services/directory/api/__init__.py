"""JSON comes in: finding organizations and groups, who may do what there, one's own access, signing in."""

from fastapi import APIRouter

from services.directory import usecases
from services.directory.api import access, accounts, finding, organizations
from services.directory.api.accounts import Signer
from shared import tokens, web
from shared.database import Database

__all__ = ["Signer", "routes"]


def routes(
    db: Database,
    keys: usecases.Keys,
    verifier: tokens.Verifier,
    signer: Signer,
    cursors: web.Cursors,
    *,
    is_https: bool,
) -> APIRouter:
    """Return the directory's API."""
    router = APIRouter(prefix="/v1", tags=["directory"])
    router.include_router(finding.routes(db, keys, verifier, cursors))
    router.include_router(organizations.routes(db, verifier, cursors))
    router.include_router(access.routes(db, verifier))
    router.include_router(accounts.routes(db, keys, signer, is_https=is_https))
    return router
