"""JSON comes in: what people were told about a request, for the help desk."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from services.notification import store, usecases
from shared import telemetry, web
from shared.database import Database
from shared.ids import PersonId, RequestId
from shared.tokens import Verifier


class NoticeView(web.View):
    """One notice to one recipient: who in which part, and what became of it. Never what it says."""

    id: UUID
    notice: str = Field(examples=["decision_needed"])
    recipient: str = Field(examples=["approver"])
    recipient_id: UUID | None
    version: str = Field(examples=["1"])
    state: str = Field(examples=["sent"])
    why: str | None = Field(examples=[None])
    attempts: int
    smtp_status: int | None = Field(examples=[250])
    created_at: datetime
    rendered_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, one: store.Listed) -> "NoticeView":
        """Show one row."""
        return cls(
            id=one.id,
            notice=one.name,
            recipient=one.recipient_kind,
            recipient_id=one.recipient_id,
            version=one.version,
            state=one.state,
            why=one.why,
            attempts=one.attempt_count,
            smtp_status=one.smtp_status,
            created_at=one.created_at,
            rendered_at=one.rendered_at,
            ended_at=one.ended_at,
        )


def routes(db: Database, verifier: Verifier, cursors: web.Cursors) -> APIRouter:
    """Return the endpoints."""
    signed_in = web.signed_in(verifier)
    router = APIRouter(prefix="/v1/requests", tags=["notices"])

    @router.get(
        "/{request_id}/notices",
        responses=web.responses("unauthenticated", "not_found", "field_invalid"),
    )
    async def notices(
        request_id: UUID,
        me: Annotated[PersonId, Depends(signed_in)],
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: web.Cursor = None,
    ) -> web.Page[NoticeView]:
        """List what people were told about a request, oldest first: for the community's help desk, else 404."""
        telemetry.correlate(RequestId(request_id))
        purpose = f"notices {request_id} {me}"
        position = cursors.read(purpose, cursor)
        after = (datetime.fromisoformat(position[0]), UUID(position[1])) if position else None
        async with db.begin() as tx:
            found = await usecases.list_notices(tx, me, RequestId(request_id), limit=limit + 1, after=after)
        page = found[:limit]
        more = len(found) > limit
        return web.Page(
            items=[NoticeView.of(one) for one in page],
            next_cursor=cursors.seal(purpose, page[-1].created_at.isoformat(), page[-1].id) if more else None,
        )

    return router
