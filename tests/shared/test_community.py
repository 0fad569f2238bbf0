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
    Places,
    Resting,
    Surroundings,
    faults,
    queue_of,
    role_conflict,
    unmet_precondition,
)
from shared.ids import PlaceId, ScopeId, application_place, new_id

FOLDER = Path(shared.__path__[0]) / "communities"
FILE = FOLDER / "provider-supplier.toml"
SHIPPED = Community.model_validate(tomllib.loads(FILE.read_text()))
HERE, ELSEWHERE = ScopeId(new_id()), ScopeId(new_id())
GROUP, OTHER_GROUP = PlaceId(new_id()), PlaceId(new_id())
APPLICATION = application_place("provider-supplier", "CLAIM_STATUS")

SO, BSO, UGA, EU = "SECURITY_OFFICIAL", "BACKUP_SECURITY_OFFICIAL", "USER_GROUP_ADMINISTRATOR", "END_USER"


def kind(code: str) -> Kind:
    found = SHIPPED.kind(code)
    assert found is not None
    return found


# --- The shipped file -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["provider-supplier", "fi-carrier-mac"])
def test_a_shipped_community_has_no_faults_and_is_called_as_its_file(name: str) -> None:
    shipped = Community.model_validate(tomllib.loads((FOLDER / f"{name}.toml").read_text()))

    assert faults(shipped) == []
    assert shipped.id == name


def test_the_contractors_have_a_hierarchy_of_their_own() -> None:
    theirs = Community.model_validate(tomllib.loads((FOLDER / "fi-carrier-mac.toml").read_text()))

    assert (theirs.open, theirs.invitation_needed) == (False, True)
    shared_with_providers = {role.code for role in theirs.roles} & {role.code for role in SHIPPED.roles}
    assert shared_with_providers == set()
    join = theirs.kind("join_department")
    assert join is not None
    assert [[decider.role for decider in stage.deciders] for stage in join.stages] == [
        ["CONTRACT_OFFICER"],
        ["DEPARTMENT_LEAD"],
    ]


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

    assert queue_of(SHIPPED, decider, Places(HERE, "group", GROUP)).place_id == place


def test_an_application_is_decided_where_the_role_is_held_that_it_rests_on() -> None:
    places = Places(HERE, "application", APPLICATION, Resting(EU, "group", GROUP))
    access = kind("access_application")
    first, second = access.stages_on(EU)

    assert [queue_of(SHIPPED, decider, places).place_id for decider in first.deciders] == [GROUP]
    assert [queue_of(SHIPPED, decider, places).place_id for decider in second.deciders] == [HERE, HERE]
    (owner,) = access.stage(1, "INDIVIDUAL_PRACTITIONER").deciders
    assert queue_of(SHIPPED, owner, places).place_id == APPLICATION
    assert access.stages_on("HELP_DESK") == ()


@pytest.mark.parametrize(
    ("role", "removers"),
    [
        (SO, ["HELP_DESK"]),
        (BSO, [SO]),
        (UGA, [SO, BSO]),
        (EU, [UGA, SO, BSO]),
        ("INDIVIDUAL_PRACTITIONER", ["HELP_DESK"]),
        ("AUDITOR", []),
    ],
)
def test_a_role_is_taken_by_those_who_may_approve_that_it_is_given(role: str, removers: list[str]) -> None:
    assert [decider.role for decider in SHIPPED.removers_of(role)] == removers


# --- Preconditions ----------------------------------------------------------------------------


def working_in(scope: ScopeId, *, is_surrogate: bool = False) -> Surroundings:
    """An active organization, and an applicant who administers a group in this one."""
    held = Holding(UGA, GROUP, scope, is_surrogate)
    return Surroundings("active", scope_id=HERE, holdings=(held,))


def resting_on(role: str | None, **changed: Any) -> Surroundings:
    """An active organization, and an applicant who holds this role there and asks for an application."""
    whole: dict[str, Any] = {"organization_status": "active", "resting_role": role, "application": "CLAIM_STATUS"}
    return Surroundings(**(whole | changed))


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
        ("create_surrogate_group", Surroundings("active"), None),
        ("create_surrogate_group", Surroundings("active", scope_kind="practitioner"), "surrogate_for_practitioner"),
        ("create_surrogate_group", Surroundings(None), "organization_not_listed"),
        ("create_surrogate_group", working_in(HERE), "not_an_outsider"),
        ("create_surrogate_group", working_in(HERE, is_surrogate=True), None),
        ("create_surrogate_group", working_in(ELSEWHERE), None),
        ("create_provider_group", Surroundings("active", scope_kind="practitioner"), "organization_not_listed"),
        ("register_practitioner", Surroundings(), None),
        ("access_application", resting_on(UGA), None),
        ("access_application", resting_on("INDIVIDUAL_PRACTITIONER", scope_kind="practitioner"), None),
        ("access_application", resting_on(None), "role_not_held"),
        ("access_application", resting_on(SO), "role_not_held"),
        ("access_application", resting_on(UGA, application="NO_SUCH"), "application_not_open"),
        ("access_application", resting_on(UGA, has_entitlement=True), "already_held"),
        (
            "access_application",
            resting_on("INDIVIDUAL_PRACTITIONER", application="PS_AND_R"),
            "application_not_open",
        ),
        ("access_application", resting_on(UGA, organization_status="suspended"), "organization_not_listed"),
    ],
)
def test_the_first_precondition_that_does_not_hold_is_the_answer(
    code: str, around: Surroundings, answer: str | None
) -> None:
    assert unmet_precondition(SHIPPED, kind(code), around) == answer


