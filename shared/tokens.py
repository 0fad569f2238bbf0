"""Access tokens, verified offline: who calls, proved by a signature of the directory.

A token says who a person is and since when they are signed in; it carries no role. Each service
judges by its own replica. Source: RFC 9068, RFC 8725; architecture 1.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from sqlalchemy import func, select

from shared.database import Database
from shared.ids import PersonId
from shared.tables import token_key

TYPE = "at+jwt"
ALGORITHM = "ES256"
LIVES_SECONDS = 600
_LEEWAY_SECONDS = 30
_KEYS_FRESH_SECONDS = 300
_ASK_AGAIN_SECONDS = 5
_REMEMBERED = 10_000

KeySource = Callable[[], Awaitable[Mapping[str, Mapping[str, Any]]]]


class NotAToken(Exception):  # noqa: N818 - it names what was found, not a malfunction.
    """The bearer token is not one of ours, not for us, or not valid now."""


@dataclass(frozen=True)
class Caller:
    """Who calls, as the token proves it."""

    person_id: PersonId
    session_id: UUID
    signed_in_at: int
    """Seconds since the epoch."""


@dataclass(frozen=True)
class Issued:
    """Where tokens come from and whom they are for."""

    issuer: str
    audience: str

    @classmethod
    def at(cls, public_url: str) -> "Issued":
        """Return how the directory of an installation issues them, for its services."""
        return cls(f"{public_url}/directory", public_url)


def mint(key: ECKey, kid: str, issued: Issued, caller: Caller, *, token_id: UUID, now: int) -> str:
    """Return a signed access token that lives ten minutes."""
    claims = {
        "iss": issued.issuer,
        "aud": issued.audience,
        "sub": str(caller.person_id),
        "client_id": "iacs",
        "sid": str(caller.session_id),
        "auth_time": caller.signed_in_at,
        "jti": str(token_id),
        "iat": now,
        "exp": now + LIVES_SECONDS,
    }
    return jwt.encode({"alg": ALGORITHM, "typ": TYPE, "kid": kid}, claims, key)


class Verifier:
    """Verifies tokens with keys of our own database, and remembers each until it expires."""

    def __init__(self, issued: Issued, keys: KeySource) -> None:
        self._issued = issued
        self._load = keys
        self._keys: dict[str, ECKey] = {}
        self._loaded_at = float("-inf")
        self._remembered: dict[str, tuple[Caller, int]] = {}
        self._loading = asyncio.Lock()

    async def caller(self, token: str) -> Caller:
        """Return who the token speaks for. Raises NotAToken."""
        remembered = self._remembered.get(token)
        if remembered is not None:
            if remembered[1] > time.time():
                return remembered[0]
            del self._remembered[token]
            raise NotAToken
        try:
            kid = _unverified_kid(token)
            key = await self._key(kid)
            read = jwt.decode(token, key, algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError) as error:  # A `crit` that is no list is iterated over all the same.
            raise NotAToken from error
        caller, expires_at = self._checked(read.header, read.claims)
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[token] = (caller, expires_at)
        return caller

    def _checked(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> tuple[Caller, int]:
        now = time.time()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        expires_at, issued_at = claims.get("exp"), claims.get("iat")
        good = (
            str(header.get("typ", "")).lower() == TYPE
            and claims.get("iss") == self._issued.issuer
            and self._issued.audience in audiences
            and isinstance(expires_at, int)
            and expires_at > now
            and isinstance(issued_at, int)
            and issued_at <= now + _LEEWAY_SECONDS
            and all(claims.get(name) for name in ("jti", "sub", "sid", "client_id", "auth_time"))
        )
        if not good:
            raise NotAToken
        assert isinstance(expires_at, int)
        try:
            caller = Caller(PersonId(UUID(claims["sub"])), UUID(claims["sid"]), int(claims["auth_time"]))
        except (ValueError, TypeError, AttributeError) as error:
            raise NotAToken from error
        return caller, expires_at

    async def _key(self, kid: str) -> ECKey:
        async with self._loading:
            age = time.monotonic() - self._loaded_at
            if age > _KEYS_FRESH_SECONDS or (kid not in self._keys and age > _ASK_AGAIN_SECONDS):
                self._keys = {name: ECKey.import_key(dict(jwk)) for name, jwk in (await self._load()).items()}
                self._loaded_at = time.monotonic()
        key = self._keys.get(kid)
        if key is None:
            raise NotAToken
        return key


def verifier(public_url: str, database: Database) -> Verifier:
    """Return what verifies the access tokens of an installation, with the keys that this service has heard of."""
    return Verifier(Issued.at(public_url), keys_of(database))


def keys_of(database: Database) -> KeySource:
    """Read the keys that have not ended from a service's own replica."""

    async def load() -> Mapping[str, Mapping[str, Any]]:
        async with database.begin() as tx:
            alive = select(token_key.c.kid, token_key.c.jwk).where(token_key.c.not_after > func.now())
            return {row.kid: row.jwk for row in await tx.rows(alive)}

    return load


def _unverified_kid(token: str) -> str:
    header = jws.extract_compact(token.encode()).headers()
    return str(header.get("kid", ""))
