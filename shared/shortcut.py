"""A way past the framework for a call that must be fast: the same endpoint, with its arguments bound by hand.

Finding the route, solving dependencies and validating the answer once more costs more than the call itself. Only what
is well formed takes the way past; all else is left to the framework, which alone knows how to refuse it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from re import Match, Pattern
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers = Mapping[bytes, bytes]
Bind = Callable[[Match[str], Headers, bytes], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True)
class Shortcut:
    """One route with a JSON body, which may be called without the framework."""

    route: APIRoute
    path: Pattern[str]
    """Of the whole path."""
    bind: Bind
    """Returns what the endpoint is called with; None for whatever is not plainly well formed."""


class Shortcuts:
    """Takes the calls that have a shortcut. Stands within the edge, so trace, limits and refusals are the same."""

    def __init__(self, app: ASGIApp, shortcuts: Sequence[Shortcut]) -> None:
        self._app = app
        self._shortcuts = shortcuts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for shortcut in self._shortcuts:
                found = shortcut.path.fullmatch(scope["path"])
                if found and scope["method"] in (shortcut.route.methods or ()):
                    message = await receive()  # Whole: the edge has read a JSON body to its end.
                    given = await _given(shortcut, found, scope, message)
                    if given is not None:
                        scope["route"] = shortcut.route  # The calls are counted by its name.
                        await _answer(shortcut.route, given, send)
                        return
                    receive = _again(message, receive)
        await self._app(scope, receive, send)


async def _given(shortcut: Shortcut, found: Match[str], scope: Scope, message: Message) -> Mapping[str, Any] | None:
    headers = dict[bytes, bytes](scope["headers"])
    is_plain = (
        message["type"] == "http.request"
        and not message.get("more_body", False)
        and headers.get(b"content-type") == b"application/json"
        and len(headers) == len(scope["headers"])  # A header that comes twice is for the framework to read.
    )
    return await shortcut.bind(found, headers, message["body"]) if is_plain else None


async def _answer(route: APIRoute, given: Mapping[str, Any], send: Send) -> None:
    body = (await route.endpoint(**given)).model_dump_json().encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": route.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _again(message: Message, receive: Receive) -> Receive:
    """Return what gives a message that was read once more, and then what follows."""
    unread = [message]

    async def again() -> Message:
        return unread.pop() if unread else await receive()

    return again
