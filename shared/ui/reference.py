"""The reference page of an API, made from its OpenAPI document: pure, so that no page can say anything else.

Understands what our documents hold: references, alternatives with null, enumerations, lists, objects.
Source: OpenAPI 3.1.0, JSON Schema 2020-12.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from shared import deployment
from shared.openapi import ADDRESSABLE

Schema = Mapping[str, Any]

_ONE_LINE = 72
_DEEPEST = 10  # A schema that names itself must end somewhere.
_KINDS = {
    "uuid": "UUID",
    "date": "date",
    "date-time": "date and time",
    "binary": "file",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "object": "object",
    "array": "list",
    "null": "null",
}
_EXAMPLES: Mapping[str, Any] = {
    "uuid": "0198c0de-0000-7000-8000-000000000001",
    "date": "2026-11-24",
    "date-time": "2026-11-24T14:05:00Z",
    "boolean": True,
    "null": None,
    "string": "",
}


@dataclass(frozen=True)
class Field:
    """One value that a caller sends. `place` is path, query, header, cookie or body."""

    name: str
    place: str
    kind: str
    rule: str
    example: str
    is_required: bool


@dataclass(frozen=True)
class Body:
    """What a caller sends as the body: JSON, field by field, or a file (no fields)."""

    media_types: tuple[str, ...]
    fields: tuple[Field, ...]
    example: str


@dataclass(frozen=True)
class Answer:
    """A success. `example` is JSON, or nothing where there is none."""

    status: str
    description: str
    media_types: tuple[str, ...]
    example: str


@dataclass(frozen=True)
class Error:
    """A "no": its code is stable, its title fixed per code, and its remedy says what to do."""

    status: str
    code: str
    title: str
    remedy: str


@dataclass(frozen=True)
class Access:
    """Who may call. `ways` are what to send; any one of them is enough."""

    label: str
    ways: tuple[str, ...]


@dataclass(frozen=True)
class Operation:
    """One call: what it is for, who may make it, what goes in and comes out."""

    id: str
    method: str
    path: str
    summary: str
    paragraphs: tuple[str, ...]
    access: Access
    parameters: tuple[Field, ...]
    body: Body | None
    curl: str
    answers: tuple[Answer, ...]
    errors: tuple[Error, ...]


@dataclass(frozen=True)
class Section:
    """The operations under one tag."""

    id: str
    title: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class ReferencePage:
    """The whole page. `others` are the name and the address of the other services' pages."""

    title: str
    openapi_url: str
    others: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


def reference_page(document: Mapping[str, Any], *, origin: str, openapi_url: str) -> ReferencePage:
    """Return the page of one service. `origin` is where its callers reach it, without a slash at the end."""
    reader = _Reader(document)
    sections: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            tag = (told.get("tags") or ["operations"])[-1]
            sections.setdefault(tag, []).append(reader.operation(method.upper(), path, told, origin))
    here = openapi_url.split("/")[1]
    return ReferencePage(
        title=document["info"]["title"],
        openapi_url=openapi_url,
        others=tuple((service.capitalize(), f"/{service}/docs") for service in deployment.SERVICES if service != here),
        sections=tuple(Section(f"section-{tag}", tag.capitalize(), tuple(told)) for tag, told in sections.items()),
    )


