"""What registration answers over HTTP: what can be asked for, filing, proof, documents, status."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, JsonValue
from starlette.requests import ClientDisconnect

from services.registration import files, keys, store, usecases
from services.registration.domain import fields
from services.registration.domain import requests as domain
from services.registration.files import Files
from services.registration.keys import Keyring
from shared import replicas, telemetry, web
from shared.contracts.community import Community, Kind
from shared.database import Database, Transaction
from shared.errors import Refusal
from shared.ids import DocumentId, PersonId, PlaceId, RequestId, ScopeId, new_id
from shared.tokens import Caller, NotAToken, Verifier

LARGER_BODIES: Mapping[str, int] = {r"/registration/v1/requests/[^/]+/documents/[^/]+": files.LARGEST_BYTES}

_NO_STORE = {"cache-control": "no-store"}
_SAFE_DOWNLOAD = {
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-store",
}


# --- What is sent and answered --------------------------------------------------------------------


class RequestBody(web.Body):
    """One wish. `applicant` is left out when signed in; the community says which fields a kind asks for."""

    community_id: str = Field(pattern=r"^[a-z][a-z0-9-]{1,39}$", examples=["provider-supplier"])
    kind: str = Field(min_length=1, max_length=64, examples=["join_group"])
    applicant: dict[str, JsonValue] | None = Field(
        default=None,
        max_length=50,
        examples=[
            {
                name: fields.RULES[name].example
                for name in ("given_name", "family_name", "birth_date", "email", "phone", "ssn")
            }
        ],
    )
    organization_id: UUID | None = None
    group_id: UUID | None = None
    data: dict[str, JsonValue] = Field(default_factory=dict, max_length=50, examples=[{"group_name": "XYZ Billing"}])

    def order(self) -> domain.Order:
        """Return what is asked for, in our own words."""
        applicant = None if self.applicant is None else {n: _line(v) for n, v in self.applicant.items()}
        return domain.Order(
            kind=self.kind,
            data={name: _line_or_lines(value) for name, value in self.data.items()},
            applicant=applicant,
            organization_id=None if self.organization_id is None else ScopeId(self.organization_id),
            group_id=None if self.group_id is None else PlaceId(self.group_id),
        )


class ProofBody(web.Body):
    """The eight digits that were mailed."""

    code: str = Field(min_length=1, max_length=20, examples=["04711815"])


class OddityView(web.View):
    """What looks unusual but was accepted."""

    pointer: str
    sentence: str


class FiledView(web.View):
    """A request after filing. `tracking_number` shows its state to whoever has it."""

    request_id: UUID
    tracking_number: str = Field(examples=["IACS-7M3Q-0XKD-92HT-VB4E"])
    state: str
    next_step: str
    whose_turn: str | None
    warnings: list[OddityView] = Field(default_factory=list)


class ProvedView(FiledView):
    """A request whose applicant is proved. `action_token` is a bearer token for this one request."""

    action_token: str
    expires_in: int = Field(description="Seconds", examples=[keys.ACT_SECONDS])


class AskedView(web.View):
    """The one answer to everybody who asks for a code."""

    detail: str


class DocumentView(web.View):
    """A document that was received."""

    document_id: UUID
    document: str
    media_type: str
    sha256: str
    size_bytes: int
    added_at: datetime


class DocumentsView(web.View):
    """The documents of a request."""

    items: list[DocumentView]


class NeedView(web.View):
    """A document that is needed, and whether it is here."""

    document: str
    name: str
    received: bool


class MomentView(web.View):
    """One thing that happened; `by` are the names of the roles concerned."""

    at: datetime
    what: str
    by: list[str]


class StatusView(web.View):
    """Where a request stands. Holds no personal data."""

    tracking_number: str
    community: str
    kind: str
    state: str
    since: datetime
    next_step: str
    whose_turn: str | None
    reason: str | None
    documents: list[NeedView]
    timeline: list[MomentView]


class ChoiceView(web.View):
    """One value that a field may take."""

    code: str
    name: str


class FieldView(web.View):
    """One field to fill in: `accepting` are values that are good as they stand, `refusing` are not."""

    name: str
    label: str
    hint: str
    required: bool
    several: bool
    format: str
    accepting: list[str]
    refusing: list[str]
    choices: list[ChoiceView] = Field(default_factory=list)


class DocumentNeedView(web.View):
    """A document that a kind of request needs."""

    document: str
    name: str


class KindView(web.View):
    """One kind of request: what it asks for, who decides, what it gives."""

    kind: str
    name: str
    gives: str
    needs: list[str] = Field(description="organization_id, group_id: which existing place is to be named")
    applicant_fields: list[FieldView]
    fields: list[FieldView]
    documents: list[DocumentNeedView]
    decided_by: list[list[str]] = Field(description="For each stage, the roles of which any one decides")


class HelpDeskView(web.View):
    """How to reach the help desk."""

    email: str
    phone: str
    tty: str
    hours: str


class CommunityLineView(web.View):
    """One community of the list."""

    id: str
    name: str
    open: bool


class CommunitiesView(web.View):
    """The communities that there are."""

    items: list[CommunityLineView]


class CommunityView(CommunityLineView):
    """A community, with every kind of request that it takes."""

    version: int
    help_desk: HelpDeskView
    refused_provider_types: list[ChoiceView] = Field(description="With the sentence that each is shown")
    kinds: list[KindView]


# --- The endpoints --------------------------------------------------------------------------------


def routes(db: Database, verifier: Verifier, ring: Keyring, kept: Files) -> APIRouter:
    """Return all routes of version 1."""
    router = APIRouter(prefix="/v1")
    router.include_router(_communities(db))
    router.include_router(_requests(db, verifier, ring))
    router.include_router(_documents(db, verifier, ring, kept))
    return router


def _communities(db: Database) -> APIRouter:
    router = APIRouter(tags=["communities"])

    @router.get("/communities")
    async def list_communities() -> CommunitiesView:
        """List the communities."""
        async with db.begin() as tx:
            found = await replicas.list_communities(tx)
        return CommunitiesView(items=[CommunityLineView(id=c.id, name=c.name, open=c.open) for c in found])

    @router.get("/communities/{community_id}", responses=web.responses("not_found"))
    async def show_community(community_id: str) -> CommunityView:
        """Show what a community's members can ask for, field by field."""
        async with db.begin() as tx:
            found = {community.id: community for community in await replicas.list_communities(tx)}
        if community_id not in found:
            raise Refusal("not_found")
        return _community_view(found[community_id])

    return router


