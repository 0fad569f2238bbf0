"""The HTTP edge that all services share: problem details, who calls, paging, health, metrics.

The only place that knows status codes. Source: RFC 9457, RFC 9110 (conditional requests), standards 7.
"""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_jsonable_python
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from shared import database, openapi, schema_version, secrets, telemetry
from shared.database import Database
from shared.edge import Edge
from shared.errors import CATALOGUE, Family, FieldFault, Refusal
from shared.ids import PersonId
from shared.shortcut import Shortcut, Shortcuts
from shared.tables import replica
from shared.tokens import Caller, NotAToken, Verifier
from shared.ui import assets, environment, reference, security
from shared.ui.page import ErrorPage, ErrorsPage, Shell

log = telemetry.logger(__name__)

STATUS: Mapping[Family, int] = {
    Family.MALFORMED: 400,
    Family.UNAUTHENTICATED: 401,
    Family.FORBIDDEN: 403,
    Family.NOT_FOUND: 404,
    Family.NOT_ALLOWED: 405,
    Family.CONFLICT: 409,
    Family.STALE: 412,
    Family.TOO_LARGE: 413,
    Family.INVALID: 422,
    Family.CONDITION_MISSING: 428,
    Family.TOO_MANY: 429,
    Family.BROKEN: 500,
    Family.UNAVAILABLE: 503,
}
ERROR_PAGES = "/errors/"
PROBLEM = "application/problem+json"
_CURSOR_LIVES_SECONDS = 24 * 3600
_A_CURSOR = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJbXSJ9.c2VhbGVk"

ACCESS_TOKEN = openapi.Bearer(
    "access_token",
    "An access token, as a bearer token: the `access_token` that `POST /directory/v1/sessions` answers with.",
)

T = TypeVar("T")


class Body(BaseModel):
    """What a caller sends: strict, and a field we do not know is a mistake to tell."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class View(BaseModel):
    """What a caller gets."""

    model_config = ConfigDict(frozen=True)


class Page(View, Generic[T]):
    """One page of a list. `next_cursor` is absent on the last; a cursor is good for this caller and query alone."""

    items: list[T]
    next_cursor: str | None = Field(default=None, examples=[_A_CURSOR])


Cursor = Annotated[str | None, Query(description="The `next_cursor` of the page before", examples=[_A_CURSOR])]


class FaultView(View):
    """What is wrong with one field."""

    pointer: str = Field(examples=["/applicant/email"])
    rule: str
    example: str


class Problem(View):
    """An error as RFC 9457 problem details. `code` is stable; texts are for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FaultView] | None = None
    trace_id: str | None = None


def problem(refusal: Refusal) -> JSONResponse:
    """Return the answer that tells a refusal."""
    status = STATUS[refusal.entry.family]
    content: dict[str, Any] = {
        "type": f"{ERROR_PAGES}{refusal.code}",
        "title": refusal.entry.title,
        "status": status,
        "detail": refusal.detail,
        "code": refusal.code,
        "trace_id": telemetry.trace().trace_id,
    }
    if refusal.faults:
        content["errors"] = [{"pointer": f.pointer, "rule": f.rule, "example": f.example} for f in refusal.faults]
    facts = {name: value for name, value in refusal.facts.items() if name != "retry_after_seconds"}
    content |= to_jsonable_python(facts, fallback=str)  # Moments as RFC 3339 has them, not as Python prints them.
    headers = {"cache-control": "no-store"}
    if refusal.entry.family is Family.UNAUTHENTICATED:
        headers["www-authenticate"] = 'Bearer error="invalid_token"'
    if refusal.entry.family in (Family.TOO_MANY, Family.UNAVAILABLE):
        headers["retry-after"] = str(refusal.facts.get("retry_after_seconds", 5))
    return JSONResponse(content, status, headers, PROBLEM)


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Document the errors of an operation, for its OpenAPI entry."""
    told: dict[int | str, dict[str, Any]] = {}
    for code in (*codes, "unavailable", "internal"):
        entry = CATALOGUE[code]
        status = STATUS[entry.family]
        content = {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}, "examples": {}}
        known = told.setdefault(status, {"description": "", "content": {PROBLEM: content}})
        known["description"] += f"{'; ' if known['description'] else ''}`{code}`: {entry.title}"
        known["content"][PROBLEM]["examples"][code] = {
            "summary": entry.title,
            "description": entry.remedy,
            "value": {
                "type": f"{ERROR_PAGES}{code}",
                "title": entry.title,
                "status": status,
                "detail": entry.remedy,
                "code": code,
            },
        }
    return told


def strong_etag(version: int) -> str:
    """Return the ETag of an aggregate's version."""
    return f'"{version}"'


