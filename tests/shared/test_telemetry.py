"""Metrics: what operators are told about what waits, whether the relay can do something about it or not."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import insert

from shared import worker
from shared.database import Database
from shared.ids import new_id
from shared.tables import outbox, parked


def told(name: str) -> float | None:
    return REGISTRY.get_sample_value(name)


@pytest.fixture
async def database(database_of: Any) -> Database:
    found: Database = await database_of("approval")
    return found


async def test_what_waits_to_be_sent_is_counted_and_its_age_is_told_while_nobody_sends(database: Database) -> None:
    async with database.begin() as tx:
        said = {"topic": "t", "key": "k", "type": "t", "subject": "s", "traceparent": ""}
        numbered = {"sending_order": 1, "recorded_at": tx.now}
        for age, columns in (
            (timedelta(days=3), numbered | {"sent_at": tx.now}),
            (timedelta(hours=2), numbered),
            (timedelta(hours=1), {}),
        ):
            row = {"id": new_id(), "scope_id": new_id(), "time": tx.now - age, **said, **columns}
            await tx.execute(insert(outbox).values(**row))

        await worker.count_what_waits(tx)

    assert told("iacs_outbox_unsent") == 2
    assert told("iacs_outbox_age_seconds") == pytest.approx(7200)


async def test_when_nothing_waits_the_gauges_say_so(database: Database) -> None:
    async with database.begin() as tx:
        await worker.count_what_waits(tx)

    assert (told("iacs_outbox_unsent"), told("iacs_outbox_age_seconds"), told("iacs_parked")) == (0, 0, 0)


async def test_what_is_parked_is_counted_until_it_is_resolved(database: Database) -> None:
    async with database.begin() as tx:
        for offset, state in enumerate(("parked", "waiting", "replayed")):
            resolved = {"resolved_at": tx.now} if state == "replayed" else {}
            place = {"consumer": "c", "topic": "t", "partition": 0, "offset": offset}
            row = {"id": new_id(), "digest": b"", "headers": [], "error": "e", "state": state, **place, **resolved}
            await tx.execute(insert(parked).values(**row))

        await worker.count_what_waits(tx)

    assert told("iacs_parked") == 2
