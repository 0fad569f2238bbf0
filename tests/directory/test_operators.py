"""What operators do: publish communities, appoint the help desk."""

import asyncio
from typing import Any

import pytest

from services import preparation
from services.directory import tables, usecases
from shared.contracts import directory
from shared.contracts.community import Community
from shared.errors import Refusal
from shared.ids import application_place, community_place
from shared.replicas import load_community
from shared.tables import audit
from shared.testing.waiting import someone_waits_for_a_lock
from tests.directory.builders import COMMUNITY, HELP_DESK, KEYS, SECURITY_OFFICIAL
from tests.directory.desk import Desk


def version(number: int, name: str = "Renamed") -> Community:
    return COMMUNITY.model_copy(update={"version": number, "name": name})


async def apply(desk: Desk, community: Community) -> bool:
    async with desk.db.begin() as tx:
        return await usecases.apply_community(tx, community, by="operator")


async def test_a_new_version_is_the_current_one_and_the_old_one_stays(desk: Desk) -> None:
    assert await apply(desk, version(2))
    states = await desk.states(directory.CommunityState)
    # The new one is told first: at no moment has a reader heard of none.
    assert [(record, it.version, it.current) for record, it in states] == [(1, 1, True), (1, 2, True), (2, 1, False)]
    assert Community.model_validate(states[1][1].definition) == version(2)
    said = [subject for type_, subject in await desk.said() if type_ == "community.state"]
    assert said == ["provider-supplier@1", "provider-supplier@2", "provider-supplier@1"]
    async with desk.db.begin() as tx:
        current = await load_community(tx, COMMUNITY.id)
        old = await load_community(tx, COMMUNITY.id, 1)
    assert (current, old) == (version(2), COMMUNITY)


async def test_the_same_again_changes_nothing_and_other_content_under_its_version_is_refused(desk: Desk) -> None:
    before = await desk.said()
    assert not await apply(desk, COMMUNITY)
    with pytest.raises(Refusal, match="version: 1 is published already; the next is 2"):
        await apply(desk, version(1))
    assert await desk.said() == before
    assert [act.act for act in await desk.rows(audit)].count("apply_community") == 1


async def test_every_fault_of_a_file_is_named_and_nothing_of_it_is_published(desk: Desk) -> None:
    before = await desk.said()
    broken = COMMUNITY.model_copy(update={"version": 2, "roles": COMMUNITY.roles[1:]})
    with pytest.raises(Refusal) as refused:
        await apply(desk, broken)
    faults = refused.value.facts["community_faults"]
    assert isinstance(faults, list)
    assert len(faults) > 3
    assert all(SECURITY_OFFICIAL in fault or "can be reached by nobody" in fault for fault in faults)
    assert await desk.said() == before


async def test_an_older_version_and_a_country_without_known_holidays_are_refused(desk: Desk) -> None:
    assert await apply(desk, version(3))
    with pytest.raises(Refusal, match="version: 2 is older than 3, which is published; the next is 4"):
        await apply(desk, version(2))
    calendar = COMMUNITY.calendar.model_copy(update={"country": "XX"})
    with pytest.raises(Refusal, match="no public holidays are known of the country XX"):
        await apply(desk, version(4).model_copy(update={"calendar": calendar}))


async def test_what_the_product_ships_is_applied_once_and_later_only_if_it_is_newer(desk: Desk) -> None:
    shipped = preparation.shipped_communities()
    assert [it.id for it in shipped] == ["fi-carrier-mac", COMMUNITY.id]

    async def apply_shipped(*communities: Community) -> list[str]:
        async with desk.db.begin() as tx:
            return await preparation.apply_shipped(tx, communities)

    assert await apply_shipped(*shipped) == ["fi-carrier-mac"]
    assert await apply_shipped(*shipped) == []
    assert await apply(desk, version(3))  # An operator's own.
    assert await apply_shipped(*shipped, version(2), version(3, "Other")) == []
    assert await apply_shipped(version(4)) == [COMMUNITY.id]
    async with desk.db.begin() as tx:
        assert await load_community(tx, COMMUNITY.id) == version(4)


async def test_two_operators_who_publish_one_version_at_the_same_moment_publish_it_once(desk: Desk) -> None:
    async with desk.db.begin() as tx:
        assert await usecases.apply_community(tx, version(2, "One"), by="operator")
        late = asyncio.create_task(apply(desk, version(2, "Two")))
        await someone_waits_for_a_lock(desk.db)
    with pytest.raises(Refusal, match="community_invalid"):
        await late
    async with desk.db.begin() as tx:
        current = await load_community(tx, COMMUNITY.id)
    assert current == version(2, "One")


