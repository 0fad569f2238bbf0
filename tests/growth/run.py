"""Months pass over the product while people work; what is left in its tables must be what is meant to be kept.

Most of what is forgotten goes by the domain's clock, which is moved. What answers to Kafka (receipts, the inbox, parked
records) goes by real time, as Kafka's own retention does: those rows are made older by hand, as far as the clock moves.
"""

import asyncio
import importlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiokafka import TopicPartition
from rich.console import Console

from services.directory.settings import DirectorySettings
from services.story import Story
from services.story.acts import Acts, Organization
from services.story.telling import Person, bearer
from shared import clock, deployment, settings, topics
from shared.delivery import Handlers
from shared.testing.product import Product

Ends = Mapping[TopicPartition, int]

MONTH = timedelta(days=30)
STEPS_A_MONTH = 3
_REAL_TIME = {"outbox": "sent_at", "inbox": "seen_at", "parked": "resolved_at"}
"""What is forgotten by real time: table and column. By Kafka's retention, which no demonstration moves."""


@dataclass(frozen=True)
class Kept:
    """How long rows of a table are kept, counted from when."""

    service: str
    table: str
    since: str
    days: int
    where: str = "true"

    @property
    def too_old(self) -> str:
        """Return the condition of rows that must be gone at the moment $1; those of the last hour may wait."""
        return f"({self.since}) < $1::timestamptz - interval '{self.days} days 1 hour' AND {self.where}"


_DISCARD = """
    UPDATE parked SET state = 'discarded', resolved_by = 'growth', resolved_at = now() WHERE resolved_at IS NULL
"""
_INBOX_KEPT = timedelta(days=395)
_POISONED = "iacs.registration.v1"
KEPT = (
    *(Kept(service, "outbox", "sent_at", 7) for service in deployment.SERVICES),
    *(Kept(service, "inbox", "seen_at", 395) for service in deployment.SERVICES),
    *(Kept(service, "parked", "resolved_at", 395) for service in deployment.SERVICES),
    Kept("registration", "email_code", "expires_at", 0),
    Kept("registration", "counted_act", "at", 1),
    Kept("registration", "filing_key", "ends_at", 0),
    Kept("registration", "invitation", "expires_at", 90),
    Kept("registration", "request", "filed_at", 14, "state = 'awaiting_email_proof'"),
    Kept(
        "registration",
        "identity",
        "(SELECT r.since_at FROM request r WHERE r.id = request_id)",
        90,
        "(SELECT r.state FROM request r WHERE r.id = request_id) IN ('denied', 'expired', 'withdrawn', 'closed')",
    ),
    Kept("approval", "named", "(SELECT r.ended_at FROM request r WHERE r.id = request_id)", 30),
    Kept("approval", "timer", "due_at", 0),
    Kept("directory", "session", "ended_at", 1),
    Kept("directory", "password_link", "expires_at", 1),
    Kept("directory", "failed_sign_in", "at", 1),
    Kept("notification", "notice", "ended_at", 400),
    Kept("notification", "notice", "ended_at", 30, "text IS NOT NULL"),
    Kept("notification", "request", "ended_at", 400),
    Kept("notification", "request", "ended_at", 90, "email IS NOT NULL"),
    Kept("notification", "request", "heard_at", 400, "tracking_number IS NULL"),
)


@dataclass(frozen=True)
class Month:
    """What lay in the tables at the end of one month, after all chores were done."""

    rows: Mapping[str, int]
    """By service and table."""
    said: Ends
    """How many records lay on each partition when the month's rows were made older."""
    said_since: Ends
    """And when the rows were counted."""


