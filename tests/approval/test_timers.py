"""What time does: expiry, once, whoever gets there first."""

import asyncio
from datetime import timedelta

import pytest

from services.approval import store, timers, usecases
from services.approval.domain import Verdict
from shared.errors import Refusal
from tests.approval.builders import SECURITY_OFFICIAL, a_submission
from tests.approval.desk import Desk, an_order


def test_two_looks_for_absence_lie_far_enough_apart() -> None:
    assert {chore.name: chore.every_seconds for chore in timers.chores()}["look for absence"] >= 25


@pytest.mark.parametrize(("kind", "days"), [("join_group", 44), ("register_organization", 30)])
async def test_what_nobody_decides_or_completes_expires_by_itself(desk: Desk, kind: str, days: int) -> None:
    request_id = await desk.submit(a_submission(kind))
    desk.wait(timedelta(days=days) - timedelta(minutes=1))
    assert await desk.ring() == 0
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
    assert (row.state, await desk.timers(request_id)) == ("pending", {"expire": row.expires_at})


async def test_two_workers_fire_a_timer_once(desk: Desk) -> None:
    request_id = await desk.submit()
    desk.wait(timedelta(days=45))
    async with desk.db.begin() as tx, desk.db.begin() as other:
        assert await usecases.fire_timer(tx) == 1
        assert await asyncio.wait_for(usecases.fire_timer(other), 5) == 0
    assert (await desk.said(request_id)).count("expired") == 1


async def test_two_workers_take_two_timers(desk: Desk) -> None:
    requests = [await desk.submit(), await desk.submit()]
    desk.wait(timedelta(days=45))
    async with desk.db.begin() as tx, desk.db.begin() as other:
        assert await usecases.fire_timer(tx) == 1
        assert await asyncio.wait_for(usecases.fire_timer(other), 5) == 1
    assert [(await desk.request(it)).state for it in requests] == ["expired", "expired"]


async def test_a_timer_leaves_the_request_that_is_being_decided_alone(desk: Desk) -> None:
    """They would take the request's row and the timer's in opposite orders, and wait for each other."""
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    desk.wait(timedelta(days=45))
    async with desk.db.begin() as tx:
        assert await store.lock_request(tx, request_id) is not None
        async with desk.db.begin() as timer:
            assert await asyncio.wait_for(usecases.fire_timer(timer), 5) == 0
        answer = await usecases.decide_request(
            tx, request_id, official, an_order(Verdict.APPROVE, 1), key=None, body_sha256=b""
        )
    assert isinstance(answer, Refusal)
    assert (await desk.said(request_id)).count("expired") == 1
    assert await desk.ring() == 0
