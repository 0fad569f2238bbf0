"""Kafka away for long, and bad records: calls are answered, and nothing is lost. Sudden deaths: tests/torture."""

import time
from uuid import uuid4

from shared import deployment
from shared.testing.product import Product, wait_until
from tests.guarantees.conftest import Crowd
from tests.guarantees.judging import everything_holds


def test_with_kafka_stopped_for_twenty_seconds_calls_are_answered_and_all_arrives_after(
    product: Product, crowd: Crowd
) -> None:
    waiting = [crowd.file() for _ in range(4)]
    for wish in waiting:
        crowd.prove(wish)
    wait_until(lambda: all(crowd.state(wish) == "pending" for wish in waiting), "the requests are pending")

    product.pause("kafka")
    stopped_at = time.monotonic()
    crowd.book.answers.clear()
    try:
        for wish in waiting:
            crowd.approve(wish)
        filed = [crowd.file() for _ in range(4)]
        while time.monotonic() - stopped_at < 20:
            crowd.state(waiting[0])
            time.sleep(0.5)  # Not a wait for an effect: the length of the outage is what is tested.
        slowest = max(answer.seconds for answer in crowd.book.answers)
    finally:
        product.resume("kafka")

    assert slowest < 5, "an API waited for Kafka"
    for wish in filed:
        crowd.prove(wish)
        crowd.approve(wish)
    product.wait_quiet()
    everything_holds(product)
    assert {crowd.state(wish) for wish in waiting + filed} == {"granted"}


def test_a_bad_record_is_parked_and_its_neighbours_are_unharmed(product: Product, crowd: Crowd) -> None:
    before = crowd.file()
    crowd.prove(before)
    product.wait_quiet()
    topic = "iacs.registration.v1"
    good = {
        "ce_specversion": "1.0",
        "ce_id": str(uuid4()),
        "ce_source": f"/iacs/{topic}/scopes/{uuid4()}",
        "ce_type": "iacs.registration.request.submitted.v1",
        "ce_subject": str(uuid4()),
        "ce_time": "2026-11-24T08:00:00Z",
        "ce_partitionkey": str(uuid4()),
        "content-type": "application/json",
    }
    bad: list[tuple[bytes | None, list[tuple[str, bytes | None]]]] = [
        (b"{}", _headers(good)),  # Its body is not the type's.
        (b"no JSON", _headers({**good, "ce_subject": str(uuid4())})),
        (b"{}", _headers({**good, "ce_type": "Not A Type"})),
        (b"{}", [*_headers(good), ("ce_bad", b"\xff\xfe")]),  # Its header is not UTF-8.
        (b"{}", [*_headers(good), ("ce_null", None)]),
        (None, _headers({**good, "ce_subject": str(uuid4())})),  # An event without a body.
        (b"{}", []),
    ]
    product.send(topic, bad)
    after = crowd.file()
    crowd.prove(after)
    crowd.approve(before)
    crowd.approve(after)
    product.wait_quiet()

    assert {crowd.state(wish) for wish in (before, after)} == {"granted"}
    for service in ("approval", "directory"):
        parked = product.parked(service)
        assert len(parked) == len(bad) * 12
        assert all(row["topic"] == topic and row["error"] for row in parked)
    # What is of no use is given up, one by one; replaying it says that it fails again.
    one = product.parked("approval")[0]
    assert "failed again" in product.refused(
        "parked", "replay", "approval", str(one["id"]), "--data", str(product.data)
    )
    product.command("parked", "discard", "approval", str(one["id"]), "--data", str(product.data))
    assert len(product.parked("approval")) == len(bad) * 12 - 1
    assert one["type"] in product.command(
        "parked", "show", "directory", str(product.parked("directory")[0]["id"]), "--data", str(product.data)
    )
    for service in deployment.SERVICES:  # The other tests begin with nothing parked.
        product.rows(
            service,
            "UPDATE parked SET state = 'discarded', resolved_at = now(), resolved_by = 'x' WHERE resolved_at IS NULL",
        )


def _headers(attributes: dict[str, str]) -> list[tuple[str, bytes | None]]:
    return [(name, value.encode()) for name, value in attributes.items()]
