"""Callers that ask until a service answers, and the book of what they were promised."""

import json
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from shared.testing.torture.timeline import Timeline

_GATEWAYS_OWN = (502, 503, 504)
_PATIENCE_SECONDS = 300.0
_PAUSE_SECONDS = 0.15
_TRACE_STARTS_WITH = ("/registration/", "/approval/", "/directory/", "/notification/")


@dataclass(frozen=True)
class Call:
    """One call that a service has answered for good, however often it was made."""

    at: float
    """Seconds since the beginning."""
    method: str
    path: str
    key: str
    """Its Idempotency-Key."""
    sent: dict[str, Any]
    status: int
    answer: dict[str, Any]
    try_count: int

    @property
    def is_promise(self) -> bool:
        """Whether something was accepted by it."""
        return self.method != "GET" and 200 <= self.status < 300

    def asked_of(self, ending: str) -> str | None:
        """Return the id in the path if the path ends so: /…/{id}/decisions."""
        parts = self.path.strip("/").split("/")
        return parts[-2] if parts[-1] == ending and len(parts) > 2 else None


@dataclass(frozen=True)
class Answer:
    """One answer of a service to one try."""

    at: float
    seconds: float
    status: int
    path: str


@dataclass
class Book:
    """What was promised, and how fast each try was answered."""

    timeline: Timeline
    calls: list[Call] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    unanswered_count: int = 0
    """Tries that no service answered: the gateway did, or nobody."""


class Stubborn(httpx.BaseTransport):
    """Repeats each call, under its key, until a service answers it. Any number of clients may share one."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._wire = httpx.HTTPTransport(limits=httpx.Limits(max_connections=200, keepalive_expiry=2))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer of a service. Raises the last trouble if none answers at all."""
        if request.method == "POST":
            request.headers.setdefault("idempotency-key", str(uuid4()))
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        tries = 0
        while True:
            tries += 1
            answer = self._try(request)
            if isinstance(answer, httpx.Response) and answer.status_code not in _GATEWAYS_OWN:
                self._write(request, answer, tries)
                return answer
            if time.monotonic() > ends_at:
                if isinstance(answer, httpx.Response):
                    return answer
                raise answer
            time.sleep(_PAUSE_SECONDS)

    def _try(self, request: httpx.Request) -> httpx.Response | httpx.TransportError:
        at, began = self._book.timeline.now(), time.monotonic()
        try:
            answer = self._wire.handle_request(request)
            answer.read()
        except httpx.TransportError as trouble:
            self._book.unanswered_count += 1
            return trouble
        if not request.url.path.startswith(_TRACE_STARTS_WITH):
            return answer
        if answer.status_code in _GATEWAYS_OWN and "json" not in answer.headers.get("content-type", ""):
            self._book.unanswered_count += 1  # The gateway's own word: no service was there.
        else:
            seconds = time.monotonic() - began
            self._book.answers.append(Answer(at, seconds, answer.status_code, request.url.path))
        return answer

    def _write(self, request: httpx.Request, answer: httpx.Response, tries: int) -> None:
        if request.method == "GET":
            return
        key = request.headers.get("idempotency-key", "")
        about = (request.method, request.url.path, key, _read(request.content, request.headers))
        said = _read(answer.content, answer.headers)
        self._book.calls.append(Call(self._book.timeline.now(), *about, answer.status_code, said, tries))


def _read(content: bytes, headers: httpx.Headers) -> dict[str, Any]:
    if "json" not in headers.get("content-type", ""):
        return {}
    found = json.loads(content or b"{}")
    return found if isinstance(found, dict) else {}
