"""Approval and the directory, each on a database of its own, and between them nothing but records on their way."""

import tomllib
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import Table, insert

import shared
from services.approval import consumers as approval_consumers
from services.approval import domain
from services.approval import tables as approval_tables
from services.approval import usecases as approval
from services.directory import consumers as directory_consumers
from services.directory import tables as directory_tables
from services.directory import usecases as directory
from shared import envelope, outbox, relay, tables
from shared.contracts import approval as approval_said
from shared.contracts import directory as directory_said
from shared.contracts import registration
from shared.contracts.base import Event, State
from shared.contracts.community import Community
from shared.database import Database
from shared.delivery import Delivery
from shared.errors import Refusal
from shared.ids import AssignmentId, DocumentId, EntitlementId, PersonId, PlaceId, RequestId, ScopeId, new_id
from shared.testing.databases import Databases
from shared.testing.records import Record, record_of
from tests.directory import builders
from tests.histories.model import Model

BEGINNING = datetime(2026, 3, 2, 12, tzinfo=UTC)
SERVICES = ("approval", "directory")
_FILES = (
    Path(shared.__path__[0]) / "communities" / "provider-supplier.toml",
    Path(__file__).parents[1] / "journeys" / "communities" / "observatory.toml",
)
COMMUNITIES = {it.id: it for it in (Community.model_validate(tomllib.loads(path.read_text())) for path in _FILES)}
_BODIES: dict[str, type[Event] | type[State]] = {
    it.wire: it
    for said in (approval_said, directory_said)
    for it in vars(said).values()
    if isinstance(it, type) and issubclass(it, Event | State) and hasattr(it, "wire")
}
Lane = tuple[str, str, UUID]
"""Who hears, which topic, which scope: within these the order is kept, and nowhere else."""


