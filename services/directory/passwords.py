"""How passwords are stored and compared: argon2id, slow by design, so always outside a transaction.

Source: NIST SP 800-63B-4, 3.1.1.2; OWASP's parameters (19 MiB, two passes).
"""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Compared against when there is no such account, so that the answer takes as long.
_NOBODYS = _HASHER.hash("nobody has this password")


def hashed(password: str) -> str:
    """Return what is stored of a password."""
    return _HASHER.hash(_normal(password))


def fits(password_hash: str | None, password: str) -> bool:
    """Tell whether a password is the one; takes as long when there is none to compare with."""
    try:
        return _HASHER.verify(password_hash or _NOBODYS, _normal(password)) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def rehashed_if_old(password_hash: str, password: str) -> str | None:
    """Return a fresh hash when the parameters have grown since the stored one was made."""
    return hashed(password) if _HASHER.check_needs_rehash(password_hash) else None


def _normal(password: str) -> str:
    return unicodedata.normalize("NFC", password)
