"""Filing the kinds that are about groups of outsiders, practitioners, and applications."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update

from services.registration import tables
from shared.contracts import registration
from shared.ids import application_place, new_id
from tests.registration.desk import Desk, a_wish, an_applicant

NPI = "1234567893"


def a_practice(**changes: Any) -> dict[str, Any]:
    whole = {"npi": NPI, "street": "1 Main St", "city": "Baltimore", "state": "MD", "zip_code": "21244"}
    return whole | changes


def a_surrogate_group(organization_id: UUID, **changes: Any) -> dict[str, Any]:
    data = {"group_name": "ABC for XYZ", "company_name": "ABC Billing Services, LLC"}
    return a_wish("create_surrogate_group", organization_id=str(organization_id), data=data, **changes)


def code_of(answer: httpx.Response) -> str:
    return str(answer.json().get("code"))


def pointers(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in answer.json().get("errors", [])]


async def a_member(desk: Desk, role: str = "END_USER") -> tuple[UUID, UUID, UUID]:
    """Let somebody hold a role in a group; return person, assignment and organization."""
    organization_id = await desk.organization()
    group_id = await desk.group(organization_id)
    person_id = await desk.account()
    held = await desk.assignment(person_id, role, group_id, organization_id, place_kind="group")
    return person_id, held, organization_id


def an_application(assignment_id: UUID, **changes: Any) -> dict[str, Any]:
    whole = {"application": "CLAIM_STATUS", "role_assignment_id": str(assignment_id), "applicant": None}
    return a_wish("access_application", **(whole | changes))


# --- Surrogate groups -----------------------------------------------------------------------------


async def test_a_surrogate_group_is_filed_with_the_name_of_its_company(desk: Desk) -> None:
    organization_id = await desk.organization()
    filed = (await desk.file(a_surrogate_group(organization_id))).json()
    await desk.prove(filed["request_id"])
    (said,) = await desk.announced(registration.RequestSubmitted)
    assert said.group is not None
    assert (said.group.name, said.group.company_name) == ("ABC for XYZ", "ABC Billing Services, LLC")
    assert (said.scope_id, said.place_kind) == (organization_id, "group")
    assert said.place_id != organization_id


async def test_a_surrogate_group_without_a_company_is_no_surrogate_group(desk: Desk) -> None:
    wish = a_surrogate_group(await desk.organization()) | {"data": {"group_name": "ABC"}}
    assert pointers(await desk.file(wish)) == ["/data/company_name"]


async def test_nobody_attaches_a_surrogate_group_to_a_practitioner(desk: Desk) -> None:
    for status in ("active", "closed"):
        answer = await desk.file(a_surrogate_group(await desk.practitioner(status)))
        assert (answer.status_code, code_of(answer)) == (409, "surrogate_for_practitioner")
    assert code_of(await desk.file(a_surrogate_group(new_id()))) == "organization_not_listed"


async def test_a_practitioner_record_of_another_community_is_as_unknown_as_none(desk: Desk) -> None:
    practitioner_id = await desk.practitioner()
    async with desk.db.begin() as tx:
        await tx.execute(update(tables.practitioner).values(community_id="fi-carrier-mac"))
    assert code_of(await desk.file(a_surrogate_group(practitioner_id))) == "organization_not_listed"


async def test_a_practitioner_record_is_no_organization_for_a_provider_group(desk: Desk) -> None:
    wish = a_wish(
        "create_provider_group", organization_id=str(await desk.practitioner()), data={"group_name": "Billing"}
    )
    assert code_of(await desk.file(wish)) == "organization_not_listed"


async def test_who_holds_a_role_inside_is_no_outsider_and_who_works_in_another_surrogate_group_is(desk: Desk) -> None:
    organization_id = await desk.organization()
    insider, outsider = await desk.account(), await desk.account()
    inside = await desk.group(organization_id)
    outside = await desk.group(organization_id, kind="surrogate")
    await desk.assignment(insider, "END_USER", inside, organization_id, place_kind="group")
    await desk.assignment(outsider, "END_USER", outside, organization_id, place_kind="group")
    wish = a_surrogate_group(organization_id, applicant=None)
    assert code_of(await desk.file(wish, desk.token(insider))) == "not_an_outsider"
    assert (await desk.file(wish, desk.token(outsider))).status_code == 201


# --- Practitioners --------------------------------------------------------------------------------


async def test_a_practitioner_registers_with_an_npi_and_gets_a_scope_of_their_own(desk: Desk) -> None:
    filed = await desk.submitted(kind="register_practitioner", data=a_practice(ptans=["a12345"]))
    (said,) = await desk.announced(registration.RequestSubmitted)
    assert said.practitioner is not None
    assert (said.practitioner.npi, said.practitioner.ptans, said.organization) == (NPI, ("A12345",), None)
    assert (str(said.scope_id), said.place_kind) == (str(said.place_id), "practitioner")
    assert "Individual Practitioner" in (await desk.status(filed["tracking_number"]))["kind"]


async def test_a_duplicate_npi_is_accepted_like_any_other_and_marked_by_its_keyed_hash(desk: Desk) -> None:
    other = an_applicant(ssn="219-09-9998", email="other@clinic.example")
    await desk.submitted(kind="register_practitioner", data=a_practice())
    await desk.submitted(kind="register_practitioner", data=a_practice(street="2 Side St"), applicant=other)
    await desk.submitted(
        kind="register_practitioner",
        data=a_practice(npi="1245319599"),
        applicant=an_applicant(ssn="219-09-9997", email="third@clinic.example"),
    )
    keys = [
        said.practitioner.duplicate_key
        for said in await desk.announced(registration.RequestSubmitted)
        if said.practitioner
    ]
    assert keys[0] == keys[1] != keys[2]
    assert NPI not in "".join(keys)


async def test_one_person_has_one_open_request_for_one_npi(desk: Desk) -> None:
    token = desk.token(await desk.account())
    wish = a_wish("register_practitioner", applicant=None, data=a_practice())
    again = a_wish("register_practitioner", applicant=None, data=a_practice(street="2 Side St"))
    first, second = await desk.file(wish, token), await desk.file(again, token)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["request_id"] == second.json()["request_id"]


# --- Applications ---------------------------------------------------------------------------------


async def test_an_application_is_asked_for_resting_on_a_role_that_the_caller_holds(desk: Desk) -> None:
    person_id, held, organization_id = await a_member(desk)
    answer = await desk.file(an_application(held), desk.token(person_id))
    assert (answer.status_code, answer.json()["state"]) == (201, "submitted")
    (said,) = await desk.announced(registration.RequestSubmitted)
    assert said.rests_on is not None
    assert (said.application, said.rests_on.assignment_id, said.rests_on.role) == ("CLAIM_STATUS", held, "END_USER")
    assert (said.scope_id, said.place_kind) == (organization_id, "application")
    assert said.place_id == application_place("provider-supplier", "CLAIM_STATUS")
    shown = await desk.status(answer.json()["tracking_number"])
    assert shown["kind"] == "Use a CMS application"


async def test_the_same_application_on_the_same_role_is_the_same_request_and_on_another_role_another(
    desk: Desk,
) -> None:
    person_id, held, organization_id = await a_member(desk)
    group_id = await desk.group(organization_id)
    other = await desk.assignment(person_id, "END_USER", group_id, organization_id, place_kind="group")
    token = desk.token(person_id)
    answers = [await desk.file(an_application(each), token) for each in (held, held, other)]
    assert [answer.status_code for answer in answers] == [201, 200, 201]
    assert (await desk.file(an_application(held, application="PS_AND_R"), token)).status_code == 201


async def test_nobody_asks_for_an_application_without_being_signed_in(desk: Desk) -> None:
    _, held, _ = await a_member(desk)
    answer = await desk.file(an_application(held, applicant=an_applicant()))
    assert (answer.status_code, code_of(answer)) == (401, "unauthenticated")


async def test_a_role_that_is_somebody_elses_or_has_ended_or_is_none_is_a_fault_of_its_field(desk: Desk) -> None:
    _, held, _ = await a_member(desk)
    me = await desk.account()
    ended = await desk.assignment(me, "END_USER", new_id(), new_id(), place_kind="group", status="ended")
    for each in (held, ended, new_id()):
        answer = await desk.file(an_application(each), desk.token(me))
        assert (answer.status_code, pointers(answer)) == (422, ["/role_assignment_id"])


async def test_application_and_role_are_asked_for_and_an_unknown_application_is_a_fault(desk: Desk) -> None:
    person_id, held, _ = await a_member(desk)
    token = desk.token(person_id)
    bare = await desk.file(a_wish("access_application", applicant=None), token)
    assert pointers(bare) == ["/application", "/role_assignment_id"]
    assert pointers(await desk.file(an_application(held, application="NOTHING"), token)) == ["/application"]
    group = a_wish("join_group", group_id=str(new_id()), application="CLAIM_STATUS", role_assignment_id=str(held))
    assert pointers(await desk.file(group)) == ["/application", "/role_assignment_id"]


@pytest.mark.parametrize(
    ("role", "application", "code"),
    [
        ("INDIVIDUAL_PRACTITIONER", "PS_AND_R", "application_not_open"),
        ("SECURITY_OFFICIAL", "CLAIM_STATUS", "role_not_held"),
    ],
)
async def test_an_application_is_open_to_the_roles_that_it_names(
    desk: Desk, role: str, application: str, code: str
) -> None:
    person_id = await desk.account()
    if role == "INDIVIDUAL_PRACTITIONER":
        scope_id, kind = await desk.practitioner(), "practitioner"
    else:
        scope_id, kind = await desk.organization(security_official=False), "organization"
    held = await desk.assignment(person_id, role, scope_id, scope_id, place_kind=kind)
    answer = await desk.file(an_application(held, application=application), desk.token(person_id))
    assert (answer.status_code, code_of(answer)) == (409, code)


async def test_a_practitioner_asks_for_an_application_and_its_owner_decides(desk: Desk) -> None:
    person_id, practitioner_id = await desk.account(), await desk.practitioner()
    held = await desk.assignment(
        person_id, "INDIVIDUAL_PRACTITIONER", practitioner_id, practitioner_id, place_kind="practitioner"
    )
    answer = await desk.file(an_application(held), desk.token(person_id))
    assert answer.status_code == 201, answer.text


async def test_what_is_held_already_is_not_asked_for_again(desk: Desk) -> None:
    person_id, held, organization_id = await a_member(desk)
    await desk.entitlement(person_id, "CLAIM_STATUS", held, organization_id)
    token = desk.token(person_id)
    assert code_of(await desk.file(an_application(held), token)) == "already_held"
    assert (await desk.file(an_application(held, application="PS_AND_R"), token)).status_code == 201


async def test_what_was_held_and_has_ended_may_be_asked_for_again(desk: Desk) -> None:
    person_id, held, organization_id = await a_member(desk)
    await desk.entitlement(person_id, "CLAIM_STATUS", held, organization_id)
    async with desk.db.begin() as tx:
        await tx.execute(update(tables.entitlement).values(status="ended"))
    left = await desk.group(organization_id)
    await desk.assignment(person_id, "END_USER", left, organization_id, place_kind="group", status="ended")
    token = desk.token(person_id)
    assert (await desk.file(an_application(held), token)).status_code == 201
    assert (await desk.file(a_wish("join_group", applicant=None, group_id=str(left)), token)).status_code == 201


async def test_a_role_in_a_scope_of_another_community_opens_nothing_here(desk: Desk) -> None:
    person_id, held, _ = await a_member(desk)
    async with desk.db.begin() as tx:
        await tx.execute(update(tables.organization).values(community_id="fi-carrier-mac"))
    assert code_of(await desk.file(an_application(held), desk.token(person_id))) == "organization_not_listed"


async def test_a_scope_that_is_not_here_is_not_listed_whatever_a_kind_asks_for(desk: Desk) -> None:
    kinds = tuple(kind.model_copy(update={"preconditions": ()}) for kind in desk.community.kinds)
    await desk.publish(desk.community.model_copy(update={"kinds": kinds, "version": 2}))
    group_id = await desk.group(await desk.organization())
    join = a_wish("join_group", group_id=str(group_id))
    assert (await desk.file(join)).status_code == 201
    async with desk.db.begin() as tx:
        await tx.execute(update(tables.organization).values(community_id="fi-carrier-mac"))
    assert code_of(await desk.file(join)) == "organization_not_listed"


# --- What stands against a role -------------------------------------------------------------------


async def test_what_stands_against_a_role_is_told_when_it_is_filed(desk: Desk) -> None:
    organization_id = await desk.organization()
    group_id = await desk.group(organization_id)
    member, official = await desk.account(), await desk.account()
    await desk.assignment(member, "END_USER", group_id, organization_id, place_kind="group")
    await desk.assignment(official, "BACKUP_SECURITY_OFFICIAL", organization_id, organization_id)
    join = a_wish("join_group", applicant=None, group_id=str(group_id))
    administer = a_wish("administer_group", applicant=None, group_id=str(group_id))
    assert code_of(await desk.file(join, desk.token(member))) == "already_held"
    assert code_of(await desk.file(administer, desk.token(member))) == "separation_of_duty"
    assert code_of(await desk.file(join, desk.token(official))) == "separation_of_duty"
    for _ in range(5):
        await desk.assignment(new_id(), "USER_GROUP_ADMINISTRATOR", group_id, organization_id, place_kind="group")
    new_person = a_wish("administer_group", group_id=str(group_id))
    assert code_of(await desk.file(new_person)) == "cardinality_reached"


async def test_what_has_come_to_stand_against_a_role_is_told_at_submission_and_the_code_stays_good(desk: Desk) -> None:
    organization_id = await desk.organization()
    group_id = await desk.group(organization_id)
    filed = await desk.filed(kind="administer_group", data={}, group_id=str(group_id))
    holders = [new_id() for _ in range(5)]
    for each in holders:
        await desk.assignment(each, "USER_GROUP_ADMINISTRATOR", group_id, organization_id, place_kind="group")
    assert code_of(await desk.prove(filed["request_id"])) == "cardinality_reached"
    async with desk.db.begin() as tx:
        await tx.execute(
            update(tables.assignment).where(tables.assignment.c.person_id == holders[0]).values(status="ended")
        )
    assert (await desk.prove(filed["request_id"])).status_code == 200
