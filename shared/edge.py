"""What stands around every call: its trace, its size limit, strict JSON, its time, and the last resort for failures.

With `delivery` and `worker` one of the three that catch broadly.
"""

import re
import time
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import database, openapi, strict_json, telemetry
from shared.errors import Refusal

log = telemetry.logger(__name__)

MAXIMUM_BODY_BYTES = 64 * 1024
# No text with a NUL can be stored, so none is looked for; and a route that ends in `$` also fits an address with a
# newline behind, so that what stands before us and keeps an address to itself would let this one pass.
_NO_ADDRESS = re.compile(f"[{openapi.CONTROLS}]")


class Edge:
    """Around every call of one application.

    `larger_bodies` maps patterns of whole paths to how many bytes may be sent there; `answer` makes an answer of a
    refusal.
    """

    def __init__(self, app: ASGIApp, larger_bodies: Mapping[str, int], answer: Callable[[Refusal], ASGIApp]) -> None:
        self._app = app
        self._larger = larger_bodies
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # The same answer; the server leaves its content out. Source: RFC 9110.
        headers = dict(scope["headers"])
        given = headers.get(b"traceparent", b"").decode("latin-1")
        traceparent = (
            given if re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", given) else telemetry.new_traceparent()
        )
        began = time.perf_counter()
        status = 500

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with telemetry.tracing(telemetry.Trace(traceparent=traceparent)):
            try:
                limit = next(
                    (size for pattern, size in self._larger.items() if re.fullmatch(pattern, scope["path"])),
                    MAXIMUM_BODY_BYTES,
                )
                announced = int(headers.get(b"content-length", b"0") or 0)
                if announced > limit:
                    raise Refusal("too_large")
                if _NO_ADDRESS.search(scope["path"]) or b"%00" in scope["query_string"]:
                    raise Refusal("malformed", "The address holds a control character, like %0A: leave it out.")
                limited = _limited(receive, limit)
                if limit == MAXIMUM_BODY_BYTES and _says_json(scope):
                    limited = await _strict(limited)
                await self._app(scope, limited, noting_send)
            except Refusal as refusal:
                await self._answer(refusal)(scope, receive, noting_send)
            except Exception as error:  # The last resort: nothing of the error's text leaves the house.
                if status != 500:
                    raise
                if database.is_worlds_fault(error):
                    log.warning("the world is at fault", error=type(error).__name__)
                else:
                    log.exception("a call failed")
                code = "unavailable" if database.is_worlds_fault(error) else "internal"
                await self._answer(Refusal(code))(scope, receive, noting_send)
            finally:
                route = scope.get("route")
                telemetry.request_seconds.labels(getattr(route, "name", "?"), status).observe(
                    time.perf_counter() - began
                )


def _says_json(scope: Scope) -> bool:
    """Tell whether any of a call's content types is JSON: of several the framework takes another one than we would."""
    return any(name == b"content-type" and b"json" in value.lower() for name, value in scope["headers"])


def _limited(receive: Receive, limit: int) -> Receive:
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise Refusal("too_large")
        return message

    return limited


async def _strict(receive: Receive) -> Receive:
    """Read a JSON body and return what gives it on, whole. Raises malformed."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if body and (fault := strict_json.fault_of(body)):
        raise Refusal("malformed", fault)
    unread = [message if more else {"type": "http.request", "body": body, "more_body": False}]

    async def whole() -> Message:
        return unread.pop() if unread else await receive()

    return whole
