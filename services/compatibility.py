"""Keeps every released version of the published language, and refuses what would break its readers.

Both ways: a reader of any released version reads what is said today, and today's reader what was said then. So within
v1 types and optional fields are added, and nothing else changes. `python -m services.compatibility release` keeps
today's schemas under the product's version, with a sample record of each type; `--check` compares with all versions.
"""

import hashlib
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from services import asyncapi, contracts
from shared import topics
from shared.contracts.community import Community

RELEASED = contracts.FOLDER / "released"
SUMS = "SHA256SUMS"
"""Of a version's files, as `sha256sum --check` reads it: what is released is never rewritten."""
_PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"

Json = Mapping[str, Any]
Language = Mapping[str, Json]
"""The schemas of one version, by the name of the type."""


# --- What is refused --------------------------------------------------------------------------


def refusals(released: Language, present: Language) -> list[str]:
    """Return a sentence for each change that a reader would not survive; none if every reader goes on."""
    return [
        sentence
        for wire, before in released.items()
        for sentence in (
            refused(wire, before, present[wire]) if wire in present else [_gone(wire, before, released, present)]
        )
    ]


def refused(wire: str, before: Json, after: Json) -> list[str]:
    """Return a sentence for each change of one type that a reader would not survive.

    What is on no topic is a file that people write and today's software reads: only older files must stay readable.
    """
    changes = _changes(_Pair(before, after, before, after))
    is_published = contracts.TOPIC in before
    return [f"{wire}: {it.where} {it.says}" for it in changes if is_published or it.breaks != "released"]


def _gone(wire: str, schema: Json, released: Language, present: Language) -> str:
    for name, it in present.items():
        if name not in released and it.get("title") == schema.get("title"):
            return f"{wire}: the type changes its wire name to {name}; released readers skip what they do not know"
    return f"{wire}: the type is removed; released readers wait for it"


@dataclass(frozen=True)
class _Change:
    path: str
    says: str
    breaks: Literal["released", "today's", "both"]
    """Whose reading ends: a released reader's of today's records, today's reader's of released ones."""

    @property
    def where(self) -> str:
        return f"`{self.path}`" if self.path else "the record"


@dataclass(frozen=True)
class _Pair:
    """The same place in two schemas, and the two whole ones, in which references are looked up."""

    before: Json
    after: Json
    before_root: Json
    after_root: Json
    path: str = ""
    inside: frozenset[tuple[str, str]] = frozenset()
    """The references that led here: a type that contains itself is compared once."""

    def at(self, step: str, before: Json, after: Json) -> "_Pair":
        path = self.path + step if step.startswith("[") else f"{self.path}.{step}".removeprefix(".")
        return replace(self, before=before, after=after, path=path)

    def change(self, says: str, breaks: Literal["released", "today's", "both"] = "both", *, field: str = "") -> _Change:
        return _Change(".".join(part for part in (self.path, field) if part), says, breaks)

    def narrowed(self, says: str, *, field: str = "") -> _Change:
        return self.change(f"{says}; today's readers would refuse released records", "today's", field=field)

    def widened(self, says: str, *, field: str = "") -> _Change:
        return self.change(f"{says}; released readers would refuse today's records", "released", field=field)


_TELLING = {"title", "description", "examples", "deprecated", "$comment", "$schema", "$defs", "$ref"}
"""Said to people, or followed: no reader decides by it."""
_LOWER = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_UPPER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_FOLLOWED = {"properties", "required", "items", "additionalProperties", "enum", "const", "type", "default", *_LISTS}
_CALLED = {"$id": "wire name", contracts.TOPIC: "topic", contracts.KEY: "key"}


def _changes(pair: _Pair) -> Iterator[_Change]:
    before, after = _resolved(pair.before, pair.before_root), _resolved(pair.after, pair.after_root)
    references = (before.get("$ref", ""), after.get("$ref", ""))
    if all(references):
        if references in pair.inside:
            return
        pair = replace(pair, inside=pair.inside | {references})
    if before["nullable"] != after["nullable"]:
        yield pair.widened("may be null now") if after["nullable"] else pair.narrowed("may no longer be null")
    if before.get("type") != after.get("type"):
        yield pair.change(f"changes its type from {_text(before, 'type')} to {_text(after, 'type')}")
        return
    yield from _values(pair, before, after)
    yield from _rules(pair, before, after)
    yield from _fields(pair, before, after)
    yield from _inner(pair, "items", "[]", before, after)
    yield from _inner(pair, "additionalProperties", "*", before, after)
    yield from _choices(pair, before, after)


def _resolved(node: Json, root: Json) -> dict[str, Any]:
    """Return a node with its reference followed and null taken out of its choices, as `nullable`."""
    found = dict(node)
    if "$ref" in found:
        reference = found.pop("$ref")
        found = {**_resolved(root["$defs"][reference.rsplit("/")[-1]], root), **found, "$ref": reference}
    choices = found.get("anyOf", [])
    others = [choice for choice in choices if choice.get("type") != "null"]
    nullable = len(others) < len(choices) or found.get("nullable", False)
    if nullable and choices:
        del found["anyOf"]
        found = {**_resolved(others[0], root), **found} if len(others) == 1 else {**found, "anyOf": others}
    return {**found, "nullable": nullable}


