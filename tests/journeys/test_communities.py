"""A community that the product has never heard of is applied as a file, and run through without a line of code."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from services.story.acts import Acts
from services.story.telling import Person
from shared.testing.product import Product

FILE = Path(__file__).parent / "communities" / "observatory.toml"


@dataclass(frozen=True)
class Observatory:
    """The people of one observatory, signed in, and its one dome."""

    acts: Acts
    warden: Person
    director: Person
    deans: list[Person]
    curator: Person
    organization_id: str
    dome_id: str


def founded(product: Product) -> Observatory:
    """Run the community through, from the first appointment to the dome."""
    acts = Acts(product.origin, Console(quiet=True), community="observatory")
    warden = acts.tell.person()
    names = ("--given-name", warden.given_name, "--family-name", warden.family_name, "--email", warden.email)
    where = ("--role", "WARDEN", "--community", "observatory", "--data", str(product.data), "--json")
    warden.user_id = json.loads(product.command("operator", "appoint", *names, *where))["user_id"]
    acts.set_password_and_sign_in(warden)

    director = acts.tell.person()
    name = f"Mount Clear {acts.run}"
    filed = acts.ask(director, "found", "found_observatory", data={**DATA, "legal_business_name": name})
    acts.decide(warden, filed, "approve")
    acts.come_in(director)
    organization_id = str(acts.tell.until(lambda: acts.organization(name), "it is not listed")["id"])

    deans = []
    for _ in range(3):
        dean = acts.tell.person()
        acts.decide(director, acts.ask(dean, "dean", "become_dean", organization_id=organization_id), "approve")
        acts.come_in(dean)
        deans.append(dean)

    curator = acts.tell.person()
    filed = acts.ask(curator, "open", "open_dome", organization_id=organization_id, data={"group_name": "North"})
    acts.decide(warden, filed, "the community first")
    acts.decide(director, filed, "the organization then")
    acts.come_in(curator)
    dome_id = acts.group_opens(organization_id, "North")
    return Observatory(acts, warden, director, deans, curator, organization_id, dome_id)


DATA = {
    "tin": "12-3456789",
    "street": "1 Summit Road",
    "city": "Baltimore",
    "state": "MD",
    "zip_code": "21244",
    "phone": "410-555-0100",
    "telescope": "Two metres, on an equatorial mount",
}


@pytest.fixture(scope="module")
def observatory(product: Product) -> Observatory:
    """One observatory, come into being."""
    product.command("community", "apply", str(FILE), "--data", str(product.data))
    return founded(product)


def test_a_request_goes_through_three_stages_in_three_kinds_of_place_with_a_quorum(observatory: Observatory) -> None:
    acts = observatory.acts
    visitor = acts.tell.person()
    about = {"organization_id": observatory.organization_id, "group_id": observatory.dome_id}
    filed = acts.ask(visitor, "visit", "visit_dome", **about)
    acts.decide(observatory.curator, filed, "in the group")
    first, second, third = observatory.deans
    acts.decide(first, filed, "one of two in the organization")
    late = acts.seen(third, filed)
    assert acts.post_decision(first, acts.seen(first, filed), verdict="approve").json()["code"] == "already_decided"
    acts.decide(second, filed, "two of two in the organization")
    refusal = acts.post_decision(third, late, verdict="approve").json()
    assert (refusal["code"], refusal["decided_by"]) == ("already_decided", "DEAN")
    acts.decide(observatory.warden, filed, "in the community")
    acts.becomes(filed, "granted", "it is access")
    acts.come_in(visitor)
    assert [role["role"] for role in acts.access_of(visitor)["roles"]] == ["VISITOR"]


def test_the_exclusions_and_seats_are_the_communitys_own(observatory: Observatory) -> None:
    acts = observatory.acts
    about = {"organization_id": observatory.organization_id}
    dean = acts.tell.person()
    answer = acts.post_request(dean, "become_dean", **about)
    assert answer.json()["code"] == "cardinality_reached"
    answer = acts.post_request(observatory.director, "visit_dome", **about, group_id=observatory.dome_id)
    assert answer.json()["code"] == "separation_of_duty"


def test_a_field_that_the_community_invented_is_asked_for_and_kept(observatory: Observatory) -> None:
    acts = observatory.acts
    data = {name: value for name, value in DATA.items() if name != "telescope"}
    answer = acts.post_request(acts.tell.person(), "found_observatory", data={**data, "legal_business_name": "X"})
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/data/telescope"]


def test_a_new_version_rules_new_requests_and_an_open_one_keeps_its_own(
    observatory: Observatory, product: Product, tmp_path: Path
) -> None:
    acts = observatory.acts
    about = {"organization_id": observatory.organization_id, "group_id": observatory.dome_id}
    before = acts.tell.person()
    open_one = acts.ask(before, "visit", "visit_dome", **about)
    acts.seen(observatory.curator, open_one)
    text = FILE.read_text().replace("version = 1", "version = 2", 1).replace("quorum = 2", "quorum = 1")
    changed = tmp_path / "observatory.toml"
    changed.write_text(text)
    product.command("community", "apply", str(changed), "--data", str(product.data))

    def files_under_the_new_version() -> bool:
        told = acts.tell.ok(acts.http.get("/registration/v1/communities/observatory"))
        return bool(told["version"] == 2)

    acts.tell.until(lambda: files_under_the_new_version() or None, "the new version is not heard of")
    new_one = acts.ask(acts.tell.person(), "visit", "visit_dome", **about)
    for filed, votes in ((open_one, 2), (new_one, 1)):
        acts.decide(observatory.curator, filed, "in the group")
        for dean in observatory.deans[:votes]:
            acts.decide(dean, filed, "in the organization")
        acts.decide(observatory.warden, filed, "in the community")
        acts.becomes(filed, "granted", "it is access")


def test_a_bad_file_is_refused_with_every_fault_at_once(product: Product, tmp_path: Path) -> None:
    bad = FILE.read_text().replace("version = 1", "version = 9", 1)
    bad = bad.replace(
        'deciders = [{ role = "DIRECTOR", held_in = "organization" }]',
        'deciders = [{ role = "GHOST", held_in = "organization" }]',
    )
    bad = bad.replace('time_zone = "America/Toronto"', 'time_zone = "Atlantis/Capital"')
    path = tmp_path / "bad.toml"
    path.write_text(bad)
    told = product.refused("community", "apply", str(path), "--data", str(product.data))
    assert "kinds: become_dean: stage 1: names the unknown role GHOST" in told
    assert "kinds: open_dome: stage 2: names the unknown role GHOST" in told
    assert "calendar: Atlantis/Capital is no time zone" in told
    listed = json.loads(product.command("community", "list", "--json", "--data", str(product.data)))
    assert next(it["version"] for it in listed if it["id"] == "observatory") in (1, 2)
