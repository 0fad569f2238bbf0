"""What a program meets: finding organizations and groups, and one's own access."""

from typing import Any

import httpx

from services.directory import tables
from tests.directory.builders import ADMINISTRATOR, END_USER, SECURITY_OFFICIAL, a_dossier, new_person
from tests.directory.desk import Desk

ORGANIZATIONS = "/directory/v1/organizations"


def without_trace(answer: httpx.Response) -> dict[str, Any]:
    return {"status": answer.status_code} | {n: v for n, v in answer.json().items() if n != "trace_id"}


async def test_active_organizations_are_found_by_how_their_name_begins(desk: Desk) -> None:
    names = ["Zebra Clinic", "Alpha Medical, Inc.", "Alpha Medicine PLLC", "Beta 100% Care", "Alpha Medical LLC"]
    made = {name: await desk.organization(name) for name in names}
    hidden = await desk.organization("Alpha Hidden")
    await desk.keep(a_dossier())  # Not approved yet.
    await desk.put(tables.organization, "suspended", id=hidden.scope_id)

    async def found(**query: Any) -> list[str]:
        answer = await desk.http.get(ORGANIZATIONS, params=query)
        assert answer.status_code == 200, answer.text
        return [item["legal_business_name"] for item in answer.json()["items"]]

    everything = await found()
    assert sorted(everything) == sorted(names)
    assert everything[2:] == ["Alpha Medicine PLLC", "Beta 100% Care", "Zebra Clinic"]
    assert set(await found(name="ALPHA medical")) == {"Alpha Medical, Inc.", "Alpha Medical LLC"}
    assert await found(name="Medical") == []
    assert await found(name="beta 100%") == ["Beta 100% Care"]
    assert await found(name="%") == everything  # Punctuation is no part of a name, and no pattern either.

    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await desk.http.get(ORGANIZATIONS, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(seen) == len(set(seen)) == len(made)
    foreign = await desk.http.get(ORGANIZATIONS, params={**query, "name": "Alpha"})
    assert (foreign.status_code, foreign.json()["code"]) == (422, "field_invalid")

    item = (await desk.http.get(ORGANIZATIONS, params={"name": "Zebra"})).json()["items"][0]
    assert set(item) == {"id", "legal_business_name", "city", "state"}
    one = await desk.http.get(f"{ORGANIZATIONS}/{made['Zebra Clinic'].scope_id}")
    assert one.json() == item


async def test_an_unknown_and_an_unapproved_organization_get_the_same_answer(desk: Desk) -> None:
    waiting, suspended = a_dossier(), await desk.organization()
    await desk.keep(waiting)
    await desk.group(suspended)
    await desk.put(tables.organization, "suspended")
    for path in ("", "/groups"):
        answers = [
            await desk.http.get(f"{ORGANIZATIONS}/{organization_id}{path}")
            for organization_id in (new_person(), waiting.scope_id, suspended.scope_id)
        ]
        assert without_trace(answers[0])["status"] == 409
        assert without_trace(answers[0])["code"] == "organization_not_listed"
        assert without_trace(answers[0])["detail"] == "Contact the organization."
        assert all(without_trace(answer) == without_trace(answers[0]) for answer in answers)
    assert (await desk.http.get(f"{ORGANIZATIONS}/xyz")).status_code == 422


async def test_the_groups_of_an_organization_are_listed_by_name_but_for_the_closed(desk: Desk) -> None:
    organization, other = await desk.organization(), await desk.organization()
    for name in ("Coding", "Billing", "Archive"):
        await desk.group(organization, group_name=name)
    await desk.group(other, group_name="Elsewhere")
    await desk.put(tables.user_group, "without_administrator", name="Coding")
    await desk.put(tables.user_group, "closed", name="Archive")
    path = f"{ORGANIZATIONS}/{organization.scope_id}/groups"
    first = (await desk.http.get(path, params={"limit": 1})).json()
    assert [(it["name"], it["kind"], it["status"]) for it in first["items"]] == [("Billing", "provider", "active")]
    rest = (await desk.http.get(path, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert [(it["name"], it["status"]) for it in rest["items"]] == [("Coding", "without_administrator")]
    assert rest["next_cursor"] is None
    elsewhere = f"{ORGANIZATIONS}/{other.scope_id}/groups"
    assert (await desk.http.get(elsewhere, params={"cursor": first["next_cursor"]})).status_code == 422


async def test_my_access_shows_my_own_present_roles_and_nobody_elses(desk: Desk) -> None:
    me = "/directory/v1/people/me"
    assert (await desk.http.get(me)).status_code == 401
    assert (await desk.http.get(me, headers={"authorization": "Bearer abc"})).status_code == 401

    organization = await desk.organization("XYZ Medical")
    group = await desk.group(organization, group_name="Billing")
    person = group.applicant.person_id
    other = await desk.organization("Other Medical")
    joined = await desk.group(other, group_name="Coding")
    role = a_dossier("join_group", scope_id=other.scope_id, place_id=joined.place_id, person_id=person)
    await desk.grant(role, joined.applicant.person_id, ADMINISTRATOR, joined.place_id)
    ended = await desk.organization("Former Medical", person_id=person)
    await desk.end_role(ended)

    user_id = await desk.with_password(person)
    token = (await desk.sign_in(user_id)).json()["access_token"]
    answer = await desk.http.get(me, headers={"authorization": f"Bearer {token}"})
    shown = answer.json()
    assert (shown["person_id"], shown["user_id"], shown["given_name"]) == (str(person), user_id, "Rosa")
    assert [(it["role"], it["organization_name"], it["group_name"]) for it in shown["roles"]] == [
        (ADMINISTRATOR, "XYZ Medical", "Billing"),
        (END_USER, "Other Medical", "Coding"),
    ]
    assert SECURITY_OFFICIAL not in answer.text


async def test_the_description_names_every_operation_and_its_refusals(desk: Desk) -> None:
    paths = (await desk.http.get("/directory/openapi.json")).json()["paths"]
    operations = {(method, path): told for path, methods in paths.items() for method, told in methods.items()}
    expected = {
        ("get", ORGANIZATIONS): {"200", "422"},
        ("get", f"{ORGANIZATIONS}/{{organization_id}}"): {"200", "409", "422"},
        ("get", f"{ORGANIZATIONS}/{{organization_id}}/groups"): {"200", "409", "422"},
        ("get", f"{ORGANIZATIONS}/{{organization_id}}/deciders"): {"200", "401", "404", "422"},
        ("get", f"{ORGANIZATIONS}/{{organization_id}}/people"): {"200", "401", "404", "422"},
        ("post", f"{ORGANIZATIONS}/{{organization_id}}/closure"): {"204", "401", "404", "409", "422"},
        ("post", "/directory/v1/organization-searches"): {"200", "401", "404", "422"},
        ("get", "/directory/v1/applications"): {"200", "404", "422"},
        ("delete", "/directory/v1/role-assignments/{assignment_id}"): {"204", "401", "404", "409", "422"},
        ("delete", "/directory/v1/entitlements/{entitlement_id}"): {"204", "401", "404", "422"},
        ("get", "/directory/v1/people/me"): {"200", "401", "404"},
        ("post", "/directory/v1/sessions"): {"201", "401", "413", "422", "429"},
        ("delete", "/directory/v1/sessions/current"): {"204"},
        ("post", "/directory/v1/sessions/current/token"): {"201", "401"},
        ("post", "/directory/v1/password-links"): {"202", "422"},
    }
    assert set(operations) == set(expected)
    for name, operation in operations.items():
        told = {status for status in operation["responses"] if status < "500"}
        assert told - expected[name] <= {"400", "413", "422"}, name  # Of shape and size, wherever something is sent.
        assert told >= expected[name], name
        assert "503" in operation["responses"]
    assert all(it["summary"] for it in operations.values())
