"""Each measure: what is made ready, what is run, and the figures that come of it."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil

from benchmarks import bounds, ground, load, pipeline, seeds
from shared import outbox
from shared.contracts.directory import RoleAssignmentState
from shared.database import Database
from shared.ids import AssignmentId, PersonId, PlaceId, ScopeId, new_id
from shared.platform.stack import Stack

Figures = dict[str, Any]


def _dsn(told: Mapping[str, str], service: str) -> str:
    return told[f"IACS_{service.upper()}_DATABASE_URL"]


async def _lend_community(told: Mapping[str, str]) -> None:
    """Let approval know the communities, as if it had heard of them."""
    directory = await asyncpg.connect(_dsn(told, "directory"))
    approval = await asyncpg.connect(_dsn(told, "approval"))
    try:
        rows = await directory.fetch("SELECT id, version, record_version, current, definition FROM community")
        await approval.executemany(
            """INSERT INTO community (id, version, record_version, current, definition) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT DO NOTHING""",
            [tuple(row) for row in rows],
        )
    finally:
        await directory.close()
        await approval.close()


def _decisions(made: Sequence[tuple[UUID, seeds.Organization]], signer: seeds.Signer) -> list[bytes]:
    """Return one call for each request: approve it, on the version that was read, under a key of its own."""
    body = json.dumps({"verdict": "approve"}).encode()
    return [
        load.request(
            "POST",
            f"/approval/v1/requests/{it}/decisions",
            [signer.header(at.official), ("If-Match", '"1"'), ("Idempotency-Key", f"k{it}")],
            body,
        )
        for it, at in made
    ]


def decisions_alone(_: Stack, told: Mapping[str, str]) -> Figures:
    """Decisions a second of one approval API, with nothing behind it, beside pgbench of the same run."""

    async def measure(api: psutil.Process) -> Figures:
        await _lend_community(told)
        signer = seeds.Signer(told)
        connection = await asyncpg.connect(_dsn(told, "approval"))
        await signer.make_known(connection)
        where = await seeds.organizations(connection, 200)
        port = ground.port_of("approval", told)
        warm = await seeds.open_requests(connection, where, 300)
        await load.run(port, _decisions(warm, signer), clients=8, expected=201)
        found: Figures = {}
        for clients in load.CLIENTS:
            made = await seeds.open_requests(connection, where, 800 if clients == 1 else 3000)
            calls = _decisions(made, signer)
            yardstick = await asyncio.to_thread(ground.bare, _dsn(told, "approval"), clients)
            busy = bounds.Busy(api=api)
            busy.begin()
            taken = await load.run(port, calls, clients=clients, expected=201)
            found[f"{clients} clients"] = {**taken.beside(yardstick), "processors": busy.told()}
        calls = _decisions(await seeds.open_requests(connection, where, 4000), signer)
        with bounds.profiled(api, "decisions"):
            await load.run(port, calls, clients=16, expected=201)
        await connection.close()
        return found

    with ground.serving("approval", told, "--api") as api:
        return asyncio.run(measure(api))


def queue_page(_: Stack, told: Mapping[str, str]) -> Figures:
    """The first page of a queue, with 100,000 open requests and 10,000 assignments."""

    async def measure(api: psutil.Process) -> Figures:
        await _lend_community(told)
        signer = seeds.Signer(told)
        connection = await asyncpg.connect(_dsn(told, "approval"))
        await signer.make_known(connection)
        where = await seeds.organizations(connection, 10_000)
        await seeds.open_requests(connection, where[:2000], 100_000)
        port = ground.port_of("approval", told)
        path = "/approval/v1/requests"
        calls = [load.request("GET", path, [signer.header(where[n % 2000].official)]) for n in range(2000)]
        await load.run(port, calls[:200], clients=1, expected=200)
        one = await load.run(port, calls, clients=1, expected=200)
        busy = bounds.Busy(api=api)
        busy.begin()
        many = await load.run(port, calls, clients=16, expected=200)
        processors = busy.told()
        with bounds.profiled(api, "queue"):
            await load.run(port, calls, clients=16, expected=200)
        await connection.close()
        return {
            "open_requests": 100_000,
            "assignments": 10_000,
            "1 client": {"p50_ms": round(one.at(0.5), 1), "p99_ms": round(one.at(0.99), 1)},
            "16 clients": {
                "pages_per_second": round(many.rate),
                "p50_ms": round(many.at(0.5), 1),
                "p99_ms": round(many.at(0.99), 1),
                "processors": processors,
            },
        }

    with ground.serving("approval", told, "--api") as api:
        return asyncio.run(measure(api))


def relay_and_rebuild(_stack: Stack, told: Mapping[str, str]) -> Figures:
    """How fast an outbox empties into Kafka, and how fast a new replica of the state is read from there."""
    count = 30_000
    directory, approval = _dsn(told, "directory"), _dsn(told, "approval")
    unsent = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
    unread = f"SELECT {count} - count(*) FROM assignment WHERE role = 'END_USER'"  # noqa: S608 - a number of ours.

    asyncio.run(_publish_assignments(directory, count))
    with ground.serving("directory", told, "--worker") as worker:
        relay = asyncio.run(_followed(directory, unsent, worker))
    with ground.serving("approval", told, "--worker") as worker:
        rebuilt = asyncio.run(_followed(approval, unread, worker))
    # Another service reads the same records, since approval has read them.
    with ground.serving("registration", told, "--worker") as worker, bounds.profiled(worker, "rebuild"):
        pass
    asyncio.run(_publish_assignments(directory, count))
    with ground.serving("directory", told, "--worker") as worker, bounds.profiled(worker, "relay"):
        pass
    return {"relay": relay, "replica rebuilt": rebuilt}


async def _publish_assignments(dsn: str, count: int) -> None:
    """Leave so many states of assignments in the directory's outbox, of 500 scopes in turn."""
    db = Database(dsn, flush=outbox.flush, pool_size=4)
    await db.start()
    places = [new_id() for _ in range(500)]
    for start in range(0, count, 1000):
        async with db.begin() as tx:
            for n in range(start, start + 1000):
                place = places[n % len(places)]
                assignment = AssignmentId(new_id())
                state = RoleAssignmentState(
                    assignment_id=assignment,
                    person_id=PersonId(new_id()),
                    role="END_USER",
                    place_kind="group",
                    place_id=PlaceId(place),
                    scope_id=ScopeId(place),
                    community_id="provider-supplier",
                    status="active",
                    effective_from=tx.now,
                )
                outbox.publish_state(tx, scope=place, entity=assignment, version=1, state=state)
    await db.close()


async def _followed(dsn: str, left: str, worker: psutil.Process) -> Figures:
    """Return how fast a worker does what is left, by a query, from the first of it that is done."""
    watcher = await asyncpg.connect(dsn)
    whole = await watcher.fetchval(left)

    async def is_below(number: int) -> bool:
        return bool(await watcher.fetchval(left) < number)

    await load.until(lambda: is_below(whole), every=0.02)
    busy = bounds.Busy(worker=worker)
    busy.begin()
    began = time.perf_counter()
    at_first = await watcher.fetchval(left)
    await load.until(lambda: is_below(1), every=0.02)
    seconds = time.perf_counter() - began
    processors = busy.told()
    await watcher.close()
    return {
        "events": at_first,
        "seconds": round(seconds, 2),
        "events_per_second": round(at_first / seconds),
        "processors": processors,
    }


def pipeline_behind(data: Path) -> Figures:
    """Decisions with everything behind them: event, grant, mail; on a whole product of its own."""
    return pipeline.measure(data)