async def test_an_operator_appoints_to_the_help_desk_and_to_nothing_that_people_ask_for(desk: Desk) -> None:
    await desk.forget()
    async with desk.db.begin() as tx:
        user_id = await usecases.appoint(
            tx,
            KEYS,
            community_id=COMMUNITY.id,
            role_code=HELP_DESK,
            given_name="Ada",
            family_name="Agent",
            email="ada@iacs.example",
            by="operator",
        )
    account = next(row for row in await desk.rows(tables.account) if row.user_id == user_id)
    (granted,) = await desk.announced(directory.RoleGranted)
    assert (granted.person_id, granted.role, granted.place_kind, granted.place_id, granted.decided_by) == (
        account.person_id,
        HELP_DESK,
        "community",
        COMMUNITY.place_id,
        None,
    )
    assert granted.scope_id == community_place(COMMUNITY.id)
    assert sorted(type_ for type_, _ in await desk.said()) == [
        "account.issued",
        "account.state",
        "person.state",
        "role.granted",
        "role_assignment.state",
    ]
    people = len(await desk.rows(tables.person))
    for changes in ({"role_code": SECURITY_OFFICIAL}, {"role_code": "NOBODY"}, {"community_id": "nowhere"}):
        with pytest.raises(Refusal, match="not_found"):
            async with desk.db.begin() as tx:
                await desk.appoint(tx, **changes)
    assert len(await desk.rows(tables.person)) == people


# --- Appointed and dismissed --------------------------------------------------------------------------------


async def appointed(desk: Desk, **changes: Any) -> str:
    async with desk.db.begin() as tx:
        return await desk.appoint(tx, **changes)


async def dismiss(desk: Desk, user_id: str, **changes: Any) -> None:
    whole = {"community_id": COMMUNITY.id, "role_code": HELP_DESK, "by": "operator"}
    async with desk.db.begin() as tx:
        await usecases.dismiss(tx, user_id=user_id, **(whole | changes))


async def test_an_application_has_owners_of_its_own_and_a_community_auditors(desk: Desk) -> None:
    await desk.publish(preparation.shipped_communities()[0])
    owner = await appointed(desk, role_code="APPLICATION_OWNER", application="PS_AND_R")
    await appointed(desk, role_code="AUDITOR")
    await appointed(desk, community_id="fi-carrier-mac", role_code="SYSTEM_OWNER", application="COST_REPORT_AUDIT")
    held = {(it.role, it.place_kind, it.place_id, it.scope_id) for it in await desk.announced(directory.RoleGranted)}
    ours, theirs = application_place(COMMUNITY.id, "PS_AND_R"), application_place("fi-carrier-mac", "COST_REPORT_AUDIT")
    assert held >= {
        ("APPLICATION_OWNER", "application", ours, ours),
        ("SYSTEM_OWNER", "application", theirs, theirs),
        ("AUDITOR", "community", COMMUNITY.place_id, COMMUNITY.place_id),
    }
    for wrong in (
        {"role_code": "APPLICATION_OWNER"},
        {"role_code": "APPLICATION_OWNER", "application": "NOTHING"},
        {"role_code": "AUDITOR", "application": "PS_AND_R"},
    ):
        with pytest.raises(Refusal, match="not_found"):
            await appointed(desk, **wrong)
    # A known person gets the second application under the one user ID.
    accounts = len(await desk.rows(tables.account))
    again = {"role_code": "APPLICATION_OWNER", "application": "CLAIM_STATUS", "user_id": f" {owner.lower()} "}
    assert await appointed(desk, **again) == owner
    assert len(await desk.rows(tables.account)) == accounts
    with pytest.raises(Refusal, match="already_held"):
        await appointed(desk, **again)
    with pytest.raises(Refusal, match="separation_of_duty"):
        await appointed(desk, role_code="AUDITOR", user_id=owner)
    with pytest.raises(Refusal, match="Nobody has the user ID AAAAAAAA"):
        await appointed(desk, user_id="AAAAAAAA")


async def test_who_is_dismissed_holds_the_role_no_more_and_keeps_the_account(desk: Desk) -> None:
    user_id = (await desk.account(desk.help_desk)).user_id
    for wrong in ({"role_code": "AUDITOR"}, {"community_id": "nowhere"}, {"role_code": SECURITY_OFFICIAL}):
        with pytest.raises(Refusal, match="not_found"):
            await dismiss(desk, user_id, **wrong)
    await dismiss(desk, user_id)
    (ended,) = await desk.announced(directory.RoleEnded)
    assert (ended.person_id, ended.role, ended.cause, ended.ended_by) == (desk.help_desk, HELP_DESK, "revoked", None)
    assert (await desk.account(desk.help_desk)).state == "invited"
    assert [act.actor for act in await desk.rows(audit) if act.act == "end_role"] == ["operator"]
    with pytest.raises(Refusal, match="not_found"):
        await dismiss(desk, user_id)
    await appointed(desk, user_id=user_id)
