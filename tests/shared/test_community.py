"""What a community's file means: who decides, what must hold before, what excludes what, what is wrong with it."""

import tomllib
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import shared
from shared.contracts.community import (
    Community,
    Holding,
    Kind,
    Surroundings,
    faults,
    queue_of,
    role_conflict,
    unmet_precondition,
)
from shared.ids import PlaceId, ScopeId, new_id

FILE = Path(shared.__path__[0]) / "communities" / "provider-supplier.toml"
SHIPPED = Community.model_validate(tomllib.loads(FILE.read_text()))
HERE, ELSEWHERE = ScopeId(new_id()), ScopeId(new_id())
GROUP, OTHER_GROUP = PlaceId(new_id()), PlaceId(new_id())

SO, BSO, UGA, EU = "SECURITY_OFFICIAL", "BACKUP_SECURITY_OFFICIAL", "USER_GROUP_ADMINISTRATOR", "END_USER"


def kind(code: str) -> Kind:
    found = SHIPPED.kind(code)
    assert found is not None
    return found


# --- The shipped file -------------------------------------------------------------------------


def test_the_shipped_community_has_no_faults() -> None:
    assert faults(SHIPPED) == []


def test_a_word_that_a_file_should_not_know_is_a_fault() -> None:
    with pytest.raises(ValidationError, match="expire_after_months"):
        Community.model_validate({**tomllib.loads(FILE.read_text()), "expire_after_months": 1})


@pytest.mark.parametrize(
    ("code", "deciders", "fallbacks"),
    [
        ("register_organization", ["HELP_DESK"], []),
        ("become_backup_security_official", [SO], [["HELP_DESK"]]),
        ("create_provider_group", [SO, BSO], [["HELP_DESK"]]),
        ("administer_group", [SO, BSO], [["HELP_DESK"]]),
        ("join_group", [UGA], [[SO, BSO], ["HELP_DESK"]]),
    ],
)
def test_who_decides_and_who_comes_next_when_nobody_does(
    code: str, deciders: list[str], fallbacks: list[list[str]]
) -> None:
    stage = kind(code).stage(1)

    assert [decider.role for decider in stage.deciders] == deciders
    steps = [[decider.role for decider in stage.fallback(n)] for n in range(len(fallbacks) + 2)]
    assert steps == [*fallbacks, [], []]
    assert [decider.role for decider in stage.chain] == deciders + [role for step in fallbacks for role in step]


def test_the_help_desk_as_the_last_resort_may_deny_and_not_approve() -> None:
    fallback = kind("join_group").stage(1).fallback(1)

    assert [(decider.role, decider.may_approve) for decider in fallback] == [("HELP_DESK", False)]


def test_the_last_stage_has_none_after_it() -> None:
    two = Community.model_validate(
        with_kind(stages=[{"deciders": [{"role": "DESK", "held_in": "community"}]}] * 2)
    ).kinds[0]

    assert [two.next_stage(1), two.next_stage(2)] == [2, None]


@pytest.mark.parametrize(
    ("role", "place"), [("HELP_DESK", SHIPPED.place_id), (SO, HERE), (UGA, GROUP)], ids=["community", "scope", "place"]
)
def test_a_queue_is_a_role_in_one_place(role: str, place: UUID) -> None:
    decider = next(d for k in SHIPPED.kinds for s in k.stages for d in s.chain if d.role == role)

    assert queue_of(SHIPPED, decider, HERE, GROUP).place_id == place


# --- Preconditions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "around", "answer"),
    [
        ("register_organization", Surroundings(), None),
        ("create_provider_group", Surroundings(), "organization_not_listed"),
        ("create_provider_group", Surroundings("suspended"), "organization_not_listed"),
        ("create_provider_group", Surroundings("active"), None),
        ("join_group", Surroundings(None, "active"), "organization_not_listed"),
        ("join_group", Surroundings("active", "active"), None),
        ("join_group", Surroundings("active", "active", group_in_scope=False), "group_not_active"),
        ("join_group", Surroundings("active", "without_administrator"), "group_not_active"),
        ("join_group", Surroundings("active", None), "group_not_active"),
        ("administer_group", Surroundings("active", "without_administrator"), None),
        ("administer_group", Surroundings("active", "active"), None),
        ("administer_group", Surroundings("active", "closed"), "group_not_active"),
        ("administer_group", Surroundings("active", "active", group_in_scope=False), "group_not_active"),
        ("become_backup_security_official", Surroundings("active"), "security_official_vacant"),
        ("become_backup_security_official", Surroundings("active", seats_taken={SO: 0}), "security_official_vacant"),
        ("become_backup_security_official", Surroundings("active", seats_taken={BSO: 1}), "security_official_vacant"),
        ("become_backup_security_official", Surroundings("active", seats_taken={SO: 1}), None),
        ("become_backup_security_official", Surroundings(None, seats_taken={SO: 1}), "organization_not_listed"),
    ],
)
def test_the_first_precondition_that_does_not_hold_is_the_answer(
    code: str, around: Surroundings, answer: str | None
) -> None:
    assert unmet_precondition(kind(code), around) == answer


