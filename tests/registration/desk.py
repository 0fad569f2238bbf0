"""Builders and a desk to file at: valid wholes, of which a test changes only what matters to it."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from joserfc.jwk import ECKey
from sqlalchemy import insert, select, text, update

from services.registration import consumers, tables
from shared import envelope, secrets, tokens
from shared.contracts import approval, directory, registration
from shared.contracts.base import Event, State
from shared.contracts.community import Community
from shared.database import Database
from shared.delivery import Delivery
from shared.ids import AssignmentId, EntitlementId, PersonId, PlaceId, RequestId, ScopeId, new_id
from shared.tables import audit, community, outbox, parked, token_key

ORIGIN = "http://iacs.test"
SSN = "219-09-9999"
BIRTH_DATE = "1970-04-01"
TIN = "12-3456789"
PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n" + b"%" * 600 + b"\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(600)

E = TypeVar("E", bound=Event)
_HANDLERS = consumers.handlers()


def key_text(fill: int) -> str:
    """Return 32 bytes as a setting has them."""
    return urlsafe_b64encode(bytes([fill]) * 32).decode()


def an_applicant(**changes: str) -> dict[str, str]:
    """Return a new person's own fields."""
    whole = {
        "given_name": "Maria",
        "family_name": "Gonzalez",
        "birth_date": BIRTH_DATE,
        "email": "maria@clinic.example",
        "phone": "410-555-0142",
        "ssn": SSN,
    }
    return whole | changes


def an_organization(**changes: Any) -> dict[str, Any]:
    """Return what an organization says of itself."""
    whole = {
        "legal_business_name": "XYZ Clinic, Inc.",
        "tin": TIN,
        "street": "7500 Security Boulevard",
        "city": "Baltimore",
        "state": "MD",
        "zip_code": "21244-1850",
        "phone": "410-555-0100",
        "provider_type": "clinic",
    }
    return whole | changes


