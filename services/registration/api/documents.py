"""Documents: sent by the applicant, read by the applicant and the help desk."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from services.registration import files, usecases
from services.registration.api import calls, showing, views
from services.registration.files import Files
from services.registration.keys import Keyring
from shared import web
from shared.database import Database
from shared.errors import Refusal
from shared.ids import DocumentId, RequestId, new_id
from shared.tokens import Verifier

_MEDIA_TYPES = ("application/pdf", "image/jpeg", "image/gif", "image/png")
_SAFE_DOWNLOAD = {
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-store",
}


def endpoints(db: Database, verifier: Verifier, ring: Keyring, kept: Files) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["documents"])
    who = calls.whoever(verifier, ring)

    @router.post(
        "/requests/{request_id}/documents/{document}",
        status_code=201,
        responses=calls.or_200(
            views.DocumentView,
            "This very file is here already",
            "field_invalid",
            "document_refused",
            "too_large",
            "request_closed",
            "unauthenticated",
            "not_found",
        ),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in _MEDIA_TYPES
                },
            }
        },
    )
    async def add_document(
        request_id: UUID,
        document: Annotated[str, Path(description="Its code, as its kind names it", examples=["irs_letter"])],
        request: Request,
        response: Response,
        token: Annotated[str | None, Depends(calls.bearer)],
    ) -> views.DocumentView:
        """Send a document, as the raw body. Its content decides its type, not the header or a name."""
        its = RequestId(request_id)
        by = await who(its, token)
        async with db.begin() as tx:
            await usecases.expect_document(tx, its, document, by)
        # Outside a transaction: the sender may be slow. A crash after this leaves an orphan, which a chore finds.
        stored = await kept.put(f"{its}/{new_id()}", _chunks(request))
        try:
            async with db.begin() as tx:
                added, is_new = await usecases.add_document(tx, its, document, stored, by)
        except Refusal:
            await kept.drop(stored.key)
            raise
        if not is_new:
            await kept.drop(stored.key)  # No row names these bytes: those of the first are there.
        response.status_code = 201 if is_new else 200
        return showing.document_view(added)

    @router.get("/requests/{request_id}/documents", responses=web.responses("unauthenticated", "not_found"))
    async def list_documents(
        request_id: UUID, token: Annotated[str | None, Depends(calls.bearer)]
    ) -> views.DocumentsView:
        """List the documents of a request: to its applicant, and to those appointed to judge them."""
        its = RequestId(request_id)
        by = await who(its, token)
        async with db.begin() as tx:
            found = await usecases.list_documents(tx, "list_documents", its, by)
        return views.DocumentsView(items=[showing.document_view(each) for each in found])

    @router.get(
        "/requests/{request_id}/documents/{document}",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "The document, as it was sent",
                "content": {media_type: {} for media_type in _MEDIA_TYPES},
            },
            **web.responses("unauthenticated", "not_found"),
        },
    )
    async def get_document(
        request_id: UUID,
        document: Annotated[UUID, Path(description="Its id", examples=["0198c0de-0000-7000-8000-000000000001"])],
        token: Annotated[str | None, Depends(calls.bearer)],
    ) -> StreamingResponse:
        """Download a document. It is never shown in place: a browser saves it."""
        its = RequestId(request_id)
        by = await who(its, token)
        async with db.begin() as tx:
            found = await usecases.list_documents(tx, "get_document", its, by)
        wanted = next((each for each in found if each.id == DocumentId(document)), None)
        if wanted is None:
            raise Refusal("not_found")
        pieces = await kept.get(wanted.storage_key)
        headers = {
            **_SAFE_DOWNLOAD,
            "content-disposition": f'attachment; filename="{files.name_of(wanted)}"',
            "content-length": str(wanted.size_bytes),
        }
        return StreamingResponse(pieces, media_type=wanted.media_type, headers=headers)

    return router


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise Refusal("document_refused") from None
