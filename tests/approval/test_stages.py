"""How requests go from stage to stage: who decides which, and what the one hears who comes too late."""

import asyncio
from datetime import timedelta

import pytest

from services.approval import domain, usecases
from services.approval.domain import Verdict
from shared.contracts import approval, directory, registration
from shared.contracts.community import Stage
from shared.errors import Refusal
from shared.ids import AssignmentId, PersonId, PlaceId, RequestId, application_place, new_id
from shared.testing.waiting import someone_waits_for_a_lock
from tests.approval.builders import (
    ADMINISTRATOR,
    BACKUP,
    CHIEF,
    COMMUNITY,
    HELP_DESK,
    NOON,
    PEERS,
    SECURITY_OFFICIAL,
    WARDEN,
    a_community,
    a_submission,
)
from tests.approval.desk import Desk, Place, an_order, record

OWNERS = application_place(COMMUNITY.id, "CLAIM_STATUS")


async def refusal_of(waiting: object) -> Refusal:
    """Return what is refused."""
    with pytest.raises(Refusal) as refusal:
        await waiting  # type: ignore[misc]
    return refusal.value


async def wish_for(desk: Desk, role: str, place_kind: str, place_id: PlaceId, scope_id: PlaceId) -> RequestId:
    """Return the request of a new holder of this role for an application."""
    person = await desk.holder(role, place_id, scope_id)
    rests_on = registration.RestsOn(
        assignment_id=AssignmentId(desk.assignment_id(person, role, place_id)),
        role=role,
        place_kind=place_kind,
        place_id=place_id,
    )
    return await desk.submit(
        kind="access_application",
        scope_id=scope_id,
        place_id=OWNERS,
        application="CLAIM_STATUS",
        rests_on=rests_on,
        applicant_id=person,
    )


async def of_end_user(desk: Desk) -> tuple[Place, RequestId, PersonId, PersonId]:
    """Return an organization, an end user's request there, an administrator and the Security Official."""
    place = await desk.place()
    administrator = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await wish_for(desk, "END_USER", "group", place.group_id, PlaceId(place.id))
    return place, request_id, administrator, official


# --- Applications ---------------------------------------------------------------------------------


async def test_an_end_users_application_is_decided_by_an_administrator_and_then_an_official(desk: Desk) -> None:
    _, request_id, administrator, official = await of_end_user(desk)
    assert await desk.open_queues(request_id) == [ADMINISTRATOR]
    assert (await refusal_of(desk.decide(request_id, official))).code == "not_an_approver"
    first = await desk.decide(request_id, administrator)
    assert (first.body["state"], first.body["stage"]) == ("pending", 2)
    assert await desk.announced(approval.RequestApproved, request_id) == []

    assert await desk.open_queues(request_id) == [BACKUP, SECURITY_OFFICIAL]
    assert (await desk.named(request_id))[-1] == [official]
    await desk.decide(request_id, official)
    (approved,) = await desk.announced(approval.RequestApproved, request_id)
    assert (approved.application, approved.stage, approved.decided_by) == ("CLAIM_STATUS", 2, official)


async def test_an_approval_names_those_that_led_up_to_it_and_a_stage_without_authority_opens_again(desk: Desk) -> None:
    place, request_id, administrator, official = await of_end_user(desk)
    await desk.decide(request_id, administrator)
    await desk.decide(request_id, official)
    (approved,) = await desk.announced(approval.RequestApproved, request_id)
    (earlier,) = approved.earlier
    assert (earlier.stage, earlier.decided_by, earlier.capacity.role) == (1, administrator, ADMINISTRATOR)
    assert earlier.capacity.place_id == place.group_id

    other = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    await desk.refuse(request_id, "approver_lost_authority", stage=1)
    row = await desk.request(request_id)
    assert (row.state, row.stage, row.round) == ("pending", 1, 2)
    assert await desk.open_queues(request_id) == [ADMINISTRATOR]
    assert (await desk.named(request_id))[-1] == sorted([administrator, other])
    await desk.decide(request_id, other)
    assert await desk.open_queues(request_id) == [BACKUP, SECURITY_OFFICIAL]
    await desk.decide(request_id, official)
    approved = (await desk.announced(approval.RequestApproved, request_id))[-1]
    assert (approved.round, [one.decided_by for one in approved.earlier]) == (2, [other])


async def test_what_opens_again_in_its_last_stage_keeps_what_led_up_to_that(desk: Desk) -> None:
    place, request_id, administrator, official = await of_end_user(desk)
    backup = await desk.holder(BACKUP, place.id)
    await desk.decide(request_id, administrator)
    await desk.decide(request_id, official)
    await desk.refuse(request_id, "approver_lost_authority", stage=2)
    assert await desk.open_queues(request_id) == [BACKUP, SECURITY_OFFICIAL]
    await desk.decide(request_id, backup)
    approved = (await desk.announced(approval.RequestApproved, request_id))[-1]
    assert (approved.round, [one.decided_by for one in approved.earlier]) == (2, [administrator])