def a_wish(kind: str = "register_organization", **changes: Any) -> dict[str, Any]:
    """Return the body that files a new person's wish."""
    whole: dict[str, Any] = {
        "community_id": "provider-supplier",
        "kind": kind,
        "applicant": an_applicant(),
        "data": an_organization() if kind == "register_organization" else {},
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


@dataclass(frozen=True)
class Record:
    """A record as Kafka gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass
class Desk:
    """One registration service with its database, its API and the keys of those who read what it says."""

    db: Database
    http: httpx.AsyncClient
    community: Community
    directory_key: ECKey
    notification_key: ECKey
    token_signer: ECKey
    folder: Any
    offset: int = field(default=0)

    # --- Time, and what was said

    def wait(self, passed: timedelta) -> None:
        """Let domain time be later by this much."""
        before = self.db.clock
        self.db.clock = lambda: before() + passed

    async def announced(self, event: type[E]) -> list[E]:
        """Return what was announced of one type, in order."""
        async with self.db.begin() as tx:
            rows = await tx.rows(select(outbox.c.body).where(outbox.c.type == event.wire).order_by(outbox.c.position))
        return [event.model_validate_json(row.body) for row in rows]

    async def code(self, request_id: str) -> str:
        """Return the newest code that would be mailed for a request."""
        asked = [e for e in await self.announced(registration.EmailCodeAsked) if str(e.request_id) == request_id]
        return secrets.unseal(self.notification_key.as_dict(private=True), asked[-1].code_sealed)

    async def rows(self, table: Any) -> list[Any]:
        """Return all rows of a table."""
        async with self.db.begin() as tx:
            return list(await tx.rows(select(table)))

    async def dump(self) -> str:
        """Return all that the database holds, as one text."""
        everything = [*tables.metadata.sorted_tables, outbox, audit]
        return "\n".join([str(tuple(row)) for table in everything for row in await self.rows(table)])

    # --- Filing

    async def file(self, body: dict[str, Any], token: str | None = None) -> httpx.Response:
        """File a wish."""
        return await self.http.post("/registration/v1/requests", json=body, headers=bearer(token))

    async def prove(self, request_id: str, code: str | None = None) -> httpx.Response:
        """Type a code: the one that was mailed, unless another is given."""
        typed = code or await self.code(request_id)
        return await self.http.post(f"/registration/v1/requests/{request_id}/email-proof", json={"code": typed})

    async def filed(self, **changes: Any) -> dict[str, Any]:
        """File a new person's wish and return the answer."""
        answer = await self.file(a_wish(**changes))
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def submitted(self, **changes: Any) -> dict[str, Any]:
        """File a new person's wish, prove the address, and return the proof's answer."""
        filed = await self.filed(**changes)
        answer = await self.prove(filed["request_id"])
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def status(self, tracking_number: str) -> dict[str, Any]:
        """Return what a tracking number shows."""
        answer = await self.http.get(f"/registration/v1/statuses/{tracking_number}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def token(self, person_id: UUID) -> str:
        """Return an access token of a person."""
        caller = tokens.Caller(PersonId(person_id), uuid4(), int(time.time()))
        issued = tokens.Issued(f"{ORIGIN}/directory", ORIGIN)
        return tokens.mint(self.token_signer, "k1", issued, caller, token_id=uuid4(), now=int(time.time()))

    # --- Hearing

    async def hear(self, body: Event | State, subject: UUID, scope: UUID, *, version: int | None = None) -> None:
        """Let one record arrive, through the real delivery."""
        await self.hear_raw(type(body), body.model_dump_json(), subject, scope, version=version)

    async def hear_raw(
        self, kind: type[Event] | type[State], body: str | None, subject: UUID, scope: UUID, *, version: int | None
    ) -> None:
        """Let one record with any body arrive."""
        now = datetime.now(UTC)
        row = {
            "id": uuid4(),
            "topic": kind.topic,
            "scope_id": scope,
            "type": kind.wire,
            "subject": str(subject),
            "time": now,
            "recorded_at": now,
            "sequence": None,
            "entity_version": version,
            "as_of_sequence": None,
            "correlation_id": None,
            "causation_id": None,
            "traceparent": "",
        }
        self.offset += 1
        value = None if body is None else body.encode()
        record = Record(kind.topic, 0, self.offset, str(subject).encode(), value, envelope.headers_of(row))
        await Delivery(self.db, _HANDLERS).take([record], wait=_never)
        assert not await self.rows(parked)

    async def organization(self, status: str = "active", *, security_official: bool = True) -> UUID:
        """Let the directory tell of an organization; return its id."""
        organization_id = new_id()
        state = directory.OrganizationState(
            organization_id=ScopeId(organization_id),
            community_id="provider-supplier",
            status=status,
            legal_business_name="XYZ Clinic, Inc.",
            city="Baltimore",
            state="MD",
            duplicate_key="k",
            effective_from=datetime.now(UTC),
        )
        await self.hear(state, organization_id, organization_id, version=1)
        if security_official:
            await self.assignment(new_id(), "SECURITY_OFFICIAL", organization_id, organization_id)
        return organization_id

    async def practitioner(self, status: str = "active") -> UUID:
        """Let the directory tell of a practitioner record; return its id."""
        practitioner_id = new_id()
        state = directory.PractitionerState(
            practitioner_id=ScopeId(practitioner_id),
            community_id="provider-supplier",
            status=status,
            duplicate_key="k",
            state="MD",
            effective_from=datetime.now(UTC),
        )
        await self.hear(state, practitioner_id, practitioner_id, version=1)
        return practitioner_id

    async def entitlement(self, person_id: UUID, application: str, assignment_id: UUID, scope_id: UUID) -> None:
        """Let the directory tell that somebody may use an application."""
        entitlement_id = new_id()
        state = directory.EntitlementState(
            entitlement_id=EntitlementId(entitlement_id),
            person_id=PersonId(person_id),
            application=application,
            assignment_id=AssignmentId(assignment_id),
            role="END_USER",
            scope_id=ScopeId(scope_id),
            community_id="provider-supplier",
            status="active",
            effective_from=datetime.now(UTC),
        )
        await self.hear(state, entitlement_id, scope_id, version=1)

    async def group(
        self, organization_id: UUID, status: str = "active", *, version: int = 1, kind: str = "provider"
    ) -> UUID:
        """Let the directory tell of a user group; return its id."""
        group_id = new_id()
        state = directory.GroupState(
            group_id=PlaceId(group_id),
            organization_id=ScopeId(organization_id),
            community_id="provider-supplier",
            status=status,
            group_kind=kind,
            name="Billing",
            normalised_name="billing",
            effective_from=datetime.now(UTC),
        )
        await self.hear(state, group_id, organization_id, version=version)
        return group_id

    async def assignment(
        self,
        person_id: UUID,
        role: str,
        place_id: UUID,
        scope_id: UUID,
        *,
        status: str = "active",
        place_kind: str = "organization",
    ) -> UUID:
        """Let the directory tell that somebody holds a role; return the assignment's id."""
        assignment_id = new_id()
        state = directory.RoleAssignmentState(
            assignment_id=assignment_id,
            person_id=PersonId(person_id),
            role=role,
            place_kind=place_kind,
            place_id=PlaceId(place_id),
            scope_id=ScopeId(scope_id),
            community_id="provider-supplier",
            status=status,
            effective_from=datetime.now(UTC),
        )
        await self.hear(state, assignment_id, scope_id, version=1)
        return assignment_id

    async def account(self, person_id: UUID | None = None, *, status: str = "active", version: int = 1) -> UUID:
        """Let the directory tell of a person with an account; return the person's id."""
        person_id = person_id or new_id()
        who = directory.PersonState(
            person_id=PersonId(person_id),
            given_name="Maria",
            family_name="Gonzalez",
            email="account@clinic.example",
        )
        await self.hear(who, person_id, person_id, version=version)
        account = directory.AccountState(
            person_id=PersonId(person_id),
            status=status,
        )
        await self.hear(account, person_id, person_id, version=version)
        return person_id

    async def approval(self, kind: type[approval.RequestEvent], request_id: str, **more: Any) -> None:
        """Let approval say something about a request."""
        row = next(row for row in await self.rows(tables.request) if str(row.id) == request_id)
        whole: dict[str, Any] = {
            "request_id": RequestId(row.id),
            "scope_id": row.scope_id,
            "community_id": row.community_id,
            "community_version": row.community_version,
            "kind": row.kind,
            "place_kind": row.place_kind,
            "place_id": row.place_id,
            "applicant_id": row.person_id or new_id(),
            "stage": 1,
            "round": 1,
            "version": 1,
        }
        moments = {
            name: datetime.now(UTC)
            for name in (
                "opened_at",
                "since_at",
                "escalated_at",
                "decided_at",
                "reopened_at",
                "expired_at",
                "closed_at",
                "expires_at",
                "reminded_at",
                "returned_at",
                "withdrawn_at",
                "refused_at",
            )
            if name in kind.model_fields
        }
        queue = {"role": "HELP_DESK", "place_kind": "community", "place_id": str(self.community.place_id)}
        more.setdefault("capacity", queue)
        more.setdefault("queue", queue)
        body = (
            whole | moments | {"decided_by": new_id(), "why": "overdue", "queues": [queue], "state": "pending"} | more
        )
        await self.hear(kind.model_validate(json.loads(json.dumps(body, default=str))), row.id, row.scope_id)

    async def grant(self, request_id: str, round_: int = 1) -> None:
        """Let the directory say that a request is granted."""
        row = next(row for row in await self.rows(tables.request) if str(row.id) == request_id)
        applied = directory.GrantApplied(
            request_id=row.id,
            round=round_,
            scope_id=row.scope_id,
            place_id=row.place_id,
            person_id=row.person_id,
            assignment_id=new_id(),
            account_issued=True,
            applied_at=datetime.now(UTC),
        )
        await self.hear(applied, row.id, row.scope_id)

    async def refuse_grant(self, request_id: str, round_: int = 1, reason: str = "cardinality_reached") -> None:
        """Let the directory say that it could not grant a request."""
        row = next(row for row in await self.rows(tables.request) if str(row.id) == request_id)
        refused = directory.GrantRefused(
            request_id=row.id, round=round_, scope_id=row.scope_id, reason=reason, refused_at=datetime.now(UTC)
        )
        await self.hear(refused, row.id, row.scope_id)

    # --- Preparation

    async def publish(self, it: Community) -> None:
        """Put a version of a community into the replica, as the current one."""
        async with self.db.begin() as tx:
            await tx.execute(update(community).where(community.c.id == it.id).values(current=False))
            await tx.execute(
                insert(community).values(
                    id=it.id,
                    version=it.version,
                    record_version=1,
                    current=True,
                    definition=it.model_dump(mode="json"),
                )
            )

    async def trust_tokens(self) -> None:
        """Put the key that verifies access tokens into the replica."""
        async with self.db.begin() as tx:
            await tx.execute(
                insert(token_key).values(
                    kid="k1",
                    version=1,
                    jwk=self.token_signer.as_dict(private=False),
                    not_before=datetime.now(UTC),
                    not_after=datetime.now(UTC) + timedelta(days=1),
                )
            )


def bearer(token: str | None) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"authorization": f"Bearer {token}"} if token else {}


async def someone_waits_for_a_lock(db: Database) -> None:
    """Return when a transaction of this database waits for another one."""
    async with db.begin() as tx:
        while not await tx.value(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        ):
            await tx.execute(text("SELECT pg_sleep(0.01)"))
            await tx.execute(text("SELECT pg_stat_clear_snapshot()"))


async def _never(seconds: float) -> None:
    raise AssertionError("the world is not at fault in this test")
