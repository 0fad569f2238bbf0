"""CloudEvents 1.0 on Kafka: how our records look on the wire, and how strictly we read them.

We write binary mode and read both modes. What is read here is checked here: other readers invent
a missing id or specversion. Source: CloudEvents 1.0.2 Kafka binding; architecture 4.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

SPEC_VERSION = "1.0"
JSON = "application/json"
SEQUENCE_DIGITS = 20

_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}\Z")
_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+\Z")
_MOMENT: TypeAdapter[datetime] = TypeAdapter(datetime)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,20}\Z")
_MAXIMUM_COUNT = 2**63 - 1  # What a bigint holds.
_MAXIMUM_LENGTH = 1024
"""In characters. Ids and subjects stand in indexes, and PostgreSQL refuses longer ones there."""
_STRUCTURED = "application/cloudevents"
_NEEDED = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_partitionkey")
_OURS = frozenset(_NEEDED) | {
    *("ce_dataschema", "ce_recordedtime", "ce_correlationid", "ce_causationid"),
    *("ce_sequence", "ce_entityversion", "ce_asofsequence", "content-type", "traceparent"),
}
"""The names that we write: of a record of ours none is looked at twice."""

Headers = list[tuple[str, bytes]]


class BadRecordError(Exception):
    """The record is no event as decided. The message holds names and rules, never content."""


class Envelope(NamedTuple):
    """What a record says of itself. One is made for each record: a frozen dataclass would take five times as long."""

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    scope_id: UUID
    correlation_id: UUID | None = None
    causation_id: UUID | None = None
    traceparent: str = ""
    sequence: int | None = None
    entity_version: int | None = None
    as_of_sequence: int | None = None


def source_of(topic: str, scope_id: UUID | str) -> str:
    """Return the source of all events of one scope on one topic: sequences count within it."""
    return f"/iacs/{topic}/scopes/{scope_id}"


def schema_of(wire: str) -> str:
    """Return the address of the JSON Schema of a type's body."""
    return f"https://iacs.example/contracts/{wire}.json"


def headers_of(row: Mapping[str, Any]) -> Headers:
    """Return the headers of one outbox row: the same bytes however often it is sent."""
    scope = str(row["scope_id"])
    headers = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", str(row["id"])),
        ("ce_source", source_of(row["topic"], scope)),
        ("ce_type", row["type"]),
        ("ce_subject", row["subject"]),
        ("ce_time", row["time"].isoformat()),
        ("ce_dataschema", schema_of(row["type"])),
        ("ce_partitionkey", scope),
        ("ce_recordedtime", row["recorded_at"].isoformat()),
    ]
    if row["sequence"] is not None:
        headers.append(("ce_sequence", f"{row['sequence']:0{SEQUENCE_DIGITS}d}"))
    if row["entity_version"] is not None:
        headers.append(("ce_entityversion", str(row["entity_version"])))
    if row["as_of_sequence"] is not None:
        headers.append(("ce_asofsequence", f"{row['as_of_sequence']:0{SEQUENCE_DIGITS}d}"))
    if row["correlation_id"] is not None:
        headers.append(("ce_correlationid", str(row["correlation_id"])))
    if row["causation_id"] is not None:
        headers.append(("ce_causationid", str(row["causation_id"])))
    headers.append(("content-type", JSON))
    if row["traceparent"]:
        headers.append(("traceparent", row["traceparent"]))
    return [(name, text.encode()) for name, text in headers]


def read(raw_headers: Iterable[tuple[str, bytes | None]], value: bytes | None) -> tuple[Envelope, bytes | None]:
    """Return what a record says of itself, and its body's bytes (None: a tombstone).

    Raises BadRecordError, which names the first rule that the record breaks.
    """
    texts = _texts(raw_headers)
    content_type, traceparent = texts.get("content-type", ""), texts.get("traceparent", "")
    if content_type.startswith(_STRUCTURED):
        texts, value = _structured(value)
    elif value is not None and content_type.split(";")[0].strip() != JSON:
        raise BadRecordError(f"content-type must be {JSON}")
    return _envelope(texts, traceparent), value


