"""JSON comes in: finding organizations and groups, signing in, and one's own access."""

import asyncio
import time
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.security import APIKeyCookie
from joserfc.jwk import ECKey
from pydantic import ConfigDict, Field

from services.directory import domain, passwords, store, usecases
from shared import openapi, tokens, web
from shared.database import Database, Transaction
from shared.errors import Refusal
from shared.ids import AssignmentId, PersonId, PlaceId, ScopeId, new_id
from shared.names import normalise_business_name

COOKIE = "iacs_session"
SESSION = APIKeyCookie(
    name=COOKIE,
    scheme_name="session",
    description="The session cookie that `POST /directory/v1/sessions` sets.",
    auto_error=False,  # Who needs a session says so as a problem.
)
PAGE_SIZE = 50
_WRONG = "The user ID or the password is not right, or the account cannot sign in now."


class OrganizationView(web.View):
    """An active organization, as a person looking for it needs to see it."""

    id: ScopeId
    legal_business_name: str = Field(examples=["XYZ Medical Group LLC"])
    city: str = Field(examples=["Baltimore"])
    state: str = Field(examples=["MD"])


class GroupView(web.View):
    """A user group that people may ask about."""

    id: PlaceId
    name: str = Field(examples=["XYZ Billing"])
    kind: Literal["provider", "surrogate"]
    status: Literal["active", "without_administrator"]


class RoleView(web.View):
    """One role that you hold."""

    id: AssignmentId
    role: str = Field(examples=["END_USER"])
    place_kind: str = Field(examples=["group"])
    place_id: PlaceId
    organization_name: str | None = Field(examples=["XYZ Medical Group LLC"])
    group_name: str | None = Field(examples=["XYZ Billing"])
    since: datetime


class MyAccessView(web.View):
    """Who you are here, and every role you hold."""

    person_id: PersonId
    user_id: str = Field(examples=["K7MQ42XP"])
    given_name: str = Field(examples=["Maria"])
    family_name: str = Field(examples=["Gonzalez"])
    roles: list[RoleView]


class SignInBody(web.Body):
    """What a person signs in with. A password counts to its last space."""

    model_config = ConfigDict(str_strip_whitespace=False)

    user_id: str = Field(min_length=1, max_length=40, examples=["K7MQ42XP"])
    password: str = Field(min_length=1, max_length=1024, examples=["correct horse battery staple"])


class TokenView(web.View):
    """An access token for the Authorization header, as a bearer token."""

    access_token: str = Field(examples=["eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIwMTk4YzBkZSJ9.c2lnbmVk"])
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int = Field(description="Seconds", examples=[600])


class LinkBody(web.Body):
    """Whose set-password link is asked for."""

    user_id: str = Field(min_length=8, max_length=40, examples=["K7MQ42XP"])


class Signer:
    """Signs access tokens with the newest key, read once in a while."""

    def __init__(self, issued: tokens.Issued, keys: usecases.Keys) -> None:
        self._issued = issued
        self._keys = keys
        self._key: tuple[str, ECKey] | None = None
        self._read_at = float("-inf")

    async def token(self, tx: Transaction, caller: tokens.Caller) -> TokenView:
        """Return a fresh token for a caller."""
        if self._key is None or time.monotonic() - self._read_at > 300:
            row = await store.signing_key(tx)
            if row is None:
                raise Refusal("unavailable")
            public = await store.load_public_key(tx, row.kid)
            private = self._keys.vault.open(row.private_locked, bound_to=f"signing_key {row.kid}")
            self._key = (row.kid, ECKey.import_key({**public, "d": private}))
            self._read_at = time.monotonic()
        kid, key = self._key
        signed = tokens.mint(key, kid, self._issued, caller, token_id=new_id(), now=int(time.time()))
        return TokenView(access_token=signed, expires_in=tokens.LIVES_SECONDS)


