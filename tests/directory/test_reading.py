"""What is looked up by those who may: an organization from within, by its numbers, its applications, one's access."""

import base64
from typing import Any

import pytest

from services.directory import domain, tables
from shared.contracts import registration
from shared.ids import PersonId, entitlement_id
from shared.policy import Standing
from shared.tables import audit
from tests.directory.builders import (
    ADMINISTRATOR,
    COMMUNITY,
    END_USER,
    SECURITY_OFFICIAL,
    TIN,
    new_person,
    role_of,
)
from tests.directory.desk import Desk

Dossier = registration.RequestSubmitted
V1 = "/directory/v1"
SEARCHES = f"{V1}/organization-searches"


async def auditor(desk: Desk) -> PersonId:
    """Return somebody who audits the community."""
    async with desk.db.begin() as tx:
        await desk.appoint(tx, role_code="AUDITOR", given_name="Audrey")
    return await desk.person_named("Audrey")


async def see(desk: Desk, path: str, by: PersonId | None = None, **query: Any) -> Any:
    """Return what a call answers: the status of a refusal, or the body."""
    headers = await desk.headers(by) if by else None
    answer = await desk.http.get(f"{V1}{path}", params=query, headers=headers)
    return answer.json() if answer.status_code == 200 else answer.status_code


async def test_organizations_are_found_by_names_that_are_something_like_what_was_typed(desk: Desk) -> None:
    for name in ("Chesapeake Family Practice", "Chesapeake Bay Dental", "Riverside Clinic"):
        await desk.organization(name)

    async def found(words: str) -> list[str]:
        got = await see(desk, "/organizations", similar=words)
        assert got["next_cursor"] is None
        return [it["legal_business_name"] for it in got["items"]]

    assert (await found("chesapeak familly"))[0] == "Chesapeake Family Practice"
    assert await found("riversde") == ["Riverside Clinic"]
    assert set(await found("Chespeake, L.L.C.")) == {"Chesapeake Bay Dental", "Chesapeake Family Practice"}
    assert await found("orthopaedics") == []
    assert await see(desk, "/organizations", similar="a", name="b") == 422
    assert await see(desk, "/organizations", similar="!!!") == 422
    assert len((await see(desk, "/organizations", similar="chesapeake", limit=1))["items"]) == 1


async def test_an_organization_that_is_suspended_or_closed_is_found_by_no_words(desk: Desk) -> None:
    await desk.organization("Riverside Clinic")
    for status, found in (("active", 1), ("suspended", 0), ("closed", 0)):
        await desk.put(tables.organization, status)
        assert len((await see(desk, "/organizations", similar="riverside"))["items"]) == found


async def test_the_open_applications_of_a_community_say_for_whom_they_are(desk: Desk) -> None:
    closed = COMMUNITY.applications[0].model_copy(update={"code": "CLOSED", "open": False})
    await desk.publish(COMMUNITY.model_copy(update={"version": 2, "applications": (*COMMUNITY.applications, closed)}))
    shown = await see(desk, "/applications", community_id=COMMUNITY.id)
    assert [it["code"] for it in shown["items"]] == ["PS_AND_R", "CLAIM_STATUS"]
    first = shown["items"][0]
    assert first["roles"] == [
        {"code": ADMINISTRATOR, "name": "User Group Administrator"},
        {"code": END_USER, "name": "End User"},
    ]
    assert (first["criteria"][:9], first["not_for"][:9]) == ("Providers", "Practices")
    assert await see(desk, "/applications", community_id="nowhere") == 404
    assert await see(desk, "/applications") == 422


async def test_members_see_who_may_decide_what_by_role_and_name(desk: Desk) -> None:
    organization, other = await desk.organization(), await desk.organization()
    group = await desk.group(organization, group_name="Billing")
    user = await desk.joined(organization, group)
    await desk.group(other, group_name="Elsewhere")
    path = f"/organizations/{organization.scope_id}/deciders"
    seen = await see(desk, path, user.applicant.person_id)
    decides = {role["role"]: role["decides"] for role in seen["roles"]}
    assert list(decides) == [
        SECURITY_OFFICIAL,
        "BACKUP_SECURITY_OFFICIAL",
        ADMINISTRATOR,
        "HELP_DESK",
        "APPLICATION_OWNER",
    ]
    assert "Become Backup Security Official of an organization" in decides[SECURITY_OFFICIAL]
    assert "Become Backup Security Official of an organization" not in decides["BACKUP_SECURITY_OFFICIAL"]
    assert decides[ADMINISTRATOR] == ["Join a user group as End User", "Use a CMS application"]
    assert {(it["role"], it["given_name"], it["group_name"]) for it in seen["items"]} == {
        (SECURITY_OFFICIAL, "Rosa", None),
        (ADMINISTRATOR, "Rosa", "Billing"),
    }
    first = await see(desk, path, user.applicant.person_id, limit=1)
    rest = await see(desk, path, user.applicant.person_id, limit=1, cursor=first["next_cursor"])
    assert [*first["items"], *rest["items"]] == seen["items"]
    assert rest["next_cursor"] is None
    assert await see(desk, path, desk.help_desk, cursor=first["next_cursor"]) == 422  # Another reader's.


