"""What nobody learns: whether a person, or an organization, is known already. Same answer, same work, same time."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from services.registration import keys, tables
from shared import secrets
from shared.ids import RequestId, new_id
from tests.registration.desk import Desk, a_wish, an_applicant, an_organization

ROUNDS = 7
OWN = {"request_id", "tracking_number", "action_token", "trace_id"}
"""What differs between any two answers."""


@asynccontextmanager
async def statements(desk: Desk) -> AsyncIterator[list[str]]:
    """Note every statement that the service runs, by its beginning."""
    noted: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        noted.append(" ".join(statement.split()[:3]))

    event.listen(desk.db.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield noted
    finally:
        event.remove(desk.db.engine.sync_engine, "before_cursor_execute", note)


def shape(answer: httpx.Response) -> tuple[Any, ...]:
    """Return all of an answer that could tell something."""
    body = {name: value for name, value in answer.json().items() if name not in OWN}
    headers = {name: len(value) if name == "content-length" else value for name, value in answer.headers.items()}
    return answer.status_code, body, sorted(answer.json()), headers


async def compare(
    one: Callable[[int], Awaitable[httpx.Response]], other: Callable[[int], Awaitable[httpx.Response]], desk: Desk
) -> None:
    """Two ways must give the same answer after the same statements, and take about the same time."""
    took: dict[str, list[float]] = {"one": [], "other": []}
    ran: dict[str, list[list[str]]] = {"one": [], "other": []}
    told: list[tuple[Any, ...]] = []
    for number in range(ROUNDS):
        for name, way in (("one", one), ("other", other)):
            async with statements(desk) as noted:
                began = time.perf_counter()
                answer = await way(number)
                took[name].append(time.perf_counter() - began)
            ran[name].append(noted)
            told.append(shape(answer))
    assert all(each == told[0] for each in told)
    assert ran["one"][0]
    assert ran["one"] == ran["other"]
    quick, slow = sorted(min(each) for each in took.values())  # The others waited for whatever else the machine does.
    assert slow < 2 * quick + 0.02


def a_stranger(number: int) -> dict[str, str]:
    return an_applicant(ssn=f"319-09-{1000 + number}", email=f"p{number:03}@clinic.example")


async def test_filing_never_tells_whether_a_person_has_an_account(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.grant(filed["request_id"])
    await desk.account(next(row.person_id for row in await desk.rows(tables.request)))

    async def known(number: int) -> httpx.Response:
        who = an_applicant(email=f"k{number:03}@clinic.example")
        return await desk.file(a_wish(applicant=who, data=an_organization(tin=f"12-34567{number:02d}")))

    async def unknown(number: int) -> httpx.Response:
        return await desk.file(a_wish(applicant=a_stranger(number), data=an_organization(tin=f"13-34567{number:02d}")))

    await compare(known, unknown, desk)


async def test_filing_and_proving_never_tell_whether_an_organization_is_known(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.grant(filed["request_id"])

    async def all_the_way(who: dict[str, str], tin: str) -> httpx.Response:
        answer = await desk.file(a_wish(applicant=who, data=an_organization(tin=tin)))
        assert answer.status_code == 201
        return await desk.prove(answer.json()["request_id"])

    async def duplicate(number: int) -> httpx.Response:
        return await all_the_way(a_stranger(number), an_organization()["tin"])

    async def new(number: int) -> httpx.Response:
        return await all_the_way(a_stranger(500 + number), f"13-34567{number:02d}")

    await compare(duplicate, new, desk)


async def test_asking_for_a_code_never_tells_whether_a_person_has_an_account(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.grant(filed["request_id"])
    await desk.account(next(row.person_id for row in await desk.rows(tables.request)))
    waiting = await desk.filed(data=an_organization(tin="12-3456780"))
    other = await desk.filed(applicant=a_stranger(1), data=an_organization(tin="12-3456781"))
    url = "/registration/v1/requests/{}/email-code"
    answers = [await desk.http.post(url.format(each["request_id"])) for each in (waiting, other)]
    assert shape(answers[0]) == shape(answers[1])
    wrong = [await desk.prove(each["request_id"], "00000000") for each in (waiting, other)]
    assert shape(wrong[0]) == shape(wrong[1])


# --- Keys -------------------------------------------------------------------------------------------


def a_ring() -> keys.Keyring:
    """Return keys that seal for nobody."""
    return keys.Keyring(secrets.Vault({"k1": bytes(32)}), bytes(32), {}, {}, bytes(32))


def test_one_ipv6_customer_is_one_client_however_many_addresses_they_have() -> None:
    ring = a_ring()
    assert ring.client_fingerprint("2001:db8::1") == ring.client_fingerprint("2001:db8::ffff")
    assert ring.client_fingerprint("2001:db8::1") != ring.client_fingerprint("2001:db8:0:1::1")


def test_equal_codes_of_two_requests_do_not_look_equal() -> None:
    ring, one, other = a_ring(), RequestId(new_id()), RequestId(new_id())
    assert ring.code_fingerprint(one, "04711815") != ring.code_fingerprint(other, "04711815")


def test_a_locked_field_opens_only_under_its_own_name_and_no_key_is_printed() -> None:
    ring, request_id = a_ring(), RequestId(new_id())
    locked = ring.lock(request_id, "ssn", "219-09-9999")
    assert ring.open(request_id, "ssn", locked) == "219-09-9999"
    with pytest.raises(secrets.UnreadableError):
        ring.open(request_id, "birth_date", locked)
    assert repr(ring) == "Keyring()"


def test_a_code_has_eight_digits_also_when_it_is_a_small_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbelow", lambda _: 7)
    assert keys.new_code() == "00000007"