class _Reader:
    """Reads the parts of one document, following its references."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._schemes: Mapping[str, Any] = document.get("components", {}).get("securitySchemes", {})

    def operation(self, method: str, path: str, told: Mapping[str, Any], origin: str) -> Operation:
        """Return one operation."""
        answers = sorted(told["responses"].items())
        content: Mapping[str, Any] = told.get("requestBody", {}).get("content", {})
        body = self._body(content) if content else None
        parameters = told.get("parameters", [])
        succeeded = tuple(self._answer(code, answer) for code, answer in answers if code < "400")
        return Operation(
            id=told["operationId"].replace("_", "-"),
            method=method,
            path=path,
            summary=told["summary"],
            paragraphs=tuple(part for part in told.get("description", "").split("\n\n") if part),
            access=self._access(told.get("security", [])),
            parameters=tuple(self._parameter(one) for one in parameters),
            body=body,
            curl=self._curl(method, f"{origin}{path}", parameters, body, told.get("security", []), succeeded),
            answers=succeeded,
            errors=tuple(error for code, answer in answers if code >= "400" for error in _errors(code, answer)),
        )

    # --- Who calls ------------------------------------------------------------------------------

    def _access(self, security: Sequence[Mapping[str, Any]]) -> Access:
        schemes = [self._schemes[name] for one in security for name in one]
        if not schemes:
            return Access("Anybody, without a token", ())
        noun = "token" if schemes[0]["type"] == "http" else "session"
        label = f"With or without a {noun}" if {} in security else f"Only with a {noun}"
        return Access(label, tuple(scheme.get("description", "") for scheme in schemes))

    # --- What is sent ---------------------------------------------------------------------------

    def _parameter(self, told: Mapping[str, Any]) -> Field:
        schema = {**self._whole(told["schema"]), **({"examples": [told["example"]]} if "example" in told else {})}
        schema |= {"description": told.get("description", schema.get("description", ""))}
        return self._field(_name(told), told["in"], schema, is_required=told.get("required", False))

    def _body(self, content: Mapping[str, Any]) -> Body:
        if "application/json" not in content:
            return Body(tuple(content), (), "")
        schema = content["application/json"]["schema"]
        return Body(tuple(content), tuple(self._fields(schema)), _json(self._sent(schema)))

    def _fields(self, schema: Schema, prefix: str = "", depth: int = 0) -> Iterator[Field]:
        whole = self._whole(schema)
        for name, part in whole.get("properties", {}).items():
            field = self._whole(part)
            yield self._field(f"{prefix}{name}", "body", part, is_required=name in whole.get("required", []))
            inner = field.get("items") if field.get("type") == "array" else field
            if inner is not None and depth < _DEEPEST:
                yield from self._fields(inner, f"{prefix}{name}{'[]' if inner is not field else ''}.", depth + 1)

    def _field(self, name: str, place: str, part: Schema, *, is_required: bool) -> Field:
        schema = self._whole(part)
        return Field(
            name=name,
            place=place,
            kind=self._kind(schema) + (" or null" if schema.get("nullable") and place == "body" else ""),
            rule=_rule(schema),
            example=_shown(self._example(schema)),
            is_required=is_required,
        )

    def _kind(self, schema: Schema) -> str:
        if schema.get("type") == "array":
            return f"list of {self._kind(self._whole(schema.get('items', {})))}"
        return _KINDS.get(schema.get("format", ""), _KINDS.get(schema.get("type", ""), "any value"))

    def _sent(self, schema: Schema) -> Any:
        """Return an example of a body: the model's own in its own order, or what is required and has an example."""
        whole = self._whole(schema)
        parts: Mapping[str, Schema] = whole.get("properties", {})
        if "examples" in whole and parts:
            return {name: whole["examples"][0][name] for name in parts if name in whole["examples"][0]}
        if not parts:
            return self._example(whole)
        needed = [name for name in parts if name in whole.get("required", []) or "examples" in parts[name]]
        return {name: self._example(parts[name]) for name in needed}

    # --- What is answered -----------------------------------------------------------------------

    def _answer(self, code: str, told: Mapping[str, Any]) -> Answer:
        content: Mapping[str, Any] = told.get("content", {})
        schema = content.get("application/json", {}).get("schema")
        description = "" if told["description"] == "Successful Response" else told["description"]
        example = _json(self._example(schema)) if schema else ""
        return Answer(_status(code), description, tuple(content), example)

    # --- Schemas --------------------------------------------------------------------------------

    def _whole(self, schema: Schema) -> Schema:
        """Return the schema that a reference or an alternative with null stands for.

        What is said beside a reference adds to it; `nullable` tells of the null.
        """
        beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "allOf", "title")}
        if "$ref" in schema:
            target: Any = self._document
            for step in schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            return {**self._whole(target), **beside}
        for alternatives in ("anyOf", "allOf"):
            if alternatives in schema:
                real = [one for one in schema[alternatives] if one.get("type") != "null"]
                null = {"nullable": True} if len(real) < len(schema[alternatives]) else {}
                return {**self._whole(real[0]), **null, **beside}
        return schema

    def _example(self, part: Schema, depth: int = 0) -> Any:
        """Return a value that the schema allows: its own example, or one made of its parts."""
        schema = self._whole(part)
        for key, take in (("examples", 0), ("enum", 0), ("const", None), ("default", None)):
            if schema.get(key) is not None:
                return schema[key] if take is None else schema[key][take]
        kind = schema.get("type", "")
        if "properties" in schema and depth < _DEEPEST:
            return {name: self._example(one, depth + 1) for name, one in schema["properties"].items()}
        if kind == "array":
            return [self._example(schema["items"], depth + 1)] if depth < _DEEPEST and schema.get("items") else []
        if kind in ("integer", "number"):
            return schema.get("minimum", 1)
        return {} if kind == "object" else _EXAMPLES.get(schema.get("format", ""), _EXAMPLES.get(kind))

    # --- The line to paste ----------------------------------------------------------------------

    def _curl(
        self,
        method: str,
        url: str,
        parameters: Sequence[Mapping[str, Any]],
        body: Body | None,
        security: Sequence[Mapping[str, Any]],
        answers: Sequence[Answer],
    ) -> str:
        query: dict[str, str] = {}
        options: list[str] = []
        for name in [name for one in security for name in one][:1] if {} not in security else []:
            scheme = self._schemes[name]
            if scheme["type"] == "http":
                options.append('--header "Authorization: Bearer $TOKEN"')
            elif scheme["in"] == "cookie":
                options.append(f'--cookie "{scheme["name"]}=$SESSION"')
        for told in parameters:
            field = self._parameter(told)
            if told["in"] == "path":
                url = url.replace(f"{{{told['name']}}}", quote(field.example, safe=""))
            elif not field.is_required and "examples" not in self._whole(told["schema"]):
                continue  # It can do without, and nobody has said what would be a good value.
            elif told["in"] == "query":
                query[told["name"]] = field.example
            elif told["in"] == "header":
                options.append(f"--header {shlex.quote(f'{field.name}: {field.example}')}")
        if body is not None:
            options.append(f"--header {shlex.quote(f'Content-Type: {body.media_types[0]}')}")
            options.append(f"--data {shlex.quote(body.example)}" if body.fields else "--data-binary @file")
        if method != ("GET" if body is None else "POST"):
            options.insert(0, f"--request {method}")
        if any(answer.media_types and not answer.example for answer in answers):
            options.append("--output file")
        return " \\\n  ".join(["curl " + shlex.quote(url + (f"?{urlencode(query)}" if query else "")), *options])


