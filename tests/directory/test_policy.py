"""Who may: every endpoint has an action, and who stands how to a thing is the community's data."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from services.directory import domain
from services.directory.domain import Held
from shared.contracts.community import Community
from shared.ids import AssignmentId, PlaceId, ScopeId, application_place, new_id
from shared.policy import Standing
from tests.directory.builders import (
    ADMINISTRATOR,
    BACKUP,
    COMMUNITY,
    END_USER,
    HELP_DESK,
    SECURITY_OFFICIAL,
    new_person,
)
from tests.ui.services import application

SCOPE, GROUP = ScopeId(new_id()), PlaceId(new_id())


def held(role: str, place_id: Any = SCOPE, place_kind: str = "organization", **more: Any) -> Held:
    whole: dict[str, Any] = {"community_id": COMMUNITY.id, "scope_id": SCOPE} | more
    return Held(AssignmentId(new_id()), role=role, place_kind=place_kind, place_id=place_id, **whole)


def routes(of: Any) -> Iterator[APIRoute]:
    """Return the routes of an application, also of routers within."""
    for route in of.routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from routes(route.original_router)


def test_every_endpoint_has_an_action_and_every_action_an_endpoint() -> None:
    ours = [route for route in routes(application("directory")) if route.endpoint.__module__.startswith("services.")]
    names = {route.name for route in ours}
    assert len(names) > 15
    search = "search_organizations"
    assert search in names
    assert names - {search} == {action for action in domain.POLICY if not action.startswith(search)}


def standings_in(*mine: Held, community: Community = COMMUNITY) -> set[Standing]:
    return set(domain.standings_in(community, SCOPE, mine)) - {Standing.SIGNED_IN}


def test_how_somebody_stands_to_an_organization_follows_from_what_they_hold() -> None:
    assert standings_in() == set()
    for role in (SECURITY_OFFICIAL, BACKUP):
        assert standings_in(held(role)) == {Standing.MEMBER, Standing.KEEPER}
    for role in (ADMINISTRATOR, END_USER):  # A keeper of a group keeps no organization.
        assert standings_in(held(role, GROUP, "group")) == {Standing.MEMBER}
    assert standings_in(held(SECURITY_OFFICIAL, scope_id=ScopeId(new_id()))) == set()
    desk: dict[str, Any] = {
        "place_id": COMMUNITY.place_id,
        "place_kind": "community",
        "scope_id": ScopeId(COMMUNITY.place_id),
    }
    assert standings_in(held(HELP_DESK, **desk)) == {Standing.HELP_DESK}
    assert standings_in(held("AUDITOR", **desk)) == {Standing.AUDITOR}
    assert standings_in(held(HELP_DESK, **desk, community_id="elsewhere")) == set()
    assert standings_in(held("NO_SUCH_ROLE")) == set()


def test_whoever_may_approve_that_a_role_is_given_may_take_it() -> None:
    holder, caller = new_person(), new_person()
    assignment = held(END_USER, GROUP, "group")

    def may_take(*mine: Held) -> bool:
        return Standing.APPROVER in domain.standings_to_role(COMMUNITY, assignment, holder, caller, mine)

    assert may_take(held(ADMINISTRATOR, GROUP, "group"))
    assert may_take(held(BACKUP))
    assert not may_take(held(ADMINISTRATOR, PlaceId(new_id()), "group"))
    assert not may_take(held(END_USER, GROUP, "group"))
    assert not may_take(held(HELP_DESK, COMMUNITY.place_id, "community"))
    assert not may_take(held(BACKUP, community_id="elsewhere"))
    mine = domain.standings_to_role(COMMUNITY, assignment, holder, holder, [held(ADMINISTRATOR, GROUP, "group")])
    assert mine == {Standing.SIGNED_IN, Standing.HOLDER}


@pytest.mark.parametrize(
    ("application_code", "owner_of", "expected"),
    [("CLAIM_STATUS", "CLAIM_STATUS", True), ("CLAIM_STATUS", "PS_AND_R", False)],
)
def test_the_owner_of_an_application_may_take_it_from_a_practitioner(
    application_code: str, owner_of: str, expected: bool
) -> None:
    practitioner = held("INDIVIDUAL_PRACTITIONER", place_kind="practitioner")
    owner = held("APPLICATION_OWNER", application_place(COMMUNITY.id, owner_of), "application")
    found = domain.standings_to_entitlement(
        COMMUNITY, application_code, practitioner, new_person(), new_person(), [owner]
    )
    assert (Standing.APPROVER in found) is expected
