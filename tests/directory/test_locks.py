"""Ten wrong passwords lock an account: who hears of it, how it ends, and that nobody else learns it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from services.directory import tables, usecases
from shared.contracts import directory
from shared.ids import PersonId
from shared.tables import audit
from shared.testing.waiting import someone_waits_for_a_lock
from tests.directory.builders import KEYS
from tests.directory.conftest import client
from tests.directory.desk import PASSWORD, Desk

LOCKED_FOR = timedelta(minutes=15)
ALMOST, A_MOMENT = LOCKED_FOR - timedelta(minutes=1), timedelta(minutes=2)


@pytest.fixture
async def person(desk: Desk) -> PersonId:
    """The help desk's person, who has a password; what was said before is forgotten."""
    await desk.with_password(desk.help_desk)
    await desk.forget()
    return desk.help_desk


async def changes(desk: Desk) -> list[tuple[str, str]]:
    """Return what was announced of accounts, from which state to which; the states must say the same, in order."""
    found = [(it.previous_state, it.state) for it in await desk.announced(directory.AccountChanged)]
    states = await desk.states(directory.AccountState)
    assert [state.status for _, state in states] == [state for _, state in found]
    versions = [version for version, _ in states]
    assert versions == sorted(set(versions))
    return found


async def acts(desk: Desk, *names: str) -> list[str]:
    return [row.act for row in await desk.rows(audit) if row.act in names]


async def test_the_tenth_wrong_password_locks_and_everybody_is_told(desk: Desk, person: PersonId) -> None:
    user_id = (await desk.account(person)).user_id
    for _ in range(9):
        await desk.sign_in(user_id, "wrong")
    assert await changes(desk) == []
    await desk.sign_in(user_id, "wrong")
    account = await desk.account(person)
    assert (account.state, account.failure_count) == ("locked", 0)
    assert await changes(desk) == [("active", "locked")]
    (told,) = await desk.announced(directory.AccountChanged)
    assert (told.person_id, told.community_id, told.until) == (person, account.community_id, account.locked_until)
    assert told.until is not None
    assert told.until - told.changed_at == LOCKED_FOR
    ((version, _),) = await desk.states(directory.AccountState)
    assert version == account.version
    assert await acts(desk, "lock_account", "fail_sign_in") == [*["fail_sign_in"] * 9, "lock_account", "fail_sign_in"]
    await desk.sign_in(user_id, "wrong")
    assert await changes(desk) == [("active", "locked")]


async def test_its_timer_unlocks_it_when_the_time_is_over(desk: Desk, person: PersonId) -> None:
    await desk.fail(person)
    (timer,) = await desk.rows(tables.timer)
    assert (timer.kind, timer.scope_id, timer.place_id) == ("unlock_account", person, person)
    desk.wait(ALMOST)
    assert await desk.fire() == 0
    desk.wait(A_MOMENT)
    assert await desk.fire(2) == 1
    account = await desk.account(person)
    assert (account.state, account.locked_until) == ("active", None)
    assert await changes(desk) == [("active", "locked"), ("locked", "active")]
    assert [it.until is None for it in await desk.announced(directory.AccountChanged)] == [False, True]
    assert await acts(desk, "lock_account", "unlock_account") == ["lock_account", "unlock_account"]
    assert (await desk.sign_in(account.user_id)).status_code == 201


async def test_the_timer_of_an_earlier_lock_does_not_end_a_later_one(desk: Desk, person: PersonId) -> None:
    await desk.fail(person)
    desk.wait(timedelta(minutes=10))
    await set_another_password(desk, person)
    await desk.fail(person)
    desk.wait(timedelta(minutes=6))
    assert await desk.fire(2) == 1  # The first lock's: its time is over.
    assert (await desk.account(person)).state == "locked"
    desk.wait(timedelta(minutes=10))
    assert await desk.fire(2) == 1
    assert (await desk.account(person)).state == "active"
    assert await changes(desk) == [("active", "locked"), ("locked", "active")] * 2


async def test_whoever_signs_in_after_the_time_needs_no_timer(desk: Desk, person: PersonId) -> None:
    await desk.fail(person)
    user_id = (await desk.account(person)).user_id
    desk.wait(ALMOST)
    assert (await desk.sign_in(user_id)).status_code == 401
    desk.wait(A_MOMENT)
    assert (await desk.sign_in(user_id)).status_code == 201
    assert (await desk.account(person)).state == "active"
    assert await desk.fire() == 1  # Finds nothing to do.
    assert await changes(desk) == [("active", "locked"), ("locked", "active")]
    assert await acts(desk, "unlock_account") == ["unlock_account"]


async def test_a_wrong_password_after_the_time_is_the_first_of_ten(desk: Desk, person: PersonId) -> None:
    await desk.fail(person)
    desk.wait(LOCKED_FOR)
    await desk.fail(person, 9)
    account = await desk.account(person)
    assert (account.state, account.failure_count) == ("active", 9)
    await desk.fail(person, 1)
    assert await changes(desk) == [("active", "locked"), ("locked", "active"), ("active", "locked")]