async def test_who_has_left_is_named_among_the_deciders_no_more(desk: Desk) -> None:
    organization = await desk.organization()
    group = await desk.group(organization)
    await desk.end(group, group.applicant.person_id)
    seen = await see(desk, f"/organizations/{organization.scope_id}/deciders", organization.applicant.person_id)
    assert [it["role"] for it in seen["items"]] == [SECURITY_OFFICIAL]


async def test_who_may_look_into_an_organization(desk: Desk) -> None:
    organization, other = await desk.organization(), await desk.organization()
    backup = await desk.backup(organization)
    group = await desk.group(organization)
    user = await desk.joined(organization, group)
    practitioner = await desk.practitioner()
    async with desk.db.begin() as tx:
        await desk.appoint(tx, role_code="APPLICATION_OWNER", application="PS_AND_R", given_name="Owen")
    callers = {
        "SO": organization.applicant.person_id,
        "BSO": backup.applicant.person_id,
        "UGA": group.applicant.person_id,
        "EU": user.applicant.person_id,
        "stranger": other.applicant.person_id,
        "IP": practitioner.applicant.person_id,
        "help desk": desk.help_desk,
        "auditor": await auditor(desk),
        "owner": await desk.person_named("Owen"),
    }
    seen = {
        what: {
            who
            for who, person in callers.items()
            if isinstance(await see(desk, f"/organizations/{organization.scope_id}/{what}", person), dict)
        }
        for what in ("deciders", "people")
    }
    assert seen["deciders"] == {"SO", "BSO", "UGA", "EU", "help desk", "auditor"}
    assert seen["people"] == {"SO", "BSO", "help desk", "auditor"}
    for what in ("deciders", "people"):
        assert await see(desk, f"/organizations/{organization.scope_id}/{what}") == 401
        assert await see(desk, f"/organizations/{new_person()}/{what}", desk.help_desk) == 404
    # The help desk of one community is nobody in another.
    elsewhere = COMMUNITY.model_copy(update={"id": "elsewhere"})
    await desk.publish(elsewhere)
    await desk.sql("UPDATE organization SET community_id = 'elsewhere'")
    assert await see(desk, f"/organizations/{organization.scope_id}/people", desk.help_desk) == 404


async def test_the_people_of_an_organization_are_shown_with_what_they_hold_in_it(desk: Desk) -> None:
    organization, other = await desk.organization("XYZ Medical"), await desk.organization("Other Medical")
    official = organization.applicant.person_id
    group = await desk.group(organization, group_name="Billing")
    user = await desk.joined(organization, group)
    right = await desk.entitled(user, official)
    elsewhere = await desk.group(other, group_name="Elsewhere", person_id=user.applicant.person_id)
    await desk.entitled(elsewhere, other.applicant.person_id)
    left = await desk.joined(organization, group)
    await desk.end(left, left.applicant.person_id)
    path = f"/organizations/{organization.scope_id}/people"
    seen = {it["person_id"]: it for it in (await see(desk, path, official))["items"]}
    assert set(seen) == {str(it.applicant.person_id) for it in (organization, group, user)}
    shown = seen[str(user.applicant.person_id)]
    assert [(it["id"], it["role_name"], it["place_name"]) for it in shown["roles"]] == [
        (str(role_of(user)), "End User", "Billing")
    ]
    assert [(it["id"], it["application_name"]) for it in shown["entitlements"]] == [
        (str(entitlement_id(right.request_id)), "Claim Status Inquiry")
    ]
    first = await see(desk, path, official, limit=2)
    assert await see(desk, path, desk.help_desk, cursor=first["next_cursor"]) == 422  # Another reader's.
    pages, cursor = [], None
    while True:
        page = await see(desk, path, official, limit=2, **({"cursor": cursor} if cursor else {}))
        pages.append([it["person_id"] for it in page["items"]])
        if (cursor := page["next_cursor"]) is None:
            break
    assert [len(page) for page in pages] == [2, 1]
    assert {person for page in pages for person in page} == set(seen)


async def test_my_access_names_roles_places_and_applications(desk: Desk) -> None:
    organization = await desk.organization("XYZ Medical")
    group = await desk.group(organization, group_name="Billing")
    person = group.applicant.person_id
    right = await desk.entitled(group, organization.applicant.person_id)
    practitioner = await desk.practitioner(person_id=person)
    seen = await see(desk, "/people/me", person)
    assert [(it["role_name"], it["organization_name"], it["group_name"], it["place_name"]) for it in seen["roles"]] == [
        ("User Group Administrator", "XYZ Medical", "Billing", "Billing"),
        ("Individual Practitioner", None, None, None),
    ]
    assert seen["roles"][1]["scope_id"] == str(practitioner.scope_id)
    (shown,) = seen["entitlements"]
    assert (shown["id"], shown["application"], shown["role_name"], shown["organization_name"]) == (
        str(entitlement_id(right.request_id)),
        "CLAIM_STATUS",
        "User Group Administrator",
        "XYZ Medical",
    )
    (mine,) = (await see(desk, "/people/me", desk.help_desk))["roles"]
    assert (mine["role_name"], mine["place_name"]) == ("Help Desk", "Provider/Supplier Community")


