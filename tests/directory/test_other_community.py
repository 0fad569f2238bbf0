"""A community with other roles, other stages and other departures needs no code: it is all in its file."""

from datetime import timedelta
from typing import Any

import pytest

from services import preparation
from services.directory import tables, usecases
from shared.contracts import directory, registration
from shared.errors import Refusal
from shared.ids import AssignmentId, PersonId, application_place, assignment_id, entitlement_id
from tests.directory.builders import a_dossier, an_access
from tests.directory.desk import Desk

FI = preparation.shipped_communities()[0]
OFFICER, LEAD, ANALYST = "CONTRACT_OFFICER", "DEPARTMENT_LEAD", "ANALYST"
Dossier = registration.RequestSubmitted

# Kind of this community -> the kind of the other shipped one whose dossier looks alike.
ALIKE = {
    "register_contractor": "register_organization",
    "become_contract_officer": "become_backup_security_official",
    "open_department": "create_provider_group",
    "join_department": "join_group",
}


async def appointed(desk: Desk, role: str, **more: str) -> PersonId:
    async with desk.db.begin() as tx:
        await desk.appoint(tx, community_id=FI.id, role_code=role, given_name=role, **more)
    return await desk.person_named(role)


def wish(kind: str, **changes: Any) -> Dossier:
    return a_dossier(ALIKE[kind], **changes).model_copy(update={"community_id": FI.id, "kind": kind})


def gave(it: Dossier) -> AssignmentId:
    kind = FI.kind(it.kind)
    assert kind is not None
    return assignment_id(it.request_id, str(kind.role))


async def test_a_contractor_its_departments_and_their_applications_come_and_go_by_their_own_rules(desk: Desk) -> None:
    await desk.publish(FI)
    support = await appointed(desk, "CONTRACTOR_SUPPORT")
    owner = await appointed(desk, "SYSTEM_OWNER", application="COST_REPORT_AUDIT")
    contractor = await desk.grant(wish("register_contractor"), support, "CONTRACTOR_SUPPORT", FI.place_id)
    officer = (contractor.applicant.person_id, OFFICER)
    second = await desk.grant(wish("become_contract_officer", scope_id=contractor.scope_id), *officer)
    third = wish("become_contract_officer", scope_id=contractor.scope_id)
    await desk.keep(third)
    await desk.keep(desk.approved(third, *officer))
    assert await desk.refusals(third) == [(1, "cardinality_reached")]  # Two seats here.

    department = await desk.grant(wish("open_department", scope_id=contractor.scope_id), *officer)
    lead = (department.applicant.person_id, LEAD, department.place_id)
    place = {"scope_id": contractor.scope_id, "place_id": department.place_id}
    analyst = await desk.grant(wish("join_department", **place), *lead)
    application = application_place(FI.id, "COST_REPORT_AUDIT")
    rests_on = registration.RestsOn(
        assignment_id=gave(analyst), role=ANALYST, place_kind="group", place_id=department.place_id
    )
    access = an_access(a_dossier("join_group", **place, person_id=analyst.applicant.person_id)).model_copy(
        update={
            "community_id": FI.id,
            "kind": "use_application",
            "application": "COST_REPORT_AUDIT",
            "place_id": application,
            "rests_on": rests_on,
        }
    )
    right = await desk.grant(access, owner, "SYSTEM_OWNER", application)
    assert {row.id: row.status for row in await desk.rows(tables.entitlement)} == {
        entitlement_id(right.request_id): "active"
    }

    async def end(it: Dossier, by: PersonId) -> None:
        async with desk.db.begin() as tx:
            await usecases.end_role(tx, gave(it), by)

    with pytest.raises(Refusal, match="not_found"):
        await end(contractor, desk.help_desk)  # The other community's help desk.
    await end(contractor, contractor.applicant.person_id)  # One of two officers may leave.
    with pytest.raises(Refusal, match="last_security_official"):
        await end(second, second.applicant.person_id)
    await end(second, support)
    (told,) = await desk.announced(directory.OrganizationSuspended)
    assert told.entitlements_end_at - told.suspended_at == timedelta(days=14)
    await end(department, department.applicant.person_id)
    (left,) = await desk.announced(directory.GroupLeftWithoutAdministrator)
    assert left.closes_at - left.left_at == timedelta(days=60)
    desk.wait(timedelta(days=61))
    assert await desk.fire(3) == 2
    assert [it.cause for it in await desk.announced(directory.EntitlementEnded)] == ["lapsed"]
    assert [it.cause for it in await desk.announced(directory.RoleEnded)][-1] == "scope_closed"