@dataclass
class Growth:
    """The product, the people in it, and the months that have passed."""

    product: Product
    story: Story
    helper: Person
    organization: Organization
    administrator: Person
    group_id: str
    months: list[Month] = field(default_factory=list)

    def pass_month(self) -> Month:
        """Let people work, let a month pass in steps, let the services forget, and count."""
        for _ in range(STEPS_A_MONTH):
            self._work()
            self.product.wait_quiet()
            self.story.pass_time(MONTH / STEPS_A_MONTH)
        self.product.send(_POISONED, [(b"{", [("ce_specversion", b"1.0")])])
        self.product.wait_quiet()
        said = asyncio.run(self.product.ends())
        asyncio.run(self._age())
        for service in deployment.SERVICES:
            self.product.kill(service)  # What is done each hour is also done at each start.
        self.product.wait_ready()
        self.product.wait_quiet()
        self.months.append(Month(asyncio.run(self._counts()), said, asyncio.run(self.product.ends())))
        return self.months[-1]

    def _work(self) -> None:
        """A member joins and leaves, one is denied, one is never answered, and somebody only begins."""
        do = self.story.do
        about = {"organization_id": self.organization.id, "group_id": self.group_id}
        for who in (self.administrator, self.helper):
            do.sign_in(who)
        member, stranger, forgotten, draft = (do.tell.person() for _ in range(4))
        filed = do.ask(member, "joins", "join_group", **about)
        do.decide(self.administrator, filed, "is approved")
        do.come_in(member)
        role = do.role_of(member, "END_USER")["id"]
        do.tell.ok(do.http.delete(f"/directory/v1/role-assignments/{role}", headers=bearer(member.token)))
        filed = do.ask(stranger, "asks", "join_group", **about)
        do.decide(self.administrator, filed, "is denied", verdict="deny", reason="unknown_person")
        do.ask(forgotten, "is never answered", "join_group", **about)
        do.file(draft, "join_group", **about)

    @property
    def now(self) -> datetime:
        """Domain time."""
        assert self.story.settings.clock_file is not None
        return clock.shifted_clock(self.story.settings.clock_file)()

    async def _age(self) -> None:
        for service in deployment.SERVICES:
            await self.product.query(service, _DISCARD)
            for table, column in _REAL_TIME.items():
                older = f"UPDATE {table} SET {column} = {column} - $1::interval"  # noqa: S608 - names of ours.
                await self.product.query(service, older, MONTH)

    async def _counts(self) -> dict[str, int]:
        names = "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        found: dict[str, int] = {}
        for service in deployment.SERVICES:
            for row in await self.product.query(service, names):
                counting = f'SELECT count(*) AS n FROM "{row["name"]}"'  # noqa: S608 - a name of ours.
                count = await self.product.query(service, counting)
                found[f"{service}.{row['name']}"] = count[0]["n"]
        return found

    def faults(self) -> Iterator[str]:
        """Return what lies there longer than it is meant to, and where it is not exactly what was said and heard."""
        yield from self._too_old()
        last = self.months[-1]
        forgotten = [month.said for n, month in enumerate(self.months) if (len(self.months) - n) * MONTH > _INBOX_KEPT]
        gone: Ends = forgotten[-1] if forgotten else {}
        # As long as they are kept, by type; poison has none, and lies on every partition once a month.
        heard = [
            it for it in self.product.records() if it.offset >= gone.get(TopicPartition(it.topic, it.partition), 0)
        ]
        types = Counter(dict(it.headers).get("ce_type", b"").decode() for it in heard)
        bad = types.pop("")
        for service in deployment.SERVICES:
            own = [place for place in last.said if topics.BY_NAME[place.topic].owner == service]
            handlers = _handlers(service, self.product)
            expected = {
                "outbox": sum(last.said_since[place] - last.said[place] for place in own),
                "inbox": sum(types[wire] for wire in handlers.event_types),
                "parked": bad if _POISONED in handlers.topics else 0,
            }
            for table, count in expected.items():
                if last.rows[f"{service}.{table}"] != count:
                    yield f"{service}.{table}: {last.rows[f'{service}.{table}']} rows, {count} are explained"

    def _too_old(self) -> Iterator[str]:
        for kept in KEPT:
            real = kept.table in _REAL_TIME
            moment = datetime.now(self.now.tzinfo) if real else self.now
            counting = f"SELECT count(*) AS n FROM {kept.table} WHERE {kept.too_old}"  # noqa: S608 - names of ours.
            rows = self.product.rows(kept.service, counting, moment)
            if rows[0]["n"]:
                yield f"{kept.service}.{kept.table}: {rows[0]['n']} rows older than {kept.days} days ({kept.where})"


def _handlers(service: str, product: Product) -> Handlers:
    assembly = importlib.import_module(f"services.{service}.assembly")
    found: Handlers = assembly.handlers(settings.load(assembly.SETTINGS, dict(product.told)))
    return found


def begin(product: Product) -> Growth:
    """Return the product with the people of the story, before any month has passed."""
    told = settings.load(DirectorySettings, dict(product.told))
    story = Story(Acts(product.origin, Console(quiet=True)), told)
    helper = story.the_help_desk_opens()
    organization = story.an_organization_registers(helper, "XYZ Medical Group")
    administrator, group_id = story.a_group_is_created(organization)
    return Growth(product, story, helper, organization, administrator, group_id)
