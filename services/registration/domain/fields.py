"""What each field may hold: one rule for each field name that a community file can ask for.

A rule turns what was typed into the one form that is stored, or finds it invalid. Its accepting and
refusing examples are what the API shows and what the tests try. No finding repeats what was typed.
Source: domain 7.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from shared.names import normalise_business_name, normalise_name

ADULT_YEARS = 18
OLDEST_YEARS = 130
LIST_LENGTH = 50

Clean = Callable[[str, date], str | None]
"""What was typed and today's date in, the form to store out; None if the rule is broken."""


@dataclass(frozen=True)
class FieldRule:
    """What is asked for under one name, and when an answer is good."""

    name: str
    label: str
    hint: str
    rule: str
    """One sentence, true of every value that is accepted."""
    accepts: tuple[str, ...]
    refuses: tuple[str, ...]
    clean: Clean
    is_secret: bool = False
    """Whether it is encrypted at rest and never said."""
    is_list: bool = False
    """Whether several values are given, each under this rule."""

    @property
    def example(self) -> str:
        """A value that would do."""
        return self.accepts[0]


def npi(typed: str) -> str | None:
    """Return a National Provider Identifier: 10 digits, first 1 or 2, Luhn over 80840 and the number."""
    return typed if re.fullmatch(r"[12][0-9]{9}", typed) and _luhn(f"80840{typed}") else None


def ein(typed: str) -> str | None:
    """Return an employer's or a person's taxpayer number as nine digits. There is no check digit."""
    if not re.fullmatch(r"[0-9]{2}-?[0-9]{7}|[0-9]{3}-[0-9]{2}-[0-9]{4}", typed):
        return None
    digits = typed.replace("-", "")
    return None if digits.startswith("00") else digits


def ein_is_unusual(digits: str) -> bool:
    """Tell whether the IRS list has no such prefix. That warns, and refuses nothing: the list grows."""
    return digits[:2] not in _EIN_PREFIXES


def ssn(typed: str) -> str | None:
    """Return a Social Security number as nine digits: area not 000, 666, 9xx; group not 00; serial not 0000."""
    found = re.fullmatch(r"([0-9]{3})(-?)([0-9]{2})\2([0-9]{4})", typed)
    if found is None:
        return None
    area, _, group, serial = found.groups()
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return None
    return area + group + serial


def ptan(typed: str) -> str | None:
    """Return a Provider Transaction Access Number: 4 to 15 letters and digits, upper-cased."""
    return typed.upper() if re.fullmatch(r"[A-Za-z0-9]{4,15}", typed) else None


def birth_date(typed: str, today: date) -> str | None:
    """Return a real date of somebody who is 18 or older today."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", typed):
        return None
    try:
        born = date.fromisoformat(typed)
    except ValueError:
        return None
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return typed if ADULT_YEARS <= age <= OLDEST_YEARS else None


def email(typed: str) -> str | None:
    """Return an address that mail can be sent to, its domain in small letters."""
    if len(typed) > 254 or not _EMAIL.fullmatch(typed):
        return None
    local, _, domain = typed.rpartition("@")
    return None if len(local) > 64 or ".." in local else f"{local}@{domain.lower()}"


def phone(typed: str) -> str | None:
    """Return a phone number of the North American plan as NNN-NNN-NNNN."""
    found = re.fullmatch(r"(?:\+?1[ .-]?)?\(?([2-9][0-9]{2})\)?[ .-]?([2-9][0-9]{2})[ .-]?([0-9]{4})", typed)
    return "-".join(found.groups()) if found else None


def state(typed: str) -> str | None:
    """Return the two letters of a state, the District of Columbia or a territory."""
    return typed.upper() if _STATES.fullmatch(typed.upper()) else None


def zip_code(typed: str) -> str | None:
    """Return a ZIP code: five digits, or nine with a hyphen."""
    return typed if re.fullmatch(r"[0-9]{5}(-[0-9]{4})?", typed) and not typed.startswith("00000") else None


def person_name(typed: str) -> str | None:
    """Return a name: letters of any script, with spaces, hyphens, apostrophes and periods between them."""
    text = _one_line(typed, most=80)
    if text is None or not any(character.isalpha() for character in text):
        return None
    fine = all(c.isalpha() or unicodedata.category(c).startswith("M") or c in " -'’." for c in text)
    return text if fine else None


def business_name(typed: str) -> str | None:
    """Return a legal business name as it was typed."""
    text = _one_line(typed, most=200)
    return text if text is not None and normalise_business_name(text) else None


def group_name(typed: str) -> str | None:
    """Return a user group's name as it was typed."""
    text = _one_line(typed, most=100)
    return text if text is not None and normalise_name(text) else None


