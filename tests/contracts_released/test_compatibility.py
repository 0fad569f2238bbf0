"""Whatever would break a reader of the published language is refused, in a sentence that says where and why."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compatibility import refusals, refused

Json = Mapping[str, Any]
TOY = "iacs.toy.v1"
TEXT = {"type": "string"}
CODE = {"type": "string", "pattern": "^[A-Z]+$"}
COUNT = {"type": "integer"}
PERSON = {"type": "object", "properties": {"name": TEXT}, "required": ["name"]}


def a_type(needed: Json, others: Json | None = None, /, **rules: object) -> Json:
    """Return a schema with these fields, the first of them required, on a topic if nothing else is said."""
    fields = {**needed, **(others or {})}
    return {"type": "object", "properties": fields, "required": list(needed), "x-iacs-topic": "iacs.toy", **rules}


def nullable(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def one(before: Json, after: Json) -> tuple[Json, Json]:
    """Return two types that differ in what their only field is."""
    return a_type({"x": before}), a_type({"x": after})


NEW = "today's readers would refuse released records"
OLD = "released readers would refuse today's records"
RELIED_ON = "released readers rely on it"
OTHER_MEANING = "a released record without it would mean something else"
BOTH = "readers of both sides would refuse each other's records"

REFUSED: list[tuple[tuple[Json, Json], str]] = [
    # Fields
    ((a_type({"x": TEXT}), a_type({})), f"`x` is removed; {RELIED_ON}"),
    ((a_type({}, {"x": {**TEXT, "default": ""}}), a_type({})), f"`x` is removed; {RELIED_ON}"),
    ((a_type({}), a_type({"x": TEXT})), f"`x` is new and required; {NEW}"),
    ((a_type({}), a_type({}, {"x": TEXT})), f"`x` is new and has no default; {NEW}"),
    ((a_type({"x": TEXT}), a_type({}, {"x": TEXT})), f"`x` is no longer required; {OLD}"),
    ((a_type({}, {"x": TEXT}), a_type({"x": TEXT})), f"`x` is required now; {NEW}"),
    (
        (a_type({}, {"x": {**TEXT, "default": "a"}}), a_type({}, {"x": {**TEXT, "default": "b"}})),
        f'`x` changes its default from "a" to "b"; {OTHER_MEANING}',
    ),
    (
        (a_type({}, {"x": {**TEXT, "default": "a"}}), a_type({}, {"x": TEXT})),
        f'`x` changes its default from "a" to nothing; {OTHER_MEANING}',
    ),
    (
        (
            a_type({"x": {**PERSON, "additionalProperties": False}}),
            a_type(
                {
                    "x": {
                        **PERSON,
                        "properties": {"name": TEXT, "y": {**TEXT, "default": ""}},
                        "additionalProperties": False,
                    }
                }
            ),
        ),
        f"`x.y` is new where released readers allow no further field; {OLD}",
    ),
    (one(PERSON, {**PERSON, "additionalProperties": False}), f"`x` allows fewer further fields; {NEW}"),
    (one({**PERSON, "additionalProperties": False}, PERSON), f"`x` allows more further fields; {OLD}"),
    # Types and values
    (one(TEXT, COUNT), '`x` changes its type from "string" to "integer"'),
    (one(COUNT, {"type": "number"}), '`x` changes its type from "integer" to "number"'),
    (one(TEXT, nullable(TEXT)), f"`x` may be null now; {OLD}"),
    (one(nullable(TEXT), TEXT), f"`x` may no longer be null; {NEW}"),
    (one({"const": "a"}, {"const": "b"}), '`x` changes its constant from "a" to "b"'),
    (one({"const": "a"}, {"enum": ["a", "b"]}), f'`x` takes "b" as well; {OLD}'),
    (one({"enum": ["a", "b"]}, {"enum": ["a", "b", "c"]}), f'`x` takes "c" as well; {OLD}'),
    (one({"enum": ["a", "b"]}, {"enum": ["a"]}), f'`x` no longer takes "b"; {NEW}'),
    (one({"enum": ["a", "b"]}, {"const": "a"}), f'`x` no longer takes "b"; {NEW}'),
    (one(TEXT, {**TEXT, "enum": ["a"]}), f'`x` takes nothing but "a" now; {NEW}'),
    (one({**TEXT, "enum": ["a", "b"]}, TEXT), f'`x` takes more than "a", "b" now; {OLD}'),
    (one({**COUNT, "const": 1}, COUNT), f"`x` takes more than 1 now; {OLD}"),
    # Rules
    (one(TEXT, CODE), f'`x` changes its pattern from nothing to "^[A-Z]+$"; {NEW}'),
    (one(CODE, TEXT), f'`x` changes its pattern from "^[A-Z]+$" to nothing; {OLD}'),
    (one(CODE, {**CODE, "pattern": "^[a-z]+$"}), f'`x` changes its pattern from "^[A-Z]+$" to "^[a-z]+$"; {BOTH}'),
    (one(TEXT, {**TEXT, "format": "uuid"}), f'`x` changes its format from nothing to "uuid"; {NEW}'),
    (one({**TEXT, "format": "uuid"}, TEXT), f'`x` changes its format from "uuid" to nothing; {OLD}'),
    (
        one({**TEXT, "format": "date"}, {**TEXT, "format": "date-time"}),
        f'`x` changes its format from "date" to "date-time"; {BOTH}',
    ),
    *(
        (one({**COUNT, rule: old}, {**COUNT, rule: new}), f"`x` changes its {rule} from {old} to {new}; {whose}")
        for rule in ("minimum", "exclusiveMinimum")
        for old, new, whose in ((1, 2, NEW), (2, 1, OLD))
    ),
    *(
        (one({**COUNT, rule: old}, {**COUNT, rule: new}), f"`x` changes its {rule} from {old} to {new}; {whose}")
        for rule in ("maximum", "exclusiveMaximum")
        for old, new, whose in ((2, 1, NEW), (1, 2, OLD))
    ),
    (one({**COUNT, "minimum": 1}, COUNT), f"`x` changes its minimum from 1 to nothing; {OLD}"),
    (one(COUNT, {**COUNT, "maximum": 1}), f"`x` changes its maximum from nothing to 1; {NEW}"),
    (one({**TEXT, "minLength": 1}, {**TEXT, "minLength": 2}), f"`x` changes its minLength from 1 to 2; {NEW}"),
    (one({**TEXT, "maxLength": 1}, {**TEXT, "maxLength": 2}), f"`x` changes its maxLength from 1 to 2; {OLD}"),
    (one({"type": "array"}, {"type": "array", "minItems": 1}), f"`x` changes its minItems from nothing to 1; {NEW}"),
    (one(COUNT, {**COUNT, "multipleOf": 5}), f"`x` changes its multipleOf from nothing to 5; {NEW}"),
    (one({**COUNT, "whatever": 1}, {**COUNT, "whatever": 2}), f"`x` changes its whatever from 1 to 2; {BOTH}"),
    # Elements and choices
    (
        one({"type": "array", "items": TEXT}, {"type": "array", "items": COUNT}),
        '`x[]` changes its type from "string" to "integer"',
    ),
    (one({"type": "array"}, {"type": "array", "items": TEXT}), f"`x` allows fewer items; {NEW}"),
    (
        one(
            {"type": "object", "additionalProperties": TEXT}, {"type": "object", "additionalProperties": nullable(TEXT)}
        ),
        f"`x.*` may be null now; {OLD}",
    ),
    (
        one({"anyOf": [TEXT, COUNT]}, {"anyOf": [TEXT, COUNT, PERSON]}),
        "`x` has 3 instead of 2 in anyOf; readers take it for what it is not",
    ),
    (
        one({"anyOf": [TEXT, COUNT]}, {"anyOf": [CODE, COUNT]}),
        f'`x[0]` changes its pattern from nothing to "^[A-Z]+$"; {NEW}',
    ),
]

WHERE_IT_IS: list[tuple[tuple[Json, Json], str]] = [
    (
        (a_type({}), a_type({}, **{"x-iacs-topic": "iacs.other"})),
        'the record changes its topic from "iacs.toy" to "iacs.other"; released readers look for it where it was',
    ),
    (
        (a_type({}, **{"x-iacs-key": "scope id"}), a_type({}, **{"x-iacs-key": "entity id"})),
        'the record changes its key from "scope id" to "entity id"; released readers look for it where it was',
    ),
    (
        (a_type({}, **{"$id": "toy"}), a_type({}, **{"$id": "game"})),
        'the record changes its wire name from "toy" to "game"; released readers look for it where it was',
    ),
]

ALLOWED: dict[str, tuple[Json, Json]] = {
    "an optional field with a default": (a_type({}), a_type({}, {"x": {**TEXT, "default": ""}})),
    "an optional field that may be null": (a_type({}), a_type({}, {"x": {**nullable(TEXT), "default": None}})),
    "another title": one({**TEXT, "title": "Name"}, {**TEXT, "title": "Full name"}),
    "another description": (a_type({}, description="What it was"), a_type({}, description="What it is")),
    "examples and a deprecation": one(TEXT, {**TEXT, "examples": ["a"], "deprecated": True}),
    "the values of an enum in another order": one({"enum": ["a", "b"]}, {"enum": ["b", "a"]}),
    "one value, said otherwise": one({"const": "a"}, {"enum": ["a"]}),
    "fields in another order": (a_type({"x": TEXT, "y": TEXT}), a_type({"y": TEXT, "x": TEXT})),
    "null said first": one(nullable(TEXT), {"anyOf": [{"type": "null"}, TEXT]}),
    "a part with a name of its own": (
        a_type({"x": PERSON}),
        a_type({"x": {"$ref": "#/$defs/Person"}}, **{"$defs": {"Person": PERSON}}),
    ),
    "a part with another name": (
        a_type({"x": nullable({"$ref": "#/$defs/A"})}, **{"$defs": {"A": PERSON}}),
        a_type({"x": nullable({"$ref": "#/$defs/B"})}, **{"$defs": {"B": PERSON}}),
    ),
}


@pytest.mark.parametrize(("types", "sentence"), REFUSED + WHERE_IT_IS, ids=lambda it: it if isinstance(it, str) else "")
def test_what_would_break_a_reader_is_refused_by_type_field_and_rule(types: tuple[Json, Json], sentence: str) -> None:
    assert refused(TOY, *types) == [f"{TOY}: {sentence}"]


@pytest.mark.parametrize("types", ALLOWED.values(), ids=ALLOWED)
def test_what_every_reader_survives_is_allowed(types: tuple[Json, Json]) -> None:
    assert refused(TOY, *types) == []


# --- Types ------------------------------------------------------------------------------------


def test_a_removed_type_is_refused() -> None:
    assert refusals({TOY: a_type({})}, {}) == [f"{TOY}: the type is removed; released readers wait for it"]


def test_another_wire_name_is_refused_and_said_to_be_one() -> None:
    it = a_type({}, title="Toy")
    assert refusals({TOY: it}, {"iacs.game.v1": it}) == [
        f"{TOY}: the type changes its wire name to iacs.game.v1; released readers skip what they do not know"
    ]


def test_a_type_is_not_taken_for_the_new_name_of_one_beside_which_it_was_released() -> None:
    it = a_type({}, title="Toy")
    assert refusals({TOY: it, "iacs.game.v1": it}, {"iacs.game.v1": it}) == [
        f"{TOY}: the type is removed; released readers wait for it"
    ]


def test_a_new_type_is_allowed() -> None:
    assert refusals({TOY: a_type({})}, {TOY: a_type({}), "iacs.game.v1": a_type({"x": TEXT})}) == []


def test_every_change_of_every_type_is_told_at_once() -> None:
    before, after = a_type({"x": TEXT, "y": COUNT}), a_type({"x": COUNT, "z": TEXT})
    told = refusals({"iacs.a.v1": before, "iacs.b.v1": before}, {"iacs.a.v1": after, "iacs.b.v1": after})
    assert sorted(re.findall(r"iacs\.(.)\.v1: `(.)`", "\n".join(told))) == [(a, x) for a in "ab" for x in "xyz"]


def test_a_file_that_people_write_may_allow_more_and_never_less() -> None:
    before = {"type": "object", "properties": {"x": {**COUNT, "minimum": 1}}, "additionalProperties": False}
    more = {"x": {**COUNT, "minimum": 0}, "y": {**TEXT, "default": ""}}
    assert refused("community", before, {**before, "properties": more}) == []
    assert refused("community", {**before, "properties": more}, before) == [
        f"community: `y` is removed; {RELIED_ON}",
        f"community: `x` changes its minimum from 0 to 1; {NEW}",
    ]


def test_a_type_that_contains_itself_is_compared_to_its_end() -> None:
    def tree(leaf: Json) -> Json:
        branch = {"type": "object", "properties": {"left": nullable({"$ref": "#/$defs/Tree"}), "leaf": leaf}}
        return a_type({"x": {"$ref": "#/$defs/Tree"}}, **{"$defs": {"Tree": branch}})

    assert refused(TOY, tree(TEXT), tree(TEXT)) == []
    assert refused(TOY, tree(TEXT), tree(COUNT)) == [f'{TOY}: `x.leaf` changes its type from "string" to "integer"']


# --- Anywhere ---------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
leaves = st.sampled_from([TEXT, CODE, COUNT, {"enum": ["a", "b"]}, {"const": "a"}, {"type": "boolean"}])


def _objects(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.builds(
        lambda fields, required, rest: {
            "type": "object",
            "properties": fields,
            "required": sorted(required & fields.keys()),
            **rest,
        },
        st.dictionaries(names, inner, max_size=3),
        st.sets(names),
        st.sampled_from([{}, {"additionalProperties": False}, {"additionalProperties": TEXT}]),
    )


schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        _objects(inner),
        inner.map(nullable),
        inner.map(lambda it: {"type": "array", "items": it}),
        st.lists(inner, min_size=2, max_size=3).map(lambda them: {"anyOf": them}),
    ),
    max_leaves=8,
)
steps = st.lists(st.sampled_from(["field", "element", "null", "rest", "reference"]), max_size=4)


@given(schemas)
def test_what_stays_as_it_was_is_never_refused(schema: Json) -> None:
    assert refused(TOY, a_type({"x": schema}), a_type({"x": schema})) == []


@given(st.sampled_from(REFUSED), schemas, steps)
def test_a_change_is_refused_wherever_in_a_type_it_is(
    case: tuple[tuple[Json, Json], str], beside: Json, way: list[str]
) -> None:
    (before, after), sentence = case
    place, says = re.fullmatch(r"`(.*?)` (.*)", sentence).groups()  # type: ignore[union-attr]
    path = _path(way)
    expected = f"{TOY}: `{path}.{place}` {says}"
    assert refused(TOY, _buried(before, beside, way), _buried(after, beside, way)) == [expected]


@given(st.sampled_from(list(ALLOWED)), schemas, steps)
def test_what_is_allowed_is_allowed_wherever_in_a_type_it_is(case: str, beside: Json, way: list[str]) -> None:
    before, after = ALLOWED[case]
    assert refused(TOY, _buried(before, beside, way), _buried(after, beside, way)) == []


def _buried(schema: Json, beside: Json, way: list[str]) -> Json:
    """Return a type in which `schema` is reached by this way, with something else beside it."""
    parts = dict(schema.get("$defs", {}))
    it = {name: value for name, value in schema.items() if name not in ("x-iacs-topic", "$defs")}
    for number, step in enumerate(reversed(way)):
        match step:
            case "field":
                it = {"type": "object", "properties": {"in": it, "beside": beside}, "required": ["in"]}
            case "element":
                it = {"type": "array", "items": it}
            case "null":
                it = {"anyOf": [it, {"type": "null"}]}
            case "rest":
                it = {"type": "object", "additionalProperties": it}
            case _:
                parts[f"Part{number}"] = it
                it = {"$ref": f"#/$defs/Part{number}"}
    return a_type({"top": it, "beside": beside}, **{"$defs": parts})


def _path(way: list[str]) -> str:
    return "top" + "".join({"field": ".in", "element": "[]", "rest": ".*"}.get(step, "") for step in way)