async def test_a_retry_says_who_approved_in_the_last_stage_and_who_led_up_to_it(desk: Desk) -> None:
    _, request_id, administrator, official = await of_end_user(desk)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    await desk.decide(request_id, administrator)
    await desk.decide(request_id, official)
    await desk.refuse(request_id)
    await desk.decide(request_id, help_desk, Verdict.RETRY)
    again = (await desk.announced(approval.RequestApproved, request_id))[-1]
    assert (again.decided_by, [one.decided_by for one in again.earlier]) == (official, [administrator])


async def test_an_administrators_application_is_decided_by_an_official_alone(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await wish_for(desk, ADMINISTRATOR, "group", place.group_id, PlaceId(place.id))
    assert (await desk.decide(request_id, official)).body["state"] == "approved"


async def test_a_practitioners_application_is_decided_by_its_owner_or_else_the_help_desk(desk: Desk) -> None:
    practice = await desk.practice()
    owner = await desk.holder("APPLICATION_OWNER", OWNERS)
    request_id = await wish_for(desk, "INDIVIDUAL_PRACTITIONER", "practitioner", PlaceId(practice), PlaceId(practice))
    assert (await desk.named(request_id))[-1] == [owner]
    assert (await desk.decide(request_id, owner)).body["state"] == "approved"

    await desk.hear(desk.assignment(owner, "APPLICATION_OWNER", OWNERS, status="ended"))
    other = await wish_for(desk, "INDIVIDUAL_PRACTITIONER", "practitioner", PlaceId(practice), PlaceId(practice))
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    await desk.look()
    await desk.look()
    assert await desk.open_queues(other) == ["APPLICATION_OWNER", HELP_DESK]
    assert (await desk.decide(other, help_desk)).body["state"] == "approved"  # This stage lets it approve.


async def test_an_application_is_not_opened_to_who_has_left_the_role_it_rests_on(desk: Desk) -> None:
    place, request_id, administrator, _ = await of_end_user(desk)
    applicant = (await desk.request(request_id)).applicant_id
    await desk.hear(desk.assignment(applicant, "END_USER", place.group_id, place.id, status="ended"))
    assert (await refusal_of(desk.decide(request_id, administrator))).code == "role_not_held"


async def test_an_application_is_not_given_twice_to_who_has_it_and_again_to_who_had_it(desk: Desk) -> None:
    _, request_id, administrator, _ = await of_end_user(desk)
    row = await desk.request(request_id)
    await desk.entitle(row.applicant_id, row.resting_id, row.scope_id, "CLAIM_STATUS")
    assert (await refusal_of(desk.decide(request_id, administrator))).code == "already_held"
    await desk.sql("UPDATE entitlement SET status = 'ended'")
    assert (await desk.decide(request_id, administrator)).body["stage"] == 2


# --- Who comes too late ---------------------------------------------------------------------------


async def test_the_loser_of_a_stage_that_is_not_the_last_learns_who_settled_it(desk: Desk) -> None:
    place, request_id, administrator, _ = await of_end_user(desk)
    second = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    version = (await desk.request(request_id)).version
    await desk.decide(request_id, administrator)
    refusal = await refusal_of(desk.decide(request_id, second, version=version))
    assert (refusal.code, refusal.facts["decided_by"]) == ("already_decided", ADMINISTRATOR)
    assert refusal.facts["state"] == "pending"


async def test_who_loses_the_race_for_a_stage_that_is_not_the_last_learns_who_settled_it_too(desk: Desk) -> None:
    place, request_id, administrator, _ = await of_end_user(desk)
    second = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    async with desk.db.begin() as tx:
        order = an_order(Verdict.APPROVE, 1)
        await usecases.decide_request(tx, request_id, administrator, order, key=None, body_sha256=b"")
        late = asyncio.create_task(desk.decide(request_id, second, version=1))
        await someone_waits_for_a_lock(desk.db)
    refusal = await refusal_of(late)
    assert (refusal.code, refusal.facts["decided_by"]) == ("already_decided", ADMINISTRATOR)


async def test_the_loser_learns_who_approved_also_what_the_directory_then_refused(desk: Desk) -> None:
    place, elsewhere = await desk.place(), await desk.place()
    official, late = await desk.holder(SECURITY_OFFICIAL, place.id), await desk.holder(BACKUP, place.id)
    stranger = await desk.holder(BACKUP, elsewhere.id)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    answer = await desk.decide(request_id, official, version=1)
    await desk.refuse(request_id)

    for verdict in (Verdict.DENY, Verdict.RETRY):  # Whatever they say: what is left to do is the help desk's.
        refusal = await refusal_of(desk.decide(request_id, late, verdict, version=1))
        assert (refusal.code, refusal.facts["decided_by"]) == ("already_decided", SECURITY_OFFICIAL)
        assert refusal.facts["decided_at"].isoformat() == answer.body["decided_at"]  # type: ignore[attr-defined]
        assert refusal.facts["state"] == "refused"
    assert (await refusal_of(desk.decide(request_id, stranger))).code == "not_an_approver"
    assert (await desk.queue(late), await desk.queue(help_desk)) == ([], [request_id])
    assert (await desk.decide(request_id, help_desk, Verdict.RETRY)).body["state"] == "approved"


async def test_who_decides_in_both_stages_and_read_the_first_is_told_to_read_again(desk: Desk) -> None:
    await desk.publish(
        a_community(
            Stage(deciders=(PEERS,), fallbacks=((WARDEN,),)),
            Stage(deciders=(PEERS, CHIEF), fallbacks=((WARDEN,),)),
        )
    )
    place = await desk.place()
    it = a_submission("become_backup_security_official", scope_id=place.id, community_id="guild")
    request_id = await desk.submit(it.model_copy(update={"kind": "enter"}))
    one, two = await desk.holder("PEER", place.id), await desk.holder("PEER", place.id)
    await desk.decide(request_id, one, version=1)
    assert (await refusal_of(desk.decide(request_id, two, version=1))).code == "stale_version"
    await desk.decide(request_id, two, version=2)


async def test_who_is_late_for_two_stages_learns_who_settled_the_latest(desk: Desk) -> None:
    fallbacks = ((WARDEN,),)
    await desk.publish(
        a_community(
            Stage(deciders=(PEERS,), fallbacks=fallbacks),
            Stage(deciders=(PEERS, CHIEF), fallbacks=fallbacks),
            Stage(deciders=(CHIEF,), fallbacks=fallbacks),
        )
    )
    place = await desk.place()
    it = a_submission("become_backup_security_official", scope_id=place.id, community_id="guild")
    request_id = await desk.submit(it.model_copy(update={"kind": "enter"}))
    peer, late = await desk.holder("PEER", place.id), await desk.holder("PEER", place.id)
    chief = await desk.holder("CHIEF", place.id)
    await desk.decide(request_id, peer)
    await desk.decide(request_id, chief)
    assert (await refusal_of(desk.decide(request_id, late))).facts["decided_by"] == "CHIEF"


async def test_who_could_never_decide_learns_nothing_of_an_earlier_stage(desk: Desk) -> None:
    _, request_id, administrator, _ = await of_end_user(desk)
    elsewhere = await desk.place()
    stranger = await desk.holder(ADMINISTRATOR, elsewhere.group_id, elsewhere.id)
    await desk.decide(request_id, administrator)
    assert (await refusal_of(desk.decide(request_id, stranger))).code == "not_an_approver"


# --- A concern ------------------------------------------------------------------------------------


async def test_a_concern_is_looked_into_by_the_help_desk_before_anybody_decides(desk: Desk) -> None:
    place = await desk.place()
    administrator = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id, concern="identity_mismatch")
    assert (await desk.queue(help_desk), await desk.queue(administrator)) == ([request_id], [])
    (escalated,) = await desk.announced(approval.RequestEscalated, request_id)
    assert (escalated.why, escalated.may_approve, escalated.stage) == ("concern", True, 0)

    answer = await desk.decide(request_id, help_desk)
    assert (answer.body["state"], answer.body["stage"]) == ("pending", 1)
    assert (await desk.queue(help_desk), await desk.queue(administrator)) == ([], [request_id])
    assert (await desk.decide(request_id, administrator)).body["state"] == "approved"


