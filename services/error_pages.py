"""Writes docs/errors.md: what each error means and what to do about it, from the catalogue that answers with it.

`--check` tells whether the file says what the catalogue says.
"""

import sys
from pathlib import Path

from shared.errors import CATALOGUE
from shared.web import ERROR_PAGES, STATUS

FILE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
_HEAD = f"""# Errors explained

Every "no" is answered as problem details (RFC 9457) with a `code` that never changes. The `type` of a problem is the
address of its page: `{ERROR_PAGES}<code>` on the product's own origin, with the text that stands here. Texts are for
people and may become better.
"""


def text() -> str:
    """Return what the file must hold."""
    parts = [_HEAD]
    for code, entry in sorted(CATALOGUE.items()):
        parts.append(f"## `{code}`\n\n**{entry.title}** (status {STATUS[entry.family]})\n")
        parts.append(f"{entry.why}\n\n*What to do:* {entry.remedy}\n")
    return "\n".join(parts)


def main() -> None:
    """Write the file, or with --check say whether it is out of date."""
    if "--check" not in sys.argv:
        FILE.write_text(text(), encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != text():
        sys.exit("Out of date: docs/errors.md. Run `make contracts`.")


if __name__ == "__main__":
    main()
