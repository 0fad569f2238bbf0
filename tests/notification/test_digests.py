"""What others have settled is told to approvers once a day, at five in the afternoon where the community is."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from services.notification import domain, usecases
from services.notification.tables import notice, settlement
from shared.database import Database
from tests.notification import builders
from tests.notification.builders import COMMUNITY, ARequest, feed, new_person, sender
from tests.notification.conftest import Calendar, MailServer, Received, post_all

ZONE = ZoneInfo(COMMUNITY.calendar.time_zone)


def at_noon(calendar: Calendar) -> None:
    """Let it be noon of tomorrow where the community is."""
    now = datetime.now(UTC)
    noon = (now.astimezone(ZONE) + timedelta(days=1)).replace(hour=12, minute=0)
    calendar.ahead = noon - now


async def tell(db: Database) -> int:
    async with db.begin() as tx:
        return await usecases.tell_digests(tx)


async def digests(db: Database, mails: MailServer, recipient: str = "ada.approver@people.example") -> list[Received]:
    await post_all(db, mails)
    return [one for one in mails.to(recipient) if one.subject == "Requests that others have settled"]


async def test_who_was_told_of_work_that_another_did_hears_of_all_of_it_in_one_mail_at_five(
    timed: Database, calendar: Calendar, mails: MailServer
) -> None:
    at_noon(calendar)
    told, decider = new_person(), new_person()
    requests = [ARequest(), ARequest()]
    await feed(timed, builders.person(told), builders.person(decider, "Dora Decider"))
    for one in requests:
        await feed(timed, one.organization(), one.submitted(), one.awaiting(told, decider))
    await post_all(timed, mails)
    await feed(timed, requests[0].approved(decider), requests[1].denied(by=decider))
    calendar.ahead += timedelta(hours=4, minutes=50)
    assert await tell(timed) == 0
    calendar.ahead += timedelta(minutes=20)
    assert await tell(timed) == 1
    assert await tell(timed) == 0
    [mail] = await digests(timed, mails)
    for part in (mail.text, mail.html):
        assert part.count("Open a provider user group") == 2 or part.count("Billing, XYZ Clinic") == 2
        assert "Approved by a person in the role Security Official" in part
        assert "Denied by a person in the role Security Official" in part
    assert await digests(timed, mails, "dora.decider@people.example") == []  # Who decided knows.
    async with timed.begin() as tx:
        version = await tx.value(select(notice.c.version).where(notice.c.name == "settled_by_others"))
        assert version == tx.now.astimezone(ZONE).date().isoformat()
        assert await tx.value(select(func.count()).select_from(settlement)) == 0


@pytest.mark.parametrize(
    ("how", "words"),
    [("withdrawn", "Withdrawn by the applicant"), ("expired", "Expired"), ("closed", "Closed without a decision")],
)
async def test_also_what_ended_without_a_decision_is_in_the_digest(
    timed: Database, calendar: Calendar, mails: MailServer, how: str, words: str
) -> None:
    at_noon(calendar)
    told, request = new_person(), ARequest()
    await feed(timed, builders.person(told), request.organization(), request.submitted(), request.awaiting(told))
    await post_all(timed, mails)
    await feed(timed, getattr(request, how)())
    calendar.ahead += timedelta(hours=6)
    await tell(timed)
    [mail] = await digests(timed, mails)
    assert words in mail.text


async def test_who_was_not_told_yet_is_not_told_that_it_is_done_either(
    timed: Database, calendar: Calendar, mails: MailServer
) -> None:
    at_noon(calendar)
    told, request = new_person(), ARequest()
    await feed(timed, builders.person(told), request.organization(), request.submitted(), request.awaiting(told))
    await feed(timed, request.denied())
    calendar.ahead += timedelta(hours=6)
    assert await tell(timed) == 0
    await post_all(timed, mails)
    assert mails.to("ada.approver@people.example") == []


async def test_who_was_told_only_of_what_was_then_corrected_is_not_told_that_it_is_done(
    timed: Database, calendar: Calendar, mails: MailServer
) -> None:
    at_noon(calendar)
    told, request = new_person(), ARequest()
    await feed(timed, builders.person(told), request.organization(), request.submitted(), request.awaiting(told))
    await post_all(timed, mails)
    await feed(timed, request.returned(), request.reopened(), request.awaiting(round_=2), request.withdrawn(round_=2))
    calendar.ahead += timedelta(hours=6)
    assert await tell(timed) == 0


async def test_who_may_have_been_told_is_told_that_it_is_done(
    timed: Database, calendar: Calendar, mails: MailServer
) -> None:
    at_noon(calendar)
    told, request = new_person(), ARequest()
    await feed(timed, builders.person(told), request.organization(), request.submitted())
    await post_all(timed, mails)
    await feed(timed, request.awaiting(told))
    mails.behave("drop")  # Nobody knows whether it has arrived.
    await sender(timed, mails.address).send_due()
    await feed(timed, request.withdrawn())
    calendar.ahead += timedelta(hours=6)
    assert await tell(timed) == 1


async def test_what_is_settled_after_the_hour_is_in_the_next_days_digest(
    timed: Database, calendar: Calendar, mails: MailServer
) -> None:
    at_noon(calendar)
    told, early, late = new_person(), ARequest(), ARequest()
    await feed(timed, builders.person(told))
    for one in (early, late):
        await feed(timed, one.organization(), one.submitted(), one.awaiting(told))
    await post_all(timed, mails)
    await feed(timed, early.denied())
    calendar.ahead += timedelta(hours=6)
    await tell(timed)
    await feed(timed, late.denied())
    assert await tell(timed) == 0
    calendar.ahead += timedelta(hours=24)
    assert await tell(timed) == 1
    assert len(await digests(timed, mails)) == 2


async def test_what_was_heard_before_the_hour_but_committed_after_the_digest_goes_into_the_next(
    timed: Database, calendar: Calendar, mails: MailServer
) -> None:
    at_noon(calendar)
    told, early, late = new_person(), ARequest(), ARequest()
    await feed(timed, builders.person(told))
    for one in (early, late):
        await feed(timed, one.organization(), one.submitted(), one.awaiting(told))
    await post_all(timed, mails)
    await feed(timed, early.denied())
    calendar.ahead += timedelta(hours=6)
    await tell(timed)
    calendar.ahead -= timedelta(hours=2)
    await feed(timed, late.denied())
    calendar.ahead += timedelta(hours=2)
    assert await tell(timed) == 0
    calendar.ahead += timedelta(hours=24)
    assert await tell(timed) == 1


async def test_two_workers_make_one_digest(timed: Database, calendar: Calendar, mails: MailServer) -> None:
    at_noon(calendar)
    told, request = new_person(), ARequest()
    await feed(timed, builders.person(told), request.organization(), request.submitted(), request.awaiting(told))
    await post_all(timed, mails)
    await feed(timed, request.denied())
    calendar.ahead += timedelta(hours=6)
    async with timed.begin() as first:
        assert await usecases.tell_digests(first) == 1
    assert await tell(timed) == 0
    assert len(await digests(timed, mails)) == 1


@pytest.mark.parametrize(
    ("moment", "day", "until"),
    [
        ("2026-11-24T21:59:59+00:00", date(2026, 11, 23), "2026-11-23T22:00:00+00:00"),
        ("2026-11-24T22:00:00+00:00", date(2026, 11, 24), "2026-11-24T22:00:00+00:00"),
        ("2026-07-01T21:00:00+00:00", date(2026, 7, 1), "2026-07-01T21:00:00+00:00"),
        ("2026-07-02T02:00:00+00:00", date(2026, 7, 1), "2026-07-01T21:00:00+00:00"),
    ],
)
def test_the_hour_is_five_on_the_communitys_own_clock_summer_and_winter(moment: str, day: date, until: str) -> None:
    found = domain.occasion(COMMUNITY, datetime.fromisoformat(moment))
    assert (found.day, found.until) == (day, datetime.fromisoformat(until))
