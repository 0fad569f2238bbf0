"""When an approval becomes access: once, whole, whichever half comes first; or is refused, and says why."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.directory import domain, tables, usecases
from shared.contracts import approval, directory, registration
from shared.ids import PersonId, assignment_id
from shared.tables import audit, outbox
from shared.testing.records import record_of
from shared.testing.waiting import someone_waits_for_a_lock
from tests.directory.builders import (
    ADMINISTRATOR,
    BACKUP,
    COMMUNITY,
    END_USER,
    HELP_DESK,
    KEYS,
    SECURITY_OFFICIAL,
    TIN,
    a_dossier,
    about,
    an_access,
    an_organization,
    new_person,
)
from tests.directory.desk import Desk

Dossier = registration.RequestSubmitted


async def staged(
    desk: Desk, first: Dossier | approval.RequestApproved, second: Dossier | approval.RequestApproved
) -> None:
    """Let the second come while the first has had its effect and is not committed."""
    async with desk.db.begin() as tx:
        if isinstance(first, Dossier):
            await usecases.keep_dossier(tx, KEYS, first)
        else:
            await usecases.keep_approval(tx, KEYS, first)
        late = asyncio.create_task(desk.keep(second))
        await someone_waits_for_a_lock(desk.db)
    await late


# --- Two halves -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["dossier first", "approval first", "at the same moment"])
async def test_one_grant_comes_of_a_dossier_and_an_approval_in_whatever_order(desk: Desk, order: str) -> None:
    it = a_dossier()
    halves: list[Dossier | approval.RequestApproved] = [it, desk.approved(it)]
    if order == "at the same moment":
        await staged(desk, halves[0], halves[1])
    else:
        for half in halves if order == "dossier first" else reversed(halves):
            assert await desk.announced(directory.GrantApplied) == []
            await desk.keep(half)
    (applied,) = await desk.announced(directory.GrantApplied)
    assert (applied.request_id, applied.person_id, applied.account_issued) == (
        it.request_id,
        it.applicant.person_id,
        True,
    )
    for half in [*halves, *halves]:  # Whatever is delivered again has had its effect.
        await desk.keep(half)
    assert len(await desk.announced(directory.GrantApplied)) == 1

    for _ in range(2):  # A later round has no further effect, and is answered, once.
        await desk.keep(desk.approved(it, round_=2))
    answers = await desk.announced(directory.GrantApplied)
    assert [(answer.round, answer.assignment_id) for answer in answers] == [
        (1, applied.assignment_id),
        (2, applied.assignment_id),
    ]
    assert len(await desk.rows(tables.organization)) == 1
    assert len(await desk.announced(directory.OrganizationActivated)) == 1


async def test_one_approval_delivered_twice_at_the_same_moment_is_applied_once(desk: Desk) -> None:
    it = a_dossier()
    await desk.keep(it)
    await staged(desk, desk.approved(it), desk.approved(it))
    assert len(await desk.announced(directory.GrantApplied)) == 1
    assert (await desk.case(it)).approval is None


async def test_one_half_alone_changes_nothing(desk: Desk) -> None:
    await desk.forget()
    it = a_dossier()
    await desk.keep(it)
    await desk.keep(desk.approved(a_dossier()))
    assert (await desk.said(), await desk.rows(tables.organization)) == ([], [])


# --- Effects, and exactly what is said of them --------------------------------------------------------


def said_of_new_person(it: Dossier) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    person = str(it.applicant.person_id)
    return [("account.issued", person)], [("account.state", person), ("person.state", person)]


async def test_an_organization_is_activated_with_its_security_official(desk: Desk) -> None:
    await desk.forget()
    it = await desk.organization("XYZ Medical Group LLC")
    official, organization, request = str(it.applicant.person_id), str(it.scope_id), str(it.request_id)
    assignment = assignment_id(it.request_id, SECURITY_OFFICIAL)
    assert await desk.said() == [
        ("organization.activated", organization),
        ("account.issued", official),
        ("role.granted", str(assignment)),
        ("grant.applied", request),
        ("organization.state", organization),
        ("account.state", official),
        ("person.state", official),
        ("role_assignment.state", str(assignment)),
    ]
    ((version, state),) = await desk.states(directory.OrganizationState)
    assert (version, state.status, state.legal_business_name, state.city, state.state) == (
        1,
        "active",
        "XYZ Medical Group LLC",
        "Baltimore",
        "MD",
    )
    (granted,) = await desk.announced(directory.RoleGranted)
    assert (granted.role, granted.place_kind, granted.place_id, granted.scope_id) == (
        SECURITY_OFFICIAL,
        "organization",
        it.place_id,
        it.scope_id,
    )
    assert (granted.decided_by, granted.decided_as, granted.request_id) == (desk.help_desk, HELP_DESK, it.request_id)
    ((_, held),) = await desk.states(directory.RoleAssignmentState)
    assert (held.assignment_id, held.person_id, held.status, held.effective_until) == (
        assignment,
        it.applicant.person_id,
        "active",
        None,
    )
    (row,) = [row for row in await desk.rows(tables.role_assignment) if row.id == assignment]
    assert (row.person_id, row.role, row.place_id, row.decided_by) == (
        it.applicant.person_id,
        SECURITY_OFFICIAL,
        it.scope_id,
        desk.help_desk,
    )
    acts = [act.act for act in await desk.rows(audit) if act.scope_id == it.scope_id]
    assert acts == ["activate_organization", "grant_role"]
    scopes = {row.type: row.scope_id for row in await desk.rows(outbox)}
    assert scopes[directory.RoleGranted.wire] == it.scope_id  # All of one organization keeps its order ...
    assert scopes[directory.AccountIssued.wire] == it.applicant.person_id  # ... and an account belongs to none.


async def test_a_group_is_activated_with_its_administrator(desk: Desk) -> None:
    organization = await desk.organization()
    await desk.forget()
    it = await desk.group(organization, group_name="Billing Office")
    person, group = str(it.applicant.person_id), str(it.place_id)
    assignment = str(assignment_id(it.request_id, ADMINISTRATOR))
    assert await desk.said() == [
        ("group.activated", group),
        ("account.issued", person),
        ("role.granted", assignment),
        ("grant.applied", str(it.request_id)),
        ("group.state", group),
        ("account.state", person),
        ("person.state", person),
        ("role_assignment.state", assignment),
    ]
    ((version, state),) = await desk.states(directory.GroupState)
    assert (version, state.organization_id, state.status, state.group_kind, state.normalised_name) == (
        1,
        organization.scope_id,
        "active",
        "provider",
        "billing office",
    )


async def test_an_administrator_of_an_existing_group_and_a_known_person_get_a_role_and_no_account(desk: Desk) -> None:
    organization, other = await desk.organization(), await desk.organization()
    first, elsewhere = await desk.group(organization), await desk.group(other)
    await desk.forget()
    it = await desk.grant(
        a_dossier(
            "administer_group",
            scope_id=organization.scope_id,
            place_id=first.place_id,
            person_id=elsewhere.applicant.person_id,
        ),
        organization.applicant.person_id,
        SECURITY_OFFICIAL,
    )
    assignment = str(assignment_id(it.request_id, ADMINISTRATOR))
    assert await desk.said() == [
        ("role.granted", assignment),
        ("grant.applied", str(it.request_id)),
        ("role_assignment.state", assignment),
    ]
    (applied,) = await desk.announced(directory.GrantApplied)
    assert not applied.account_issued
    mine = [row for row in await desk.rows(tables.account) if row.person_id == it.applicant.person_id]
    assert len(mine) == 1


async def test_a_group_without_administrator_is_active_again_when_it_gets_one(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    await desk.put(tables.user_group, "without_administrator")
    await desk.forget()
    await desk.grant(
        a_dossier("administer_group", scope_id=organization.scope_id, place_id=group.place_id),
        organization.applicant.person_id,
        SECURITY_OFFICIAL,
    )
    ((version, state),) = await desk.states(directory.GroupState)
    assert (version, state.status, state.name) == (2, "active", "Billing")
    (again,) = await desk.announced(directory.GroupActivated)
    assert (again.group_id, again.request_id, again.effective_from > group.submitted_at) == (group.place_id, None, True)


async def test_an_end_user_joins_by_decision_of_an_administrator(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    await desk.forget()
    it = await desk.grant(
        a_dossier("join_group", scope_id=organization.scope_id, place_id=group.place_id),
        group.applicant.person_id,
        ADMINISTRATOR,
        group.place_id,
    )
    person, assignment = str(it.applicant.person_id), str(assignment_id(it.request_id, END_USER))
    assert await desk.said() == [
        ("account.issued", person),
        ("role.granted", assignment),
        ("grant.applied", str(it.request_id)),
        ("account.state", person),
        ("person.state", person),
        ("role_assignment.state", assignment),
    ]
    (granted,) = await desk.announced(directory.RoleGranted)
    assert (granted.role, granted.place_kind, granted.place_id, granted.scope_id, granted.decided_as) == (
        END_USER,
        "group",
        group.place_id,
        organization.scope_id,
        ADMINISTRATOR,
    )


async def test_an_account_is_issued_once_with_a_user_id_that_nobody_misreads(desk: Desk) -> None:
    it = await desk.organization()
    account = await desk.account(it.applicant.person_id)
    assert len(account.user_id) == 8
    assert set(account.user_id) <= set(domain.USER_ID_ALPHABET)
    assert (account.state, account.password_hash) == ("invited", None)
    (issued,) = [e for e in await desk.announced(directory.AccountIssued) if e.person_id == it.applicant.person_id]
    assert (issued.user_id, issued.request_id) == (account.user_id, it.request_id)
    assert issued.link_expires_at - issued.issued_at == timedelta(hours=72)
    ((_, person),) = [
        found for found in await desk.states(directory.PersonState) if found[1].person_id == it.applicant.person_id
    ]
    assert (person.user_id, person.email) == (account.user_id, it.applicant.email)


async def test_two_first_grants_of_one_person_at_the_same_moment_issue_one_account(desk: Desk) -> None:
    person = new_person()
    one, two = a_dossier(person_id=person), a_dossier(person_id=person)
    for it in (one, two):
        await desk.keep(it)
    await staged(desk, desk.approved(one), desk.approved(two))
    assert [e.account_issued for e in await desk.announced(directory.GrantApplied)] == [True, False]
    assert len([e for e in await desk.announced(directory.AccountIssued) if e.person_id == person]) == 1
    assert len([row for row in await desk.rows(tables.role_assignment) if row.person_id == person]) == 2


# --- Refusals ---------------------------------------------------------------------------------------


async def refused(desk: Desk, it: Dossier, *approver: Any, **more: Any) -> str:
    """Let a request be approved and return why it was not granted; nothing of it may be there."""
    await desk.keep(it)
    roles = len(await desk.rows(tables.role_assignment))
    await desk.keep(desk.approved(it, *approver, **more))
    assert len(await desk.rows(tables.role_assignment)) == roles
    case = await desk.case(it)
    assert (case.outcome, case.approval, case.dossier is None) == ("refused", None, False)
    ((_, reason),) = await desk.refusals(it)
    return reason


async def test_authority_is_judged_in_each_stage_that_led_up_to_the_approval(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id
    group = await desk.group(organization)
    administrator = group.applicant.person_id
    user = await desk.joined(organization, group)

    def approved_after(it: Dossier, role: str, decided_by: PersonId) -> approval.RequestApproved:
        held = approval.Capacity(role=role, place_kind="group", place_id=group.place_id)
        first = approval.EarlierApproval(stage=1, decided_by=decided_by, capacity=held, decided_at=desk.now)
        return desk.approved(it, official, SECURITY_OFFICIAL, earlier=(first,))

    it = an_access(user)
    await desk.keep(it)
    await desk.keep(approved_after(it, "USER_GROUP_ADMINISTRATOR", administrator))
    assert (await desk.case(it)).outcome == "applied"

    wrong_role, late = an_access(user, "PS_AND_R"), an_access(user)
    await desk.keep(wrong_role)
    await desk.keep(approved_after(wrong_role, "END_USER", user.applicant.person_id))
    await desk.end_role(group)
    desk.wait(timedelta(minutes=1))
    await desk.keep(late)
    await desk.keep(approved_after(late, "USER_GROUP_ADMINISTRATOR", administrator))
    told = {it.request_id: (it.reason, it.stage) for it in await desk.announced(directory.GrantRefused)}
    assert told == {it.request_id: ("approver_lost_authority", 1) for it in (wrong_role, late)}


async def test_authority_is_judged_as_of_the_decision(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id

    def wish(name: str) -> Dossier:
        return a_dossier("create_provider_group", scope_id=organization.scope_id, group_name=name)

    decided_at = desk.now
    before_it_was_held = decided_at - timedelta(hours=1)
    for number, (approver, moment) in enumerate(
        [((official, SECURITY_OFFICIAL), before_it_was_held), ((official, BACKUP), decided_at)]
    ):
        it = wish(f"Refused {number}")
        assert await refused(desk, it, *approver, decided_at=moment) == "approver_lost_authority"
    stranger = wish("Refused too")
    assert await refused(desk, stranger, new_person(), SECURITY_OFFICIAL) == "approver_lost_authority"
    elsewhere = wish("Elsewhere")
    other = await desk.organization()
    assert await refused(desk, elsewhere, other.applicant.person_id, SECURITY_OFFICIAL) == "approver_lost_authority"

    desk.wait(timedelta(minutes=1))
    ended_at = desk.now
    await desk.end_role(organization, at=ended_at)
    desk.wait(timedelta(minutes=1))
    late = wish("Decided later")
    assert await refused(desk, late, official, SECURITY_OFFICIAL, decided_at=ended_at) == "approver_lost_authority"

    in_time = wish("Decided in time")  # Heard of only now: the role was held when it was decided.
    await desk.keep(in_time)
    await desk.keep(desk.approved(in_time, official, SECURITY_OFFICIAL, decided_at=ended_at - timedelta(seconds=1)))
    assert (await desk.case(in_time)).outcome == "applied"


async def test_a_duplicate_organization_is_refused_and_one_that_is_closed_is_none(desk: Desk) -> None:
    data = an_organization()
    await desk.grant(a_dossier(organization=data))
    assert await refused(desk, a_dossier(organization=data)) == "duplicate_organization"
    await desk.put(tables.organization, "closed")
    await desk.grant(a_dossier(organization=data))


async def test_of_two_equal_organizations_at_the_same_moment_one_is_refused(desk: Desk) -> None:
    data = an_organization()
    one, two = a_dossier(organization=data), a_dossier(organization=data)
    for it in (one, two):
        await desk.keep(it)
    await staged(desk, desk.approved(one), desk.approved(two))
    assert [row.request_id for row in await desk.rows(tables.organization)] == [one.request_id]
    assert await desk.refusals(two) == [(1, "duplicate_organization")]


async def test_a_group_name_is_taken_once_in_an_organization(desk: Desk) -> None:
    organization, other = await desk.organization(), await desk.organization()
    official = organization.applicant.person_id
    await desk.group(organization, group_name="Billing")
    await desk.group(other, group_name="Billing")
    wish = a_dossier("create_provider_group", scope_id=organization.scope_id, group_name="BILLING!")
    assert await refused(desk, wish, official, SECURITY_OFFICIAL) == "group_name_taken"

    one, two = (
        a_dossier("create_provider_group", scope_id=organization.scope_id, group_name="Coding") for _ in range(2)
    )
    for it in (one, two):
        await desk.keep(it)
    await staged(desk, desk.approved(one, official, SECURITY_OFFICIAL), desk.approved(two, official, SECURITY_OFFICIAL))
    assert ((await desk.case(one)).outcome, await desk.refusals(two)) == ("applied", [(1, "group_name_taken")])


async def test_nobody_holds_both_sides_of_a_decision(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id
    group = await desk.group(organization)
    administrator = group.applicant.person_id
    for kind, person, approver in (
        ("join_group", official, (administrator, ADMINISTRATOR, group.place_id)),
        ("join_group", administrator, (official, ADMINISTRATOR, group.place_id)),
    ):
        it = a_dossier(kind, scope_id=organization.scope_id, place_id=group.place_id, person_id=person)
        reason = "separation_of_duty" if person == official else "approver_lost_authority"
        assert await refused(desk, it, *approver) == reason
    backup = a_dossier("become_backup_security_official", scope_id=organization.scope_id, person_id=administrator)
    assert await refused(desk, backup, official, SECURITY_OFFICIAL) == "separation_of_duty"


async def test_who_holds_the_role_already_is_not_given_it_twice(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    approver = (group.applicant.person_id, ADMINISTRATOR, group.place_id)
    place = {"scope_id": organization.scope_id, "place_id": group.place_id}
    first = await desk.grant(a_dossier("join_group", **place), *approver)
    again = a_dossier("join_group", **place, person_id=first.applicant.person_id)
    assert await refused(desk, again, *approver) == "already_held"


async def test_two_who_wait_for_the_last_seat_at_the_same_moment_do_not_both_get_it(desk: Desk) -> None:
    roles = tuple(role.model_copy(update={"seats": 1}) if role.code == BACKUP else role for role in COMMUNITY.roles)
    await desk.publish(COMMUNITY.model_copy(update={"version": 2, "roles": roles}))
    organization = await desk.organization()
    official = organization.applicant.person_id
    one, two = (
        a_dossier("become_backup_security_official", scope_id=organization.scope_id, community_version=2)
        for _ in range(2)
    )
    for it in (one, two):
        await desk.keep(it)
    await staged(desk, desk.approved(one, official, SECURITY_OFFICIAL), desk.approved(two, official, SECURITY_OFFICIAL))
    assert ((await desk.case(one)).outcome, await desk.refusals(two)) == ("applied", [(1, "cardinality_reached")])


async def test_only_who_gives_the_last_approval_of_this_very_request_opens_it(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id
    group, other = await desk.group(organization), await desk.group(organization, group_name="Claims")
    member = await desk.joined(organization, group)
    place = {"scope_id": organization.scope_id, "place_id": group.place_id}
    for approver in (
        (member.applicant.person_id, END_USER, group.place_id),  # Decides nothing.
        (other.applicant.person_id, ADMINISTRATOR, other.place_id),  # Decides elsewhere.
        (desk.help_desk, HELP_DESK),  # Is asked at last, and may not approve.
    ):
        assert await refused(desk, a_dossier("join_group", **place), *approver) == "approver_lost_authority"
    mine = a_dossier("join_group", **place, person_id=official)
    assert await refused(desk, mine, official, SECURITY_OFFICIAL) == "approver_lost_authority"
    await desk.grant(a_dossier("join_group", **place), official, SECURITY_OFFICIAL)


async def test_what_the_place_must_be_is_judged_when_the_grant_is_applied(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id
    group = await desk.group(organization)
    approver = (group.applicant.person_id, ADMINISTRATOR, group.place_id)
    place = {"scope_id": organization.scope_id, "place_id": group.place_id}

    unknown = a_dossier("join_group", scope_id=organization.scope_id)
    assert await refused(desk, unknown, official, SECURITY_OFFICIAL) == "group_not_active"
    await desk.put(tables.user_group, "without_administrator")
    assert await refused(desk, a_dossier("join_group", **place), *approver) == "group_not_active"
    await desk.put(tables.organization, "closed")
    assert await refused(desk, a_dossier("join_group", **place), *approver) == "organization_not_listed"
    wish = a_dossier("create_provider_group", scope_id=organization.scope_id, group_name="New")
    assert await refused(desk, wish, official, SECURITY_OFFICIAL) == "organization_not_listed"


async def test_a_backup_needs_a_security_official(desk: Desk) -> None:
    organization = await desk.organization()
    decided_at = desk.now
    desk.wait(timedelta(minutes=1))
    await desk.end_role(organization)
    wish = a_dossier("become_backup_security_official", scope_id=organization.scope_id)
    approver = (organization.applicant.person_id, SECURITY_OFFICIAL)
    assert await refused(desk, wish, *approver, decided_at=decided_at) == "security_official_vacant"


async def test_a_refusal_is_answered_once_a_round_and_the_next_round_is_judged_anew(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    approver = (group.applicant.person_id, ADMINISTRATOR, group.place_id)
    it = a_dossier("join_group", scope_id=organization.scope_id, place_id=group.place_id)
    await desk.put(tables.user_group, "without_administrator")
    assert await refused(desk, it, *approver) == "group_not_active"
    for half in (desk.approved(it, *approver), it):
        await desk.keep(half)
    assert await desk.refusals(it) == [(1, "group_not_active")]

    await desk.keep(desk.approved(it, *approver, round_=2))
    assert await desk.refusals(it) == [(1, "group_not_active"), (2, "group_not_active")]
    await desk.put(tables.user_group, "active")
    await desk.keep(desk.approved(it, *approver, round_=1))
    assert (await desk.case(it)).outcome == "refused"
    await desk.keep(desk.approved(it, *approver, round_=3))
    (applied,) = [e for e in await desk.announced(directory.GrantApplied) if e.request_id == it.request_id]
    assert applied.round == 3


# --- What is kept of people ---------------------------------------------------------------------------


async def test_what_ended_without_a_grant_is_forgotten_and_never_kept_again(desk: Desk) -> None:
    capacity = approval.Capacity(role=HELP_DESK, place_kind="community", place_id=COMMUNITY.place_id)
    denied, expired, closed, early = (a_dossier() for _ in range(4))
    endings: list[tuple[Dossier, approval.RequestEvent]] = [
        (
            denied,
            approval.RequestDenied(
                **about(denied), decided_by=desk.help_desk, capacity=capacity, reason="wrong_path", decided_at=desk.now
            ),
        ),
        (expired, approval.RequestExpired(**about(expired), expired_at=desk.now)),
        (closed, approval.RequestClosed(**about(closed), why="cannot_be_granted", closed_at=desk.now)),
    ]
    for it, event in endings:
        await desk.keep(it)
        assert "rosa@applicants.example" in str(tuple(await desk.case(it)))
        await desk.hear(record_of(event, subject=it.request_id, scope=it.scope_id))
        await desk.keep(it)  # Delivered again, or late: it is over.
        await desk.keep(desk.approved(it))
        assert ((await desk.case(it)).dossier, (await desk.case(it)).approval) == (None, None)
    over = approval.RequestExpired(**about(early), expired_at=desk.now)  # Heard of before the dossier.
    await desk.hear(record_of(over, subject=early.request_id, scope=early.scope_id))
    await desk.keep(early)
    everything = await desk.dump()
    assert "rosa@applicants.example" not in everything
    assert "Delgado" not in everything
    assert await desk.rows(tables.organization) == []


async def test_an_applied_grant_keeps_nothing_beside_its_effect_and_a_later_ending_takes_nothing(desk: Desk) -> None:
    it = await desk.organization()
    assert ((await desk.case(it)).dossier, (await desk.case(it)).approval) == (None, None)
    closed = approval.RequestClosed(**about(it), why="late", closed_at=desk.now)
    await desk.hear(record_of(closed, subject=it.request_id, scope=it.scope_id))
    assert (await desk.case(it)).outcome == "applied"


async def test_no_tin_is_readable_at_rest(desk: Desk) -> None:
    waiting = a_dossier()
    await desk.keep(waiting)
    it = await desk.organization()
    (row,) = await desk.rows(tables.organization)
    assert TIN not in await desk.dump()
    assert KEYS.vault.open(row.tin_locked, bound_to=f"organization.tin {it.scope_id}") == TIN


async def test_the_link_that_sets_a_password_is_readable_to_notification_alone(desk: Desk) -> None:
    it = await desk.organization()
    token = await desk.link(it.applicant.person_id)
    everything = await desk.dump()
    assert token not in everything
    bodies = [row for row in await desk.rows(outbox) if "link_sealed" in row.body]
    assert {row.topic for row in bodies} == {directory.ACCOUNTS_TOPIC}
    (link,) = [row for row in await desk.rows(tables.password_link) if row.person_id == it.applicant.person_id]
    assert link.token_hash == usecases.digest(token)


async def test_the_handlers_hear_both_halves_and_each_record_once(desk: Desk) -> None:
    it = a_dossier()
    halves = [
        record_of(it, subject=it.request_id, scope=it.scope_id),
        record_of(desk.approved(it), subject=it.request_id, scope=it.scope_id),
    ]
    await desk.hear(*halves, *[half.again() for half in halves])
    await desk.hear(*[half.again() for half in halves])
    assert len(await desk.announced(directory.GrantApplied)) == 1
