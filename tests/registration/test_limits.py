"""How often anybody may file and guess, counted in the database; and that a repeated call is no second one."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import JsonValue, ValidationError

from services.registration import domain, store, tables
from services.registration.api.bodies import CorrectionBody, RequestBody
from shared import secrets, web
from shared.contracts import registration
from shared.ids import new_id
from tests.registration.desk import Desk, a_wish, an_applicant, an_organization, bearer, someone_waits_for_a_lock

HOUR = timedelta(hours=1)
KEY = '"2f6c1d0e-7c55-4f0e-9a1b-3a4f5d6e7f80"'


def a_practice(number: int) -> dict[str, Any]:
    return an_organization(tin=f"12-34567{number:02d}")


async def file_with(desk: Desk, key: str, body: dict[str, Any], token: str | None = None) -> httpx.Response:
    headers = {"idempotency-key": key} | bearer(token)
    return await desk.http.post("/registration/v1/requests", json=body, headers=headers)


def refused(answer: httpx.Response) -> tuple[int, str, bool]:
    return answer.status_code, answer.json().get("code"), int(answer.headers.get("retry-after", 0)) > 0


# --- Filing ---------------------------------------------------------------------------------------


async def test_ten_drafts_an_hour_are_taken_of_one_address_however_it_is_written(desk: Desk) -> None:
    for number in range(10):
        await desk.filed(data=a_practice(number))
    same = an_applicant(email="MARIA@clinic.example")
    assert refused(await desk.file(a_wish(data=a_practice(10), applicant=same))) == (429, "rate_limited", True)
    other = an_applicant(email="other@clinic.example", ssn="219-09-9998")
    assert (await desk.file(a_wish(data=a_practice(10), applicant=other))).status_code == 201
    desk.wait(HOUR)
    assert (await desk.file(a_wish(data=a_practice(10)))).status_code == 201


async def test_thirty_drafts_an_hour_are_taken_of_one_client_whatever_the_addresses(desk: Desk) -> None:
    def wish(number: int) -> dict[str, Any]:
        who = an_applicant(email=f"p{number}@clinic.example", ssn=f"219-09-{9000 + number}")
        return a_wish(applicant=who, data=a_practice(number))

    for number in range(30):
        assert (await desk.file(wish(number))).status_code == 201
    assert refused(await desk.file(wish(30))) == (429, "rate_limited", True)
    held = str([tuple(row) for row in await desk.rows(tables.counted_act)])
    assert "127.0.0.1" not in held
    assert "clinic.example" not in held


async def test_thirty_requests_an_hour_are_taken_of_one_person_who_is_signed_in(desk: Desk) -> None:
    mine, other = desk.token(await desk.account()), desk.token(await desk.account())
    for number in range(30):
        assert (await desk.file(a_wish(applicant=None, data=a_practice(number)), mine)).status_code == 201
    assert refused(await desk.file(a_wish(applicant=None, data=a_practice(30)), mine)) == (429, "rate_limited", True)
    assert (await desk.file(a_wish(applicant=None), other)).status_code == 201


async def test_what_was_refused_is_not_counted(desk: Desk) -> None:
    for _ in range(12):
        assert (await desk.file(a_wish("join_group", group_id=str(new_id())))).status_code == 409
    assert (await desk.file(a_wish())).status_code == 201


async def test_two_at_once_are_never_both_the_last(desk: Desk) -> None:
    for number in range(9):
        await desk.filed(data=a_practice(number))
    answers = await asyncio.gather(*(desk.file(a_wish(data=a_practice(number))) for number in (9, 10, 11)))
    assert sorted(answer.status_code for answer in answers) == [201, 429, 429]


async def test_the_answer_says_how_long_to_wait(desk: Desk) -> None:
    for number in range(10):
        await desk.filed(data=a_practice(number))
    desk.wait(HOUR - timedelta(minutes=1))
    answer = await desk.file(a_wish(data=a_practice(10)))
    assert 1 <= int(answer.headers["retry-after"]) <= 60


# --- Guessing -------------------------------------------------------------------------------------


async def test_after_fifteen_wrong_codes_a_request_takes_none_for_an_hour_not_even_a_right_one(desk: Desk) -> None:
    filed = await desk.filed()
    for _ in range(domain.WRONG_CODES.at_most):
        assert (await desk.prove(filed["request_id"], "wrong")).json()["code"] == "code_wrong"
    await desk.http.post(f"/registration/v1/requests/{filed['request_id']}/email-code")
    assert refused(await desk.prove(filed["request_id"])) == (429, "rate_limited", True)
    other = await desk.filed(data=a_practice(1))
    assert (await desk.prove(other["request_id"])).status_code == 200
    desk.wait(HOUR)
    assert (await desk.prove(filed["request_id"])).status_code == 200


# --- One call -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "whole", "place"),
    [(RequestBody, a_wish(), "data"), (RequestBody, a_wish(), "applicant"), (CorrectionBody, {}, "data")],
)
def test_a_call_names_fifty_fields_at_most(body: type[web.Body], whole: dict[str, Any], place: str) -> None:
    many = {f"field_{number}": "" for number in range(51)}
    with pytest.raises(ValidationError, match="at most 50"):
        body.model_validate(whole | {place: many})
    many.popitem()
    assert body.model_validate(whole | {place: many})


def test_a_call_keeps_every_value_of_a_list_for_the_rules_to_judge() -> None:
    numbers: list[JsonValue] = [f"A{number:05}" for number in range(60)]
    assert CorrectionBody(data={"ptans": numbers}).values() == {"ptans": numbers}


# --- Idempotency-Key ------------------------------------------------------------------------------


async def test_the_same_key_and_body_bring_the_same_answer_and_file_nothing_again(desk: Desk) -> None:
    first, again = await file_with(desk, KEY, a_wish()), await file_with(desk, KEY, a_wish())
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.status_code == 201
    assert len(await desk.rows(tables.request)) == len(await desk.announced(registration.EmailCodeAsked)) == 1
    await desk.prove(first.json()["request_id"])
    assert (await file_with(desk, KEY, a_wish())).json() == first.json()  # As it was answered, not as it is now.


async def test_the_same_key_with_another_body_is_refused(desk: Desk) -> None:
    await file_with(desk, KEY, a_wish())
    other = await file_with(desk, KEY, a_wish(data=a_practice(1)))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(await desk.rows(tables.request)) == 1


async def test_a_key_is_its_callers_own(desk: Desk) -> None:
    one, other = desk.token(await desk.account()), desk.token(await desk.account())
    wish = a_wish(applicant=None)
    answers = [await file_with(desk, KEY, wish, token) for token in (one, other, one)]
    ids = [answer.json()["request_id"] for answer in answers]
    assert ids[0] == ids[2] != ids[1]
    assert [answer.status_code for answer in answers] == [201] * 3


async def test_a_refusal_leaves_the_key_free(desk: Desk) -> None:
    organization_id = await desk.organization(security_official=False)
    wish = a_wish("become_backup_security_official", organization_id=str(organization_id))
    assert (await file_with(desk, KEY, wish)).json()["code"] == "security_official_vacant"
    await desk.assignment(new_id(), "SECURITY_OFFICIAL", organization_id, organization_id)
    assert (await file_with(desk, KEY, wish)).status_code == 201


async def test_of_two_calls_with_one_key_at_once_the_second_waits_for_the_firsts_answer(desk: Desk) -> None:
    caller = secrets.fingerprint(bytes([2]) * 32, "client address", "127.0.0.1")
    key = KEY.strip('"')
    async with desk.db.begin() as tx:  # The first has filed but not committed ...
        assert await store.add_key(tx, caller, key, "another body") is None
        await store.save_answer(tx, caller, key, 201, {})
        late = asyncio.create_task(file_with(desk, KEY, a_wish()))
        await someone_waits_for_a_lock(desk.db)  # ... when the second arrives.
    assert (await late).json()["code"] == "idempotency_key_reused"
    assert await desk.rows(tables.request) == []


async def test_a_key_that_is_none_is_a_fault(desk: Desk) -> None:
    answer = await file_with(desk, "a b", a_wish())
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "Idempotency-Key")


async def test_no_key_keeps_a_secret(desk: Desk) -> None:
    await file_with(desk, KEY, a_wish())
    (row,) = await desk.rows(tables.filing_key)
    assert not any(
        word in str(tuple(row)) for word in ("Maria", "219-09", "219099999", "123456789", "clinic.example", "127.0.0.1")
    )