def _texts(raw_headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, raw in raw_headers:
        if raw is None:
            raise BadRecordError(f"header {name!r} is null")
        if name in texts:
            raise BadRecordError(f"header {name!r} stands twice")
        try:
            texts[name] = raw.decode()
        except UnicodeDecodeError as error:
            raise BadRecordError(f"header {name!r} is not UTF-8") from error
    # One look at all of them; which one it is, is asked when there is one.
    if not _is_plain("".join([*texts, *texts.values()])):
        for name, text in texts.items():
            _refuse_unstorable(f"header {name!r}", name + text)
    return texts


def _is_plain(text: str) -> bool:
    """Whether it has nothing at all that `_refuse_unstorable` would have to look at."""
    return text.isascii() and "\0" not in text


def _refuse_unstorable(what: str, text: str) -> None:
    """Refuse what PostgreSQL cannot hold: a record must be parked when its handling fails, and then is a row."""
    if "\0" in text:
        raise BadRecordError(f"{what} has a NUL")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise BadRecordError(f"{what} has half a character")


def _structured(value: bytes | None) -> tuple[dict[str, str], bytes | None]:
    """Return the headers that an event would have in binary mode, and its body."""
    try:
        whole = json.loads(value or b"")
    except (ValueError, RecursionError) as error:
        raise BadRecordError("a structured event must be JSON") from error
    if not isinstance(whole, dict):
        raise BadRecordError("a structured event must be a JSON object")
    data = whole.pop("data", None)
    headers: dict[str, str] = {}
    for name, it in whole.items():
        if isinstance(it, str):
            _refuse_unstorable(f"attribute {name!r}", it)
        elif it is not None and not isinstance(it, int):
            raise BadRecordError(f"attribute {name!r} must be text, a whole number or a truth value")
        if it is not None:  # A null attribute is an absent one.
            headers[f"ce_{name}"] = it if isinstance(it, str) else json.dumps(it)
    return headers, None if data is None else json.dumps(data).encode()


def _envelope(headers: Mapping[str, str], traceparent: str) -> Envelope:
    for name in headers.keys() - _OURS:
        if name.startswith("ce_") and not _ATTRIBUTE.match(name[3:]):
            raise BadRecordError(f"attribute name {name[3:]!r} must be 1 to 20 of a-z and 0-9")
    for name, text in headers.items():
        if len(text) > _MAXIMUM_LENGTH and name.startswith("ce_"):
            raise BadRecordError(f"attribute {name[3:]} is longer than {_MAXIMUM_LENGTH} characters")
    for name in _NEEDED:
        if not headers.get(name):
            raise BadRecordError(f"attribute {name[3:]} is missing or empty")
    if headers["ce_specversion"] != SPEC_VERSION:
        raise BadRecordError(f"specversion must be {SPEC_VERSION}")
    if not _TYPE.match(headers["ce_type"]):
        raise BadRecordError("type must be a dotted name like iacs.directory.role.granted.v1")
    return Envelope(
        id=headers["ce_id"],
        source=headers["ce_source"],
        type=headers["ce_type"],
        subject=headers["ce_subject"],
        time=_moment(headers["ce_time"]),
        scope_id=_uuid(headers, "ce_partitionkey"),
        correlation_id=_optional_uuid(headers, "ce_correlationid"),
        causation_id=_optional_uuid(headers, "ce_causationid"),
        traceparent=traceparent,
        sequence=_optional_count(headers, "ce_sequence"),
        entity_version=_optional_count(headers, "ce_entityversion"),
        as_of_sequence=_optional_count(headers, "ce_asofsequence"),
    )


def _moment(text: str) -> datetime:
    try:
        time = _MOMENT.validate_python(text)
    except ValidationError as error:
        raise BadRecordError("time must be RFC 3339 with an offset") from error
    if time.tzinfo is None or not _DATE.match(text):  # Pydantic also takes seconds since the epoch.
        raise BadRecordError("time must be RFC 3339 with an offset")
    return time


def _uuid(headers: Mapping[str, str], name: str) -> UUID:
    try:
        return UUID(headers[name])
    except ValueError as error:
        raise BadRecordError(f"attribute {name[3:]} must be a UUID") from error


def _optional_uuid(headers: Mapping[str, str], name: str) -> UUID | None:
    return _uuid(headers, name) if headers.get(name) else None


def _optional_count(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    if not _COUNT.match(text) or (count := int(text)) > _MAXIMUM_COUNT:
        raise BadRecordError(f"attribute {name[3:]} must be digits, and at most {_MAXIMUM_COUNT}")
    return count
