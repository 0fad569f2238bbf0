"""Who may see what people were told about a request, and what they see."""

import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from services.notification import api, domain
from shared import tokens, web
from shared.contracts import directory
from shared.database import Database
from shared.ids import AssignmentId, PersonId, PlaceId, ScopeId, new_id
from tests.notification import builders
from tests.notification.builders import COMMUNITY, NOW, PUBLIC_URL, ARequest, Record, feed, new_person, sender
from tests.notification.conftest import MailServer, post_all

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
    for query in ({"cursor": "forged"}, {"limit": "0"}, {"limit": "201"}):
        assert (await http.get(path(request), params=query, headers=bearer(helper))).status_code == 422
    # A cursor is good for its own request and reader alone.
    first = {
        "cursor": (await http.get(path(request), params={"limit": "3"}, headers=bearer(helper))).json()["next_cursor"]
    }
    await feed(db, holds(other := new_person()), account(other))
    for place, reader in ((path(ARequest()), helper), (path(request), other)):
        assert (await http.get(place, params=first, headers=bearer(reader))).status_code == 422


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


NOTICES = "/notification/v1/notices"


async def names(http: httpx.AsyncClient, reader: PersonId, **query: str) -> list[str]:
    answer = await http.get(NOTICES, params=query, headers=bearer(reader))
    assert answer.status_code == 200, answer.text
    return [item["notice"] for item in answer.json()["items"]]


@pytest.mark.parametrize("role", ["HELP_DESK", "AUDITOR"])
async def test_help_desk_and_auditor_find_notices_by_request_person_state_and_name(
    db: Database, mails: MailServer, http: httpx.AsyncClient, role: str
) -> None:
    reader, official, request, other = new_person(), new_person(), ARequest(), ARequest(email="b@applicants.example")
    await feed(db, holds(reader, role=role), account(reader), builders.person(official), request.organization())
    await feed(db, request.submitted(), request.awaiting(official), other.submitted())
    mails.behave("550")
    await post_all(db, mails)
    assert len(await names(http, reader)) == 4
    assert set(await names(http, reader, request_id=str(request.id))) == {
        "request_received",
        "decision_needed",
        "delivery_failed_help_desk",
    }
    assert await names(http, reader, recipient_id=str(official)) == ["decision_needed"]
    assert await names(http, reader, state="waiting") == ["request_received"]  # The other's organization is unknown.
    assert await names(http, reader, notice="delivery_failed_help_desk", state="sent") == ["delivery_failed_help_desk"]
    bad = await http.get(NOTICES, params={"state": "lost"}, headers=bearer(reader))
    assert bad.status_code == 422


