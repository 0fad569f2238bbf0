"""JSON comes in: an approver’s queue, one request with its history, the decision; the help desk looks at all."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError

from services.approval import domain, store, usecases
from services.approval.domain import State
from services.approval.views import (
    ClaimView,
    DecisionBody,
    DecisionView,
    DocumentView,
    MayDecideView,
    RequestDetail,
    RequestView,
    StepView,
    role_name,
    shown,
)
from shared import policy, replicas, telemetry, tokens, web
from shared.contracts.community import Community
from shared.database import Database, Transaction
from shared.errors import Refusal
from shared.ids import PersonId, RequestId
from shared.policy import Standing
from shared.shortcut import Headers, Shortcut

PAGE_SIZE = 50
Limit = Annotated[int, Query(ge=1, le=100)]


def routes(db: Database, verifier: tokens.Verifier, cursors: web.Cursors) -> APIRouter:
    """Return approval's API."""
    router = APIRouter(prefix="/v1", tags=["approval"])
    signed_in = Depends(web.signed_in(verifier))

    @router.get("/requests", responses=web.responses("unauthenticated", "field_invalid"))
    async def list_queue(
        me: Annotated[PersonId, signed_in], cursor: web.Cursor = None, limit: Limit = PAGE_SIZE
    ) -> web.Page[RequestView]:
        """List the requests that wait for your decision, the oldest first. Your own are never among them."""
        policy.require(domain.POLICY, "list_queue", {Standing.SIGNED_IN})
        purpose = f"queue {me}"
        async with db.begin() as tx:
            rows = await store.list_queue_of(tx, me, after=_after(cursors, purpose, cursor), limit=limit + 1)
            return await _page(tx, rows, me, cursors, purpose, limit)

    @router.get(
        "/communities/{community_id}/requests", responses=web.responses("unauthenticated", "not_found", "field_invalid")
    )
    async def list_requests(
        community_id: Annotated[str, Path(examples=["provider-supplier"])],
        me: Annotated[PersonId, signed_in],
        state: Annotated[State | None, Query(description="Only those that stand there")] = None,
        cursor: web.Cursor = None,
        limit: Limit = PAGE_SIZE,
    ) -> web.Page[RequestView]:
        """List every request of a community, the oldest first: for its help desk and its auditors."""
        purpose = f"requests {community_id} {state} {me}"
        async with db.begin() as tx:
            policy.require(domain.POLICY, "list_requests", await _standings(tx, me, community_id))
            rows = await store.list_requests_of(
                tx, [community_id], state=state, after=_after(cursors, purpose, cursor), limit=limit + 1
            )
            return await _page(tx, rows, me, cursors, purpose, limit)

    @router.get("/requests/{request_id}", responses=web.responses("unauthenticated", "not_found", "field_invalid"))
    async def show(request_id: UUID, me: Annotated[PersonId, signed_in], response: Response) -> RequestDetail:
        """Show one request with its history and who may decide it. Its ETag is its version."""
        telemetry.correlate(request_id)
        async with db.begin() as tx:
            row = await store.load_request(tx, RequestId(request_id))
            standings: set[Standing] = set()
            if row is not None and row.applicant_id != me:  # Nobody looks at their own as an approver.
                standings = await _standings(tx, me, row.community_id)
                standings |= {Standing.APPROVER} if await store.is_approver(tx, row.id, me) else set()
            policy.require(domain.POLICY, "show_request", standings)
            assert row is not None
            community = (await _communities(tx, [row]))[row.community_id, row.community_version]
            detail = RequestDetail(
                **shown(row, community, me, tx.now),
                history=[
                    StepView(at=step.at, what=step.what, role=step.role, reason=step.reason)
                    for step in await store.list_history(tx, row.id)
                ],
                may_decide=await _deciders(tx, row, community),
                documents=await _documents(tx, row),
            )
        response.headers["etag"] = web.strong_etag(row.version)
        response.headers["cache-control"] = "no-store"
        return detail

    @router.post(
        "/requests/{request_id}/decisions",
        status_code=201,
        responses=web.responses(
            "unauthenticated",
            "field_invalid",
            "idempotency_key_reused",
            "not_an_approver",
            "self_approval",
            "may_not_approve",
            "already_decided",
            "expired",
            "request_closed",
            "if_match_required",
            "stale_version",
            "already_held",
            "separation_of_duty",
            "cardinality_reached",
            "surrogate_for_practitioner",
            "organization_not_listed",
            "group_not_active",
            "not_an_outsider",
            "role_not_held",
            "application_not_open",
            "security_official_vacant",
        ),
    )
    async def decide(
        request_id: UUID,
        body: DecisionBody,
        me: Annotated[PersonId, signed_in],
        if_match: Annotated[str | None, Header(description="The ETag you read", examples=['"3"'])] = None,
        idempotency_key: Annotated[
            str | None,
            Header(
                description="Repeat a call safely under the same key",
                examples=["2f6c1d0e-7c55-4f0e-9a1b-3a4f5d6e7f80"],
            ),
        ] = None,
    ) -> DecisionView:
        """Decide a request: 404 if it is not yours to decide, 403 if it is your own, 409 if it is settled."""
        telemetry.correlate(request_id)
        key = web.idempotency_key(idempotency_key)
        order = body.order(_expected(if_match))
        async with db.begin() as tx:
            answer = await usecases.decide_request(
                tx, RequestId(request_id), me, order, key=key, body_sha256=_sha256(request_id, body)
            )
        # Answered out here, after the commit: a commit that fails must not have said 201.
        if isinstance(answer, Refusal):
            raise answer
        return DecisionView.model_validate(answer.body)

    @router.put(
        "/requests/{request_id}/claim",
        responses=web.responses("unauthenticated", "not_an_approver", "request_closed", "field_invalid"),
    )
    async def claim(request_id: UUID, me: Annotated[PersonId, signed_in]) -> ClaimView:
        """Tell the other approvers for half an hour that you look at a request. It stops nobody from deciding."""
        telemetry.correlate(request_id)
        async with db.begin() as tx:
            await usecases.claim_request(tx, RequestId(request_id), me)
            until = tx.now + domain.CLAIM_LASTS
        return ClaimView(claimed_until=until)

    @router.delete(
        "/requests/{request_id}/claim",
        status_code=204,
        responses=web.responses("unauthenticated", "not_an_approver", "field_invalid"),
    )
    async def release(request_id: UUID, me: Annotated[PersonId, signed_in]) -> Response:
        """Take your claim back. Without one nothing happens."""
        async with db.begin() as tx:
            await usecases.release_request(tx, RequestId(request_id), me)
        return Response(status_code=204)

    return router