def _name(parameter: Mapping[str, Any]) -> str:
    name: str = parameter["name"]
    return "-".join(part.capitalize() for part in name.split("-")) if parameter["in"] == "header" else name


def _errors(code: str, told: Mapping[str, Any]) -> Iterator[Error]:
    examples = [one for content in told.get("content", {}).values() for one in content.get("examples", {}).items()]
    for name, example in examples:
        yield Error(_status(code), name, example["summary"], example.get("description", ""))
    if not examples:
        yield Error(_status(code), "", told["description"], "")


def _status(code: str) -> str:
    return f"{code} {HTTPStatus(int(code)).phrase}" if code.isdigit() else code


def _rule(schema: Schema) -> str:
    """Return what a value must be, in words, besides its kind."""
    said = [str(schema["description"]).rstrip(".")] if schema.get("description") else []
    if schema.get("enum"):
        said.append("one of " + ", ".join(f"`{value}`" for value in schema["enum"]))
    for least, most, unit in (
        ("minLength", "maxLength", " characters"),
        ("minimum", "maximum", ""),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " entries"),
    ):
        match schema.get(least), schema.get(most):
            case None, None:
                pass
            case None, high:
                said.append(f"at most {high}{unit}")
            case low, None:
                said.append(f"at least {low}{unit}")
            case low, high:
                said.append(f"{low} to {high}{unit}")
    if "pattern" in schema:
        said.append("no control characters" if schema["pattern"] == ADDRESSABLE else f"matches `{schema['pattern']}`")
    if schema.get("default") not in (None, ""):
        said.append(f"`{_shown(schema['default'])}` if left out")
    rule = "; ".join(said)
    return rule[:1].upper() + rule[1:]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(value: Any) -> str:
    """Return JSON on one line if it is short, else indented; inner lists of plain values stay on one line."""
    short = json.dumps(value, ensure_ascii=False)
    if len(short) <= _ONE_LINE:
        return short
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