async def test_a_concern_that_proves_right_ends_the_request(desk: Desk) -> None:
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    request_id = await desk.submit(concern="identity_mismatch")
    assert (await desk.decide(request_id, help_desk, Verdict.DENY)).body["state"] == "denied"


async def test_documents_are_awaited_after_a_concern_was_cleared(desk: Desk) -> None:
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    request_id = await desk.submit(a_submission("register_organization", concern="identity_mismatch"))
    answer = await desk.decide(request_id, help_desk)
    row = await desk.request(request_id)
    assert (row.state, row.stage) == ("awaiting_documents", 0)
    assert (answer.body["state"], answer.body["stage"]) == ("awaiting_documents", 0)
    assert set(await desk.timers(request_id)) == {"expire", "remind"}
    (reminded,) = await desk.announced(approval.RequestReminded, request_id)
    assert (reminded.awaited, reminded.documents_awaited, reminded.number) == ("documents", ("irs_letter",), 1)
    assert reminded.expires_at == row.expires_at
    for _ in range(4):
        desk.wait(timedelta(days=7))
        await desk.ring()
    reminders = await desk.announced(approval.RequestReminded, request_id)
    assert [it.number for it in reminders] == [1, 2, 3]
    await desk.document(request_id)
    assert (await desk.request(request_id)).state == "pending"