# --- By number ------------------------------------------------------------------------------------------------


async def search(desk: Desk, by: PersonId, **body: str) -> list[str] | int:
    answer = await desk.http.post(SEARCHES, json=body, headers=await desk.headers(by))
    if answer.status_code != 200:
        return answer.status_code
    return sorted(it["legal_business_name"] for it in answer.json()["items"])


async def test_a_tin_finds_every_organization_of_it_for_the_help_desk_alone(desk: Desk) -> None:
    one, two = await desk.organization("One LLC"), await desk.organization("Two LLC")
    await desk.organization("Another", data={"tin_fingerprint": "of another TIN"})
    await desk.end(two, desk.help_desk)  # Suspended: the help desk sees it still.
    for typed in (TIN, f"{TIN[:2]}-{TIN[2:]}"):
        assert await search(desk, desk.help_desk, tin=typed) == ["One LLC", "Two LLC"]
    for person in (one.applicant.person_id, await auditor(desk)):
        assert await search(desk, person, tin=TIN) == 404
    assert (await desk.http.post(SEARCHES, json={"tin": TIN})).status_code == 401
    acts = [act for act in await desk.rows(audit) if act.act.startswith("search_organizations")]
    assert {(act.actor, act.act) for act in acts} == {(str(desk.help_desk), "search_organizations_by_tin")}
    assert TIN not in await desk.dump()


async def test_a_search_by_number_goes_on_where_its_page_ended_and_its_cursor_holds_no_tin(desk: Desk) -> None:
    for name in ("One LLC", "Two LLC", "Three LLC"):
        await desk.organization(name)
    found: list[str] = []
    cursor: str | None = None
    while True:
        body = {"tin": TIN, "limit": 2, "cursor": cursor}
        page = (await desk.http.post(SEARCHES, json=body, headers=await desk.headers(desk.help_desk))).json()
        found += [it["legal_business_name"] for it in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        read = [base64.urlsafe_b64decode(part + "==") for part in cursor.split(".")]
        assert not any(TIN.encode() in part for part in read)
    assert found == ["One LLC", "Three LLC", "Two LLC"]
    first = {"tin": TIN, "limit": 1}
    begun = (await desk.http.post(SEARCHES, json=first, headers=await desk.headers(desk.help_desk))).json()
    other = {"npi": "1234567893", "cursor": begun["next_cursor"]}
    assert (await desk.http.post(SEARCHES, json=other, headers=await desk.headers(desk.help_desk))).status_code == 422


async def test_an_npi_finds_organizations_for_whoever_decides_something(desk: Desk) -> None:
    number = "1234567893"
    one = await desk.organization("One LLC", data={"npi": number})
    two = await desk.organization("Two LLC", data={"npi": number})
    await desk.organization("Three LLC")
    group = await desk.group(one)
    user = await desk.joined(one, group)
    await desk.end(two, desk.help_desk)
    assert await search(desk, desk.help_desk, npi=number) == ["One LLC", "Two LLC"]
    judge = await auditor(desk)
    assert await search(desk, judge, npi=number) == ["One LLC", "Two LLC"]
    assert await search(desk, group.applicant.person_id, npi=number) == ["One LLC"]
    assert await search(desk, user.applicant.person_id, npi=number) == 404
    first = {"npi": number, "limit": 1}
    begun = (await desk.http.post(SEARCHES, json=first, headers=await desk.headers(desk.help_desk))).json()
    assert await search(desk, desk.help_desk, npi=number, cursor=begun["next_cursor"]) == ["Two LLC"]
    assert await search(desk, judge, npi=number, cursor=begun["next_cursor"]) == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tin": TIN, "npi": "1234567893"},
        {"tin": "12-34"},
        {"tin": "1-23456789"},
        {"npi": "3234567893"},
        {"tin": f"{TIN}1"},
        {"tin": TIN, "limit": "101"},
    ],
)
async def test_a_search_names_one_number_that_can_be_one(desk: Desk, body: dict[str, str]) -> None:
    assert await search(desk, desk.help_desk, **body) == 422


def test_nothing_is_open_to_an_auditor_that_changes_anything() -> None:
    open_to = {action for action, standings in domain.POLICY.items() if Standing.AUDITOR in standings}
    assert open_to == {"search_organizations_by_npi", "list_deciders", "list_people"}
