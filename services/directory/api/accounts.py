"""Signing in and out, and links that set a password."""

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import APIKeyCookie
from joserfc.jwk import ECKey
from pydantic import ConfigDict, Field

from services.directory import domain, passwords, store, usecases
from shared import openapi, policy, tokens, web
from shared.database import Database, Transaction
from shared.errors import Refusal
from shared.ids import new_id
from shared.policy import Standing

COOKIE = "iacs_session"
SESSION = APIKeyCookie(
    name=COOKIE,
    scheme_name="session",
    description="The session cookie that `POST /directory/v1/sessions` sets.",
    auto_error=False,  # Who needs a session says so as a problem.
)
_ANYBODY = frozenset({Standing.ANYBODY})
_WRONG = "The user ID or the password is not right, or the account cannot sign in now."


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


def routes(db: Database, keys: usecases.Keys, signer: Signer, *, is_https: bool) -> APIRouter:
    """Return how people sign in and out."""
    router = APIRouter()

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

    @router.post(
        "/sessions",
        status_code=201,
        responses=web.responses("unauthenticated", "field_invalid", "too_large", "rate_limited"),
    )
    async def sign_in(body: SignInBody, request: Request, response: Response) -> TokenView:
        """Sign in: a session cookie that renews tokens, and the first token.

        The same answer for an unknown user ID, a wrong password and a locked account. After 30 failures from one
        address within 15 minutes nothing that comes from there is looked at for a while.
        """
        policy.require(domain.POLICY, "sign_in", _ANYBODY)
        client = keys.client_hash(request.client.host if request.client else "")
        async with db.begin() as tx:
            await usecases.check_client(tx, client)
            account = await store.find_account(tx, domain.normalise_user_id(body.user_id)) or domain.NOBODY
            may_try = account.may_try(tx.now)
        known_hash = account.password_hash
        fits = await asyncio.to_thread(passwords.fits, known_hash, body.password)
        # Of a locked account the right password must take no longer than a wrong one.
        rehashed = (
            await asyncio.to_thread(passwords.rehashed_if_old, known_hash, body.password)
            if known_hash and fits and may_try
            else None
        )
        async with db.begin() as tx:
            # Asked again: of many calls at once each has found the others uncounted.
            await usecases.check_client(tx, client, alone=True)
            fitting_hash = known_hash if fits else None
            session = await usecases.sign_in(tx, account.person_id, fitting_hash, rehashed=rehashed)
            if session is None:
                await usecases.note_failed_client(tx, client)
            token = await signer.token(tx, session.caller) if session else None
        if session is None or token is None:
            raise Refusal("unauthenticated", _WRONG)
        keep(response, session.cookie)
        return token

    @router.post("/sessions/current/token", status_code=201, responses=web.responses("unauthenticated"))
    async def renew(response: Response, iacs_session: Annotated[str | None, Depends(SESSION)]) -> TokenView:
        """Get a fresh token for the session of the cookie."""
        policy.require(domain.POLICY, "renew", _ANYBODY)
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
        policy.require(domain.POLICY, "sign_out", _ANYBODY)
        if iacs_session is not None:
            async with db.begin() as tx:
                await usecases.sign_out(tx, iacs_session)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, path="/directory")
        return response

    @router.post("/password-links", status_code=202, response_class=Response, responses=web.responses("field_invalid"))
    async def ask_password_link(body: LinkBody) -> Response:
        """Have a new set-password link mailed. The same answer whether or not the user ID exists."""
        policy.require(domain.POLICY, "ask_password_link", _ANYBODY)
        async with db.begin() as tx:
            await usecases.ask_password_link(tx, keys, body.user_id)
        return Response(status_code=202)

    return router
