"""Access tokens: signed by the directory, judged offline, and every forgery known to us refused."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt as pyjwt
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from sqlalchemy import insert

from shared import tokens
from shared.database import Database
from shared.ids import PersonId, new_id
from shared.tables import token_key
from shared.tokens import Caller, Issued, NotAToken, Verifier

ISSUED = Issued("https://iacs.example", "iacs")
KEY = ECKey.generate_key("P-256")
PUBLIC: dict[str, Any] = dict(KEY.as_dict(private=False))


def a_caller() -> Caller:
    return Caller(PersonId(new_id()), new_id(), int(time.time()) - 5)


def a_token(caller: Caller, *, now: int | None = None, issued: Issued = ISSUED, kid: str = "k1") -> str:
    return tokens.mint(KEY, kid, issued, caller, token_id=new_id(), now=int(time.time()) if now is None else now)


def claims(**changed: object) -> dict[str, object]:
    """Return the claims of a good token, and what is changed in them (None: absent)."""
    now = int(time.time())
    whole: dict[str, object] = {
        "iss": ISSUED.issuer,
        "aud": ISSUED.audience,
        "sub": str(new_id()),
        "client_id": "iacs",
        "sid": str(new_id()),
        "auth_time": now,
        "jti": str(new_id()),
        "iat": now,
        "exp": now + 600,
        **changed,
    }
    return {name: value for name, value in whole.items() if value is not None}


def signed(header: Mapping[str, object] | None = None, **changed: object) -> str:
    return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "k1", **(header or {})}, claims(**changed), KEY)


class Keys:
    """The keys of a replica, and how often they were asked for."""

    def __init__(self, **keys: Mapping[str, Any]) -> None:
        self.keys = keys
        self.asked_count = 0

    async def __call__(self) -> Mapping[str, Mapping[str, Any]]:
        self.asked_count += 1
        await asyncio.sleep(0)  # As a database does, it lets others go on meanwhile.
        return self.keys


@pytest.fixture
def verifier() -> Verifier:
    return Verifier(ISSUED, Keys(k1=PUBLIC))


async def test_a_minted_token_says_who_calls(verifier: Verifier) -> None:
    caller = a_caller()

    assert await verifier.caller(a_token(caller)) == caller


def test_another_implementation_verifies_what_we_sign() -> None:
    caller, now = a_caller(), int(time.time())
    token = a_token(caller, now=now)

    read = pyjwt.decode_complete(
        token,
        pyjwt.PyJWK(PUBLIC, "ES256"),
        algorithms=["ES256"],
        issuer=ISSUED.issuer,
        audience=ISSUED.audience,
        options={"require": ["iss", "aud", "sub", "client_id", "jti", "iat", "exp"]},
    )

    assert read["header"] == {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
    assert read["payload"]["sub"] == str(caller.person_id)
    assert read["payload"]["exp"] - now == 600
    assert set(read["payload"]) & {"role", "roles", "name", "email", "scope"} == set()


async def test_a_token_that_another_implementation_signed_is_verified(verifier: Verifier) -> None:
    whole = claims()
    token = pyjwt.encode(
        whole, pyjwt.PyJWK(KEY.as_dict(private=True), "ES256").key, "ES256", {"typ": "AT+JWT", "kid": "k1"}
    )

    assert str((await verifier.caller(token)).person_id) == whole["sub"]


def by_hand(algorithm: str, sign: Callable[[bytes], bytes]) -> str:
    """A token that no sound library would make."""
    header = {"alg": algorithm, "typ": "at+jwt", "kid": "k1"}
    head, body = (base64url(json.dumps(part).encode()) for part in (header, claims()))
    return f"{head}.{body}.{base64url(sign(f'{head}.{body}'.encode()))}"


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed_with_the_public_key(secret: bytes) -> str:
    """The classic confusion: HMAC, with the public key's own text as the secret."""
    return by_hand("HS256", lambda text: hmac.digest(secret, text, "sha256"))


def signed_by_a_stranger(header: Mapping[str, object] | None = None) -> str:
    stranger = ECKey.generate_key("P-256")
    own = {"jwk": stranger.as_dict(private=False)}
    return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "k1", **own, **(header or {})}, claims(), stranger)


def signed_with_rsa() -> str:
    return jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": "k1"}, claims(), RSAKey.generate_key(2048))


def with_a_header(**header: object) -> str:
    head = {"alg": "ES256", "typ": "at+jwt", "kid": "k1", **header}
    return f"{base64url(json.dumps(head).encode())}.e30.AAAA"