def _requests(db: Database, verifier: Verifier, ring: Keyring) -> APIRouter:
    router = APIRouter(tags=["requests"])
    identified = Depends(web.identified(verifier))
    signed_in = Depends(web.signed_in(verifier))

    @router.post(
        "/requests",
        status_code=201,
        responses=_or_200(
            FiledView,
            "This very request is open already",
            "field_invalid",
            "community_closed",
            "provider_type_refused",
            "organization_not_listed",
            "group_not_active",
            "security_official_vacant",
            "unauthenticated",
        ),
    )
    async def file_request(
        body: RequestBody, response: Response, caller: Annotated[Caller | None, identified]
    ) -> FiledView:
        """File one wish: 201, or 200 with the open request if a signed-in person has one like it."""
        async with db.begin() as tx:
            person_id = caller.person_id if caller else None
            filed = await usecases.file_request(tx, ring, body.community_id, body.order(), person_id)
            view = await _filed_view(tx, filed.request, filed.oddities)
        response.status_code = 201 if filed.is_new else 200
        return view

    @router.post(
        "/requests/{request_id}/email-proof",
        responses=web.responses(
            "code_wrong",
            "could_not_be_confirmed",
            "not_found",
            "organization_not_listed",
            "group_not_active",
            "security_official_vacant",
            "community_closed",
        ),
    )
    async def prove_email(request_id: UUID, body: ProofBody, response: Response) -> ProvedView:
        """Prove the address, which submits a draft; answers with a token to act on the request."""
        async with db.begin() as tx:
            proved = await usecases.prove_email(tx, ring, RequestId(request_id), body.code)
            view = None if isinstance(proved, Refusal) else await _filed_view(tx, proved)
        if isinstance(proved, Refusal):
            raise proved  # Out here, after the commit: the failed try must remain.
        assert view is not None
        response.headers.update(_NO_STORE)
        return ProvedView(**view.model_dump(), action_token=ring.action_token(proved.id), expires_in=keys.ACT_SECONDS)

    @router.post("/requests/{request_id}/email-code", status_code=202)
    async def ask_code_again(request_id: UUID) -> AskedView:
        """Ask for a new code. The answer is the same whether one is sent or not."""
        async with db.begin() as tx:
            await usecases.ask_code_again(tx, ring, RequestId(request_id))
        return AskedView(detail="If this request can be proved by e-mail, a new code is on its way. At most 3 an hour.")

    @router.post(
        "/requests/{request_id}/submission",
        responses=web.responses(
            "unauthenticated",
            "not_found",
            "organization_not_listed",
            "group_not_active",
            "security_official_vacant",
            "community_closed",
        ),
    )
    async def submit(request_id: UUID, me: Annotated[PersonId, signed_in]) -> FiledView:
        """Submit, signed in, a request that was filed without signing in to an account that there is."""
        async with db.begin() as tx:
            request = await usecases.submit_signed_in(tx, ring, RequestId(request_id), me)
            return await _filed_view(tx, request)

    @router.get("/statuses/{tracking_number}", tags=["status"], responses=web.responses("not_found"))
    async def show_status(tracking_number: str) -> StatusView:
        """Show where a request stands, to whoever has its tracking number."""
        number = keys.tracking_number(tracking_number)
        if number is None:
            raise Refusal("not_found")
        async with db.begin() as tx:
            request = await store.load_request_by_number(tx, number)
            if request is None:
                raise Refusal("not_found")
            telemetry.correlate(request.id)
            return await _status_view(tx, request)

    return router


