"""What time brings: what waits too long is told, what served is forgotten."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from services.notification import usecases
from services.notification.tables import attempt, departure, notice, request
from shared import slices
from shared.database import Database
from shared.ids import PlaceId, ScopeId, new_id
from shared.tables import audit
from tests.notification import builders
from tests.notification.builders import HELP_DESK, ARequest, feed, new_person, sender
from tests.notification.conftest import Calendar, MailServer
from tests.notification.holdings import AnAssignment


async def make_due(db: Database) -> None:
    """Let every pause and lease be over."""
    async with db.begin() as tx:
        await tx.raw.execute("UPDATE notice SET next_at = now() - interval '1 ms' WHERE ended_at IS NULL")


async def row_of(db: Database, name: str = "email_code") -> Any:
    async with db.begin() as tx:
        return await tx.one(select(notice).where(notice.c.name == name))


async def test_after_a_day_the_help_desk_hears_what_waits_and_it_is_still_sent_later(
    timed: Database, calendar: Calendar, mails: MailServer
) -> None:
    asked, official = ARequest(), new_person()
    await feed(timed, asked.organization(), asked.submitted(), asked.awaiting(official))
    post = sender(timed, mails.address)
    await post.send_due()
    calendar.ahead = timedelta(hours=23, minutes=59)
    assert await overdue(timed) == 0
    calendar.ahead = timedelta(hours=24, minutes=1)
    assert await overdue(timed) == 1
    assert await overdue(timed) == 0
    async with timed.begin() as tx:
        assert [act.act for act in await tx.rows(select(audit))].count("notice_overdue") == 1
    await make_due(timed)
    await post.send_due()
    [told] = mails.to(HELP_DESK)
    assert "For a day" in told.text
    await feed(timed, builders.person(official))
    await post.send_due()
    assert len(mails.to("ada.approver@people.example")) == 1


async def test_a_code_that_is_no_longer_good_is_not_sent(
    timed: Database, calendar: Calendar, mails: MailServer
) -> None:
    await feed(timed, ARequest().code_asked())
    calendar.ahead = timedelta(hours=24, minutes=1)
    await sender(timed, mails.address).send_due()
    row = await row_of(timed)
    assert (row.state, row.why, row.secret) == ("withdrawn", "expired", None)
    assert mails.received == []


async def test_what_was_written_goes_after_30_days_and_who_asked_after_90(
    timed: Database, calendar: Calendar, mails: MailServer
) -> None:
    asked, waiting = ARequest(), ARequest()
    await feed(timed, asked.organization(), asked.submitted(), asked.denied(), waiting.submitted())
    await sender(timed, mails.address).send_due()
    calendar.ahead = timedelta(days=29)
    await forget(timed)
    assert (await denied_row(timed)).html is not None
    calendar.ahead = timedelta(days=31)
    await forget(timed)
    row = await denied_row(timed)
    assert (row.subject, row.text, row.html, row.address) == (None, None, None, None)
    assert row.message_id is not None
    assert await contacts(timed) == {asked.id: asked.email, waiting.id: waiting.email}
    calendar.ahead = timedelta(days=91)
    await forget(timed)
    assert await contacts(timed) == {asked.id: None, waiting.id: waiting.email}


async def test_what_ended_goes_as_a_whole_after_400_days_with_its_history(
    timed: Database, calendar: Calendar, mails: MailServer
) -> None:
    asked, waiting = ARequest(), ARequest()
    await feed(timed, asked.organization(), asked.submitted(), asked.denied(), waiting.submitted())
    await sender(timed, mails.address).send_due()
    calendar.ahead = timedelta(days=399)
    await forget(timed)
    assert await rows_in(timed, attempt) == 2
    calendar.ahead = timedelta(days=401)
    await forget(timed)
    assert await rows_in(timed, attempt) == 0
    async with timed.begin() as tx:
        assert [row.state for row in await tx.rows(select(notice.c.state))] == ["waiting"]
        assert [row.id for row in await tx.rows(select(request.c.id))] == [waiting.id]


async def test_the_end_of_a_role_that_was_told_is_forgotten_after_400_days(timed: Database, calendar: Calendar) -> None:
    await feed(timed, AnAssignment(new_person(), PlaceId(new_id()), ScopeId(new_id())).ended())
    async with timed.begin() as tx:
        await tx.execute(update(departure).values(tell_at=func.now()))
        assert await usecases.tell_departures(tx) == 1
    for days, left in ((399, 1), (401, 0)):
        calendar.ahead = timedelta(days=days)
        await forget(timed)
        assert await rows_in(timed, departure) == left


async def test_a_draft_of_which_only_a_code_was_asked_is_forgotten_after_400_days(
    timed: Database, calendar: Calendar
) -> None:
    draft, filed = ARequest(), ARequest()
    await feed(timed, draft.code_asked(), filed.code_asked(), filed.submitted())
    for days, left in ((399, {draft.id, filed.id}), (401, {filed.id})):
        calendar.ahead = timedelta(days=days)
        await forget(timed)
        assert set(await contacts(timed)) == left


async def test_what_has_come_of_age_together_is_forgotten_a_slice_at_a_time(
    timed: Database, calendar: Calendar, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "AT_ONCE", 4)
    asked = [ARequest() for _ in range(5)]
    for one in asked:
        await feed(timed, one.organization(), one.submitted(), one.denied())
    await sender(timed, mails.address).send_due()
    for days, counts in ((31, [4, 4, 0]), (91, [4, 0]), (401, [8, 5, 0])):
        calendar.ahead = timedelta(days=days)
        assert [await forget(timed) for _ in counts] == counts, "0 as soon as no slice was full"
    assert (await rows_in(timed, notice), await rows_in(timed, request)) == (0, 0)


async def rows_in(db: Database, table: Any) -> int:
    async with db.begin() as tx:
        return int(await tx.value(select(func.count()).select_from(table)))


async def denied_row(db: Database) -> Any:
    return await row_of(db, "denied")


async def contacts(db: Database) -> dict[Any, str | None]:
    async with db.begin() as tx:
        return {row.id: row.email for row in await tx.rows(select(request.c.id, request.c.email))}


async def forget(db: Database) -> int:
    async with db.begin() as tx:
        return await usecases.forget(tx)


async def overdue(db: Database) -> int:
    async with db.begin() as tx:
        return await usecases.tell_overdue(tx)