NOW = int(time.time())
FORGERIES = {
    "without a signature": by_hand("none", lambda _: b""),
    "HS256 with the public key as PEM": signed_with_the_public_key(KEY.as_pem(private=False)),
    "HS256 with the public key as JWK": signed_with_the_public_key(json.dumps(PUBLIC).encode()),
    "signed by a stranger": signed_by_a_stranger(),
    "signed with RSA": signed_with_rsa(),
    "for somebody else": signed(aud="other"),
    "for nobody": signed(aud=None),
    "for a list of others": signed(aud=["other", "iacs2"]),
    "of another issuer": signed(iss="https://iacs.example.evil"),
    "of no issuer": signed(iss=None),
    "without an end": signed(exp=None),
    "with an end in words": signed(exp="tomorrow"),
    "from the future": signed(iat=NOW + 86_400, exp=NOW + 87_000),
    "without a beginning": signed(iat=None),
    "an ID token": signed({"typ": "JWT"}),
    "one of our own": signed({"typ": "own+jwt"}),
    "of no type": jwt.encode({"alg": "ES256", "kid": "k1"}, claims(), KEY),
    "of an unknown key": signed({"kid": "k2"}),
    "of no key": jwt.encode({"alg": "ES256", "typ": "at+jwt"}, claims(), KEY),
    "without sub": signed(sub=None),
    "without sid": signed(sid=None),
    "without jti": signed(jti=None),
    "without client_id": signed(client_id=None),
    "without auth_time": signed(auth_time=None),
    "with a name for sub": signed(sub="ann"),
    "with a number for sub": signed(sub=7),
    "with a name for sid": signed(sid="s1"),
    "with words for auth_time": signed(auth_time="now"),
    "with a list for auth_time": signed(auth_time=[1]),
    "cut": signed()[:-2],
    "empty": "",
    "words": "not a token",
    "two dots": "..",
    "a header that is a list": "W10.e30.AAAA",
    "a header that is null": "bnVsbA.e30.AAAA",
    "a header that is text": "IngiCg.e30.AAAA",
    "a header without alg": "e30.e30.AAAA",
    "a header that is not UTF-8": "_w.e30.AAAA",
    "a crit that is a number": with_a_header(crit=1),
    "a crit that is null": with_a_header(crit=None),
    "a crit that lists a list": with_a_header(crit=[[]]),
    "umlauts": "ä.ö.ü",
    "a sealed one": "a.b.c.d.e",
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_token_is_refused(verifier: Verifier, forgery: str) -> None:
    with pytest.raises(NotAToken):
        await verifier.caller(FORGERIES[forgery])


async def test_a_token_ends_to_the_second(verifier: Verifier) -> None:
    now = int(time.time())  # Not the module's: a second of grace would be over by now.
    with pytest.raises(NotAToken):
        await verifier.caller(signed(iat=now - 700, exp=now))


async def test_a_clock_half_a_minute_ahead_is_borne_and_no_more(verifier: Verifier) -> None:
    now = int(time.time())
    assert await verifier.caller(signed(iat=now + 20))
    with pytest.raises(NotAToken):
        await verifier.caller(signed(iat=now + 60))


async def test_a_token_for_several_is_also_for_us(verifier: Verifier) -> None:
    assert await verifier.caller(signed(aud=["other", ISSUED.audience]))


async def test_a_changed_claim_breaks_the_signature(verifier: Verifier) -> None:
    head, _, signature = signed().split(".")
    other = base64url(json.dumps(claims()).encode())

    with pytest.raises(NotAToken):
        await verifier.caller(f"{head}.{other}.{signature}")


async def test_a_verified_token_is_remembered_until_it_expires_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(k1=PUBLIC)
    verifier = Verifier(ISSUED, keys)
    caller, began = a_caller(), time.time()
    token = a_token(caller, now=int(began))
    await verifier.caller(token)

    keys.keys = {}  # Remembered: neither the key nor the signature is looked at again.
    monkeypatch.setattr(time, "time", lambda: began + 590)
    assert await verifier.caller(token) == caller

    monkeypatch.setattr(time, "time", lambda: began + 601)
    for _ in range(2):
        with pytest.raises(NotAToken):
            await verifier.caller(token)


async def test_no_more_tokens_are_remembered_than_there_is_room_for(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_REMEMBERED", 2)
    for _ in range(5):
        assert await verifier.caller(signed())
    assert len(verifier._remembered) <= 2


async def test_many_who_call_at_once_have_the_keys_read_once() -> None:
    keys = Keys(k1=PUBLIC)
    verifier = Verifier(ISSUED, keys)

    assert all(await asyncio.gather(*(verifier.caller(signed()) for _ in range(5))))
    assert keys.asked_count == 1


async def test_a_key_that_is_new_is_found_and_an_unknown_one_is_not_asked_for_at_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = Keys(k0=PUBLIC)
    verifier = Verifier(ISSUED, keys)
    token = signed()
    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(NotAToken):
            await verifier.caller(token)
    assert keys.asked_count == 1

    keys.keys = {"k1": PUBLIC}
    monkeypatch.setattr(time, "monotonic", lambda: began + 10)
    assert await verifier.caller(token)
    assert keys.asked_count == 2


async def test_a_key_that_was_withdrawn_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(k1=PUBLIC)
    verifier = Verifier(ISSUED, keys)
    await verifier.caller(signed())

    keys.keys = {}
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + 301)
    with pytest.raises(NotAToken):
        await verifier.caller(signed())


async def test_keys_come_from_the_services_own_replica_as_long_as_they_live(database: Database) -> None:
    now = datetime.now(UTC)
    async with database.begin() as tx:
        for kid, not_after in (("k1", now + timedelta(days=1)), ("ended", now - timedelta(seconds=1))):
            row = {"kid": kid, "version": 1, "jwk": PUBLIC, "not_before": now, "not_after": not_after}
            await tx.execute(insert(token_key).values(row))
    verifier = Verifier(ISSUED, tokens.keys_of(database))

    assert await verifier.caller(signed())
    with pytest.raises(NotAToken):
        await verifier.caller(signed({"kid": "ended"}))
