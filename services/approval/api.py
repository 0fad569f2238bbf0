"""JSON comes in: an approver's queue, one request with its history, and the decision."""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import ConfigDict, Field, model_validator

from services.approval import domain, store, usecases
from services.approval.domain import State, Verdict
from shared import replicas, telemetry, tokens, web
from shared.contracts.community import Community
from shared.database import Database, Transaction
from shared.errors import Refusal
from shared.ids import PersonId, PlaceId, RequestId, ScopeId

PAGE_SIZE = 50


class RequestView(web.View):
    """A request, as its approvers see it: who wants which role where, and until when."""

    id: RequestId
    kind: str = Field(examples=["join_group"])
    kind_name: str = Field(examples=["Join a user group as End User"])
    role: str = Field(examples=["END_USER"])
    role_name: str = Field(examples=["End User"])
    applicant_name: str = Field(examples=["Maria Gonzalez"])
    organization_id: ScopeId
    organization_name: str = Field(examples=["XYZ Medical Group LLC"])
    place_kind: str = Field(examples=["group"])
    place_id: PlaceId
    place_name: str = Field(examples=["XYZ Billing"])
    state: State = Field(examples=["pending"])
    stage: int
    round: int
    version: int = Field(description="Send it as If-Match to decide on what you have read", examples=[3])
    opened_at: datetime
    expires_at: datetime
    refusal: str | None = Field(default=None, description="Why the approval could not be granted", examples=[None])


class StepView(web.View):
    """One step of a request's life."""

    at: datetime
    what: str = Field(examples=["opened"])
    role: str | None = Field(examples=[None])
    reason: str | None = Field(examples=[None])


class MayDecideView(web.View):
    """A role that may decide, where, and how many people hold it now."""

    role: str = Field(examples=["USER_GROUP_ADMINISTRATOR"])
    role_name: str = Field(examples=["User Group Administrator"])
    place_kind: str = Field(examples=["group"])
    place_id: PlaceId
    may_approve: bool
    why: str = Field(examples=["stage"])
    approver_count: int = Field(examples=[2])


class DocumentView(web.View):
    """A document received; registration serves its content to the help desk."""

    id: UUID
    code: str = Field(examples=["irs_letter"])
    added_at: datetime
    href: str = Field(
        examples=[
            "/registration/v1/requests/0198c0de-0000-7000-8000-000000000001"
            "/documents/0198c0de-0000-7000-8000-000000000001"
        ]
    )


class RequestDetail(RequestView):
    """One request with its history, and who may decide it."""

    history: list[StepView]
    may_decide: list[MayDecideView]
    documents: list[DocumentView]


