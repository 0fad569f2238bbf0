"""What applicants do with a request on its way: read it, correct it, withdraw it, as long as it is theirs."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import update

from services.registration import keys, store, tables
from shared import secrets
from shared.contracts import approval, registration
from shared.contracts.base import Event
from shared.ids import new_id
from shared.tables import audit
from tests.registration.desk import (
    BIRTH_DATE,
    PDF,
    SSN,
    TIN,
    Desk,
    a_wish,
    an_applicant,
    an_organization,
    bearer,
    someone_waits_for_a_lock,
)

UNTIL = datetime(2031, 3, 9, tzinfo=UTC)


def url_of(filed: dict[str, Any], what: str = "") -> str:
    return f"/registration/v1/requests/{filed['request_id']}{what}"


async def returned(desk: Desk, **changes: Any) -> dict[str, Any]:
    """Let a new person's request be returned for correction."""
    filed = await desk.submitted(**changes)
    await give_back(desk, filed)
    return filed


async def give_back(desk: Desk, filed: dict[str, Any], *, version: int = 2, **changes: Any) -> None:
    whole = {"reason": "document_mismatch", "correct": ["street", "irs_letter"], "expires_at": UNTIL}
    more = {"returned_by": new_id(), "version": version} | whole | changes
    await desk.approval(approval.RequestReturned, filed["request_id"], **more)


async def correct(desk: Desk, filed: dict[str, Any], **data: Any) -> httpx.Response:
    body = {"data": an_organization(**data)}
    return await desk.http.post(url_of(filed, "/corrections"), json=body, headers=bearer(filed["action_token"]))


async def withdraw(desk: Desk, filed: dict[str, Any], token: str | None = None) -> httpx.Response:
    return await desk.http.post(url_of(filed, "/withdrawal"), headers=bearer(token or filed.get("action_token")))


async def show(desk: Desk, filed: dict[str, Any], token: str | None = None) -> httpx.Response:
    return await desk.http.get(url_of(filed), headers=bearer(token or filed.get("action_token")))


async def count(desk: Desk, event: type[Event]) -> int:
    return len(await desk.announced(event))


def said_of(status: dict[str, Any]) -> list[str]:
    return [moment["what"] for moment in status["timeline"]]


# --- Withdrawal -----------------------------------------------------------------------------------


async def test_withdrawing_is_a_wish_that_is_said_once_and_shown_until_approval_answers(desk: Desk) -> None:
    filed = await desk.submitted()
    first, again = await withdraw(desk, filed), await withdraw(desk, filed)
    assert (first.status_code, again.status_code, first.json()) == (202, 202, again.json())
    assert first.json()["next_step"].startswith("You asked to withdraw")
    assert await count(desk, registration.WithdrawalAsked) == 1
    waiting = await desk.status(filed["tracking_number"])
    assert (waiting["state"], waiting["wish"], waiting["whose_turn"]) == ("submitted", "withdrawal_asked", "IACS")
    await desk.approval(approval.RequestWithdrawn, filed["request_id"])
    ended = await desk.status(filed["tracking_number"])
    assert (ended["state"], ended["next_step"]) == ("withdrawn", "You withdrew your request.")
    assert said_of(ended)[-2:] == ["withdrawal_asked", "withdrawn"]
    late = await withdraw(desk, filed)
    assert (late.status_code, late.json()["code"]) == (409, "request_closed")


async def test_a_wish_that_came_too_late_is_told_and_may_be_made_again(desk: Desk) -> None:
    filed = await desk.submitted()
    await withdraw(desk, filed)
    await desk.approval(approval.RequestApproved, filed["request_id"], version=2)
    refused = {"version": 2, "why": "already_decided"}
    await desk.approval(approval.RequestWithdrawalRefused, filed["request_id"], **refused)
    told = await desk.status(filed["tracking_number"])
    assert (told["state"], told["wish"]) == ("approved", "withdrawal_refused")
    assert told["next_step"].startswith("You asked to withdraw, but it was decided already. Your request was approved.")
    assert said_of(told)[-1] == "withdrawal_refused"
    assert (await withdraw(desk, filed)).status_code == 202
    assert await count(desk, registration.WithdrawalAsked) == 2


