"""The pages on which a person sets a password."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.directory import domain, tables, usecases
from shared.contracts import directory
from shared.testing.waiting import someone_waits_for_a_lock
from tests.directory.desk import ORIGIN, PASSWORD, Desk

ASK = "/directory/password-links"


async def choose(desk: Desk, token: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    return await desk.http.post(f"/directory/password/{token}", data={"password": password}, headers=headers)


async def test_a_link_leads_to_a_form_a_good_password_to_a_page_that_says_so(desk: Desk) -> None:
    token = await desk.link(desk.help_desk)
    user_id = (await desk.account(desk.help_desk)).user_id
    form = await desk.http.get(f"/directory/password/{token}")
    assert (form.status_code, form.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert user_id not in form.text  # It has a mail of its own.
    assert form.text.count(token) == 1  # Where the form goes, and nowhere else.
    assert form.headers["cache-control"] == "no-store"
    assert form.headers["referrer-policy"] == "same-origin"
    assert "default-src 'none'" in form.headers["content-security-policy"]

    done = await choose(desk, token)
    assert (done.status_code, done.headers["location"]) == (303, "/directory/password-set")
    assert token not in f"{done.headers} {done.text}"
    page = await desk.http.get(done.headers["location"])
    assert page.status_code == 200
    assert token not in page.text
    assert (await desk.sign_in(user_id)).status_code == 201


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("", "Enter a password"),
        ("plover anvil s", "15 characters or more"),
        ("Qz7! plover anvil " * 8, "128 characters or fewer"),
        ("passwordpassword", "harder to guess"),
        ("{user_id}{user_id}", "harder to guess"),
        ("hedy@iacs.example", "harder to guess"),
    ],
)
async def test_a_password_that_will_not_do_is_asked_for_again_and_not_shown(
    desk: Desk, password: str, sentence: str
) -> None:
    token = await desk.link(desk.help_desk)
    typed = password.format(user_id=(await desk.account(desk.help_desk)).user_id)
    again = await choose(desk, token, typed)
    assert again.status_code == 422
    assert sentence in again.text
    assert not typed or typed not in again.text
    assert (await desk.account(desk.help_desk)).password_hash is None
    assert (await desk.http.get(f"/directory/password/{token}")).status_code == 200  # The link still works.


@pytest.mark.parametrize("name", ["given_name", "family_name"])
async def test_a_password_that_is_ones_own_name_is_asked_for_again(desk: Desk, name: str) -> None:
    async with desk.db.begin() as tx:
        await desk.appoint(tx, **{name: "Qvarzhyndtekmolub"})
    person = next(row.id for row in await desk.rows(tables.person) if getattr(row, name) == "Qvarzhyndtekmolub")
    again = await choose(desk, await desk.link(person), "qvarzhyndtekmolub")
    assert (again.status_code, "harder to guess" in again.text) == (422, True)
    assert (await desk.account(person)).password_hash is None


@pytest.mark.parametrize("length", domain.PASSWORD_LENGTHS)
async def test_a_password_of_the_least_and_of_the_greatest_length_is_taken(desk: Desk, length: int) -> None:
    done = await choose(desk, await desk.link(desk.help_desk), ("Qz7! plover anvil " * 8)[:length])
    assert done.status_code == 303


async def test_a_used_an_expired_and_an_unknown_link_are_answered_alike(desk: Desk) -> None:
    async with desk.db.begin() as tx:
        await desk.appoint(tx, given_name="Used")
    used_by = next(row.id for row in await desk.rows(tables.person) if row.given_name == "Used")
    used, expired = await desk.link(used_by), await desk.link(desk.help_desk)
    assert (await choose(desk, used)).status_code == 303
    desk.wait(timedelta(hours=73))
    answers = [
        answer
        for token in (used, expired, "unknown-token")
        for answer in (await desk.http.get(f"/directory/password/{token}"), await choose(desk, token))
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(404, answers[0].text)}
    assert not any(token in answers[0].text for token in (used, expired))
    assert (await desk.account(desk.help_desk)).password_hash is None


async def test_who_comes_second_with_one_link_at_one_moment_is_not_told_that_it_worked(desk: Desk) -> None:
    token = await desk.link(desk.help_desk)
    async with desk.db.begin() as tx:  # The first has set a password but not committed ...
        assert await usecases.set_password(tx, token, "the hash of the first")
        late = asyncio.create_task(choose(desk, token))
        await someone_waits_for_a_lock(desk.db)  # ... when the second arrives.
    assert (await late).status_code == 404
    assert (await desk.account(desk.help_desk)).password_hash == "the hash of the first"


async def test_a_new_link_is_asked_for_and_nobody_learns_whether_the_user_id_exists(desk: Desk) -> None:
    user_id = (await desk.account(desk.help_desk)).user_id
    answers = [await desk.http.post(ASK, data={"user_id": typed}) for typed in (user_id, "AAAAAAAA")]
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {
        (303, "/directory/password-link-asked")
    }
    assert (await desk.http.get("/directory/password-link-asked")).status_code == 200
    assert [it.user_id for it in await desk.announced(directory.PasswordLinkAsked)] == [user_id]
    for typed in ("", "short", "<b>bold</b>", "NUL\0NUL\0"):
        malformed = await desk.http.post(ASK, data={"user_id": typed})
        assert malformed.status_code == 422
        assert "Enter your user ID" in malformed.text
        assert "<b>bold" not in malformed.text


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}]
)
async def test_what_another_site_sends_is_refused(desk: Desk, headers: dict[str, Any]) -> None:
    user_id = await desk.with_password(desk.help_desk)
    await desk.sign_in(user_id)
    async with desk.db.begin() as tx:
        await desk.appoint(tx, given_name="Victim")
    victim = next(row.id for row in await desk.rows(tables.person) if row.given_name == "Victim")
    token = await desk.link(victim)
    for answer in (
        await choose(desk, token, **headers),
        await desk.http.post(ASK, data={"user_id": user_id}, headers=headers),
        await desk.http.post("/directory/v1/sessions/current/token", headers=headers),
        await desk.http.delete("/directory/v1/sessions/current", headers=headers),
    ):
        assert answer.status_code == 403
    assert (await desk.account(victim)).password_hash is None
    assert await desk.announced(directory.PasswordLinkAsked) == []
    own = {"sec-fetch-site": "same-origin", "origin": ORIGIN}
    assert (await choose(desk, token, **own)).status_code == 303
