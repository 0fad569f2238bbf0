"""An organization with everything in it that an operation can name, come into being through the public API."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console

from services.registration.domain import fields
from services.story import Story
from services.story.acts import Acts, Filed, Organization
from services.story.telling import Person, bearer
from shared.testing.product import Product

_ADDRESS = {"street": "1 Main Street", "city": "Baltimore", "state": "MD", "zip_code": "21244"}
_CLINIC = {**_ADDRESS, "phone": "410-555-0100", "provider_type": "clinic"}


@dataclass(frozen=True, repr=False)
class House:
    """One organization: who works there, and what there is, by the names that arrangements use."""

    do: Acts
    """How its people act: it knows which mail they have read."""
    organization: Organization
    administrator: Person
    user: Person
    applicant: Person
    things: Mapping[str, str]
    """What an id in a path stands for -> that id."""
    action_tokens: Mapping[str, str]
    """The name of a request -> its applicant's 30-minute token."""

    @property
    def addresses(self) -> set[str]:
        """The e-mail addresses of its people."""
        return {each.email for each in (self.organization.official, self.administrator, self.user, self.applicant)}


def a_story(product: Product) -> Story:
    """Return a silent teller of its own: several may tell at once."""
    return Story.at(product.origin, product.told, Console(quiet=True))


def build(product: Product, helper: Person, name: str) -> House:
    """Build an organization with a user group. What its people did before is as much a part of it as what waits."""
    story = a_story(product)
    do = story.do
    organization = story.an_organization_registers(helper, name)
    registered = do.filed[0]
    administrator, group_id = open_group(do, organization, "Billing")
    about = {"organization_id": organization.id, "group_id": group_id}
    user, role_id, entitlement_id = _one_who_came_back(do, organization, administrator, about)
    application = do.ask(
        administrator,
        "asks",
        "access_application",
        application="PS_AND_R",
        role_assignment_id=do.role_of(administrator, "USER_GROUP_ADMINISTRATOR")["id"],
    )
    data = {"group_name": f"Coding {do.run}"}
    new_group = do.ask(administrator, "asks", "create_provider_group", organization_id=organization.id, data=data)
    applicant, settled, join, registration = _an_applicant(do, administrator, about)
    for approver, filed in (
        (organization.official, application),
        (organization.official, new_group),
        (administrator, join),
        (helper, registration),
    ):
        do.seen(approver, filed)
    return House(
        do,
        organization,
        administrator,
        user,
        applicant,
        {
            "organization": organization.id,
            "group": group_id,
            "tin": do.tins[0],
            "tracking number": join.tracking_number,
            "registered": registered.request_id,
            "its letter": _letter_of(do, helper, registered),
            "registration": registration.request_id,
            "letter": _letter_of(do, helper, registration),
            "join": join.request_id,
            "settled": settled.request_id,
            "new group": new_group.request_id,
            "application": application.request_id,
            "ended role": role_id,
            "ended entitlement": entitlement_id,
        },
        {
            "registered": registered.action_token,
            "registration": registration.action_token,
            "join": join.action_token,
            "settled": settled.action_token,
        },
    )


def open_group(do: Acts, organization: Organization, called: str) -> tuple[Person, str]:
    """Let a user group be opened; return its administrator and its id."""
    administrator, name = do.tell.person(), f"{called} {do.run}"
    data = {"group_name": name}
    asked = do.ask(administrator, "asks", "create_provider_group", organization_id=organization.id, data=data)
    do.decide(organization.official, asked, "approves")
    group_id = do.group_opens(organization.id, name)
    do.come_in(administrator)
    return administrator, group_id


def _one_who_came_back(
    do: Acts, organization: Organization, administrator: Person, about: Mapping[str, str]
) -> tuple[Person, str, str]:
    """Let an end user join, get an application, leave, and join again; return what ended when they left."""
    user = do.tell.person()
    do.decide(administrator, do.ask(user, "asks to join", "join_group", **about), "approves")
    do.come_in(user)
    role_id = str(do.role_of(user, "END_USER")["id"])
    wish = do.ask(user, "asks", "access_application", application="CLAIM_STATUS", role_assignment_id=role_id)
    for approver in (administrator, organization.official):
        do.decide(approver, wish, "approves")
    do.becomes(wish, "granted", "it is granted")
    entitlement_id = str(do.access_of(user)["entitlements"][0]["id"])
    do.tell.ok(do.http.delete(f"/directory/v1/role-assignments/{role_id}", headers=bearer(user.token)))

    def again() -> Filed | None:  # Until registration has heard of the end, the role is held already.
        filed = do.post_request(user, "join_group", **about)
        found = filed.json()
        return None if filed.is_error else Filed(found["request_id"], found["tracking_number"])

    do.decide(administrator, do.tell.until(again, "it may not be asked again"), "approves")
    do.role_of(user, "END_USER")
    return user, role_id, entitlement_id


def _an_applicant(do: Acts, administrator: Person, about: Mapping[str, str]) -> tuple[Person, Filed, Filed, Filed]:
    """File, as one who has no account: a request that is denied, the same anew, and a registration."""
    applicant = do.tell.person()
    settled = do.ask(applicant, "asks to join", "join_group", **about)
    do.decide(administrator, settled, "denies", "deny", reason="not_needed")
    do.becomes(settled, "denied", "it is denied")
    join = do.ask(applicant, "asks to join again", "join_group", **about)
    data = {**_CLINIC, "legal_business_name": f"The applicant's own {do.run}", "tin": "27-1234567"}
    registration = do.ask(applicant, "registers", "register_organization", data=data)
    do.send_letter(registration)
    return applicant, settled, join, registration


def practise(do: Acts, helper: Person, doctor: Person) -> None:
    """Let somebody become an individual practitioner, and sign in: the way to an account without an organization."""
    numbers = (f"1{random.randrange(10**9):09d}" for _ in range(10_000))
    npi = next(number for number in numbers if fields.npi(number))
    filed = do.ask(doctor, "registers", "register_practitioner", data={**_ADDRESS, "npi": npi})
    do.decide(helper, filed, "The help desk approves")
    do.come_in(doctor)


def _letter_of(do: Acts, helper: Person, filed: Filed) -> str:
    url = f"/registration/v1/requests/{filed.request_id}/documents"
    return str(do.tell.ok(do.http.get(url, headers=bearer(helper.token)))["items"][0]["document_id"])
