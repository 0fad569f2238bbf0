"""What is there once all is quiet: rows, records, mails, and what callers were promised."""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx

from shared import deployment, topics
from shared.platform import supervisor
from shared.testing.product import Product, Record
from shared.testing.torture.calls import Book, Call
from shared.testing.torture.troubles import POISON_KEY, Bully

Row = Mapping[str, Any]

_PATIENCE_SECONDS = 300.0
_LOST = re.compile(r"record_count\W+(\d+)")
_ENDED = re.compile(r"(\w+) ended with \S+ and is started again$", re.MULTILINE)
_UNBORN = re.compile(r"(\w+) could not be started:")
_ROWS = {
    "requests": ("registration", "SELECT id::text, kind, state, person_id, submitted_event_id::text FROM request"),
    "asked": ("approval", "SELECT id::text, state, round, refusal FROM request"),
    "decisions": ("approval", "SELECT request_id::text, verdict, idempotency_key FROM decision"),
    "unattended": (
        "approval",
        """
        SELECT id::text, state FROM request AS r WHERE ended_at IS NULL
        AND NOT EXISTS (SELECT FROM queue WHERE request_id = r.id AND open)
        AND NOT EXISTS (SELECT FROM timer WHERE request_id = r.id AND due_at IS NOT NULL)
        """,
    ),
    "cases": ("directory", "SELECT request_id::text, outcome, dossier IS NULL AS is_dropped FROM grant_case"),
    "roles": ("directory", "SELECT id::text, request_id::text, status, version, person_id FROM role_assignment"),
    "entitlements": (
        "directory",
        "SELECT id::text, request_id::text, assignment_id::text, status, version FROM entitlement",
    ),
    "notices": (
        "notification",
        "SELECT id::text, name, request_id::text, state, message_id, attempt_count FROM notice",
    ),
    "attempts": ("notification", "SELECT notice_id::text, number, outcome FROM attempt"),
    "approvals_roles": ("approval", "SELECT id::text, version, status FROM assignment"),
    "notifications_roles": ("notification", "SELECT id::text, version, status FROM assignment"),
}


@dataclass(repr=False)  # A failure that prints all of it says nothing.
class Evidence:
    """All that is judged."""

    book: Book
    bully: Bully
    unfinished: list[str]
    """Acts of people that did not come to their end, and why."""
    records: list[Record]
    mails: list[dict[str, Any]]
    rows: dict[str, list[Row]]
    outbox: dict[str, list[Row]]
    parked: dict[str, list[Row]]
    hears: dict[str, set[str]]
    """Which topics each service reads."""
    audit: dict[str, list[Row]]
    lost_count: int
    """Records that a log had lost, as the relays say that sent them again."""
    deaths: Mapping[str, int]
    """How often each process ended after it had come up, as the supervisor says that started it again."""

    def promises(self, method: str, ending: str) -> list[Call]:
        """Return what was accepted by calls whose path ends so."""
        return [it for it in self.book.calls if it.is_promise and it.method == method and it.path.endswith(ending)]

    @cached_property
    def good(self) -> list[Record]:
        """The records that are ours."""
        return [it for it in self.records if it.key != POISON_KEY]

    @cached_property
    def copies(self) -> Mapping[tuple[str, str], list[Record]]:
        """Our records by topic and event id: more than one where it was sent again."""
        found: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for it in self.good:
            found[it.topic, it.about.id].append(it)
        return found

    def subjects(self, wire: str) -> list[str]:
        """Return what the events of one type are about, each event once."""
        return [same[0].about.subject for same in self.copies.values() if same[0].about.type == wire]

    @cached_property
    def ended_ids(self) -> set[str]:
        """The role assignments that somebody left or took away."""
        return {it.path.rpartition("/")[2] for it in self.promises("DELETE", "") if "/role-assignments/" in it.path}


def gather(product: Product, book: Book, bully: Bully, unfinished: Iterable[str]) -> Evidence:
    """Return the evidence once all is quiet, and was so while it was gathered: a digest may become due meanwhile."""
    while True:
        wait_for_quiet(product)
        found = _gathered(product, book, bully, unfinished)
        unsent = any(row["sent_at"] is None for rows in found.outbox.values() for row in rows)
        unnumbered = any(row["number"] is None for rows in found.audit.values() for row in rows)
        if not unsent and not unnumbered:
            return found


