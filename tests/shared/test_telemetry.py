"""What operators are told: metrics of what waits, and log lines that say whose act they belong to and quote nobody."""

import json
import logging
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import insert

from shared import telemetry, worker
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


def test_a_log_line_says_to_which_act_it_belongs_and_not_what_an_error_quotes(logs: StringIO) -> None:
    act = telemetry.Trace(new_id(), new_id(), f"00-{'a1' * 16}-{'b2' * 8}-01")
    with telemetry.tracing(act):
        try:
            raise ValueError("123-45-6789") from KeyError("123-45-6789")
        except ValueError:
            telemetry.logger("toy").exception("it failed")
            logging.getLogger("library").exception("it failed there")
    telemetry.logger("toy").info("nothing more")
    logging.getLogger("httpx").info("GET /directory/password/one-time-token")

    assert "123-45-6789" not in logs.getvalue()
    *told, last = [json.loads(line) for line in logs.getvalue().splitlines()]
    assert [line["event"] for line in told] == ["it failed", "it failed there"]
    for line in told:
        assert (line["service"], line["exception"], line["cause"]) == ("toy", "ValueError", "KeyError")
        assert (line["correlation_id"], line["causation_id"]) == (str(act.correlation_id), str(act.causation_id))
        assert line["trace_id"] == act.trace_id == "a1" * 16
        assert "test_telemetry.py" in line["frames"][-1]
    assert last["event"] == "nothing more"
    assert {"correlation_id", "trace_id"}.isdisjoint(last)


def test_what_a_record_claims_to_be_its_trace_is_logged_only_if_it_is_one(logs: StringIO) -> None:
    for claimed in ("", "123-45-6789", "00-Ann Applicant-1-01"):
        with telemetry.tracing(telemetry.Trace(traceparent=claimed)):
            telemetry.logger("toy").info("heard")
    assert [line for line in logs.getvalue().splitlines() if "trace_id" in line] == []


def test_a_library_that_says_the_same_all_the_time_is_let_say_it_every_ten_seconds_with_how_often(
    logs: StringIO,
) -> None:
    now = 1000.0
    handler = logging.getLogger().handlers[0]  # Behind it stand those that pytest adds.
    handler.filters = [telemetry.Sparing(lambda: now)]
    for tenth in range(201):
        now = 1000.0 + tenth / 10
        logging.getLogger("aiokafka.consumer.fetcher").error("Failed fetch messages from %s", 1)
        logging.getLogger("aiokafka.client").error("Failed fetch messages from %s", 1)
    logging.getLogger("aiokafka.client").error("Unable to connect")
    for other in (KeyError, ValueError):  # Another node, another fault: another thing.
        try:
            raise other
        except LookupError:
            logging.getLogger("aiokafka.client").exception("Failed fetch messages from %s", 2)
        except ValueError:
            logging.getLogger("aiokafka.client").exception("Failed fetch messages from %s", 2)

    told = [json.loads(line) for line in logs.getvalue().splitlines()]
    assert [line.get("left_out") for line in told if line["logger"] == "aiokafka.consumer.fetcher"] == [None, 99, 99]
    assert [line.get("left_out") for line in told if line["logger"] == "aiokafka.client"] == [
        *(None, 99, 99),
        *(None, None, None),
    ]
    assert [line.get("exception") for line in told[-3:]] == [None, "KeyError", "ValueError"]


def test_what_we_say_ourselves_is_never_left_out(logs: StringIO) -> None:
    for _ in range(3):
        telemetry.logger("toy").warning("relay rests")
        logging.getLogger("uvicorn.error").error("a library that seldom speaks")
        logging.getLogger("aiokafka").error("Unable to connect")

    told = [json.loads(line)["event"] for line in logs.getvalue().splitlines()]
    assert told.count("relay rests") == 3
    assert told.count("a library that seldom speaks") == 3
    assert told.count("Unable to connect") == 1
