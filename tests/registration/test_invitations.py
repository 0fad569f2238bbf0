"""Invitations: who issues them, what is said, and that each lets one request in, once, in time."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.registration import domain, store, tables
from shared import secrets
from shared.contracts import approval, registration
from shared.contracts.community import Community
from shared.ids import RequestId, application_place
from shared.tables import audit
from tests.registration.desk import Desk, a_wish, an_applicant, an_organization, bearer, someone_waits_for_a_lock
from tests.registration.test_filing import granted_person

URL = "/registration/v1/invitations"
EMAIL = "maria@clinic.example"


@pytest.fixture(autouse=True)
async def open_contractors(desk: Desk, contractors: Community) -> None:
    await desk.publish(contractors)


async def an_owner(desk: Desk, community_id: str = "fi-carrier-mac", application: str = "COST_REPORT_AUDIT") -> str:
    """Let somebody own an application; return their token."""
    person_id = await desk.account()
    place_id = application_place(community_id, application)
    role = "SYSTEM_OWNER" if community_id == "fi-carrier-mac" else "APPLICATION_OWNER"
    await desk.assignment(person_id, role, place_id, place_id, place_kind="application")
    return desk.token(person_id)


def a_notice(**changes: Any) -> dict[str, Any]:
    whole = {"community_id": "fi-carrier-mac", "application": "COST_REPORT_AUDIT", "emails": [EMAIL]}
    return whole | changes


async def issue(desk: Desk, token: str | None, **changes: Any) -> httpx.Response:
    return await desk.http.post(URL, json=a_notice(**changes), headers=bearer(token))


async def an_invitation(desk: Desk, email: str = EMAIL) -> str:
    """Invite somebody; return the code that is mailed."""
    assert (await issue(desk, await an_owner(desk), emails=[email])).status_code == 201
    said = (await desk.announced(registration.InvitationIssued))[-1]
    return secrets.unseal(desk.notification_key.as_dict(private=True), said.code_sealed)


def a_registration(code: str | None, **changes: Any) -> dict[str, Any]:
    data = an_organization(provider_type="mac")
    whole = {"community_id": "fi-carrier-mac", "data": data, "invitation": code}
    return a_wish("register_contractor", **(whole | changes))


async def test_an_owner_tells_each_address_once_and_only_notification_can_read_its_code(desk: Desk) -> None:
    answer = await issue(desk, await an_owner(desk), emails=[EMAIL, "second@clinic.example", EMAIL.upper()])
    assert answer.status_code == 201
    assert [item["email"] for item in answer.json()["items"]] == [
        EMAIL.upper().replace("CLINIC.EXAMPLE", "clinic.example"),
        "second@clinic.example",
    ]
    said = await desk.announced(registration.InvitationIssued)
    assert len(said) == 2
    codes = [secrets.unseal(desk.notification_key.as_dict(private=True), each.code_sealed) for each in said]
    assert len(set(codes)) == 2
    assert all(len(code) == 19 for code in codes)
    assert said[0].scope_id == application_place("fi-carrier-mac", "COST_REPORT_AUDIT")
    assert (said[0].criteria, said[0].expires_at - said[0].issued_at) == (
        "Contractors that audit the cost reports of providers.",
        timedelta(days=60),
    )
    held = await desk.dump()
    assert not any(code in held for code in codes)
    assert [act.act for act in await desk.rows(audit)] == ["issue_invitation"] * 2
    (first, _) = await desk.rows(tables.invitation)
    assert EMAIL not in str(tuple(first)).lower()


async def test_where_no_invitation_is_needed_it_is_a_notice_without_a_code(desk: Desk) -> None:
    token = await an_owner(desk, "provider-supplier", "PS_AND_R")
    notice = {"community_id": "provider-supplier", "application": "PS_AND_R", "criteria": "All.", "not_for": "None."}
    assert (await issue(desk, token, **notice)).status_code == 201
    (said,) = await desk.announced(registration.InvitationIssued)
    assert (said.code_sealed, said.criteria, said.not_for) == ("", "All.", "None.")


async def test_nobody_but_the_owner_of_that_very_application_issues_or_lists(desk: Desk) -> None:
    owner, other = await an_owner(desk), await an_owner(desk, "provider-supplier", "PS_AND_R")
    locked = await desk.account()
    place_id = application_place("fi-carrier-mac", "COST_REPORT_AUDIT")
    await desk.assignment(locked, "SYSTEM_OWNER", place_id, place_id, place_kind="application")
    await desk.account(locked, status="locked", version=2)
    params = {"community_id": "fi-carrier-mac", "application": "COST_REPORT_AUDIT"}
    tokens = {"owner": owner, "other": other, "locked": desk.token(locked), "nobody": None}
    seen = {
        name: (
            (await issue(desk, token)).status_code,
            (await desk.http.get(URL, params=params, headers=bearer(token))).status_code,
        )
        for name, token in tokens.items()
    }
    assert seen == {"owner": (201, 200), "other": (404, 404), "locked": (404, 404), "nobody": (401, 401)}
    assert (await issue(desk, owner, application="NOTHING")).status_code == 404
    assert (await issue(desk, owner, community_id="nowhere")).status_code == 404


async def test_every_address_that_is_none_is_named(desk: Desk) -> None:
    token = await an_owner(desk)
    answer = await issue(desk, token, emails=[EMAIL, "nobody", "a@b"])
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/emails/1", "/emails/2"]
    assert (await issue(desk, token, emails=[])).status_code == 422
    assert (await issue(desk, token, emails=[f"p{n}@clinic.example" for n in range(101)])).status_code == 422
    assert await desk.announced(registration.InvitationIssued) == []


async def test_a_good_invitation_lets_a_request_in_and_is_used_at_its_submission(desk: Desk) -> None:
    code = await an_invitation(desk)
    filed = await desk.file(a_registration(f" {code.lower()} "))
    assert filed.status_code == 201, filed.text
    (row,) = await desk.rows(tables.invitation)
    assert row.used_at is None  # A draft is nobody's yet.
    assert (await desk.prove(filed.json()["request_id"])).status_code == 200
    (row,) = await desk.rows(tables.invitation)
    assert str(row.used_by_request) == filed.json()["request_id"]


async def test_whatever_is_wrong_with_an_invitation_the_answer_is_one(desk: Desk, contractors: Community) -> None:
    await desk.publish(contractors.model_copy(update={"id": "elsewhere"}))
    code = await an_invitation(desk)
    used = await an_invitation(desk, "used@clinic.example")
    who = an_applicant(email="used@clinic.example", ssn="219-09-9998")
    filed = await desk.file(a_registration(used, applicant=who))
    await desk.prove(filed.json()["request_id"])
    tries = [
        a_registration(None),
        a_registration("7M3Q-0XKD-92HT-VB4E"),
        a_registration(code, community_id="elsewhere"),
        a_registration(code, applicant=an_applicant(email="other@clinic.example")),
        a_registration(used, applicant=who, data=an_organization(tin="12-3456780", provider_type="mac")),
    ]
    answers = [await desk.file(body) for body in tries]
    desk.wait(timedelta(days=60))
    answers.append(await desk.file(a_registration(code)))
    told = {(a.status_code, a.json()["code"], a.json()["detail"], tuple(a.json())) for a in answers}
    assert len(told) == 1
    assert (answers[0].status_code, answers[0].json()["code"]) == (409, "not_invited")


async def test_who_files_again_with_the_code_that_they_used_is_led_to_their_open_request(desk: Desk) -> None:
    body = a_registration(await an_invitation(desk))
    first: list[str] = []
    again: list[str] = []
    for told in (first, again):
        filed = await desk.file(body)
        assert filed.status_code == 201, filed.text
        told.append((await desk.prove(filed.json()["request_id"])).json()["request_id"])
    assert first == again
    assert len(await desk.announced(registration.RequestSubmitted)) == 1


async def test_a_code_whose_request_has_ended_leads_nowhere_any_more(desk: Desk) -> None:
    body = a_registration(await an_invitation(desk))
    filed = (await desk.file(body)).json()
    assert (await desk.prove(filed["request_id"])).status_code == 200
    await desk.approval(approval.RequestDenied, filed["request_id"], version=2, reason="wrong_path")
    assert (await desk.file(body)).json()["code"] == "not_invited"


async def test_an_invitation_that_runs_out_before_the_proof_lets_nothing_in(desk: Desk) -> None:
    code = await an_invitation(desk)
    desk.wait(domain.INVITATION_LIVES - timedelta(hours=1))
    filed = (await desk.file(a_registration(code))).json()
    desk.wait(timedelta(hours=2))
    assert (await desk.prove(filed["request_id"])).json()["code"] == "not_invited"
    assert await desk.announced(registration.RequestSubmitted) == []


async def test_of_two_requests_with_one_invitation_at_once_one_gets_in(desk: Desk) -> None:
    code = await an_invitation(desk)
    other = a_registration(
        code,
        applicant=an_applicant(ssn="219-09-9998", given_name="Mary"),
        data=an_organization(tin="12-3456780", provider_type="mac"),
    )
    first, second = [(await desk.file(body)).json()["request_id"] for body in (a_registration(code), other)]
    (row,) = await desk.rows(tables.invitation)
    async with desk.db.begin() as tx:  # The first has used it but not committed ...
        assert await store.use_invitation(tx, row.id, RequestId(UUID(first)), row.email_fingerprint)
        late = asyncio.create_task(desk.prove(second))
        await someone_waits_for_a_lock(desk.db)  # ... when the second arrives.
    assert (await late).json()["code"] == "not_invited"
    assert await desk.announced(registration.RequestSubmitted) == []


async def test_a_signed_in_person_is_invited_at_the_address_of_their_account(desk: Desk) -> None:
    token = desk.token(await desk.account())
    theirs, others = await an_invitation(desk, "account@clinic.example"), await an_invitation(desk)
    wish = {"applicant": None}
    assert (await desk.file(a_registration(others, **wish), token)).json()["code"] == "not_invited"
    assert (await desk.file(a_registration(theirs, **wish), token)).status_code == 201
    same = await desk.file(a_registration(theirs, **wish), token)
    assert (same.status_code, len(await desk.announced(registration.RequestSubmitted))) == (200, 1)
    again = a_registration(theirs, data=an_organization(tin="12-3456780", provider_type="mac"), **wish)
    assert (await desk.file(again, token)).json()["code"] == "not_invited"


async def test_who_signs_in_for_a_draft_uses_no_invitation_to_another_address_than_the_accounts(desk: Desk) -> None:
    mine = bearer(desk.token(UUID(await granted_person(desk))))
    filed = (await desk.file(a_registration(await an_invitation(desk)))).json()
    answer = await desk.http.post(f"/registration/v1/requests/{filed['request_id']}/submission", headers=mine)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_invited")
    (row,) = await desk.rows(tables.invitation)
    assert row.used_at is None


async def test_an_open_community_asks_for_no_invitation(desk: Desk) -> None:
    answer = await desk.file(a_wish(invitation="7M3Q-0XKD-92HT-VB4E"))
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/invitation"]
    shown = (await desk.http.get("/registration/v1/communities/fi-carrier-mac")).json()
    assert shown["invitation_needed"] is True
    assert shown["applications"][0]["application"] == "COST_REPORT_AUDIT"


async def test_an_owner_sees_whom_was_told_and_what_became_of_it_page_by_page(desk: Desk) -> None:
    token = await an_owner(desk)
    code = await an_invitation(desk)
    filed = (await desk.file(a_registration(code))).json()
    await desk.prove(filed["request_id"])
    desk.wait(timedelta(days=1))
    await issue(desk, token, emails=["second@clinic.example", "third@clinic.example"])
    params: dict[str, Any] = {"community_id": "fi-carrier-mac", "application": "COST_REPORT_AUDIT", "limit": 2}

    async def seen() -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        cursor: str | None = None
        while True:
            whole = params | ({"cursor": cursor} if cursor else {})
            page = (await desk.http.get(URL, params=whole, headers=bearer(token))).json()
            found += [(item["email"], item["state"]) for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    assert await seen() == [
        ("third@clinic.example", "issued"),
        ("second@clinic.example", "issued"),
        (EMAIL, "used"),
    ]
    desk.wait(timedelta(days=60))
    assert [state for _, state in await seen()] == ["expired", "expired", "used"]
    assert (await desk.http.get(URL, params=params | {"limit": 101}, headers=bearer(token))).status_code == 422


async def test_a_cursor_of_invitations_is_good_for_one_owner_of_one_application(desk: Desk) -> None:
    token, person_id = await an_owner(desk), await desk.account()
    listed = {"community_id": "fi-carrier-mac", "application": "COST_REPORT_AUDIT"}
    other = {"community_id": "provider-supplier", "application": "PS_AND_R"}
    for each, role in ((listed, "SYSTEM_OWNER"), (other, "APPLICATION_OWNER")):
        place_id = application_place(each["community_id"], each["application"])
        await desk.assignment(person_id, role, place_id, place_id, place_kind="application")
    await issue(desk, token, emails=[EMAIL, "second@clinic.example"])
    mine = bearer(desk.token(person_id))
    cursor = (await desk.http.get(URL, params={**listed, "limit": 1}, headers=mine)).json()["next_cursor"]
    seen = [
        (await desk.http.get(URL, params={**each, "cursor": cursor}, headers=headers)).status_code
        for each, headers in ((listed, mine), (other, mine), (listed, bearer(token)))
    ]
    assert seen == [200, 422, 422]
