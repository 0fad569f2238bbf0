"""Rows to begin with, written straight into the services' databases: people, organizations, open requests."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from joserfc.jwk import ECKey

from shared import tokens
from shared.ids import PersonId, new_id

GROUP_KIND = "create_provider_group"
OFFICIAL = "SECURITY_OFFICIAL"


@dataclass(frozen=True)
class Organization:
    """An organization with its Security Official."""

    id: UUID
    official: UUID


class Signer:
    """Mints access tokens with a key of its own, which a service's database knows."""

    def __init__(self, told: Mapping[str, str]) -> None:
        origin = told["IACS_APPROVAL_PUBLIC_URL"]
        self._issued = tokens.Issued(f"{origin}/directory", origin)
        self._key = ECKey.generate_key("P-256")
        self._kid = str(new_id())
        self._headers: dict[UUID, tuple[str, str]] = {}

    async def make_known(self, connection: asyncpg.Connection) -> None:
        """Let a service trust the key."""
        await connection.execute(
            """INSERT INTO token_key (kid, version, jwk, not_before, not_after)
               VALUES ($1, 1, $2, now() - interval '1 day', now() + interval '1 day')""",
            self._kid,
            _json(self._key.as_dict(private=False)),
        )

    def header(self, person_id: UUID) -> tuple[str, str]:
        """Return the header by which a person calls: the same token each time, as long as a session lasts."""
        if person_id not in self._headers:
            now = int(time.time())
            caller = tokens.Caller(PersonId(person_id), new_id(), now)
            token = tokens.mint(self._key, self._kid, self._issued, caller, token_id=new_id(), now=now)
            self._headers[person_id] = ("Authorization", f"Bearer {token}")
        return self._headers[person_id]


async def organizations(connection: asyncpg.Connection, count: int) -> list[Organization]:
    """Let approval know active organizations, each with a Security Official."""
    made = [Organization(new_id(), new_id()) for _ in range(count)]
    await connection.copy_records_to_table(
        "organization",
        records=[(it.id, 1, "active", f"Organization {n}", "MD", str(it.id)) for n, it in enumerate(made)],
        columns=["id", "version", "status", "legal_business_name", "us_state", "duplicate_key"],
    )
    await connection.copy_records_to_table(
        "account", records=[(it.official, 1, "active") for it in made], columns=["person_id", "version", "status"]
    )
    await connection.copy_records_to_table(
        "assignment",
        records=[(new_id(), 1, it.official, OFFICIAL, it.id, it.id, "provider-supplier", "active") for it in made],
        columns=["id", "version", "person_id", "role", "place_id", "scope_id", "community_id", "status"],
    )
    return made


async def open_requests(
    connection: asyncpg.Connection, where: Sequence[Organization], count: int
) -> list[tuple[UUID, Organization]]:
    """Let approval hold pending requests for a group, spread over these organizations."""
    now = datetime.now(UTC)
    made = [(new_id(), where[n % len(where)]) for n in range(count)]
    later = now + timedelta(days=44)
    await connection.copy_records_to_table(
        "request",
        records=[
            (
                it,
                "provider-supplier",
                1,
                GROUP_KIND,
                at.id,
                "group",
                new_id(),
                new_id(),
                "Ada Abbott",
                "Billing",
                [],
                "pending",
                1,
                now,
                now,
                later,
            )
            for it, at in made
        ],
        columns=[
            "id",
            "community_id",
            "community_version",
            "kind",
            "scope_id",
            "place_kind",
            "place_id",
            "applicant_id",
            "applicant_name",
            "place_name",
            "documents_needed",
            "state",
            "stage",
            "opened_at",
            "since_at",
            "expires_at",
        ],
    )
    await connection.copy_records_to_table(
        "queue",
        records=[
            (it, 1, role, at.id, "organization", True, "stage", now, now, True)
            for it, at in made
            for role in (OFFICIAL, "BACKUP_SECURITY_OFFICIAL")
        ],
        columns=[
            "request_id",
            "stage",
            "role",
            "place_id",
            "place_kind",
            "may_approve",
            "why",
            "opened_at",
            "added_at",
            "open",
        ],
    )
    await connection.copy_records_to_table(
        "timer",
        records=[(it, kind, later, 1) for it, _ in made for kind in ("expire", "escalate", "remind")],
        columns=["request_id", "kind", "due_at", "number"],
    )
    await connection.execute("ANALYZE")
    return made


def _json(value: object) -> str:
    import json  # noqa: PLC0415

    return json.dumps(value)