def _documents(db: Database, verifier: Verifier, ring: Keyring, kept: Files) -> APIRouter:
    router = APIRouter(tags=["documents"])

    async def applicant(tx: Transaction, request_id: RequestId, token: str | None) -> PersonId | None:
        """Return the signed-in applicant, or None for one who acts by a token. Refuses everybody else."""
        if token is not None and ring.may_act(token, request_id):
            return None
        caller = await _caller(verifier, token)
        request = await store.load_request(tx, request_id)
        if request is None or request.person_id != caller:
            raise Refusal("not_found")
        me = await store.load_known_person(tx, caller)
        if me is None or not me.can_act:
            raise Refusal("unauthenticated")
        return caller

    async def readable(tx: Transaction, request_id: RequestId, token: str | None) -> list[store.Document]:
        """Return the documents of a request to its applicant, and to those who may be asked to judge them."""
        request = await store.load_request(tx, request_id)
        if token is None or not ring.may_act(token, request_id):
            caller = await _caller(verifier, token)
            if request is None or request.is_draft:
                raise Refusal("not_found")
            if request.person_id == caller:
                await applicant(tx, request_id, token)
            else:
                community, kind = await usecases.load_kind(tx, request)
                if not domain.may_read_documents(community, kind, await store.load_reader(tx, caller)):
                    raise Refusal("not_found")
        if request is None:
            raise Refusal("not_found")
        telemetry.correlate(request_id)
        return await store.list_documents(tx, request_id)

    @router.post(
        "/requests/{request_id}/documents/{document_code}",
        status_code=201,
        responses=_or_200(
            DocumentView,
            "This very file is here already",
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
                    media_type: {"schema": {"type": "string", "format": "binary"}}
                    for media_type in ("application/pdf", "image/jpeg", "image/gif", "image/png")
                },
            }
        },
    )
    async def add_document(
        request_id: UUID,
        document_code: str,
        request: Request,
        response: Response,
        token: Annotated[str | None, Depends(_bearer)],
    ) -> DocumentView:
        """Send a document, as the raw body. Its content decides its type, not the header or a name."""
        its = RequestId(request_id)
        async with db.begin() as tx:
            by = await applicant(tx, its, token)
            await usecases.expect_document(tx, its, document_code)
        # Outside a transaction: the sender may be slow. A crash after this leaves an orphan, which a chore finds.
        stored = await kept.put(f"{its}/{new_id()}", _chunks(request))
        async with db.begin() as tx:
            document, is_new = await usecases.add_document(tx, its, document_code, stored, by)
        response.status_code = 201 if is_new else 200
        return _document_view(document)

    @router.get("/requests/{request_id}/documents", responses=web.responses("unauthenticated", "not_found"))
    async def list_documents(request_id: UUID, token: Annotated[str | None, Depends(_bearer)]) -> DocumentsView:
        """List the documents of a request: to its applicant, and to those appointed to judge them."""
        async with db.begin() as tx:
            found = await readable(tx, RequestId(request_id), token)
        return DocumentsView(items=[_document_view(document) for document in found])

    @router.get(
        "/requests/{request_id}/documents/{document_id}",
        response_class=StreamingResponse,
        responses=web.responses("unauthenticated", "not_found"),
    )
    async def get_document(
        request_id: UUID, document_id: UUID, token: Annotated[str | None, Depends(_bearer)]
    ) -> StreamingResponse:
        """Download a document. It is never shown in place: a browser saves it."""
        async with db.begin() as tx:
            found = await readable(tx, RequestId(request_id), token)
        document = next((each for each in found if each.id == DocumentId(document_id)), None)
        if document is None:
            raise Refusal("not_found")
        try:
            pieces = await kept.get(document.storage_key)
        except FileNotFoundError as error:
            raise Refusal("unavailable") from error
        headers = {
            **_SAFE_DOWNLOAD,
            "content-disposition": f'attachment; filename="{files.name_of(document)}"',
            "content-length": str(document.size_bytes),
        }
        return StreamingResponse(pieces, media_type=document.media_type, headers=headers)

    return router


# --- Calls ----------------------------------------------------------------------------------------