def expected_version(if_match: str | None) -> int | None:
    """Return the version that If-Match asks for; None if the header is missing. Raises stale_version.

    Comparison is strong: a weak tag never matches. Source: RFC 9110, 13.1.1.
    """
    if if_match is None:
        return None
    found = re.fullmatch(r'\s*"(\d{1,18})"\s*', if_match)
    if found is None:
        raise Refusal("stale_version", 'If-Match must be the ETag you read, like "3".')
    return int(found[1])


def idempotency_key(header: str | None) -> str | None:
    """Return the caller's key: quoted, as the draft asks, or bare."""
    if header is None:
        return None
    key = header.strip().removeprefix('"').removesuffix('"')
    if not re.fullmatch(r"[\x21-\x7e]{1,128}", key):
        raise Refusal(
            "field_invalid",
            faults=(
                FieldFault("Idempotency-Key", "1 to 128 visible characters", '"2f6c1d0e-7c55-4f0e-9a1b-3a4f5d6e7f80"'),
            ),
        )
    return key


class Cursors:
    """Seals the place where a list goes on: bound to the list, the caller and a day."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, purpose: str, *position: object) -> str:
        """Return the cursor that goes on after `position`."""
        return secrets.own_token(
            self._key,
            purpose=f"cursor {purpose}",
            subject=json.dumps([str(part) for part in position]),
            lives_seconds=_CURSOR_LIVES_SECONDS,
        )

    def behind(self, purpose: str, found: Sequence[T], limit: int, at: Callable[[T], Sequence[object]]) -> str | None:
        """Return the cursor that goes on behind the first `limit` of what was found, if there is more.

        `at` tells where in its list an item stands.
        """
        return self.seal(purpose, *at(found[limit - 1])) if len(found) > limit else None

    def read(self, purpose: str, cursor: str | None) -> list[str] | None:
        """Return the position that a cursor holds; None without one. Raises field_invalid."""
        if not cursor:
            return None
        subject = secrets.read_own_token(self._key, cursor, purpose=f"cursor {purpose}")
        if subject is None:
            raise Refusal(
                "field_invalid",
                faults=(FieldFault("cursor", "a next_cursor of this very list, at most a day old", "leave it out"),),
            )
        return list(json.loads(subject))


def identified(verifier: Verifier) -> Callable[..., Awaitable[Caller | None]]:
    """Return a dependency: the caller, or None without a token. Refuses a token that is not good."""

    async def caller(authorization: Annotated[str | None, Depends(ACCESS_TOKEN)]) -> Caller | None:
        if authorization is None:
            return None
        return await caller_of(verifier, authorization)

    return caller


async def caller_of(verifier: Verifier, authorization: str) -> Caller:
    """Return who calls, by the Authorization header. Raises unauthenticated."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal("unauthenticated")
    try:
        return await verifier.caller(token.strip())
    except NotAToken:
        raise Refusal("unauthenticated") from None


def signed_in(verifier: Verifier) -> Callable[..., Awaitable[PersonId]]:
    """Return a dependency: the id of the person who calls. Refuses a call without a token."""
    known = identified(verifier)

    async def person(caller: Annotated[Caller | None, Depends(known)]) -> PersonId:
        if caller is None:
            raise Refusal("unauthenticated")
        return caller.person_id

    return person


class _Application(FastAPI):
    """FastAPI, with a document that tells all it should."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = openapi.completed(
                super().openapi(),
                Problem,
                malformed=responses("malformed")[400],
                invalid=responses("field_invalid")[422],
                too_large=responses("too_large")[413],
            )
        return self.openapi_schema


def build(
    service: str,
    title: str,
    db: Database,
    routers: Sequence[APIRouter],
    *,
    needs_replicas: Sequence[str] = (),
    is_alive: Callable[[], bool] = lambda: True,
    larger_bodies: Mapping[str, int] | None = None,
    shortcuts: Sequence[Shortcut] = (),
) -> FastAPI:
    """Return the application of one service, everything below /<service>.

    `needs_replicas` are the state topics without which it would answer wrongly; `larger_bodies` maps
    patterns of whole paths to how many bytes may be sent there; `shortcuts` lead past the framework.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await db.start()
        yield
        await db.close()

    base = f"/{service}"
    app = _Application(
        title=title,
        version="1",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own loads its scripts from another host.
        redoc_url=None,
        openapi_url=f"{base}/openapi.json",
        generate_unique_id_function=openapi.operation_id,
    )
    for router in routers:
        app.include_router(router, prefix=base)
    app.include_router(_operations(service, db, needs_replicas, is_alive), prefix=base)
    if routers:
        app.include_router(_reference(app, f"{base}/static"), prefix=base)
        app.include_router(_error_pages(f"{base}/static"))
        app.mount(f"{base}/static", assets.static_files())
    _answer_errors(app)
    app.add_middleware(Shortcuts, shortcuts=shortcuts)
    app.add_middleware(Edge, larger_bodies=larger_bodies or {}, answer=problem)
    # What is added last is outermost: even a refused form and an unforeseen error carry the headers.
    app.add_middleware(security.SameOriginForms)
    app.add_middleware(security.SecurityHeaders)
    return app


