"""Invitations: issued and listed by the owner of an application."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from services.registration import usecases
from services.registration.api import bodies, views
from services.registration.keys import Keyring
from shared import web
from shared.database import Database
from shared.ids import PersonId
from shared.tokens import Verifier


def endpoints(db: Database, verifier: Verifier, ring: Keyring, cursors: web.Cursors) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["invitations"])
    signed_in = Depends(web.signed_in(verifier))

    @router.post(
        "/invitations", status_code=201, responses=web.responses("unauthenticated", "field_invalid", "not_found")
    )
    async def issue_invitations(
        body: bodies.InvitationsBody, me: Annotated[PersonId, signed_in]
    ) -> views.InvitationsView:
        """Tell people that an application is there for them: its owner does, and each address gets one mail."""
        async with db.begin() as tx:
            said = (body.criteria, body.not_for)
            issued = await usecases.issue_invitations(
                tx, ring, body.community_id, body.application, body.emails, said, me
            )
        return views.InvitationsView(
            items=[
                views.InvitationView(
                    invitation_id=each.id,
                    email=each.email,
                    state="issued",
                    issued_at=each.issued_at,
                    expires_at=each.expires_at,
                )
                for each in issued
            ]
        )

    @router.get("/invitations", responses=web.responses("unauthenticated", "field_invalid", "not_found"))
    async def list_invitations(
        me: Annotated[PersonId, signed_in],
        community_id: Annotated[str, Query(min_length=1, max_length=40, examples=["fi-carrier-mac"])],
        application: Annotated[str, Query(min_length=1, max_length=64, examples=["COST_REPORT_AUDIT"])],
        cursor: web.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> web.Page[views.InvitationView]:
        """List whom an application's owners have told, the newest first."""
        purpose = f"invitations of {community_id} {application} for {me}"
        position = cursors.read(purpose, cursor)
        async with db.begin() as tx:
            found = await usecases.list_invitations(
                tx,
                ring,
                community_id,
                application,
                me,
                before=UUID(position[0]) if position else None,
                at_most=limit + 1,
            )
            at = tx.now
        items = [
            views.InvitationView(
                invitation_id=it.id,
                email=email,
                state=it.state(at),
                issued_at=it.issued_at,
                expires_at=it.expires_at,
            )
            for it, email in found[:limit]
        ]
        following = cursors.behind(purpose, found, limit, lambda it: (it[0].id,))
        return web.Page(items=items, next_cursor=following)

    return router
