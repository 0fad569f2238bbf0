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
from shared.relay import Relay

Figures = dict[str, Any]
CLIENTS = (1, 4, 16, 32)


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


def decisions_alone(stack: Stack, told: Mapping[str, str]) -> Figures:
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
        for clients in CLIENTS:
            made = await seeds.open_requests(connection, where, 800 if clients == 1 else 3000)
            calls = _decisions(made, signer)
            yardstick = await asyncio.to_thread(ground.bare, stack.postgres, clients)
            busy = bounds.Busy(api=api)
            busy.begin()
            taken = await load.run(port, calls, clients=clients, expected=201)
            found[f"{clients} clients"] = {
                "decisions_per_second": round(taken.rate),
                "p50_ms": round(taken.at(0.5), 1),
                "p99_ms": round(taken.at(0.99), 1),
                "pgbench_per_second": round(yardstick),
                "share_of_pgbench": round(taken.rate / yardstick, 3),
                "processors": busy.told(),
            }
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


def relay_and_rebuild(stack: Stack, told: Mapping[str, str]) -> Figures:
    """How fast an outbox empties into Kafka, and how fast a new replica of the state is read from there."""
    count = 30_000

    async def relay() -> Figures:
        db = Database(_dsn(told, "directory"), flush=outbox.flush, pool_size=4)
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
        watcher = await asyncpg.connect(_dsn(told, "directory"))

        async def is_sent() -> bool:
            return not await watcher.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")

        busy = bounds.Busy()
        busy.begin()
        began = time.perf_counter()
        task = asyncio.create_task(Relay("directory", db, ground.kafka_of(stack)).run())
        await load.until(is_sent, every=0.05)
        seconds = time.perf_counter() - began
        processors = busy.told()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await watcher.close()
        await db.close()
        return {
            "events": count,
            "seconds": round(seconds, 2),
            "events_per_second": round(count / seconds),
            "processors": processors,
        }

    async def rebuild(worker: psutil.Process) -> Figures:
        watcher = await asyncpg.connect(_dsn(told, "approval"))

        async def has(least: int) -> bool:
            return bool(
                await watcher.fetchval(
                    "SELECT count(*) FROM assignment WHERE place_id <> scope_id OR role = 'END_USER'"
                )
                >= least
            )

        await load.until(lambda: has(1))
        busy = bounds.Busy(worker=worker)
        busy.begin()
        began = time.perf_counter()
        first = await watcher.fetchval("SELECT count(*) FROM assignment WHERE role = 'END_USER'")
        await load.until(lambda: has(count), every=0.02)
        seconds = time.perf_counter() - began
        processors = busy.told()
        await watcher.close()
        return {
            "events": count - first,
            "seconds": round(seconds, 2),
            "events_per_second": round((count - first) / seconds),
            "processors": processors,
        }

    sent = asyncio.run(relay())
    with ground.serving("approval", told, "--worker") as worker:
        read = asyncio.run(rebuild(worker))
    # Another service reads the same records, since approval has read them.
    with ground.serving("registration", told, "--worker") as worker, bounds.profiled(worker, "rebuild"):
        pass
    return {"relay": sent, "replica rebuilt": read}


def pipeline_behind(data: Path) -> Figures:
    """Decisions with everything behind them: event, grant, mail; on a whole product of its own."""
    return pipeline.measure(data)