@dataclass
class World:
    """Two services, what is on its way between them, one clock, and who is there."""

    dbs: dict[str, Database]
    model: Model = field(default_factory=lambda: Model(COMMUNITIES))
    lanes: dict[Lane, deque[Record]] = field(default_factory=dict)
    delivered: list[tuple[str, Record]] = field(default_factory=list)
    people: list[PersonId] = field(default_factory=list)
    user_ids: dict[PersonId, str] = field(default_factory=dict)
    """Of those whom operators appoint."""
    versions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COMMUNITIES, 1))
    heard: dict[UUID, tuple[int, directory_said.RoleAssignmentState]] = field(default_factory=dict)
    """What approval has been told of roles, whatever it has made of it."""
    now: datetime = BEGINNING
    is_touched: bool = True
    """Whether either service may have changed since somebody last looked."""
    _seen: set[UUID] = field(default_factory=set)
    _connections: dict[str, Any] = field(default_factory=dict)

    # --- Beginning and end

    def __post_init__(self) -> None:
        for db in self.dbs.values():
            db.clock = self.tick

    async def again(self, databases: Databases, maintenance: Any) -> "World":
        """Return a world that goes its own way from here, on copies of these databases: nobody may be using them."""
        dbs = {}
        for service, db in self.dbs.items():
            name = f"test_{service}_{new_id().hex}"
            await maintenance.execute(f'CREATE DATABASE "{name}" TEMPLATE "{db.url.database}"')
            dbs[service] = Database(databases.postgres.dsn(name), flush=outbox.flush, pool_size=1)
        return World(
            dbs,
            model=self.model.copy(),
            people=[*self.people],
            user_ids=dict(self.user_ids),
            heard=dict(self.heard),
            now=self.now,
            _seen=set(self._seen),
        )

    async def drop(self, maintenance: Any) -> None:
        """Give the databases' space back."""
        await self.let_go()
        for db in self.dbs.values():
            await maintenance.execute(f'DROP DATABASE "{db.url.database}" WITH (FORCE)')

    def tick(self) -> datetime:
        """Return the moment, which is later each time it is asked for."""
        self.now += timedelta(milliseconds=1)
        return self.now

    async def let_go(self) -> None:
        """Close every connection, and keep the databases."""
        for connection in self._connections.values():
            await connection.close()
        self._connections.clear()
        for db in self.dbs.values():
            await db.engine.dispose()

    # --- Records on their way

    async def take_up(self, service: str) -> None:
        """Put what a service has said onto its way, as the relay does, and let the model hear of it first."""
        self.is_touched = True
        connection = await self._connection(service)
        while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)"):
            order = await connection.fetchval("SELECT coalesce(max(sending_order), 0) FROM outbox")
            for row in await relay._numbered(connection, relay.BATCH) or (await relay._number(connection, order))[0]:
                self._send(Record(row["topic"], envelope.headers_of(row), row["body"].encode()), row["scope_id"])
                if row["id"] not in self._seen:
                    self._seen.add(row["id"])
                    self.model.hear(_BODIES[row["type"]].model_validate_json(row["body"]))
            await connection.execute(
                "UPDATE outbox SET sent_at = now() WHERE sent_at IS NULL AND sending_order IS NOT NULL"
            )

    async def _connection(self, service: str) -> Any:
        if service not in self._connections:
            self._connections[service] = await self.dbs[service].connect()
        return self._connections[service]

    def _send(self, record: Record, scope_id: UUID) -> None:
        for service in SERVICES:
            if record.topic in _handlers(service).topics:
                self.lanes.setdefault((service, record.topic, scope_id), deque()).append(record)

    def register(self, event: Event, subject: UUID, scope_id: UUID) -> None:
        """Let registration say something."""
        self._send(record_of(event, subject=subject, scope=scope_id), scope_id)

    async def deliver(self, lanes: Sequence[Lane], at_most: int = 10_000, *, again: Sequence[int] = ()) -> None:
        """Let each service hear what is next in some lanes, after some that it has heard before. Nothing is parked."""
        for service in SERVICES:
            old = [record.again() for to, record in (self.delivered[n] for n in again) if to == service]
            fresh: list[Record] = []
            for lane in lanes:
                waiting = self.lanes[lane] if lane[0] == service else deque[Record]()
                fresh += [waiting.popleft() for _ in range(min(at_most, len(waiting)))]
            if old or fresh:
                await Delivery(self.dbs[service], _handlers(service)).take(old + fresh, wait=_never)
                assert await self.rows(service, tables.parked) == []
                self.delivered += [(service, record) for record in fresh]
                self._note_heard(service, fresh)
                await self.take_up(service)

    def _note_heard(self, service: str, records: Sequence[Record]) -> None:
        for record in records if service == "approval" else ():
            about, value = envelope.read(record.headers, record.value)
            if about.type == directory_said.RoleAssignmentState.wire and value is not None:
                state = directory_said.RoleAssignmentState.model_validate_json(value)
                self.heard[state.assignment_id] = (about.entity_version or 0, state)

    @property
    def busy_lanes(self) -> list[Lane]:
        """The lanes in which something is on its way, in the order of their coming."""
        return [lane for lane, records in self.lanes.items() if records]

    async def deliver_all(self) -> None:
        """Let everything arrive, and what is said because of it."""
        while lanes := self.busy_lanes:
            await self.deliver(lanes)

    # --- What people do

    def file(
        self, community_id: str, kind: str, applicant_id: PersonId, scope_id: ScopeId, place_id: PlaceId, **more: Any
    ) -> registration.RequestSubmitted:
        """Let somebody file a request."""
        community = COMMUNITIES[community_id]
        wished = community.kind(kind)
        assert wished is not None
        it = registration.RequestSubmitted(
            request_id=RequestId(new_id()),
            tracking_number="T-1",
            community_id=community_id,
            community_version=self.versions[community_id],
            kind=kind,
            scope_id=scope_id,
            place_kind=community.place_kind(wished),
            place_id=place_id,
            applicant=registration.Applicant(
                person_id=applicant_id, given_name="Rosa", family_name="Delgado", email="rosa@applicants.example"
            ),
            documents_needed=tuple(need.code for need in wished.documents),
            submitted_at=self.now,
            **more,
        )
        self.model.filed[it.request_id] = it
        self.register(it, it.request_id, it.scope_id)
        return it

    def supply(self, it: registration.RequestSubmitted) -> None:
        """Let the applicant supply every document that is needed."""
        for code in it.documents_needed:
            document = registration.DocumentAdded(
                request_id=it.request_id,
                scope_id=it.scope_id,
                document_id=DocumentId(new_id()),
                document=code,
                media_type="application/pdf",
                sha256="0" * 64,
                size_bytes=1,
                added_at=self.now,
            )
            self.register(document, it.request_id, it.scope_id)

    async def decide(
        self, request_id: RequestId, by: PersonId, verdict: domain.Verdict, version: int, *, key: str | None = None
    ) -> str | dict[str, Any]:
        """Let somebody decide; return the answer, or the code of the refusal."""
        reasons = {domain.Verdict.DENY: "unknown_person", domain.Verdict.RETURN: domain.RETURN_REASONS[0]}
        order = domain.Order(verdict, reasons.get(verdict), version)
        answer: str | dict[str, Any] = await self._attempt(
            "approval", approval.decide_request, request_id, by, order, key=key, body_sha256=verdict.value.encode()
        )
        return answer

    async def end_role(self, assignment_id: AssignmentId, by: PersonId) -> Any:
        """Let somebody leave a role, or take it from its holder; return the code of the refusal, if it is refused."""
        return await self._attempt("directory", directory.end_role, assignment_id, by)

    async def end_entitlement(self, entitlement_id: EntitlementId, by: PersonId) -> Any:
        """Let somebody give an entitlement up, or take it from its holder."""
        return await self._attempt("directory", directory.end_entitlement, entitlement_id, by)

    async def close_organization(self, scope_id: ScopeId, by: PersonId) -> Any:
        """Let somebody close an organization."""
        return await self._attempt("directory", directory.close_organization, scope_id, by, confirm="XYZ Medical LLC")

    async def appoint(self, community_id: str, role: str, application: str | None = None) -> PersonId:
        """Let an operator appoint somebody new."""
        db = self.dbs["directory"]
        async with db.begin() as tx:
            user_id = await directory.appoint(
                tx,
                builders.KEYS,
                community_id=community_id,
                role_code=role,
                by="operator",
                application=application,
                given_name="Hedy",
                family_name="Desk",
                email=f"hedy-{len(self.user_ids)}@iacs.example",
            )
        (row,) = [row for row in await self.rows("directory", directory_tables.account) if row.user_id == user_id]
        self.user_ids[row.person_id] = user_id
        self.people.append(row.person_id)
        await self.take_up("directory")
        return PersonId(row.person_id)

    async def dismiss(self, community_id: str, role: str, person_id: PersonId) -> Any:
        """Let an operator dismiss somebody; return the code of the refusal, if it is refused."""
        who = {"community_id": community_id, "role_code": role, "user_id": self.user_ids[person_id], "by": "operator"}
        return await self._attempt("directory", directory.dismiss, **who)

    async def publish(self, community_id: str) -> None:
        """Let an operator publish the next version of a community, which says the same."""
        version = self.versions[community_id] + 1
        async with self.dbs["directory"].begin() as tx:
            changed = COMMUNITIES[community_id].model_copy(update={"version": version})
            assert await directory.apply_community(tx, changed, by="operator")
        self.versions[community_id] = version
        await self.take_up("directory")

    async def _attempt(self, service: str, usecase: Any, *arguments: Any, **named: Any) -> Any:
        answer: Any = None
        with suppress(Refusal):
            async with self.dbs[service].begin() as tx:
                try:
                    answer = await usecase(tx, *arguments, **named)
                except Refusal as refusal:
                    answer = refusal.code
                    raise
        await self.take_up(service)
        if isinstance(answer, Refusal):
            return answer.code
        return answer.body if isinstance(answer, approval.Answer) else answer

    # --- Time

    async def pass_time(self, passed: timedelta) -> None:
        """Let time pass; then all that watches the clock does its work until nothing is left of it."""
        self.now += passed
        chores: list[tuple[str, Any, bool]] = [
            ("approval", approval.route_unrouted, False),
            ("approval", approval.fire_timer, True),
            ("directory", directory.fire_timer, True),
            ("approval", approval.look_for_absence, False),
            ("approval", approval.name_overlooked, False),
        ]
        for service, chore, is_repeated in chores:
            for _ in range(200):
                async with self.dbs[service].begin() as tx:
                    done = await chore(tx)
                await self.take_up(service)
                if not (done and is_repeated):
                    break
            else:
                raise AssertionError(f"{chore.__name__} of {service} does not come to an end")

    # --- What stands there

    async def rows(self, service: str, table: Table) -> list[Any]:
        """Return all rows of a table."""
        found = await (await self._connection(service)).fetch(f'SELECT * FROM "{table.name}"')  # noqa: S608
        return [SimpleNamespace(**row) for row in found]

    async def requests(self) -> list[Any]:
        """Return approval's rows of all requests, in the order in which they were filed."""
        order = {request_id: number for number, request_id in enumerate(self.model.filed)}
        return sorted(await self.rows("approval", approval_tables.request), key=lambda row: order[row.id])

    async def trust_replica(self) -> None:
        """Let approval have read the directory's state to its end once."""
        async with self.dbs["approval"].begin() as tx:
            await tx.execute(insert(tables.replica).values(topic=directory_said.STATE_TOPIC, complete_at=tx.now))


_HANDLERS = {
    "approval": approval_consumers.handlers(),
    "directory": directory_consumers.handlers(builders.KEYS),
}


def _handlers(service: str) -> Any:
    return _HANDLERS[service]


async def _never(seconds: float) -> None:
    raise AssertionError("nothing is at fault here, so nothing is tried again")
