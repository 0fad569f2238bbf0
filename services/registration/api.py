"""What registration answers over HTTP: what can be asked for, filing, proof, documents, status."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field, JsonValue
from starlette.requests import ClientDisconnect

from services.registration import files, keys, store, usecases
from services.registration.domain import fields
from services.registration.domain import requests as domain
from services.registration.files import Files
from services.registration.keys import Keyring
from shared import openapi, replicas, telemetry, web
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


_ACTION_TOKEN = openapi.Bearer(
    "action_token",
    "The `action_token` of this request, as a bearer token: proving its e-mail address answers with it.",
)
_APPLICANT = {
    name: fields.RULES[name].example for name in ("given_name", "family_name", "birth_date", "email", "phone", "ssn")
}
_MEDIA_TYPES = ("application/pdf", "image/jpeg", "image/gif", "image/png")
_SOME_ID = "0198c0de-0000-7000-8000-000000000001"

# --- What is sent and answered --------------------------------------------------------------------


class RequestBody(web.Body):
    """One wish. `applicant` is left out when signed in; the community says which fields a kind asks for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "community_id": "provider-supplier",
                    "kind": "join_group",
                    "group_id": _SOME_ID,
                    "applicant": dict(_APPLICANT),
                }
            ]
        }
    )

    community_id: str = Field(pattern=r"^[a-z][a-z0-9-]{1,39}$", examples=["provider-supplier"])
    kind: str = Field(min_length=1, max_length=64, examples=["join_group"])
    applicant: dict[str, JsonValue] | None = Field(
        default=None,
        max_length=50,
        description="The `applicant_fields` of the kind, by name; left out when signed in",
        examples=[dict(_APPLICANT)],
    )
    organization_id: UUID | None = Field(
        default=None, description="If the kind needs an organization that there is", examples=[_SOME_ID]
    )
    group_id: UUID | None = Field(
        default=None, description="If the kind needs a group that there is", examples=[_SOME_ID]
    )
    data: dict[str, JsonValue] = Field(
        default_factory=dict,
        max_length=50,
        description="The `fields` of the kind, by name",
        examples=[{"group_name": "XYZ Billing"}],
    )

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

    pointer: str = Field(examples=["/data/tin"])
    sentence: str = Field(
        examples=["The IRS list has no number that begins like this one: check it against the letter."]
    )


class FiledView(web.View):
    """A request after filing. `tracking_number` shows its state to whoever has it."""

    request_id: UUID
    tracking_number: str = Field(examples=["IACS-7M3Q-0XKD-92HT-VB4E"])
    state: str = Field(examples=["awaiting_email_proof"])
    next_step: str = Field(examples=["Type the eight digits of the message that we sent to your e-mail address."])
    whose_turn: str | None = Field(examples=["Applicant"])
    warnings: list[OddityView] = Field(default_factory=list)


class SubmittedView(FiledView):
    """A request after it was submitted."""

    state: str = Field(examples=["submitted"])
    next_step: str = Field(examples=["Your request is on its way to those who decide it."])
    whose_turn: str | None = Field(examples=["IACS"])


class ProvedView(SubmittedView):
    """A request whose applicant is proved. `action_token` is a bearer token for this one request."""

    action_token: str = Field(examples=["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTk4YzBkZSJ9.c2VhbGVk"])
    expires_in: int = Field(description="Seconds", examples=[keys.ACT_SECONDS])


class AskedView(web.View):
    """The one answer to everybody who asks for a code."""

    detail: str = Field(examples=["If this request can be proved by e-mail, a new code is on its way."])


class DocumentView(web.View):
    """A document that was received."""

    document_id: UUID
    document: str = Field(examples=["irs_letter"])
    media_type: str = Field(examples=["application/pdf"])
    sha256: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
    size_bytes: int = Field(examples=[48213])
    added_at: datetime


class DocumentsView(web.View):
    """The documents of a request."""

    items: list[DocumentView]


class NeedView(web.View):
    """A document that is needed, and whether it is here."""

    document: str = Field(examples=["irs_letter"])
    name: str = Field(examples=["IRS letter (CP-575 or accepted substitute)"])
    received: bool


class MomentView(web.View):
    """One thing that happened; `by` are the names of the roles concerned."""

    at: datetime
    what: str = Field(examples=["submitted"])
    by: list[str] = Field(examples=[["User Group Administrator"]])


class StatusView(web.View):
    """Where a request stands. Holds no personal data."""

    tracking_number: str = Field(examples=["IACS-7M3Q-0XKD-92HT-VB4E"])
    community: str = Field(examples=["Provider/Supplier Community"])
    kind: str = Field(examples=["Join a user group as End User"])
    state: str = Field(examples=["pending"])
    since: datetime
    next_step: str = Field(examples=["Your request waits for a decision by: User Group Administrator."])
    whose_turn: str | None = Field(examples=["User Group Administrator"])
    reason: str | None = Field(examples=[None])
    documents: list[NeedView]
    timeline: list[MomentView]


class ChoiceView(web.View):
    """One value that a field may take."""

    code: str = Field(examples=["clinic"])
    name: str = Field(examples=["Clinic or group practice"])


class FieldView(web.View):
    """One field to fill in: `accepting` are values that are good as they stand, `refusing` are not."""

    name: str = Field(examples=["birth_date"])
    label: str = Field(examples=["Date of birth"])
    hint: str = Field(examples=["Year, month and day"])
    required: bool
    several: bool = Field(examples=[False])
    format: str = Field(examples=[fields.RULES["birth_date"].rule])
    accepting: list[str] = Field(examples=[list(fields.RULES["birth_date"].accepts)])
    refusing: list[str] = Field(examples=[list(fields.RULES["birth_date"].refuses[:2])])
    choices: list[ChoiceView] = Field(default_factory=list)


