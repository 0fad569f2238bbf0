"""Who may see what people were told about a request, and what they see."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from services.notification import api
from shared import tokens, web
from shared.contracts import directory
from shared.database import Database
from shared.ids import AssignmentId, PersonId, PlaceId, ScopeId, new_id
from tests.notification import builders
from tests.notification.builders import COMMUNITY, NOW, PUBLIC_URL, ARequest, Record, feed, new_person, sender
from tests.notification.conftest import MailServer

ISSUED = tokens.Issued(f"{PUBLIC_URL}/directory", PUBLIC_URL)
KEY = ECKey.generate_key("P-256")


def token_key() -> Record:
    return builders.record(
        directory.TokenKeyState(
            kid="k1",
            jwk=dict(KEY.as_dict(private=False)),
            not_before=NOW - timedelta(days=1),
            not_after=NOW + timedelta(days=1),
        ),
        subject=new_id(),
    )


def holds(
    person_id: PersonId, *, role: str = "HELP_DESK", place_id: PlaceId | None = None, status: Any = "active"
) -> Record:
    assignment_id = AssignmentId(new_id())
    place = place_id or COMMUNITY.place_id
    return builders.record(
        directory.RoleAssignmentState(
            assignment_id=assignment_id,
            person_id=person_id,
            role=role,
            place_kind="community",
            place_id=place,
            scope_id=ScopeId(place),
            community_id=COMMUNITY.id,
            status=status,
            effective_from=NOW,
        ),
        subject=assignment_id,
        scope=place,
    )


def account(person_id: PersonId, status: Any = "active", *, version: int = 1) -> Record:
    return builders.record(
        directory.AccountState(person_id=person_id, status=status), subject=person_id, version=version
    )


def bearer(person_id: PersonId) -> dict[str, str]:
    caller = tokens.Caller(person_id, new_id(), int(time.time()))
    minted = tokens.mint(KEY, "k1", ISSUED, caller, token_id=new_id(), now=int(time.time()))
    return {"authorization": f"Bearer {minted}"}


@pytest.fixture
async def http(db: Database) -> AsyncIterator[httpx.AsyncClient]:
    await feed(db, token_key())
    routes = api.routes(db, tokens.Verifier(ISSUED, tokens.keys_of(db)), web.Cursors(bytes(32)))
    app = web.build("notification", "notification", db, [routes])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def path(request: ARequest) -> str:
    return f"/notification/v1/requests/{request.id}/notices"


async def test_the_help_desk_sees_what_became_of_each_notice_but_not_what_it_says(
    db: Database, mails: MailServer, http: httpx.AsyncClient
) -> None:
    request, helper = ARequest(), new_person()
    await feed(db, holds(helper), account(helper), request.code_asked("48151623"), request.submitted())
    mails.behave("550")
    await sender(db, mails.address).send_due()
    answer = await http.get(path(request), headers=bearer(helper))
    assert answer.status_code == 200
    by_name = {item["notice"]: item for item in answer.json()["items"]}
    assert set(by_name) == {"email_code", "request_received", "delivery_failed_help_desk"}
    failed = by_name["email_code"]
    assert (failed["state"], failed["attempts"], failed["smtp_status"]) == ("failed", 1, 550)
    assert (failed["recipient"], failed["recipient_id"]) == ("applicant", None)
    assert by_name["request_received"]["state"] == "waiting"
    for private in ("48151623", request.email, "Rosa", "secret"):
        assert private not in answer.text


async def test_a_long_list_is_read_page_by_page(db: Database, http: httpx.AsyncClient) -> None:
    request, helper = ARequest(), new_person()
    await feed(db, holds(helper), account(helper))
    await feed(db, request.submitted(), request.awaiting(*(new_person() for _ in range(6)), help_desk=True))
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(4):
        query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await http.get(path(request), params=query, headers=bearer(helper))).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 8
    forged = await http.get(path(request), params={"cursor": "forged"}, headers=bearer(helper))
    assert forged.status_code == 422


async def test_nobody_else_learns_that_the_request_exists(db: Database, http: httpx.AsyncClient) -> None:
    request = ARequest()
    approver, elsewhere, ended, locked = (new_person() for _ in range(4))
    await feed(db, request.submitted(), request.awaiting(approver))
    await feed(
        db,
        holds(approver, role="SECURITY_OFFICIAL"),
        holds(elsewhere, place_id=PlaceId(new_id())),
        holds(ended, status="ended"),
        holds(locked),
        *(account(one) for one in (approver, elsewhere, ended, request.applicant_id)),
        account(locked, "locked"),
    )
    nowhere = await http.get(path(ARequest()), headers=bearer(approver))
    for one in (approver, elsewhere, ended, locked, request.applicant_id):
        answer = await http.get(path(request), headers=bearer(one))
        assert answer.status_code == 404
        assert {**answer.json(), "trace_id": ""} == {**nowhere.json(), "trace_id": ""}


async def test_who_loses_the_role_or_the_account_stops_seeing(db: Database, http: httpx.AsyncClient) -> None:
    request, helper, other = ARequest(), new_person(), new_person()
    held = holds(other)
    await feed(db, request.submitted(), holds(helper), account(helper), held, account(other))
    assert (await http.get(path(request), headers=bearer(helper))).status_code == 200
    await feed(db, account(helper, "disabled", version=2))
    await feed(db, account(helper, "active", version=1))  # Older: it changes nothing.
    assert (await http.get(path(request), headers=bearer(helper))).status_code == 404
    assert (await http.get(path(request), headers=bearer(other))).status_code == 200
    deleted = Record(
        held.topic,
        [(name, b"2" if name == "ce_entityversion" else raw) for name, raw in held.headers],
        None,
    )
    await feed(db, deleted)
    assert (await http.get(path(request), headers=bearer(other))).status_code == 404


async def test_a_call_without_a_token_is_not_answered(http: httpx.AsyncClient) -> None:
    assert (await http.get(path(ARequest()))).status_code == 401
    assert (await http.get(path(ARequest()), headers={"authorization": "Bearer x.y.z"})).status_code == 401
