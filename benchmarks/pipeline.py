"""The whole pipeline: from a decision over the event and the grant to the mail that a server has taken."""

import asyncio
import ipaddress
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil
from aiokafka import AIOKafkaConsumer

from benchmarks import bounds, ground, load, seeds
from shared import deployment, outbox
from shared.contracts.registration import Applicant, RequestSubmitted
from shared.database import IDLE_SECONDS, Database
from shared.ids import PersonId, PlaceId, RequestId, ScopeId, new_id
from shared.testing.product import Product

ADMINISTRATOR = "USER_GROUP_ADMINISTRATOR"
GROUPS = 100
REQUESTS = 1500
CALM = 200
CALM_RATE = 10.0
"""Decisions a second of people who do not hurry: what each leg takes when nothing waits for processors."""
FEW = 400
"""Requests for each other number of clients that decide at a time."""
PROFILED = 400
"""Requests that go the same way once more, under a profiler: it makes everything slower, so they are no figure."""
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass
class Legs:
    """When each thing happened to each request, as somebody outside saw it."""

    decided: dict[str, float] = field(default_factory=dict)
    approved_seen: dict[str, float] = field(default_factory=dict)
    granted_seen: dict[str, float] = field(default_factory=dict)
    mailed_seen: dict[str, float] = field(default_factory=dict)

    def between(self, first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
        """Return p50 and p99 of one leg in milliseconds."""
        each = sorted((second[it] - first[it]) * 1000 for it in second if it in first)
        return {"p50_ms": round(each[len(each) // 2], 1), "p99_ms": round(each[int(len(each) * 0.99)], 1)}


def measure(data: Path) -> dict[str, Any]:
    """Run the whole product, decide on thousands of requests, and watch what follows."""
    product = Product(data)
    began = time.perf_counter()
    product.start()
    first_start = time.perf_counter() - began
    try:
        told = product.told
        people = [new_id() for _ in range(REQUESTS + CALM + FEW * len(load.CLIENTS) + PROFILED)]
        groups = asyncio.run(_seed(told, people))
        product.command("operator", "say-everything", "--data", str(data))
        product.wait_quiet()
        sizes, rows = _sizes(product), _rows(product)
        busy = bounds.Busy(**_services(product))
        busy.begin()
        request_ids, opened = asyncio.run(_submit(told, groups, people[:REQUESTS]))
        opened["processors"] = busy.told()
        product.wait_quiet()
        _, found = asyncio.run(_decide(told, product.kafka_servers, groups, request_ids, busy))
        found["opening"] = opened
        product.wait_quiet()
        for what, before, after in (("bytes_on_disk", sizes, _sizes(product)), ("rows", rows, _rows(product))):
            found[f"{what}_per_request"] = {name: round((after[name] - before[name]) / REQUESTS, 1) for name in after}
        calm, _ = asyncio.run(_submit(told, groups, people[REQUESTS : REQUESTS + CALM]))
        product.wait_quiet()
        _, decided = asyncio.run(_decide(told, product.kafka_servers, groups, calm, busy, rate=CALM_RATE))
        found[f"at {CALM_RATE:.0f} decisions a second"] = decided
        product.wait_quiet()
        left = iter(people[REQUESTS + CALM :])
        found["decisions with everything behind"] = {
            f"{clients} clients": _decide_at(product, groups, list(islice(left, FEW)), busy, clients)
            for clients in load.CLIENTS
        }
        found["filing"] = asyncio.run(file_many(told, REQUESTS))
        product.wait_quiet()
        _profile(product, groups, list(left))
        product.stop()
        began = time.perf_counter()
        product.start()
        found["seconds"] = {"first start to ready": round(first_start, 1)}
        found["seconds"]["later start to ready"] = round(time.perf_counter() - began, 1)
        told_story = json.loads(product.command("story", "--json", "--data", str(data)))["steps"]
        assert all(step["ok"] for step in told_story), told_story[-1]
        found["seconds"]["story"] = round(sum(step["seconds"] for step in told_story), 1)
        product.wait_quiet()
        time.sleep(IDLE_SECONDS + 10)  # What the story needed beside each other is given back.
        found["memory_mb_idle_after_the_story"] = _memory(product)
        return found
    finally:
        product.stop()


def _decide_at(
    product: Product, groups: list[seeds.Organization], people: Sequence[UUID], busy: bounds.Busy, clients: int
) -> dict[str, float]:
    """Return how fast so many clients decide with everything behind it at work, beside pgbench with everything idle."""
    request_ids, _ = asyncio.run(_submit(product.told, groups, people))
    product.wait_quiet()
    yardstick = ground.bare(product.told["IACS_APPROVAL_DATABASE_URL"], clients)
    taken, _ = asyncio.run(_decide(product.told, product.kafka_servers, groups, request_ids, busy, clients=clients))
    product.wait_quiet()
    return taken.beside(yardstick)


def _profile(product: Product, groups: list[seeds.Organization], people: Sequence[UUID]) -> None:
    """Send more requests the whole way, and file some, while each service is looked at."""
    services = _services(product)
    with ExitStack() as looks:
        for name in ("approval", "directory", "notification"):
            looks.enter_context(bounds.profiled(services[name], f"pipeline-{name}", seconds=20))
        request_ids, _ = asyncio.run(_submit(product.told, groups, people))
        busy = bounds.Busy(**services)
        asyncio.run(_decide(product.told, product.kafka_servers, groups, request_ids, busy))
    with bounds.profiled(services["registration"], "filing"):
        asyncio.run(file_many(product.told, PROFILED))


def _services(product: Product) -> dict[str, psutil.Process]:
    return {name: psutil.Process(product.pid(name)) for name in deployment.SERVICES}


def _sizes(product: Product) -> dict[str, int]:
    found = {
        service: int(product.rows(service, "SELECT pg_database_size(current_database()) AS n")[0]["n"])
        for service in deployment.SERVICES
    }
    kafka = product.data / "kafka"
    found["kafka"] = sum(path.stat().st_size for path in kafka.rglob("*.log") if path.is_file())
    return found


def _rows(product: Product) -> dict[str, int]:
    """Return how many rows lie in all tables of each service, and how many records on all topics."""
    names = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    found = {}
    for service in deployment.SERVICES:
        counts = " + ".join(f'(SELECT count(*) FROM "{row["relname"]}")' for row in product.rows(service, names))  # noqa: S608
        found[service] = int(product.rows(service, f"SELECT {counts} AS n")[0]["n"])
    return {**found, "kafka": sum(asyncio.run(product.ends()).values())}


def _memory(product: Product) -> dict[str, int]:
    from shared.platform import supervisor  # noqa: PLC0415

    status = supervisor.weighed(supervisor.status(product.data))
    shown = {part["name"]: round(part["memory_bytes"] / 1e6) for part in status["parts"]}
    shown["supervisor"] = round(psutil.Process(status["pid"]).memory_full_info().pss / 1e6)
    return {**shown, "sum": sum(shown.values())}


async def _seed(told: Mapping[str, str], people: Sequence[UUID]) -> list[seeds.Organization]:
    """Let the directory hold groups with an administrator each, and people with accounts."""
    now = datetime.now(UTC)
    groups = [seeds.Organization(new_id(), new_id()) for _ in range(GROUPS)]
    user_ids = set[str]()
    while len(user_ids) < len(people) + GROUPS:
        user_ids.add("".join(secrets.choice(_LETTERS) for _ in range(8)))
    everybody = [*people, *(it.official for it in groups)]
    rows: dict[str, list[dict[str, Any]]] = {
        "person": [
            {"id": it, "given_name": "Maria", "family_name": "Gonzalez", "email": f"person{n}@bench.example"}
            | {"phone": "", "version": 1}
            for n, it in enumerate(everybody)
        ],
        "account": [
            {"person_id": it, "user_id": user_id, "state": "active", "community_id": "provider-supplier"}
            | {"password_hash": "hash", "version": 1}
            for it, user_id in zip(everybody, sorted(user_ids), strict=True)
        ],
        "organization": [
            {"id": it.id, "community_id": "provider-supplier", "status": "active", "version": 1}
            | {"legal_business_name": f"Organization {n}", "normalised_name": f"organization {n}"}
            | {"tin_locked": "", "tin_fingerprint": "", "duplicate_key": str(it.id), "street": "", "city": "Baltimore"}
            | {"state": "MD", "zip_code": "", "phone": "", "provider_type": "clinic", "npi": "", "ptans": "[]"}
            | {"request_id": new_id(), "effective_from": now}
            for n, it in enumerate(groups)
        ],
        "user_group": [
            {"id": _group(it), "organization_id": it.id, "community_id": "provider-supplier", "kind": "provider"}
            | {"status": "active", "name": "Billing", "normalised_name": "billing", "company_name": ""}
            | {"request_id": new_id(), "effective_from": now, "version": 1}
            for it in groups
        ],
        "role_assignment": [
            {"id": new_id(), "person_id": it.official, "role": ADMINISTRATOR, "place_kind": "group"}
            | {"place_id": _group(it), "scope_id": it.id, "community_id": "provider-supplier", "community_version": 1}
            | {"status": "active", "effective_from": now, "version": 1}
            for it in groups
        ],
    }
    directory = await asyncpg.connect(told["IACS_DIRECTORY_DATABASE_URL"])
    try:
        for table, them in rows.items():
            await directory.copy_records_to_table(
                table, columns=list(them[0]), records=[tuple(row.values()) for row in them]
            )
    finally:
        await directory.close()
    return groups


def _group(it: seeds.Organization) -> UUID:
    return UUID(int=it.id.int ^ 1)


async def _submit(
    told: Mapping[str, str], groups: Sequence[seeds.Organization], people: Sequence[UUID]
) -> tuple[list[UUID], dict[str, Any]]:
    """Submit requests of people who have accounts, as registration would; return how fast they were opened."""
    db = Database(told["IACS_REGISTRATION_DATABASE_URL"], flush=outbox.flush, pool_size=2)
    await db.start()
    request_ids = [new_id() for _ in people]
    for start in range(0, len(people), 500):
        async with db.begin() as tx:
            for n in range(start, min(start + 500, len(people))):
                at = groups[n % len(groups)]
                event = RequestSubmitted(
                    request_id=RequestId(request_ids[n]),
                    tracking_number=f"IACS-BENCH-{n}",
                    community_id="provider-supplier",
                    community_version=1,
                    kind="join_group",
                    scope_id=ScopeId(at.id),
                    place_kind="group",
                    place_id=PlaceId(_group(at)),
                    applicant=Applicant(
                        person_id=PersonId(people[n]),
                        given_name="Maria",
                        family_name="Gonzalez",
                        email=f"person{n}@bench.example",
                    ),
                    submitted_at=tx.now,
                )
                outbox.announce(tx, scope=at.id, subject=request_ids[n], event=event)
    await db.close()
    approval = await asyncpg.connect(told["IACS_APPROVAL_DATABASE_URL"])

    async def all_open() -> bool:
        return bool(await approval.fetchval("SELECT count(*) FROM request WHERE state = 'pending'") >= len(people))

    seconds = await load.until(all_open, seconds=300)
    await approval.close()
    return request_ids, {"requests": len(people), "per_second": round(len(people) / seconds)}


async def _decide(
    told: Mapping[str, str],
    servers: str,
    groups: list[seeds.Organization],
    request_ids: list[UUID],
    busy: bounds.Busy,
    *,
    clients: int = 16,
    rate: float | None = None,
) -> tuple[load.Taken, dict[str, Any]]:
    """Decide requests, as fast as so many clients can or so many a second, and watch each until its mail is accepted.

    Returns what the calls took, and what became of them.
    """
    signer = seeds.Signer(told)
    approval = await asyncpg.connect(told["IACS_APPROVAL_DATABASE_URL"])
    await signer.make_known(approval)
    versions = dict(await approval.fetch("SELECT id, version FROM request WHERE id = ANY ($1)", request_ids))
    await approval.close()
    assert len(versions) == len(request_ids), "not every request is open"
    legs = Legs()
    consumer = AIOKafkaConsumer(
        "iacs.approval.v1",
        "iacs.directory.v1",
        "iacs.notification.v1",
        bootstrap_servers=servers,
        auto_offset_reset="latest",
        enable_auto_commit=False,
    )
    await consumer.start()
    for place in consumer.assignment():
        await consumer.seek_to_end(place)
        await consumer.position(place)
    watching = asyncio.create_task(_watch(consumer, legs))
    body = json.dumps({"verdict": "approve"}).encode()
    left = iter(enumerate(request_ids))
    each: list[float] = []

    async def client() -> None:
        async with load.connected(ground.port_of("approval", told)) as connection:
            for n, it in left:
                if rate:
                    await asyncio.sleep(began + n / rate - time.perf_counter())
                call = load.request(
                    "POST",
                    f"/approval/v1/requests/{it}/decisions",
                    [
                        signer.header(groups[n % len(groups)].official),
                        ("If-Match", f'"{versions[it]}"'),
                        ("Idempotency-Key", f"k{it}"),
                    ],
                    body,
                )
                called = time.perf_counter()
                status, answer = await connection.call(call)
                legs.decided[str(it)] = time.perf_counter()
                each.append(legs.decided[str(it)] - called)
                assert status == 201, answer

    busy.begin()
    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    taken = load.Taken(len(each), time.perf_counter() - began, sorted(each))

    async def all_mailed() -> bool:
        return len(legs.mailed_seen) >= len(request_ids)

    await load.until(all_mailed, seconds=300)
    whole = time.perf_counter() - began
    processors = busy.told()
    watching.cancel()
    await consumer.stop()
    return taken, {
        "requests": len(request_ids),
        "decisions_per_second_with_all_behind": round(taken.rate),
        "decision_p50_ms": round(taken.at(0.5), 1),
        "decision_p99_ms": round(taken.at(0.99), 1),
        "end_to_end_per_second": round(len(request_ids) / whole),
        "decision to event seen": legs.between(legs.decided, legs.approved_seen),
        "event to grant seen": legs.between(legs.approved_seen, legs.granted_seen),
        "grant to mail accepted": legs.between(legs.granted_seen, legs.mailed_seen),
        "processors": processors,
    }


async def _watch(consumer: AIOKafkaConsumer, legs: Legs) -> None:
    """Note when each event was seen."""
    wanted = {
        b"iacs.approval.request.approved.v1": legs.approved_seen,
        b"iacs.directory.grant.applied.v1": legs.granted_seen,
        b"iacs.notification.notice.sent.v1": legs.mailed_seen,
    }
    while True:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            for record in records:
                seen = wanted.get(dict(record.headers).get("ce_type", b""))
                if seen is not None and record.value is not None:
                    body = json.loads(record.value)
                    if body.get("notice", "granted").startswith("granted"):
                        seen.setdefault(body["request_id"], time.perf_counter())


async def file_many(told: Mapping[str, str], count: int) -> dict[str, Any]:
    """File drafts of new people who want to register an organization: all fields checked, secrets locked.

    Each comes from a network address of their own: what is filed from one is counted, one after the other.
    """
    calls = []
    for n in range(count):
        body = {
            "community_id": "provider-supplier",
            "kind": "register_organization",
            "applicant": {
                "given_name": "Maria",
                "family_name": "Gonzalez",
                "birth_date": "1970-04-01",
                "email": f"filer{n}-{secrets.token_hex(3)}@bench.example",
                "phone": "410-555-0142",
                "ssn": f"{1 + n % 600:03d}-{1 + n % 98:02d}-{1 + n:04d}",
            },
            "data": {
                "legal_business_name": f"Bench {n} LLC",
                "tin": "12-3456789",
                "street": f"{n} Main Street",
                "city": "Baltimore",
                "state": "MD",
                "zip_code": "21244",
                "phone": "410-555-0100",
                "provider_type": "clinic",
            },
        }
        calls.append(
            load.request(
                "POST", "/registration/v1/requests", [("X-Forwarded-For", _address(n))], json.dumps(body).encode()
            )
        )
    taken = await load.run(ground.port_of("registration", told), calls, clients=16, expected=201)
    return {
        "drafts_per_second": round(taken.rate),
        "p50_ms": round(taken.at(0.5), 1),
        "p99_ms": round(taken.at(0.99), 1),
    }


def _address(number: int) -> str:
    """Return one of the addresses that are set aside for measuring. Source: RFC 2544, 198.18.0.0/15."""
    return str(ipaddress.IPv4Address("198.18.0.0") + number)