def line_of_address(typed: str) -> str | None:
    """Return a street or a city: one line with at least one letter or digit."""
    text = _one_line(typed, most=120)
    return text if text is not None and any(c.isalnum() for c in text) else None


def code(typed: str) -> str | None:
    """Return a stable code, as the community lists them."""
    return typed if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", typed) else None


def _one_line(typed: str, *, most: int) -> str | None:
    text = " ".join(typed.split(" ")).strip()
    text = re.sub(r" +", " ", unicodedata.normalize("NFC", text))
    return text if text and len(text) <= most and text.isprintable() else None


def _luhn(digits: str) -> bool:
    total = 0
    for place, character in enumerate(reversed(digits)):
        digit = int(character) * (1 + place % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def _any_day(clean: Callable[[str], str | None]) -> Clean:
    """Make a rule that needs no date take one."""
    return lambda typed, _today: clean(typed)


_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_STATES = re.compile(
    "A[KLRSZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEINOPST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AIT]"
    "|W[AIVY]"
)
_EIN_PREFIXES = frozenset(
    word
    for line in Path(__file__).with_name("ein_prefixes.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
    for word in line.split()
)

RULES: Mapping[str, FieldRule] = {
    rule.name: rule
    for rule in (
        FieldRule(
            "given_name",
            "Given name",
            "As on your identity papers",
            "1 to 80 letters, with spaces, hyphens, apostrophes and periods between them",
            ("Maria", "Jean-Luc", "D’Arcy", "Nguyễn Thị", "J."),
            ("", "R2D2", "<b>Maria</b>", "-", "Maria\nSmith"),
            _any_day(person_name),
        ),
        FieldRule(
            "family_name",
            "Family name",
            "As on your identity papers",
            "1 to 80 letters, with spaces, hyphens, apostrophes and periods between them",
            ("Gonzalez", "O'Neill", "Smith-Jones", "St. John"),
            ("", "Smith 3", "Smith;", "'"),
            _any_day(person_name),
        ),
        FieldRule(
            "birth_date",
            "Date of birth",
            "Year, month and day",
            "a real date as YYYY-MM-DD; you must be 18 or older",
            ("1970-04-01", "1996-02-29"),
            ("1970-02-30", "04/01/1970", "2190-01-01", "1823-01-01", "1997-02-29", "70-04-01"),
            birth_date,
            is_secret=True,
        ),
        FieldRule(
            "email",
            "E-mail address",
            "We mail you a code there",
            "an e-mail address of at most 254 characters",
            ("maria@clinic.example", "m.gonzalez+cms@mail.clinic.example"),
            (
                "maria",
                "maria@clinic",
                "maria@@clinic.example",
                "ma ria@clinic.example",
                "a..b@clinic.example",
                "@x.example",
            ),
            _any_day(email),
        ),
        FieldRule(
            "phone",
            "Phone",
            "With area code",
            "ten digits of a phone number in the United States",
            ("410-555-0142", "(410) 555-0142", "+1 410 555 0142", "4105550142"),
            ("555-0142", "110-555-0142", "410-155-0142", "410-555-01422", "call me"),
            _any_day(phone),
        ),
        FieldRule(
            "ssn",
            "Social Security number",
            "Nine digits. It is kept encrypted and shown to nobody",
            "nine digits as NNN-NN-NNNN; not beginning with 000, 666 or 9, and no part all zeros",
            ("219-09-9999", "219099999"),
            ("000-12-3456", "666-12-3456", "912-12-3456", "219-00-9999", "219-09-0000", "219-09-999", "219-099999"),
            _any_day(ssn),
            is_secret=True,
        ),
        FieldRule(
            "legal_business_name",
            "Legal business name",
            "As on the IRS letter",
            "1 to 200 characters on one line, with at least one letter or digit",
            ("XYZ Clinic, Inc.", "Dr. Smith & Daughters", "3M Health"),
            ("", "...", "XYZ\nClinic"),
            _any_day(business_name),
        ),
        FieldRule(
            "tin",
            "Taxpayer identification number (EIN)",
            "As on the IRS letter. It is kept encrypted",
            "nine digits as NN-NNNNNNN, not beginning with 00",
            ("12-3456789", "123456789"),
            ("00-1234567", "12-345678", "12-34567890", "1-23456789", "AB-CDEFGHI"),
            _any_day(ein),
            is_secret=True,
        ),
        FieldRule(
            "street",
            "Street address",
            "Number, street and suite",
            "1 to 120 characters on one line, with at least one letter or digit",
            ("7500 Security Blvd, Suite 12",),
            ("", "--", "7500\nSecurity Blvd"),
            _any_day(line_of_address),
        ),
        FieldRule(
            "city",
            "City",
            "",
            "1 to 120 characters on one line, with at least one letter or digit",
            ("Baltimore", "St. Louis"),
            ("", ".", "Balti\tmore"),
            _any_day(line_of_address),
        ),
        FieldRule(
            "state",
            "State",
            "Two letters",
            "the two letters of a state, the District of Columbia or a territory",
            ("MD", "md", "PR"),
            ("Maryland", "XX", "M", ""),
            _any_day(state),
        ),
        FieldRule(
            "zip_code",
            "ZIP code",
            "Five or nine digits",
            "five digits, or nine as NNNNN-NNNN",
            ("21244", "21244-1850"),
            ("2124", "212444", "21244-185", "00000", "ABCDE"),
            _any_day(zip_code),
        ),
        FieldRule(
            "provider_type",
            "Provider type",
            "One of the types that the community lists",
            "one of the codes that the community lists",
            ("clinic",),
            ("", "no such type", "1st"),
            _any_day(code),
        ),
        FieldRule(
            "npi",
            "National Provider Identifier (NPI)",
            "Ten digits",
            "ten digits that begin with 1 or 2 and end with the right check digit",
            ("1234567893",),
            ("1234567898", "123456789", "12345678933", "3234567893", "123456789A"),
            _any_day(npi),
        ),
        FieldRule(
            "ptans",
            "Provider Transaction Access Numbers (PTANs)",
            f"Each 4 to 15 letters and digits; {LIST_LENGTH} at most",
            "4 to 15 letters and digits",
            ("A12345", "ab12", "123456789012345"),
            ("A12", "1234567890123456", "A-1234", ""),
            _any_day(ptan),
            is_list=True,
        ),
        FieldRule(
            "group_name",
            "Name of the user group",
            "How your colleagues will find it",
            "1 to 100 characters on one line, with at least one letter or digit",
            ("XYZ Billing", "Night shift #2"),
            ("", "!!", "Two\nlines"),
            _any_day(group_name),
        ),
        FieldRule(
            "company_name",
            "Name of your company",
            "For whom the people of this user group work",
            "1 to 200 characters on one line, with at least one letter or digit",
            ("ABC Billing Services, LLC", "3M Health"),
            ("", "...", "ABC\nBilling"),
            _any_day(business_name),
        ),
    )
}
"""Every field that a community file can ask for, by name."""


def rule_of(name: str) -> FieldRule:
    """Return the rule of a field. One that a community file invents may hold any line of text."""
    known = RULES.get(name)
    return known or FieldRule(
        name,
        name.replace("_", " ").capitalize(),
        "",
        "1 to 200 characters on one line",
        ("text",),
        ("", "two\nlines"),
        _any_day(lambda typed: _one_line(typed, most=200)),
    )
