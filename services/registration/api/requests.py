"""One's own requests: reading them, correcting what was returned, withdrawing."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from services.registration import domain, store, usecases
from services.registration.api import bodies, calls, showing, views
from services.registration.keys import Keyring
from shared import policy, web
from shared.database import Database
from shared.ids import PersonId, RequestId
from shared.policy import Standing
from shared.tokens import Verifier

_NO_STORE = {"cache-control": "no-store"}


def endpoints(db: Database, verifier: Verifier, ring: Keyring, cursors: web.Cursors) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["requests"])
    signed_in = Depends(web.signed_in(verifier))
    who = calls.whoever(verifier, ring)

    @router.get("/requests", responses=web.responses("unauthenticated", "field_invalid"))
    async def list_requests(
        me: Annotated[PersonId, signed_in],
        cursor: web.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> web.Page[views.RequestLineView]:
        """List one's own requests, the newest first."""
        policy.require(domain.POLICY, "list_requests", {Standing.SIGNED_IN})
        purpose = f"requests of {me}"
        position = cursors.read(purpose, cursor)
        async with db.begin() as tx:
            await usecases.acting_person(tx, me)
            before = RequestId(UUID(position[0])) if position else None
            found = await store.list_requests_of(tx, me, before=before, at_most=limit + 1)
            items = [await showing.line_view(tx, each) for each in found[:limit]]
        following = cursors.behind(purpose, found, limit, lambda it: (it.id,))
        return web.Page(items=items, next_cursor=following)

    @router.get("/requests/{request_id}", responses=web.responses("unauthenticated", "not_found"))
    async def show_request(
        request_id: UUID, response: Response, token: Annotated[str | None, Depends(calls.bearer)]
    ) -> views.RequestView:
        """Show a request to its own applicant, with what was filed but the secret fields."""
        its = RequestId(request_id)
        by = await who(its, token)
        async with db.begin() as tx:
            request, identity = await usecases.show_request(tx, its, by)
            view = await showing.own_view(tx, request, identity)
        response.headers.update(_NO_STORE)
        return view

    @router.post(
        "/requests/{request_id}/corrections",
        status_code=202,
        response_model=views.SubmittedView,
        responses=web.responses(
            "unauthenticated",
            "field_invalid",
            "not_found",
            "request_closed",
            "not_returned",
            "could_not_be_confirmed",
            "provider_type_refused",
            *calls.UNMET,
            "role_not_held",
            "application_not_open",
        ),
    )
    async def correct_request(
        request_id: UUID, body: bodies.CorrectionBody, token: Annotated[str | None, Depends(calls.bearer)]
    ) -> views.FiledView:
        """Send a returned request again, corrected: it is decided anew once approval has taken it in."""
        its = RequestId(request_id)
        by = await who(its, token)
        async with db.begin() as tx:
            request = await usecases.correct_request(tx, ring, its, body.values(), by)
            return await showing.filed_view(tx, request)

    @router.post(
        "/requests/{request_id}/withdrawal",
        status_code=202,
        response_model=views.SubmittedView,
        responses={
            204: {"description": "It was a draft, and is gone"},
            **web.responses("unauthenticated", "not_found", "request_closed"),
        },
    )
    async def withdraw_request(
        request_id: UUID, token: Annotated[str | None, Depends(calls.bearer)]
    ) -> views.FiledView | Response:
        """Ask to withdraw a request: 202, and its status tells the answer; 204 for a draft, which is deleted."""
        its = RequestId(request_id)
        by = await who(its, token)
        async with db.begin() as tx:
            request = await usecases.withdraw_request(tx, its, by)
            view = await showing.filed_view(tx, request) if request else None
        return view or Response(status_code=204)

    return router