def _reference(app: FastAPI, static_url: str) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    render = environment.page_renderer("shared.ui", Shell(static_url=static_url))

    @router.get("/docs")
    async def docs(request: Request) -> HTMLResponse:
        """Show the reference of this service's API."""
        origin = str(request.base_url).rstrip("/")
        page = reference.reference_page(app.openapi(), origin=origin, openapi_url=str(app.openapi_url))
        return HTMLResponse(render("ui/reference.html", page))

    return router


def _error_pages(static_url: str) -> APIRouter:
    """Return the pages that the `type` of a problem leads to: the same ones from every service."""
    router = APIRouter(include_in_schema=False)
    render = environment.page_renderer("shared.ui", Shell(static_url=static_url))

    @router.get(ERROR_PAGES.rstrip("/"))
    async def list_errors() -> HTMLResponse:
        """List every error that an answer of this product can name."""
        return HTMLResponse(render("ui/errors.html", ErrorsPage(CATALOGUE)))

    @router.get(f"{ERROR_PAGES}{{code}}")
    async def show_error(code: str) -> HTMLResponse:
        """Explain one error: how it comes about, and what to do."""
        entry = CATALOGUE.get(code)
        if entry is None:
            raise Refusal("not_found")
        page = ErrorPage(code, entry.title, entry.why, entry.remedy, STATUS[entry.family])
        return HTMLResponse(render("ui/error.html", page))

    return router


def _operations(service: str, db: Database, needs_replicas: Sequence[str], is_alive: Callable[[], bool]) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    needed = schema_version.needed(service)

    @router.get("/healthz")
    async def alive() -> Response:
        """Say whether this process moves. Trouble around it does not make it dead."""
        return Response("alive\n" if is_alive() else "stuck\n", 200 if is_alive() else 503, media_type="text/plain")

    @router.get("/readyz")
    async def ready() -> JSONResponse:
        """Say whether it can answer: its database, its schema, a replica that has once been complete."""
        missing: list[str] = []
        try:
            async with db.begin() as tx:
                had = [row.version_num for row in await tx.rows(text("SELECT version_num FROM alembic_version"))]
                complete = {row.topic for row in await tx.rows(select(replica.c.topic))}
                missing = [f"migration {name}" for name in schema_version.missing(needed, had)]
                missing += [f"replica of {topic}" for topic in needs_replicas if topic not in complete]
        except Exception as error:
            if not database.is_worlds_fault(error) and not isinstance(error, ProgrammingError):  # No such table.
                raise
            missing = ["database"]
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Exception) -> JSONResponse:
        assert isinstance(refusal, Refusal)
        return problem(refusal)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return problem(Refusal("field_invalid", faults=tuple(_fault(e) for e in error.errors())))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, Refusal):  # FastAPI makes a 400 of whatever stops it reading a body.
            return problem(error.__cause__)
        if error.status_code == 404:
            return problem(Refusal("not_found"))
        if error.status_code == 405:
            answer = problem(Refusal("method_not_allowed"))
            answer.headers["allow"] = ", ".join(_methods_at(app, request.scope))
            return answer
        return problem(Refusal("malformed"))


def _methods_at(app: FastAPI, scope: Scope) -> list[str]:
    """Return every method that is taken at the address of a call. The framework names those of one route alone."""

    def is_taken(method: str) -> bool:
        tried = {**scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(dict(tried))[0] is Match.FULL for route in app.router.routes)

    return [method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") if is_taken(method)]


def _fault(error: Mapping[str, Any]) -> FieldFault:
    place = [str(part) for part in error["loc"] if part not in ("body", "query", "header", "path")]
    context = error.get("ctx") or {}
    example = str(context.get("example", "see the API's documentation"))
    return FieldFault("/" + "/".join(place) if place else "", str(error["msg"]).removeprefix("Value error, "), example)
