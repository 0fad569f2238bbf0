"""How names are compared: registration writes these keys, the directory searches by them.

Two that differ only in case, accents, punctuation or legal form have the same key.
Source: domain 7 (legal business name; duplicates).
"""

import re
import unicodedata
from collections.abc import Mapping


def normalise_business_name(name: str) -> str:
    """Return the key under which equal businesses meet: "XYZ Médical, L.L.C." -> "xyz medical"."""
    words = _words(name)
    while len(words) > 1 and _LEGAL_FORMS.fullmatch(words[-1]):
        words.pop()
    return " ".join(words)


def normalise_name(name: str) -> str:
    """Return the key under which equal names of groups and of persons meet."""
    return " ".join(_words(name))


def normalise_street(street: str) -> str:
    """Return the key under which equal streets meet, with the usual abbreviations: "5 Elm Street" -> "5 elm st"."""
    return " ".join(_STREET_WORDS.get(word, word) for word in _words(street))


def _words(text: str) -> list[str]:
    """Split a text into words without case, accents and punctuation; "L.L.C." is one word."""
    plain = unicodedata.normalize("NFKD", text.replace("&", " and "))
    plain = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    plain = re.sub(r"[.'’]", "", plain)
    return "".join(c if c.isalnum() else " " for c in plain).split()


_LEGAL_FORMS = re.compile(
    "inc|incorporated|llc|llp|lp|ltd|limited|co|company|corp|corporation|pllc|pc|pa|plc|chartered"
)
_STREET_WORDS: Mapping[str, str] = {
    "alley": "aly",
    "avenue": "ave",
    "boulevard": "blvd",
    "circle": "cir",
    "court": "ct",
    "drive": "dr",
    "east": "e",
    "highway": "hwy",
    "lane": "ln",
    "north": "n",
    "parkway": "pkwy",
    "place": "pl",
    "road": "rd",
    "south": "s",
    "square": "sq",
    "street": "st",
    "suite": "ste",
    "terrace": "ter",
    "west": "w",
}
