"""Somebody's account is locked: they are told what happened and how it ends, while it has not ended."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from services.notification import domain
from services.notification.tables import notice
from shared.contracts import directory
from shared.database import Database
from shared.ids import PersonId
from tests.notification import builders
from tests.notification.builders import COMMUNITY, PUBLIC_URL, Record, feed, new_person
from tests.notification.conftest import MailServer, post_all

AT = datetime(2026, 11, 24, 15, 4, 30, tzinfo=UTC)
UNTIL = AT + timedelta(minutes=15)
ADA = "ada.approver@people.example"


def locked(person_id: PersonId, *, at: datetime = AT) -> Record:
    return builders.account_changed(person_id, "locked", at=at, until=at + timedelta(minutes=15))


async def states(db: Database) -> list[tuple[str, str]]:
    """Return which lock was told, and what has become of it."""
    async with db.begin() as tx:
        rows = await tx.rows(select(notice).where(notice.c.name == "account_locked").order_by(notice.c.version))
        return [(row.version, row.state) for row in rows]


async def test_who_is_locked_out_is_told_until_when_and_what_to_do(db: Database, mails: MailServer) -> None:
    ada = new_person()
    await feed(db, builders.person(ada, user_id="K7MQ42XP"), locked(ada))
    await post_all(db, mails)
    [mail] = mails.received
    assert (mail.recipient, mail.subject) == (ADA, "Nobody can sign in with your user ID for a while")
    for part in (mail.text, mail.html):
        assert "November 24, 2026, 10:04 a.m. EST" in part
        assert "nobody can sign in with it until November 24, 2026, 10:20 a.m. EST" in part  # Not before it is true.
        assert "None of these passwords was the right one, and you need not do anything." in part
        assert COMMUNITY.help_desk.phone in part
        assert PUBLIC_URL not in part  # A mail that frightens leads nowhere: those who fish for passwords send such.
        assert "K7MQ42XP" not in part


async def test_each_lock_is_told_once_however_often_it_is_heard(db: Database, mails: MailServer) -> None:
    ada = new_person()
    await feed(db, builders.person(ada))
    first, second = locked(ada), locked(ada, at=AT + timedelta(hours=1))
    for one in (first, locked(ada), second, second):
        await feed(db, one)
        await post_all(db, mails)
    assert [one.recipient for one in mails.received] == [ADA, ADA]


@pytest.mark.parametrize("after", ["active", "disabled", "closed"])
async def test_a_lock_that_has_ended_before_its_mail_left_is_not_told(
    db: Database, mails: MailServer, after: str
) -> None:
    ada, bob = new_person(), new_person()
    await feed(db, locked(ada), locked(bob))
    await feed(db, builders.account_changed(ada, after, before="locked"))
    await feed(db, builders.person(ada), builders.person(bob, "Bob Biller"))
    await post_all(db, mails)
    assert [one.recipient for one in mails.received] == ["bob.biller@people.example"]
    assert sorted(state for _, state in await states(db)) == ["sent", "withdrawn"]


async def test_of_two_locks_the_one_that_is_over_is_not_told(db: Database, mails: MailServer) -> None:
    ada = new_person()
    later = AT + timedelta(hours=1)
    await feed(db, locked(ada), locked(ada, at=later), builders.person(ada))
    await post_all(db, mails)
    assert await states(db) == [(AT.isoformat(), "withdrawn"), (later.isoformat(), "sent")]


async def test_a_change_that_is_no_lock_tells_nobody(db: Database, mails: MailServer) -> None:
    ada = new_person()
    older = directory.AccountChanged(person_id=ada, previous_state="invited", state="active", changed_at=AT)
    await feed(db, builders.person(ada), builders.record(older, subject=ada))
    await post_all(db, mails)
    assert mails.received == []


@pytest.mark.parametrize(
    ("until", "shown"),
    [(UNTIL, "10:20 a.m."), (UNTIL.replace(second=0), "10:19 a.m."), (UNTIL.replace(microsecond=1), "10:20 a.m.")],
)
def test_the_end_is_told_to_the_minute_in_which_it_is_over(until: datetime, shown: str) -> None:
    [told] = domain.consequences(domain.AccountLocked(new_person(), COMMUNITY.id, AT, until)).notices
    whole: dict[str, Any] = {"person": domain.Person("Ada", "Approver", ADA), "community_now": COMMUNITY}
    letter = domain.compose(domain.Known(told, PUBLIC_URL, **whole))
    assert isinstance(letter, domain.Letter)
    assert letter.values["due_at"] == f"November 24, 2026, {shown} EST"
