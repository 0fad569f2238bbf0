"""What a grant makes beyond organizations and their groups: practitioner records, surrogates' groups, entitlements."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.directory import tables, usecases
from shared.contracts import approval, directory, registration
from shared.contracts.community import Decider, Stage
from shared.ids import AssignmentId, entitlement_id, new_id
from shared.testing.records import record_of
from shared.testing.waiting import someone_waits_for_a_lock
from tests.directory.builders import (
    ADMINISTRATOR,
    COMMUNITY,
    END_USER,
    HELP_DESK,
    KEYS,
    SECURITY_OFFICIAL,
    a_dossier,
    a_practitioner,
    about,
    an_access,
    an_organization,
    role_of,
)
from tests.directory.desk import Desk

Dossier = registration.RequestSubmitted
IP = "INDIVIDUAL_PRACTITIONER"


async def refused(desk: Desk, it: Dossier, *approver: Any) -> str:
    """Let a request be approved and return why it was not granted."""
    await desk.keep(it)
    await desk.keep(desk.approved(it, *approver))
    ((_, reason),) = await desk.refusals(it)
    return reason


# --- Revisions --------------------------------------------------------------------------------------


def corrected(it: Dossier, revision: int, name: str, **more: Any) -> registration.RequestResubmitted:
    return registration.RequestResubmitted(
        request_id=it.request_id,
        scope_id=it.scope_id,
        round=1,
        revision=revision,
        organization=an_organization(name),
        resubmitted_at=it.submitted_at,
        **more,
    )


@pytest.mark.parametrize("order", ["correction first", "approval first"])
async def test_what_was_approved_is_what_is_granted_whichever_comes_first(desk: Desk, order: str) -> None:
    it = a_dossier(organization=an_organization("As Filed LLC"))
    await desk.keep(it)
    halves: list[registration.RequestResubmitted | approval.RequestApproved] = [
        corrected(it, 2, "As Corrected LLC"),
        desk.approved(it, revision=2),
    ]
    for half in halves if order == "correction first" else reversed(halves):
        assert await desk.announced(directory.GrantApplied) == []
        await desk.keep(half)
    assert [row.legal_business_name for row in await desk.rows(tables.organization)] == ["As Corrected LLC"]


async def test_what_is_approved_and_not_there_yet_waits_and_what_is_older_changes_nothing(desk: Desk) -> None:
    it = a_dossier(organization=an_organization("As Filed LLC"))
    await desk.keep(it)
    await desk.keep(corrected(it, 3, "Third LLC"))
    await desk.keep(corrected(it, 2, "Second LLC"))
    await desk.keep(desk.approved(it, revision=2))
    assert (await desk.case(it)).outcome is None
    await desk.keep(desk.approved(it, revision=3, round_=2))
    assert [row.legal_business_name for row in await desk.rows(tables.organization)] == ["Third LLC"]
    await desk.keep(corrected(it, 4, "Fourth LLC"))
    assert (await desk.case(it)).dossier is None
    assert [row.legal_business_name for row in await desk.rows(tables.organization)] == ["Third LLC"]


async def test_corrections_and_withdrawals_are_heard(desk: Desk) -> None:
    it = a_dossier()
    await desk.keep(it)
    changed = corrected(it, 2, "As Corrected LLC")
    await desk.hear(record_of(changed, subject=it.request_id, scope=it.scope_id))
    assert (await desk.case(it)).dossier["organization"]["legal_business_name"] == "As Corrected LLC"
    withdrawn = approval.RequestWithdrawn(**about(it), withdrawn_at=desk.now)
    await desk.hear(record_of(withdrawn, subject=it.request_id, scope=it.scope_id))
    assert ((await desk.case(it)).outcome, (await desk.case(it)).dossier) == ("ended", None)


# --- Places -------------------------------------------------------------------------------------------


async def test_a_practitioner_record_is_made_with_its_practitioner_and_says_no_number(desk: Desk) -> None:
    await desk.forget()
    it = await desk.practitioner()
    person, record, assignment = str(it.applicant.person_id), str(it.scope_id), str(role_of(it))
    assert await desk.said() == [
        ("practitioner.activated", record),
        ("account.issued", person),
        ("role.granted", assignment),
        ("grant.applied", str(it.request_id)),
        ("practitioner.state", record),
        ("account.state", person),
        ("person.state", person),
        ("role_assignment.state", assignment),
    ]
    (row,) = await desk.rows(tables.practitioner)
    assert (row.npi, row.street, row.ptans, row.status) == ("1234567893", "5 Elm Street", ["AB1234"], "active")
    ((_, state),) = await desk.states(directory.PractitionerState)
    assert (state.practitioner_id, state.status, state.state) == (it.scope_id, "active", "VA")
    (granted,) = await desk.announced(directory.RoleGranted)
    assert (granted.role, granted.place_kind, granted.place_id, granted.scope_id) == (
        IP,
        "practitioner",
        it.place_id,
        it.scope_id,
    )


async def test_a_second_record_of_an_npi_is_refused_also_at_the_same_moment(desk: Desk) -> None:
    data = a_practitioner()
    one, two = (
        a_dossier("register_practitioner", practitioner=data),
        a_dossier("register_practitioner", practitioner=data),
    )
    for it in (one, two):
        await desk.keep(it)
    async with desk.db.begin() as tx:
        await usecases.keep_approval(tx, KEYS, desk.approved(one))
        late = asyncio.create_task(desk.keep(desk.approved(two)))
        await someone_waits_for_a_lock(desk.db)
    await late
    assert await desk.refusals(two) == [(1, "duplicate_practitioner")]
    assert len(await desk.rows(tables.practitioner)) == 1


async def test_a_surrogate_group_belongs_to_one_organization_and_names_its_company(desk: Desk) -> None:
    xyz, other = await desk.organization("XYZ Medical"), await desk.organization("Other Medical")
    official = (xyz.applicant.person_id, SECURITY_OFFICIAL)
    abc = await desk.grant(a_dossier("create_surrogate_group", scope_id=xyz.scope_id, group_name="ABC"), *official)
    (row,) = await desk.rows(tables.user_group)
    assert (row.kind, row.company_name) == ("surrogate", "ABC Billing Inc.")
    ((_, state),) = await desk.states(directory.GroupState)
    assert (state.group_kind, state.company_name) == ("surrogate", "ABC Billing Inc.")
    # Outside stays outside: the surrogate's administrator may ask for more of them, an insider may not.
    again = a_dossier(
        "create_surrogate_group", scope_id=other.scope_id, group_name="ABC", person_id=abc.applicant.person_id
    )
    await desk.grant(again, other.applicant.person_id, SECURITY_OFFICIAL)
    insider = await desk.group(xyz, group_name="Inside")
    wish = a_dossier(
        "create_surrogate_group", scope_id=xyz.scope_id, group_name="Two", person_id=insider.applicant.person_id
    )
    assert await refused(desk, wish, *official) == "not_an_outsider"
    practitioner = await desk.practitioner()
    # Nobody there could approve it: so the help desk may, in this community.
    at_help_desk = (Stage(deciders=(Decider(role=HELP_DESK, held_in="community"),)),)
    kinds = (
        kind.model_copy(update={"stages": at_help_desk}) if kind.code == "create_surrogate_group" else kind
        for kind in COMMUNITY.kinds
    )
    await desk.publish(COMMUNITY.model_copy(update={"version": 2, "kinds": tuple(kinds)}))
    wish = a_dossier("create_surrogate_group", scope_id=practitioner.scope_id, group_name="Three", community_version=2)
    await desk.keep(wish)
    await desk.keep(desk.approved(wish))
    assert await desk.refusals(wish) == [(1, "surrogate_for_practitioner")]


async def test_roles_that_exclude_each_other_anywhere_do_so_in_other_scopes_too(desk: Desk) -> None:
    async with desk.db.begin() as tx:
        user_id = await desk.appoint(tx)
    helper = next(row.person_id for row in await desk.rows(tables.account) if row.user_id == user_id)
    assert await refused(desk, a_dossier(person_id=helper)) == "separation_of_duty"


async def test_two_who_give_a_person_roles_in_different_scopes_at_the_same_moment_judge_in_turn(desk: Desk) -> None:
    known = await desk.practitioner()
    await desk.end(known, known.applicant.person_id)
    user_id = (await desk.account(known.applicant.person_id)).user_id
    await desk.keep(wish := a_dossier(person_id=known.applicant.person_id))
    async with desk.db.begin() as tx:
        await desk.appoint(tx, user_id=user_id)
        late = asyncio.create_task(desk.keep(desk.approved(wish)))
        await someone_waits_for_a_lock(desk.db)
    await late
    assert await desk.refusals(wish) == [(1, "separation_of_duty")]


# --- Entitlements ---------------------------------------------------------------------------------------


async def test_an_entitlement_rests_on_the_role_of_who_asked_and_gives_no_account(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    await desk.forget()
    it = await desk.entitled(group, organization.applicant.person_id)
    right, person = entitlement_id(it.request_id), group.applicant.person_id
    assert await desk.said() == [
        ("entitlement.granted", str(right)),
        ("grant.applied", str(it.request_id)),
        ("entitlement.state", str(right)),
    ]
    (row,) = await desk.rows(tables.entitlement)
    assert (row.id, row.person_id, row.application, row.assignment_id, row.role, row.scope_id) == (
        right,
        person,
        "CLAIM_STATUS",
        role_of(group),
        ADMINISTRATOR,
        organization.scope_id,
    )
    (granted,) = await desk.announced(directory.EntitlementGranted)
    assert (granted.decided_by, granted.decided_as) == (organization.applicant.person_id, SECURITY_OFFICIAL)
    for round_ in (2, 2):
        await desk.keep(desk.approved(it, organization.applicant.person_id, SECURITY_OFFICIAL, round_=round_))
    answers = await desk.announced(directory.GrantApplied)
    assert [(a.round, a.entitlement_id, a.assignment_id, a.account_issued) for a in answers] == [
        (1, right, None, False),
        (2, right, None, False),
    ]


async def test_a_practitioner_uses_an_application_by_decision_of_its_owner(desk: Desk) -> None:
    practitioner = await desk.practitioner()
    async with desk.db.begin() as tx:
        owner_id = await desk.appoint(tx, role_code="APPLICATION_OWNER", application="CLAIM_STATUS")
    owner = next(row.person_id for row in await desk.rows(tables.account) if row.user_id == owner_id)
    wish = an_access(practitioner)
    it = await desk.grant(wish, owner, "APPLICATION_OWNER", wish.place_id)
    ((_, state),) = await desk.states(directory.EntitlementState)
    assert (state.role, state.scope_id, state.assignment_id) == (IP, practitioner.scope_id, role_of(practitioner))
    other = an_access(practitioner, "PS_AND_R", place_id=wish.place_id)
    assert await refused(desk, other, owner, "APPLICATION_OWNER", it.place_id) == "application_not_open"


async def test_an_entitlement_is_refused_when_there_is_nothing_to_rest_on(desk: Desk) -> None:
    organization, other = await desk.organization(), await desk.organization()
    official = (organization.applicant.person_id, SECURITY_OFFICIAL)
    group = await desk.group(organization)
    user = await desk.joined(organization, group)
    real = an_access(group).rests_on
    assert real is not None

    def on(**changes: Any) -> Dossier:
        return an_access(group, rests_on=real.model_copy(update=changes))

    for wish in (
        on(assignment_id=AssignmentId(new_id())),
        on(assignment_id=role_of(user), role=END_USER),  # Somebody else's.
        on(role=END_USER),  # Another role than the approvers were told.
        on(place_id=organization.place_id),
        an_access(group, scope_id=other.scope_id),
    ):
        approver = (
            official if wish.scope_id == organization.scope_id else (other.applicant.person_id, SECURITY_OFFICIAL)
        )
        assert await refused(desk, wish, *approver) == "role_not_held"

    await desk.entitled(group, *official)
    assert await refused(desk, an_access(group), *official) == "already_held"
    await desk.end(user, user.applicant.person_id)
    assert await refused(desk, an_access(user), *official) == "role_not_held"


async def test_a_role_that_ends_while_an_entitlement_is_granted_takes_it_along(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    await desk.keep(wish := an_access(group))
    async with desk.db.begin() as tx:
        await usecases.end_role(tx, role_of(group), group.applicant.person_id)
        late = asyncio.create_task(desk.keep(desk.approved(wish, organization.applicant.person_id, SECURITY_OFFICIAL)))
        await someone_waits_for_a_lock(desk.db)
    await late
    assert await desk.refusals(wish) == [(1, "role_not_held")]
    assert await desk.rows(tables.entitlement) == []


# --- Versions -----------------------------------------------------------------------------------------------


async def test_a_request_is_granted_by_the_version_under_which_it_was_filed(desk: Desk) -> None:
    organization = await desk.organization()
    kinds = tuple(kind for kind in COMMUNITY.kinds if kind.code != "create_surrogate_group")
    roles = tuple(role.model_copy(update={"seats": 1}) if role.place == "group" else role for role in COMMUNITY.roles)
    await desk.publish(COMMUNITY.model_copy(update={"version": 2, "kinds": kinds, "roles": roles}))
    official = (organization.applicant.person_id, SECURITY_OFFICIAL)
    old = a_dossier("create_surrogate_group", scope_id=organization.scope_id, group_name="Old")
    await desk.grant(old, *official)  # Such a kind is there no more for who asks now.
    place = {"scope_id": organization.scope_id, "place_id": old.place_id}
    await desk.grant(a_dossier("administer_group", **place), *official)  # Five seats, as when it was filed.
    assert await refused(desk, a_dossier("administer_group", **place, community_version=2), *official) == (
        "cardinality_reached"
    )
    assert {row.community_version for row in await desk.rows(tables.role_assignment)} == {1}


async def test_no_entitlement_begins_once_those_of_a_suspended_organization_have_ended(desk: Desk) -> None:
    organization = await desk.organization()
    official = (organization.applicant.person_id, SECURITY_OFFICIAL)
    group = await desk.group(organization)
    decided_at = desk.now
    early, late = an_access(group), an_access(group, "PS_AND_R")
    for it in (early, late):
        await desk.keep(it)
    await desk.end(organization, desk.help_desk)
    desk.wait(timedelta(days=29))
    await desk.keep(desk.approved(early, *official, decided_at=decided_at))
    assert (await desk.case(early)).outcome == "applied"
    desk.wait(timedelta(days=1, minutes=1))
    await desk.keep(desk.approved(late, *official, decided_at=decided_at))
    assert await desk.refusals(late) == [(1, "organization_not_listed")]


async def test_nor_in_a_transaction_that_began_before_that_and_waited_for_the_scope(desk: Desk) -> None:
    organization = await desk.organization()
    official = (organization.applicant.person_id, SECURITY_OFFICIAL)
    late = an_access(await desk.group(organization))
    approved = desk.approved(late, *official, decided_at=desk.now)
    await desk.keep(late)
    await desk.end(organization, desk.help_desk)
    desk.wait(timedelta(days=30, minutes=1))
    assert await desk.fire() == 1
    desk.wait(-timedelta(minutes=2))
    await desk.keep(approved)
    assert await desk.refusals(late) == [(1, "organization_not_listed")]
