"""A decision reaches its endpoint past the framework, and nobody can tell."""

import re
from typing import Any

import httpx
import pytest

from services.approval import api
from shared import tokens, web
from shared.edge import Edge
from shared.ids import new_id
from shared.shortcut import Shortcuts
from tests.approval.builders import SECURITY_OFFICIAL
from tests.approval.desk import ISSUED, Desk

PLAIN = "application/json"
THROUGH_THE_FRAMEWORK = "application/json; charset=utf-8"  # Which the shortcut leaves to it.
APPROVE = b'{"verdict": "approve"}'

CALLS: dict[str, tuple[bytes, dict[str, str]]] = {
    "an approval": (APPROVE, {}),
    "an approval under a key": (APPROVE, {"idempotency-key": '"a-key"'}),
    "a denial": (b'{"verdict": "deny", "reason": "unknown_person"}', {}),
    "a return": (b'{"verdict": "return", "reason": "data_unclear", "correct": ["group_name"]}', {}),
    "a denial without a reason": (b'{"verdict": "deny"}', {}),
    "a verdict that is none": (b'{"verdict": "maybe"}', {}),
    "a field that nobody knows": (b'{"verdict": "approve", "force": true}', {}),
    "no object": (b"[]", {}),
    "no JSON": (b'{"verdict": ', {}),
    "the same name twice": (b'{"verdict": "approve", "verdict": "deny"}', {}),
    "nothing": (b"", {}),
    "an old version": (APPROVE, {"if-match": '"7"'}),
    "a version that is none": (APPROVE, {"if-match": "7"}),
    "a key with a blank": (APPROVE, {"idempotency-key": "a key"}),
    "a bad token": (APPROVE, {"authorization": "Bearer x.y.z"}),
    "another scheme": (APPROVE, {"authorization": "Basic eDp5"}),
}


async def told(desk: Desk, call: str, content_type: str) -> tuple[int, dict[str, str], str]:
    """Make one call about a request of its own, and return the answer without what differs each time."""
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    body, more = CALLS[call]
    headers = {"if-match": '"1"', **desk.token(official), "content-type": content_type, **more}
    answer = await desk.http.post(f"/approval/v1/requests/{request_id}/decisions", content=body, headers=headers)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.]+Z", "…", answer.text)
    return answer.status_code, dict(answer.headers), text


@pytest.mark.parametrize("call", CALLS)
async def test_whoever_goes_past_the_framework_is_answered_as_everybody_is(desk: Desk, call: str) -> None:
    past, through = await told(desk, call, PLAIN), await told(desk, call, THROUGH_THE_FRAMEWORK)
    lengths = [answer[1].pop("content-length") for answer in (past, through)]
    assert past == through
    assert all(length.isdigit() for length in lengths)


async def test_a_well_formed_decision_needs_no_framework_and_all_else_does(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    verifier = tokens.Verifier(ISSUED, tokens.keys_of(desk.db))
    router = api.routes(desk.db, verifier, web.Cursors(bytes(32)))

    async def framework(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 599, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = Edge(Shortcuts(framework, [api.shortcut(router, verifier)]), {}, web.problem)
    path = f"/approval/v1/requests/{request_id}/decisions"
    headers = {**desk.token(official), "if-match": '"1"', "content-type": PLAIN}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://iacs.test") as http:

        async def status(url: str, content: bytes, **more: str) -> int:
            return (await http.post(url, content=content, headers=headers | more)).status_code

        assert await status(path, b'{"verdict": "maybe"}') == 599
        assert await status(path, APPROVE, authorization="Bearer x.y.z") == 599
        assert await status(path.replace("-", ""), APPROVE) == 599
        assert await status(f"/approval/v1/requests/{new_id()}/claim", APPROVE) == 599
        assert (await http.get(path, headers=headers)).status_code == 599
        assert await status(path, APPROVE) == 201