@pytest.mark.parametrize(
    ("status", "answer"), [("active", None), ("suspended", None), ("closed", "organization_not_listed")]
)
def test_what_was_filed_goes_on_while_the_organization_is_suspended(status: str, answer: str | None) -> None:
    assert unmet_precondition(SHIPPED, kind("join_group"), Surroundings(status, "active"), is_filed=True) == answer


def test_an_application_that_is_not_open_is_opened_to_nobody() -> None:
    closed = [application.model_copy(update={"open": False}) for application in SHIPPED.applications]
    without = SHIPPED.model_copy(update={"applications": tuple(closed)})

    assert unmet_precondition(without, kind("access_application"), resting_on(UGA)) == "application_not_open"


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
        ([Holding(EU, GROUP, HERE)], EU, GROUP, "already_held"),
        ([Holding("HELP_DESK", ELSEWHERE, ELSEWHERE)], SO, HERE, "separation_of_duty"),
        ([Holding("HELP_DESK", ELSEWHERE, ELSEWHERE)], EU, GROUP, None),
        ([Holding(SO, HERE, HERE)], "HELP_DESK", ELSEWHERE, "separation_of_duty"),
        ([Holding("AUDITOR", ELSEWHERE, ELSEWHERE)], UGA, GROUP, "separation_of_duty"),
        ([Holding(SO, HERE, HERE)], SO, HERE, "already_held"),
        ([Holding(UGA, GROUP, HERE)], UGA, OTHER_GROUP, None),
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
            {
                "code": "DESK",
                "name": "Desk",
                "place": "community",
                "appointed_by_operator": True,
                "powers": ["help_desk"],
            },
            {"code": "HEAD", "name": "Head", "place": "organization"},
            {"code": "LEAD", "name": "Lead", "place": "group"},
        ],
        "kinds": [
            a_kind(code="found", effect="activate_organization", role="HEAD"),
            a_kind(code="gather", effect="create_group", role="LEAD", group_kind="provider", fields=["group_name"]),
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
        "fields": ["legal_business_name", "tin", "street", "city", "state", "zip_code", "phone"],
        "stages": [DESK_DECIDES],
        **changed,
    }


def an_application() -> dict[str, Any]:
    return {"code": "GATE", "name": "Gate", "roles": ["HEAD"]}


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
        (
            with_kind(role="LEAD"),
            ["kinds: found: creates a place of the kind organization, but its role is held in a group"],
        ),
        (
            with_kind(effect="create_group"),
            ["kinds: found: creates a place of the kind group, but its role is held in a organization"],
        ),
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
            ["kinds: found: stage 2: LEAD is held in a group, but the request is about none"],
        ),
        (with_kind(stages=[HEAD_DECIDES]), ["kinds: found: stage 1: ends with no queue that an operator can staff"]),
        (with_kind(stages=[HEAD_DECIDES]), ["roles: HEAD can be reached by nobody"]),
        (a_file(kinds=[a_kind()]), ["roles: LEAD can be reached by nobody"]),
        (
            with_kind(stages=[{"deciders": [{"role": "DESK", "held_in": "community", "may_approve": False}]}]),
            ["roles: HEAD can be reached by nobody"],
        ),
        (with_kind(needs_holder_of="HEAD"), ["roles: HEAD can be reached by nobody"]),
        (with_kind(fields=["street"]), ["kinds: found: must ask for the field legal_business_name"]),
        (with_kind(fields=["tin?"]), ["kinds: found: must ask for the field tin"]),
        (with_kind(stages=[]), ["kinds: found: has either stages, or a path"]),
        (
            with_kind(paths=[{"rests_on": "GHOST", "stages": [DESK_DECIDES]}]),
            ["kinds: found: rests on the unknown role"],
        ),
        (with_kind(paths=[{"rests_on": "HEAD", "stages": [DESK_DECIDES]}]), ["kinds: found: has either stages, or"]),
        (with_kind(effect="grant_entitlement"), ["kinds: found: gives an entitlement, so it gives no role"]),
        (
            with_kind(effect="grant_entitlement", role=None),
            ["kinds: found: gives an entitlement, which rests on a role"],
        ),
        (a_file(applications=[an_application(), an_application()]), ["applications: GATE is declared twice"]),
        (a_file(applications=[an_application()]), ["applications: GATE is open to HEAD, on which no path"]),
        (a_file(calendar={"time_zone": "Mars/Olympus"}), ["calendar: Mars/Olympus is no time zone"]),
        (
            a_file(roles=[{**role, "powers": []} for role in a_file()["roles"]]),
            ["roles: exactly one role, held in the community, has the power help_desk"],
        ),
        (
            a_file(roles=[*a_file()["roles"], {"code": "CLERK", "name": "C", "place": "group", "powers": ["audit"]}]),
            ["roles: CLERK has powers, so an operator appoints it"],
        ),
        (
            a_file(
                roles=[
                    *a_file()["roles"],
                    {"code": "CLERK", "name": "C", "place": "organization", "appointed_by_operator": True},
                ]
            ),
            ["roles: CLERK is held in a organization, where no operator appoints"],
        ),
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