def shortcut(router: APIRouter, verifier: tokens.Verifier) -> Shortcut:
    """Return the way by which a well-formed decision reaches its endpoint past the framework."""
    route = next(it for it in router.routes if isinstance(it, APIRoute) and it.name == "decide")

    async def bind(found: re.Match[str], headers: Headers, body: bytes) -> Mapping[str, Any] | None:
        def header(name: bytes) -> str | None:
            return headers[name].decode("latin-1") if name in headers else None

        try:
            caller = await web.caller_of(verifier, header(b"authorization") or "")
            given = DecisionBody.model_validate_json(body)
        except (Refusal, ValidationError):
            return None
        return {
            "request_id": UUID(found[1]),
            "body": given,
            "me": caller.person_id,
            "if_match": header(b"if-match"),
            "idempotency_key": header(b"idempotency-key"),
        }

    path = route.path.replace("{request_id}", "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
    return Shortcut(route, re.compile(f"/approval{path}"), bind)


async def _standings(tx: Transaction, me: PersonId, community_id: str) -> set[Standing]:
    """Return how a person stands to everything in a community."""
    community = await replicas.load_community(tx, community_id)
    if community is None:
        return set()
    held = {code for _, code in await store.list_roles_in(tx, me, [community.place_id])}
    return policy.of_powers({power for role in community.roles if role.code in held for power in role.powers})


def _after(cursors: web.Cursors, purpose: str, cursor: str | None) -> tuple[datetime, UUID] | None:
    position = cursors.read(purpose, cursor)
    return (datetime.fromisoformat(position[0]), UUID(position[1])) if position else None


async def _page(
    tx: Transaction, rows: Sequence[Any], me: PersonId, cursors: web.Cursors, purpose: str, limit: int
) -> web.Page[RequestView]:
    communities = await _communities(tx, rows)
    more = cursors.behind(purpose, rows, limit, lambda row: (row.opened_at.isoformat(), row.id))
    return web.Page[RequestView](
        items=[
            RequestView(**shown(row, communities[row.community_id, row.community_version], me, tx.now))
            for row in rows[:limit]
        ],
        next_cursor=more,
    )


async def _deciders(tx: Transaction, row: Any, community: Community) -> list[MayDecideView]:
    return [
        MayDecideView(
            role=queue.role,
            role_name=role_name(community, queue.role),
            place_kind=queue.place_kind,
            place_id=queue.place_id,
            may_approve=queue.may_approve,
            why=queue.why,
            approver_count=queue.approver_count,
        )
        for queue in await store.count_approvers(tx, row.id, row.applicant_id)
    ]


async def _documents(tx: Transaction, row: Any) -> list[DocumentView]:
    return [
        DocumentView(
            id=each.id,
            code=each.code,
            added_at=each.added_at,
            href=f"/registration/v1/requests/{row.id}/documents/{each.id}",
        )
        for each in await store.list_documents(tx, row.id)
    ]


async def _communities(tx: Transaction, rows: Sequence[Any]) -> dict[tuple[str, int], Community]:
    found: dict[tuple[str, int], Community] = {}
    for name, version in {(row.community_id, row.community_version) for row in rows}:
        community = await replicas.load_community(tx, name, version)
        assert community is not None, "only routed requests are shown"
        found[name, version] = community
    return found


_NEVER = -1


def _expected(if_match: str | None) -> int | None:
    """Return the expected version; one that can never match for a header that is no ETag of ours.

    It is judged in its place in the order of checks, not before.
    """
    try:
        return web.expected_version(if_match)
    except Refusal:
        return _NEVER


def _sha256(request_id: UUID, body: DecisionBody) -> bytes:
    return hashlib.sha256(f"{request_id}{body.model_dump_json()}".encode()).digest()
