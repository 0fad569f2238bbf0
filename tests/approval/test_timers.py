"""What time does: reminders, escalation, expiry; once, in order, whoever gets there first."""

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.approval import domain, store, tables, timers, usecases
from services.approval.domain import Verdict
from shared.contracts import approval
from shared.contracts.community import Calendar
from shared.errors import Refusal
from shared.ids import RequestId
from shared.tables import audit
from tests.approval.builders import (
    ADMINISTRATOR,
    BACKUP,
    COMMUNITY,
    HELP_DESK,
    SECURITY_OFFICIAL,
    a_submission,
    an_organization,
)
from tests.approval.desk import Desk, an_order

BALTIMORE = ZoneInfo("America/New_York")
TEN_MINUTES = timedelta(minutes=10)
HOUR = timedelta(hours=1)


def test_two_looks_for_absence_lie_far_enough_apart() -> None:
    assert {chore.name: chore.every_seconds for chore in timers.chores()}["look for absence"] >= 25


@pytest.mark.parametrize(("kind", "days"), [("join_group", 58), ("register_organization", 30)])
async def test_what_nobody_decides_or_completes_expires_by_itself(desk: Desk, kind: str, days: int) -> None:
    request_id = await desk.submit(a_submission(kind))
    for _ in range(days // 14):  # In steps, as it goes on: each further queue gives its people time.
        desk.wait(timedelta(days=14))
        await desk.ring()
    desk.wait(timedelta(days=days % 14) - timedelta(minutes=1))
    await desk.ring()
    assert (await desk.request(request_id)).state != "expired"
    desk.wait(timedelta(minutes=1))
    assert await desk.ring() == 1
    row = await desk.request(request_id)
    assert (row.state, row.version) == ("expired", 2)
    assert row.ended_at is not None
    assert (await desk.said(request_id))[-1] == "expired"
    assert (await desk.open_queues(request_id), await desk.timers(request_id)) == ([], {})
    assert await desk.ring() == 0


async def test_what_was_never_routed_or_granted_expires_too(desk: Desk) -> None:
    unrouted = await desk.submit(a_submission(community_id="unheard-of"))
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    refused = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.decide(refused, official)
    await desk.refuse(refused)
    desk.wait(timedelta(days=30))
    assert await desk.ring() == 2
    assert [(await desk.request(it)).state for it in (unrouted, refused)] == ["expired", "expired"]


async def test_what_is_approved_does_not_expire(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.decide(request_id, official)
    desk.wait(timedelta(days=400))
    async with desk.db.begin() as tx:
        assert await usecases.fire_timer(tx) == 1
    assert (await desk.request(request_id)).state == "approved"


async def test_a_timer_that_rings_early_is_set_to_the_time_that_the_request_has(desk: Desk) -> None:
    request_id = await desk.submit()
    async with desk.db.begin() as tx:
        await store.set_timer(tx, request_id, "expire", tx.now)
    async with desk.db.begin() as tx:
        assert await usecases.fire_timer(tx) == 1
    row = await desk.request(request_id)
    assert (row.state, (await desk.timers(request_id))["expire"]) == ("pending", row.expires_at)


async def test_two_workers_fire_a_timer_once(desk: Desk) -> None:
    request_id = await desk.submit(a_submission("register_organization"))
    desk.wait(timedelta(days=7))
    async with desk.db.begin() as tx, desk.db.begin() as other:
        assert await usecases.fire_timer(tx) == 1
        assert await asyncio.wait_for(usecases.fire_timer(other), 30) == 0
    assert (await desk.said(request_id)).count("reminded") == 1


async def test_two_workers_take_two_timers(desk: Desk) -> None:
    requests = [await desk.submit(a_submission("register_organization")) for _ in range(2)]
    desk.wait(timedelta(days=7))
    async with desk.db.begin() as tx, desk.db.begin() as other:
        assert await usecases.fire_timer(tx) == 1
        assert await asyncio.wait_for(usecases.fire_timer(other), 30) == 1
    assert [(await desk.said(it))[-1] for it in requests] == ["reminded", "reminded"]


async def test_a_timer_leaves_the_request_that_is_being_decided_alone(desk: Desk) -> None:
    """They would take the request's row and the timer's in opposite orders, and wait for each other."""
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    desk.wait(timedelta(days=45))
    async with desk.db.begin() as tx:
        assert await store.lock_request(tx, request_id) is not None
        async with desk.db.begin() as timer:
            assert await asyncio.wait_for(usecases.fire_timer(timer), 30) == 0
        answer = await usecases.decide_request(
            tx, request_id, official, an_order(Verdict.APPROVE, 1), key=None, body_sha256=b""
        )
    assert isinstance(answer, Refusal)
    assert (await desk.said(request_id)).count("expired") == 1
    assert await desk.ring() == 0


# --- Reminders and escalation ---------------------------------------------------------------------


async def days(desk: Desk, count: int) -> None:
    """Let days pass, one after the other, with a look at the timers on each."""
    for _ in range(count):
        desk.wait(timedelta(days=1))
        await desk.ring()


async def test_an_approver_is_reminded_after_three_and_seven_working_days_and_nobody_twice(desk: Desk) -> None:
    # A Monday morning of a month without a holiday: on the day on which clocks are set back a look comes too early.
    desk.wait(datetime(2027, 8, 2, 10, tzinfo=BALTIMORE) - desk.db.clock())
    place = await desk.place()
    administrator = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    late = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    await days(desk, 13)
    reminded = await desk.announced(approval.RequestReminded, request_id)
    assert [(it.number, it.awaited, it.community_address) for it in reminded] == [
        (1, "decision", False),
        (2, "decision", False),
    ]
    assert reminded[0].approver_ids == tuple(sorted([administrator, late]))  # Whoever may decide now.
    assert all(day.weekday() < 5 for day in (it.reminded_at.astimezone(BALTIMORE) for it in reminded))
    assert (await desk.request(request_id)).version == 1  # What an approver has read is as it was.


async def test_what_an_approver_leaves_goes_to_the_officials_too_and_then_to_the_help_desk(desk: Desk) -> None:
    place = await desk.place()
    administrator = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    await days(desk, 14)
    assert await desk.open_queues(request_id) == [ADMINISTRATOR, BACKUP, SECURITY_OFFICIAL]
    assert (await desk.named(request_id))[-1] == [official]
    await days(desk, 14)
    assert await desk.open_queues(request_id) == [ADMINISTRATOR, BACKUP, SECURITY_OFFICIAL, HELP_DESK]
    escalated = await desk.announced(approval.RequestEscalated, request_id)
    assert [(it.queue.role, it.why) for it in escalated] == [
        (SECURITY_OFFICIAL, "overdue"),
        (BACKUP, "overdue"),
        (HELP_DESK, "overdue"),
    ]
    await days(desk, 29)
    assert (await desk.request(request_id)).state == "pending"
    await desk.decide(request_id, administrator)  # Who was first keeps the queue to the end.
    assert await desk.timers(request_id) == {
        "announce_again": (await desk.request(request_id)).decided_at + TEN_MINUTES
    }


async def test_thirty_days_after_the_last_escalation_a_request_expires(desk: Desk) -> None:
    place = await desk.place()
    await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    await days(desk, 57)
    assert (await desk.request(request_id)).state == "pending"
    await days(desk, 1)
    assert (await desk.request(request_id)).state == "expired"


async def test_after_a_time_down_what_was_due_is_done_in_order_and_nobody_loses_the_time_to_decide(desk: Desk) -> None:
    place = await desk.place()
    await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    desk.wait(timedelta(days=40))
    assert await desk.ring() == 2
    said = [it for it in await desk.said(request_id) if it in ("reminded", "escalated")]
    assert said == ["reminded", "escalated", "escalated"]  # One reminder, one step of two queues.
    assert [it.number for it in await desk.announced(approval.RequestReminded, request_id)] == [2]
    timers = await desk.timers(request_id)
    async with desk.db.begin() as tx:
        now = tx.now
    assert timers["escalate"] - now > timedelta(days=13)  # The officials have heard of it only now.


async def test_the_applicant_is_reminded_of_documents_on_three_days(desk: Desk) -> None:
    request_id = await desk.submit(a_submission("register_organization"))
    await days(desk, 29)
    reminded = await desk.announced(approval.RequestReminded, request_id)
    assert [(it.number, it.awaited, it.documents_awaited, it.approver_ids) for it in reminded] == [
        (number, "documents", ("irs_letter",), ()) for number in (1, 2, 3)
    ]
    row = await desk.request(request_id)
    assert [(it.reminded_at - row.since_at).days for it in reminded] == [7, 14, 25]


async def test_the_help_desk_is_reminded_of_its_target_and_its_alarm(desk: Desk) -> None:
    request_id = await desk.submit(a_submission("register_organization"))
    await desk.document(request_id)
    await days(desk, 25)
    reminded = await desk.announced(approval.RequestReminded, request_id)
    assert [(it.number, it.community_address) for it in reminded] == [(1, True), (2, True)]


async def test_a_reminder_of_what_was_decided_meanwhile_is_none(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.decide(request_id, official, Verdict.DENY)
    await days(desk, 30)
    assert "reminded" not in await desk.said(request_id)


async def test_who_was_told_is_forgotten_a_month_after_the_end_and_not_before(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    ended = await desk.submit(kind="create_provider_group", scope_id=place.id)
    waiting = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.decide(ended, official, Verdict.DENY)

    async def told_of() -> set[object]:
        async with desk.db.begin() as tx:
            await usecases.forget_who_was_told(tx)
        return {row.request_id for row in await desk.rows(tables.named)}

    desk.wait(timedelta(days=29))
    assert await told_of() == {ended, waiting}
    desk.wait(timedelta(days=1, seconds=1))
    assert await told_of() == {waiting}


async def test_who_asked_is_forgotten_90_days_after_an_end_without_a_grant_and_what_is_shown_stays(desk: Desk) -> None:
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    waiting, granted, denied, younger = [await desk.submit(an_organization()) for _ in range(4)]
    for request_id in (granted, denied, younger):
        await desk.document(request_id)
    await desk.decide(granted, help_desk)
    await desk.grant(granted)
    await desk.decide(denied, help_desk, Verdict.DENY)
    desk.wait(2 * HOUR)
    await desk.decide(younger, help_desk, Verdict.DENY)
    named = ("Rosa Delgado", "XYZ Medical LLC")

    async def names(*of: RequestId) -> list[tuple[str, str]]:
        rows = [await desk.request(request_id) for request_id in of]
        return [(row.applicant_name, row.place_name) for row in rows]

    async def forget() -> int:
        async with desk.db.begin() as tx:
            return await usecases.forget_names(tx)

    desk.wait(timedelta(days=90) - 3 * HOUR)
    assert await forget() == 0
    assert await names(denied) == [named]
    desk.wait(2 * HOUR)
    assert (await forget(), await forget()) == (1, 0)
    assert await names(waiting, granted, denied, younger) == [named, named, ("", ""), named]
    assert [act.subject for act in await desk.rows(audit) if act.act == "forget_names"] == [str(denied)]

    me = desk.token(help_desk)
    listed = await desk.http.get("/approval/v1/communities/provider-supplier/requests", headers=me)
    shown = {item["id"]: item for item in listed.json()["items"]}
    assert set(shown) == {str(request_id) for request_id in (waiting, granted, denied, younger)}
    detail = (await desk.http.get(f"/approval/v1/requests/{denied}", headers=me)).json()
    for it in (shown[str(denied)], detail):
        assert (it["applicant_name"], it["organization_name"], it["place_name"]) == ("", "", "")
        assert (it["state"], it["kind"]) == ("denied", "register_organization")
    assert detail["history"][-1]["what"] == "deny"


async def test_whose_names_are_to_be_forgotten_is_found_by_an_index_of_nobody_else(desk: Desk) -> None:
    scans = "SELECT pg_stat_get_xact_numscans('ix_request_names'::regclass)"  # Since this connection last told them.
    for _ in range(5):
        await desk.submit(an_organization())
    async with desk.db.begin() as tx:
        await tx.raw.execute("ANALYZE request")  # In an empty table, all indexes are alike.
        before = await tx.raw.fetchval(scans)
        await usecases.forget_names(tx)
        assert await tx.raw.fetchval(scans) == before + 1


# --- Working days ---------------------------------------------------------------------------------

US = Calendar()


@pytest.mark.parametrize(
    ("since", "days_later", "state", "due"),
    [
        ("2026-11-23T15:00:00+00:00", 3, "MD", "2026-11-27T15:00:00+00:00"),  # Past Thanksgiving.
        ("2026-11-25T15:00:00+00:00", 3, "MD", "2026-12-01T15:00:00+00:00"),  # ... and the weekend after.
        ("2026-12-18T15:00:00+00:00", 7, "MD", "2026-12-30T15:00:00+00:00"),  # Past Christmas and two weekends.
        ("2026-03-06T15:00:00+00:00", 1, "MD", "2026-03-09T14:00:00+00:00"),  # Ten o'clock stays ten o'clock.
        ("2026-07-10T09:00:00+00:00", 1, "HI", "2026-07-11T09:00:00+00:00"),  # Thursday evening there: due on Friday.
        ("2026-07-10T13:00:00+00:00", 1, "MD", "2026-07-13T13:00:00+00:00"),
        ("2026-07-10T13:00:00+00:00", 1, None, "2026-07-13T13:00:00+00:00"),
    ],
)
def test_working_days_are_those_of_the_community_where_the_organization_is(
    since: str, days_later: int, state: str | None, due: str
) -> None:
    found = domain.after_working_days(datetime.fromisoformat(since), days_later, US, state)
    assert found == datetime.fromisoformat(due)


def test_every_state_that_an_organization_may_name_has_a_time_zone() -> None:
    assert all(ZoneInfo(zone) for zone in domain.ZONE_OF_STATE.values())
    assert len(domain.ZONE_OF_STATE) == 56
