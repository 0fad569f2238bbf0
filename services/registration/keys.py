"""What registration keeps secret, and from whom: fields at rest, fingerprints, seals, codes, numbers.

Stands on the storage floor beside `store`: it knows keys, and no rows.
"""

import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared import clients, secrets
from shared.ids import RequestId

ACT_PURPOSE = "act on request"
ACT_SECONDS = 30 * 60

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""32 signs without I, L, O and U, which are taken for others."""


@dataclass(frozen=True)
class Keyring:
    """The keys of this service. Nothing of it prints."""

    vault: secrets.Vault = field(repr=False)
    fingerprint_key: bytes = field(repr=False)
    directory_seal: Mapping[str, Any] = field(repr=False)
    notification_seal: Mapping[str, Any] = field(repr=False)
    token_key: bytes = field(repr=False)

    def lock(self, request_id: RequestId, name: str, plain: str) -> str:
        """Encrypt one field of one request for storage."""
        return self.vault.lock(plain, bound_to=_bound(request_id, name))

    def open(self, request_id: RequestId, name: str, locked: str) -> str:
        """Return what `lock` encrypted. Raises UnreadableError."""
        return self.vault.open(locked, bound_to=_bound(request_id, name))

    def fingerprint(self, purpose: str, *words: str) -> str:
        """Return a keyed hash of some words."""
        return secrets.fingerprint(self.fingerprint_key, purpose, *words)

    def code_fingerprint(self, request_id: RequestId, code: str) -> str:
        """Return the keyed hash under which a mailed code is kept."""
        return self.fingerprint("email code", str(request_id), code)

    def email_fingerprint(self, email: str) -> str:
        """Return the keyed hash by which an address is recognised, however it is capitalised."""
        return self.fingerprint("email", email.casefold())

    def invitation_fingerprint(self, code: str) -> str:
        """Return the keyed hash under which an invitation's code is kept, however it is typed."""
        return self.fingerprint("invitation", _plain(code))

    def client_fingerprint(self, address: str) -> str:
        """Return the keyed hash under which the calls of one client are counted."""
        return self.fingerprint("client address", clients.client_of(address))

    def lock_address(self, invitation_id: UUID, email: str) -> str:
        """Encrypt the address of one invitation for storage."""
        return self.vault.lock(email, bound_to=f"invitation.email.{invitation_id}")

    def open_address(self, invitation_id: UUID, locked: str) -> str:
        """Return what `lock_address` encrypted. Raises UnreadableError."""
        return self.vault.open(locked, bound_to=f"invitation.email.{invitation_id}")

    def seal_for_directory(self, plain: str) -> str:
        """Make a value readable to the directory alone."""
        return secrets.seal(self.directory_seal, plain)

    def seal_for_notification(self, plain: str) -> str:
        """Make a value readable to notification alone."""
        return secrets.seal(self.notification_seal, plain)

    def action_token(self, request_id: RequestId) -> str:
        """Return a token by which its bearer may act on one request, for half an hour."""
        return secrets.own_token(
            self.token_key, purpose=ACT_PURPOSE, subject=str(request_id), lives_seconds=ACT_SECONDS
        )

    def may_act(self, token: str, request_id: RequestId) -> bool:
        """Tell whether a token lets its bearer act on this request now."""
        return secrets.read_own_token(self.token_key, token, purpose=ACT_PURPOSE) == str(request_id)


def new_code() -> str:
    """Return eight digits that nobody can guess."""
    return f"{random.randbelow(10**8):08d}"


def new_invitation_code() -> str:
    """Return a code of 80 random bits, like 7M3Q-0XKD-92HT-VB4E."""
    return new_tracking_number().removeprefix("IACS-")


def new_tracking_number() -> str:
    """Return a number of 80 random bits, like IACS-7M3Q-0XKD-92HT-VB4E."""
    signs = "".join(random.choice(_ALPHABET) for _ in range(16))
    return "-".join(("IACS", *(signs[n : n + 4] for n in range(0, 16, 4))))


def tracking_number(typed: str) -> str | None:
    """Return a tracking number as it is stored, however it was typed; None if it cannot be one."""
    plain = _plain(typed)
    if len(plain) != 20 or not plain.startswith("1ACS") or any(sign not in _ALPHABET for sign in plain):
        return None
    return "-".join(("IACS", *(plain[n : n + 4] for n in range(4, 20, 4))))


def _plain(typed: str) -> str:
    return typed.upper().replace("-", "").replace(" ", "").replace("O", "0").replace("I", "1").replace("L", "1")


def _bound(request_id: RequestId, name: str) -> str:
    return f"identity.secrets.{name}.{request_id}"
