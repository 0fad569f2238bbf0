"""The catalogue of refusals: each code stable, each with what to do next and a status on the wire."""

import re

import pytest

from shared import web
from shared.errors import CATALOGUE, Family, FieldFault, Refusal, invalid


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_code_says_what_happened_and_what_to_do_next(code: str) -> None:
    entry = CATALOGUE[code]

    assert re.fullmatch(r"[a-z][a-z0-9_]*", code)
    assert entry.title
    assert not entry.title.endswith(".")
    assert entry.remedy.endswith(".")
    assert entry.why.endswith(".")


def test_every_family_has_a_status_of_its_own() -> None:
    assert set(web.STATUS) == set(Family)
    assert len(set(web.STATUS.values())) == len(Family)


STATUSES = {
    400: {"malformed"},
    401: {"unauthenticated"},
    403: {"may_not_approve", "self_approval"},
    404: {"not_an_approver", "not_found"},  # That there is such a thing is not told, either.
    405: {"method_not_allowed"},
    412: {"stale_version"},
    413: {"too_large"},
    422: {"code_wrong", "community_invalid", "document_refused", "field_invalid", "idempotency_key_reused"},
    428: {"if_match_required"},
    429: {"rate_limited"},
    500: {"internal"},
    503: {"unavailable"},
}


def test_a_code_is_told_under_the_status_that_programs_know() -> None:
    others = set(CATALOGUE).difference(*STATUSES.values())
    for status, codes in {**STATUSES, 409: others}.items():
        assert {code: web.STATUS[CATALOGUE[code].family] for code in codes} == dict.fromkeys(codes, status)


def test_a_code_outside_the_catalogue_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        Refusal("no_such_code")


def test_a_refusal_without_a_detail_says_the_remedy() -> None:
    assert Refusal("expired").detail == CATALOGUE["expired"].remedy
    assert Refusal("expired", "Too late.").detail == "Too late."


def test_a_field_that_is_not_right_is_named_with_its_rule_and_an_example() -> None:
    refusal = invalid("/applicant/email", "must be an address", "ann@example.com")

    assert refusal.code == "field_invalid"
    assert refusal.faults == (FieldFault("/applicant/email", "must be an address", "ann@example.com"),)


def test_a_refusal_keeps_the_facts_that_its_caller_may_know() -> None:
    assert Refusal("already_decided", role="SECURITY_OFFICIAL").facts == {"role": "SECURITY_OFFICIAL"}
