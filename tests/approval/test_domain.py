"""The rules of deciding, without anything around them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import combinations

import pytest

from services.approval import domain
from services.approval.domain import Decision, ExpiryFound, State, Verdict
from shared.contracts.community import Community, Holding, Stage
from shared.errors import Refusal
from tests.approval.builders import (
    CHIEF,
    COMMUNITY,
    HELP_DESK,
    NOON,
    PEERS,
    SECURITY_OFFICIAL,
    WARDEN,
    a_community,
    a_queue,
    a_request,
    an_approver,
    an_order,
    around,
    new_person,
    surroundings,
)


@dataclass(frozen=True)
class Situation:
    """One decision to be judged. As it is made here, nothing stands against it."""

    request: domain.Request
    approver: domain.Approver
    order: domain.Order
    around: domain.Around

    def changed(self, **changes: object) -> "Situation":
        return replace(self, request=replace(self.request, **changes))  # type: ignore[arg-type]

    def answer(self) -> str:
        try:
            made = domain.decide(self.request, self.approver, self.order, COMMUNITY, self.around, NOON)
        except Refusal as refusal:
            return refusal.code
        return "expiry found" if isinstance(made, ExpiryFound) else made.state.value


def a_situation() -> Situation:
    return Situation(a_request(), an_approver(), an_order(), around())


def ended(state: State) -> Callable[[Situation], Situation]:
    return lambda it: it.changed(state=state, decided=domain.DecidedBy("SECURITY_OFFICIAL", NOON))


def _with_duties(it: Situation) -> Situation:
    holding = Holding(SECURITY_OFFICIAL, it.request.scope_id, it.request.scope_id)
    return replace(it, around=replace(it.around, applicant_holdings=(holding,)))


# In the order of the promise: what is wrong, how to make it so, and the answer.
WRONGS: list[tuple[str, Callable[[Situation], Situation], str]] = [
    ("a stranger", lambda it: replace(it, approver=replace(it.approver, capacities=())), "not_an_approver"),
    ("their own", lambda it: it.changed(applicant_id=it.approver.id), "self_approval"),
    ("approved already", ended(State.APPROVED), "already_decided"),
    ("granted already", ended(State.GRANTED), "already_decided"),
    ("denied already", ended(State.DENIED), "already_decided"),
    ("expired already", ended(State.EXPIRED), "expired"),
    ("closed already", ended(State.CLOSED), "request_closed"),
    ("out of time", lambda it: it.changed(expires_at=NOON), "expiry found"),
    ("no version", lambda it: replace(it, order=replace(it.order, expected_version=None)), "if_match_required"),
    ("an old version", lambda it: replace(it, order=replace(it.order, expected_version=2)), "stale_version"),
    ("nothing to retry", lambda it: replace(it, order=replace(it.order, verdict=Verdict.RETRY)), "field_invalid"),
    (
        "a queue that may not",
        lambda it: replace(it, approver=replace(it.approver, capacities=(a_queue(HELP_DESK, may_approve=False),))),
        "may_not_approve",
    ),
    ("both duties", _with_duties, "separation_of_duty"),
    (
        "no seat",
        lambda it: replace(it, around=replace(it.around, seats_by_role={"USER_GROUP_ADMINISTRATOR": 5})),
        "cardinality_reached",
    ),
    (
        "no organization",
        lambda it: replace(it, around=replace(it.around, surroundings=surroundings(organization_status=None))),
        "organization_not_listed",
    ),
]
_SAME_THING = [{"no version", "an old version"}]


def pairs() -> Iterator[object]:
    for first, second in combinations(WRONGS, 2):
        names = {first[0], second[0]}
        if names in _SAME_THING or all("already" in name for name in names):
            continue
        yield pytest.param(first, second, id=f"{first[0]} + {second[0]}")


def test_nothing_stands_against_the_situation_that_the_others_spoil() -> None:
    assert a_situation().answer() == "approved"


@pytest.mark.parametrize("wrong", WRONGS, ids=[name for name, _, _ in WRONGS])
def test_each_wrong_has_its_answer(wrong: tuple[str, Callable[[Situation], Situation], str]) -> None:
    _, spoil, answer = wrong
    assert spoil(a_situation()).answer() == answer


@pytest.mark.parametrize(("first", "second"), [*pairs()])
def test_of_two_wrongs_the_first_is_answered(
    first: tuple[str, Callable[[Situation], Situation], str],
    second: tuple[str, Callable[[Situation], Situation], str],
) -> None:
    assert first[1](second[1](a_situation())).answer() == first[2]


def test_everything_wrong_at_once_is_answered_as_by_a_stranger() -> None:
    it = a_situation()
    for _, spoil, _ in reversed(WRONGS):
        it = spoil(it)
    assert it.answer() == "not_an_approver"


def test_a_late_approver_learns_the_role_and_the_moment_and_no_more() -> None:
    request = a_request(state=State.GRANTED, decided=domain.DecidedBy("BACKUP_SECURITY_OFFICIAL", NOON))
    with pytest.raises(Refusal) as refusal:
        domain.decide(request, an_approver(), an_order(), COMMUNITY, around(), NOON)
    assert refusal.value.facts == {"decided_by": "BACKUP_SECURITY_OFFICIAL", "decided_at": NOON, "state": "granted"}


def test_a_stale_version_names_the_present_one() -> None:
    with pytest.raises(Refusal) as refusal:
        domain.decide(a_request(), an_approver(), an_order(expected_version=2), COMMUNITY, around(), NOON)
    assert refusal.value.facts == {"current_version": 3}


@pytest.mark.parametrize("state", [State.UNROUTED, State.AWAITING_DOCUMENTS])
def test_what_has_no_queue_yet_is_nobodys_to_decide(state: State) -> None:
    assert a_situation().changed(state=state, stage=0).answer() == "not_an_approver"


@pytest.mark.parametrize(
    ("kind", "changed", "answer"),
    [
        ("join_group", {"organization_status": "suspended"}, "approved"),
        ("join_group", {"organization_status": "closed"}, "organization_not_listed"),
        ("join_group", {"group_status": "without_administrator"}, "group_not_active"),
        ("join_group", {"group_status": None}, "group_not_active"),
        ("join_group", {"group_in_scope": False}, "group_not_active"),
        ("administer_group", {"group_status": "without_administrator"}, "approved"),
        ("administer_group", {"group_status": "closed"}, "group_not_active"),
        ("become_backup_security_official", {"seats_taken": {}}, "security_official_vacant"),
        ("register_organization", {"organization_status": None}, "approved"),
    ],
)
def test_the_preconditions_of_a_kind_are_judged_at_the_decision(
    kind: str, changed: dict[str, object], answer: str
) -> None:
    it = a_situation().changed(kind=kind)
    assert replace(it, around=around(surroundings=surroundings(**changed))).answer() == answer


@pytest.mark.parametrize(
    "spoiled", ["both duties", "no seat", "no organization"], ids=lambda name: name.replace(" ", "_")
)
def test_what_may_not_be_approved_may_be_denied(spoiled: str) -> None:
    spoil = next(spoil for name, spoil, _ in WRONGS if name == spoiled)
    assert replace(spoil(a_situation()), order=an_order(Verdict.DENY)).answer() == "denied"


# --- Verdicts -----------------------------------------------------------------------------------


def decide(
    request: domain.Request,
    verdict: Verdict = Verdict.APPROVE,
    *,
    by: domain.Approver | None = None,
    community: Community = COMMUNITY,
) -> Decision:
    made = domain.decide(request, by or an_approver(), an_order(verdict), community, around(), NOON)
    assert isinstance(made, Decision)
    return made


def test_an_approval_of_the_only_stage_approves() -> None:
    approver = an_approver()
    made = decide(a_request(), by=approver)
    assert (made.state, made.stage, made.round, made.version, made.is_settled) == (State.APPROVED, 1, 1, 4, True)
    assert (made.by, made.capacity, made.at) == (approver.id, approver.capacities[0], NOON)


def test_a_denial_carries_its_reason_and_is_final() -> None:
    made = decide(a_request(), Verdict.DENY)
    assert (made.state, made.reason, made.version) == (State.DENIED, "unknown_person", 4)
    assert made.state.is_final


def test_the_help_desk_in_an_added_queue_may_deny_and_not_approve() -> None:
    help_desk = an_approver(a_queue(HELP_DESK, may_approve=False))
    assert decide(a_request(), Verdict.DENY, by=help_desk).state is State.DENIED
    with pytest.raises(Refusal, match="may_not_approve"):
        decide(a_request(), Verdict.APPROVE, by=help_desk)


def test_who_has_a_queue_that_may_approve_decides_in_that_capacity() -> None:
    able = a_queue("BACKUP_SECURITY_OFFICIAL")
    approver = an_approver(a_queue(HELP_DESK, may_approve=False), able)
    assert decide(a_request(), by=approver).capacity == able


def test_the_community_may_let_an_added_queue_approve() -> None:
    stage = Stage(deciders=(CHIEF,), fallbacks=((WARDEN,),))
    community = a_community(stage)
    request = a_request(kind="enter", community_id="guild")
    (added,) = domain.queues_of_step(community, stage, request)
    warden = an_approver(domain.Queue(added.role, added.place_kind, added.place_id, added.may_approve))
    assert decide(request, by=warden, community=community).state is State.APPROVED


def test_a_vote_below_the_quorum_settles_nothing_and_leaves_the_version() -> None:
    community = a_community(Stage(deciders=(PEERS,), quorum=2, fallbacks=((WARDEN,),)))
    made = decide(a_request(kind="enter"), community=community)
    assert (made.state, made.version, made.is_settled) == (State.PENDING, 3, False)


def test_the_vote_that_reaches_the_quorum_settles_the_stage() -> None:
    community = a_community(Stage(deciders=(PEERS,), quorum=2, fallbacks=((WARDEN,),)))
    made = decide(a_request(kind="enter", voter_ids=(new_person(),)), community=community)
    assert (made.state, made.version, made.is_settled) == (State.APPROVED, 4, True)


def test_nobody_votes_twice() -> None:
    community = a_community(Stage(deciders=(PEERS,), quorum=3, fallbacks=((WARDEN,),)))
    approver = an_approver()
    with pytest.raises(Refusal, match="already_decided"):
        decide(a_request(kind="enter", voter_ids=(approver.id,)), by=approver, community=community)


def test_one_denial_ends_a_stage_whatever_its_quorum() -> None:
    community = a_community(Stage(deciders=(PEERS,), quorum=3, fallbacks=((WARDEN,),)))
    assert decide(a_request(kind="enter"), Verdict.DENY, community=community).state is State.DENIED


def test_an_approval_of_a_stage_that_is_not_the_last_leads_to_the_next() -> None:
    community = a_community(
        Stage(deciders=(PEERS,), fallbacks=((WARDEN,),)), Stage(deciders=(CHIEF,), fallbacks=((WARDEN,),))
    )
    made = decide(a_request(kind="enter"), community=community)
    assert (made.state, made.stage, made.version, made.is_settled) == (State.PENDING, 2, 4, True)
    made = decide(a_request(kind="enter", stage=2), community=community)
    assert (made.state, made.stage, made.version) == (State.APPROVED, 2, 4)


@pytest.mark.parametrize("state", [state for state in State if state not in (State.REFUSED,)])
@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.CLOSE])
def test_only_what_was_refused_can_be_retried_or_closed(state: State, verdict: Verdict) -> None:
    with pytest.raises(Refusal):
        decide(a_request(state=state, decided=domain.DecidedBy("SECURITY_OFFICIAL", NOON)), verdict)


def test_a_retry_approves_in_the_next_round_and_a_close_is_final() -> None:
    refused = a_request(state=State.REFUSED)
    help_desk = an_approver(a_queue(HELP_DESK, may_approve=False))
    retried, closed = decide(refused, Verdict.RETRY, by=help_desk), decide(refused, Verdict.CLOSE, by=help_desk)
    assert (retried.state, retried.round, retried.version) == (State.APPROVED, 2, 4)
    assert (closed.state, closed.round, closed.version) == (State.CLOSED, 1, 4)


@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.DENY])
def test_what_was_refused_is_neither_approved_nor_denied_again(verdict: Verdict) -> None:
    with pytest.raises(Refusal, match="field_invalid"):
        decide(a_request(state=State.REFUSED), verdict)


# --- What follows from the community --------------------------------------------------------------


def test_an_approval_attests_that_the_approver_knows_the_person() -> None:
    assert domain.STATEMENT == "I know this person and that this role is needed."


@pytest.mark.parametrize("reason", domain.DENIAL_REASONS)
def test_the_applicant_sees_every_reason_but_a_suspicion(reason: str) -> None:
    assert domain.shown_reason(reason) == ("not_confirmed" if reason == "suspected_fraud" else reason)


def test_a_join_goes_to_the_administrators_then_to_both_officials_at_once_then_to_the_help_desk() -> None:
    request = a_request(kind="join_group")
    kind = COMMUNITY.kind("join_group")
    assert kind is not None
    (first,) = domain.queues_of_stage(COMMUNITY, kind, request)
    assert (first.role, first.place_id, first.may_approve) == ("USER_GROUP_ADMINISTRATOR", request.place_id, True)
    steps = [domain.queues_of_step(COMMUNITY, kind.stage(1), replace(request, steps_added=added)) for added in range(3)]
    assert [[queue.role for queue in step] for step in steps] == [
        ["SECURITY_OFFICIAL", "BACKUP_SECURITY_OFFICIAL"],
        ["HELP_DESK"],
        [],
    ]
    assert [queue.place_id for queue in steps[0]] == [request.scope_id] * 2
    assert (steps[1][0].place_id, steps[1][0].may_approve) == (COMMUNITY.place_id, False)


def test_what_cannot_be_granted_goes_to_the_role_that_an_operator_can_staff() -> None:
    for community, role in ((COMMUNITY, "HELP_DESK"), (a_community(), "WARDEN")):
        queue = domain.help_desk_queue(community)
        assert (queue.role, queue.place_id, queue.may_approve) == (role, community.place_id, False)


def test_a_stage_expires_thirty_days_after_the_last_escalation_that_there_can_be() -> None:
    kind, alone = COMMUNITY.kind("join_group"), COMMUNITY.kind("register_organization")
    assert kind is not None
    assert alone is not None
    ends = [domain.stage_expires_at(kind.stage(1), added, NOON) - NOON for added in range(3)]
    assert ends == [timedelta(days=14 + 14 + 30), timedelta(days=14 + 30), timedelta(days=30)]
    assert domain.stage_expires_at(alone.stage(1), 0, NOON) == NOON + timedelta(days=44)


def test_each_further_queue_is_due_two_weeks_after_the_one_before() -> None:
    kind = COMMUNITY.kind("join_group")
    assert kind is not None
    due = [domain.escalation_due(kind.stage(1), added, NOON) for added in range(3)]
    assert due == [NOON + timedelta(days=14), NOON + timedelta(days=14), None]


def test_documents_are_missing_until_each_was_received() -> None:
    assert domain.documents_missing(["a", "b"], set()) == ["a", "b"]
    assert domain.documents_missing(["a", "b"], {"b", "c"}) == ["a"]
    assert domain.documents_missing(["a", "b"], {"a", "b"}) == []


def test_five_states_are_final() -> None:
    final = {state.value for state in State if state.is_final}
    assert final == {"granted", "denied", "expired", "withdrawn", "closed"}
