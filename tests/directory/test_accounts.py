"""Passwords, links, sign-in and sessions."""

import asyncio
import time
import unicodedata
from datetime import timedelta

import httpx
import pytest
from argon2 import PasswordHasher
from joserfc import jws

from services.directory import passwords, store, tables, usecases
from services.directory.api import Signer
from shared import slices, tokens
from shared.contracts import directory
from shared.errors import Refusal
from shared.ids import PersonId, new_id
from shared.testing.waiting import someone_waits_for_a_lock
from tests.directory.builders import KEYS
from tests.directory.conftest import client
from tests.directory.desk import ORIGIN, PASSWORD, Desk

SESSIONS = "/directory/v1/sessions"
TOKEN = "/directory/v1/sessions/current/token"
SOON = timedelta(seconds=1)


async def signed_up(desk: Desk, password: str = PASSWORD) -> tuple[PersonId, str]:
    """Return the help desk's person and user ID, their password set."""
    return desk.help_desk, await desk.with_password(desk.help_desk, password)


def cookie_of(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"].split(";")[0].partition("=")[2]


async def work_of(desk: Desk, user_id: str, password: str) -> float:
    """Return the processor's seconds that a sign-in takes at best."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        await desk.sign_in(user_id, password)
        spent.append(time.process_time() - began)
    return min(spent)


# --- Passwords ------------------------------------------------------------------------------------


def test_a_password_is_stored_as_argon2id_and_read_in_one_form_of_its_letters() -> None:
    composed = unicodedata.normalize("NFC", "Ångström café naïve résumé")
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    stored = passwords.hashed(decomposed)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert stored != passwords.hashed(decomposed)  # Salted.
    assert passwords.fits(stored, composed)
    assert not passwords.fits(stored, composed.lower())


def test_no_password_fits_where_there_is_none() -> None:
    assert not passwords.fits(None, PASSWORD)
    assert not passwords.fits(None, "nobody has this password")
    assert not passwords.fits("not a hash", PASSWORD)


def test_where_there_is_no_password_looking_takes_as_long() -> None:
    stored = passwords.hashed(PASSWORD)
    took = []
    for known in (stored, None):
        began = time.process_time()
        for _ in range(3):
            passwords.fits(known, "another password")
        took.append(time.process_time() - began)
    assert min(took) > max(took) / 3


# --- The link ---------------------------------------------------------------------------------------


async def test_a_link_sets_a_password_once_and_takes_the_others_with_it(desk: Desk) -> None:
    first = await desk.link(desk.help_desk)
    user_id = (await desk.account(desk.help_desk)).user_id
    async with desk.db.begin() as tx:
        await usecases.ask_password_link(tx, KEYS, user_id)
    second = await desk.link(desk.help_desk)
    assert first != second
    async with desk.db.begin() as tx:
        assert await usecases.set_password(tx, second, "hash one")
    for used in (first, second, "unknown"):
        async with desk.db.begin() as tx:
            assert not await usecases.set_password(tx, used, "hash two")
            assert await usecases.owner_of_link(tx, used) is None
    account = await desk.account(desk.help_desk)
    assert (account.state, account.password_hash) == ("active", "hash one")
    (changed,) = await desk.announced(directory.AccountChanged)
    assert (changed.previous_state, changed.state) == ("invited", "active")
    assert [state.status for _, state in await desk.states(directory.AccountState)] == ["invited", "active"]
    versions = [version for version, _ in await desk.states(directory.AccountState)]
    assert versions == sorted(set(versions))


async def test_a_link_used_twice_at_the_same_moment_sets_one_password(desk: Desk) -> None:
    token = await desk.link(desk.help_desk)

    async def other() -> bool:
        async with desk.db.begin() as tx:
            return await usecases.set_password(tx, token, "hash two")

    async with desk.db.begin() as tx:
        assert await usecases.set_password(tx, token, "hash one")
        late = asyncio.create_task(other())
        await someone_waits_for_a_lock(desk.db)
    assert not await late
    assert (await desk.account(desk.help_desk)).password_hash == "hash one"


async def test_a_link_lives_seventy_two_hours(desk: Desk) -> None:
    token = await desk.link(desk.help_desk)
    desk.wait(timedelta(hours=72) - timedelta(minutes=1))
    async with desk.db.begin() as tx:
        assert await usecases.owner_of_link(tx, token) is not None
    desk.wait(timedelta(minutes=1))
    async with desk.db.begin() as tx:
        assert await usecases.owner_of_link(tx, token) is None
        assert not await usecases.set_password(tx, token, "hash")


@pytest.mark.parametrize("state", ["disabled", "closed"])
async def test_a_link_brings_no_account_back_that_was_disabled_or_closed_after_it_was_sent(
    desk: Desk, state: str
) -> None:
    token = await desk.link(desk.help_desk)
    async with desk.db.begin() as tx:
        await store.save_account(tx, desk.help_desk, state=state)
    async with desk.db.begin() as tx:
        assert not await usecases.set_password(tx, token, "hash")
    account = await desk.account(desk.help_desk)
    assert (account.state, account.password_hash) == (state, None)


async def test_a_person_is_sent_three_links_an_hour(desk: Desk) -> None:
    user_id = (await desk.account(desk.help_desk)).user_id

    async def ask(times: int) -> int:
        before = len(await desk.announced(directory.PasswordLinkAsked))
        for _ in range(times):
            async with desk.db.begin() as tx:
                await usecases.ask_password_link(tx, KEYS, user_id)
        return len(await desk.announced(directory.PasswordLinkAsked)) - before

    assert await ask(5) == 3  # The one that came with the account does not count.
    desk.wait(timedelta(minutes=59))
    assert await ask(1) == 0
    desk.wait(timedelta(minutes=1, seconds=1))
    assert await ask(1) == 1
    await desk.sql("UPDATE account SET state = 'disabled'")
    desk.wait(timedelta(hours=2))
    assert await ask(1) == 0


async def test_asking_for_a_link_is_answered_alike_whether_or_not_there_is_an_account(desk: Desk) -> None:
    user_id = (await desk.account(desk.help_desk)).user_id
    answers = [
        await desk.http.post("/directory/v1/password-links", json={"user_id": typed})
        for typed in (user_id, "AAAAAAAA", "not a user id", "ÜMLAUT ID")
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, b"")}
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1
    (asked,) = await desk.announced(directory.PasswordLinkAsked)
    assert (asked.user_id, asked.link_expires_at - asked.asked_at) == (user_id, timedelta(hours=72))


async def test_asking_takes_the_same_work_whether_or_not_there_is_an_account(desk: Desk) -> None:
    user_id = (await desk.account(desk.help_desk)).user_id
    works = []
    for typed in (user_id, "AAAAAAAA"):
        spent = []
        for _ in range(3):
            began = time.process_time()
            await desk.http.post("/directory/v1/password-links", json={"user_id": typed})
            spent.append(time.process_time() - began)
        works.append(min(spent))
    assert min(works) > max(works) / 3, works
    before = len(await desk.rows(tables.password_link))
    await desk.http.post("/directory/v1/password-links", json={"user_id": "AAAAAAAA"})
    assert len(await desk.rows(tables.password_link)) == before


# --- Sign-in ----------------------------------------------------------------------------------------


async def test_who_signs_in_gets_a_token_that_others_verify_and_a_cookie_that_scripts_cannot_read(desk: Desk) -> None:
    person, user_id = await signed_up(desk)
    answer = await desk.sign_in(f" {user_id.lower()[:4]}-{user_id[4:]} ")
    assert answer.status_code == 201
    said = answer.json()
    assert (said["token_type"], said["expires_in"]) == ("Bearer", 600)
    verifier = tokens.Verifier(tokens.Issued(f"{ORIGIN}/directory", ORIGIN), tokens.keys_of(desk.db))
    caller = await verifier.caller(said["access_token"])
    (session,) = await desk.rows(tables.session)
    assert (caller.person_id, caller.session_id) == (person, session.id)
    with pytest.raises(tokens.NotAToken):
        await tokens.Verifier(tokens.Issued(f"{ORIGIN}/directory", "else"), tokens.keys_of(desk.db)).caller(
            said["access_token"]
        )

    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Max-Age=43200", "Path=/directory", "SameSite=lax"} <= set(cookie.split("; "))
    assert "Secure" not in cookie  # Over http it would never come back.
    assert answer.headers["cache-control"] == "no-store"
    assert session.cookie_hash == usecases.digest(cookie_of(answer))
    everything = await desk.dump()
    assert cookie_of(answer) not in everything
    assert said["access_token"] not in everything
    assert PASSWORD not in everything

    async with client(desk.db, "https://iacs.test") as https:
        answer = await https.post(SESSIONS, json={"user_id": user_id, "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"].split("; ")


async def test_wrong_unknown_invited_and_locked_are_answered_alike_after_the_same_work(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # Passwords are slow to hash again: that is the work.
    _, user_id = await signed_up(desk)
    async with desk.db.begin() as tx:
        invited = await desk.appoint(tx)
        locked = await desk.appoint(tx)
    people = {row.user_id: row.person_id for row in await desk.rows(tables.account)}
    await desk.with_password(people[locked])
    await desk.fail(people[locked])

    answers, works = [], []
    for typed, password in (
        (user_id, "not the password at all"),
        ("AAAAAAAA", PASSWORD),
        ("what is this", PASSWORD),
        ("ÜMLAUT ID", PASSWORD),
        (invited, PASSWORD),
        (locked, PASSWORD),
    ):
        works.append(await work_of(desk, typed, password))
        answers.append(await desk.sign_in(typed, password))
    bodies = [{n: v for n, v in answer.json().items() if n != "trace_id"} for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert {answer.status_code for answer in answers} == {401}
    assert not any("set-cookie" in answer.headers for answer in answers)
    assert min(works) > max(works) / 3, works
    assert await desk.rows(tables.session) == []


async def test_ten_wrong_passwords_lock_for_fifteen_minutes(desk: Desk) -> None:
    person, user_id = await signed_up(desk)
    await desk.fail(person, 8)
    assert (await desk.sign_in(user_id, "wrong")).status_code == 401
    assert (await desk.account(person)).failure_count == 9  # A refusal is answered, and the try is counted.
    assert (await desk.sign_in(user_id)).status_code == 201  # The right one begins the count anew.
    assert (await desk.account(person)).failure_count == 0
    await desk.fail(person, 9)
    await desk.sign_in(user_id, "wrong")
    assert (await desk.sign_in(user_id)).status_code == 401
    desk.wait(timedelta(minutes=15) - timedelta(seconds=5))
    assert (await desk.sign_in(user_id)).status_code == 401
    desk.wait(timedelta(seconds=10))
    assert (await desk.sign_in(user_id)).status_code == 201


async def test_thirty_failures_from_one_address_stop_it_for_fifteen_minutes_whoever_it_tries(desk: Desk) -> None:
    _, user_id = await signed_up(desk)
    here = KEYS.client_hash("127.0.0.1")
    for _ in range(29):
        async with desk.db.begin() as tx:
            await usecases.note_failed_client(tx, here)
    desk.wait(timedelta(minutes=5))
    assert (await desk.sign_in(user_id)).status_code == 201  # Of 29 failures none is too many.
    assert (await desk.sign_in("AAAAAAAA")).status_code == 401
    for typed in (user_id, "AAAAAAAA"):
        answer = await desk.sign_in(typed)
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert 540 <= int(answer.headers["retry-after"]) <= 601  # Until the first of the thirty counts no more.
    assert len(await desk.rows(tables.failed_sign_in)) == 30  # Who is stopped makes it no worse.
    desk.wait(timedelta(minutes=10, seconds=1))
    assert (await desk.sign_in(user_id)).status_code == 201
    assert "127.0.0.1" not in await desk.dump()


async def test_who_is_stopped_has_no_password_looked_at(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    looked_at = await work_of(desk, "AAAAAAAA", PASSWORD)
    for _ in range(30):
        async with desk.db.begin() as tx:
            await usecases.note_failed_client(tx, KEYS.client_hash("127.0.0.1"))
    stopped = await work_of(desk, "AAAAAAAA", PASSWORD)
    assert stopped < looked_at / 2, (stopped, looked_at)


async def test_of_forty_wrong_passwords_at_once_thirty_are_looked_at(desk: Desk) -> None:
    _, user_id = await signed_up(desk)
    answers = await asyncio.gather(*(desk.sign_in("AAAAAAAA") for _ in range(40)))
    assert sorted(answer.status_code for answer in answers) == [401] * 30 + [429] * 10
    assert (await desk.sign_in(user_id)).status_code == 429


async def test_failures_from_elsewhere_stop_nobody_here(desk: Desk) -> None:
    _, user_id = await signed_up(desk)
    for _ in range(40):
        async with desk.db.begin() as tx:
            await usecases.note_failed_client(tx, KEYS.client_hash("203.0.113.7"))
    assert (await desk.sign_in(user_id)).status_code == 201


async def test_old_sessions_used_links_and_failures_that_count_no_more_are_forgotten(desk: Desk) -> None:
    _, user_id = await signed_up(desk)
    await desk.sign_in(user_id)
    await desk.sign_in(user_id, "wrong")
    async with desk.db.begin() as tx:
        await desk.appoint(tx)  # Whose link nobody has used.

    async def left() -> list[int]:
        async with desk.db.begin() as tx:
            await store.forget_old_sign_ins(tx)
        return [len(await desk.rows(t)) for t in (tables.session, tables.password_link, tables.failed_sign_in)]

    assert await left() == [1, 2, 1]
    desk.wait(timedelta(hours=25))
    assert await left() == [1, 1, 0]
    desk.wait(timedelta(hours=12))
    assert await left() == [0, 1, 0]
    desk.wait(timedelta(hours=60))
    assert await left() == [0, 0, 0]


async def test_what_is_of_no_use_any_more_is_forgotten_a_slice_at_a_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "AT_ONCE", 2)
    _, user_id = await signed_up(desk)
    for _ in range(3):
        await desk.sign_in(user_id, "wrong")
    desk.wait(timedelta(hours=25))

    async def forget() -> int:
        async with desk.db.begin() as tx:
            return await store.forget_old_sign_ins(tx)

    assert [await forget(), await forget()] == [2 + 1, 0]  # The third is the link that was used.
    assert await desk.rows(tables.failed_sign_in) == []


async def test_a_password_that_was_right_before_the_lock_does_not_sign_in_after_it(desk: Desk) -> None:
    person, _ = await signed_up(desk)
    known = (await desk.account(person)).password_hash
    await desk.fail(person)
    async with desk.db.begin() as tx:
        assert await usecases.sign_in(tx, person, known) is None


async def test_a_password_that_was_changed_while_it_was_compared_signs_nobody_in(desk: Desk) -> None:
    person, user_id = await signed_up(desk)
    compared = (await desk.account(person)).password_hash
    async with desk.db.begin() as tx:
        await usecases.ask_password_link(tx, KEYS, user_id)
    await desk.with_password(person, "another quite uncommon one")
    chosen = (await desk.account(person)).password_hash
    async with desk.db.begin() as tx:
        assert await usecases.sign_in(tx, person, compared, rehashed="anew") is None
    assert (await desk.account(person)).password_hash == chosen


async def test_a_password_counts_to_its_last_space(desk: Desk) -> None:
    spaced = f"  {PASSWORD} "
    _, user_id = await signed_up(desk, spaced)
    assert (await desk.sign_in(user_id, spaced)).status_code == 201
    assert (await desk.sign_in(user_id, PASSWORD)).status_code == 401


async def test_what_is_longer_than_any_password_is_not_looked_at(desk: Desk) -> None:
    _, user_id = await signed_up(desk)
    assert [(await desk.sign_in(user_id, "x" * length)).status_code for length in (1024, 1025)] == [401, 422]


async def test_a_password_stored_with_weaker_parameters_is_stored_anew_at_sign_in(desk: Desk) -> None:
    person, user_id = await signed_up(desk)
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    async with desk.db.begin() as tx:
        await store.save_account(tx, person, password_hash=weak)
    assert (await desk.sign_in(user_id)).status_code == 201
    stored = (await desk.account(person)).password_hash
    assert stored.startswith(passwords.hashed(PASSWORD).rsplit("$", 2)[0])
    assert (await desk.sign_in(user_id)).status_code == 201
    assert (await desk.account(person)).password_hash == stored


async def test_the_right_password_of_a_locked_account_takes_no_longer_though_it_is_stored_with_weaker_parameters(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # Passwords are slow to hash again: that is the work.
    person, user_id = await signed_up(desk)
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    async with desk.db.begin() as tx:
        await store.save_account(tx, person, password_hash=weak)
    await desk.fail(person)
    works = [await work_of(desk, user_id, typed) for typed in ("not the password at all", PASSWORD)]
    assert min(works) > max(works) / 3, works


# --- Sessions -----------------------------------------------------------------------------------------


async def test_a_session_renews_its_token_until_it_was_idle_or_has_lasted_twelve_hours(desk: Desk) -> None:
    person, user_id = await signed_up(desk)
    signed_in = await desk.sign_in(user_id)
    first = await desk.http.post(TOKEN)
    assert first.status_code == 201
    assert cookie_of(first) == cookie_of(signed_in)
    verifier = tokens.Verifier(tokens.Issued(f"{ORIGIN}/directory", ORIGIN), tokens.keys_of(desk.db))
    callers = [await verifier.caller(answer.json()["access_token"]) for answer in (signed_in, first)]
    assert callers[0] == callers[1]
    desk.wait(timedelta(minutes=29))
    assert (await desk.http.post(TOKEN)).status_code == 201
    desk.wait(timedelta(minutes=30))
    assert (await desk.http.post(TOKEN)).status_code == 401

    async with desk.db.begin() as tx:
        session = await usecases.sign_in(tx, person, (await desk.account(person)).password_hash)
    assert session is not None
    for _ in range(24):
        desk.wait(timedelta(minutes=29, seconds=50))
        async with desk.db.begin() as tx:
            await usecases.renew(tx, session.cookie)
    desk.wait(timedelta(minutes=5))  # 12 hours and a minute since the sign-in, not idle.
    async with desk.db.begin() as tx:
        with pytest.raises(Refusal, match="unauthenticated"):
            await usecases.renew(tx, session.cookie)


async def test_a_new_password_ends_the_sessions_that_the_old_one_began(desk: Desk) -> None:
    person, user_id = await signed_up(desk)
    cookie = cookie_of(await desk.sign_in(user_id))
    async with desk.db.begin() as tx:
        await usecases.ask_password_link(tx, KEYS, user_id)
    await desk.with_password(person, "another quite uncommon one")
    answer = await desk.http.post(TOKEN, headers={"cookie": f"iacs_session={cookie}"})
    assert answer.status_code == 401


async def test_a_session_ends_with_sign_out_and_with_the_account(desk: Desk) -> None:
    person, user_id = await signed_up(desk)
    await desk.sign_in(user_id)
    out = await desk.http.delete("/directory/v1/sessions/current")
    assert out.status_code == 204
    assert 'iacs_session=""' in out.headers["set-cookie"]
    assert "Path=/directory" in out.headers["set-cookie"]
    (session,) = await desk.rows(tables.session)
    assert session.ended_at is not None
    assert (await desk.http.delete("/directory/v1/sessions/current")).status_code == 204

    signed_in = await desk.sign_in(user_id)
    desk.http.cookies.clear()
    for cookie in ({}, {"iacs_session": "unknown"}):
        answer = await desk.http.post(TOKEN, headers={"cookie": "; ".join(f"{n}={v}" for n, v in cookie.items())})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    await desk.sql("UPDATE account SET state = 'disabled'")
    again = await desk.http.post(TOKEN, headers={"cookie": f"iacs_session={cookie_of(signed_in)}"})
    assert again.status_code == 401
    assert (await desk.account(person)).state == "disabled"


# --- The key that signs ---------------------------------------------------------------------------------


async def test_a_new_key_signs_in_time_and_what_the_old_one_signed_stays_good(desk: Desk) -> None:
    _, user_id = await signed_up(desk)
    old = (await desk.sign_in(user_id)).json()["access_token"]

    async def renew_key() -> int:
        async with desk.db.begin() as tx:
            await usecases.ensure_signing_key(tx, KEYS)
        return len(await desk.states(directory.TokenKeyState))

    assert await renew_key() == 1
    desk.wait(timedelta(days=400))  # Weeks that pass in a story alone make no key older.
    assert await renew_key() == 1
    desk.wait_really(timedelta(days=60) - timedelta(minutes=1))
    assert await renew_key() == 1
    desk.wait_really(timedelta(minutes=2))
    assert await renew_key() == 2
    assert await renew_key() == 2

    async def sign_in_anew() -> str:
        async with client(desk.db) as http:
            answer = await http.post(SESSIONS, json={"user_id": user_id, "password": PASSWORD})
        return str(answer.json()["access_token"])

    early = await sign_in_anew()
    desk.wait_really(timedelta(hours=1))  # By now everybody has heard of the new key.
    new = await sign_in_anew()
    (_, first), (_, second) = await desk.states(directory.TokenKeyState)
    kids = [jws.extract_compact(token.encode()).headers()["kid"] for token in (old, early, new)]
    assert kids == [first.kid, first.kid, second.kid]
    verifier = tokens.Verifier(tokens.Issued(f"{ORIGIN}/directory", ORIGIN), tokens.keys_of(desk.db))
    assert [(await verifier.caller(token)).person_id for token in (old, new)] == [desk.help_desk] * 2
    assert not any("d" in key.jwk for key in (first, second))
    private = [
        KEYS.vault.open(row.private_locked, bound_to=f"signing_key {row.kid}")
        for row in await desk.rows(tables.signing_key)
    ]
    everything = await desk.dump()
    assert not any(key in everything for key in private)


async def test_a_running_process_signs_with_the_new_key_within_minutes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = tokens.Issued(f"{ORIGIN}/directory", ORIGIN)
    signer, caller = Signer(issued, KEYS), tokens.Caller(desk.help_desk, new_id(), int(time.time()))

    async def kid(at: float) -> str:
        async with desk.db.begin() as tx:
            with monkeypatch.context() as later:
                later.setattr(time, "monotonic", lambda: at)
                signed = await signer.token(tx, caller)
        return str(jws.extract_compact(signed.access_token.encode()).headers()["kid"])

    began = time.monotonic()
    first = await kid(began)
    desk.wait_really(timedelta(days=60))
    async with desk.db.begin() as tx:
        await usecases.ensure_signing_key(tx, KEYS)
    desk.wait_really(timedelta(hours=1))  # By now everybody has heard of the new key.
    assert await kid(began + 200) == first
    assert await kid(began + 301) != first


async def test_two_workers_make_one_key(desk: Desk) -> None:
    desk.wait_really(timedelta(days=61))

    async def other() -> None:
        async with desk.db.begin() as tx:
            await usecases.ensure_signing_key(tx, KEYS)

    async with desk.db.begin() as tx:
        await usecases.ensure_signing_key(tx, KEYS)
        late = asyncio.create_task(other())
        await someone_waits_for_a_lock(desk.db)
    await late
    assert len(await desk.states(directory.TokenKeyState)) == 2
