"""Roles are left and taken, places nobody keeps are seen to, organizations are closed: and all that rests on them."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.directory import tables, timers, usecases
from shared.contracts import directory, registration
from shared.errors import Refusal
from shared.ids import PersonId, entitlement_id
from shared.tables import audit
from shared.testing.waiting import someone_waits_for_a_lock
from tests.directory.builders import (
    ADMINISTRATOR,
    COMMUNITY,
    KEYS,
    SECURITY_OFFICIAL,
    a_dossier,
    a_practitioner,
    new_person,
    role_of,
)
from tests.directory.desk import Desk

Dossier = registration.RequestSubmitted
MONTH = timedelta(days=30)


async def statuses(desk: Desk, table: Any) -> list[str]:
    return [row.status for row in sorted(await desk.rows(table), key=lambda row: row.effective_from)]


async def test_who_leaves_a_role_loses_what_rests_on_it_and_keeps_the_rest(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id
    group = await desk.group(organization)
    user = await desk.joined(organization, group)
    await desk.group(organization, group_name="Second", person_id=group.applicant.person_id)
    it = await desk.entitled(user, official)
    others = await desk.entitled(group, official)
    await desk.forget()
    await desk.end(user, user.applicant.person_id)
    assert await desk.said() == [
        ("entitlement.ended", str(entitlement_id(it.request_id))),
        ("role.ended", str(role_of(user))),
        ("entitlement.state", str(entitlement_id(it.request_id))),
        ("role_assignment.state", str(role_of(user))),
    ]
    (ended,) = await desk.announced(directory.RoleEnded)
    assert (ended.cause, ended.ended_by) == ("left", user.applicant.person_id)
    (right,) = await desk.announced(directory.EntitlementEnded)
    assert (right.cause, right.assignment_id, right.application) == ("left", role_of(user), "CLAIM_STATUS")
    ((version, state),) = await desk.states(directory.RoleAssignmentState)
    assert (version, state.status, state.effective_until) == (2, "ended", ended.effective_until)
    ((version, right_state),) = await desk.states(directory.EntitlementState)
    assert (version, right_state.status, right_state.effective_until) == (2, "ended", ended.effective_until)
    still = {row.id for row in await desk.rows(tables.entitlement) if row.status == "active"}
    assert still == {entitlement_id(others.request_id)}
    acts = [(act.act, act.actor) for act in await desk.rows(audit) if act.act.startswith("end_")]
    assert acts == [(act, str(user.applicant.person_id)) for act in ("end_entitlement", "end_role")]

    said = await desk.said()
    await desk.end(user, user.applicant.person_id)  # Once more: it has ended, and nothing else happens.
    assert await desk.said() == said


async def test_an_approver_of_a_role_takes_it_and_nobody_else_does(desk: Desk) -> None:
    organization, other = await desk.organization(), await desk.organization()
    official = organization.applicant.person_id
    backup = await desk.backup(organization)
    group, second = await desk.group(organization), await desk.group(organization, group_name="Second")
    user, colleague = await desk.joined(organization, group), await desk.joined(organization, group)
    strangers: list[PersonId] = [
        new_person(),
        other.applicant.person_id,
        second.applicant.person_id,
        colleague.applicant.person_id,
        desk.help_desk,  # It may deny such a request, never approve one.
    ]
    for person in strangers:
        with pytest.raises(Refusal, match="not_found"):
            await desk.end(user, person)
    with pytest.raises(Refusal, match="not_found"):  # An SO alone decides who is BSO.
        await desk.end(organization, backup.applicant.person_id)
    with pytest.raises(Refusal, match="not_found"):
        await desk.end(a_dossier(), official)

    await desk.end(user, group.applicant.person_id)
    await desk.end(colleague, backup.applicant.person_id)
    await desk.end(backup, official)
    await desk.end(second, official)
    await desk.end(organization, desk.help_desk)
    ended = await desk.announced(directory.RoleEnded)
    assert [(it.cause, it.ended_by) for it in ended] == [
        ("revoked", group.applicant.person_id),
        ("revoked", backup.applicant.person_id),
        ("revoked", official),
        ("revoked", official),
        ("revoked", desk.help_desk),
    ]
    states = {state.assignment_id: state.status for _, state in await desk.states(directory.RoleAssignmentState)}
    assert states[role_of(user)] == "revoked"


async def test_a_role_that_operators_give_is_taken_by_operators_alone(desk: Desk) -> None:
    async with desk.db.begin() as tx:
        await desk.appoint(tx)
    (mine,) = [row for row in await desk.rows(tables.role_assignment) if row.person_id == desk.help_desk]
    colleague = next(row for row in await desk.rows(tables.role_assignment) if row.person_id != desk.help_desk)
    with pytest.raises(Refusal, match="not_found"):
        async with desk.db.begin() as tx:
            await usecases.end_role(tx, mine.id, colleague.person_id)
    async with desk.db.begin() as tx:
        await usecases.end_role(tx, mine.id, desk.help_desk)


@pytest.mark.parametrize("state", ["locked", "disabled", "closed"])
async def test_an_approver_whose_account_cannot_act_takes_nothing(desk: Desk, state: str) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    user = await desk.joined(organization, group)
    until = "now() + interval '15 minutes'" if state == "locked" else "NULL"
    change = f"SET state = '{state}', locked_until = {until}"
    await desk.sql(f"UPDATE account {change} WHERE person_id = '{group.applicant.person_id}'")
    with pytest.raises(Refusal, match="not_found"):
        await desk.end(user, group.applicant.person_id)


# --- Whoever keeps an organization ---------------------------------------------------------------------


async def test_an_official_leaves_when_another_keeps_the_organization_and_not_before(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id
    await desk.group(organization)
    with pytest.raises(Refusal, match="last_security_official"):
        await desk.end(organization, official)
    await desk.backup(organization)
    await desk.end(organization, official)
    assert await statuses(desk, tables.organization) == ["active"]
    assert await desk.announced(directory.OrganizationSuspended) == []


async def test_of_two_keepers_who_leave_at_the_same_moment_one_stays(desk: Desk) -> None:
    organization = await desk.organization()
    backup = await desk.backup(organization)
    async with desk.db.begin() as tx:
        await usecases.end_role(tx, role_of(organization), organization.applicant.person_id)
        late = asyncio.create_task(desk.end(backup, backup.applicant.person_id))
        await someone_waits_for_a_lock(desk.db)
    with pytest.raises(Refusal, match="last_security_official"):
        await late
    assert await statuses(desk, tables.organization) == ["active"]


async def test_an_official_who_leaves_twice_at_the_same_moment_leaves_once_and_is_refused_nothing(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id
    await desk.backup(organization)
    async with desk.db.begin() as tx:
        await usecases.end_role(tx, role_of(organization), official)
        late = asyncio.create_task(desk.end(organization, official))
        await someone_waits_for_a_lock(desk.db)
    await late
    assert [it.assignment_id for it in await desk.announced(directory.RoleEnded)] == [role_of(organization)]


async def suspended(desk: Desk) -> tuple[Dossier, Dossier, Dossier]:
    """Return an organization whose keepers were all taken, its group, and an entitlement there."""
    organization = await desk.organization()
    group = await desk.group(organization)
    right = await desk.entitled(group, organization.applicant.person_id)
    await desk.end(organization, desk.help_desk)
    return organization, group, right


async def test_an_organization_without_any_keeper_is_suspended_and_its_entitlements_end_on_day_31(desk: Desk) -> None:
    organization, group, right = await suspended(desk)
    (told,) = await desk.announced(directory.OrganizationSuspended)
    assert told.entitlements_end_at - told.suspended_at == MONTH
    assert (await desk.states(directory.OrganizationState))[-1][1].status == "suspended"
    listed = await desk.http.get("/directory/v1/organizations")
    assert listed.json()["items"] == []
    desk.wait(MONTH - timedelta(minutes=1))
    assert await desk.fire() == 0
    assert await statuses(desk, tables.entitlement) == ["active"]
    desk.wait(timedelta(minutes=2))
    assert await desk.fire(3) == 1
    (ended,) = await desk.announced(directory.EntitlementEnded)
    assert (ended.entitlement_id, ended.cause, ended.ended_by) == (entitlement_id(right.request_id), "lapsed", None)
    roles = {row.id: row.status for row in await desk.rows(tables.role_assignment)}
    assert roles[role_of(group)] == "active"  # Roles stay until it is closed ...
    await desk.joined(organization, group)  # ... and the administrator still decides who joins.


async def test_a_suspended_organization_that_is_kept_again_is_active_and_its_timer_finds_nothing(desk: Desk) -> None:
    organization = await desk.organization()
    wish = a_dossier("become_backup_security_official", scope_id=organization.scope_id)
    group = await desk.group(organization)
    await desk.entitled(group, organization.applicant.person_id)
    await desk.keep(wish)
    late = desk.approved(wish, organization.applicant.person_id, SECURITY_OFFICIAL)
    # A Backup Security Official needs a Security Official; in a community that says otherwise none is needed.
    kinds = tuple(kind.model_copy(update={"needs_holder_of": None}) for kind in COMMUNITY.kinds)
    await desk.publish(COMMUNITY.model_copy(update={"version": 2, "kinds": kinds}))
    await desk.end(organization, desk.help_desk)
    wish = a_dossier("become_backup_security_official", scope_id=organization.scope_id, community_version=2)
    await desk.keep(wish)
    await desk.keep(
        desk.approved(wish, organization.applicant.person_id, SECURITY_OFFICIAL, decided_at=late.decided_at)
    )
    again = (await desk.announced(directory.OrganizationActivated))[-1]
    assert (again.organization_id, again.request_id) == (organization.scope_id, None)
    assert (await desk.states(directory.OrganizationState))[-1][1].status == "active"
    desk.wait(MONTH + timedelta(days=1))
    assert await desk.fire(3) == 1
    assert await statuses(desk, tables.entitlement) == ["active"]


async def test_who_looks_at_what_after_a_departure_is_the_communitys_to_say(desk: Desk) -> None:
    departures = COMMUNITY.departures.model_copy(update={"suspended_entitlements_end_after_days": 3})
    await desk.publish(COMMUNITY.model_copy(update={"version": 2, "departures": departures}))
    await suspended(desk)
    (told,) = await desk.announced(directory.OrganizationSuspended)
    assert told.entitlements_end_at - told.suspended_at == timedelta(days=3)


# --- Groups and practitioners -----------------------------------------------------------------------------


async def test_a_group_that_its_last_administrator_leaves_is_closed_after_thirty_days(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id
    group = await desk.group(organization)
    user = await desk.joined(organization, group)
    await desk.entitled(user, official)
    await desk.end(group, group.applicant.person_id)
    (told,) = await desk.announced(directory.GroupLeftWithoutAdministrator)
    assert (told.group_id, told.closes_at - told.left_at) == (group.place_id, MONTH)
    assert (await desk.states(directory.GroupState))[-1][1].status == "without_administrator"
    desk.wait(MONTH - timedelta(minutes=1))
    assert await desk.fire() == 0
    desk.wait(timedelta(minutes=2))
    await desk.forget()
    assert await desk.fire(2) == 1
    assert [type_ for type_, _ in await desk.said()] == [
        "entitlement.ended",
        "role.ended",
        "group.closed",
        "entitlement.state",
        "role_assignment.state",
        "group.state",
    ]
    assert {it.cause for it in await desk.announced(directory.RoleEnded)} == {"scope_closed"}
    assert {it.cause for it in await desk.announced(directory.EntitlementEnded)} == {"scope_closed"}
    await desk.group(organization, group_name="Billing")  # The name is free again.


async def test_a_group_that_is_administered_again_is_not_closed(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    await desk.end(group, group.applicant.person_id)
    place = {"scope_id": organization.scope_id, "place_id": group.place_id}
    desk.wait(timedelta(days=20))
    again = await desk.grant(
        a_dossier("administer_group", **place), organization.applicant.person_id, SECURITY_OFFICIAL
    )
    desk.wait(timedelta(days=11))
    assert await desk.fire(2) == 1
    assert await statuses(desk, tables.user_group) == ["active"]
    await desk.end(again, again.applicant.person_id)
    desk.wait(timedelta(days=29))
    assert await desk.fire(2) == 0


async def test_a_group_that_gets_an_administrator_while_its_timer_fires_is_not_closed(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    await desk.end(group, group.applicant.person_id)
    wish = a_dossier("administer_group", scope_id=organization.scope_id, place_id=group.place_id)
    await desk.keep(wish)
    desk.wait(MONTH + timedelta(days=1))
    async with desk.db.begin() as tx:
        approved = desk.approved(wish, organization.applicant.person_id, SECURITY_OFFICIAL)
        await usecases.keep_approval(tx, KEYS, approved)
        late = asyncio.create_task(desk.fire())
        await someone_waits_for_a_lock(desk.db)
    assert await late == 1
    assert await statuses(desk, tables.user_group) == ["active"]
    assert await desk.announced(directory.GroupClosed) == []


async def test_a_practitioner_record_ends_with_its_practitioner(desk: Desk) -> None:
    it = await desk.practitioner()
    await desk.forget()
    await desk.end(it, it.applicant.person_id)
    assert [type_ for type_, _ in await desk.said()] == [
        "role.ended",
        "practitioner.closed",
        "role_assignment.state",
        "practitioner.state",
    ]
    assert await statuses(desk, tables.practitioner) == ["closed"]


async def test_a_practitioner_who_left_may_register_again(desk: Desk) -> None:
    data = a_practitioner()
    it = await desk.practitioner(practitioner=data)
    await desk.end(it, it.applicant.person_id)
    await desk.practitioner(practitioner=data, person_id=it.applicant.person_id)
    assert await statuses(desk, tables.practitioner) == ["closed", "active"]


async def test_every_timer_fires_once_and_in_order_however_many_workers_wake_after_a_time_down(desk: Desk) -> None:
    organization, group, _ = await suspended(desk)
    desk.wait(timedelta(days=1))
    await desk.end(group, group.applicant.person_id)
    other, _, _ = await suspended(desk)
    desk.wait(timedelta(days=60))
    first, second, third = (
        (timer.scope_id, timer.kind) for timer in sorted(await desk.rows(tables.timer), key=lambda timer: timer.due_at)
    )
    assert (first[0], second[0], third[0]) == (organization.scope_id, organization.scope_id, other.scope_id)
    async with desk.db.begin() as tx:
        assert await usecases.fire_timer(tx) == 1
        assert await desk.fire() == 1  # Another worker passes over the scope that somebody has ...
        left = [(timer.scope_id, timer.kind) for timer in await desk.rows(tables.timer)]
        assert left == [first, second]
        assert await desk.fire() == 0  # ... also over what follows there.
    assert await desk.fire(5) == 1
    assert await desk.rows(tables.timer) == []
    assert len(await desk.announced(directory.GroupClosed)) == 1


async def test_the_workers_chores_fire_timers_renew_keys_and_forget(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    await desk.end(group, group.applicant.person_id)
    await desk.sign_in(await desk.with_password(organization.applicant.person_id))
    desk.wait(timedelta(days=61))
    desk.wait_really(timedelta(days=61))
    for chore in timers.chores(KEYS):
        async with desk.db.begin() as tx:
            await chore.work(tx)
    assert await statuses(desk, tables.user_group) == ["closed"]
    assert len(await desk.rows(tables.signing_key)) == 2
    assert await desk.rows(tables.session) == []


# --- The end of an organization ------------------------------------------------------------------------------


async def close(desk: Desk, it: Dossier, by: PersonId, confirm: str = "XYZ Medical Group LLC") -> None:
    async with desk.db.begin() as tx:
        await usecases.close_organization(tx, it.scope_id, by, confirm=confirm)


async def test_a_closed_organization_takes_groups_roles_and_entitlements_along_and_leaves_accounts(desk: Desk) -> None:
    organization, other = await desk.organization(), await desk.organization()
    official = organization.applicant.person_id
    await desk.backup(organization)
    group = await desk.group(organization)
    user = await desk.joined(organization, group)
    await desk.entitled(user, official)
    elsewhere = await desk.group(other, person_id=user.applicant.person_id)
    accounts = await desk.rows(tables.account)
    await desk.forget()
    await close(desk, organization, official)
    said = [type_ for type_, _ in await desk.said() if not type_.endswith(".state")]
    assert said == ["role.ended", "entitlement.ended", "role.ended", "group.closed"] + ["role.ended"] * 2 + [
        "organization.closed"
    ]
    (told,) = await desk.announced(directory.OrganizationClosed)
    assert (told.organization_id, told.closed_by) == (organization.scope_id, official)
    assert {it.cause for it in await desk.announced(directory.RoleEnded)} == {"scope_closed"}
    active = {row.id for row in await desk.rows(tables.role_assignment) if row.status == "active"}
    assert active >= {role_of(elsewhere), role_of(other)}
    assert not active & {role_of(organization), role_of(group), role_of(user)}
    assert await desk.rows(tables.account) == accounts
    for later in (official, desk.help_desk):
        with pytest.raises(Refusal, match="scope_closed" if later == desk.help_desk else "not_found"):
            await close(desk, organization, later)


async def test_a_role_that_is_given_while_its_organization_is_being_closed_ends_with_it(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    wish = a_dossier("join_group", scope_id=organization.scope_id, place_id=group.place_id)
    await desk.keep(wish)
    async with desk.db.begin() as tx:
        approved = desk.approved(wish, group.applicant.person_id, ADMINISTRATOR, group.place_id)
        await usecases.keep_approval(tx, KEYS, approved)
        late = asyncio.create_task(close(desk, organization, organization.applicant.person_id))
        await someone_waits_for_a_lock(desk.db)
    await late
    found = [row for row in await desk.rows(tables.role_assignment) if row.scope_id == organization.scope_id]
    assert {row.id for row in found} == {role_of(it) for it in (organization, group, wish)}
    assert {row.status for row in found} == {"ended"}


async def test_only_who_keeps_it_or_the_help_desk_closes_an_organization_and_by_its_name(desk: Desk) -> None:
    organization, other = await desk.organization(), await desk.organization()
    group = await desk.group(organization)
    for person in (new_person(), group.applicant.person_id, other.applicant.person_id):
        with pytest.raises(Refusal, match="not_found"):
            await close(desk, organization, person)
    with pytest.raises(Refusal, match="field_invalid"):
        await close(desk, organization, organization.applicant.person_id, "xyz medical")
    with pytest.raises(Refusal, match="not_found"):
        await close(desk, a_dossier(), desk.help_desk)
    await close(desk, organization, desk.help_desk)
    assert await statuses(desk, tables.organization) == ["closed", "active"]


# --- Entitlements ----------------------------------------------------------------------------------------------


async def end_right(desk: Desk, it: Dossier, by: PersonId) -> None:
    async with desk.db.begin() as tx:
        await usecases.end_entitlement(tx, entitlement_id(it.request_id), by)


async def test_an_entitlement_is_given_up_by_its_holder_or_taken_by_an_approver_of_its_path(desk: Desk) -> None:
    organization, other = await desk.organization(), await desk.organization()
    official = organization.applicant.person_id
    group, second = await desk.group(organization), await desk.group(organization, group_name="Second")
    user = await desk.joined(organization, group)
    rights = [await desk.entitled(user, official, application=code) for code in ("CLAIM_STATUS", "PS_AND_R")]
    administrators = await desk.entitled(group, official)
    for person in (new_person(), other.applicant.person_id, second.applicant.person_id, desk.help_desk):
        with pytest.raises(Refusal, match="not_found"):
            await end_right(desk, rights[0], person)
    with pytest.raises(Refusal, match="not_found"):
        await end_right(desk, a_dossier(), official)
    with pytest.raises(Refusal, match="not_found"):  # A user decides nothing about an administrator.
        await end_right(desk, administrators, user.applicant.person_id)
    await end_right(desk, rights[0], user.applicant.person_id)
    await end_right(desk, rights[1], group.applicant.person_id)
    await end_right(desk, administrators, official)
    await end_right(desk, administrators, official)
    assert [(it.cause, it.ended_by) for it in await desk.announced(directory.EntitlementEnded)] == [
        ("left", user.applicant.person_id),
        ("revoked", group.applicant.person_id),
        ("revoked", official),
    ]
    assert await desk.announced(directory.RoleEnded) == []


async def test_who_gave_an_application_up_may_be_given_it_again(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id
    group = await desk.group(organization)
    it = await desk.entitled(group, official)
    await end_right(desk, it, group.applicant.person_id)
    again = await desk.entitled(group, official)
    states = {row.id: row.status for row in await desk.rows(tables.entitlement)}
    assert states == {entitlement_id(it.request_id): "ended", entitlement_id(again.request_id): "active"}


# --- By HTTP -------------------------------------------------------------------------------------------------------


async def test_it_is_all_asked_by_http_and_answered_with_nothing_or_a_problem(desk: Desk) -> None:
    organization = await desk.organization()
    official = await desk.headers(organization.applicant.person_id)
    group = await desk.group(organization)
    right = await desk.entitled(group, organization.applicant.person_id)
    stranger = await desk.headers((await desk.organization()).applicant.person_id)

    async def answer(method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> tuple[int, str]:
        got = await desk.http.request(method, f"/directory/v1{path}", headers=headers, **more)
        return got.status_code, "" if got.status_code == 204 else got.json()["code"]

    role = f"/role-assignments/{role_of(group)}"
    entitlement = f"/entitlements/{entitlement_id(right.request_id)}"
    closure = f"/organizations/{organization.scope_id}/closure"
    name = {"confirm": "XYZ Medical Group LLC"}
    for method, path, body in (("DELETE", entitlement, None), ("DELETE", role, None), ("POST", closure, name)):
        assert await answer(method, path, json=body) == (401, "unauthenticated")
        assert await answer(method, path, stranger, json=body) == (404, "not_found")
    own = f"/role-assignments/{role_of(organization)}"
    assert await answer("DELETE", own, official) == (409, "last_security_official")
    assert await answer("DELETE", entitlement, official) == (204, "")
    assert await answer("DELETE", role, official) == (204, "")
    assert await answer("DELETE", role, official) == (204, "")
    assert await answer("POST", closure, official, json={"confirm": "XYZ"}) == (422, "field_invalid")
    assert await answer("POST", closure, official, json=name) == (204, "")
    assert await answer("POST", closure, official, json=name) == (404, "not_found")
    assert await answer("POST", closure, await desk.headers(desk.help_desk), json=name) == (409, "scope_closed")
