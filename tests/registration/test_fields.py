"""What each field accepts and refuses: the examples that the API shows, and all numbers there are."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registration.domain import fields
from shared import names

TODAY = date(2026, 3, 1)
ACCEPTED = [(rule, example) for rule in fields.RULES.values() for example in rule.accepts]
REFUSED = [(rule, example) for rule in fields.RULES.values() for example in rule.refuses]
DIGITS = st.text("0123456789", min_size=9, max_size=9)


@pytest.mark.parametrize(("rule", "example"), ACCEPTED, ids=lambda it: it.name if hasattr(it, "name") else None)
def test_every_accepting_example_is_accepted_and_stays_as_it_is_then(rule: fields.FieldRule, example: str) -> None:
    cleaned = rule.clean(example, TODAY)
    assert cleaned is not None
    assert rule.clean(cleaned, TODAY) == cleaned


@pytest.mark.parametrize(("rule", "example"), REFUSED, ids=lambda it: it.name if hasattr(it, "name") else None)
def test_every_refusing_example_is_refused(rule: fields.FieldRule, example: str) -> None:
    assert rule.clean(example, TODAY) is None


def test_every_field_tells_its_rule_and_an_example_of_both_kinds() -> None:
    assert all(rule.rule and rule.label and rule.accepts and rule.refuses for rule in fields.RULES.values())


def test_the_npi_of_the_standard_is_valid_and_its_neighbour_is_not() -> None:
    assert fields.npi("1234567893") == "1234567893"
    assert fields.npi("1234567898") is None


@given(st.sampled_from("12"), st.text("0123456789", min_size=8, max_size=8))
def test_exactly_one_last_digit_completes_an_npi(first: str, middle: str) -> None:
    assert len([last for last in "0123456789" if fields.npi(first + middle + last)]) == 1


@given(st.text("0123456789", min_size=9, max_size=9).filter(lambda digits: digits[0] not in "12"))
def test_no_npi_begins_with_anything_but_1_or_2(digits: str) -> None:
    assert not any(fields.npi(digits + last) for last in "0123456789")


@given(st.integers(0, 8), st.sampled_from("12"), st.text("0123456789", min_size=8, max_size=8))
def test_one_mistyped_digit_never_leaves_an_npi_valid(place: int, first: str, middle: str) -> None:
    right = next(first + middle + last for last in "0123456789" if fields.npi(first + middle + last))
    for wrong in "0123456789":
        if wrong != right[place]:
            assert fields.npi(right[:place] + wrong + right[place + 1 :]) is None


@given(DIGITS)
def test_an_ssn_is_refused_for_its_area_its_group_or_its_serial_and_for_nothing_else(digits: str) -> None:
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    never = area in ("000", "666") or area.startswith("9") or group == "00" or serial == "0000"
    assert fields.ssn(digits) == (None if never else digits)
    assert fields.ssn(f"{area}-{group}-{serial}") == (None if never else digits)


@given(DIGITS)
def test_a_tin_is_refused_only_for_the_prefix_00_and_has_one_stored_form(digits: str) -> None:
    wanted = None if digits.startswith("00") else digits
    assert fields.ein(digits) == fields.ein(f"{digits[:2]}-{digits[2:]}") == wanted


@given(st.text(max_size=12))
def test_whatever_else_is_typed_is_no_number(typed: str) -> None:
    for clean in (fields.npi, fields.ein, fields.ssn):
        cleaned = clean(typed)
        assert cleaned is None or (cleaned.isascii() and cleaned.isdigit())


def test_a_tin_whose_prefix_the_irs_list_lacks_only_warns() -> None:
    assert fields.ein("07-1234567") == "071234567"
    assert fields.ein_is_unusual("071234567")
    assert not fields.ein_is_unusual("123456789")


def test_one_is_an_adult_from_the_eighteenth_birthday_on() -> None:
    assert fields.birth_date("2008-03-01", TODAY) == "2008-03-01"
    assert fields.birth_date("2008-03-02", TODAY) is None


def test_who_was_born_on_a_leap_day_is_an_adult_from_the_first_of_march_on() -> None:
    assert fields.birth_date("2008-02-29", date(2026, 2, 28)) is None
    assert fields.birth_date("2008-02-29", date(2026, 3, 1)) == "2008-02-29"


@pytest.mark.parametrize("other", ["XYZ CLINIC", "Xyz Clinic, L.L.C.", "xyz  clinic Co., Inc.", "Xyz-Clinic"])
def test_businesses_meet_whatever_their_case_punctuation_or_legal_suffix(other: str) -> None:
    assert names.normalise_business_name(other) == names.normalise_business_name("XYZ Clinic, Inc.")


def test_a_business_that_is_called_like_a_legal_suffix_keeps_its_name() -> None:
    assert names.normalise_business_name("Co.") == "co"


def test_streets_meet_whatever_their_abbreviations() -> None:
    assert names.normalise_street("7500 Security Boulevard, Suite 12") == names.normalise_street(
        "7500 SECURITY BLVD. STE 12"
    )


def test_group_names_meet_whatever_their_case_and_punctuation() -> None:
    assert names.normalise_name("Billing & Claims") == names.normalise_name("billing AND claims!")
    assert names.normalise_name("Billing 1") != names.normalise_name("Billing 2")


def test_a_field_that_a_community_invents_may_hold_any_line_of_text() -> None:
    rule = fields.rule_of("contract_number")
    assert (rule.label, rule.is_secret) == ("Contract number", False)
    assert rule.clean(" A-1 ", TODAY) == "A-1"
    assert rule.clean("two\nlines", TODAY) is None
