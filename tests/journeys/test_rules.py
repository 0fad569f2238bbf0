"""The fourteen rules of the domain, each under its own sentence, seen from outside on the running product."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from rich.console import Console

from services.story import Story
from services.story.acts import Acts, Filed, Organization
from services.story.telling import Person, bearer
from shared.testing.product import Product

LETTER_DATA = {
    "tin": "12-3456789",
    "street": "1 Main Street",
    "city": "Baltimore",
    "state": "MD",
    "zip_code": "21244",
    "phone": "410-555-0100",
    "provider_type": "clinic",
}


@dataclass(frozen=True)
class World:
    """One organization with everybody in it."""

    do: Acts
    helper: Person
    xyz: Organization
    backup: Person
    administrator: Person
    group_id: str
    user: Person

    @property
    def group(self) -> dict[str, str]:
        """How a request names the group."""
        return {"organization_id": self.xyz.id, "group_id": self.group_id}

    def join(self, who: Person) -> Filed:
        """Ask to join the group."""
        return self.do.ask(who, "joins", "join_group", **self.group)

    def another_organization(self, name: str, **data: str) -> tuple[Person, Filed]:
        """File for one more organization, with its letter."""
        official = self.do.tell.person()
        whole = {**LETTER_DATA, "legal_business_name": name, **data}
        filed = self.do.ask(official, "files", "register_organization", data=whole)
        self.do.send_letter(filed)
        return official, filed


@pytest.fixture(scope="module")
def world(product: Product) -> World:
    """The organization, come into being through the public API."""
    story = Story.at(product.origin, product.told, Console(quiet=True))
    helper = story.the_help_desk_opens()
    xyz = story.an_organization_registers(helper, "XYZ Medical Group")
    backup = story.a_backup_is_appointed(xyz)
    administrator, group_id = story.a_group_is_created(xyz)
    user = story.an_end_user_joins(xyz, administrator, group_id)
    return World(story.do, helper, xyz, backup, administrator, group_id, user)


def code_of(answer: Any) -> str:
    return str(answer.json().get("code"))


def test_r1_one_account_a_person_the_first_grant_issues_the_user_id_and_later_ones_add_roles_to_it(
    world: World,
) -> None:
    do = world.do
    official, filed = world.another_organization(f"One account {uuid4().hex[:6]}")
    do.decide(world.helper, filed, "approves")
    do.come_in(official)
    asked = do.ask(official, "asks", "create_provider_group", organization_id=world.xyz.id, data={"group_name": "R1"})
    do.decide(world.xyz.official, asked, "approves")
    do.becomes(asked, "granted", "granted")
    mine = do.access_of(official)
    assert mine["user_id"] == official.user_id
    assert sorted(role["role"] for role in mine["roles"]) == ["SECURITY_OFFICIAL", "USER_GROUP_ADMINISTRATOR"]


def test_r2_a_surrogate_group_belongs_to_one_organization_so_work_for_two_is_two_requests(world: World) -> None:
    do = world.do
    surrogate, groups = do.tell.person(), set()
    other, filed = world.another_organization(f"Second {uuid4().hex[:6]}")
    do.decide(world.helper, filed, "approves")
    do.come_in(other)
    second_id = do.role_of(other, "SECURITY_OFFICIAL")["place_id"]
    for organization_id, official in ((world.xyz.id, world.xyz.official), (second_id, other)):
        data = {"group_name": "ABC", "company_name": "ABC Inc."}
        asked = do.ask(surrogate, "asks", "create_surrogate_group", organization_id=organization_id, data=data)
        wrong = other if official is world.xyz.official else world.xyz.official
        hidden = do.http.get(f"/approval/v1/requests/{asked.request_id}", headers=bearer(wrong.token))
        assert hidden.status_code == 404  # It is the decision of *that* organization.
        do.decide(official, asked, "approves")
        do.becomes(asked, "granted", "granted")
        if not surrogate.token:
            do.come_in(surrogate)
    mine = do.access_of(surrogate)
    groups = {role["place_id"] for role in mine["roles"]}
    assert (len(groups), mine["user_id"]) == (2, surrogate.user_id)


def test_r3_an_unknown_and_an_unapproved_organization_get_the_same_answer(world: World, product: Product) -> None:
    do = world.do
    _, filed = world.another_organization(f"Unapproved {uuid4().hex[:6]}")
    (waiting,) = product.rows("registration", "SELECT scope_id FROM request WHERE id = $1", filed.request_id)
    answers: list[Any] = []
    for organization_id in (str(waiting["scope_id"]), str(uuid4())):
        data = {"group_name": "Early"}
        told = do.post_request(do.tell.person(), "create_provider_group", organization_id=organization_id, data=data)
        answers.append((told.status_code, {k: v for k, v in told.json().items() if k != "trace_id"}))
        shown = do.http.get(f"/directory/v1/organizations/{organization_id}")
        answers.append((shown.status_code, code_of(shown)))
    assert answers[:2] == answers[2:]
    assert answers[0][1]["code"] == "organization_not_listed"


def test_r4_who_works_in_several_roles_files_one_request_each_signed_in_to_the_one_account(world: World) -> None:
    do = world.do
    asked = do.ask(
        world.administrator, "asks", "create_provider_group", organization_id=world.xyz.id, data={"group_name": "R4"}
    )
    do.decide(world.xyz.official, asked, "approves")
    do.becomes(asked, "granted", "granted")
    roles = [role["role"] for role in do.access_of(world.administrator)["roles"]]
    assert roles.count("USER_GROUP_ADMINISTRATOR") == 2


def test_r5_filing_again_returns_the_open_request(world: World) -> None:
    do = world.do
    first = do.ask(world.user, "asks", "create_provider_group", organization_id=world.xyz.id, data={"group_name": "R5"})
    again = do.post_request(
        world.user, "create_provider_group", organization_id=world.xyz.id, data={"group_name": "  r5 "}
    )
    assert again.json()["request_id"] == first.request_id


def test_r6_preconditions_are_checked_at_submission_at_the_decision_and_when_the_grant_is_applied(
    world: World, product: Product
) -> None:
    do = world.do
    at_submission = do.post_request(world.user, "become_backup_security_official", organization_id=world.xyz.id)
    assert code_of(at_submission) == "separation_of_duty"

    person = do.tell.person()
    joining = world.join(person)
    backing = do.ask(person, "asks", "become_backup_security_official", organization_id=world.xyz.id)
    do.decide(world.administrator, joining, "approves")
    do.becomes(joining, "granted", "granted")
    product.wait_quiet()  # Approval judges by what it has heard of the role.

    def refused() -> str | None:
        answer = do.post_decision(world.xyz.official, do.seen(world.xyz.official, backing), verdict="approve")
        return code_of(answer) if answer.is_error else None

    assert do.tell.until(refused, "it was approved") == "separation_of_duty"


def test_r6_what_fails_when_the_grant_is_applied_goes_to_the_help_desk_and_is_never_half_applied(
    world: World, product: Product
) -> None:
    do = world.do
    person = do.tell.person()
    joining = world.join(person)
    backing = do.ask(person, "asks", "become_backup_security_official", organization_id=world.xyz.id)
    product.pause("directory")  # Approval decides both on what it knows, before either is a role.
    try:
        do.decide(world.administrator, joining, "approves")
        do.decide(world.xyz.official, backing, "approves")
    finally:
        product.resume("directory")
    states = do.tell.until(
        lambda: (
            settled if (settled := {do.state_of(joining), do.state_of(backing)}) == {"granted", "refused"} else None
        ),
        "both are not answered",
    )
    assert states == {"granted", "refused"}
    held = product.rows(
        "directory",
        "SELECT role FROM role_assignment JOIN person ON person.id = person_id WHERE email = $1",
        person.email,
    )
    assert len(held) == 1


def test_r7_the_first_valid_decision_wins_and_the_loser_is_told_who_decided_by_role_and_when(world: World) -> None:
    do = world.do
    asked = do.ask(
        do.tell.person(), "asks", "create_provider_group", organization_id=world.xyz.id, data={"group_name": "R7"}
    )
    both = (world.xyz.official, world.backup)
    reads = [do.seen(who, asked) for who in both]
    with ThreadPoolExecutor() as at_once:
        answers = list(
            at_once.map(lambda pair: do.post_decision(*pair, verdict="approve"), zip(both, reads, strict=True))
        )
    (lost,) = [answer.json() for answer in answers if answer.is_error]
    assert (lost["code"], set(lost) >= {"decided_by", "decided_at"}) == ("already_decided", True)
    assert lost["decided_by"] in ("SECURITY_OFFICIAL", "BACKUP_SECURITY_OFFICIAL")
    assert world.xyz.official.email not in str(lost)


def test_r7_withdrawing_is_a_wish_that_approval_answers(world: World) -> None:
    do = world.do
    person = do.tell.person()
    asked = world.join(person)
    do.seen(world.administrator, asked)
    assert do.withdraw(person, asked).status_code == 202
    do.becomes(asked, "withdrawn", "withdrawn")
    decided = do.http.post(
        f"/approval/v1/requests/{asked.request_id}/decisions",
        json={"verdict": "approve"},
        headers={**bearer(world.administrator.token), "if-match": '"1"'},
    )
    assert code_of(decided) == "request_closed"


def test_r8_eligibility_follows_the_directory_a_new_administrator_sees_older_work_a_removed_one_loses_the_queue(
    world: World,
) -> None:
    do = world.do
    asked = world.join(do.tell.person())
    do.seen(world.administrator, asked)
    newcomer = do.tell.person()
    joining = do.ask(newcomer, "asks", "administer_group", **world.group)
    do.decide(world.xyz.official, joining, "approves")
    do.come_in(newcomer)
    do.seen(newcomer, asked)
    role = do.role_of(newcomer, "USER_GROUP_ADMINISTRATOR")
    taken = do.http.delete(f"/directory/v1/role-assignments/{role['id']}", headers=bearer(world.xyz.official.token))
    assert taken.status_code == 204

    def is_gone() -> bool:
        answer = do.http.get(f"/approval/v1/requests/{asked.request_id}", headers=bearer(newcomer.token))
        return answer.status_code == 404

    do.tell.until(lambda: is_gone() or None, "who was removed still sees the queue")
    do.decide(world.administrator, asked, "approves")


def test_r9_a_practitioner_who_uses_it_personally_registers_as_practitioner_and_has_no_groups(
    world: World, product: Product
) -> None:
    do = world.do
    doctor = do.tell.person()
    data = {**{k: LETTER_DATA[k] for k in ("street", "city", "state", "zip_code")}, "npi": "1679576722"}
    asked = do.ask(doctor, "registers", "register_practitioner", data=data)
    do.decide(world.helper, asked, "approves")
    do.come_in(doctor)
    record = do.role_of(doctor, "INDIVIDUAL_PRACTITIONER")["place_id"]
    product.wait_quiet()  # Registration judges by what it has heard of the record.
    for kind, code in (
        ("create_provider_group", "organization_not_listed"),
        ("create_surrogate_group", "surrogate_for_practitioner"),
    ):
        data = {"group_name": "Staff"} | ({"company_name": "S"} if kind == "create_surrogate_group" else {})
        answer = do.post_request(do.tell.person(), kind, organization_id=record, data=data)
        assert code_of(answer) == code


def test_r10_several_facilities_under_one_tin_register_separately(world: World) -> None:
    do = world.do
    mark = uuid4().hex[:6]
    for street in ("1 North Road", "2 South Road"):
        _, filed = world.another_organization(f"Facilities {mark} {street}", tin="27-1234567", street=street)
        do.decide(world.helper, filed, "approves")
        do.becomes(filed, "granted", "granted")


def test_r11_an_approval_attests_that_the_approver_knows_the_person(world: World, product: Product) -> None:
    do = world.do
    asked = world.join(do.tell.person())
    do.decide(world.administrator, asked, "approves")
    (decision,) = product.rows("approval", "SELECT statement FROM decision WHERE request_id = $1", asked.request_id)
    assert decision["statement"] == "I know this person and that this role is needed."


def test_r12_final_states_are_final_and_undoing_an_approval_is_a_new_act_with_its_own_record(
    world: World, product: Product
) -> None:
    do = world.do
    person = do.tell.person()
    asked = world.join(person)
    do.decide(world.administrator, asked, "approves")
    do.come_in(person)
    do.becomes(asked, "granted", "granted")
    again = do.http.post(
        f"/approval/v1/requests/{asked.request_id}/decisions",
        json={"verdict": "deny", "reason": "not_needed"},
        headers={**bearer(world.administrator.token), "if-match": '"9"'},
    )
    assert code_of(again) == "already_decided"
    assert code_of(do.withdraw(person, asked)) == "request_closed"
    role = do.role_of(person, "END_USER")
    url = f"/directory/v1/role-assignments/{role['id']}"
    assert do.http.delete(url, headers=bearer(world.administrator.token)).status_code == 204
    assert do.state_of(asked) == "granted"
    (row,) = product.rows("directory", "SELECT status FROM role_assignment WHERE id = $1", role["id"])
    assert row["status"] == "revoked"


def test_r13_an_entitlement_ends_with_the_role_that_it_rests_on_in_the_same_act_with_its_own_event(
    world: World, product: Product
) -> None:
    do = world.do
    person = do.tell.person()
    joining = world.join(person)
    do.decide(world.administrator, joining, "approves")
    do.come_in(person)
    role = do.role_of(person, "END_USER")
    about = {"application": "PS_AND_R", "role_assignment_id": role["id"]}
    asked = do.ask(person, "asks", "access_application", **about)
    do.decide(world.administrator, asked, "approves")
    do.decide(world.xyz.official, asked, "approves")
    do.becomes(asked, "granted", "granted")
    assert (
        do.http.delete(f"/directory/v1/role-assignments/{role['id']}", headers=bearer(person.token)).status_code == 204
    )
    assert do.access_of(person)["entitlements"] == []
    product.wait_quiet()
    ended = [
        record.about.type
        for record in product.records("iacs.directory.v1")
        if record.about.type.endswith(".ended.v1") and role["id"] in (record.value or b"").decode()
    ]
    assert sorted(ended) == ["iacs.directory.entitlement.ended.v1", "iacs.directory.role.ended.v1"]


def test_r14_access_is_told_after_the_grant_never_after_the_decision_alone(world: World, product: Product) -> None:
    do = world.do
    person = do.tell.person()
    asked = world.join(person)
    do.seen(world.administrator, asked)
    product.pause("directory")
    try:
        do.decide(world.administrator, asked, "approves")
        do.becomes(asked, "approved", "approved")
        time.sleep(1.0)  # Long enough for a mail that must not come.
        mails = do.tell.ok(do.http.get("/mail/messages", params={"to": person.email}))
        assert not [mail for mail in mails if "user id" in mail["subject"].lower()]
    finally:
        product.resume("directory")
    do.receive_user_id(person)