async def test_a_refusal_of_the_wish_is_told_even_where_the_grant_was_heard_first(desk: Desk) -> None:
    filed = await desk.submitted()
    await withdraw(desk, filed)
    await desk.grant(filed["request_id"])
    await desk.approval(approval.RequestWithdrawalRefused, filed["request_id"], version=3)
    told = await desk.status(filed["tracking_number"])
    assert (told["state"], said_of(told)[-1]) == ("granted", "withdrawal_refused")


async def test_a_draft_that_waits_for_a_sign_in_is_deleted_by_that_very_person(desk: Desk) -> None:
    first = await desk.submitted()
    await desk.grant(first["request_id"])
    person_id = next(row.person_id for row in await desk.rows(tables.request))
    await desk.account(person_id)
    draft = await desk.filed(data=an_organization(tin="12-3456780"))
    assert (await withdraw(desk, draft, desk.token(await desk.account()))).status_code == 404
    gone = await withdraw(desk, draft, desk.token(person_id))
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await withdraw(desk, draft, desk.token(person_id))).status_code == 404
    assert len(await desk.rows(tables.request)) == 1
    assert await count(desk, registration.WithdrawalAsked) == 0
    assert "delete_draft" in [act.act for act in await desk.rows(audit)]


# --- Correction -----------------------------------------------------------------------------------


async def test_a_return_is_shown_with_its_reason_what_to_correct_and_until_when(desk: Desk) -> None:
    filed = await returned(desk)
    told = await desk.status(filed["tracking_number"])
    assert (told["state"], told["whose_turn"], told["reason"]) == ("returned", "Applicant", "document_mismatch")
    assert told["correct"] == [
        {"code": "street", "name": "Street address"},
        {"code": "irs_letter", "name": "IRS letter (CP-575 or accepted substitute)"},
    ]
    assert datetime.fromisoformat(told["until"]) == UNTIL
    for words in ("does not agree", "Street address", "March 9, 2031", "then decide"):
        assert words in told["next_step"]
    assert (said_of(told)[-1], told["timeline"][-1]["by"]) == ("returned", ["Help Desk"])


async def test_a_correction_is_on_its_way_until_approval_reopens_the_request(desk: Desk) -> None:
    filed = await returned(desk)
    answer = await correct(desk, filed, street="7501 Security Blvd", tin="12-3456780")
    assert (answer.status_code, answer.json()["state"]) == (202, "returned")
    assert answer.json()["next_step"] == "Your correction is on its way to those who decide."
    (said,) = await desk.announced(registration.RequestResubmitted)
    assert (said.round, said.revision) == (1, 2)
    assert said.organization is not None
    assert said.organization.street == "7501 Security Blvd"
    assert secrets.unseal(desk.directory_key.as_dict(private=True), said.organization.tin_sealed) == "123456780"
    waiting = await desk.status(filed["tracking_number"])
    assert (waiting["wish"], waiting["whose_turn"], waiting["correct"]) == ("correction_sent", "IACS", [])
    again = await correct(desk, filed)
    assert (again.status_code, again.json()["code"]) == (409, "not_returned")
    await desk.approval(approval.RequestReopened, filed["request_id"], version=3, round=2, why="resubmitted")
    decided = await desk.status(filed["tracking_number"])
    assert (decided["state"], decided["wish"], decided["whose_turn"]) == ("pending", None, "Help Desk")
    assert said_of(decided)[-3:] == ["returned", "resubmitted", "reopened"]


