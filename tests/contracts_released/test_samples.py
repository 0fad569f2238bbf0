"""A record of every type of every released version is read by today's readers, whole, and is as its schema says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from services import compatibility, contracts
from shared import envelope, topics
from shared.contracts.base import Event, State
from shared.contracts.community import Community
from shared.contracts.community import faults as community_faults
from shared.contracts.directory import CommunityState
from shared.delivery import Handlers
from shared.testing.records import Record
from tests.subscribers.documents import formats

Json = dict[str, Any]
BODIES = {body.wire: body for body in contracts.published()}


@dataclass(frozen=True)
class Sample:
    """A record as it was sent, and the version that sent it."""

    version: Path
    path: Path

    @property
    def wire(self) -> str:
        return self.path.stem

    def record(self) -> Record:
        it = json.loads(self.path.read_text(encoding="utf-8"))
        headers = [(name, text.encode()) for name, text in it["headers"].items()]
        return Record(it["topic"], headers, it["body"].encode(), key=it["key"].encode())

    def __str__(self) -> str:
        return f"{self.version.name} {self.wire}"


SAMPLES = [
    Sample(version, path)
    for version in compatibility.versions()
    for path in sorted((version / "samples").glob("*.json"))
]


def texts(record: Record) -> dict[str, str]:
    return {name: (raw or b"").decode() for name, raw in record.headers}


def body_of(record: Record) -> Json:
    body: Json = json.loads(record.value or b"")
    return body


def faults(schema: Json, body: Json) -> list[str]:
    """Return what a validator that is not ours finds wrong with a body."""
    return [error.message for error in Draft202012Validator(schema, format_checker=formats).iter_errors(body)]


@cache
def schema_of(folder: Path, wire: str) -> Json:
    schema: Json = json.loads((folder / f"{wire}.json").read_text(encoding="utf-8"))
    return schema


@cache
def todays_samples() -> Mapping[str, str]:
    """Return what a release of today would keep, by file."""
    return compatibility.samples()


# --- There is one of each ---------------------------------------------------------------------


@pytest.mark.parametrize("version", compatibility.versions(), ids=lambda version: version.name)
def test_every_released_type_has_a_sample(version: Path) -> None:
    assert [it.wire for it in SAMPLES if it.version == version] == sorted(
        set(compatibility.read(version)) - {"community"}
    )


def test_a_first_version_is_released() -> None:
    assert SAMPLES


# --- Today's readers --------------------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_todays_reader_reads_it_whole(sample: Sample) -> None:
    record = sample.record()
    about, value = envelope.read(record.headers, record.value)
    assert about.type == sample.wire

    body = BODIES[sample.wire].model_validate_json(value or b"")

    lost = _lost(body_of(record), json.loads(body.model_dump_json()))
    assert lost == [], "today's model no longer knows these fields, or reads them as something else"


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_todays_delivery_takes_it_for_what_it_is(sample: Sample) -> None:
    handlers, body = Handlers("toy"), BODIES[sample.wire]
    if issubclass(body, Event):
        handlers(body)(_ignore)
    else:
        handlers.state(body)(_ignore)

    item = handlers.read(sample.record())

    assert (item.fault, item.is_known, type(item.body)) == ("", True, body)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_it_is_where_todays_readers_look_for_it(sample: Sample) -> None:
    record, body = sample.record(), BODIES[sample.wire]
    headers = texts(record)
    is_state = topics.BY_NAME[body.topic].is_state
    assert record.topic == body.topic
    assert (record.key or b"").decode() == headers["ce_subject" if is_state else "ce_partitionkey"]
    assert headers["ce_source"] == f"/iacs/{body.topic}/scopes/{headers['ce_partitionkey']}"
    assert headers["ce_dataschema"] == schema_of(sample.version, sample.wire)["$id"]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_todays_records_have_every_header_that_it_has(sample: Sample) -> None:
    today = json.loads(todays_samples()[sample.path.name])
    assert texts(sample.record()).keys() <= today["headers"].keys()


@pytest.mark.parametrize("sample", [it for it in SAMPLES if it.wire == CommunityState.wire], ids=str)
def test_the_community_in_it_is_one_by_its_own_schema_and_by_todays(sample: Sample) -> None:
    definition = body_of(sample.record())["definition"]
    for folder in (sample.version, contracts.FOLDER):
        assert faults(schema_of(folder, "community"), definition) == []
        assert faults(schema_of(folder, "community"), {**definition, "kinds": []}) != []
    assert community_faults(Community.model_validate(definition)) == []


async def _ignore(*_: object) -> None:
    """Nothing follows from it."""


def _lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the paths of what was said and is no longer read as it was."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [lost for name, it in before.items() for lost in _lost(it, after.get(name), f"{path}.{name}")]
    return [] if before == after else [path]


# --- A validator that is not ours -------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_it_is_as_its_own_schema_and_todays_say(sample: Sample) -> None:
    body = body_of(sample.record())
    assert faults(schema_of(sample.version, sample.wire), body) == []
    assert faults(schema_of(contracts.FOLDER, sample.wire), body) == []


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_without_what_must_be_there_it_is_refused(sample: Sample) -> None:
    for folder in (sample.version, contracts.FOLDER):
        schema = schema_of(folder, sample.wire)
        for name in schema["required"]:
            body = body_of(sample.record())
            del body[name]
            assert faults(schema, body) == [f"'{name}' is a required property"]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_with_something_else_in_a_field_it_is_refused(sample: Sample) -> None:
    schema = schema_of(sample.version, sample.wire)
    for name in schema["properties"]:
        assert faults(schema, {**body_of(sample.record()), name: {"not": ["what", "was", "said"]}}) != [] or (
            schema["properties"][name].get("additionalProperties") is True
        )


@pytest.mark.parametrize("folder", [contracts.FOLDER, *compatibility.versions()], ids=lambda folder: folder.name)
def test_every_schema_is_one(folder: Path) -> None:
    for schema in compatibility.read(folder).values():
        Draft202012Validator.check_schema(schema)


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(SchemaError):
        Draft202012Validator.check_schema({"type": "text"})


# --- What a release would keep ----------------------------------------------------------------


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_sample_has_every_field_filled_and_none_with_a_stand_in(body: type[Event] | type[State]) -> None:
    text = json.loads(todays_samples()[f"{body.wire}.json"])["body"]
    assert '"example"' not in text
    assert json.loads(text).keys() == body.model_fields.keys()


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_sample_lies_where_the_relay_puts_it(body: type[Event] | type[State]) -> None:
    it = json.loads(todays_samples()[f"{body.wire}.json"])
    about, _ = envelope.read([(name, text.encode()) for name, text in it["headers"].items()], it["body"].encode())
    is_state = topics.BY_NAME[body.topic].is_state
    assert (it["topic"], it["key"]) == (body.topic, about.subject if is_state else str(about.scope_id))


def test_the_sample_of_a_community_is_a_whole_one() -> None:
    text = json.loads(todays_samples()[f"{CommunityState.wire}.json"])["body"]
    state = CommunityState.model_validate_json(text)
    assert Community.model_validate(state.definition).version == state.version


def test_a_version_keeps_what_it_was_released_with() -> None:
    assert compatibility.check(compatibility.read(contracts.FOLDER)) == []
