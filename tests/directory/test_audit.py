"""What the directory records of who did what: each list here is written by hand, and nothing may be missing from it."""

from datetime import timedelta

from services.directory import tables, usecases
from shared.tables import audit
from tests.directory.builders import KEYS, SECURITY_OFFICIAL, a_dossier, new_person
from tests.directory.desk import Desk

PREPARED = [("apply_community", "operator"), ("issue_account", "directory"), ("appoint", "operator")]
"""What every desk has done before a test begins."""


async def recorded(desk: Desk) -> list[tuple[str, str]]:
    return [(row.act, row.actor) for row in sorted(await desk.rows(audit), key=lambda row: row.position)]


async def test_what_a_person_does_with_an_account_is_recorded_under_their_own_name(desk: Desk) -> None:
    person = str(desk.help_desk)
    async with desk.db.begin() as tx:
        await usecases.ask_password_link(tx, KEYS, (await desk.account(desk.help_desk)).user_id)
    user_id = await desk.with_password(desk.help_desk)
    await desk.sign_in(user_id, "wrong")
    await desk.sign_in(user_id)
    for _ in range(2):  # To sign out once more is nothing that anybody did.
        await desk.http.delete("/directory/v1/sessions/current")
    assert await recorded(desk) == [
        *PREPARED,
        ("ask_password_link", person),
        ("set_password", person),
        ("fail_sign_in", person),
        ("sign_in", person),
        ("sign_out", person),
    ]


async def test_whatever_becomes_of_a_place_is_recorded_and_who_ended_a_role_or_an_organization(desk: Desk) -> None:
    organization = await desk.organization()
    official = organization.applicant.person_id
    await desk.put(tables.organization, "suspended")
    await desk.backup(organization)
    group = await desk.group(organization)
    administrator = group.applicant.person_id
    await desk.end(group, administrator)
    place = {"scope_id": organization.scope_id, "place_id": group.place_id, "person_id": administrator}
    again = await desk.grant(a_dossier("administer_group", **place), official, SECURITY_OFFICIAL)
    await desk.end(again, official)
    desk.wait(timedelta(days=31))
    assert await desk.fire(2) == 2
    await desk.group(organization, group_name="Second", person_id=administrator)
    async with desk.db.begin() as tx:
        await usecases.close_organization(tx, organization.scope_id, official, confirm="XYZ Medical Group LLC")
    other = await desk.organization(person_id=official)
    await desk.end(other, desk.help_desk)
    practitioner = await desk.practitioner(person_id=administrator)
    await desk.end(practitioner, administrator)
    help_desk, so, uga = str(desk.help_desk), str(official), str(administrator)
    assert await recorded(desk) == [
        *PREPARED,
        ("activate_organization", "directory"),
        ("issue_account", "directory"),
        ("grant_role", help_desk),
        ("issue_account", "directory"),
        ("grant_role", so),
        ("keep_organization_again", "directory"),
        ("activate_group", "directory"),
        ("issue_account", "directory"),
        ("grant_role", so),
        ("end_role", uga),
        ("leave_group_without_administrator", "directory"),
        ("grant_role", so),
        ("keep_group_again", "directory"),
        ("end_role", so),
        ("leave_group_without_administrator", "directory"),
        ("close_group", "directory"),
        ("activate_group", "directory"),
        ("grant_role", so),
        ("end_role", so),  # Whoever closes an organization ends what was in it.
        ("close_group", "directory"),
        ("end_role", so),
        ("end_role", so),
        ("close_organization", so),
        ("activate_organization", "directory"),
        ("grant_role", help_desk),
        ("end_role", help_desk),
        ("suspend_organization", "directory"),
        ("activate_practitioner", "directory"),
        ("grant_role", help_desk),
        ("end_role", uga),
        ("close_practitioner", "directory"),
    ]


async def test_what_the_directory_refuses_renews_and_says_again_is_recorded_as_well(desk: Desk) -> None:
    organization = await desk.organization()
    wish = a_dossier("create_provider_group", scope_id=organization.scope_id)
    await desk.keep(wish)
    await desk.keep(desk.approved(wish, new_person(), SECURITY_OFFICIAL))
    desk.wait_really(timedelta(days=61))
    for _ in range(2):  # The new key has its time before it.
        async with desk.db.begin() as tx:
            await usecases.ensure_signing_key(tx, KEYS)
    async with desk.db.begin() as tx:
        after = await usecases.say_everything(tx, "organization", None, by="ann")
        assert await usecases.say_everything(tx, "organization", after, by="ann") is None
    assert await recorded(desk) == [
        *PREPARED,
        ("activate_organization", "directory"),
        ("issue_account", "directory"),
        ("grant_role", str(desk.help_desk)),
        ("refuse_grant", "directory"),
        ("make_signing_key", "directory"),
        ("say_everything", "ann"),
    ]
