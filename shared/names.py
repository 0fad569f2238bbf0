"""How names are compared: registration writes the keys, the directory searches by them.

Source: domain 7 (legal business name: case, punctuation, legal suffix).
"""

import re
import unicodedata

_SUFFIXES = frozenset(
    (
        "co",
        "company",
        "corp",
        "corporation",
        "inc",
        "incorporated",
        "limited",
        "llc",
        "llp",
        "lp",
        "ltd",
        "pa",
        "pc",
        "pllc",
        "plc",
    )
)


def normalise_business_name(name: str) -> str:
    """Return the key under which equal business names are equal: "XYZ Medical, Inc." -> "xyz medical"."""
    words = _words(name.replace(".", "").replace("'", ""))
    while len(words) > 1 and words[-1] in _SUFFIXES:
        words.pop()
    return " ".join(words)


def normalise_name(name: str) -> str:
    """Return the key under which equal group names and streets are equal: case and punctuation aside."""
    return " ".join(_words(name))


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", " ", plain.lower().replace("&", " and ")).split()