async def test_a_request_may_be_returned_and_corrected_again(desk: Desk) -> None:
    filed = await returned(desk)
    await correct(desk, filed)
    await desk.approval(approval.RequestReopened, filed["request_id"], version=3, round=2, why="resubmitted")
    await give_back(desk, filed, version=4, round=2)
    assert (await correct(desk, filed)).status_code == 202
    said = await desk.announced(registration.RequestResubmitted)
    assert [(event.round, event.revision) for event in said] == [(1, 2), (2, 3)]


async def test_only_what_was_returned_is_corrected(desk: Desk) -> None:
    filed = await desk.submitted()
    assert (await correct(desk, filed)).json()["code"] == "not_returned"
    await desk.approval(approval.RequestDenied, filed["request_id"], version=2, reason="wrong_path")
    assert (await correct(desk, filed)).json()["code"] == "request_closed"
    assert await count(desk, registration.RequestResubmitted) == 0


async def test_a_correction_is_checked_like_what_is_filed_and_refused_as_a_whole(desk: Desk) -> None:
    filed = await returned(desk)
    wrong = await correct(desk, filed, zip_code="1", tin="00-1234567", shoe_size="9")
    assert [error["pointer"] for error in wrong.json()["errors"]] == ["/data/shoe_size", "/data/tin", "/data/zip_code"]
    refused = await correct(desk, filed, provider_type="dmepos_supplier")
    assert refused.json()["code"] == "provider_type_refused"
    assert await count(desk, registration.RequestResubmitted) == 0
    (row,) = await desk.rows(tables.request)
    assert (row.revision, row.correction_sent) == (1, False)


async def test_a_secret_field_that_is_left_out_of_a_correction_stays_as_it_was_filed(desk: Desk) -> None:
    filed = await returned(desk)
    data = an_organization(city="Towson")
    del data["tin"]
    answer = await desk.http.post(
        url_of(filed, "/corrections"), json={"data": data}, headers=bearer(filed["action_token"])
    )
    assert answer.status_code == 202
    first = (await desk.announced(registration.RequestSubmitted))[0].organization
    second = (await desk.announced(registration.RequestResubmitted))[0].organization
    assert first and second
    assert (first.tin_fingerprint, second.city) == (second.tin_fingerprint, "Towson")
    (row,) = await desk.rows(tables.identity)
    assert set(row.secrets) == {"ssn", "birth_date", "tin"}
    held = await desk.dump()
    assert not any(secret in held for secret in (SSN, SSN.replace("-", ""), TIN.replace("-", ""), BIRTH_DATE))


async def test_a_correction_that_would_become_another_open_request_of_the_person_is_not_confirmed(desk: Desk) -> None:
    await desk.submitted(data=an_organization(tin="12-3456780"))
    filed = await returned(desk)
    answer = await correct(desk, filed, tin="12-3456780")
    assert (answer.status_code, answer.json()["code"]) == (409, "could_not_be_confirmed")
    assert (await correct(desk, filed, tin="12-3456781")).status_code == 202


async def test_a_correction_waits_for_what_its_person_does_with_another_request(desk: Desk) -> None:
    other = await desk.submitted(data=an_organization(tin="12-3456780"))
    filed = await returned(desk)
    (said, _) = await desk.announced(registration.RequestSubmitted)
    async with desk.db.begin() as tx:  # The other has become one for another place but is not committed ...
        await store.lock_person(tx, said.applicant.person_id)
        mine = update(tables.request).where(tables.request.c.id == UUID(other["request_id"]))
        await tx.execute(mine.values(place_key="elsewhere"))
        late = asyncio.create_task(correct(desk, filed, tin="12-3456780"))
        await someone_waits_for_a_lock(desk.db)  # ... when the correction to its old one arrives.
    assert (await late).status_code == 202


async def test_documents_alone_may_be_what_is_corrected(desk: Desk) -> None:
    filed = await returned(desk)
    headers = bearer(filed["action_token"])
    sent = await desk.http.post(url_of(filed, "/documents/irs_letter"), content=PDF, headers=headers)
    assert sent.status_code == 201
    assert (await correct(desk, filed)).status_code == 202
    filed_as = (await desk.announced(registration.RequestSubmitted))[0].organization
    sent_as = (await desk.announced(registration.RequestResubmitted))[0].organization
    assert filed_as and sent_as
    assert filed_as.duplicate_key == sent_as.duplicate_key


