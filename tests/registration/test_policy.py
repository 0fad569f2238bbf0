"""Who may do what: each operation has a rule, and one without a rule is open to nobody."""

from types import SimpleNamespace

import pytest
from fastapi import Request

from services.registration import domain
from services.registration.api import calls
from shared.errors import Refusal
from shared.policy import Standing
from tests.registration.desk import Desk


async def test_every_operation_has_a_rule_and_every_rule_an_operation(desk: Desk) -> None:
    document = (await desk.http.get("/registration/openapi.json")).json()
    names = {one["operationId"] for methods in document["paths"].values() for one in methods.values()}
    assert names == set(domain.POLICY)


async def test_a_route_without_a_rule_is_a_route_for_nobody() -> None:
    for name in ("no_such_operation", "list_requests"):
        request = Request({"type": "http", "route": SimpleNamespace(name=name)})
        with pytest.raises(Refusal) as refusal:
            await calls.open_to_anybody(request)
        assert refusal.value.code == "not_found"


def test_who_may_do_what() -> None:
    """The whole table, to be read as a picture."""
    told = {name: sorted(standings) for name, standings in domain.POLICY.items()}
    applicant = sorted([Standing.APPLICANT, Standing.APPLICANT_BY_TOKEN])
    reader = sorted([*applicant, Standing.HELP_DESK])
    assert told == {
        "list_communities": [Standing.ANYBODY],
        "show_community": [Standing.ANYBODY],
        "show_roles": [Standing.ANYBODY],
        "show_role_guide": [Standing.ANYBODY],
        "show_approvers_guide": [Standing.ANYBODY],
        "show_status": [Standing.ANYBODY],
        "file_request": [Standing.ANYBODY],
        "prove_email": [Standing.ANYBODY],
        "ask_code_again": [Standing.ANYBODY],
        "submit": [Standing.APPLICANT],
        "list_requests": [Standing.SIGNED_IN],
        "show_request": applicant,
        "correct_request": applicant,
        "withdraw_request": applicant,
        "add_document": applicant,
        "list_documents": reader,
        "get_document": reader,
        "issue_invitations": [Standing.APPLICATION_OWNER],
        "list_invitations": [Standing.APPLICATION_OWNER],
    }
