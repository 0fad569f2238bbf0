"""What an applicant wishes of an open request: to correct what was returned, or to withdraw. Approval answers."""

from datetime import timedelta
from typing import Any

import pytest

from services.approval import domain, usecases
from services.approval.domain import Verdict
from shared.contracts import approval, registration
from shared.errors import Refusal
from shared.ids import PersonId, RequestId
from tests.approval.builders import BACKUP, COMMUNITY, HELP_DESK, NOON, SECURITY_OFFICIAL, a_submission
from tests.approval.desk import Desk, Place, record

DAY = timedelta(days=1)


async def pending(desk: Desk) -> tuple[Place, RequestId, PersonId]:
    """Return an organization, a request for a group in it, and the Security Official who may decide it."""
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    return place, await desk.submit(kind="create_provider_group", scope_id=place.id), official


async def hand_back(desk: Desk, request_id: RequestId, by: PersonId, **changes: Any) -> usecases.Answer:
    """Return a request to its applicant."""
    version = (await desk.request(request_id)).version
    whole = {"reason": "data_unclear", "correct": ("group_name",)} | changes
    order = domain.Order(Verdict.RETURN, expected_version=version, **whole)
    async with desk.db.begin() as tx:
        answer = await usecases.decide_request(tx, request_id, by, order, key=None, body_sha256=b"")
    assert isinstance(answer, usecases.Answer)
    return answer


async def correct(
    desk: Desk, request_id: RequestId, *, round_: int = 1, revision: int = 2, name: str = "Night"
) -> None:
    """Let registration tell of a correction."""
    scope_id = (await desk.request(request_id)).scope_id
    it = registration.RequestResubmitted(
        request_id=request_id,
        scope_id=scope_id,
        round=round_,
        revision=revision,
        group=registration.GroupData(name=name, normalised_name=name.lower()),
        resubmitted_at=NOON,
    )
    await desk.hear(record(it, request_id, scope_id))


async def withdraw(desk: Desk, request_id: RequestId) -> None:
    """Let registration tell of the wish to withdraw."""
    scope_id = (await desk.request(request_id)).scope_id
    it = registration.WithdrawalAsked(request_id=request_id, scope_id=scope_id, asked_at=NOON)
    await desk.hear(record(it, request_id, scope_id))


# --- Return and correction ------------------------------------------------------------------------