class DecisionBody(web.Body):
    """What an approver decides."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"verdict": "approve"}]})

    verdict: Verdict = Field(description="`retry` and `close` only of what could not be granted", examples=["approve"])
    reason: str | None = Field(
        default=None,
        description="Why it is denied, and only then: one of " + ", ".join(f"`{r}`" for r in domain.DENIAL_REASONS),
        examples=["unknown_person"],
    )

    @model_validator(mode="after")
    def _fits(self) -> "DecisionBody":
        if (self.verdict is Verdict.DENY) != (self.reason is not None):
            raise ValueError("a denial has a reason, and nothing else has one")
        if self.reason is not None and self.reason not in domain.DENIAL_REASONS:
            raise ValueError(f"reason must be one of {', '.join(domain.DENIAL_REASONS)}")
        return self


class DecisionView(web.View):
    """The decision as it was made. It is not access: that is told once the directory has granted it."""

    request_id: RequestId
    verdict: Verdict
    reason: str | None = Field(examples=[None])
    state: State = Field(examples=["approved"])
    stage: int
    round: int
    version: int = Field(examples=[4])
    decided_as: str = Field(examples=["SECURITY_OFFICIAL"])
    decided_at: datetime


def routes(db: Database, verifier: tokens.Verifier, cursors: web.Cursors) -> APIRouter:
    """Return approval's API."""
    router = APIRouter(prefix="/v1/requests", tags=["approval"])
    signed_in = Depends(web.signed_in(verifier))

    @router.get("", responses=web.responses("unauthenticated", "field_invalid"))
    async def list_queue(
        me: Annotated[PersonId, signed_in],
        cursor: web.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=100)] = PAGE_SIZE,
    ) -> web.Page[RequestView]:
        """List the requests that wait for your decision, the oldest first. Your own are never among them."""
        purpose = f"queue {me}"
        position = cursors.read(purpose, cursor)
        after = (datetime.fromisoformat(position[0]), UUID(position[1])) if position else None
        async with db.begin() as tx:
            rows = await store.list_queue_of(tx, me, after=after, limit=limit + 1)
            communities = await _communities(tx, rows)
        more = None
        if len(rows) > limit:
            last = rows[limit - 1]
            more = cursors.seal(purpose, last.opened_at.isoformat(), last.id)
        items = [RequestView(**_view(row, communities)) for row in rows[:limit]]
        return web.Page[RequestView](items=items, next_cursor=more)

    @router.get("/{request_id}", responses=web.responses("unauthenticated", "not_found", "field_invalid"))
    async def show(request_id: UUID, me: Annotated[PersonId, signed_in], response: Response) -> RequestDetail:
        """Show one request with its history and who may decide it. Its ETag is its version."""
        telemetry.correlate(request_id)
        async with db.begin() as tx:
            row = await store.load_for_approver(tx, RequestId(request_id), me)
            if row is None:
                raise Refusal("not_found")
            communities = await _communities(tx, [row])
            steps = await store.list_history(tx, row.id)
            queues = await store.count_approvers(tx, row.id)
            documents = await store.list_documents(tx, row.id)
        community = communities[row.community_id, row.community_version]
        response.headers["etag"] = web.strong_etag(row.version)
        response.headers["cache-control"] = "no-store"
        return RequestDetail(
            **_view(row, communities),
            history=[StepView(at=s.at, what=s.what, role=s.role, reason=s.reason) for s in steps],
            may_decide=[
                MayDecideView(
                    role=q.role,
                    role_name=_role_name(community, q.role),
                    place_kind=q.place_kind,
                    place_id=q.place_id,
                    may_approve=q.may_approve,
                    why=q.why,
                    approver_count=q.approver_count,
                )
                for q in queues
            ],
            documents=[
                DocumentView(
                    id=d.id,
                    code=d.code,
                    added_at=d.added_at,
                    href=f"/registration/v1/requests/{row.id}/documents/{d.id}",
                )
                for d in documents
            ],
        )

    @router.post(
        "/{request_id}/decisions",
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
            "separation_of_duty",
            "cardinality_reached",
            "organization_not_listed",
            "group_not_active",
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
        expected = _expected(if_match)
        order = domain.Order(body.verdict, body.reason, expected)
        async with db.begin() as tx:
            answer = await usecases.decide_request(
                tx, RequestId(request_id), me, order, key=key, body_sha256=_sha256(request_id, body)
            )
        # Answered out here, after the commit: a commit that fails must not have said 201.
        if isinstance(answer, Refusal):
            raise answer
        return DecisionView.model_validate(answer.body)

    return router


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
    said = {"request_id": str(request_id), **body.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()


async def _communities(tx: Transaction, rows: Any) -> dict[tuple[str, int], Community]:
    found: dict[tuple[str, int], Community] = {}
    for name, version in {(row.community_id, row.community_version) for row in rows}:
        community = await replicas.load_community(tx, name, version)
        assert community is not None, "only routed requests are in a queue"
        found[name, version] = community
    return found


def _view(row: Any, communities: dict[tuple[str, int], Community]) -> dict[str, Any]:
    community = communities[row.community_id, row.community_version]
    kind = community.kind(row.kind)
    assert kind is not None
    return {
        "id": row.id,
        "kind": row.kind,
        "kind_name": kind.name,
        "role": kind.role,
        "role_name": _role_name(community, kind.role),
        "applicant_name": row.applicant_name,
        "organization_id": row.scope_id,
        "organization_name": row.organization_name,
        "place_kind": row.place_kind,
        "place_id": row.place_id,
        "place_name": row.group_name if row.place_kind == "group" else row.organization_name,
        "state": row.state,
        "stage": row.stage,
        "round": row.round,
        "version": row.version,
        "opened_at": row.opened_at,
        "expires_at": row.expires_at,
        "refusal": row.refusal,
    }


def _role_name(community: Community, code: str) -> str:
    role = community.role(code)
    return role.name if role else code