def _values(pair: _Pair, before: Json, after: Json) -> Iterator[_Change]:
    if "const" in before and "const" in after:
        if before["const"] != after["const"]:
            yield pair.change(f"changes its constant from {_text(before, 'const')} to {_text(after, 'const')}")
        return
    old, new = _allowed(before), _allowed(after)
    if old is None and new is not None:
        yield pair.narrowed(f"takes nothing but {', '.join(new)} now")
    elif old is not None and new is None:
        yield pair.widened(f"takes more than {', '.join(old)} now")
    elif old is not None and new is not None:
        if added := [value for value in new if value not in old]:
            yield pair.widened(f"takes {', '.join(added)} as well")
        if gone := [value for value in old if value not in new]:
            yield pair.narrowed(f"no longer takes {', '.join(gone)}")


def _allowed(node: Json) -> list[str] | None:
    values = [node["const"]] if "const" in node else node.get("enum")
    return None if values is None else [json.dumps(value) for value in values]


def _rules(pair: _Pair, before: Json, after: Json) -> Iterator[_Change]:
    for keyword in sorted((before.keys() | after.keys()) - _TELLING - _FOLLOWED - {"nullable"}):
        old, new = before.get(keyword), after.get(keyword)
        if old == new:
            continue
        name = _CALLED.get(keyword, keyword)
        says = f"changes its {name} from {_text(before, keyword)} to {_text(after, keyword)}"
        if keyword in _CALLED:
            yield pair.change(f"{says}; released readers look for it where it was")
        elif old is None or (new is not None and _is_tighter(keyword, old, new)):
            yield pair.narrowed(says)
        elif new is None or _is_tighter(keyword, new, old):
            yield pair.widened(says)
        else:
            yield pair.change(f"{says}; readers of both sides would refuse each other's records")


def _is_tighter(keyword: str, than: Any, it: Any) -> bool:
    return bool((keyword in _LOWER and it > than) or (keyword in _UPPER and it < than))


def _fields(pair: _Pair, before: Json, after: Json) -> Iterator[_Change]:
    old, new = before.get("properties", {}), after.get("properties", {})
    needed_before, needed_after = before.get("required", []), after.get("required", [])
    for name in (name for name in old if name not in new):
        yield pair.change("is removed; released readers rely on it", field=name)
    for name in (name for name in new if name not in old):
        if name in needed_after:
            yield pair.narrowed("is new and required", field=name)
        elif "default" not in new[name]:
            yield pair.narrowed("is new and has no default", field=name)
        elif before.get("additionalProperties") is False:
            yield pair.widened("is new where released readers allow no further field", field=name)
    for name in (name for name in old if name in new):
        if name in needed_before and name not in needed_after:
            yield pair.widened("is no longer required", field=name)
        elif name in needed_after and name not in needed_before:
            yield pair.narrowed("is required now", field=name)
        elif name not in needed_after and _text(old[name], "default") != _text(new[name], "default"):
            says = f"changes its default from {_text(old[name], 'default')} to {_text(new[name], 'default')}"
            yield pair.change(f"{says}; a released record without it would mean something else", field=name)
        yield from _changes(pair.at(name, old[name], new[name]))


def _inner(pair: _Pair, keyword: str, step: str, before: Json, after: Json) -> Iterator[_Change]:
    """Compare what every element, or every field without a name of its own, must be: a schema, all or nothing."""
    old, new = before.get(keyword, True), after.get(keyword, True)
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _changes(pair.at(step, old, new))
    elif old != new:
        is_narrower = new is False or old is True
        what = "further fields" if keyword == "additionalProperties" else keyword
        yield pair.narrowed(f"allows fewer {what}") if is_narrower else pair.widened(f"allows more {what}")


def _choices(pair: _Pair, before: Json, after: Json) -> Iterator[_Change]:
    for keyword in _LISTS:
        old, new = before.get(keyword, []), after.get(keyword, [])
        if len(old) != len(new):
            yield pair.change(f"has {len(new)} instead of {len(old)} in {keyword}; readers take it for what it is not")
        else:
            for number, (one, other) in enumerate(zip(old, new, strict=True)):
                yield from _changes(pair.at(f"[{number}]", one, other))


def _text(node: Json, keyword: str) -> str:
    return json.dumps(node[keyword]) if keyword in node else "nothing"


# --- What is kept -----------------------------------------------------------------------------


def versions(released: Path = RELEASED) -> list[Path]:
    """Return the folders of all released versions."""
    return sorted(path for path in released.iterdir() if path.is_dir()) if released.exists() else []


