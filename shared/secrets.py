"""Secrets at rest and on the way: encrypted fields, keyed fingerprints, sealed values, own tokens.

At rest: AES-256-GCM, with the key's id in the value so that keys can change. Fingerprints: HMAC-SHA-256,
so that equal numbers can be found without being readable. On the way to one service: JWE sealed to
that service's public key. Nothing here is logged or said.
"""

import hashlib
import hmac
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey

_NONCE_BYTES = 12
_SEALING = {"alg": "ECDH-ES", "enc": "A256GCM"}
# What the library says of text that is no token: TypeError of a header whose `crit` or `enc` is of another kind.
_NO_TOKEN = (JoseError, ValueError, TypeError)


class UnreadableError(Exception):
    """A value was not made with a key that we have, or was changed since."""


class Vault:
    """Encrypts fields for storage. `keys` by id; the last one encrypts, all decrypt."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {kid: AESGCM(key) for kid, key in keys.items()}
        self._newest = list(keys)[-1]

    def lock(self, plain: str, *, bound_to: str) -> str:
        """Encrypt `plain` so that it can be read only as a part of `bound_to` (table, column and row)."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(nonce, plain.encode(), bound_to.encode())
        return f"{self._newest}.{_b64(nonce + sealed)}"

    def open(self, locked: str, *, bound_to: str) -> str:
        """Return what was locked. Raises UnreadableError."""
        kid, _, body = locked.partition(".")
        try:
            raw = _unb64(body)
            return self._ciphers[kid].decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound_to.encode()).decode()
        except (KeyError, ValueError, InvalidTag) as error:
            raise UnreadableError(f"{bound_to} cannot be decrypted") from error


def fingerprint(key: bytes, purpose: str, *parts: str) -> str:
    """Return a keyed hash (base64url): equal for equal parts, and telling nothing about them."""
    message = "\0".join((purpose, *parts)).encode()
    return _b64(hmac.new(key, message, hashlib.sha256).digest())


def seal(public_jwk: Mapping[str, Any], plain: str) -> str:
    """Encrypt `plain` to the owner of a key, as a compact JWE."""
    return jwe.encrypt_compact(dict(_SEALING), plain, ECKey.import_key(dict(public_jwk)))


def unseal(private_jwk: Mapping[str, Any], sealed: str) -> str:
    """Return what was sealed to us. Raises UnreadableError."""
    try:
        opened = jwe.decrypt_compact(sealed, ECKey.import_key(dict(private_jwk)), algorithms=list(_SEALING.values()))
    except _NO_TOKEN as error:
        raise UnreadableError("the value was not sealed to this key") from error
    assert opened.plaintext is not None
    return opened.plaintext.decode()


def own_token(key: bytes, *, purpose: str, subject: str, lives_seconds: int) -> str:
    """Return a token by which this service will recognise `subject` for `purpose`, for a while."""
    claims = {"aud": purpose, "sub": subject, "exp": int(time.time()) + lives_seconds}
    return jwt.encode({"alg": "HS256", "typ": "own+jwt"}, claims, OctKey.import_key(key))


def read_own_token(key: bytes, token: str, *, purpose: str) -> str | None:
    """Return the subject of a token that `own_token` made for this purpose, or None."""
    try:
        read = jwt.decode(token, OctKey.import_key(key), algorithms=["HS256"])
    except _NO_TOKEN:
        return None
    claims = read.claims
    alive = isinstance(claims.get("exp"), int) and claims["exp"] > time.time()
    fits = read.header.get("typ") == "own+jwt" and claims.get("aud") == purpose
    return str(claims["sub"]) if alive and fits else None


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