async def test_a_kind_without_data_is_sent_again_as_it_is(desk: Desk) -> None:
    group_id = await desk.group(await desk.organization())
    filed = await returned(desk, kind="join_group", data={}, group_id=str(group_id))
    answer = await desk.http.post(url_of(filed, "/corrections"), json={}, headers=bearer(filed["action_token"]))
    assert answer.status_code == 202, answer.text


async def test_a_returned_request_may_be_corrected_in_an_organization_that_was_suspended_since(desk: Desk) -> None:
    organization_id = await desk.organization()
    group_id = await desk.group(organization_id)
    filed = await returned(desk, kind="join_group", data={}, group_id=str(group_id))
    for status, expected in (("closed", "organization_not_listed"), ("suspended", None)):
        async with desk.db.begin() as tx:
            await tx.execute(tables.organization.update().values(status=status))
        answer = await desk.http.post(url_of(filed, "/corrections"), json={}, headers=bearer(filed["action_token"]))
        assert answer.json().get("code") == expected


async def test_what_was_returned_can_be_withdrawn(desk: Desk) -> None:
    filed = await returned(desk)
    assert (await withdraw(desk, filed)).status_code == 202
    await desk.approval(approval.RequestWithdrawn, filed["request_id"], version=3)
    assert (await desk.status(filed["tracking_number"]))["state"] == "withdrawn"


# --- Reading one's own ----------------------------------------------------------------------------


async def test_an_applicant_reads_what_was_filed_but_no_secret(desk: Desk) -> None:
    filed = await desk.submitted()
    answer = await show(desk, filed)
    assert answer.headers["cache-control"] == "no-store"
    lower_case = {"authorization": f"bearer {filed['action_token']}"}
    assert (await desk.http.get(url_of(filed, ""), headers=lower_case)).json() == answer.json()
    shown = answer.json()
    assert (shown["data"]["street"], shown["applicant"]["email"]) == ("7500 Security Boulevard", "maria@clinic.example")
    assert (shown["kind_code"], shown["gives"], shown["revision"]) == ("register_organization", "Security Official", 1)
    for secret in (SSN, TIN, TIN.replace("-", ""), BIRTH_DATE, "ssn", "tin"):
        assert secret not in answer.text


async def test_after_a_correction_the_applicant_reads_the_corrected_data(desk: Desk) -> None:
    filed = await returned(desk)
    await correct(desk, filed, city="Towson")
    shown = (await show(desk, filed)).json()
    assert (shown["data"]["city"], shown["revision"]) == ("Towson", 2)


async def test_nobody_reads_corrects_or_withdraws_somebody_elses_request(desk: Desk) -> None:
    mine = await returned(desk)
    stranger = await desk.account()
    theirs = (await desk.file(a_wish(applicant=None), desk.token(stranger))).json()
    help_desk = await desk.account()
    await desk.assignment(help_desk, "HELP_DESK", desk.community.place_id, desk.community.place_id)
    for method, what in (("GET", ""), ("POST", "/corrections"), ("POST", "/withdrawal")):
        seen = {
            name: (
                await desk.http.request(
                    method, url_of(mine, what), json={} if what == "/corrections" else None, headers=bearer(token)
                )
            ).status_code
            for name, token in {
                "nobody": None,
                "stranger": desk.token(stranger),
                "help desk": desk.token(help_desk),
            }.items()
        }
        assert seen == {"nobody": 401, "stranger": 404, "help desk": 404}, what
    assert (await show(desk, theirs, mine["action_token"])).status_code == 401
    assert (await show(desk, theirs, desk.token(stranger))).status_code == 200
    assert await count(desk, registration.WithdrawalAsked) == await count(desk, registration.RequestResubmitted) == 0