def read(folder: Path) -> dict[str, Json]:
    """Return the schemas of a folder, by the name of the type."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def check(present: Language, released: Path = RELEASED) -> list[str]:
    """Return what is wrong with today's language, seen from all released versions."""
    return [
        f"Against {folder.name}: {sentence}"
        for folder in versions(released)
        for sentence in [*_rewritten(folder), *refusals(read(folder), present)]
    ]


def _rewritten(folder: Path) -> list[str]:
    sums = folder / SUMS
    if sums.exists() and sums.read_text(encoding="utf-8") == _sums(folder):
        return []
    return ["its files are not as they were released; take them back from the version history"]


def _sums(folder: Path) -> str:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n" for path in paths
    )


def release(version: str, schemas: Mapping[str, str], samples: Mapping[str, str], released: Path = RELEASED) -> None:
    """Keep the texts of today's schemas and samples, by file name, as `version`.

    Raises FileExistsError if the version is there: what others read by is never rewritten.
    """
    folder = released / version
    (folder / "samples").mkdir(parents=True)
    for name, text in schemas.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, text in samples.items():
        (folder / "samples" / name).write_text(text, encoding="utf-8")
    (folder / SUMS).write_text(_sums(folder), encoding="utf-8")


# --- Samples ----------------------------------------------------------------------------------


def samples() -> dict[str, str]:
    """Return a record of each type as the relay sends it, with everything that may be in it, by file name."""
    return {f"{body.wire}.json": _sample(body) for body in contracts.published()}


def _sample(body: asyncapi.Body) -> str:
    example = asyncapi.examples(body)[0]
    headers = example["headers"]
    is_state = topics.BY_NAME[body.topic].is_state
    record = {
        "topic": body.topic,
        "key": headers["ce_subject" if is_state else "ce_partitionkey"],
        "headers": headers,
        "body": body.model_validate(_whole(_lifelike(example["payload"]))).model_dump_json(),
    }
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def _whole(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload with a whole community in it, if it has one: who reads it later must know all its words."""
    if "definition" not in payload:
        return payload
    toml = (files("shared") / "communities" / f"{payload['community_id']}.toml").read_text(encoding="utf-8")
    definition = Community.model_validate(tomllib.loads(toml)).model_dump(mode="json")
    return {**payload, "definition": {**definition, "version": payload["version"]}}


def _lifelike(it: Any, name: str = "") -> Any:
    """Return a value in which nothing merely stands in: internal types have fields that no public one has."""
    if isinstance(it, dict):
        return {key: _lifelike(value, key) for key, value in it.items()}
    if isinstance(it, list):
        return [_lifelike(value, name) for value in it]
    return _LOOKS_LIKE[name] if it == "example" else it


_JWE = "eyJhbGciOiJFQ0RILUVTK0EyNTZLVyIsImVuYyI6IkEyNTZHQ00ifQ.a2V5.aXY.Y2lwaGVydGV4dA.dGFn"
_LOOKS_LIKE: Json = {
    "code_sealed": _JWE,
    "criteria": "You submit claims for a Medicare provider.",
    "document": "irs_letter",
    "documents_needed": "irs_letter",
    "email": "applicant@chesapeake.example",
    "family_name": "Ortiz",
    "given_name": "Maria",
    "link_sealed": _JWE,
    "media_type": "application/pdf",
    "not_for": "You only look up eligibility.",
    "notice": "request_received",
    "npi": "1234567893",
    "phone": "410-555-0117",
    "provider_type": "clinic",
    "ptans": "A12345",
    "sha256": hashlib.sha256(b"letter").hexdigest(),
    "street": "12 Harbor Street",
    "tin_fingerprint": "3q2-796tvu_erb7v3q2-796tvu_erb7v3q2-796tvu8",
    "tin_sealed": _JWE,
    "tracking_number": "IACS-7M3Q-0XKD-92HT-VB4E",
    "user_id": "HK47MPQ2",
    "zip_code": "21201",
}


# --- The command ------------------------------------------------------------------------------


def _faults(released: Path) -> Iterator[str]:
    today = contracts.files()
    if {path.name: path.read_text(encoding="utf-8") for path in contracts.FOLDER.glob("*.json")} != today:
        yield "Out of date: docs/contracts/. Run `make contracts`."
    yield from check({name.removesuffix(".json"): json.loads(text) for name, text in today.items()}, released)


def main(words: list[str], released: Path = RELEASED) -> None:
    """Keep today's language as the product's version, or with --check say what would break released readers."""
    if words not in (["release"], ["--check"]):
        sys.exit("usage: python -m services.compatibility release | --check")
    if faults := list(_faults(released)):
        sys.exit("\n".join(faults))
    if words == ["release"]:
        version = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"]
        try:
            release(version, contracts.files(), samples(), released)
        except FileExistsError:
            sys.exit(f"{version} is released, and never rewritten: raise the version in pyproject.toml first.")


if __name__ == "__main__":
    main(sys.argv[1:])
