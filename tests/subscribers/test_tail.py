"""`iacs events tail` shows what comes, all of it or what is asked for, to people and to programs."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer
from cloudevents.core.bindings import http

from services import tail
from shared import envelope, topics
from shared.contracts.directory import AccountState
from shared.ids import PersonId, new_id
from shared.kafka import Kafka
from shared.testing.product import Product, wait_until
from shared.testing.records import Record, record_of
from tests.subscribers.conftest import append

PUBLIC_EVENTS = ("iacs.approval.v1", "iacs.directory.v1")
PERSON = UUID(int=7)


def a_record() -> Record:
    return record_of(AccountState(person_id=PersonId(PERSON), status="locked"), subject=PERSON)


def seen(record: Record) -> tail.Seen:
    found = tail.read(record)
    assert isinstance(found, tail.Seen)
    return found


# --- Which topics -----------------------------------------------------------------------------


def test_the_public_event_topics_are_read_if_nothing_else_is_said() -> None:
    assert tail.names([], with_internal=False) == PUBLIC_EVENTS


def test_a_topic_is_named_in_full_or_by_its_middle() -> None:
    wanted = ("iacs.directory.v1", "iacs.directory.state.v1")
    assert tail.names(["directory", "iacs.directory.state.v1", "directory"], with_internal=False) == wanted


@pytest.mark.parametrize("topic", [topic for topic in topics.TOPICS if not topic.public], ids=lambda topic: topic.name)
def test_an_internal_topic_is_read_only_by_who_says_so(topic: topics.Topic) -> None:
    with pytest.raises(ValueError, match="--internal"):
        tail.names([topic.name], with_internal=False)
    assert tail.names([topic.name], with_internal=True) == (topic.name,)
    assert topic.is_state or topic.name in tail.names([], with_internal=True)


def test_an_unknown_topic_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"no topic iacs.nowhere.v1: iacs.approval.v1, iacs.directory.v1,"):
        tail.names(["nowhere"], with_internal=False)


# --- How it is shown --------------------------------------------------------------------------


def test_a_line_says_when_what_about_what_and_the_facts() -> None:
    shown = tail.line(seen(a_record())).plain
    assert shown.endswith(f" directory.account.state {PERSON} status=locked")
    assert shown[:4].isdigit()


def test_a_line_tells_the_moment_in_utc_to_the_millisecond_and_repeats_neither_the_subject_nor_long_texts() -> None:
    record = a_record().having("ce_time", b"2026-11-02T09:05:09.007900-05:00")
    body = {"person_id": str(PERSON), "status": "locked", "reason": "x" * 100, "version": 3}
    shown = tail.line(seen(replace(record, value=json.dumps(body).encode()))).plain
    about = f"directory.account.state {PERSON} status=locked reason={'x' * 64} version=3"
    assert shown == f"2026-11-02 14:05:09.007 {about}"


def test_an_event_belongs_to_a_request_by_its_thread_its_subject_or_its_body() -> None:
    request = new_id()
    record = a_record()
    whole = json.loads(record.value or b"")
    for one in (
        record.having("ce_correlationid", str(request).encode()),
        record.having("ce_subject", str(request).encode()),
        replace(record, value=json.dumps({**whole, "request_id": str(request)}).encode()),
    ):
        assert tail.Wanted(request_id=request).has(seen(one))
    assert not tail.Wanted(request_id=request).has(seen(record))


def test_an_event_for_programs_has_the_thread_of_its_trace() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    assert json.loads(tail.structured(seen(a_record().having("traceparent", trace.encode()))))["traceparent"] == trace


def test_a_line_never_steers_the_terminal_and_shows_no_names() -> None:
    body = {"status": "\x1b[2Jlocked\r", "legal_business_name": "Chesapeake", "email": "a@b.example"}
    record = replace(a_record().having("ce_subject", b"\x1b]0;x"), value=json.dumps(body).encode())
    shown = tail.line(seen(record)).plain
    assert "status=·[2Jlocked·" in shown
    assert "\x1b" not in shown
    assert "Chesapeake" not in shown
    assert "example" not in shown
    assert "\x1b" not in tail.structured(seen(record))


def test_a_deletion_is_shown_as_such_and_has_no_data() -> None:
    found = seen(replace(a_record(), value=None))
    assert tail.line(found).plain.endswith("deleted")
    assert "data" not in json.loads(tail.structured(found))


def test_a_structured_event_is_read_as_the_same_by_us_and_by_the_cloudevents_project() -> None:
    record = a_record()
    text = tail.structured(seen(record)).encode()
    again, value = envelope.read([("content-type", b"application/cloudevents+json")], text)
    assert again == seen(record).about._replace(traceparent="")
    assert json.loads(value or b"") == json.loads(record.value or b"")
    judged: Any = http.from_http_event(http.HTTPMessage({"content-type": "application/cloudevents+json"}, text))
    assert (judged.get_id(), judged.get_type()) == (again.id, again.type)
    whole = tail.read(Record(record.topic, [("content-type", b"application/cloudevents+json")], text))
    assert isinstance(whole, tail.Seen)
    assert json.loads(tail.structured(whole)) == json.loads(text)


@pytest.mark.parametrize(
    "record",
    [
        a_record().lacking("ce_id"),
        replace(a_record(), value=b"{"),
        replace(a_record(), value=b"[1]"),
        replace(a_record(), value=b"[" * 100_000),
    ],
    ids=["no id", "no JSON", "no object", "too deep"],
)
def test_what_is_no_event_is_named_by_its_place_and_its_content_is_not_shown(record: Record) -> None:
    shown = tail.line(tail.read(record)).plain
    assert shown.startswith(f"{record.topic}/0/{record.offset} is no event: ")
    assert str(PERSON) not in shown


# --- As it comes ------------------------------------------------------------------------------


async def test_from_the_beginning_each_scope_is_in_order_and_later_ones_follow(product: Product) -> None:
    topic = topics.Topic(f"toy.{new_id()}", "directory", topics.BY_NAME["iacs.directory.v1"].kept, public=False)
    await topics.apply(Kafka(product.kafka_servers), [topic], partition_count=2)
    async with AIOKafkaProducer(bootstrap_servers=product.kafka_servers) as producer:

        async def send(number: int) -> None:
            record = a_record().having("ce_id", str(number).encode())
            await producer.send_and_wait(
                topic.name, record.value, headers=list(record.headers), partition=number % 2, timestamp_ms=10 * number
            )

        for number in range(1, 7):
            await send(number)
        following = tail.follow(Kafka(product.kafka_servers), [topic.name], tail.Wanted(), from_beginning=True)
        found = [await anext(following) for _ in range(6)]
        await send(7)
        found.append(await anext(following))
        await following.aclose()
    ids = [it.about.id for it in found if isinstance(it, tail.Seen)]
    assert [n for n in ids if int(n) % 2] == ["1", "3", "5", "7"]
    assert [n for n in ids if not int(n) % 2] == ["2", "4", "6"]


async def test_what_cannot_be_read_is_shown_in_its_place_unless_only_some_events_are_wanted(product: Product) -> None:
    topic = topics.Topic(f"toy.{new_id()}", "directory", topics.BY_NAME["iacs.directory.v1"].kept, public=False)
    kafka = Kafka(product.kafka_servers)
    await topics.apply(kafka, [topic], partition_count=1)
    good = a_record()
    async with AIOKafkaProducer(bootstrap_servers=product.kafka_servers) as producer:
        for record in (good, replace(good, value=b"{"), good):
            await producer.send_and_wait(topic.name, record.value, headers=list(record.headers))
    for wanted, kinds in (
        (tail.Wanted(), [tail.Seen, tail.Bad, tail.Seen]),
        (tail.Wanted(type_part="account"), [tail.Seen, tail.Seen]),
    ):
        following = tail.follow(kafka, [topic.name], wanted, from_beginning=True)
        assert [type(await anext(following)) for _ in kinds] == kinds
        await following.aclose()


def test_internal_topics_are_shown_to_who_asks_for_them(told: Product) -> None:
    there = told.records("iacs.registration.v1")
    lines = tailed(told, "--from-beginning", "--json", "--internal", "--topic", "registration", count=len(there))
    assert sorted(it["id"] for it in lines) == sorted(record.about.id for record in there)


def test_the_story_is_told_to_programs_one_cloudevent_a_line(told: Product) -> None:
    there = told.records(*PUBLIC_EVENTS)
    lines = tailed(told, "--from-beginning", "--json", count=len(there))
    assert {(it["source"], it["id"]) for it in lines} == {(r.about.source, r.about.id) for r in there}
    for it in lines:
        assert (it["specversion"], it["datacontenttype"]) == ("1.0", "application/json")
        assert isinstance(it["data"], dict)


def test_only_what_is_asked_for_is_shown(told: Product) -> None:
    there = told.records(*PUBLIC_EVENTS)
    request = next(r.about for r in reversed(there) if r.about.type == "iacs.directory.grant.applied.v1")
    everything = tailed(told, "--from-beginning", "--json", count=len(there))
    for option, value, fits in (
        ("--request", request.subject, lambda it: request.subject in (it["subject"], it["correlationid"])),
        ("--scope", str(request.scope_id), lambda it: it["partitionkey"] == str(request.scope_id)),
        ("--type", "role.granted", lambda it: it["type"] == "iacs.directory.role.granted.v1"),
        ("--topic", "approval", lambda it: it["source"].startswith("/iacs/iacs.approval.v1/")),
    ):
        wanted = [it for it in everything if fits(it)]
        assert 0 < len(wanted) < len(there)
        shown = tailed(told, "--from-beginning", "--json", option, value, count=len(wanted))
        assert sorted(it["id"] for it in shown) == sorted(it["id"] for it in wanted), option


def test_what_comes_after_the_start_is_shown_and_what_was_there_is_not(told: Product, tmp_path: Path) -> None:
    with tailing(told, tmp_path, "--count", "1") as process:
        event = told.records("iacs.directory.v1")[-1]
        append(told, event)
        assert process.wait(timeout=30) == 0
    (line,) = (tmp_path / "out").read_text().splitlines()
    assert event.about.subject in line


def test_who_has_seen_enough_ends_it_without_a_word(told: Product, tmp_path: Path) -> None:
    with tailing(told, tmp_path) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    assert (tmp_path / "err").read_text().splitlines() == [f"Listening to {', '.join(PUBLIC_EVENTS)}"]


def test_the_command_says_what_is_wrong_and_does_not_start(told: Product) -> None:
    for words, code in (
        (["--topic", "people.state"], 2),
        (["--topic", "directory.people"], 2),
        (["--servers", "127.0.0.1:1"], 1),
    ):
        done = told.give(*command(told, *words))
        assert (done.exit_code, done.stdout) == (code, ""), done.output
        assert done.stderr
        assert isinstance(done.exception, SystemExit)  # Nothing that a traceback would tell of.


def tailed(product: Product, *words: str, count: int) -> list[dict[str, Any]]:
    printed = product.command(*command(product, *words, "--count", str(count)))
    return [json.loads(line) for line in printed.splitlines()]


def command(product: Product, *words: str) -> list[str]:
    return ["events", "tail", "--data", str(product.data), *words]


@contextmanager
def tailing(product: Product, folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Let the command run beside the block, once it listens."""
    iacs = [sys.executable, "-m", "services.cli"]
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen([*iacs, *command(product, *words)], stdout=out, stderr=err)
        try:
            wait_until(lambda: "Listening" in (folder / "err").read_text(), "it listens")
            yield process
        finally:
            process.kill()
            process.wait()