async def set_another_password(desk: Desk, person: PersonId) -> None:
    async with desk.db.begin() as tx:
        await usecases.ask_password_link(tx, KEYS, (await desk.account(person)).user_id)
    await desk.with_password(person, "another quite uncommon one")


async def test_a_new_password_ends_the_lock_at_once(desk: Desk, person: PersonId) -> None:
    await desk.fail(person)
    await set_another_password(desk, person)  # Its link is sent although the account is locked.
    account = await desk.account(person)
    assert (account.state, account.locked_until) == ("active", None)
    assert await changes(desk) == [("active", "locked"), ("locked", "active")]
    assert (await desk.sign_in(account.user_id, "another quite uncommon one")).status_code == 201


async def test_a_session_waits_for_the_end_of_a_lock(desk: Desk, person: PersonId) -> None:
    await desk.sign_in((await desk.account(person)).user_id)
    await desk.fail(person)
    renewal = "/directory/v1/sessions/current/token"
    assert (await desk.http.post(renewal)).status_code == 401
    desk.wait(LOCKED_FOR)
    assert await desk.fire() == 1
    assert (await desk.http.post(renewal)).status_code == 201


async def test_of_two_tenth_tries_at_the_same_moment_one_locks(desk: Desk, person: PersonId) -> None:
    await desk.fail(person, 9)
    async with desk.db.begin() as tx:
        assert await usecases.sign_in(tx, person, None) is None
        late = asyncio.create_task(desk.fail(person, 1))
        await someone_waits_for_a_lock(desk.db)
    await late
    assert await changes(desk) == [("active", "locked")]
    assert len(await desk.rows(tables.timer)) == 1
    assert (await desk.account(person)).failure_count == 0


# --- Nobody learns it -----------------------------------------------------------------------------------------------


@contextmanager
def statements(desk: Desk) -> Iterator[list[str]]:
    """Collect what is asked of PostgreSQL, in order."""
    found: list[str] = []
    write = desk.db._flush

    def seen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    async def flush(tx: Any) -> None:
        found.append("what is recorded and announced")
        await write(tx)

    engine = desk.db.engine.sync_engine
    event.listen(engine, "before_cursor_execute", seen)
    desk.db._flush = flush
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", seen)
        desk.db._flush = write


async def test_every_refusal_is_the_same_answer_by_the_same_statements(desk: Desk, person: PersonId) -> None:
    async with desk.db.begin() as tx:
        invited = await desk.appoint(tx)
        locked = await desk.appoint(tx, given_name="Locked")
    locked_id = await desk.person_named("Locked")
    await desk.with_password(locked_id)
    await desk.fail(locked_id)
    answers, asked = [], []
    for typed, password in (
        ((await desk.account(person)).user_id, "wrong"),
        (locked, "wrong"),
        (locked, PASSWORD),
        (invited, PASSWORD),
        ("AAAAAAAA", PASSWORD),
        ("what is this", PASSWORD),
    ):
        with statements(desk) as found:
            answer = await desk.sign_in(typed, password)
        answers.append((answer.status_code, {**answer.json(), "trace_id": ""}, sorted(answer.headers)))
        asked.append(found)
    assert answers == [answers[0]] * len(answers)
    assert answers[0][0] == 401
    assert asked == [asked[0]] * len(asked)
    assert len(asked[0]) == 7


async def test_the_right_password_of_a_locked_account_is_not_hashed_anew(
    desk: Desk, person: PersonId, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("services.directory.passwords.rehashed_if_old", lambda _, password: asked.append(password))
    user_id = (await desk.account(person)).user_id
    async with client(desk.db) as http:
        body = {"user_id": user_id, "password": PASSWORD}
        assert (await http.post("/directory/v1/sessions", json=body)).status_code == 201
        await desk.fail(person)
        assert (await http.post("/directory/v1/sessions", json=body)).status_code == 401
    assert asked == [PASSWORD]


async def test_a_link_is_asked_for_by_the_same_statements_but_the_one_that_keeps_it(
    desk: Desk, person: PersonId
) -> None:
    user_id = (await desk.account(person)).user_id
    asked = []
    for typed in (user_id, "AAAAAAAA", "what is this"):
        with statements(desk) as found:
            await desk.http.post("/directory/v1/password-links", json={"user_id": typed})
        asked.append(found)
    assert [found[:-1] for found in asked] == [asked[0][:-1]] * len(asked)
    assert [found[-1].partition("(")[0] for found in asked] == [
        "what is recorded and announced",
        "SELECT pg_logical_emit_message",
        "SELECT pg_logical_emit_message",
    ]
    for typed in (user_id, "AAAAAAAA"):  # Either commit has something to bring to the disk.
        async with desk.db.begin() as tx:
            await usecases.ask_password_link(tx, KEYS, typed)
            assert await tx.value(text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL"))
