"""Invented histories: whatever people do, in whatever order it is heard, what must be so is so.

`HISTORIES=500 make test` invents as many, other ones each time; without it they are few and always the same.
"""

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import uvloop
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.approval.domain import State, Verdict
from shared.contracts import registration
from shared.ids import AssignmentId, PersonId, PlaceId, ScopeId, application_place, new_id
from shared.testing.databases import Databases
from tests.histories import promises
from tests.histories.beginning import begin, what_is_created
from tests.histories.world import COMMUNITIES, SERVICES, World

FEW = 12
STEPS = 25
PICK = st.integers(0, 29)
"""Which of several: counted around, so that there is always one."""
TIMES = {
    "half a minute": timedelta(seconds=30),
    "a quarter of an hour": timedelta(minutes=15),
    "a day": timedelta(days=1),
    "a week": timedelta(days=7),
    "a fortnight": timedelta(days=15),
    "a month": timedelta(days=31),
}


class Histories(RuleBasedStateMachine):
    """One history, in a world of its own."""

    databases: Databases
    maintenance: Any
    origin: World
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.world: World = self.loop.run_until_complete(self.origin.again(self.databases, self.maintenance))
        self.ended: dict[Any, Any] = {}
        self.requests: list[Any] = []
        """What approval knows of, as it was after the last step, in the order in which it was filed."""
        self.filed_before = len(self.world.model.filed)
        self.has_failed = False

    def run(self, act: Any) -> Any:
        """Run what is asynchronous to its end."""
        try:
            return self.loop.run_until_complete(act)
        except BaseException:
            self.has_failed = True
            raise

    def some(self, pick: int, of: Any) -> Any:
        """Return one of several."""
        found = list(of)
        return found[pick % len(found)]

    def those_that_are(self, *states: State) -> list[Any]:
        """Return the requests in one of these states."""
        return [row for row in self.requests if row.state in states]

    def let_be_heard(self, is_heard: bool) -> None:
        """Let everything arrive, or not yet."""
        if is_heard:
            self.run(self.world.deliver_all())

    # --- Registration

    @initialize(wishes=st.lists(st.tuples(PICK, PICK, PICK, st.booleans(), PICK), min_size=2, max_size=6))
    def file_some(self, wishes: list[tuple[int, int, int, bool, int]]) -> None:
        """Some requests are there from the beginning, so that no history is about nothing."""
        for wish in wishes:
            self._file(*wish)
        self.let_be_heard(is_heard=True)

    @rule(kind=PICK, who=PICK, where=PICK, is_known=st.booleans(), doubt=PICK, is_heard=st.booleans())
    def file(self, kind: int, who: int, where: int, is_known: bool, doubt: int, is_heard: bool) -> None:
        """Somebody files a request."""
        self._file(kind, who, where, is_known, doubt)
        self.let_be_heard(is_heard)

    def _file(self, kind: int, who: int, where: int, is_known: bool, doubt: int) -> None:
        """File a request of any kind, by somebody known or new, about what there is or will be."""
        model = self.world.model
        community, wished = self.some(kind, [(c, k) for c in COMMUNITIES.values() for k in c.kinds])
        person_id = self.some(who, self.world.people) if is_known else self._somebody_new()
        more: dict[str, Any] = what_is_created(wished.effect, where % 2)
        if doubt % 10 == 9:
            more["concern"] = "identity_mismatch"
        creates = {"activate_organization": "organization", "create_practitioner": "practitioner"}
        organizations = [
            it
            for it in model.filed.values()
            if it.community_id == community.id and it.place_kind == "organization" and it.organization
        ]
        groups = [it for it in model.filed.values() if it.community_id == community.id and it.group]
        if wished.effect == "grant_entitlement":
            paths = {path.rests_on for path in wished.paths}
            resting_id, role = self.some(where, [(n, r) for n, r in model.roles.items() if r.role in paths])
            application = self.some(who, community.applications).code
            person_id, scope_id = PersonId(role.person_id), ScopeId(role.scope_id)
            place_id = application_place(community.id, application)
            declared = community.role(role.role)
            assert declared is not None
            more |= {
                "application": application,
                "rests_on": registration.RestsOn(
                    assignment_id=resting_id, role=role.role, place_kind=declared.place, place_id=role.place_id
                ),
            }
        elif wished.effect in creates:
            scope_id = ScopeId(new_id())
            place_id = PlaceId(scope_id)
        elif wished.effect == "create_group":
            scope_id, place_id = self.some(where, organizations).scope_id, PlaceId(new_id())
        elif community.place_kind(wished) == "group":
            group = self.some(where, groups)
            scope_id, place_id = group.scope_id, group.place_id
        else:
            scope_id = self.some(where, organizations).scope_id
            place_id = PlaceId(scope_id)
        it = self.world.file(community.id, wished.code, person_id, scope_id, place_id, **more)
        note(f"{it.kind} {it.request_id} by {person_id} in {scope_id}")
        if where % 2:
            self.world.supply(it)

    def _somebody_new(self) -> PersonId:
        person_id = PersonId(new_id())
        self.world.people.append(person_id)
        return person_id

    @precondition(lambda self: self.those_that_are(State.AWAITING_DOCUMENTS))
    @rule(pick=PICK)
    def supply_documents(self, pick: int) -> None:
        """An applicant supplies the documents that are needed."""
        self.world.supply(self.world.model.filed[self.some(pick, self.those_that_are(State.AWAITING_DOCUMENTS)).id])

    @precondition(lambda self: self.those_that_are(State.RETURNED))
    @rule(pick=PICK, is_heard=st.booleans())
    def correct(self, pick: int, is_heard: bool) -> None:
        """An applicant corrects what was returned."""
        row = self.some(pick, self.those_that_are(State.RETURNED))
        it = self.world.model.filed[row.id]
        correction = registration.RequestResubmitted(
            request_id=row.id,
            scope_id=row.scope_id,
            round=row.round,
            revision=row.revision + 1,
            organization=it.organization,
            group=it.group,
            practitioner=it.practitioner,
            resubmitted_at=self.world.now,
        )
        self.world.register(correction, row.id, row.scope_id)
        self.let_be_heard(is_heard)

    @precondition(lambda self: len(self.world.model.filed) > self.filed_before)
    @rule(pick=PICK, is_heard=st.booleans())
    def withdraw(self, pick: int, is_heard: bool) -> None:
        """An applicant wishes to withdraw, whatever has become of the request."""
        it = self.some(pick, list(self.world.model.filed.values())[self.filed_before :])
        wish = registration.WithdrawalAsked(request_id=it.request_id, scope_id=it.scope_id, asked_at=self.world.now)
        self.world.register(wish, it.request_id, it.scope_id)
        self.let_be_heard(is_heard)

    # --- Approvers

    @precondition(lambda self: self.those_that_are(State.PENDING, State.REFUSED))
    @rule(
        picks=st.lists(st.tuples(PICK, PICK, st.integers(0, 4)), min_size=1, max_size=5),
        is_heard=st.booleans(),
        is_repeated=st.booleans(),
    )
    def approve(self, picks: list[tuple[int, int, int]], is_heard: bool, is_repeated: bool) -> None:
        """Some approve who may, or have what could not be granted announced again.

        One in five has left just now, of which approval has not heard.
        """
        for pick, who, left in picks:
            self.what_must_be_so_is_so()
            if here := self.those_that_are(State.PENDING, State.REFUSED):
                row = self.some(pick, here)
                verdict = Verdict.APPROVE if row.state == State.PENDING.value else Verdict.RETRY
                self._decide(row, who, verdict, is_repeated=is_repeated, has_left=left == 4)
                self.let_be_heard(is_heard)

    # Drawn twice as often as what else may happen: only by approvals does a history come far.
    approve_as_well = approve

    @precondition(lambda self: self.those_that_are(State.PENDING, State.REFUSED))
    @rule(pick=PICK, who=PICK, is_able=st.booleans(), verdict=st.sampled_from(list(Verdict)))
    def decide(self, pick: int, who: int, is_able: bool, verdict: Verdict) -> None:
        """Somebody says anything at all, who may or may not."""
        row = self.some(pick, self.those_that_are(State.PENDING, State.REFUSED))
        self._decide(row, who, verdict, is_able=is_able)

    @precondition(lambda self: len(self.requests) > self.filed_before)
    @rule(pick=PICK, who=PICK, verdict=st.sampled_from(list(Verdict)))
    def decide_late(self, pick: int, who: int, verdict: Verdict) -> None:
        """Somebody decides what is decided, perhaps, or has ended."""
        self._decide(self.some(pick, self.requests[self.filed_before :]), who, verdict)

    def _decide(
        self,
        row: Any,
        who: int,
        verdict: Verdict,
        *,
        is_repeated: bool = False,
        is_able: bool = True,
        has_left: bool = False,
    ) -> None:
        it, model = self.world.model.filed[row.id], self.world.model
        heard = [state for _, state in self.world.heard.values() if state.status == "active"]
        able = {
            to_approve: [
                state.person_id
                for state in heard
                if (state.role, state.place_id) in model.capacities(it, row.stage, to_approve=to_approve)
                and state.person_id != it.applicant.person_id
            ]
            for to_approve in (True, False)
        }
        those = able[verdict is Verdict.APPROVE]
        by = self.some(who, those) if those and is_able else self.some(who, self.world.people)
        if has_left:
            for role_id, role in list(model.roles.items()):
                if role.person_id == by and role.until is None:
                    self.run(self.world.end_role(AssignmentId(role_id), by))
        key = str(new_id())
        answer = self.run(self.world.decide(row.id, by, verdict, row.version, key=key))
        note(f"{by} decides {row.id} ({it.kind}, {row.state}, stage {row.stage}): {verdict.value} -> {answer}")
        if not isinstance(answer, str):
            assert by in able[verdict is Verdict.APPROVE], "somebody has decided who may not"
        if is_repeated and not isinstance(answer, str):
            again = self.run(self.world.decide(row.id, by, verdict, row.version, key=key))
            assert again == answer, "the same order is answered otherwise"

    # --- Whoever holds access, or takes it

    @rule(pick=PICK, who=PICK, is_own=st.booleans(), is_heard=st.booleans())
    def end_role(self, pick: int, who: int, is_own: bool, is_heard: bool) -> None:
        """Somebody leaves a role, or takes it from its holder; seldom an organization is closed as well."""
        if pick % 10 == 9:
            self._close_organization(who, is_own)
        role_id, role = self.some(pick, reversed(self.world.model.roles.items()))
        by = role.person_id if is_own else self.some(who, self.world.people)
        answer = self.run(self.world.end_role(role_id, by))
        note(f"{by} ends {role.role} of {role.person_id}: {answer}")
        self.let_be_heard(is_heard)

    def _close_organization(self, who: int, is_help_desk: bool) -> None:
        organizations = [it for it in self.world.model.filed.values() if it.organization]
        it = self.some(who, organizations)
        held = [role for role in self.world.model.roles.values() if role.until is None]
        able = [
            role.person_id
            for role in held
            if (role.role == "HELP_DESK" if is_help_desk else role.place_id == it.scope_id)
        ]
        by = self.some(who, able or self.world.people)
        note(f"{by} closes {it.scope_id}: {self.run(self.world.close_organization(it.scope_id, by))}")

    @precondition(lambda self: self.world.model.entitlements)
    @rule(pick=PICK, who=PICK)
    def end_entitlement(self, pick: int, who: int) -> None:
        """Somebody gives an entitlement up, or takes it."""
        entitlement_id = self.some(pick, self.world.model.entitlements)
        self.run(self.world.end_entitlement(entitlement_id, self.some(who, self.world.people)))

    # --- Operators

    @rule(pick=PICK, act=st.sampled_from(["appoint", "dismiss", "publish"]))
    def operate(self, pick: int, act: str) -> None:
        """An operator appoints somebody of a help desk, dismisses one, or publishes a community's next version."""
        community = self.some(pick, COMMUNITIES.values())
        role = community.help_desk_role.code
        held = [it for it in self.world.model.roles.values() if it.until is None and it.role == role]
        if act == "publish":
            self.run(self.world.publish(community.id))
        elif act == "dismiss" and held:
            self.run(self.world.dismiss(community.id, role, PersonId(self.some(pick, held).person_id)))
        else:
            self.run(self.world.appoint(community.id, role))

    # --- The world

    @rule(how_long=st.sampled_from(list(TIMES)))
    def pass_time(self, how_long: str) -> None:
        """Time passes."""
        self.run(self.world.pass_time(TIMES[how_long]))

    @precondition(lambda self: self.world.busy_lanes)
    @rule(
        first=PICK, lane_count=st.integers(1, 8), at_most=st.sampled_from([1, 2, 100]), again=st.lists(PICK, max_size=2)
    )
    def deliver(self, first: int, lane_count: int, at_most: int, again: list[int]) -> None:
        """Some of what is on its way arrives, and some of what has arrived arrives again."""
        lanes = self.world.busy_lanes
        here = first % len(lanes)
        repeated = [n % len(self.world.delivered) for n in again] if self.world.delivered else []
        self.run(self.world.deliver((lanes[here:] + lanes[:here])[:lane_count], at_most, again=repeated))

    @rule()
    def deliver_all(self) -> None:
        """Everything arrives."""
        self.run(self.world.deliver_all())
        self.run(promises.check_agreement(self.world))

    @invariant()
    def what_must_be_so_is_so(self) -> None:
        """After every step."""
        if self.world.is_touched:
            self.requests = self.run(promises.check_now(self.world, self.ended))
            self.world.is_touched = False

    def teardown(self) -> None:
        """At the end everything arrives, and what is left open comes to an end by time alone."""
        try:
            if not self.has_failed:
                self.run(self._end())
        finally:
            self.loop.run_until_complete(self.world.drop(self.maintenance))

    async def _end(self) -> None:
        await self.world.deliver_all()
        await promises.check_agreement(self.world)
        for _ in range(8):
            left = {row.state for row in await self.world.requests()}
            if all(State(state).is_final for state in left):
                return
            await self.world.pass_time(timedelta(days=40))
            await self.world.deliver_all()
            await promises.check_now(self.world, self.ended)
            await promises.check_agreement(self.world)
        raise AssertionError(f"what is {left} never comes to an end")


@pytest.fixture(scope="module")
def machine(databases: Databases) -> Iterator[type[Histories]]:
    """The machine, on an event loop and with a beginning that all histories share."""
    Histories.databases, Histories.loop = databases, uvloop.new_event_loop()
    run = Histories.loop.run_until_complete
    Histories.maintenance = run(asyncpg.connect(databases.postgres.dsn("postgres")))
    Histories.origin = World({service: databases.open(service) for service in SERVICES})
    run(begin(Histories.origin))
    run(Histories.origin.let_go())
    yield Histories
    run(Histories.origin.drop(Histories.maintenance))
    run(Histories.maintenance.close())
    Histories.loop.close()


@pytest.mark.timeout(0)  # Many histories take their time, and a long one that fails is made short first.
def test_whatever_happens_in_whatever_order_what_must_be_so_is_so(machine: type[Histories]) -> None:
    many = os.environ.get("HISTORIES")
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(many or FEW),
            stateful_step_count=STEPS,
            derandomize=many is None,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
