"""How names are compared: what is one name to people is one key to us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.names import normalise_business_name, normalise_name


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("XYZ Medical, Inc.", "xyz medical"),
        ("xyz  MEDICAL incorporated", "xyz medical"),
        ("XYZ Medical, L.L.C.", "xyz medical"),
        ("XYZ Medical Co. Ltd.", "xyz medical"),
        ("O'Brien & Sons, P.A.", "obrien and sons"),
        ("O’Brien and Sons", "obrien and sons"),
        ("Clínica São João", "clinica sao joao"),
        ("Company", "company"),
        ("Inc. Medical", "inc medical"),
    ],
)
def test_a_business_name_is_compared_without_case_punctuation_and_legal_suffix(written: str, key: str) -> None:
    assert normalise_business_name(written) == key


@pytest.mark.parametrize(
    ("written", "key"),
    [("Billing-Staff (West)", "billing staff west"), ("12 Main St.", "12 main st"), ("Nurses, Inc.", "nurses inc")],
)
def test_other_names_are_compared_without_case_and_punctuation(written: str, key: str) -> None:
    assert normalise_name(written) == key


@given(st.text())
def test_a_key_is_its_own_key(name: str) -> None:
    key = normalise_business_name(name)

    assert normalise_business_name(key) == key
    assert key == key.strip().lower()
