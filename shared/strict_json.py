"""JSON as a caller may send it: what two readers could take for two things is refused.

Python's own reader takes more than JSON: NaN, the last of two equal names, half of a surrogate pair.
Source: RFC 8259 (4: names are unique; 6: no NaN, no Infinity; 8: Unicode).
"""

import json
from typing import Any, NoReturn


def fault_of(body: bytes) -> str | None:
    """Return what keeps a body from being read as strict JSON, or None."""
    try:
        value = json.loads(body, parse_constant=_no_number, object_pairs_hook=_unique)
    except RecursionError:
        return "It is nested too deeply."
    except json.JSONDecodeError as error:
        return f"It is no JSON from its character {error.pos + 1} on."
    except UnicodeDecodeError:
        return "It is not UTF-8."
    except ValueError as error:
        return str(error) if isinstance(error, _UnfitError) else "It holds a number that is too large."
    if b"\\u" in body and not all(map(_is_text, _texts(value))):
        return "It holds a character that is none: U+0000, or half of a surrogate pair."
    return None


class _UnfitError(ValueError):
    pass


def _no_number(constant: str) -> NoReturn:
    raise _UnfitError(f"{constant} is no number.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _UnfitError("It holds the same name twice.")
    return found


def _texts(value: Any) -> list[str]:
    texts, unread = [], [value]
    while unread:
        match unread.pop():
            case str(text):
                texts.append(text)
            case dict(members):
                unread += [*members.keys(), *members.values()]
            case list(items):
                unread += items
    return texts


def _is_text(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)
