"""One service that lives: its application on a real database, people who may call it, and things that are there.

What schemathesis makes up seldom meets anything: an id is unknown, a body asks for nothing that there
is. `Living.call` therefore puts what the fixture has made into most well-formed calls, so that the
handlers are entered and not only their doors.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import httpx
import requests
from schemathesis import Case, GenerationMode
from schemathesis.core.parameters import ParameterLocation

from tests.contracts.applications import ORIGIN, Service
from tests.contracts.applications import operations as documented

Headers = Mapping[str, str]
AnyCase = Case[Any]
_PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Deed:
    """One whole call that means something: about what, by whom, with which body."""

    headers: Headers = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass
class Living:
    """One service and what a call to it can be about."""

    service: Service
    http: httpx.AsyncClient
    loop: asyncio.AbstractEventLoop
    callers: Sequence[Headers]
    """The headers by which people call: each with roles of their own, or none."""
    known: Mapping[str, Sequence[str]]
    """By a parameter's name: values that name something."""
    deeds: Mapping[str, Sequence[Deed]] = field(default_factory=dict)
    """By operation."""
    told: set[tuple[str, str]] = field(default_factory=set)
    """What was answered: operations, each with a status or the code of a problem."""

    def call(self, case: AnyCase) -> tuple[httpx.Response, bool]:
        """Send one case, made about something that there is; return the answer, and whether it was a deed."""
        chosen = _Choice(case)
        deeds = self.deeds.get(case.operation.definition.raw["operationId"], ())
        is_deed = bool(deeds) and _is_good(case) and chosen.number(4) > 0
        if is_deed:
            return self.do(case, chosen.of(deeds)), True
        self._fill(case, chosen)
        return self._send(case, chosen.of(self.callers)), False

    def do(self, case: AnyCase, deed: Deed) -> httpx.Response:
        """Send one case made into a deed."""
        for name, value in deed.values.items():
            (case.path_parameters if f"{{{name}}}" in case.path else case.query)[name] = value
        if isinstance(deed.body, bytes):  # A document: schemathesis makes none of its types.
            return self._send(case, {**deed.headers, "content-type": "application/pdf"}, deed.body)
        if deed.body is not None:
            case.body = deed.body
        return self._send(case, deed.headers)

    def undocumented(self, case: AnyCase, answer: httpx.Response) -> str | None:
        """Return the code of a problem that the operation does not document."""
        code = code_of(answer)
        operation = documented(self.service)[case.operation.label]
        if answer.headers.get("content-type") != _PROBLEM or case.method.upper() != case.operation.method.upper():
            return None
        told = operation["responses"].get(str(answer.status_code), {})
        return None if code in told.get("content", {}).get(_PROBLEM, {}).get("examples", {}) else code

    def _send(self, case: AnyCase, headers: Headers, content: bytes | None = None) -> httpx.Response:
        prepared = requests.Request(**case.as_transport_kwargs(base_url=ORIGIN, headers=dict(headers))).prepare()
        made = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
        sent = [(_bytes(n), _bytes(v)) for n, v in prepared.headers.items() if n.lower() != "content-length"]
        self.http.cookies.clear()
        request = httpx.Request(
            str(prepared.method), str(prepared.url), headers=sent, content=made if content is None else content
        )
        answer = self.loop.run_until_complete(self.http.send(request))
        self.told.add((case.operation.label, code_of(answer)))
        return answer

    def _fill(self, case: AnyCase, chosen: "_Choice") -> None:
        for place, container in ((ParameterLocation.PATH, case.path_parameters), (ParameterLocation.QUERY, case.query)):
            for name in list(container or {}):
                if name in self.known and _mode(case, place) is GenerationMode.POSITIVE and chosen.number(5):
                    container[name] = chosen.of(self.known[name])


class _Choice:
    """Choices that follow from a case alone, so that the same case is always the same call."""

    def __init__(self, case: AnyCase) -> None:
        self._seed = repr((case.method, case.path, case.path_parameters, case.query, case.body)).encode()
        self._count = 0

    def number(self, number: int) -> int:
        self._count += 1
        return crc32(self._seed + bytes([self._count])) % number

    def of(self, values: Sequence[Any]) -> Any:
        return values[self.number(len(values))]


def code_of(answer: httpx.Response) -> str:
    """Return the code of a problem, or the status of any other answer."""
    if answer.headers.get("content-type") == _PROBLEM:
        return str(answer.json()["code"])
    return str(answer.status_code)


def _is_good(case: AnyCase) -> bool:
    meta = case.meta
    return meta is None or meta.generation.mode is GenerationMode.POSITIVE


def _mode(case: AnyCase, place: ParameterLocation) -> GenerationMode | None:
    meta = case.meta
    made = meta.components.get(place) if meta else None
    return made.mode if made else None


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
