"""What must be so after every step, and what must be so once nothing is on its way any more."""

from collections import defaultdict
from typing import Any
from uuid import UUID

from services.approval import tables as approval
from services.approval.domain import State
from services.directory import tables as directory
from tests.histories.model import Role, check_roles
from tests.histories.world import COMMUNITIES, World

_CLOCK_OF_END = {
    State.UNROUTED: "expire",
    State.AWAITING_DOCUMENTS: "expire",
    State.PENDING: "expire",
    State.REFUSED: "expire",
    State.RETURNED: "give_up",
    State.APPROVED: "announce_again",
}
"""Of every state that is not final: the timer that sees to it that it ends."""


async def check_now(world: World, ended: dict[UUID, Any]) -> list[Any]:
    """Check what must be so at every moment; return approval's requests. `ended` is what was seen to be final."""
    await _check_access(world)
    await _check_places(world)
    return await _check_requests(world, ended)


async def _check_requests(world: World, ended: dict[UUID, Any]) -> list[Any]:
    timers: dict[UUID, set[str]] = defaultdict(set)
    for row in await world.rows("approval", approval.timer):
        timers[row.request_id] |= {row.kind} if row.due_at else set()
    queues: dict[UUID, set[int]] = defaultdict(set)
    for row in await world.rows("approval", approval.queue):
        queues[row.request_id] |= {row.stage} if row.open else set()
    requests = await world.requests()
    for row in requests:
        state = State(row.state)
        if row.id in ended:
            assert row == ended[row.id], "what is final changes"
        elif state.is_final:
            ended[row.id] = row
        if state.is_final:
            assert not timers[row.id], "a clock runs on after the end"
            assert not queues[row.id], "what has ended is still in a queue"
            continue
        assert _CLOCK_OF_END[state] in timers[row.id], f"what is {state} waits for ever"
        if state in (State.PENDING, State.REFUSED):
            assert row.stage in queues[row.id], f"what is {state} is in nobody's queue"
        else:
            assert not queues[row.id], f"what is {state} is in a queue"
    return requests


async def _check_access(world: World) -> None:
    roles = {row.id: row for row in await world.rows("directory", directory.role_assignment)}
    active = [row for row in roles.values() if row.status == "active"]
    check_roles(
        COMMUNITIES,
        [Role(it.person_id, it.role, it.place_id, it.scope_id, it.community_id, it.effective_from) for it in active],
    )
    assert {row.id for row in active} == {id_ for id_, role in world.model.roles.items() if role.until is None}
    rights = [row for row in await world.rows("directory", directory.entitlement) if row.status == "active"]
    assert {row.id for row in rights} == set(world.model.entitlements)
    for right in rights:
        assert roles[right.assignment_id].status == "active", "an entitlement without its role"


async def _check_places(world: World) -> None:
    timers = {(row.kind, row.place_id) for row in await world.rows("directory", directory.timer)}
    roles = [row for row in await world.rows("directory", directory.role_assignment) if row.status == "active"]
    for table, kind, end in (
        (directory.organization, "organization", "end_entitlements"),
        (directory.user_group, "group", "close_group"),
        (directory.practitioner, "practitioner", ""),
    ):
        keeping = {
            role.code for it in COMMUNITIES.values() for role in it.roles if role.keeps_place and role.place == kind
        }
        for row in await world.rows("directory", table):
            keepers = [role for role in roles if role.place_id == row.id and role.role in keeping]
            assert (row.status == "active") == bool(keepers), f"{row.status} with {len(keepers)} who keep it"
            if row.status == "closed":
                assert not [role for role in roles if row.id in (role.place_id, role.scope_id)], (
                    "a role in what is closed"
                )
            elif row.status == "without_administrator":
                assert (end, row.id) in timers, "a group that nobody keeps is never closed"
            elif row.status == "suspended":
                resting = {role.id for role in roles if role.scope_id == row.id}
                assert (end, row.id) in timers or resting.isdisjoint(world.model.entitlements.values())


async def check_agreement(world: World) -> None:
    """Check, once everything has arrived, that both services speak of the same thing."""
    cases = {row.request_id: row for row in await world.rows("directory", directory.grant_case)}
    places = {
        row.id: row.status
        for table in (directory.organization, directory.user_group, directory.practitioner)
        for row in await world.rows("directory", table)
    }
    decisions = await world.rows("approval", approval.decision)
    requests = {row.id: row for row in await world.requests()}
    assert set(requests) == set(world.model.filed), "what was filed was not opened"
    for row in requests.values():
        state, case, granted = State(row.state), cases[row.id], world.model.granted.get(row.id)
        assert (state is State.GRANTED) == (case.outcome == "applied") == (granted is not None), (
            f"approval says {state}, the directory {case.outcome}"
        )
        assert state is not State.APPROVED, "an approval has no answer"
        if state is State.REFUSED:
            assert (case.outcome, case.answered_round) == ("refused", row.round)
        elif state.is_final and state is not State.GRANTED:
            assert (case.outcome, case.dossier) == ("ended", None), "what has ended leaves personal data behind"
        if not state.is_final and state is not State.REFUSED:
            about = {row.scope_id, row.place_id, row.resting_place_id}
            assert "closed" not in {places.get(place) for place in about}, f"{state} in what is closed"
        if granted is not None:
            _check_votes(world, row, [it for it in decisions if it.request_id == row.id and it.verdict == "approve"])
    await _check_replica(world)


def _check_votes(world: World, row: Any, votes: list[Any]) -> None:
    """Check that every stage of what is granted had its quorum, by those who may, and never by its applicant."""
    it = world.model.filed[row.id]
    stages = world.model.kind_of(it).stages_on(it.rests_on.role if it.rests_on else None)
    for number, stage in enumerate(stages, start=1):
        able = world.model.capacities(it, number, to_approve=True)
        by_round = defaultdict(set)
        for vote in votes:
            if vote.stage == number:
                assert (vote.role, vote.place_id) in able, "somebody has approved who may not"
                by_round[vote.round].add(vote.approver_id)
        assert any(len(voters) >= stage.quorum for voters in by_round.values()), f"stage {number} was passed over"
        assert row.applicant_id not in set().union(*by_round.values()), "somebody decides their own request"


async def _check_replica(world: World) -> None:
    for there, here in (
        (directory.role_assignment, approval.assignment),
        (directory.entitlement, approval.entitlement),
        (directory.organization, approval.organization),
        (directory.user_group, approval.user_group),
        (directory.practitioner, approval.practitioner),
    ):
        truth = {row.id: (row.version, row.status) for row in await world.rows("directory", there)}
        assert truth == {row.id: (row.version, row.status) for row in await world.rows("approval", here)}