# --- Separation of duty, and seats -------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "role", "place", "answer"),
    [
        ([], SO, HERE, None),
        ([Holding(UGA, GROUP, HERE)], SO, HERE, "separation_of_duty"),
        ([Holding(EU, GROUP, HERE)], BSO, HERE, "separation_of_duty"),
        ([Holding(SO, HERE, HERE)], BSO, HERE, "separation_of_duty"),
        ([Holding(SO, HERE, HERE)], EU, GROUP, "separation_of_duty"),
        ([Holding(SO, ELSEWHERE, ELSEWHERE)], EU, GROUP, None),
        ([Holding(UGA, GROUP, HERE)], EU, GROUP, "separation_of_duty"),
        ([Holding(UGA, GROUP, HERE)], EU, OTHER_GROUP, None),
        ([Holding(EU, GROUP, HERE)], UGA, OTHER_GROUP, None),
        ([Holding(EU, GROUP, HERE)], EU, OTHER_GROUP, None),
        ([Holding("HELP_DESK", GROUP, HERE)], SO, HERE, None),
        ([Holding(EU, OTHER_GROUP, HERE), Holding(UGA, GROUP, HERE)], EU, GROUP, "separation_of_duty"),
    ],
)
def test_nobody_holds_both_sides_of_a_decision(held: list[Holding], role: str, place: UUID, answer: str | None) -> None:
    assert role_conflict(SHIPPED, role, place, HERE, held, seats_taken=0) == answer


@pytest.mark.parametrize(("role", "seats"), [(SO, 1), (BSO, 5), (UGA, 5)])
def test_a_role_has_only_its_seats(role: str, seats: int) -> None:
    assert role_conflict(SHIPPED, role, HERE, HERE, [], seats_taken=seats - 1) is None
    assert role_conflict(SHIPPED, role, HERE, HERE, [], seats_taken=seats) == "cardinality_reached"


def test_a_role_without_seats_is_never_full() -> None:
    assert role_conflict(SHIPPED, EU, GROUP, HERE, [], seats_taken=100_000) is None


def test_separation_is_answered_before_seats() -> None:
    held = [Holding(UGA, GROUP, HERE)]

    assert role_conflict(SHIPPED, SO, HERE, HERE, held, seats_taken=1) == "separation_of_duty"


@given(st.data())
def test_separation_of_duty_knows_no_order(data: st.DataObject) -> None:
    roles = st.sampled_from([SO, BSO, UGA, EU, "HELP_DESK"])
    places = st.sampled_from([HERE, GROUP, OTHER_GROUP])
    one = Holding(data.draw(roles), data.draw(places), HERE)
    other = Holding(data.draw(roles), data.draw(places), HERE)

    forward = role_conflict(SHIPPED, other.role, other.place_id, HERE, [one], seats_taken=0)
    backward = role_conflict(SHIPPED, one.role, one.place_id, HERE, [other], seats_taken=0)

    assert forward == backward


# --- What is wrong with a file ------------------------------------------------------------------

DESK_DECIDES = {"deciders": [{"role": "DESK", "held_in": "community"}]}


def a_file(**changed: object) -> dict[str, Any]:
    """A small community without faults, and what is changed in it."""
    return {
        "id": "toy",
        "version": 1,
        "name": "Toy",
        "open": True,
        "help_desk": {"email": "desk@toy.example", "phone": "1", "tty": "2", "hours": "always"},
        "roles": [
            {"code": "DESK", "name": "Desk", "place": "community", "appointed_by_operator": True},
            {"code": "HEAD", "name": "Head", "place": "organization"},
            {"code": "LEAD", "name": "Lead", "place": "group"},
        ],
        "kinds": [
            a_kind(code="found", effect="activate_organization", role="HEAD"),
            a_kind(code="gather", effect="create_group", role="LEAD", group_kind="provider"),
        ],
        **changed,
    }