async def test_all_notices_are_read_page_by_page_newest_first(db: Database, http: httpx.AsyncClient) -> None:
    helper, requests = new_person(), [ARequest() for _ in range(5)]
    await feed(db, holds(helper), account(helper))
    for one in requests:
        await feed(db, one.submitted())
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await http.get(NOTICES, params=query, headers=bearer(helper))).json()
        seen += [item["request_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [str(one.id) for one in reversed(requests)]
    assert cursor is None
    first = (await http.get(NOTICES, params={"limit": "2"}, headers=bearer(helper))).json()["next_cursor"]
    forged = await http.get(NOTICES, params={"cursor": first, "state": "sent"}, headers=bearer(helper))
    assert forged.status_code == 422  # A cursor is good for its own query alone ...
    await feed(db, holds(other := new_person()), account(other))
    assert (
        await http.get(NOTICES, params={"cursor": first}, headers=bearer(other))
    ).status_code == 422  # ... and reader.


async def test_a_notice_shows_every_try_to_send_it(db: Database, mails: MailServer, http: httpx.AsyncClient) -> None:
    helper, request = new_person(), ARequest()
    await feed(db, holds(helper), account(helper), request.code_asked("48151623"))
    mails.behave("450", "data 451", "550")
    for _ in range(3):
        await sender(db, mails.address).send_due()
        async with db.begin() as tx:
            await tx.raw.execute("UPDATE notice SET next_at = now() WHERE ended_at IS NULL")
    [found] = (await http.get(NOTICES, params={"state": "failed"}, headers=bearer(helper))).json()["items"]
    shown = await http.get(f"{NOTICES}/{found['id']}", headers=bearer(helper))
    assert shown.status_code == 200
    history = [(one["number"], one["outcome"], one["smtp_status"]) for one in shown.json()["history"]]
    assert history == [(1, "deferred", 450), (2, "deferred", 451), (3, "refused", 550)]
    for private in ("48151623", request.email, "Rosa"):
        assert private not in shown.text


async def test_a_failed_mail_leads_the_help_desk_to_all_that_is_known_of_it(
    db: Database, mails: MailServer, http: httpx.AsyncClient
) -> None:
    helper, request = new_person(), ARequest()
    await feed(db, holds(helper), account(helper), request.organization(), request.submitted())
    mails.behave("550")
    await post_all(db, mails)
    [told] = mails.to(builders.HELP_DESK)
    [found] = re.findall(rf"{PUBLIC_URL}(/notification/v1/notices/\S+)", told.text)
    shown = (await http.get(found, headers=bearer(helper))).json()
    assert (shown["notice"], shown["state"], shown["why"]) == ("request_received", "failed", "refused")


async def test_what_one_community_was_told_is_not_anothers_help_desks(db: Database, http: httpx.AsyncClient) -> None:
    elsewhere, owner, helper, request = new_person(), new_person(), new_person(), ARequest()
    await feed(db, request.submitted(), holds(elsewhere, place_id=PlaceId(new_id())), account(elsewhere))
    await feed(db, holds(owner, role="APPLICATION_OWNER"), account(owner), holds(helper), account(helper))
    [notice_id] = [item["id"] for item in (await http.get(NOTICES, headers=bearer(helper))).json()["items"]]
    for stranger in (elsewhere, owner, request.applicant_id):
        assert (await http.get(NOTICES, headers=bearer(stranger))).status_code == 404
        hidden = await http.get(f"{NOTICES}/{notice_id}", headers=bearer(stranger))
        unknown = await http.get(f"{NOTICES}/{new_id()}", headers=bearer(stranger))
        assert hidden.status_code == unknown.status_code == 404
        assert {**hidden.json(), "trace_id": ""} == {**unknown.json(), "trace_id": ""}
    assert (await http.get(f"{NOTICES}/{new_id()}", headers=bearer(helper))).status_code == 404


async def test_the_help_desk_of_one_community_sees_nothing_of_another(db: Database, http: httpx.AsyncClient) -> None:
    other, supporter, helper, request = builders.community_of("fi-carrier-mac"), new_person(), new_person(), ARequest()
    await feed(db, builders.the_community(other), request.submitted(), holds(helper), account(helper))
    await feed(db, holds(supporter, role=other.help_desk_role.code, place_id=other.place_id), account(supporter))
    assert await names(http, supporter) == []
    [notice_id] = [item["id"] for item in (await http.get(NOTICES, headers=bearer(helper))).json()["items"]]
    for place in (f"{NOTICES}/{notice_id}", path(request)):
        assert (await http.get(place, headers=bearer(supporter))).status_code == 404


# --- What one was told oneself ----------------------------------------------------------------


async def test_everybody_reads_what_they_were_told_newest_first_without_codes_and_links(
    db: Database, mails: MailServer, http: httpx.AsyncClient
) -> None:
    request = ARequest()
    me = request.applicant_id
    await feed(db, account(me), request.organization(), builders.person(me, "Rosa Delgado"))
    await feed(db, request.submitted())
    await post_all(db, mails)
    await feed(db, request.granted(), request.account_issued(), request.awaiting(new_person()))
    async with db.begin() as tx:
        await tx.raw.execute("UPDATE notice SET rendered_at = rendered_at - interval '1 minute' WHERE state = 'sent'")
    await post_all(db, mails)
    page = (await http.get(f"{NOTICES}/mine", headers=bearer(me))).json()
    assert [item["notice"] for item in page["items"]] == ["granted_new_person", "request_received"]
    assert "K7MQ42XP" in page["items"][0]["text"]
    assert page["items"][0]["subject"] == "Your request 7QK2-M4XP-93TD was approved: your user ID"
    one = await http.get(f"{NOTICES}/mine", params={"limit": 1}, headers=bearer(me))
    query = {"limit": "1", "cursor": one.json()["next_cursor"]}
    rest = (await http.get(f"{NOTICES}/mine", params=query, headers=bearer(me))).json()
    assert [item["notice"] for item in rest["items"]] == ["request_received"]
    assert rest["next_cursor"] is None
    stranger = new_person()
    await feed(db, account(stranger))
    assert (await http.get(f"{NOTICES}/mine", headers=bearer(stranger))).json()["items"] == []
    assert (await http.get(f"{NOTICES}/mine", params=query, headers=bearer(stranger))).status_code == 422


async def test_whose_account_may_not_act_reads_nothing(db: Database, http: httpx.AsyncClient) -> None:
    closed, unknown = new_person(), new_person()
    await feed(db, account(closed, "closed"))
    for one in (closed, unknown):
        assert (await http.get(f"{NOTICES}/mine", headers=bearer(one))).status_code == 404


async def test_what_was_withdrawn_before_it_left_is_in_no_inbox(
    db: Database, mails: MailServer, http: httpx.AsyncClient
) -> None:
    official, request = new_person(), ARequest()
    await feed(db, account(official), builders.person(official), request.organization(), request.submitted())
    await feed(db, request.awaiting(official), request.denied())
    await post_all(db, mails)
    assert (await http.get(f"{NOTICES}/mine", headers=bearer(official))).json()["items"] == []


def test_every_endpoint_has_an_action_in_the_policy_and_every_action_an_endpoint(db: Database) -> None:
    routes = api.routes(db, tokens.Verifier(ISSUED, tokens.keys_of(db)), web.Cursors(bytes(32)))
    assert {getattr(route, "name", "") for route in routes.routes} == set(domain.POLICY)


async def test_a_call_without_a_token_is_not_answered(http: httpx.AsyncClient) -> None:
    for place in (NOTICES, f"{NOTICES}/mine", f"{NOTICES}/{new_id()}"):
        assert (await http.get(place)).status_code == 401
    assert (await http.get(path(ARequest()))).status_code == 401
    assert (await http.get(path(ARequest()), headers={"authorization": "Bearer x.y.z"})).status_code == 401
