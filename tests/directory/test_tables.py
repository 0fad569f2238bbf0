"""What PostgreSQL itself refuses, whoever writes: a migration, an operator, a future mistake."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from services.directory import store, tables
from shared.database import Transaction
from shared.ids import new_id
from shared.testing.waiting import someone_waits_for_a_lock
from tests.directory.builders import ADMINISTRATOR, BACKUP, COMMUNITY, END_USER, HELP_DESK, SECURITY_OFFICIAL
from tests.directory.desk import Desk

# A row like the one that is there, but for what the object says.
ANOTHER = "INSERT INTO {0} SELECT (jsonb_populate_record(t, jsonb_build_object({1}))).* FROM {0} t LIMIT 1"
NEW_ID = "'id', gen_random_uuid()"


async def test_no_row_says_what_must_never_be_true(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    await desk.entitled(group, organization.applicant.person_id)
    await desk.practitioner()
    request = "'request_id', gen_random_uuid()"
    for constraint, statement in {
        "account_pkey|pk_account": ANOTHER.format("account", "'user_id', 'AAAAAAAA'"),
        "uq_account_user_id": "UPDATE account SET user_id = 'AAAAAAAA'",
        "ck_account_user_id_shape": "UPDATE account SET user_id = 'K7MQ42XO'",
        "ck_account_state_known": "UPDATE account SET state = 'lost'",
        "ck_account_active_has_password": "UPDATE account SET state = 'active'",
        "ck_account_locked_whole": "UPDATE account SET state = 'locked'",
        "ck_timer_kind_known": "INSERT INTO timer SELECT id, 'nap', id, id, now() FROM person LIMIT 1",
        "uq_organization_duplicate": ANOTHER.format("organization", f"{NEW_ID}, {request}"),
        "uq_organization_request_id": ANOTHER.format("organization", f"{NEW_ID}, 'duplicate_key', 'other'"),
        "ck_organization_status_known": "UPDATE organization SET status = 'lost'",
        "uq_user_group_name": ANOTHER.format("user_group", f"{NEW_ID}, {request}"),
        "uq_user_group_request_id": ANOTHER.format("user_group", f"{NEW_ID}, 'normalised_name', 'other'"),
        "ck_user_group_status_known": "UPDATE user_group SET status = 'lost'",
        "ck_user_group_kind_known": "UPDATE user_group SET kind = 'club'",
        "uq_role_assignment_active": ANOTHER.format("role_assignment", f"{NEW_ID}, {request}"),
        "ck_role_assignment_not_ones_own": "UPDATE role_assignment SET decided_by = person_id",
        "ck_role_assignment_ended_whole": "UPDATE role_assignment SET effective_until = now()",
        "ck_role_assignment_status_known": "UPDATE role_assignment SET status = 'lost', effective_until = now()",
        "community_known": "UPDATE role_assignment SET community_version = 99",
        "rests_on_role": "UPDATE role_assignment SET status = 'ended', effective_until = now()",
        "uq_entitlement_active": ANOTHER.format("entitlement", f"{NEW_ID}, {request}"),
        "uq_entitlement_request_id": ANOTHER.format("entitlement", f"{NEW_ID}, 'application', 'OTHER'"),
        "ck_entitlement_not_ones_own": "UPDATE entitlement SET decided_by = person_id",
        "ck_entitlement_ended_whole": "UPDATE entitlement SET effective_until = now()",
        "ck_entitlement_status_known": "UPDATE entitlement SET status = 'lost', effective_until = now()",
        "uq_practitioner_duplicate": ANOTHER.format("practitioner", f"{NEW_ID}, {request}"),
        "uq_practitioner_request_id": ANOTHER.format("practitioner", f"{NEW_ID}, 'duplicate_key', 'other'"),
        "ck_practitioner_status_known": "UPDATE practitioner SET status = 'lost'",
        "ck_organization_suspended_whole": "UPDATE organization SET status = 'suspended'",
        "ck_user_group_left_whole": "UPDATE user_group SET status = 'without_administrator'",
        "ck_grant_case_dossier_dropped": "UPDATE grant_case SET dossier = '{}'",
        "ck_grant_case_outcome_known": "UPDATE grant_case SET outcome = 'lost'",
        "uq_password_link_token_hash": "UPDATE password_link SET token_hash = ''",
    }.items():
        with pytest.raises(IntegrityError) as refused:
            await desk.sql(statement)
        assert refused_by(refused.value) in constraint.split("|"), statement


# --- Who holds what: no row, by whoever it is written, breaks what the community says ------------------------


def refused_by(error: IntegrityError) -> str:
    """Return the name of the constraint, or of the guard, that refused."""
    found: Any = error.orig
    return str(found.__cause__.constraint_name)


async def hold(tx: Transaction, person_id: UUID, role: str, place_id: UUID, scope_id: UUID, **more: Any) -> None:
    """Write a role assignment as nobody should: past every rule of ours."""
    columns = {
        "id": new_id(),
        "person_id": person_id,
        "role": role,
        "place_kind": "group",
        "place_id": place_id,
        "scope_id": scope_id,
        "community_id": COMMUNITY.id,
        "community_version": COMMUNITY.version,
        "status": "active",
        "effective_from": tx.now,
        "version": 1,
    }
    await tx.execute(insert(tables.role_assignment).values(columns | more))


async def people(desk: Desk, count: int) -> list[UUID]:
    """Return people who hold nothing yet."""
    found = [new_id() for _ in range(count)]
    async with desk.db.begin() as tx:
        for person_id in found:
            await store.add_person(tx, id=person_id, given_name="A", family_name="B", email="", phone="")
    return found


async def test_no_seat_is_taken_that_there_is_not(desk: Desk) -> None:
    organization, group = new_id(), new_id()
    one, *others = await people(desk, 7)
    async with desk.db.begin() as tx:
        await hold(tx, one, SECURITY_OFFICIAL, organization, organization)
        for person_id in others[:5]:
            await hold(tx, person_id, ADMINISTRATOR, group, organization)
    for role, place in ((SECURITY_OFFICIAL, organization), (ADMINISTRATOR, group)):
        with pytest.raises(IntegrityError) as refused:
            async with desk.db.begin() as tx:
                await hold(tx, others[5], role, place, organization)
        assert refused_by(refused.value) == "seats"
    async with desk.db.begin() as tx:  # An ended one takes none, until somebody lets it live again.
        await hold(tx, others[5], ADMINISTRATOR, group, organization, status="ended", effective_until=tx.now)
    with pytest.raises(IntegrityError) as refused:
        await desk.sql("UPDATE role_assignment SET status = 'active', effective_until = NULL WHERE status = 'ended'")
    assert refused_by(refused.value) == "seats"


async def test_nobody_holds_two_roles_that_exclude_each_other(desk: Desk) -> None:
    organization, group, other, elsewhere = (new_id() for _ in range(4))
    person, helper, both = await people(desk, 3)
    async with desk.db.begin() as tx:
        await hold(tx, person, SECURITY_OFFICIAL, organization, organization)
        await hold(tx, person, END_USER, elsewhere, new_id())  # In another scope.
        await hold(tx, helper, HELP_DESK, COMMUNITY.place_id, COMMUNITY.place_id)
        await hold(tx, both, ADMINISTRATOR, group, organization)
        await hold(tx, both, END_USER, other, organization)  # In another group.
    for person_id, role, place, scope in (
        (person, END_USER, group, organization),
        (person, BACKUP, organization, organization),
        (both, END_USER, group, organization),
        (helper, SECURITY_OFFICIAL, elsewhere, elsewhere),
    ):
        with pytest.raises(IntegrityError) as refused:
            async with desk.db.begin() as tx:
                await hold(tx, person_id, role, place, scope)
        assert refused_by(refused.value) == "separation_of_duty", role


@pytest.mark.parametrize("what", ["seats", "separation_of_duty"])
async def test_of_two_who_write_at_the_same_moment_one_is_refused(desk: Desk, what: str) -> None:
    organization = new_id()
    one, two = await people(desk, 2)

    async def write(person_id: UUID, role: str) -> None:
        async with desk.db.begin() as tx:
            await hold(tx, person_id, role, organization, organization)

    async with desk.db.begin() as tx:
        await hold(tx, one, SECURITY_OFFICIAL, organization, organization)
        late = asyncio.create_task(write(two, SECURITY_OFFICIAL) if what == "seats" else write(one, BACKUP))
        await someone_waits_for_a_lock(desk.db)
    with pytest.raises(IntegrityError) as refused:
        await late
    assert refused_by(refused.value) == what


async def test_no_entitlement_begins_on_a_role_that_has_ended(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    await desk.entitled(group, organization.applicant.person_id)
    await desk.end(group, group.applicant.person_id)
    with pytest.raises(IntegrityError) as refused:
        await desk.sql("UPDATE entitlement SET status = 'active', effective_until = NULL")
    assert refused_by(refused.value) == "rests_on_role"
