"""From what other services say to the mail in somebody's inbox, in whatever order it is heard."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import permutations

import pytest
from sqlalchemy import select

from services.notification.tables import notice, person
from shared.contracts import directory
from shared.database import Database
from shared.ids import new_id
from tests.notification import builders
from tests.notification.builders import HELP_DESK, PUBLIC_URL, ARequest, feed, new_person
from tests.notification.conftest import MailServer, post_all


async def states(db: Database, name: str | None = None) -> list[str]:
    async with db.begin() as tx:
        query = select(notice.c.state).order_by(notice.c.created_at)
        return [row.state for row in await tx.rows(query.where(notice.c.name == name) if name else query)]


async def all_that_is_stored(db: Database) -> str:
    async with db.begin() as tx:
        tables = await tx.raw.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [await tx.raw.fetch(f"SELECT t::text FROM {table[0]} AS t") for table in tables]  # noqa: S608
    return str(rows)


async def test_a_request_is_told_step_by_step_to_those_whom_it_concerns(db: Database, mails: MailServer) -> None:
    request, official = ARequest(), new_person()
    await feed(db, request.organization(), builders.person(official, "Sam Official"))
    await feed(db, request.submitted(), request.opened(), request.awaiting(official))
    await post_all(db, mails)
    [received] = mails.to("rosa@applicants.example")
    assert received.subject == "We received your request 7QK2-M4XP-93TD"
    assert f"{PUBLIC_URL}/registration/v1/statuses/7QK2-M4XP-93TD" in received.text
    [asked] = mails.to("sam.official@people.example")
    assert asked.subject == "Your decision is needed: request 7QK2-M4XP-93TD"
    for part in (asked.text, asked.html):
        assert "Rosa Delgado" in part
        assert "User Group Administrator" in part
        assert "Billing, XYZ Clinic" in part
        assert f"{PUBLIC_URL}/approval/v1/requests" in part
    await feed(db, request.approved(official))
    await post_all(db, mails)
    assert len(mails.received) == 2  # Access is told after the grant, never after the decision alone (R14).
    await feed(db, request.granted(), request.account_issued())
    await post_all(db, mails)
    granted, link = sorted(mails.to("rosa@applicants.example")[1:], key=lambda one: one.subject, reverse=True)
    assert "K7MQ42XP" in granted.text
    assert "K7MQ42XP" not in link.text
    assert f"{PUBLIC_URL}/directory/password/tok_en-Of-the-link" in link.text
    assert f'href="{PUBLIC_URL}/directory/password/tok_en-Of-the-link"' in link.html
    assert set(await states(db)) == {"sent"}


async def test_whatever_is_heard_first_the_same_mails_are_sent(db: Database, mails: MailServer) -> None:
    expected = [
        "Your decision is needed: request 7QK2-M4XP-93TD",
        "Choose your password",
        "We received your request 7QK2-M4XP-93TD",
        "Your request 7QK2-M4XP-93TD was approved: your user ID",
    ]
    for order in list(permutations(range(5)))[::5]:
        request, official = ARequest(email=f"{new_id()}@applicants.example"), new_person()
        facts = [
            [request.submitted()],
            [request.organization()],
            [builders.person(official, f"Official{official.hex} Name")],
            [request.awaiting(official)],
            [request.granted(), request.account_issued()],
        ]
        for number in order:
            await feed(db, *facts[number])
            await post_all(db, mails)
        await hurry(db)
        await post_all(db, mails)
        told = mails.to(request.email) + mails.to(f"official{official.hex}.name@people.example")
        assert sorted(one.subject for one in told) == sorted(expected), order


async def hurry(db: Database) -> None:
    """Let the pause of every notice that waits be over."""
    async with db.begin() as tx:
        await tx.raw.execute("UPDATE notice SET next_at = now() WHERE state = 'waiting'")


async def test_what_completes_a_notice_wakes_it_at_once(db: Database, mails: MailServer) -> None:
    request, official = ARequest(kind="join_group"), new_person()
    await feed(db, request.awaiting(official))
    for fact in (request.submitted(), request.organization(), request.group(), builders.person(official, "A B")):
        await post_all(db, mails)
        assert mails.to("a.b@people.example") == []
        async with db.begin() as tx:  # However long it would still have rested.
            await tx.raw.execute("UPDATE notice SET next_at = now() + interval '1 hour' WHERE state = 'waiting'")
        await feed(db, fact)
        async with db.begin() as tx:
            assert await tx.raw.fetchval("SELECT next_at <= now() FROM notice WHERE name = 'decision_needed'")
    await post_all(db, mails)
    assert len(mails.to("a.b@people.example")) == 1


async def test_a_notice_waits_for_its_community(
    database_of: Callable[[str], Awaitable[Database]], mails: MailServer
) -> None:
    database = await database_of("notification")
    request = ARequest()
    await feed(database, request.code_asked(), request.awaiting(help_desk=True), request.submitted())
    await feed(database, request.organization())
    await post_all(database, mails)
    assert mails.received == []
    await feed(database, builders.the_community())
    await hurry(database)
    await post_all(database, mails)
    assert len(mails.to(HELP_DESK)) == 1
    assert len(mails.to(request.email)) == 2


@pytest.mark.parametrize("from_accounts", [True, False])
async def test_the_user_id_comes_from_whichever_topic_is_read_first(
    db: Database, mails: MailServer, from_accounts: bool
) -> None:
    request = ARequest()
    await feed(db, request.organization(), request.submitted(), request.granted())
    await post_all(db, mails)
    assert len(mails.received) == 1
    if from_accounts:
        await feed(db, request.account_issued(user_id="AB23CD45"))
    else:
        await feed(db, builders.person(request.applicant_id, "Rosa Delgado", user_id="AB23CD45"))
    await post_all(db, mails)
    [granted] = [one for one in mails.received if "user ID" in one.subject]
    assert "AB23CD45" in granted.text


async def test_a_persons_record_does_not_take_a_known_user_id_away(db: Database) -> None:
    request = ARequest()
    await feed(db, request.account_issued(user_id="AB23CD45"))
    await feed(db, builders.person(request.applicant_id, "Rosa Delgado", version=2))
    await feed(db, builders.person(request.applicant_id, "Rosa Older", version=1))
    async with db.begin() as tx:
        row = await tx.one(select(person))
    assert row is not None
    assert (row.user_id, row.family_name) == ("AB23CD45", "Delgado")


async def test_a_known_person_hears_of_the_role_and_gets_no_link(db: Database, mails: MailServer) -> None:
    request = ARequest()
    await feed(db, request.organization(), request.submitted(), request.granted(account_issued=False))
    await post_all(db, mails)
    assert [one.subject for one in mails.received][1:] == ["Your request 7QK2-M4XP-93TD was approved"]


async def test_an_account_made_by_an_operator_is_told_with_a_link(db: Database, mails: MailServer) -> None:
    helper = new_person()
    await feed(db, builders.account_issued(helper, user_id="HELP2345"))
    await post_all(db, mails)
    assert mails.received == []
    await feed(db, builders.person(helper, "Hana Helper"))
    await post_all(db, mails)
    created, link = sorted(mails.to("hana.helper@people.example"), key=lambda one: one.subject, reverse=True)
    assert "HELP2345" in created.text
    assert "Provider/Supplier Community" in created.text
    assert f"/directory/password/{builders.TOKEN}" in link.text
    assert "HELP2345" not in link.text


async def test_each_link_that_is_asked_for_is_a_mail_of_its_own(db: Database, mails: MailServer) -> None:
    owner = new_person()
    await feed(db, builders.person(owner, "Olga Owner"))
    await feed(db, builders.link_asked(owner, "first"), builders.link_asked(owner, "second"))
    await post_all(db, mails)
    assert len({str(one.mail["Message-ID"]) for one in mails.to("olga.owner@people.example")}) == 2


async def test_a_fact_that_is_said_again_is_told_once(db: Database, mails: MailServer) -> None:
    request, official = ARequest(), new_person()
    await feed(db, request.organization(), builders.person(official))
    submitted = request.submitted()
    await feed(db, submitted, submitted)
    await feed(db, submitted, request.submitted())  # The same record, and the same fact under another event id.
    for _ in range(3):
        await feed(db, request.awaiting(official, help_desk=True))
    await post_all(db, mails)
    assert len(mails.received) == 3


async def test_a_newcomer_is_told_and_the_others_are_not_told_again(db: Database, mails: MailServer) -> None:
    request, early, late = ARequest(), new_person(), new_person()
    await feed(db, request.organization(), request.submitted())
    await feed(db, builders.person(early, "Early Bird"), builders.person(late, "Late Riser"))
    await feed(db, request.awaiting(early))
    await post_all(db, mails)
    await feed(db, request.awaiting(early, late))
    await post_all(db, mails)
    assert len(mails.to("early.bird@people.example")) == 1
    assert len(mails.to("late.riser@people.example")) == 1
    await feed(db, request.awaiting(early, round_=2))
    await post_all(db, mails)
    assert len(mails.to("early.bird@people.example")) == 2


@pytest.mark.parametrize("how", ["approved", "denied", "expired", "closed"])
async def test_what_is_settled_before_its_mail_left_is_withdrawn(db: Database, mails: MailServer, how: str) -> None:
    request, official = ARequest(), new_person()
    await feed(db, request.organization(), builders.person(official))
    await feed(db, request.submitted(), request.awaiting(official, help_desk=True))
    await feed(db, getattr(request, how)())
    await post_all(db, mails)
    assert await states(db, "decision_needed") == ["withdrawn"]
    assert await states(db, "decision_needed_help_desk") == ["withdrawn"]
    assert mails.to("ada.approver@people.example") == []
    assert mails.to(HELP_DESK) == []


async def test_a_mail_that_has_left_stays_sent_when_all_is_settled(db: Database, mails: MailServer) -> None:
    request, official = ARequest(), new_person()
    await feed(db, request.organization(), builders.person(official), request.submitted(), request.awaiting(official))
    await post_all(db, mails)
    await feed(db, request.denied())
    assert await states(db, "decision_needed") == ["sent"]


async def test_documents_are_asked_for_by_name_and_not_once_they_are_there(db: Database, mails: MailServer) -> None:
    request = ARequest(kind="register_organization", place_kind="organization")
    await feed(db, request.submitted(documents=("irs_letter",)), request.opened(documents=("irs_letter",)))
    await post_all(db, mails)
    [asked] = [one for one in mails.received if one.subject.startswith("Documents needed")]
    assert "IRS letter (CP-575 or accepted substitute)" in asked.text
    assert "XYZ Clinic" in asked.text
    quick = ARequest(kind="register_organization", place_kind="organization", email="quick@applicants.example")
    await feed(db, quick.submitted(), quick.opened(documents=("irs_letter",)), quick.awaiting(help_desk=True))
    await post_all(db, mails)
    assert [one.subject for one in mails.to("quick@applicants.example")] == ["We received your request 7QK2-M4XP-93TD"]
    assert "Help desk: decision needed on request 7QK2-M4XP-93TD" in [one.subject for one in mails.to(HELP_DESK)]


async def test_a_denial_says_why_what_next_and_whom_to_ask(db: Database, mails: MailServer) -> None:
    request = ARequest()
    await feed(db, request.organization(), request.submitted(), request.denied("unknown_person"))
    await post_all(db, mails)
    denied = mails.to(request.email)[-1]
    assert denied.subject == "Your request 7QK2-M4XP-93TD was denied"
    for part in (denied.text, denied.html):
        assert "do not know you" in part
        assert "Speak with them first" in part
        assert builders.COMMUNITY.help_desk.phone in part
        assert builders.COMMUNITY.help_desk.tty in part


async def test_the_help_desk_is_told_why_a_request_came_and_what_happened(db: Database, mails: MailServer) -> None:
    request = ARequest()
    await feed(db, request.organization(), request.submitted(), request.opened(), request.escalated())
    await post_all(db, mails)
    [mail] = mails.to(HELP_DESK)
    assert "Nobody at the organization can decide" in mail.text
    assert "The request was filed." in mail.text
    assert "Need help?" not in mail.text


async def test_the_help_desk_is_told_once_that_a_grant_was_refused(db: Database, mails: MailServer) -> None:
    request = ARequest()
    await feed(db, request.organization(), request.submitted(), request.grant_refused())
    await feed(db, request.approved())  # Another topic: heard after what answers it.
    await feed(db, request.escalated(why="cannot_be_granted", refusal="cardinality_reached"))
    await post_all(db, mails)
    [mail] = mails.to(HELP_DESK)
    assert mail.subject == "Help desk: approved request 7QK2-M4XP-93TD has not been granted"
    assert "cardinality_reached" in mail.text


async def test_the_code_is_in_the_mail_and_nowhere_else(
    db: Database, mails: MailServer, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    request = ARequest()
    await feed(db, request.code_asked("48151623"), request.account_issued("tok_en-Of-the-link"), request.submitted())
    assert "48151623" not in await all_that_is_stored(db)
    await post_all(db, mails)
    [code] = [one for one in mails.received if one.subject == "Your confirmation code"]
    assert "48151623" in code.text
    assert "48151623" in code.html
    assert "48151623" not in code.subject
    said = capsys.readouterr()
    for place in (await all_that_is_stored(db), said.out, said.err, caplog.text):
        assert "48151623" not in place
        assert "tok_en-Of-the-link" not in place
    async with db.begin() as tx:
        assert await tx.raw.fetch("SELECT 1 FROM notice WHERE secret IS NOT NULL") == []
        [stored] = await tx.raw.fetch("SELECT text, html FROM notice WHERE name = 'email_code'")
    assert "⟦secret⟧" in stored["text"]
    assert "⟦secret⟧" in stored["html"]


async def test_a_code_that_is_asked_again_replaces_the_one_that_has_not_left(db: Database, mails: MailServer) -> None:
    request = ARequest()
    await feed(db, request.code_asked("11111111"))
    await feed(db, request.code_asked("22222222", lives=timedelta(hours=25)))
    await post_all(db, mails)
    [code] = mails.received
    assert "22222222" in code.text


async def test_a_known_persons_own_address_is_told_to_sign_in_whatever_was_typed(
    db: Database, mails: MailServer
) -> None:
    request, owner = ARequest(), new_person()
    asked = request.code_asked(email="somebody@else.example", purpose="sign_in_needed", person_id=owner)
    await feed(db, builders.person(owner, "Olga Owner"), asked)
    await post_all(db, mails)
    assert [one.recipient for one in mails.received] == ["olga.owner@people.example"]
    assert mails.received[0].subject == "Was this you? Sign in to confirm your request"


async def test_a_person_who_was_deleted_gets_no_mail(db: Database, mails: MailServer) -> None:
    request, official = ARequest(), new_person()
    state = builders.person(official)
    await feed(db, state)
    body = directory.PersonState(person_id=official, given_name="A", family_name="B", email="a@b.example")
    await feed(db, builders.record(body, subject=official, version=2, gone=True))
    await feed(db, request.organization(), request.submitted(), request.awaiting(official))
    await post_all(db, mails)
    assert await states(db, "decision_needed") == ["waiting"]
