"""Who files: by what one human is recognised, what is kept of them, and how an address is proved."""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.registration.domain.filing import Values
from services.registration.domain.limits import CODE_TRIES
from shared import names
from shared.ids import PersonId


@dataclass(frozen=True)
class PersonKey:
    """By what one human is recognised: keyed hashes, never the numbers."""

    ssn: str | None
    identity: str | None


@dataclass(frozen=True)
class Human:
    """A row of the people that registration has met."""

    id: PersonId
    key: PersonKey


def same_person(key: PersonKey, met: Iterable[Human]) -> Human | None:
    """Return who of `met` is the person of `key`, or None if the rows contradict each other.

    The SSN decides; name, birth date and e-mail decide where one side has no SSN. Two rows, or equal
    identities with different SSNs, are for the help desk to look into. Source: domain 7.
    """
    rows = list(met)
    by_ssn = next((human for human in rows if key.ssn is not None and human.key.ssn == key.ssn), None)
    by_identity = next((human for human in rows if human.key.identity == key.identity), None)
    if by_ssn is None:
        contradicts = by_identity is not None and key.ssn is not None and by_identity.key.ssn is not None
        return None if contradicts else by_identity
    return by_ssn if by_identity is None or by_identity.id == by_ssn.id else None


@dataclass(frozen=True)
class Applicant:
    """Who files, as far as it is said to others."""

    given_name: str
    family_name: str
    email: str
    phone: str = ""


@dataclass(frozen=True)
class Identity:
    """Who filed and what they typed, with the secret fields as they are stored."""

    applicant: Applicant
    email_fingerprint: str
    key: PersonKey
    data: Values
    secrets: Mapping[str, str]
    """Field name -> the encrypted value."""


def identity_words(applicant: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words whose keyed hash is equal for one person without an SSN. Source: domain 7."""
    return (
        names.normalise_name(applicant["given_name"]),
        names.normalise_name(applicant["family_name"]),
        applicant.get("birth_date", ""),
        applicant["email"].casefold(),
    )


def prove(code: "Code | None", fingerprint_of_typed: str, at: datetime) -> bool:
    """Tell whether what was typed proves the address: the newest code, unused, in time, within five tries."""
    return code is not None and code.is_good(at) and hmac.compare_digest(code.fingerprint, fingerprint_of_typed)


@dataclass(frozen=True)
class Code:
    """A code that was mailed."""

    id: UUID
    fingerprint: str
    expires_at: datetime
    try_count: int
    used_at: datetime | None

    def is_good(self, at: datetime) -> bool:
        """Whether it may still be tried."""
        return self.used_at is None and at < self.expires_at and self.try_count < CODE_TRIES
