"""One approval service to speak to: what it hears, what it is asked, and what it said."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Literal, TypeVar
from uuid import UUID

import httpx
from joserfc.jwk import ECKey
from sqlalchemy import insert, select, text

from services.approval import consumers, domain, store, tables, usecases
from services.approval.domain import Verdict
from shared import tokens
from shared.contracts import approval, directory, registration
from shared.contracts.base import Event, State
from shared.contracts.community import Community
from shared.database import Database
from shared.delivery import Delivery
from shared.errors import Refusal
from shared.ids import (
    AssignmentId,
    DocumentId,
    EntitlementId,
    PersonId,
    PlaceId,
    RequestId,
    ScopeId,
    community_place,
    new_id,
)
from shared.tables import outbox, parked, token_key
from shared.testing.records import Record, record_of
from tests.approval import builders

ORIGIN = "http://iacs.test"
ISSUED = tokens.Issued(f"{ORIGIN}/directory", ORIGIN)
E = TypeVar("E", bound=Event)
_HANDLERS = consumers.handlers()
Account = Literal["invited", "active", "locked", "disabled", "closed"]


def record(body: Event | State, subject: UUID | str, scope: UUID, *, version: int | None = None) -> Record:
    """Return the record that the relay would send for `body`."""
    return record_of(body, subject=subject, scope=scope, entity_version=version)


@dataclass(frozen=True)
class Place:
    """An active organization with one active group."""

    id: ScopeId
    group_id: PlaceId


@dataclass
class Desk:
    """Approval, with its database, its API and whoever calls it."""

    db: Database
    http: httpx.AsyncClient
    signer: ECKey
    _versions: dict[UUID, int] = field(default_factory=dict)

    def wait(self, passed: timedelta) -> None:
        """Let domain time be later by this much."""
        before = self.db.clock
        self.db.clock = lambda: before() + passed

    # --- What it hears

    async def hear(self, *records: Record) -> None:
        """Let these records arrive in one batch, through the real delivery. Nothing may be parked."""
        await Delivery(self.db, _HANDLERS).take(records, wait=_never)
        assert [row.error for row in await self.rows(parked)] == []

    async def publish(self, community: Community) -> None:
        """Let the directory publish a community."""
        state = directory.CommunityState(
            community_id=community.id,
            version=community.version,
            current=True,
            definition=community.model_dump(mode="json"),
        )
        place = community_place(community.id)
        await self.hear(record(state, f"{community.id}@{community.version}", place, version=1))

    async def place(
        self, *, status: Any = "active", name: str = "XYZ Medical LLC", group_status: Any = "active"
    ) -> Place:
        """Let the directory tell of an organization with a group."""
        it = Place(ScopeId(new_id()), PlaceId(new_id()))
        await self.hear(self.organization(it, status=status, name=name), self.group(it, status=group_status))
        return it

    async def practice(self) -> ScopeId:
        """Let the directory tell of an active practitioner record."""
        it = ScopeId(new_id())
        state = directory.PractitionerState(
            practitioner_id=it,
            community_id="provider-supplier",
            status="active",
            duplicate_key=str(it),
            state="MD",
            effective_from=builders.NOON,
        )
        await self.hear(record(state, it, it, version=self._next(it)))
        return it

    async def entitle(self, person_id: PersonId, resting_id: UUID, scope_id: ScopeId, application: str) -> None:
        """Let the directory tell of an entitlement."""
        it = EntitlementId(new_id())
        state = directory.EntitlementState(
            entitlement_id=it,
            person_id=person_id,
            application=application,
            assignment_id=AssignmentId(resting_id),
            role="END_USER",
            scope_id=scope_id,
            community_id="provider-supplier",
            status="active",
            effective_from=builders.NOON,
        )
        await self.hear(record(state, it, scope_id, version=1))

    async def close_organization(self, place: Place) -> None:
        """Let the directory tell that an organization has ended."""
        closed = directory.OrganizationClosed(
            organization_id=place.id, community_id="provider-supplier", closed_at=builders.NOON
        )
        await self.hear(record(closed, place.id, place.id))

    def organization(self, place: Place, *, status: Any = "active", name: str = "XYZ Medical LLC") -> Record:
        """Return the record that tells of a place's organization."""
        organization = directory.OrganizationState(
            organization_id=place.id,
            community_id="provider-supplier",
            status=status,
            legal_business_name=name,
            city="Baltimore",
            state="MD",
            duplicate_key=str(place.id),
            effective_from=builders.NOON,
        )
        return record(organization, place.id, place.id, version=self._next(place.id))

    def group(self, place: Place, *, status: Any = "active") -> Record:
        """Return the record that tells of a place's group."""
        group = directory.GroupState(
            group_id=place.group_id,
            organization_id=place.id,
            community_id="provider-supplier",
            status=status,
            group_kind="provider",
            name="Billing",
            normalised_name="billing",
            effective_from=builders.NOON,
        )
        return record(group, place.group_id, place.id, version=self._next(place.group_id))

    async def holder(
        self, role: str, place_id: UUID, scope_id: UUID | None = None, *, account: Account = "active"
    ) -> PersonId:
        """Let the directory tell of a new person who holds a role; return the person."""
        person_id = builders.new_person()
        await self.hear(self.account(person_id, account), self.assignment(person_id, role, place_id, scope_id))
        return person_id

    def account(self, person_id: PersonId, status: Account = "active") -> Record:
        """Return the record that tells how an account is."""
        state = directory.AccountState(person_id=person_id, status=status)
        return record(state, person_id, person_id, version=self._next(person_id))

    def assignment_id(self, person_id: PersonId, role: str, place_id: UUID) -> AssignmentId:
        """Return the id that a person's role in a place has in these tests."""
        return AssignmentId(UUID(int=(person_id.int ^ place_id.int) + sum(role.encode())))

    def assignment(
        self,
        person_id: PersonId,
        role: str,
        place_id: UUID,
        scope_id: UUID | None = None,
        *,
        status: Literal["active", "ended", "lapsed", "revoked"] = "active",
    ) -> Record:
        """Return the record that tells of one role of one person; a later one of the same role follows it."""
        assignment_id = self.assignment_id(person_id, role, place_id)
        state = directory.RoleAssignmentState(
            assignment_id=assignment_id,
            person_id=person_id,
            role=role,
            place_kind="organization",
            place_id=PlaceId(place_id),
            scope_id=ScopeId(scope_id or place_id),
            community_id="provider-supplier",
            status=status,
            effective_from=builders.NOON,
        )
        return record(state, assignment_id, scope_id or place_id, version=self._next(assignment_id))

    def _next(self, entity: UUID) -> int:
        self._versions[entity] = self._versions.get(entity, 0) + 1
        return self._versions[entity]

    async def submit(self, it: registration.RequestSubmitted | None = None, **changes: Any) -> RequestId:
        """Let a request be opened; return its id."""
        it = it or builders.a_submission(**changes)
        async with self.db.begin() as tx:
            await usecases.open_request(tx, it)
        return it.request_id

    async def document(self, request_id: RequestId, code: str = "irs_letter", document_id: UUID | None = None) -> None:
        """Let a document be received."""
        async with self.db.begin() as tx:
            await usecases.add_document(tx, request_id, DocumentId(document_id or new_id()), code, actor="registration")

    async def grant(self, request_id: RequestId, round_: int = 1) -> None:
        """Let the directory say that a request is granted."""
        it = await self.request(request_id)
        applied = directory.GrantApplied(
            request_id=request_id,
            round=round_,
            scope_id=it.scope_id,
            place_id=it.place_id,
            person_id=it.applicant_id,
            assignment_id=AssignmentId(new_id()),
            account_issued=True,
            applied_at=builders.NOON,
        )
        await self.hear(record(applied, request_id, it.scope_id))

    async def refuse(
        self, request_id: RequestId, reason: str = "cardinality_reached", round_: int = 1, stage: int | None = None
    ) -> None:
        """Let the directory say that it could not grant a request."""
        it = await self.request(request_id)
        refused = directory.GrantRefused(
            request_id=request_id,
            round=round_,
            scope_id=it.scope_id,
            reason=reason,
            stage=stage,
            refused_at=builders.NOON,
        )
        await self.hear(record(refused, request_id, it.scope_id))

    # --- What it is asked

    async def decide(
        self,
        request_id: RequestId,
        by: PersonId,
        verdict: Verdict = Verdict.APPROVE,
        *,
        version: int | None = None,
        key: str | None = None,
        body: str = "the body",
    ) -> usecases.Answer:
        """Decide on the version that stands there, as the edge does. Raises what is refused."""
        if version is None:
            version = (await self.request(request_id)).version
        async with self.db.begin() as tx:
            answer = await usecases.decide_request(
                tx, request_id, by, an_order(verdict, version), key=key, body_sha256=body.encode()
            )
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def look(self, *, after: timedelta = timedelta(seconds=26)) -> None:
        """Let time pass and look for absence once."""
        self.wait(after)
        async with self.db.begin() as tx:
            await usecases.look_for_absence(tx)

    async def ring(self) -> int:
        """Fire all timers that are due; return how many."""
        for fired in count():
            async with self.db.begin() as tx:
                if not await usecases.fire_timer(tx):
                    return fired
        raise AssertionError

    async def queue(self, person_id: PersonId) -> list[RequestId]:
        """Return the requests in a person's queue."""
        async with self.db.begin() as tx:
            return [row.id for row in await store.list_queue_of(tx, person_id, after=None, limit=100)]

    # --- What stands there, and what was said

    async def rows(self, table: Any) -> list[Any]:
        """Return all rows of a table."""
        async with self.db.begin() as tx:
            return list(await tx.rows(select(table)))

    async def request(self, request_id: RequestId) -> Any:
        """Return the row of a request."""
        async with self.db.begin() as tx:
            row = await tx.one(select(tables.request).where(tables.request.c.id == request_id))
        assert row is not None
        return row

    async def open_queues(self, request_id: RequestId) -> list[str]:
        """Return the roles in whose queue a request is, in the order of their coming."""
        async with self.db.begin() as tx:
            it = await store.lock_request(tx, request_id)
            assert it is not None
            return [queue.role for queue in await store.list_queues(tx, request_id, it.stage)]

    async def timers(self, request_id: RequestId) -> dict[str, datetime]:
        """Return the timers of a request."""
        return {row.kind: row.due_at for row in await self.rows(tables.timer) if row.request_id == request_id}

    async def said(self, request_id: RequestId) -> list[str]:
        """Return what was said of a request, in order, by the last word of its type."""
        async with self.db.begin() as tx:
            rows = await tx.rows(
                select(outbox.c.type).where(outbox.c.subject == str(request_id)).order_by(outbox.c.position)
            )
        return [row.type.removeprefix("iacs.approval.request.").removesuffix(".v1") for row in rows]

    async def announced(self, event: type[E], request_id: RequestId) -> list[E]:
        """Return the events of one type about a request, in order."""
        async with self.db.begin() as tx:
            rows = await tx.rows(
                select(outbox.c.body)
                .where(outbox.c.subject == str(request_id), outbox.c.type == event.wire)
                .order_by(outbox.c.position)
            )
        return [event.model_validate_json(row.body) for row in rows]

    async def named(self, request_id: RequestId) -> list[list[PersonId]]:
        """Return whom each announcement of an awaited decision names."""
        return [list(it.approver_ids) for it in await self.announced(approval.RequestAwaitingDecision, request_id)]

    # --- Who calls

    async def trust_tokens(self) -> None:
        """Put the key that verifies access tokens into the replica."""
        async with self.db.begin() as tx:
            await tx.execute(
                insert(token_key).values(
                    kid="k1",
                    version=1,
                    jwk=self.signer.as_dict(private=False),
                    not_before=builders.NOON,
                    not_after=builders.NOON + timedelta(days=9999),
                )
            )

    def token(self, person_id: PersonId) -> dict[str, str]:
        """Return the header by which a person calls."""
        now = int(time.time())
        caller = tokens.Caller(person_id, new_id(), now)
        token = tokens.mint(self.signer, "k1", ISSUED, caller, token_id=new_id(), now=now)
        return {"authorization": f"Bearer {token}"}

    async def sql(self, statement: str) -> None:
        """Run a statement as an operator's psql would."""
        async with self.db.begin() as tx:
            await tx.execute(text(statement))


def an_order(verdict: Verdict, version: int | None) -> domain.Order:
    """Return an approver's order; a denial has a reason."""
    return domain.Order(verdict, "unknown_person" if verdict is Verdict.DENY else None, version)


async def _never(seconds: float) -> None:
    raise AssertionError("the world is not at fault in this test")
