"""One directory to speak to: what it hears, what it is asked, and what it said."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx
from joserfc.jwk import ECKey
from sqlalchemy import select, text, update

from services.directory import consumers, passwords, store, tables, usecases
from services.directory.usecases import operators, states
from shared import secrets, tokens
from shared import tables as shared_tables
from shared.contracts import approval, directory, registration
from shared.contracts.base import Event
from shared.contracts.community import Community
from shared.database import Database
from shared.delivery import Delivery
from shared.ids import PersonId, PlaceId, new_id
from shared.tables import outbox, parked
from shared.testing.records import Record
from tests.directory import builders
from tests.directory.builders import (
    ADMINISTRATOR,
    COMMUNITY,
    HELP_DESK,
    KEYS,
    SECURITY_OFFICIAL,
    a_dossier,
    an_access,
    an_approval,
    role_of,
)

ORIGIN = "http://iacs.test"
PASSWORD = "plover anvil sextant mulch"
E = TypeVar("E", bound=Event)
_HANDLERS = consumers.handlers(KEYS)
_SIGNER = ECKey.generate_key("P-256", {"kid": str(new_id()), "use": "sig", "alg": tokens.ALGORITHM}).as_dict(
    private=True
)


@dataclass
class Desk:
    """The directory, with its database and its API. One person of the help desk is there."""

    db: Database
    http: httpx.AsyncClient
    help_desk: PersonId = field(default_factory=builders.new_person)
    _hashes: dict[str, str] = field(default_factory=dict)
    _tokens: dict[PersonId, str] = field(default_factory=dict)

    def wait(self, passed: timedelta) -> None:
        """Let domain time be later by this much."""
        before = self.db.clock
        self.db.clock = lambda: before() + passed

    def wait_really(self, passed: timedelta) -> None:
        """Let the real time be later by this much, which no demonstration moves."""
        before = self.db.real_clock
        self.db.real_clock = lambda: before() + passed

    @property
    def now(self) -> datetime:
        """Domain time."""
        return self.db.clock()

    # --- What it hears

    async def hear(self, *records: Record) -> None:
        """Let these records arrive in one batch, through the real delivery. Nothing may be parked."""
        await Delivery(self.db, _HANDLERS).take(records, wait=_never)
        assert [row.error for row in await self.rows(parked)] == []

    async def keep(
        self, it: registration.RequestSubmitted | registration.RequestResubmitted | approval.RequestApproved
    ) -> None:
        """Let a dossier, its correction or an approval come in."""
        async with self.db.begin() as tx:
            if isinstance(it, registration.RequestSubmitted):
                await usecases.keep_dossier(tx, KEYS, it)
            elif isinstance(it, registration.RequestResubmitted):
                await usecases.correct_dossier(tx, KEYS, it)
            else:
                await usecases.keep_approval(tx, KEYS, it)

    def approved(
        self,
        it: registration.RequestSubmitted,
        by: PersonId | None = None,
        role: str = HELP_DESK,
        place_id: Any = None,
        **more: Any,
    ) -> approval.RequestApproved:
        """Return the approval of a request, now; by the help desk unless somebody is named."""
        place = place_id or (COMMUNITY.place_id if role == HELP_DESK else PlaceId(it.scope_id))
        whole: dict[str, Any] = {"decided_at": self.now, "revision": it.revision, "application": it.application}
        return an_approval(it, by or self.help_desk, role, place, **(whole | more))

    async def grant(self, it: registration.RequestSubmitted, *approver: Any) -> registration.RequestSubmitted:
        """Let a request come in and be approved."""
        await self.keep(it)
        await self.keep(self.approved(it, *approver))
        assert (await self.case(it)).outcome == "applied", await self.refusals(it)
        return it

    async def organization(self, name: str = "XYZ Medical Group LLC", **changes: Any) -> registration.RequestSubmitted:
        """Return the granted request for an organization; its applicant is the Security Official."""
        data = builders.an_organization(name, **changes.pop("data", {}))
        return await self.grant(a_dossier(organization=data, **changes))

    async def group(self, organization: registration.RequestSubmitted, **changes: Any) -> registration.RequestSubmitted:
        """Return the granted request for a group; its applicant is the administrator."""
        it = a_dossier("create_provider_group", scope_id=organization.scope_id, **changes)
        return await self.grant(it, organization.applicant.person_id, SECURITY_OFFICIAL)

    async def joined(
        self, organization: registration.RequestSubmitted, group: registration.RequestSubmitted, **changes: Any
    ) -> registration.RequestSubmitted:
        """Return the granted request to join a group; its applicant is an end user."""
        it = a_dossier("join_group", scope_id=organization.scope_id, place_id=group.place_id, **changes)
        return await self.grant(it, group.applicant.person_id, ADMINISTRATOR, group.place_id)

    async def backup(self, organization: registration.RequestSubmitted) -> registration.RequestSubmitted:
        """Return the granted request of a Backup Security Official."""
        it = a_dossier("become_backup_security_official", scope_id=organization.scope_id)
        return await self.grant(it, organization.applicant.person_id, SECURITY_OFFICIAL)

    async def entitled(
        self,
        holder: registration.RequestSubmitted,
        by: PersonId,
        role: str = SECURITY_OFFICIAL,
        place_id: Any = None,
        **changes: Any,
    ) -> registration.RequestSubmitted:
        """Return the granted request for an application, which rests on the role that `holder`'s request gave."""
        return await self.grant(an_access(holder, **changes), by, role, place_id)

    async def practitioner(self, **changes: Any) -> registration.RequestSubmitted:
        """Return the granted request for a practitioner record; its applicant is the practitioner."""
        return await self.grant(a_dossier("register_practitioner", **changes))

    # --- What it is asked, by somebody who is signed in

    async def end(self, it: registration.RequestSubmitted, by: PersonId) -> None:
        """Leave or take the role that a request gave."""
        async with self.db.begin() as tx:
            await usecases.end_role(tx, role_of(it), by)

    async def fire(self, times: int = 1) -> int:
        """Fire so many timers, if they are due; return how many were."""
        fired = 0
        for _ in range(times):
            async with self.db.begin() as tx:
                fired += await usecases.fire_timer(tx)
        return fired

    async def headers(self, person_id: PersonId) -> dict[str, str]:
        """Return the headers of a call by a person, who signs in for it."""
        if person_id not in self._tokens:
            answer = await self.sign_in(await self.with_password(person_id))
            self._tokens[person_id] = answer.json()["access_token"]
        return {"authorization": f"Bearer {self._tokens[person_id]}"}

    async def end_role(self, it: registration.RequestSubmitted, *, at: datetime | None = None) -> None:
        """End the role that a request gave."""
        held = tables.role_assignment
        async with self.db.begin() as tx:
            await tx.execute(
                update(held)
                .where(held.c.request_id == it.request_id)
                .values(status="ended", effective_until=at or tx.now, version=held.c.version + 1)
            )

    async def put(self, table: Any, status: str, **which: Any) -> None:
        """Put places into a state without anything being said; all of them, or those of these columns."""
        until = {"suspended": "entitlements_end_at", "without_administrator": "closes_at"}.get(status)
        ends = {name: None for name in ("entitlements_end_at", "closes_at") if name in table.c}
        columns = {"status": status, **ends, **({until: self.now + timedelta(days=30)} if until else {})}
        async with self.db.begin() as tx:
            await tx.execute(update(table).where(*[table.c[n] == v for n, v in which.items()]).values(columns))

    # --- What stands there, and what was said

    async def rows(self, table: Any) -> list[Any]:
        """Return all rows of a table."""
        async with self.db.begin() as tx:
            return list(await tx.rows(select(table)))

    async def case(self, it: registration.RequestSubmitted) -> Any:
        """Return what is kept of a request."""
        (row,) = [row for row in await self.rows(tables.grant_case) if row.request_id == it.request_id]
        return row

    async def said(self) -> list[tuple[str, str]]:
        """Return what was said, in order: the type without its ends, and the subject."""
        async with self.db.begin() as tx:
            rows = await tx.rows(select(outbox.c.type, outbox.c.subject).order_by(outbox.c.position))
        return [(row.type.removeprefix("iacs.directory.").removesuffix(".v1"), row.subject) for row in rows]

    async def announced(self, event: type[E]) -> list[E]:
        """Return the events of one type, in order."""
        async with self.db.begin() as tx:
            rows = await tx.rows(select(outbox.c.body).where(outbox.c.type == event.wire).order_by(outbox.c.position))
        return [event.model_validate_json(row.body) for row in rows]

    async def states(self, state: Any) -> list[tuple[int, Any]]:
        """Return the states of one type with their versions, in order."""
        async with self.db.begin() as tx:
            rows = await tx.rows(
                select(outbox.c.body, outbox.c.entity_version)
                .where(outbox.c.type == state.wire)
                .order_by(outbox.c.position)
            )
        return [(row.entity_version, state.model_validate_json(row.body)) for row in rows]

    async def refusals(self, it: registration.RequestSubmitted) -> list[tuple[int, str]]:
        """Return the refusals of a grant: round and reason."""
        found = await self.announced(directory.GrantRefused)
        return [(event.round, event.reason) for event in found if event.request_id == it.request_id]

    async def forget(self) -> None:
        """Empty the outbox, so that a test sees what comes from now on."""
        await self.sql("TRUNCATE outbox")

    async def dump(self) -> str:
        """Return all that the database holds, as one text."""
        tables_ = [*tables.metadata.sorted_tables, *shared_tables.metadata.sorted_tables]
        return "\n".join([str(tuple(row)) for table in tables_ for row in await self.rows(table)])

    async def sql(self, statement: str) -> None:
        """Run a statement as an operator's psql would."""
        async with self.db.begin() as tx:
            await tx.execute(text(statement))

    # --- Accounts

    async def account(self, person_id: PersonId) -> Any:
        """Return the row of a person's account."""
        (row,) = [row for row in await self.rows(tables.account) if row.person_id == person_id]
        return row

    async def person_named(self, given_name: str) -> PersonId:
        """Return the only person of a given name."""
        (row,) = [row for row in await self.rows(tables.person) if row.given_name == given_name]
        return PersonId(row.id)

    async def link(self, person_id: PersonId) -> str:
        """Return the token of the newest set-password link that a person was sent."""
        sent: list[directory.AccountIssued | directory.PasswordLinkAsked] = [
            *await self.announced(directory.AccountIssued),
            *await self.announced(directory.PasswordLinkAsked),
        ]
        return secrets.unseal(
            builders.NOTIFICATION_KEY, [it.link_sealed for it in sent if it.person_id == person_id][-1]
        )

    async def with_password(self, person_id: PersonId, password: str = PASSWORD) -> str:
        """Set a person's password by their link; return the user ID."""
        if password not in self._hashes:
            self._hashes[password] = passwords.hashed(password)
        token = await self.link(person_id)
        async with self.db.begin() as tx:
            assert await usecases.set_password(tx, token, self._hashes[password])
        return str((await self.account(person_id)).user_id)

    async def fail(self, person_id: PersonId, times: int = 10) -> None:
        """Try so many wrong passwords of a person."""
        for _ in range(times):
            async with self.db.begin() as tx:
                assert await usecases.sign_in(tx, person_id, None) is None

    async def sign_in(self, user_id: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in."""
        self.http.cookies.clear()
        body = {"user_id": user_id, "password": password}
        return await self.http.post("/directory/v1/sessions", json=body)

    # --- Preparation

    async def prepare(self) -> None:
        """Publish the community, appoint one person of the help desk, make a signing key."""
        async with self.db.begin() as tx:
            await usecases.apply_community(tx, COMMUNITY, by="operator")
            user_id = await self.appoint(tx)
            # The same key for every test: the application on a borrowed database remembers it for minutes.
            row = await store.add_signing_key(
                tx,
                private_locked=KEYS.vault.lock(str(_SIGNER["d"]), bound_to=f"signing_key {_SIGNER['kid']}"),
                kid=_SIGNER["kid"],
                jwk={name: value for name, value in _SIGNER.items() if name != "d"},
                not_before=tx.real_now,
                not_after=tx.real_now + operators.SIGNING_KEY_LIVES,
            )
            states.publish(tx, "token_key", row._mapping)
        async with self.db.begin() as tx:
            found = await store.find_account(tx, user_id)
        assert found is not None
        self.help_desk = found.person_id

    async def appoint(self, tx: Any, **changes: str) -> str:
        """Appoint a person, of the help desk unless another role is named; return the user ID."""
        whole = {
            "community_id": COMMUNITY.id,
            "role_code": HELP_DESK,
            "given_name": "Hedy",
            "family_name": "Desk",
            "email": "hedy@iacs.example",
            "by": "operator",
        }
        return await usecases.appoint(tx, KEYS, **(whole | changes))

    async def publish(self, community: Community) -> None:
        """Publish a community."""
        async with self.db.begin() as tx:
            assert await usecases.apply_community(tx, community, by="operator")


async def _never(seconds: float) -> None:
    raise AssertionError("the world is not at fault in this test")
