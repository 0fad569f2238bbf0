"""What the directory encrypts, opens, seals and recognises with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared import clients, secrets


@dataclass(frozen=True)
class Keys:
    """The directory's keys, but for those that sign tokens: these are rows."""

    vault: secrets.Vault
    private_jwk: Mapping[str, Any]
    """Opens what registration has sealed to the directory: TINs."""
    notification_jwk: Mapping[str, Any]
    """Seals what only a mail may carry: set-password tokens."""
    fingerprint_key: bytes
    """Makes the keyed hashes under which equal TINs meet; registration has the same."""

    def tin_fingerprint(self, digits: str) -> str:
        """Return the hash under which an organization of this TIN (nine digits) is found."""
        return secrets.fingerprint(self.fingerprint_key, "tin", digits)

    def client_hash(self, address: str) -> str:
        """Return the hash under which the failures of one client are counted."""
        return secrets.fingerprint(self.fingerprint_key, "client", clients.client_of(address))
