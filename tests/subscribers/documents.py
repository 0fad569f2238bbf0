"""The AsyncAPI document as a reader's tool sees it: traits merged under their messages, references resolved."""

from copy import deepcopy
from datetime import datetime
from functools import cache
from typing import Any

from jsonschema import Draft7Validator, FormatChecker

from services import asyncapi

Json = dict[str, Any]

formats = FormatChecker(["uuid"])


@formats.checks("date-time", ValueError)
def _is_moment(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


@cache
def _document() -> Json:
    return asyncapi.document()


def document() -> Json:
    """Return the document, to be spoiled at will: making it takes longer than any look at it."""
    return deepcopy(_document())


def merged(document: Json, name: str) -> Json:
    """Return a message with its traits merged under it (RFC 7386), as AsyncAPI asks."""
    message: Json = document["components"]["messages"][name]
    under: Any = {}
    for reference in message["traits"]:
        under = _patched(under, _at(document, reference["$ref"]))
    whole: Json = _patched(under, {key: value for key, value in message.items() if key != "traits"})
    return whole


def faults(document: Json, name: str, *, headers: Json, payload: Any, key: str | None = None) -> list[str]:
    """Return what is wrong with a sample of a message; nothing if it is as the document says."""
    message = merged(document, name)
    judged: list[tuple[Json, Any]] = [(message["headers"], headers), (message["payload"], payload)]
    if key is not None:
        judged.append((message["bindings"]["kafka"]["key"], key))
    return [
        f"{'/'.join(map(str, error.path))}: {error.message}"
        for schema, value in judged
        for error in Draft7Validator(
            {**schema, "components": document["components"]}, format_checker=formats
        ).iter_errors(value)
    ]


def _at(document: Json, reference: str) -> Any:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def _patched(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    whole = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            whole.pop(name, None)
        else:
            whole[name] = _patched(whole.get(name), value)
    return whole