def a_kind(**changed: object) -> dict[str, Any]:
    return {
        "code": "found",
        "name": "Found",
        "effect": "activate_organization",
        "role": "HEAD",
        "applicant_fields": ["email"],
        "stages": [DESK_DECIDES],
        **changed,
    }


def with_kind(**changed: object) -> dict[str, Any]:
    """The file with its first kind changed."""
    whole = a_file()
    whole["kinds"][0] |= changed
    return whole


def found_in(whole: dict[str, Any]) -> list[str]:
    return faults(Community.model_validate(whole))


def test_the_file_that_these_tests_break_has_no_faults() -> None:
    assert found_in(a_file()) == []


HEAD_DECIDES = {"deciders": [{"role": "HEAD", "held_in": "organization"}]}


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        (a_file(roles=[*a_file()["roles"], a_file()["roles"][1]]), ["roles: HEAD is declared twice"]),
        (a_file(kinds=[*a_file()["kinds"], a_kind()]), ["kinds: found is declared twice"]),
        (
            a_file(exclusions=[{"within": "scope", "between": [["HEAD"], ["GHOST"]]}]),
            ["exclusions: number 1 names the unknown role GHOST"],
        ),
        (with_kind(needs_holder_of="GHOST"), ["kinds: found: needs a holder of the unknown role GHOST"]),
        (with_kind(role="GHOST"), ["kinds: found: gives the unknown role GHOST"]),
        (with_kind(role="LEAD"), ["kinds: found: activates an organization, so its role is held in one"]),
        (with_kind(effect="create_group"), ["kinds: found: creates a group, so its role is held in one"]),
        (with_kind(effect="create_group"), ["kinds: found: creates a group, so it says which group_kind"]),
        (
            with_kind(stages=[{"deciders": [*DESK_DECIDES["deciders"], {"role": "GHOST", "held_in": "community"}]}]),
            ["kinds: found: stage 1: names the unknown role GHOST"],
        ),
        (
            with_kind(stages=[{**DESK_DECIDES, "fallbacks": [[{"role": "HEAD", "held_in": "community"}]]}]),
            ["kinds: found: stage 1: HEAD is held in a organization, not in a community"],
        ),
        (
            with_kind(
                stages=[DESK_DECIDES, {"deciders": [*DESK_DECIDES["deciders"], {"role": "LEAD", "held_in": "group"}]}]
            ),
            ["kinds: found: stage 2: LEAD is held in a group, but the request is about no group"],
        ),
        (with_kind(stages=[HEAD_DECIDES]), ["kinds: found: stage 1: ends with no queue that an operator can staff"]),
        (with_kind(stages=[HEAD_DECIDES]), ["roles: HEAD can be reached by nobody"]),
        (a_file(kinds=[a_kind()]), ["roles: LEAD can be reached by nobody"]),
        (
            with_kind(stages=[{"deciders": [{"role": "DESK", "held_in": "community", "may_approve": False}]}]),
            ["roles: HEAD can be reached by nobody"],
        ),
        (with_kind(needs_holder_of="HEAD"), ["roles: HEAD can be reached by nobody"]),
    ],
)
def test_a_fault_is_named_with_its_place(whole: dict[str, Any], expected: list[str]) -> None:
    found = found_in(whole)

    for start in expected:
        assert any(fault.startswith(start) for fault in found), found


def test_roles_that_need_each_other_first_can_be_reached_by_nobody() -> None:
    whole = a_file()
    whole["kinds"][0]["needs_holder_of"] = "LEAD"
    whole["kinds"][1]["needs_holder_of"] = "HEAD"

    assert [fault.split(":")[1].split()[0] for fault in found_in(whole)] == ["HEAD", "LEAD"]


def test_all_faults_of_a_file_are_named_at_once() -> None:
    whole = a_file(exclusions=[{"within": "place", "between": [["GHOST"], ["SPOOK"]]}])
    whole["kinds"][0] |= {"needs_holder_of": "GHOST", "stages": [HEAD_DECIDES]}
    whole["kinds"][1] |= {"group_kind": None}

    assert len(found_in(whole)) == 6
