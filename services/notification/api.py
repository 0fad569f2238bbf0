"""JSON comes in: what people were told, for themselves, for the help desk and for the auditor."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from services.notification import store, usecases
from shared import telemetry, web
from shared.database import Database
from shared.ids import PersonId, RequestId
from shared.tokens import Verifier

_ID = "0198f3c2-7b1e-7c3a-9d52-5e0f6a1b2c3d"
_MOMENT = "2026-11-24T15:04:05Z"

State = Literal["waiting", "due", "sending", "unknown", "sent", "failed", "withdrawn"]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most", examples=[50])]


class NoticeView(web.View):
    """One notice to one recipient: who in which part, and what became of it. Never what it says."""

    id: UUID = Field(examples=[_ID])
    notice: str = Field(examples=["decision_needed"])
    recipient: str = Field(description="applicant, approver, person or help_desk: in which part", examples=["approver"])
    recipient_id: UUID | None = Field(description="None: an address alone is known", examples=[_ID])
    request_id: UUID | None = Field(description="None: it is about no request", examples=[_ID])
    community_id: str | None = Field(examples=["provider-supplier"])
    version: str = Field(description="Counts the occasion", examples=["1.1"])
    state: State = Field(examples=["failed"])
    why: str | None = Field(description="Why it failed or was withdrawn", examples=["refused"])
    attempts: int = Field(examples=[1])
    smtp_status: int | None = Field(description="The mail server's last answer", examples=[550])
    created_at: datetime = Field(examples=[_MOMENT])
    rendered_at: datetime | None = Field(description="When all that it says was known", examples=[_MOMENT])
    ended_at: datetime | None = Field(examples=[_MOMENT])

    @classmethod
    def of(cls, one: store.Listed) -> "NoticeView":
        """Show one row."""
        return cls(
            id=one.id,
            notice=one.name,
            recipient=one.recipient_kind,
            recipient_id=one.recipient_id,
            request_id=one.request_id,
            community_id=one.community_id,
            version=one.version,
            state=one.state,
            why=one.why,
            attempts=one.attempt_count,
            smtp_status=one.smtp_status,
            created_at=one.created_at,
            rendered_at=one.rendered_at,
            ended_at=one.ended_at,
        )


class AttemptView(web.View):
    """One try to send a notice. A number that is missing: the worker was killed over it."""

    number: int = Field(examples=[1])
    at: datetime = Field(examples=[_MOMENT])
    outcome: str = Field(
        description="accepted, deferred, refused, unreachable, lost or cannot_be_made", examples=["refused"]
    )
    smtp_status: int | None = Field(examples=[550])

    @classmethod
    def of(cls, one: store.Attempt) -> "AttemptView":
        """Show one row."""
        return cls(number=one.number, at=one.at, outcome=one.outcome, smtp_status=one.smtp_status)


class NoticeInFull(NoticeView):
    """One notice with the history of its tries."""

    history: list[AttemptView]


class OwnNoticeView(web.View):
    """What the caller was told, as plain text."""

    id: UUID = Field(examples=[_ID])
    notice: str = Field(examples=["granted_known_person"])
    request_id: UUID | None = Field(examples=[_ID])
    subject: str = Field(examples=["Your request 7QK2-M4XP-93TD was approved"])
    text: str = Field(examples=["Hello Rosa Delgado, your request was approved."])
    told_at: datetime = Field(examples=[_MOMENT])

    @classmethod
    def of(cls, one: store.Mine) -> "OwnNoticeView":
        """Show one row."""
        return cls(
            id=one.id,
            notice=one.name,
            request_id=one.request_id,
            subject=one.subject,
            text=one.text,
            told_at=one.rendered_at,
        )


def routes(db: Database, verifier: Verifier, cursors: web.Cursors) -> APIRouter:
    """Return the endpoints. Each is named like the action that the policy opens to its callers."""
    router = APIRouter(prefix="/v1", tags=["notices"])
    _for_oneself(router, db, verifier, cursors)
    _for_readers(router, db, verifier, cursors)
    return router


def _for_oneself(router: APIRouter, db: Database, verifier: Verifier, cursors: web.Cursors) -> None:
    signed_in = web.signed_in(verifier)

    @router.get("/notices/mine", responses=web.responses("unauthenticated", "not_found", "field_invalid"))
    async def list_own_notices(
        me: Annotated[PersonId, Depends(signed_in)], limit: Limit = 50, cursor: web.Cursor = None
    ) -> web.Page[OwnNoticeView]:
        """List what the caller was told in the last 30 days, newest first; codes and links are in the mail alone."""
        purpose = f"own notices {me}"
        after = _position(cursors.read(purpose, cursor))
        async with db.begin() as tx:
            found = await usecases.list_own_notices(tx, me, limit=limit + 1, after=after)
        return web.Page(
            items=[OwnNoticeView.of(one) for one in found[:limit]],
            next_cursor=cursors.behind(purpose, found, limit, lambda one: (one.rendered_at.isoformat(), one.id)),
        )


def _for_readers(router: APIRouter, db: Database, verifier: Verifier, cursors: web.Cursors) -> None:
    signed_in = web.signed_in(verifier)

    def page_of(found: list[store.Listed], limit: int, purpose: str) -> web.Page[NoticeView]:
        return web.Page(
            items=[NoticeView.of(one) for one in found[:limit]],
            next_cursor=cursors.behind(purpose, found, limit, lambda one: (one.created_at.isoformat(), one.id)),
        )

    @router.get("/notices", responses=web.responses("unauthenticated", "not_found", "field_invalid"))
    async def list_notices(
        me: Annotated[PersonId, Depends(signed_in)],
        request_id: Annotated[UUID | None, Query(description="About this request", examples=[_ID])] = None,
        recipient_id: Annotated[UUID | None, Query(description="To this person", examples=[_ID])] = None,
        state: Annotated[State | None, Query(description="In this state", examples=["failed"])] = None,
        notice: Annotated[
            str | None, Query(description="Of this name", max_length=64, examples=["decision_needed"])
        ] = None,
        limit: Limit = 50,
        cursor: web.Cursor = None,
    ) -> web.Page[NoticeView]:
        """List notices, newest first: of the communities whose help desk or auditor the caller is, else 404."""
        wanted = store.Filter(request_id, recipient_id, state, notice)
        purpose = f"all notices {me} {wanted}"
        after = _position(cursors.read(purpose, cursor))
        async with db.begin() as tx:
            found = await usecases.list_notices(tx, me, wanted, limit=limit + 1, after=after)
        return page_of(found, limit, purpose)

    @router.get("/notices/{notice_id}", responses=web.responses("unauthenticated", "not_found", "field_invalid"))
    async def show_notice(notice_id: UUID, me: Annotated[PersonId, Depends(signed_in)]) -> NoticeInFull:
        """Show one notice and every try to send it: for the community's help desk and auditor, else 404."""
        async with db.begin() as tx:
            found, attempts = await usecases.show_notice(tx, me, notice_id)
        history = [AttemptView.of(one) for one in attempts]
        return NoticeInFull(**NoticeView.of(found).model_dump(), history=history)

    @router.get(
        "/requests/{request_id}/notices", responses=web.responses("unauthenticated", "not_found", "field_invalid")
    )
    async def list_notices_of_request(
        request_id: UUID,
        me: Annotated[PersonId, Depends(signed_in)],
        limit: Limit = 50,
        cursor: web.Cursor = None,
    ) -> web.Page[NoticeView]:
        """List what people were told about a request, oldest first: for the help desk and auditor, else 404."""
        telemetry.correlate(RequestId(request_id))
        purpose = f"notices {request_id} {me}"
        after = _position(cursors.read(purpose, cursor))
        async with db.begin() as tx:
            found = await usecases.list_notices_of_request(tx, me, RequestId(request_id), limit=limit + 1, after=after)
        return page_of(found, limit, purpose)


def _position(read: list[str] | None) -> usecases.Position | None:
    return (datetime.fromisoformat(read[0]), UUID(read[1])) if read else None
