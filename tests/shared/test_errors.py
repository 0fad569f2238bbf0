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