async def test_what_is_returned_is_the_applicants_turn_and_in_nobodys_queue(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    answer = await hand_back(desk, request_id, official)
    assert (answer.body["state"], answer.body["reason"], answer.body["round"]) == ("returned", "data_unclear", 1)
    assert (await desk.queue(official), await desk.open_queues(request_id)) == ([], [])
    (returned,) = await desk.announced(approval.RequestReturned, request_id)
    assert (returned.returned_by, returned.capacity.role, returned.correct) == (
        official,
        SECURITY_OFFICIAL,
        ("group_name",),
    )
    row = await desk.request(request_id)
    assert (returned.version, returned.expires_at) == (row.version, row.expires_at)
    assert row.expires_at - returned.returned_at == 14 * DAY
    backup = await desk.holder(BACKUP, place.id)
    with pytest.raises(Refusal) as refusal:
        await desk.decide(request_id, backup)
    assert (refusal.value.code, refusal.value.facts["state"]) == ("already_decided", "returned")


async def test_a_corrected_request_comes_back_to_the_same_stage_in_the_next_round(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    await hand_back(desk, request_id, official)
    await correct(desk, request_id, name="Night shift")
    row = await desk.request(request_id)
    assert (row.state, row.stage, row.round, row.revision, row.place_name) == ("pending", 1, 2, 2, "Night shift")
    (reopened,) = await desk.announced(approval.RequestReopened, request_id)
    assert (reopened.why, reopened.previous_state, reopened.round) == ("resubmitted", "returned", 2)
    assert (await desk.named(request_id))[-1] == [official]  # Asked again: it is another round.
    await desk.decide(request_id, official)
    (approved,) = await desk.announced(approval.RequestApproved, request_id)
    assert (approved.revision, approved.round) == (2, 2)


async def test_the_approvers_clock_stands_still_while_it_is_the_applicants_turn(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    since_at = (await desk.request(request_id)).since_at
    desk.wait(DAY)
    before = await desk.timers(request_id)
    await hand_back(desk, request_id, official)
    assert {kind for kind, due_at in (await desk.timers(request_id)).items() if due_at} == {"give_up"}
    desk.wait(13 * DAY)
    assert await desk.ring() == 0
    await correct(desk, request_id)
    after = await desk.timers(request_id)
    assert set(after) == set(before) == {"expire", "escalate", "remind"}
    for kind, due_at in before.items():
        assert abs(after[kind] - due_at - 13 * DAY) < timedelta(seconds=5)
    row = await desk.request(request_id)
    assert row.expires_at == after["expire"]
    assert abs(row.since_at - since_at - 13 * DAY) < timedelta(seconds=5)


async def test_what_its_applicant_does_not_correct_in_time_expires(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    await hand_back(desk, request_id, official)
    desk.wait(14 * DAY)
    assert await desk.ring() == 1
    (expired,) = await desk.announced(approval.RequestExpired, request_id)
    assert expired.previous_state == "returned"
    await correct(desk, request_id)
    assert (await desk.request(request_id)).state == "expired"


async def test_a_request_is_returned_three_times_and_no_more(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    for round_ in (1, 2, 3):
        await hand_back(desk, request_id, official)
        await correct(desk, request_id, round_=round_, revision=round_ + 1)
    with pytest.raises(Refusal, match="field_invalid") as refusal:
        await hand_back(desk, request_id, official)
    assert "at most 3 times" in refusal.value.faults[0].rule
    await desk.decide(request_id, official)


async def test_a_return_names_only_what_the_kind_asks_for(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    with pytest.raises(Refusal, match="field_invalid") as refusal:
        await hand_back(desk, request_id, official, correct=("group_name", "tin"))
    assert [fault.pointer for fault in refusal.value.faults] == ["/correct/1"]


async def test_the_help_desk_returns_what_it_may_not_approve(desk: Desk) -> None:
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    place = await desk.place()
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    for _ in range(4):
        await desk.look()
    assert (await hand_back(desk, request_id, help_desk, reason="wrong_group", correct=())).body["state"] == "returned"
    await correct(desk, request_id)
    assert HELP_DESK in await desk.open_queues(request_id)  # Who had the request in a queue has it again.


async def test_the_help_desk_that_held_what_could_not_be_granted_does_not_get_its_correction(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    await desk.decide(request_id, official)
    await desk.refuse(request_id)
    await desk.decide(request_id, help_desk, Verdict.RETRY)
    await desk.refuse(request_id, "approver_lost_authority", round_=2)
    await hand_back(desk, request_id, official)
    await correct(desk, request_id, round_=3)
    assert (await desk.queue(official), await desk.queue(help_desk)) == ([request_id], [])


async def test_a_submission_that_comes_again_late_does_not_undo_the_correction(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    day = registration.GroupData(name="Day", normalised_name="day")
    it = a_submission("create_provider_group", scope_id=place.id, group=day)
    await desk.submit(it)
    await hand_back(desk, it.request_id, official)
    await correct(desk, it.request_id, name="Night")
    before = await desk.request(it.request_id)
    await desk.submit(it)
    assert await desk.request(it.request_id) == before
    assert (before.place_name, before.revision, before.round) == ("Night", 2, 2)


@pytest.mark.parametrize("round_", [2, 1])
async def test_a_correction_of_another_round_or_heard_twice_changes_nothing(desk: Desk, round_: int) -> None:
    _, request_id, official = await pending(desk)
    await hand_back(desk, request_id, official)
    if round_ == 1:
        await correct(desk, request_id)
    before = await desk.request(request_id), await desk.said(request_id)
    await correct(desk, request_id, round_=round_)
    assert (await desk.request(request_id), await desk.said(request_id)) == before


# --- Withdrawal -----------------------------------------------------------------------------------


async def test_what_nobody_has_decided_its_applicant_may_withdraw(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    await withdraw(desk, request_id)
    row = await desk.request(request_id)
    assert (row.state, await desk.timers(request_id), await desk.queue(official)) == ("withdrawn", {}, [])
    (withdrawn,) = await desk.announced(approval.RequestWithdrawn, request_id)
    assert (withdrawn.previous_state, withdrawn.version) == ("pending", row.version)
    with pytest.raises(Refusal, match="request_closed"):
        await desk.decide(request_id, official)
    await withdraw(desk, request_id)
    assert (await desk.said(request_id)).count("withdrawn") == 1


async def test_what_waits_for_documents_or_a_correction_may_be_withdrawn(desk: Desk) -> None:
    waiting = await desk.submit(kind="register_organization", documents_needed=("irs_letter",))
    _, returned, official = await pending(desk)
    await hand_back(desk, returned, official)
    for request_id in (waiting, returned):
        await withdraw(desk, request_id)
        assert (await desk.request(request_id)).state == "withdrawn"


async def test_a_wish_to_withdraw_that_comes_after_the_decision_is_refused_and_said_so(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    await desk.decide(request_id, official)
    await withdraw(desk, request_id)
    assert (await desk.request(request_id)).state == "approved"
    (refused,) = await desk.announced(approval.RequestWithdrawalRefused, request_id)
    assert refused.why == "already_decided"
    await desk.grant(request_id)
    await withdraw(desk, request_id)
    assert (await desk.request(request_id)).state == "granted"
    told = await desk.announced(approval.RequestWithdrawalRefused, request_id)
    assert [it.why for it in told] == ["already_decided", "already_decided"]


async def test_what_has_ended_otherwise_is_not_withdrawn_as_well(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    await desk.decide(request_id, official, Verdict.DENY)
    said = await desk.said(request_id)
    await withdraw(desk, request_id)
    assert ((await desk.request(request_id)).state, await desk.said(request_id)) == ("denied", said)