# --- What ends where it takes place ---------------------------------------------------------------


async def test_what_is_asked_in_an_organization_that_closes_is_closed_with_it(desk: Desk) -> None:
    place, of_user, *_ = await of_end_user(desk)
    joining = await desk.submit(scope_id=place.id, place_id=place.group_id)
    elsewhere = await desk.submit()
    approved = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.decide(approved, await desk.holder(SECURITY_OFFICIAL, place.id))
    await desk.close_organization(place)
    for request_id in (of_user, joining):
        assert (await desk.request(request_id)).state == "closed"
        (closed,) = await desk.announced(approval.RequestClosed, request_id)
        assert closed.why == "scope_closed"
        assert await desk.timers(request_id) == {}
    states = [(await desk.request(it)).state for it in (elsewhere, approved)]
    assert states == ["pending", "approved"]  # The directory answers what was approved.


async def test_what_rests_on_a_role_in_a_group_is_closed_with_the_group(desk: Desk) -> None:
    place, request_id, *_ = await of_end_user(desk)
    closed = directory.GroupClosed(
        group_id=place.group_id, organization_id=place.id, community_id=COMMUNITY.id, closed_at=NOON
    )
    await desk.hear(record(closed, place.group_id, place.id))
    assert (await desk.request(request_id)).state == "closed"


async def test_what_is_approved_while_its_organization_closes_stays_approved(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    async with desk.db.begin() as tx:
        order = an_order(Verdict.APPROVE, 1)
        await usecases.decide_request(tx, request_id, official, order, key=None, body_sha256=b"")
        closing = asyncio.create_task(desk.close_organization(place))
        await someone_waits_for_a_lock(desk.db)
    await closing
    assert (await desk.request(request_id)).state == "approved"
    assert "closed" not in await desk.said(request_id)


async def test_what_is_asked_after_the_organization_has_closed_is_closed_at_once(desk: Desk) -> None:
    place = await desk.place(status="closed")
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    assert (await desk.request(request_id)).state == "closed"
    assert await desk.said(request_id) == ["closed"]


async def test_what_is_asked_between_the_news_of_an_end_and_its_state_is_closed_by_the_state(desk: Desk) -> None:
    place, other = await desk.place(), await desk.place()
    await desk.close_organization(place)  # The event is here; the record of the other topic is still on its way.
    in_organization = await desk.submit(kind="create_provider_group", scope_id=place.id)
    in_group = await desk.submit(scope_id=other.id, place_id=other.group_id)
    assert [(await desk.request(it)).state for it in (in_organization, in_group)] == ["pending", "pending"]

    await desk.hear(desk.organization(place, status="closed"), desk.group(other, status="closed"))
    assert [(await desk.request(it)).state for it in (in_organization, in_group)] == ["closed", "closed"]


async def test_what_is_to_be_decided_again_where_everything_has_ended_is_closed_instead(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.decide(request_id, official)
    await desk.close_organization(place)
    await desk.hear(desk.organization(place, status="closed"))
    assert (await desk.request(request_id)).state == "approved"  # It waits for the directory's answer.

    await desk.refuse(request_id, "approver_lost_authority")
    assert (await desk.request(request_id)).state == "closed"
    assert await desk.said(request_id) == ["opened", "awaiting_decision", "approved", "closed"]


async def test_what_rests_on_a_role_in_a_closed_group_is_closed_at_once(desk: Desk) -> None:
    place = await desk.place(group_status="closed")
    resting = registration.RestsOn(
        assignment_id=AssignmentId(new_id()), role="END_USER", place_kind="group", place_id=place.group_id
    )
    request_id = await desk.submit(
        kind="access_application", scope_id=place.id, application="CLAIM_STATUS", rests_on=resting
    )
    assert (await desk.request(request_id)).state == "closed"


async def test_a_stage_of_the_other_state_has_its_working_days(desk: Desk) -> None:
    place = await desk.place()
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    row = await desk.request(request_id)
    assert row.us_state == "MD"
    timers = await desk.timers(request_id)
    assert timers["remind"] == domain.after_working_days(row.since_at, 3, COMMUNITY.calendar, "MD")
    assert timers["escalate"] - row.since_at == timedelta(days=14)