def _or_200(model: type[web.View], description: str, *codes: str) -> dict[int | str, dict[str, Any]]:
    """Document an operation that also answers 200, beside its errors."""
    return {200: {"model": model, "description": description}, **web.responses(*codes)}


async def _bearer(authorization: Annotated[str | None, Header(include_in_schema=False)] = None) -> str | None:
    """Return the bearer token, whoever made it."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def _caller(verifier: Verifier, token: str | None) -> PersonId:
    if token is None:
        raise Refusal("unauthenticated")
    try:
        return (await verifier.caller(token)).person_id
    except NotAToken:
        raise Refusal("unauthenticated") from None


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise Refusal("document_refused") from None


def _line(value: JsonValue) -> str:
    """Return a text; anything else becomes one that no rule accepts, so that its field is named."""
    return value if isinstance(value, str) else "\n"


def _line_or_lines(value: JsonValue) -> str | list[str]:
    return [_line(each) for each in value[:50]] if isinstance(value, list) else _line(value)


# --- Views ----------------------------------------------------------------------------------------


async def _outlook(tx: Transaction, it: domain.Request) -> tuple[Community, Kind, set[str], domain.Outlook]:
    community, kind = await usecases.load_kind(tx, it)
    received = {document.code for document in await store.list_documents(tx, it.id)}
    missing = [need.name for need in kind.documents if need.code not in received]
    return community, kind, received, domain.outlook(community, kind, it.progress, missing)


async def _filed_view(tx: Transaction, it: domain.Request, oddities: tuple[domain.Oddity, ...] = ()) -> FiledView:
    _, _, _, outlook = await _outlook(tx, it)
    return FiledView(
        request_id=it.id,
        tracking_number=it.tracking_number,
        state=domain.shown_state(it.progress.state),
        next_step=outlook.next_step,
        whose_turn=outlook.whose_turn,
        warnings=[OddityView(pointer=oddity.pointer, sentence=oddity.sentence) for oddity in oddities],
    )


async def _status_view(tx: Transaction, it: domain.Request) -> StatusView:
    community, kind, received, outlook = await _outlook(tx, it)
    names = {role.code: role.name for role in community.roles}
    return StatusView(
        tracking_number=it.tracking_number,
        community=community.name,
        kind=kind.name,
        state=domain.shown_state(it.progress.state),
        since=it.progress.since_at,
        next_step=outlook.next_step,
        whose_turn=outlook.whose_turn,
        reason=it.progress.reason if it.progress.state == "denied" else None,
        documents=[
            NeedView(document=need.code, name=need.name, received=need.code in received) for need in kind.documents
        ],
        timeline=[
            MomentView(at=moment.at, what=moment.what, by=[names.get(role, role) for role in moment.roles])
            for moment in await store.list_moments(tx, it.id)
        ],
    )


def _document_view(it: store.Document) -> DocumentView:
    return DocumentView(
        document_id=it.id,
        document=it.code,
        media_type=it.media_type,
        sha256=it.sha256,
        size_bytes=it.size_bytes,
        added_at=it.added_at,
    )


def _community_view(it: Community) -> CommunityView:
    return CommunityView(
        id=it.id,
        name=it.name,
        open=it.open,
        version=it.version,
        help_desk=HelpDeskView(**it.help_desk.model_dump()),
        refused_provider_types=[
            ChoiceView(code=refused.code, name=refused.sentence) for refused in it.refused_provider_types
        ],
        kinds=[_kind_view(it, kind) for kind in it.kinds],
    )


def _kind_view(community: Community, kind: Kind) -> KindView:
    names = {role.code: role.name for role in community.roles}
    about_group = domain.needs_group(community, kind)
    needs = ["group_id"] if about_group else ["organization_id"] if domain.needs_organization(community, kind) else []
    return KindView(
        kind=kind.code,
        name=kind.name,
        gives=names[kind.role],
        needs=needs,
        applicant_fields=[_field_view(community, name) for name in kind.applicant_fields],
        fields=[_field_view(community, name) for name in kind.fields],
        documents=[DocumentNeedView(document=need.code, name=need.name) for need in kind.documents],
        decided_by=[[names[decider.role] for decider in stage.deciders] for stage in kind.stages],
    )


def _field_view(community: Community, name: str) -> FieldView:
    rule = fields.rule_of(name.removesuffix("?"))
    choices = [ChoiceView(code=choice.code, name=choice.name) for choice in community.provider_types]
    return FieldView(
        name=rule.name,
        label=rule.label,
        hint=rule.hint,
        required=not name.endswith("?"),
        several=rule.is_list,
        format=rule.rule,
        accepting=list(rule.accepts),
        refusing=list(rule.refuses),
        choices=choices if rule.name == "provider_type" else [],
    )