class DocumentNeedView(web.View):
    """A document that a kind of request needs."""

    document: str = Field(examples=["irs_letter"])
    name: str = Field(examples=["IRS letter (CP-575 or accepted substitute)"])


class KindView(web.View):
    """One kind of request: what it asks for, who decides, what it gives."""

    kind: str = Field(examples=["join_group"])
    name: str = Field(examples=["Join a user group as End User"])
    gives: str = Field(examples=["End User"])
    needs: list[str] = Field(
        description="organization_id, group_id: which existing place is to be named", examples=[["group_id"]]
    )
    applicant_fields: list[FieldView]
    fields: list[FieldView]
    documents: list[DocumentNeedView]
    decided_by: list[list[str]] = Field(
        description="For each stage, the roles of which any one decides", examples=[[["User Group Administrator"]]]
    )


class HelpDeskView(web.View):
    """How to reach the help desk."""

    email: str = Field(examples=["help-desk@iacs.example"])
    phone: str = Field(examples=["1-555-555-0100"])
    tty: str = Field(examples=["1-555-555-0101"])
    hours: str = Field(examples=["Monday to Friday, 7 a.m. to 7 p.m. Eastern time"])


class CommunityLineView(web.View):
    """One community of the list."""

    id: str = Field(examples=["provider-supplier"])
    name: str = Field(examples=["Provider/Supplier Community"])
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

    @router.get("/communities", responses=web.responses())
    async def list_communities() -> CommunitiesView:
        """List the communities."""
        async with db.begin() as tx:
            found = await replicas.list_communities(tx)
        return CommunitiesView(items=[CommunityLineView(id=c.id, name=c.name, open=c.open) for c in found])

    @router.get("/communities/{community_id}", responses=web.responses("not_found"))
    async def show_community(
        community_id: Annotated[str, Path(examples=["provider-supplier"])],
    ) -> CommunityView:
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
        openapi_extra=dict(openapi.OPTIONAL),
    )
    async def file_request(
        body: RequestBody, response: Response, caller: Annotated[Caller | None, identified]
    ) -> FiledView:
        """File one request: 201, or 200 with the open request if a signed-in person has one like it."""
        async with db.begin() as tx:
            person_id = caller.person_id if caller else None
            filed = await usecases.file_request(tx, ring, body.community_id, body.order(), person_id)
            view = await _filed_view(tx, filed.request, filed.oddities)
        response.status_code = 201 if filed.is_new else 200
        return view

    @router.post(
        "/requests/{request_id}/email-proof",
        responses=web.responses(
            "field_invalid",
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

    @router.post("/requests/{request_id}/email-code", status_code=202, responses=web.responses("field_invalid"))
    async def ask_code_again(request_id: UUID) -> AskedView:
        """Ask for a new code. The answer is the same whether one is sent or not."""
        async with db.begin() as tx:
            await usecases.ask_code_again(tx, ring, RequestId(request_id))
        return AskedView(detail="If this request can be proved by e-mail, a new code is on its way. At most 3 an hour.")

    @router.post(
        "/requests/{request_id}/submission",
        response_model=SubmittedView,
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
    async def show_status(
        tracking_number: Annotated[str, Path(examples=["IACS-7M3Q-0XKD-92HT-VB4E"])],
    ) -> StatusView:
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

    async def who(request_id: RequestId, token: str | None) -> PersonId | None:
        """Return who is signed in, or None for an applicant who acts by a token; before any transaction is open."""
        if token is not None and ring.may_act(token, request_id):
            return None
        return await _caller(verifier, token)

    async def applicant(tx: Transaction, request_id: RequestId, caller: PersonId | None) -> PersonId | None:
        """Return the signed-in applicant, or None for one who acts by a token. Refuses everybody else."""
        if caller is None:
            return None
        request = await store.load_request(tx, request_id)
        if request is None or request.person_id != caller:
            raise Refusal("not_found")
        me = await store.load_known_person(tx, caller)
        if me is None or not me.can_act:
            raise Refusal("unauthenticated")
        return caller

    async def readable(tx: Transaction, request_id: RequestId, caller: PersonId | None) -> list[store.Document]:
        """Return the documents of a request to its applicant, and to those who may be asked to judge them."""
        request = await store.load_request(tx, request_id)
        if caller is not None:
            if request is None or request.is_draft:
                raise Refusal("not_found")
            if request.person_id == caller:
                await applicant(tx, request_id, caller)
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
        document_code: Annotated[str, Path(description="As its kind names it", examples=["irs_letter"])],
        request: Request,
        response: Response,
        token: Annotated[str | None, Depends(_bearer)],
    ) -> DocumentView:
        """Send a document, as the raw body. Its content decides its type, not the header or a name."""
        its = RequestId(request_id)
        caller = await who(its, token)
        async with db.begin() as tx:
            by = await applicant(tx, its, caller)
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
        caller = await who(RequestId(request_id), token)
        async with db.begin() as tx:
            found = await readable(tx, RequestId(request_id), caller)
        return DocumentsView(items=[_document_view(document) for document in found])

    @router.get(
        "/requests/{request_id}/documents/{document_id}",
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
        request_id: UUID, document_id: UUID, token: Annotated[str | None, Depends(_bearer)]
    ) -> StreamingResponse:
        """Download a document. It is never shown in place: a browser saves it."""
        caller = await who(RequestId(request_id), token)
        async with db.begin() as tx:
            found = await readable(tx, RequestId(request_id), caller)
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


async def _bearer(
    authorization: Annotated[str | None, Depends(web.ACCESS_TOKEN)],
    _same: Annotated[str | None, Depends(_ACTION_TOKEN)],
) -> str | None:
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
