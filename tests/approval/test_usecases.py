"""What approval does when it is asked: opening, deciding, and what the directory answers."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from services.approval import domain, tables, usecases
from services.approval.domain import Verdict
from shared.contracts import approval
from shared.contracts.community import Stage
from shared.errors import Refusal
from shared.ids import PersonId, PlaceId, RequestId, community_place
from shared.tables import audit, outbox
from shared.testing.waiting import someone_waits_for_a_lock
from tests.approval.builders import (
    ADMINISTRATOR,
    BACKUP,
    CHIEF,
    COMMUNITY,
    HELP_DESK,
    PEERS,
    SECURITY_OFFICIAL,
    WARDEN,
    a_community,
    a_submission,
    new_person,
)
from tests.approval.desk import Desk, Place, an_order

SOON = timedelta(seconds=1)


async def pending(desk: Desk) -> tuple[Place, RequestId, PersonId]:
    """Return an organization, a request for a group in it, and the Security Official who may decide it."""
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    return place, await desk.submit(kind="create_provider_group", scope_id=place.id), official


async def approved(desk: Desk) -> tuple[Place, RequestId, PersonId]:
    """Return the same, approved by the Security Official."""
    place, request_id, official = await pending(desk)
    await desk.decide(request_id, official)
    return place, request_id, official


async def refusal_of(waiting: object) -> Refusal:
    """Return what is refused."""
    with pytest.raises(Refusal) as refusal:
        await waiting  # type: ignore[misc]
    return refusal.value


# --- Opening ------------------------------------------------------------------------------------


async def test_a_submitted_request_is_opened_once_however_often_it_is_delivered(desk: Desk) -> None:
    it = a_submission()
    for _ in range(3):
        await desk.submit(it)
    (row,) = await desk.rows(tables.request)
    assert (row.state, row.stage, row.version, row.applicant_name) == ("pending", 1, 1, "Rosa Delgado")
    assert await desk.said(it.request_id) == ["opened", "awaiting_decision"]
    assert [act.act for act in await desk.rows(audit)] == ["open_request"]


async def test_a_request_submitted_again_after_its_decision_stays_decided(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    it = a_submission("create_provider_group", scope_id=place.id)
    await desk.submit(it)
    await desk.decide(it.request_id, official, Verdict.DENY)
    await desk.submit(it)
    assert (await desk.request(it.request_id)).state == "denied"


async def test_a_request_of_an_unknown_community_is_opened_and_routed_when_that_comes(desk: Desk) -> None:
    community = a_community()
    request_id = await desk.submit(
        a_submission("create_provider_group", community_id="guild", documents_needed=()).model_copy(
            update={"kind": "enter", "place_kind": "organization"}
        )
    )
    assert (await desk.request(request_id)).state == "unrouted"
    assert await desk.said(request_id) == []
    assert set(await desk.timers(request_id)) == {"expire"}  # Owned by a timer while it waits.

    async with desk.db.begin() as tx:
        assert await usecases.route_unrouted(tx) == 0
    await desk.publish(community)
    async with desk.db.begin() as tx:
        assert await usecases.route_unrouted(tx) == 1
    async with desk.db.begin() as tx:
        assert await usecases.route_unrouted(tx) == 0

    assert (await desk.request(request_id)).state == "pending"
    assert await desk.said(request_id) == ["opened", "awaiting_decision"]
    assert await desk.open_queues(request_id) == ["CHIEF"]


async def test_a_request_waits_for_the_last_of_its_documents(desk: Desk) -> None:
    request_id = await desk.submit(a_submission("register_organization", documents_needed=("irs_letter", "second")))
    row = await desk.request(request_id)
    assert (row.state, row.stage) == ("awaiting_documents", 0)
    assert row.expires_at - row.opened_at == timedelta(days=30)
    (opened,) = await desk.announced(approval.RequestOpened, request_id)
    assert opened.documents_awaited == ("irs_letter", "second")

    await desk.document(request_id, "irs_letter")
    assert (await desk.request(request_id)).state == "awaiting_documents"
    await desk.document(request_id, "irs_letter")
    assert (await desk.request(request_id)).state == "awaiting_documents"
    await desk.document(request_id, "second")

    row = await desk.request(request_id)
    assert (row.state, row.stage, row.version) == ("pending", 1, 2)
    timers = await desk.timers(request_id)
    assert (set(timers), timers["expire"]) == ({"expire", "remind"}, row.expires_at)
    assert await desk.open_queues(request_id) == [HELP_DESK]
    assert await desk.said(request_id) == ["opened", "awaiting_decision"]


async def test_a_document_heard_of_before_its_request_counts(desk: Desk) -> None:
    it = a_submission("register_organization")
    await desk.document(it.request_id)
    await desk.submit(it)
    row = await desk.request(it.request_id)
    assert (row.state, row.stage) == ("pending", 1)
    (opened,) = await desk.announced(approval.RequestOpened, it.request_id)
    assert (opened.state, opened.documents_awaited) == ("pending", ())


async def test_a_document_that_comes_again_or_late_changes_nothing(desk: Desk) -> None:
    it = a_submission("register_organization")
    await desk.submit(it)
    await desk.document(it.request_id)
    before = await desk.request(it.request_id), await desk.said(it.request_id)
    await desk.document(it.request_id)
    assert (await desk.request(it.request_id), await desk.said(it.request_id)) == before


async def test_who_may_decide_is_named_in_the_transaction_that_opens_the_request(desk: Desk) -> None:
    place = await desk.place()
    officials = [
        await desk.holder(SECURITY_OFFICIAL, place.id),
        await desk.holder(BACKUP, place.id, account="invited"),
    ]
    await desk.holder(BACKUP, place.id, account="locked")
    await desk.holder(BACKUP, (await desk.place()).id)
    await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    (told,) = await desk.announced(approval.RequestAwaitingDecision, request_id)
    assert list(told.approver_ids) == sorted(officials)
    assert {queue.role for queue in told.queues} == {SECURITY_OFFICIAL, BACKUP}
    assert not told.community_address


async def test_the_help_desk_is_told_at_its_one_address_and_nobody_by_name(desk: Desk) -> None:
    await desk.holder(HELP_DESK, COMMUNITY.place_id)
    request_id = await desk.submit(a_submission("register_organization", documents_needed=()))
    (told,) = await desk.announced(approval.RequestAwaitingDecision, request_id)
    assert (told.approver_ids, told.community_address) == ((), True)


async def test_nobody_is_asked_to_decide_their_own_request(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id, applicant_id=official)
    assert await desk.named(request_id) == [[]]
    assert await desk.queue(official) == []
    assert (await refusal_of(desk.decide(request_id, official))).code == "self_approval"


# --- Deciding -----------------------------------------------------------------------------------


async def test_an_approval_is_recorded_with_its_capacity_and_its_statement(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    answer = await desk.decide(request_id, official, key="k")
    assert (answer.body["state"], answer.body["version"], answer.body["decided_as"]) == (
        "approved",
        2,
        SECURITY_OFFICIAL,
    )
    row = await desk.request(request_id)
    assert (row.state, row.decided_by, row.decided_role, row.ended_at) == (
        "approved",
        official,
        SECURITY_OFFICIAL,
        None,
    )
    (made,) = await desk.rows(tables.decision)
    assert (made.approver_id, made.role, made.place_id, made.statement) == (
        official,
        SECURITY_OFFICIAL,
        place.id,
        domain.STATEMENT,
    )
    (event,) = await desk.announced(approval.RequestApproved, request_id)
    assert (event.decided_by, event.round, event.version) == (official, 1, 2)
    assert event.capacity == approval.Capacity(
        role=SECURITY_OFFICIAL, place_kind="organization", place_id=PlaceId(place.id)
    )
    assert await desk.open_queues(request_id) == []
    assert await desk.timers(request_id) == {"announce_again": row.decided_at + timedelta(minutes=10)}
    assert "decide_approve" in [act.act for act in await desk.rows(audit)]


async def test_a_denial_ends_the_request_and_public_events_do_not_speak_of_a_suspicion(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    order = domain.Order(Verdict.DENY, "suspected_fraud", 1)
    async with desk.db.begin() as tx:
        await usecases.decide_request(tx, request_id, official, order, key=None, body_sha256=b"")
    (event,) = await desk.announced(approval.RequestDenied, request_id)
    assert event.reason == "not_confirmed"
    (made,) = await desk.rows(tables.decision)
    assert (made.reason, made.statement) == ("suspected_fraud", None)
    assert await desk.timers(request_id) == {}
    assert (await desk.request(request_id)).ended_at == made.decided_at
    assert "suspected_fraud" not in "".join(row.body for row in await desk.rows(outbox))


async def test_the_second_of_two_approvers_waits_and_learns_who_was_first(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    backup = await desk.holder(BACKUP, place.id)

    async with desk.db.begin() as tx:  # The first has decided but not committed ...
        order = an_order(Verdict.APPROVE, 1)
        first = await usecases.decide_request(tx, request_id, official, order, key=None, body_sha256=b"")
        late = asyncio.create_task(desk.decide(request_id, backup, Verdict.DENY, version=1))
        await someone_waits_for_a_lock(desk.db)  # ... when the second arrives.

    assert isinstance(first, usecases.Answer)
    refusal = await refusal_of(late)
    assert refusal.code == "already_decided"
    assert refusal.facts["decided_by"] == SECURITY_OFFICIAL
    assert refusal.facts["decided_at"].isoformat() == first.body["decided_at"]  # type: ignore[attr-defined]
    assert await desk.said(request_id) == ["opened", "awaiting_decision", "awaiting_decision", "approved"]
    assert len(await desk.rows(tables.decision)) == 1


async def test_the_same_key_and_body_get_the_first_answer_again(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    first = await desk.decide(request_id, official, key="k", version=1)
    again = await desk.decide(request_id, official, key="k", version=1)
    assert again == first
    await desk.grant(request_id)
    assert await desk.decide(request_id, official, key="k", version=1) == first
    assert len(await desk.announced(approval.RequestApproved, request_id)) == 1


async def test_the_first_answer_is_given_again_to_who_has_lost_the_role_since(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    first = await desk.decide(request_id, official, key="k", version=1)
    await desk.hear(desk.assignment(official, SECURITY_OFFICIAL, place.id, status="ended"))
    assert await desk.decide(request_id, official, key="k", version=1) == first


async def test_the_same_key_and_body_get_the_first_answer_when_both_calls_are_on_their_way(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    async with desk.db.begin() as tx:
        first = await usecases.decide_request(
            tx, request_id, official, an_order(Verdict.APPROVE, 1), key="k", body_sha256=b"the body"
        )
        twin = asyncio.create_task(desk.decide(request_id, official, key="k", version=1))
        await someone_waits_for_a_lock(desk.db)
    assert await twin == first


async def test_a_key_repeated_after_a_lost_race_is_told_again_who_was_first(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    backup = await desk.holder(BACKUP, place.id)
    await desk.decide(request_id, official)
    told = [(await refusal_of(desk.decide(request_id, backup, key="k", version=1))).facts for _ in range(2)]
    assert told[0] == told[1]
    assert told[0]["decided_by"] == SECURITY_OFFICIAL


@pytest.mark.parametrize("is_concurrent", [False, True])
async def test_a_key_used_for_another_body_is_refused(desk: Desk, is_concurrent: bool) -> None:
    _, request_id, official = await pending(desk)
    async with desk.db.begin() as tx:
        await usecases.decide_request(
            tx, request_id, official, an_order(Verdict.APPROVE, 1), key="k", body_sha256=b"one"
        )
        if is_concurrent:
            other = asyncio.create_task(desk.decide(request_id, official, Verdict.DENY, key="k", body="two", version=1))
            await someone_waits_for_a_lock(desk.db)
    if not is_concurrent:
        other = asyncio.create_task(desk.decide(request_id, official, Verdict.DENY, key="k", body="two"))
    assert (await refusal_of(other)).code == "idempotency_key_reused"


@pytest.mark.parametrize("is_concurrent", [False, True])
async def test_a_key_used_for_another_request_is_refused(desk: Desk, is_concurrent: bool) -> None:
    place, request_id, official = await pending(desk)
    other_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    async with desk.db.begin() as tx:
        await usecases.decide_request(
            tx, request_id, official, an_order(Verdict.APPROVE, 1), key="k", body_sha256=b"one"
        )
        if is_concurrent:
            other = asyncio.create_task(desk.decide(other_id, official, key="k", body="two", version=1))
            await someone_waits_for_a_lock(desk.db)
    if not is_concurrent:
        other = asyncio.create_task(desk.decide(other_id, official, key="k", body="two"))
    assert (await refusal_of(other)).code == "idempotency_key_reused"
    assert (await desk.request(other_id)).state == "pending"


async def test_another_approver_may_use_the_same_key(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    backup = await desk.holder(BACKUP, place.id)
    other_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.decide(request_id, official, key="k")
    await desk.decide(other_id, backup, key="k")
    assert {row.state for row in await desk.rows(tables.request)} == {"approved"}


async def test_an_expiry_found_due_at_the_decision_is_recorded_and_answered(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    desk.wait(timedelta(days=44))
    async with desk.db.begin() as tx:
        answer = await usecases.decide_request(
            tx, request_id, official, an_order(Verdict.APPROVE, 1), key=None, body_sha256=b""
        )
    assert isinstance(answer, Refusal)  # Returned, so that the edge commits what it records.
    assert answer.code == "expired"
    row = await desk.request(request_id)
    assert (row.state, row.version) == ("expired", 2)
    assert row.ended_at is not None
    assert await desk.said(request_id) == ["opened", "awaiting_decision", "expired"]
    assert await desk.timers(request_id) == {}
    assert await desk.rows(tables.decision) == []
    assert await desk.ring() == 0
    assert (await refusal_of(desk.decide(request_id, official))).code == "expired"


async def test_what_the_replica_says_of_the_place_is_judged_at_the_decision(desk: Desk) -> None:
    place = await desk.place()
    administrator = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    its_own = await desk.submit(scope_id=place.id, place_id=place.group_id, applicant_id=official)
    assert (await refusal_of(desk.decide(its_own, administrator))).code == "separation_of_duty"

    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    await desk.hear(desk.group(place, status="without_administrator"))
    assert (await refusal_of(desk.decide(request_id, administrator))).code == "group_not_active"
    await desk.decide(request_id, administrator, Verdict.DENY)


async def test_seats_are_counted_in_the_place_alone(desk: Desk) -> None:
    place, elsewhere = await desk.place(), await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    for _ in range(4):
        await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    await desk.holder(ADMINISTRATOR, elsewhere.group_id, elsewhere.id)
    request_id = await desk.submit(kind="administer_group", scope_id=place.id, place_id=place.group_id)
    other_id = await desk.submit(kind="administer_group", scope_id=place.id, place_id=place.group_id)
    await desk.decide(request_id, official)
    await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    assert (await refusal_of(desk.decide(other_id, official))).code == "cardinality_reached"


async def test_a_seat_whose_holder_has_left_is_free(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    *_, one = [await desk.holder(ADMINISTRATOR, place.group_id, place.id) for _ in range(5)]
    request_id = await desk.submit(kind="administer_group", scope_id=place.id, place_id=place.group_id)
    assert (await refusal_of(desk.decide(request_id, official))).code == "cardinality_reached"
    await desk.hear(desk.assignment(one, ADMINISTRATOR, place.group_id, place.id, status="ended"))
    assert (await desk.decide(request_id, official)).body["state"] == "approved"


async def guild(desk: Desk, *stages: Stage) -> tuple[RequestId, Place]:
    """Return a request in a community of these stages."""
    await desk.publish(a_community(*stages))
    place = await desk.place()
    it = a_submission("become_backup_security_official", scope_id=place.id, community_id="guild")
    return await desk.submit(it.model_copy(update={"kind": "enter"})), place


async def test_a_quorum_is_reached_by_different_people(desk: Desk) -> None:
    request_id, place = await guild(desk, Stage(deciders=(PEERS,), quorum=2, fallbacks=((WARDEN,),)))
    one, two = await desk.holder("PEER", place.id), await desk.holder("PEER", place.id)
    voted = await desk.decide(request_id, one, version=1)
    assert (voted.body["state"], voted.body["version"]) == ("pending", 1)
    assert await desk.announced(approval.RequestApproved, request_id) == []
    assert set(await desk.timers(request_id)) == {"expire", "escalate", "remind"}
    assert (await refusal_of(desk.decide(request_id, one, version=1))).code == "already_decided"
    settled = await desk.decide(request_id, two, version=1)  # Reads the same version still.
    assert settled.body["state"] == "approved"
    (event,) = await desk.announced(approval.RequestApproved, request_id)
    assert (event.decided_by, [vote.decided_by for vote in event.earlier]) == (two, [one])


async def test_two_votes_at_the_same_moment_both_count(desk: Desk) -> None:
    request_id, place = await guild(desk, Stage(deciders=(PEERS,), quorum=2, fallbacks=((WARDEN,),)))
    one, two = await desk.holder("PEER", place.id), await desk.holder("PEER", place.id)
    async with desk.db.begin() as tx:
        await usecases.decide_request(tx, request_id, one, an_order(Verdict.APPROVE, 1), key=None, body_sha256=b"")
        late = asyncio.create_task(desk.decide(request_id, two, version=1))
        await someone_waits_for_a_lock(desk.db)
    assert (await late).body["state"] == "approved"


async def test_a_settled_stage_leads_to_the_next_with_its_own_queue_time_and_approvers(desk: Desk) -> None:
    request_id, place = await guild(
        desk, Stage(deciders=(PEERS,), fallbacks=((WARDEN,),)), Stage(deciders=(CHIEF,), fallbacks=((WARDEN,),))
    )
    peer, chief = await desk.holder("PEER", place.id), await desk.holder("CHIEF", place.id)
    assert (await refusal_of(desk.decide(request_id, chief))).code == "not_an_approver"
    desk.wait(timedelta(days=10))
    await desk.decide(request_id, peer, version=1)

    row = await desk.request(request_id)
    assert (row.state, row.stage, row.version, row.decided_by) == ("pending", 2, 2, None)
    assert row.expires_at - row.opened_at > timedelta(days=54) - SOON
    timers = await desk.timers(request_id)
    assert (set(timers), timers["expire"]) == ({"expire", "escalate", "remind"}, row.expires_at)
    assert await desk.open_queues(request_id) == ["CHIEF"]
    assert (await desk.named(request_id))[-1] == [chief]
    assert await desk.queue(peer) == []
    await desk.decide(request_id, chief, version=2)
    (event,) = await desk.announced(approval.RequestApproved, request_id)
    assert (event.decided_by, event.stage) == (chief, 2)


# --- What the directory answers -------------------------------------------------------------------


async def test_an_applied_grant_is_the_end(desk: Desk) -> None:
    _, request_id, official = await approved(desk)
    await desk.grant(request_id)
    row = await desk.request(request_id)
    assert (row.state, row.version, row.decided_by) == ("granted", 3, official)
    assert row.ended_at is not None
    assert await desk.timers(request_id) == {}
    assert (await refusal_of(desk.decide(request_id, official))).facts["state"] == "granted"


async def test_an_approver_who_had_lost_authority_decided_nothing(desk: Desk) -> None:
    place, request_id, official = await approved(desk)
    backup = await desk.holder(BACKUP, place.id)
    await desk.refuse(request_id, "approver_lost_authority")

    row = await desk.request(request_id)
    assert (row.state, row.stage, row.round, row.version) == ("pending", 1, 2, 3)
    assert (row.decided_by, row.decided_role, row.decided_at) == (None, None, None)
    assert set(await desk.open_queues(request_id)) == {SECURITY_OFFICIAL, BACKUP}
    timers = await desk.timers(request_id)
    assert (set(timers), timers["expire"]) == ({"expire", "escalate", "remind"}, row.expires_at)
    (event,) = await desk.announced(approval.RequestReopened, request_id)
    assert (event.why, event.round, event.version, event.previous_state) == (
        "approver_lost_authority",
        2,
        3,
        "approved",
    )
    assert (await desk.named(request_id))[-1] == sorted([official, backup])  # Asked again: it is another round.

    await desk.decide(request_id, backup)
    decided = await desk.announced(approval.RequestApproved, request_id)
    assert [(it.decided_by, it.round) for it in decided] == [(official, 1), (backup, 2)]


async def test_any_other_refusal_goes_to_the_help_desk(desk: Desk) -> None:
    _, request_id, official = await approved(desk)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    await desk.refuse(request_id, "cardinality_reached")

    row = await desk.request(request_id)
    assert (row.state, row.refusal, row.version, row.decided_by) == ("refused", "cardinality_reached", 3, official)
    assert await desk.open_queues(request_id) == [HELP_DESK]
    assert await desk.timers(request_id) == {"expire": row.expires_at}
    assert (await desk.queue(help_desk), await desk.queue(official)) == ([request_id], [])
    (event,) = await desk.announced(approval.RequestEscalated, request_id)
    assert (event.queue.role, event.why, event.refusal, event.may_approve) == (
        HELP_DESK,
        "cannot_be_granted",
        "cardinality_reached",
        False,
    )
    assert (await refusal_of(desk.decide(request_id, official))).code == "already_decided"


async def test_a_retry_announces_the_approval_again_as_its_approver_decided_it(desk: Desk) -> None:
    place, request_id, official = await approved(desk)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    await desk.refuse(request_id)
    desk.wait(timedelta(hours=1))
    answer = await desk.decide(request_id, help_desk, Verdict.RETRY)
    assert (answer.body["state"], answer.body["round"]) == ("approved", 2)

    first, second = await desk.announced(approval.RequestApproved, request_id)
    assert (second.round, second.version) == (2, 4)
    assert (second.decided_by, second.decided_at, second.capacity) == (official, first.decided_at, first.capacity)
    assert first.capacity.place_id == place.id
    row = await desk.request(request_id)
    assert (row.state, row.decided_by, row.decided_role) == ("approved", official, SECURITY_OFFICIAL)
    assert set(await desk.timers(request_id)) == {"announce_again"}

    await desk.refuse(request_id, round_=1)  # The answer to the first round, once more.
    assert (await desk.request(request_id)).state == "approved"
    await desk.grant(request_id, round_=2)
    assert (await desk.request(request_id)).state == "granted"


async def test_a_retry_that_is_refused_can_be_retried(desk: Desk) -> None:
    _, request_id, _ = await approved(desk)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    for round_ in (1, 2):
        await desk.refuse(request_id, round_=round_)
        await desk.decide(request_id, help_desk, Verdict.RETRY)
    assert [it.round for it in await desk.announced(approval.RequestApproved, request_id)] == [1, 2, 3]


async def test_a_close_is_final(desk: Desk) -> None:
    _, request_id, official = await approved(desk)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    await desk.refuse(request_id)
    await desk.decide(request_id, help_desk, Verdict.CLOSE)
    (event,) = await desk.announced(approval.RequestClosed, request_id)
    assert (event.why, event.version, event.previous_state) == ("cannot_be_granted", 4, "refused")
    assert await desk.timers(request_id) == {}
    assert (await refusal_of(desk.decide(request_id, help_desk, Verdict.RETRY))).code == "request_closed"
    assert (await refusal_of(desk.decide(request_id, official))).code == "request_closed"


async def test_answers_that_come_again_late_or_of_an_older_round_change_nothing(desk: Desk) -> None:
    _, request_id, official = await approved(desk)

    async def unchanged(*answers: object) -> None:
        before = await desk.request(request_id), await desk.said(request_id), await desk.timers(request_id)
        for answer in answers:
            await answer  # type: ignore[misc]
        assert (await desk.request(request_id), await desk.said(request_id), await desk.timers(request_id)) == before

    await unchanged(desk.refuse(request_id, round_=2))
    await desk.refuse(request_id, "approver_lost_authority")
    await unchanged(desk.refuse(request_id, "approver_lost_authority"), desk.refuse(request_id), desk.grant(request_id))
    await desk.decide(request_id, official)
    await unchanged(desk.refuse(request_id, round_=1), desk.grant(request_id, round_=1))
    await desk.grant(request_id, round_=2)
    await unchanged(
        desk.grant(request_id, round_=2),
        desk.refuse(request_id, "approver_lost_authority", round_=2),
        desk.refuse(request_id, round_=2),
    )


async def test_answers_about_requests_that_nobody_opened_change_nothing(desk: Desk) -> None:
    async with desk.db.begin() as tx:
        await usecases.note_grant(tx, RequestId(new_person()), 1)
        await usecases.note_refusal(tx, RequestId(new_person()), 1, "cardinality_reached")
    assert await desk.rows(tables.request) == []
    assert await desk.rows(outbox) == []


# --- Time -----------------------------------------------------------------------------------------


async def test_an_approval_unanswered_for_ten_minutes_is_announced_again_as_the_same_event(desk: Desk) -> None:
    _, request_id, _ = await approved(desk)
    (said,) = [row for row in await desk.rows(outbox) if row.type == approval.RequestApproved.wire]
    desk.wait(timedelta(minutes=10) - SOON)
    await _all_sent(desk)
    assert await desk.ring() == 0
    for resent_count in (1, 2, 3):
        desk.wait(timedelta(minutes=10))
        assert await desk.ring() == 1
        (again,) = [it for it in await desk.rows(outbox) if it.type == approval.RequestApproved.wire]
        assert (again.id, again.body, again.sent_at, again.resent_count) == (said.id, said.body, None, resent_count)
        await _all_sent(desk)
    desk.wait(timedelta(minutes=10))
    assert await desk.ring() == 1  # Enough: the help desk hears of it, and may have it announced in a new round.
    row = await desk.request(request_id)
    assert (row.state, row.refusal, row.round) == ("refused", "unanswered", 1)
    assert await desk.open_queues(request_id) == [HELP_DESK]
    assert set(await desk.timers(request_id)) == {"expire"}

    await desk.grant(request_id)  # The first answer, at last: it is access, whoever holds the request.
    assert ((await desk.request(request_id)).state, await desk.open_queues(request_id)) == ("granted", [])
    assert await desk.timers(request_id) == {}


async def test_an_approval_without_any_answer_is_ended_neither_by_the_help_desk_nor_by_time_nor_by_its_place(
    desk: Desk,
) -> None:
    place, request_id, _ = await approved(desk)
    await _unanswered(desk)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    with pytest.raises(Refusal, match="field_invalid"):
        await desk.decide(request_id, help_desk, Verdict.CLOSE)
    desk.wait(timedelta(days=31))
    with pytest.raises(Refusal, match="field_invalid"):
        await desk.decide(request_id, help_desk, Verdict.CLOSE)
    assert await desk.ring() == 1  # The help desk hears of it again.
    said = await desk.announced(approval.RequestEscalated, request_id)
    assert [it.refusal for it in said] == ["unanswered", "unanswered"]
    await desk.close_organization(place)
    assert (await desk.request(request_id)).state == "refused"

    await desk.grant(request_id)  # It was access all the while.
    assert (await desk.request(request_id)).state == "granted"


async def test_an_answer_that_comes_late_tells_the_help_desk_what_it_can_do(desk: Desk) -> None:
    _, request_id, _ = await approved(desk)
    await _unanswered(desk)
    await desk.refuse(request_id, "cardinality_reached")
    row = await desk.request(request_id)
    assert (row.state, row.refusal) == ("refused", "cardinality_reached")
    await desk.decide(request_id, await desk.holder(HELP_DESK, COMMUNITY.place_id), Verdict.CLOSE)
    assert (await desk.request(request_id)).state == "closed"


async def test_an_answer_that_comes_late_opens_the_stage_again_if_its_approver_had_lost_authority(desk: Desk) -> None:
    _, request_id, _ = await approved(desk)
    await _unanswered(desk)
    await desk.refuse(request_id, "approver_lost_authority")
    row = await desk.request(request_id)
    assert (row.state, row.refusal, row.round) == ("pending", None, 2)
    assert set(await desk.open_queues(request_id)) == {SECURITY_OFFICIAL, BACKUP}  # The help desk had no part in it.
    assert not (await desk.announced(approval.RequestAwaitingDecision, request_id))[-1].community_address


async def test_a_late_answer_that_opens_an_earlier_stage_again_takes_it_from_everybody_elses_queue(desk: Desk) -> None:
    request_id, place = await guild(
        desk, Stage(deciders=(PEERS,), fallbacks=((WARDEN,),)), Stage(deciders=(CHIEF,), fallbacks=((WARDEN,),))
    )
    peer, chief = await desk.holder("PEER", place.id), await desk.holder("CHIEF", place.id)
    warden = await desk.holder("WARDEN", community_place("guild"))
    await desk.decide(request_id, peer)
    await desk.decide(request_id, chief)
    await _unanswered(desk)
    assert await desk.queue(warden) == [request_id]
    await desk.refuse(request_id, "approver_lost_authority", stage=1)
    assert [await desk.queue(who) for who in (peer, chief, warden)] == [[request_id], [], []]


async def test_a_help_desk_that_decides_a_stage_can_approve_it_again_once_it_is_open_again(desk: Desk) -> None:
    first, second = [await desk.holder(HELP_DESK, COMMUNITY.place_id) for _ in range(2)]
    request_id = await desk.submit(kind="register_practitioner")
    await desk.decide(request_id, first)
    await _unanswered(desk)
    await desk.refuse(request_id, "approver_lost_authority")
    assert await _queues(desk, request_id) == [(HELP_DESK, True, "stage", True)]
    assert (await desk.announced(approval.RequestAwaitingDecision, request_id))[-1].community_address
    assert (await desk.decide(request_id, second)).body["state"] == "approved"


async def test_a_help_desk_that_a_step_has_added_has_what_that_step_gave_it_once_the_stage_is_open_again(
    desk: Desk,
) -> None:
    request_id, _ = await guild(desk, Stage(deciders=(PEERS,), fallbacks=((WARDEN,), (CHIEF,))))
    warden = await desk.holder("WARDEN", community_place("guild"))
    desk.wait(timedelta(days=14))
    assert await desk.ring() > 0
    before = await _queues(desk, request_id)
    assert before == [("PEER", True, "stage", True), ("WARDEN", True, "overdue", True)]
    await desk.decide(request_id, warden)
    await desk.refuse(request_id)
    await desk.decide(request_id, warden, Verdict.RETRY)
    await desk.refuse(request_id, "approver_lost_authority", round_=2)
    assert await _queues(desk, request_id) == before
    assert (await desk.decide(request_id, warden)).body["state"] == "approved"


async def _queues(desk: Desk, request_id: RequestId) -> list[tuple[str, bool, str, bool]]:
    """Return the role, the right to approve and the reason of each queue, and whether it is open; by role."""
    rows = [row for row in await desk.rows(tables.queue) if row.request_id == request_id]
    return sorted((row.role, row.may_approve, row.why, row.open) for row in rows)


async def _unanswered(desk: Desk) -> None:
    """Let an approval be announced as often as it may, without an answer."""
    for _ in range(4):
        await _all_sent(desk)
        desk.wait(timedelta(minutes=11))
        assert await desk.ring() == 1


async def test_a_retried_approval_is_announced_again_as_it_was_retried(desk: Desk) -> None:
    _, request_id, _ = await approved(desk)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    await desk.refuse(request_id)
    await desk.decide(request_id, help_desk, Verdict.RETRY)
    await _all_sent(desk)
    desk.wait(timedelta(minutes=11))
    assert await desk.ring() == 1
    (resent,) = [row for row in await desk.rows(outbox) if row.resent_count]
    assert approval.RequestApproved.model_validate_json(resent.body).round == 2


async def _all_sent(desk: Desk) -> None:
    async with desk.db.begin() as tx:
        await tx.execute(update(outbox).values(sending_order=outbox.c.position, recorded_at=tx.now, sent_at=tx.now))