async def test_a_signed_in_person_lists_their_own_requests_page_by_page(desk: Desk) -> None:
    me, other = await desk.account(), await desk.account()
    mine = [
        (await desk.file(a_wish(applicant=None, data=an_organization(tin=f"12-345678{n}")), desk.token(me))).json()
        for n in range(3)
    ]
    await desk.file(a_wish(applicant=None), desk.token(other))
    url, headers = "/registration/v1/requests", bearer(desk.token(me))
    first = (await desk.http.get(url, params={"limit": 2}, headers=headers)).json()
    second = (await desk.http.get(url, params={"limit": 2, "cursor": first["next_cursor"]}, headers=headers)).json()
    listed = [line["request_id"] for page in (first, second) for line in page["items"]]
    assert listed == [filed["request_id"] for filed in reversed(mine)]
    assert second["next_cursor"] is None
    assert (first["items"][0]["gives"], first["items"][0]["state"]) == ("Security Official", "submitted")
    stolen = {"cursor": first["next_cursor"]}
    assert (await desk.http.get(url, params=stolen, headers=bearer(desk.token(other)))).status_code == 422
    assert (await desk.http.get(url)).status_code == 401


async def test_a_person_whose_account_cannot_act_lists_nothing(desk: Desk) -> None:
    locked = await desk.account(status="locked")
    answer = await desk.http.get("/registration/v1/requests", headers=bearer(desk.token(locked)))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


# --- Acting by token ------------------------------------------------------------------------------


async def test_after_its_half_hour_a_token_acts_no_more_and_a_new_code_brings_a_new_one(desk: Desk) -> None:
    filed = await desk.submitted()
    states: tuple[tuple[str, type[approval.RequestEvent] | None, dict[str, Any]], ...] = (
        ("submitted", None, {}),
        ("awaiting_documents", approval.RequestOpened, {"documents_awaited": ["irs_letter"], "stage": 0}),
        ("returned", approval.RequestReturned, {"version": 2, "returned_by": new_id(), "reason": "document_mismatch"}),
    )
    for state, event, more in states:
        if event is not None:
            await desk.approval(event, filed["request_id"], **more)
        old = secrets.own_token(
            bytes([1]) * 32, purpose=keys.ACT_PURPOSE, subject=filed["request_id"], lives_seconds=-1
        )
        assert (await show(desk, filed, old)).status_code == 401
        assert (await desk.http.post(url_of(filed, "/email-code"))).status_code == 202
        again = (await desk.prove(filed["request_id"])).json()
        assert again["state"] == state
        assert (await show(desk, filed, again["action_token"])).json()["state"] == state
        filed |= {"action_token": again["action_token"]}
        desk.wait(timedelta(hours=1))
    assert (await correct(desk, filed)).status_code == 202
    assert await count(desk, registration.RequestSubmitted) == 1


async def test_a_signed_in_applicant_corrects_and_withdraws_too(desk: Desk) -> None:
    me = await desk.account()
    filed = (await desk.file(a_wish(applicant=None), desk.token(me))).json() | {"action_token": desk.token(me)}
    await give_back(desk, filed, version=2)
    assert (await correct(desk, filed)).status_code == 202
    assert (await withdraw(desk, filed)).status_code == 202
    acts = {act.act: act.actor for act in await desk.rows(audit)}
    assert acts["correct_request"] == acts["ask_withdrawal"] == str(me)
    await desk.account(me, status="locked", version=2)
    assert (await show(desk, filed)).status_code == 401


async def test_another_persons_token_for_another_request_acts_on_nothing_here(desk: Desk) -> None:
    mine = await desk.submitted()
    other = await desk.submitted(
        applicant=an_applicant(ssn="219-09-9998", email="other@clinic.example"), data=an_organization(tin="12-3456780")
    )
    assert (await withdraw(desk, mine, other["action_token"])).status_code == 401
    assert UUID(mine["request_id"]) != UUID(other["request_id"])
