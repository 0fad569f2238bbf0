"""Who may decide, as it changes with what the directory says."""

from datetime import timedelta

import pytest

from services.approval import domain, tables, usecases
from services.approval.domain import Verdict
from shared.contracts import approval
from shared.errors import Refusal
from tests.approval.builders import (
    ADMINISTRATOR,
    BACKUP,
    COMMUNITY,
    HELP_DESK,
    SECURITY_OFFICIAL,
    a_submission,
    new_person,
)
from tests.approval.desk import Account, Desk
from tests.approval.test_wishes import correct, hand_back


async def test_a_new_holder_of_the_role_is_named_for_older_work_once_and_sees_it(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    backup = new_person()
    await desk.hear(desk.assignment(backup, BACKUP, place.id))
    assert await desk.queue(backup) == []  # No account that can act has been heard of.

    await desk.hear(desk.account(backup, "invited"))
    assert await desk.named(request_id) == [[official], [backup]]
    assert await desk.queue(backup) == [request_id]

    await desk.hear(desk.account(backup, "active"))
    await desk.hear(desk.assignment(backup, BACKUP, place.id), desk.assignment(official, SECURITY_OFFICIAL, place.id))
    assert await desk.named(request_id) == [[official], [backup]]


async def test_who_comes_back_to_the_role_is_named_again_for_work_that_is_in_another_round(desk: Desk) -> None:
    place = await desk.place()
    official, backup = await desk.holder(SECURITY_OFFICIAL, place.id), await desk.holder(BACKUP, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.hear(desk.assignment(backup, BACKUP, place.id, status="ended"))
    await hand_back(desk, request_id, official)
    await correct(desk, request_id)
    await desk.hear(desk.assignment(backup, BACKUP, place.id))
    assert await desk.named(request_id) == [sorted([official, backup]), [official], [backup]]


async def test_who_lost_the_role_loses_the_queue_at_once(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    assert await desk.queue(official) == [request_id]
    await desk.hear(desk.assignment(official, SECURITY_OFFICIAL, place.id, status="ended"))
    assert await desk.queue(official) == []
    with pytest.raises(Refusal, match="not_an_approver"):
        await desk.decide(request_id, official)


async def test_what_was_said_earlier_and_comes_later_gives_no_role_back(desk: Desk) -> None:
    place, person = await desk.place(), new_person()
    granted = desk.assignment(person, SECURITY_OFFICIAL, place.id)
    ended = desk.assignment(person, SECURITY_OFFICIAL, place.id, status="ended")
    await desk.hear(desk.account(person), ended)
    await desk.hear(granted)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    assert (await desk.named(request_id), await desk.queue(person)) == ([[]], [])


@pytest.mark.parametrize("status", ["locked", "disabled", "closed"])
async def test_an_account_that_cannot_act_decides_nothing(desk: Desk, status: Account) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id, account=status)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    assert (await desk.named(request_id), await desk.queue(official)) == ([[]], [])
    with pytest.raises(Refusal, match="not_an_approver"):
        await desk.decide(request_id, official)


async def test_nobody_is_named_for_what_is_decided(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.decide(request_id, official, Verdict.DENY)
    await desk.holder(BACKUP, place.id)
    assert await desk.named(request_id) == [[official]]


async def test_who_became_an_approver_while_the_request_was_opened_is_named_afterwards(desk: Desk) -> None:
    place, backup = await desk.place(), new_person()
    await desk.hear(desk.account(backup))
    async with desk.db.begin() as tx:  # Neither of the two transactions sees what the other writes.
        opened = a_submission("create_provider_group", scope_id=place.id)
        await usecases.open_request(tx, opened)
        await desk.hear(desk.assignment(backup, BACKUP, place.id))
    assert await desk.named(opened.request_id) == [[]]
    for _ in range(2):
        async with desk.db.begin() as tx:
            await usecases.name_overlooked(tx)
    assert await desk.named(opened.request_id) == [[], [backup]]


# --- Absence --------------------------------------------------------------------------------------


async def test_a_join_that_nobody_can_decide_goes_to_both_officials_and_then_to_the_help_desk(desk: Desk) -> None:
    place = await desk.place()
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    before = await desk.request(request_id)

    await desk.look()
    assert await desk.open_queues(request_id) == [ADMINISTRATOR]  # Seen once: it may not have been heard of yet.
    await desk.look(after=timedelta(seconds=24))
    assert await desk.open_queues(request_id) == [ADMINISTRATOR]
    await desk.look(after=timedelta(seconds=1))
    assert await desk.open_queues(request_id) == [ADMINISTRATOR, BACKUP, SECURITY_OFFICIAL]
    await desk.look()
    await desk.look()
    assert await desk.open_queues(request_id) == [ADMINISTRATOR, BACKUP, SECURITY_OFFICIAL, HELP_DESK]
    for _ in range(4):
        await desk.look()

    escalated = await desk.announced(approval.RequestEscalated, request_id)
    assert [(it.queue.role, it.queue.place_id, it.why, it.may_approve) for it in escalated] == [
        (SECURITY_OFFICIAL, place.id, "no_approver", True),
        (BACKUP, place.id, "no_approver", True),
        (HELP_DESK, COMMUNITY.place_id, "no_approver", False),
    ]
    row = await desk.request(request_id)
    assert (row.state, row.version, row.stage, row.steps_added) == ("pending", 1, 1, 2)
    assert row.expires_at >= before.expires_at
    timers = await desk.timers(request_id)
    assert (set(timers), timers["expire"]) == ({"expire", "remind"}, row.expires_at)  # No further queue is left.

    await desk.holder(ADMINISTRATOR, place.group_id, place.id)  # News for them, and none for the help desk.
    told = await desk.announced(approval.RequestAwaitingDecision, request_id)
    assert [it.community_address for it in told] == [False, False]


async def test_an_added_step_gives_its_people_thirty_days(desk: Desk) -> None:
    place = await desk.place()
    administrator = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    await desk.hear(desk.assignment(administrator, ADMINISTRATOR, place.group_id, place.id, status="ended"))
    await desk.look(after=timedelta(days=43))
    await desk.look()
    row = await desk.request(request_id)
    assert row.expires_at - row.opened_at > timedelta(days=73)
    (event,) = {it.expires_at for it in await desk.announced(approval.RequestEscalated, request_id)}
    assert event == row.expires_at


async def test_who_is_in_an_added_queue_is_named_and_keeps_it_when_an_administrator_comes(desk: Desk) -> None:
    place = await desk.place()
    backup = await desk.holder(BACKUP, place.id)
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    await desk.look()
    await desk.look()
    administrator = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    assert await desk.named(request_id) == [[], [backup], [administrator]]
    assert await desk.queue(backup) == await desk.queue(administrator) == [request_id]
    assert (await desk.decide(request_id, backup)).body["decided_as"] == BACKUP


async def test_an_approver_who_comes_back_in_time_resets_the_absence(desk: Desk) -> None:
    place = await desk.place()
    administrator = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    await desk.hear(desk.account(administrator, "locked"))
    await desk.look()
    assert (await desk.request(request_id)).absent_since is not None
    await desk.hear(desk.account(administrator, "active"))
    await desk.look()
    assert (await desk.request(request_id)).absent_since is None
    await desk.hear(desk.account(administrator, "locked"))
    await desk.look()
    assert await desk.open_queues(request_id) == [ADMINISTRATOR]
    await desk.look()
    assert await desk.open_queues(request_id) == [ADMINISTRATOR, BACKUP, SECURITY_OFFICIAL]


async def test_an_absence_seen_before_a_decision_does_not_count_after_it(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.hear(desk.account(official, "locked"))
    await desk.look()
    await desk.hear(desk.account(official, "active"))
    await desk.decide(request_id, official)
    await desk.refuse(request_id, "approver_lost_authority")
    await desk.hear(desk.account(official, "locked"))
    await desk.look()
    assert HELP_DESK not in await desk.open_queues(request_id)


async def test_the_applicant_alone_is_nobody_who_could_decide(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id, applicant_id=official)
    await desk.look()
    await desk.look()
    assert HELP_DESK in await desk.open_queues(request_id)


async def test_the_help_desk_in_an_added_queue_may_deny_and_not_approve(desk: Desk) -> None:
    place = await desk.place()
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.look()
    await desk.look()
    assert await desk.queue(help_desk) == [request_id]
    assert await desk.named(request_id) == [[]]  # The help desk hears of it by the escalation, at its address.
    with pytest.raises(Refusal, match="may_not_approve"):
        await desk.decide(request_id, help_desk)
    await desk.decide(request_id, help_desk, Verdict.DENY)
    assert (await desk.request(request_id)).state == "denied"


async def test_two_workers_that_find_the_same_absence_add_one_step(desk: Desk) -> None:
    place = await desk.place()
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    await desk.look()
    desk.wait(timedelta(seconds=26))

    async def look() -> None:
        async with desk.db.begin() as tx:
            await usecases.look_for_absence(tx)

    async with desk.db.begin() as tx:
        await usecases.look_for_absence(tx)
        await look()  # What the first holds is passed by, not waited for.
    assert (await desk.request(request_id)).steps_added == 1
    assert await desk.open_queues(request_id) == [ADMINISTRATOR, BACKUP, SECURITY_OFFICIAL]


async def test_a_decision_made_during_the_look_leaves_nothing_to_escalate(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.hear(desk.account(official, "locked"))
    await desk.look()
    await desk.hear(desk.account(official, "active"))
    desk.wait(timedelta(seconds=26))

    async def look() -> None:
        async with desk.db.begin() as tx:
            await usecases.look_for_absence(tx)

    async with desk.db.begin() as tx:
        order = domain.Order(Verdict.APPROVE, None, 1)
        await usecases.decide_request(tx, request_id, official, order, key=None, body_sha256=b"")
        await look()  # A request that is being decided is passed by, not waited for.
    await look()
    row = await desk.request(request_id)
    assert (row.state, await desk.open_queues(request_id)) == ("approved", [])
    assert [queue.why for queue in await desk.rows(tables.queue)] == ["stage", "stage"]
