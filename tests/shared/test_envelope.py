"""The envelope: written as CloudEvents asks, and read more strictly than by anybody else."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.exceptions import CloudEventValidationError
from hypothesis import given
from hypothesis import strategies as st

from shared import envelope
from shared.contracts.approval import RequestExpired
from shared.contracts.directory import AccountState
from shared.envelope import BadRecordError
from shared.ids import PersonId, new_id
from shared.testing.records import Header, Record, record_of, row_of
from tests.shared.builders import a_request_expired

SCOPE = UUID("0198c0de-0000-7000-8000-000000000001")
SUBJECT = UUID("0198c0de-0000-7000-8000-000000000002")
ID = UUID("0198c0de-0000-7000-8000-000000000003")
CAUSE = UUID("0198c0de-0000-7000-8000-000000000004")
HAPPENED = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
RECORDED = datetime(2026, 3, 1, 9, 30, 1, 500_000, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def a_record() -> Record:
    return record_of(a_request_expired(), subject=SUBJECT, scope=SCOPE)


def read(record: Record) -> tuple[envelope.Envelope, bytes | None]:
    return envelope.read(record.headers, record.value)


def judged(record: Record) -> Any:
    """Read a record with the reader of the CloudEvents project."""
    headers = {name: raw for name, raw in record.headers if raw is not None}
    return kafka.from_kafka_event(kafka.KafkaMessage(headers, record.key, record.value or b""))


# --- As we write ------------------------------------------------------------------------------


def test_an_events_headers_are_exactly_these() -> None:
    row = row_of(
        a_request_expired(),
        subject=SUBJECT,
        scope=SCOPE,
        id=ID,
        time=HAPPENED,
        recorded_at=RECORDED,
        sequence=42,
        correlation_id=SUBJECT,
        causation_id=CAUSE,
        traceparent=TRACE,
    )

    assert dict(envelope.headers_of(row)) == {
        "ce_specversion": b"1.0",
        "ce_id": str(ID).encode(),
        "ce_source": f"/iacs/iacs.approval.v1/scopes/{SCOPE}".encode(),
        "ce_type": b"iacs.approval.request.expired.v1",
        "ce_subject": str(SUBJECT).encode(),
        "ce_time": b"2026-03-01T09:30:00+00:00",
        "ce_recordedtime": b"2026-03-01T09:30:01.500000+00:00",
        "ce_dataschema": b"https://iacs.example/contracts/iacs.approval.request.expired.v1.json",
        "ce_partitionkey": str(SCOPE).encode(),
        "ce_sequence": b"00000000000000000042",
        "ce_correlationid": str(SUBJECT).encode(),
        "ce_causationid": str(CAUSE).encode(),
        "content-type": b"application/json",
        "traceparent": TRACE.encode(),
    }


def test_a_state_record_carries_its_version_and_where_it_joins_the_events() -> None:
    person = PersonId(SUBJECT)
    row = row_of(AccountState(person_id=person, status="active"), subject=person, entity_version=7, as_of_sequence=42)

    headers = dict(envelope.headers_of(row))

    assert headers["ce_entityversion"] == b"7"
    assert headers["ce_asofsequence"] == b"00000000000000000042"
    assert "ce_sequence" not in headers


def test_what_was_written_is_read_back_whole() -> None:
    row = row_of(
        a_request_expired(),
        subject=SUBJECT,
        scope=SCOPE,
        id=ID,
        time=HAPPENED,
        sequence=42,
        correlation_id=SUBJECT,
        causation_id=CAUSE,
        traceparent=TRACE,
    )

    assert envelope.read(envelope.headers_of(row), b"{}") == (
        envelope.Envelope(
            id=str(ID),
            source=f"/iacs/iacs.approval.v1/scopes/{SCOPE}",
            type=RequestExpired.wire,
            subject=str(SUBJECT),
            time=HAPPENED,
            scope_id=SCOPE,
            correlation_id=SUBJECT,
            causation_id=CAUSE,
            traceparent=TRACE,
            sequence=42,
        ),
        b"{}",
    )


def test_the_reader_of_the_cloudevents_project_accepts_ours() -> None:
    record = a_record()

    event = judged(record)

    about, _ = read(record)
    assert (event.get_id(), event.get_source(), event.get_type()) == (about.id, about.source, about.type)
    assert (event.get_subject(), event.get_time()) == (about.subject, about.time)
    assert event.get_extension("partitionkey") == str(SCOPE)
    assert event.get_extension("sequence") == "00000000000000000001"
    assert event.get_data() == json.loads(record.value or b"")


def test_the_reader_of_the_cloudevents_project_and_we_refuse_a_record_without_source() -> None:
    broken = a_record().lacking("ce_source")

    with pytest.raises(CloudEventValidationError):
        judged(broken)
    with pytest.raises(BadRecordError):
        read(broken)


def test_we_read_what_the_cloudevents_project_writes_in_both_modes() -> None:
    event = judged(a_record())
    expected, _ = read(a_record())
    for message in (kafka.to_binary_event(event), kafka.to_structured_event(event)):
        headers: list[Header] = list(message.headers.items())
        about, body = envelope.read(headers, message.value)

        assert (about.type, about.subject, about.scope_id) == (expected.type, expected.subject, expected.scope_id)
        assert about.sequence == 1
        assert json.loads(body or b"") == event.get_data()


# --- As we read -------------------------------------------------------------------------------

REQUIRED = ("specversion", "id", "source", "type", "subject", "time", "partitionkey")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_record_says_all_that_is_decided(name: str) -> None:
    with pytest.raises(BadRecordError, match=f"{name} is missing or empty"):
        read(a_record().lacking(f"ce_{name}"))
    with pytest.raises(BadRecordError, match=f"{name} is missing or empty"):
        read(a_record().having(f"ce_{name}", b""))


@pytest.mark.parametrize("name", [*(f"ce_{one}" for one in REQUIRED), "traceparent", "x-strange"])
def test_a_header_is_there_once_as_utf_8_without_nul(name: str) -> None:
    good = dict(a_record().headers).get(name) or b"x"
    with pytest.raises(BadRecordError, match="is null"):
        read(a_record().having(name, None))
    with pytest.raises(BadRecordError, match="is not UTF-8"):
        read(a_record().having(name, b"\xff\xfe"))
    with pytest.raises(BadRecordError, match="has a NUL"):
        read(a_record().having(name, good + b"\0"))
    with pytest.raises(BadRecordError, match="stands twice"):
        read(Record("t", [*a_record().having(name, good).headers, (name, good)], b"{}"))


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("ce_Sequence", b"1", "attribute name"),
        ("ce_", b"1", "attribute name"),
        ("ce_entity-version", b"1", "attribute name"),
        ("ce_a2345678901234567890x", b"1", "attribute name"),
        ("ce_specversion", b"0.3", "specversion"),
        ("ce_specversion", b"1.0.2", "specversion"),
        ("ce_type", b"expired", "type must be"),
        ("ce_type", b"iacs..v1", "type must be"),
        ("ce_type", b"Iacs.approval", "type must be"),
        ("ce_type", b"iacs.approval.v1\n", "type must be"),
        ("ce_time", b"2026-03-01T09:30:00", "time must be"),
        ("ce_time", b"2026-03-01", "time must be"),
        ("ce_time", b"1772357400", "time must be"),
        ("ce_time", b"1772357400.5", "time must be"),
        ("ce_time", b"yesterday", "time must be"),
        ("ce_time", b"2026-13-01T09:30:00Z", "time must be"),
        ("ce_partitionkey", b"xyz", "partitionkey must be"),
        ("ce_correlationid", b"xyz", "correlationid must be"),
        ("ce_causationid", b"xyz", "causationid must be"),
        ("ce_sequence", b"-1", "sequence must be"),
        ("ce_sequence", b"one", "sequence must be"),
        ("ce_sequence", b"", "sequence must be"),
        ("ce_sequence", "١".encode(), "sequence must be"),
        ("ce_sequence", b"9" * 20, "sequence must be"),
        ("ce_entityversion", b"9" * 1000, "entityversion must be"),
        ("ce_entityversion", b"1.5", "entityversion must be"),
        ("ce_asofsequence", b"x", "asofsequence must be"),
        ("ce_subject", b"s" * 1025, "longer than"),
        ("ce_id", b"s" * 1025, "longer than"),
        ("ce_sequence", b"9" * 5000, "longer than"),
        ("content-type", b"text/plain", "content-type must be"),
        ("content-type", b"application/jsonp", "content-type must be"),
        ("content-type", b"", "content-type must be"),
    ],
)
def test_a_broken_rule_is_named(name: str, value: bytes, rule: str) -> None:
    with pytest.raises(BadRecordError, match=rule):
        read(a_record().having(name, value))


def test_a_body_without_a_content_type_is_refused() -> None:
    with pytest.raises(BadRecordError, match="content-type must be"):
        read(a_record().lacking("content-type"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", b"application/json; charset=utf-8"),
        ("ce_time", b"2026-03-01T09:30:00Z"),
        ("ce_time", b"2026-03-01T09:30:00.123456789+02:00"),
        ("ce_newlyinvented", "Ümlaut".encode()),
        ("x-anything", b""),
        ("ce_sequence", b"9223372036854775807"),
    ],
)
def test_what_the_standard_allows_is_read(name: str, value: bytes) -> None:
    assert read(a_record().having(name, value))[0].subject == str(SUBJECT)


def test_a_tombstone_needs_no_content_type() -> None:
    record = a_record().lacking("content-type")

    assert envelope.read(record.headers, None)[1] is None


def test_an_error_holds_no_content() -> None:
    for name in ("ce_time", "ce_type", "ce_partitionkey", "ce_sequence", "ce_specversion"):
        with pytest.raises(BadRecordError) as found:
            read(a_record().having(name, b"123-45-6789"))
        assert "6789" not in str(found.value)


# --- Structured mode --------------------------------------------------------------------------


def structured(**changed: object) -> Record:
    record = a_record()
    whole: dict[str, object] = {
        name[3:]: (raw or b"").decode() for name, raw in record.headers if name.startswith("ce_")
    }
    whole |= {"datacontenttype": "application/json", "data": json.loads(record.value or b""), **changed}
    return Record(record.topic, [("content-type", b"application/cloudevents+json")], json.dumps(whole).encode())


def test_structured_mode_is_read_the_same() -> None:
    about, body = read(structured(sequence=1))

    assert (about.subject, about.scope_id, about.sequence) == (str(SUBJECT), SCOPE, 1)
    assert RequestExpired.model_validate_json(body or b"").stage == 1


@pytest.mark.parametrize(
    "changed",
    [
        *({name: None} for name in REQUIRED),
        {"id": ""},
        {"id": ["x"]},
        {"subject": {"a": 1}},
        {"subject": "a\0b"},
        {"subject": "\ud800"},
        {"data_base64": "e30="},
        {"specversion": 1.0},
    ],
)
def test_structured_mode_is_no_way_around_a_rule(changed: Mapping[str, object]) -> None:
    with pytest.raises(BadRecordError):
        read(structured(**changed))


@pytest.mark.parametrize(
    "value", [None, b"", b"[]", b"1", b"{", b"\xff", b"[" * 100_000, b'{"id":' + b"1" * 5000 + b"}"]
)
def test_structured_mode_needs_a_json_object(value: bytes | None) -> None:
    with pytest.raises(BadRecordError):
        envelope.read([("content-type", b"application/cloudevents+json")], value)


# --- Whatever comes ---------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.text() | st.sampled_from([f"ce_{name}" for name in REQUIRED]), st.none() | st.binary())),
    st.none() | st.binary(),
)
def test_whatever_comes_it_is_read_or_refused(headers: list[Header], value: bytes | None) -> None:
    with pytest.raises(BadRecordError):
        envelope.read(headers, value)


@given(st.sampled_from([name for name, _ in a_record().headers]), st.binary())
def test_whatever_one_header_says_the_record_is_read_or_refused(name: str, value: bytes) -> None:
    try:
        about, _ = read(a_record().having(name, value))
    except BadRecordError:
        return
    assert all((about.id, about.source, about.type, about.subject))


def test_ids_are_kept_as_they_were_written() -> None:
    name = str(new_id()).upper()

    assert read(a_record().having("ce_id", name.encode()))[0].id == name
