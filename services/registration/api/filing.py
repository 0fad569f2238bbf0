"""Filing a wish, and proving the address that it came from."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse

from services.registration import keys, usecases
from services.registration.api import bodies, calls, showing, views
from services.registration.keys import Keyring
from shared import openapi, web
from shared.database import Database, Transaction
from shared.errors import Refusal
from shared.ids import PersonId, RequestId
from shared.tokens import Caller, Verifier

_NO_STORE = {"cache-control": "no-store"}
_REFUSED = (*calls.UNMET, "not_invited", "community_closed")


def endpoints(db: Database, verifier: Verifier, ring: Keyring, filings_an_hour: int) -> APIRouter:
    """Return the endpoints. `filings_an_hour` are taken from one address of people who are not signed in."""
    router = APIRouter(tags=["requests"])
    anybody = [Depends(calls.open_to_anybody)]
    identified = Depends(web.identified(verifier))
    signed_in = Depends(web.signed_in(verifier))

    async def file(tx: Transaction, body: bodies.RequestBody, filer: usecases.Filer) -> tuple[int, dict[str, Any]]:
        filed = await usecases.file_request(tx, ring, body.community_id, body.order(), filer)
        view = await showing.filed_view(tx, filed.request, filed.oddities)
        return 201 if filed.is_new else 200, view.model_dump(mode="json")

    @router.post(
        "/requests",
        status_code=201,
        response_model=views.FiledView,
        dependencies=anybody,
        responses=calls.or_200(
            views.FiledView,
            "This very request is open already",
            "field_invalid",
            "idempotency_key_reused",
            "provider_type_refused",
            "role_not_held",
            "application_not_open",
            *_REFUSED,
            "rate_limited",
            "unauthenticated",
        ),
        openapi_extra=dict(openapi.OPTIONAL),
    )
    async def file_request(
        body: bodies.RequestBody,
        request: Request,
        caller: Annotated[Caller | None, identified],
        idempotency_key: Annotated[
            str | None,
            Header(
                description="Sent again with the same body, within a day, it brings the same answer and files nothing",
                examples=['"2f6c1d0e-7c55-4f0e-9a1b-3a4f5d6e7f80"'],
            ),
        ] = None,
    ) -> Response:
        """File one request: 201, or 200 with the open request if a signed-in person has one like it."""
        key = web.idempotency_key(idempotency_key)
        client = request.client.host if request.client else ""
        filer = usecases.Filer(caller.person_id if caller else None, client, filings_an_hour)
        async with db.begin() as tx:
            if key is None:
                status, content = await file(tx, body, filer)
            else:
                who = filer.counted_as(ring)
                known = await usecases.earlier_answer(tx, ring, who, key, body.model_dump_json())
                if known is not None:
                    status, content = known.status, known.content
                else:
                    status, content = await file(tx, body, filer)
                    await usecases.keep_answer(tx, who, key, status, content)
        return JSONResponse(content, status, _NO_STORE)

    @router.post(
        "/requests/{request_id}/email-proof",
        dependencies=anybody,
        responses=web.responses(
            "field_invalid", "code_wrong", "could_not_be_confirmed", "not_found", *_REFUSED, "rate_limited"
        ),
    )
    async def prove_email(request_id: UUID, body: bodies.ProofBody, response: Response) -> views.ProvedView:
        """Prove the address, which submits a draft; answers with a token to act on the request."""
        async with db.begin() as tx:
            proved = await usecases.prove_email(tx, ring, RequestId(request_id), body.code)
            view = None if isinstance(proved, Refusal) else await showing.filed_view(tx, proved)
        if isinstance(proved, Refusal):
            raise proved  # Out here, after the commit: the failed try must remain.
        assert view is not None
        response.headers.update(_NO_STORE)
        token = ring.action_token(proved.id)
        return views.ProvedView(**view.model_dump(), action_token=token, expires_in=keys.ACT_SECONDS)

    @router.post(
        "/requests/{request_id}/email-code",
        status_code=202,
        dependencies=anybody,
        responses=web.responses("field_invalid", "not_found", "rate_limited"),
    )
    async def ask_code_again(request_id: UUID) -> views.AskedView:
        """Ask for a new code: 202 whether one is sent or not, at most three times an hour."""
        async with db.begin() as tx:
            await usecases.ask_code_again(tx, ring, RequestId(request_id))
        return views.AskedView(detail="If this request can be proved by e-mail, a new code is on its way.")

    @router.post(
        "/requests/{request_id}/submission",
        response_model=views.SubmittedView,
        responses=web.responses("unauthenticated", "not_found", *_REFUSED),
    )
    async def submit(request_id: UUID, me: Annotated[PersonId, signed_in]) -> views.FiledView:
        """Submit, signed in, a request that was filed without signing in to an account that there is."""
        async with db.begin() as tx:
            request = await usecases.submit_signed_in(tx, ring, RequestId(request_id), me)
            return await showing.filed_view(tx, request)

    return router