def routes(
    db: Database,
    keys: usecases.Keys,
    verifier: tokens.Verifier,
    signer: Signer,
    cursors: web.Cursors,
    *,
    is_https: bool,
) -> APIRouter:
    """Return the directory's API."""
    router = APIRouter(prefix="/v1", tags=["directory"])
    signed_in = Depends(web.signed_in(verifier))

    def keep(response: Response, cookie: str) -> None:
        response.set_cookie(
            COOKIE,
            cookie,
            httponly=True,
            secure=is_https,
            samesite="lax",
            path="/directory",
            max_age=int(domain.SESSION_LIVES.total_seconds()),
        )
        response.headers["cache-control"] = "no-store"

    @router.get("/organizations", responses=web.responses("field_invalid"))
    async def list_organizations(
        name: Annotated[
            str, Query(max_length=200, description="Its legal business name begins so", examples=["XYZ"])
        ] = "",
        cursor: web.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=100)] = PAGE_SIZE,
    ) -> web.Page[OrganizationView]:
        """List active organizations by name. One that is not active is not listed."""
        prefix = normalise_business_name(name)
        purpose = f"organizations {prefix}"
        position = cursors.read(purpose, cursor)
        after = (position[0], UUID(position[1])) if position else None
        async with db.begin() as tx:
            rows = await store.list_organizations(tx, prefix=prefix, after=after, limit=limit + 1)
        more = cursors.seal(purpose, rows[limit - 1].normalised_name, rows[limit - 1].id) if len(rows) > limit else None
        return web.Page[OrganizationView](items=[_organization(row) for row in rows[:limit]], next_cursor=more)

    @router.get("/organizations/{organization_id}", responses=web.responses("organization_not_listed", "field_invalid"))
    async def show_organization(organization_id: UUID) -> OrganizationView:
        """Show one active organization. Unknown and unapproved ones get the same answer."""
        async with db.begin() as tx:
            row = await store.load_listed_organization(tx, ScopeId(organization_id))
        if row is None:
            raise Refusal("organization_not_listed")
        return _organization(row)

    @router.get(
        "/organizations/{organization_id}/groups", responses=web.responses("organization_not_listed", "field_invalid")
    )
    async def list_groups(
        organization_id: UUID, cursor: web.Cursor = None, limit: Annotated[int, Query(ge=1, le=100)] = PAGE_SIZE
    ) -> web.Page[GroupView]:
        """List the user groups of an active organization by name."""
        purpose = f"groups {organization_id}"
        position = cursors.read(purpose, cursor)
        after = (position[0], UUID(position[1])) if position else None
        async with db.begin() as tx:
            if await store.load_listed_organization(tx, ScopeId(organization_id)) is None:
                raise Refusal("organization_not_listed")
            rows = await store.list_groups(tx, ScopeId(organization_id), after=after, limit=limit + 1)
        more = cursors.seal(purpose, rows[limit - 1].normalised_name, rows[limit - 1].id) if len(rows) > limit else None
        items = [GroupView(id=row.id, name=row.name, kind=row.kind, status=row.status) for row in rows[:limit]]
        return web.Page[GroupView](items=items, next_cursor=more)

    @router.get("/people/me", responses=web.responses("unauthenticated", "not_found"))
    async def my_access(me: Annotated[PersonId, signed_in]) -> MyAccessView:
        """Show who you are and every role you hold."""
        async with db.begin() as tx:
            person, account = await store.load_person(tx, me), await store.load_account(tx, me)
            roles = await store.list_roles_of(tx, me)
        if person is None or account is None:
            raise Refusal("not_found")
        return MyAccessView(
            person_id=me,
            user_id=account.user_id,
            given_name=person.given_name,
            family_name=person.family_name,
            roles=[
                RoleView(
                    id=row.id,
                    role=row.role,
                    place_kind=row.place_kind,
                    place_id=row.place_id,
                    organization_name=row.organization_name,
                    group_name=row.group_name,
                    since=row.effective_from,
                )
                for row in roles
            ],
        )

    @router.post("/sessions", status_code=201, responses=web.responses("unauthenticated", "field_invalid", "too_large"))
    async def sign_in(body: SignInBody, response: Response) -> TokenView:
        """Sign in: a session cookie that renews tokens, and the first token.

        The same answer for an unknown user ID, a wrong password and a locked account.
        """
        async with db.begin() as tx:
            account = await store.find_account(tx, domain.normalise_user_id(body.user_id))
        known_hash = account.password_hash if account else None
        fits = await asyncio.to_thread(passwords.fits, known_hash, body.password)
        rehashed = (
            await asyncio.to_thread(passwords.rehashed_if_old, known_hash, body.password)
            if known_hash and fits
            else None
        )
        async with db.begin() as tx:
            session = None
            if account is not None and fits:
                session = await usecases.sign_in(tx, account.person_id, rehashed=rehashed)
            elif account is not None and account.may_try(tx.now):
                await usecases.note_failed_sign_in(tx, account.person_id)
            token = await signer.token(tx, session.caller) if session else None
        if session is None or token is None:
            raise Refusal("unauthenticated", _WRONG)
        keep(response, session.cookie)
        return token

    @router.post("/sessions/current/token", status_code=201, responses=web.responses("unauthenticated"))
    async def renew(response: Response, iacs_session: Annotated[str | None, Depends(SESSION)]) -> TokenView:
        """Get a fresh token for the session of the cookie."""
        if iacs_session is None:
            raise Refusal("unauthenticated")
        async with db.begin() as tx:
            caller = await usecases.renew(tx, iacs_session)
            token = await signer.token(tx, caller)
        keep(response, iacs_session)
        return token

    @router.delete(
        "/sessions/current", status_code=204, responses=web.responses(), openapi_extra=dict(openapi.OPTIONAL)
    )
    async def sign_out(iacs_session: Annotated[str | None, Depends(SESSION)]) -> Response:
        """Sign out. The session ends and its cookie goes; without a session nothing happens."""
        if iacs_session is not None:
            async with db.begin() as tx:
                await usecases.sign_out(tx, iacs_session)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, path="/directory")
        return response

    @router.post("/password-links", status_code=202, response_class=Response, responses=web.responses("field_invalid"))
    async def ask_password_link(body: LinkBody) -> Response:
        """Have a new set-password link mailed. The same answer whether or not the user ID exists."""
        async with db.begin() as tx:
            await usecases.ask_password_link(tx, keys, body.user_id)
        return Response(status_code=202)

    return router


def _organization(row: object) -> OrganizationView:
    return OrganizationView.model_validate(row, from_attributes=True)