def _gathered(product: Product, book: Book, bully: Bully, unfinished: Iterable[str]) -> Evidence:
    parts = supervisor.status(product.data)["parts"]
    inbox = next(part["address"] for part in parts if part["name"] == "mail")
    mails = httpx.get(f"{inbox}/messages", trust_env=False, timeout=60).json()
    logs = product.logs()
    said = "".join(log for name, log in logs.items() if name.startswith("supervisor.log"))
    return Evidence(
        book,
        bully,
        list(unfinished),
        product.records(),
        mails,
        {name: list(product.rows(service, query)) for name, (service, query) in _ROWS.items()},
        outbox={it: list(product.rows(it, "SELECT * FROM outbox")) for it in deployment.SERVICES},
        parked={it: list(product.rows(it, "SELECT * FROM parked")) for it in deployment.SERVICES},
        hears={
            it: {row["topic"] for row in product.rows(it, "SELECT DISTINCT topic FROM progress")}
            for it in deployment.SERVICES
        },
        audit={it: list(product.rows(it, "SELECT number FROM audit ORDER BY number")) for it in deployment.SERVICES},
        lost_count=sum(
            int(count)
            for log in logs.values()
            for line in log.splitlines()
            if "the log was cut short" in line
            for count in _LOST.findall(line)
        ),
        deaths=Counter(_ENDED.findall(said)) - Counter(_UNBORN.findall(said)),
    )


def wait_for_quiet(product: Product) -> None:
    """Return once nothing is on its way any more: also what a cut log has lost is there again, as its relay finds."""
    product.wait_ready()
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        assert time.monotonic() < ends_at, "it never became quiet"
        product.wait_quiet()
        on_log = {(it.topic, dict(it.headers).get("ce_id", b"").decode(errors="replace")) for it in product.records()}
        rows = [
            (row["topic"], str(row["id"]))
            for service in deployment.SERVICES
            for row in product.rows(service, "SELECT id, topic FROM outbox")
        ]
        unsealed = [product.rows(it, "SELECT FROM audit WHERE number IS NULL LIMIT 1") for it in deployment.SERVICES]
        if on_log.issuperset(rows) and not any(unsealed):
            return
        time.sleep(0.5)


def about_request(product: Product, found: Evidence, request_id: str) -> list[str]:
    """Return all that is known of one request, a line each, without what it says of a person."""
    queries = {
        "registration": ["SELECT state, version, stage, round, correction_sent, withdrawal FROM request WHERE id = $1"],
        "approval": [
            "SELECT kind, state, stage, round, version, revision, refusal, ended_at FROM request WHERE id = $1",
            "SELECT stage, role, why, open FROM queue WHERE request_id = $1",
            "SELECT kind, due_at, remains FROM timer WHERE request_id = $1",
            "SELECT stage, round, verdict, role, decided_at FROM decision WHERE request_id = $1",
            "SELECT at, what, role, reason FROM history WHERE request_id = $1 ORDER BY position",
        ],
        "directory": [
            "SELECT dossier IS NOT NULL AS dossier, approval IS NOT NULL AS approval, answered_round, outcome"
            " FROM grant_case WHERE request_id = $1",
            "SELECT id, role, status, version FROM role_assignment WHERE request_id = $1",
            "SELECT id, application, status, version FROM entitlement WHERE request_id = $1",
        ],
        "notification": [
            "SELECT name, version, state, attempt_count, why, message_id FROM notice WHERE request_id = $1 ORDER BY id"
        ],
    }
    lines = [
        f"{service}.{query.split(' FROM ')[1].split()[0]}: " + ", ".join(f"{name}={row[name]}" for name in row)
        for service, asked in queries.items()
        for query in asked
        for row in product.rows(service, query, request_id)
    ]
    mine = [it for it in found.good if str(it.about.correlation_id) == request_id]
    return lines + [
        f"{it.topic}-{it.partition}@{it.offset}: {it.about.type} sequence={it.about.sequence} id={it.about.id}"
        for it in mine
    ]


def topics_of(service: str) -> list[str]:
    """Return the topics that a service writes."""
    return [topic.name for topic in topics.TOPICS if topic.owner == service]
