"""Writes what each process can be told into docs/operating.md, from the settings classes that read it.

The tables stand between two comments of that page. `--check` tells whether they say what the classes say.
"""

import importlib
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from services.installation import InstallationSettings
from shared.deployment import SERVICES
from shared.settings import Settings

FILE = Path(__file__).resolve().parent.parent / "docs" / "operating.md"
BEGIN = "<!-- The settings, written by `make contracts`. -->"
END = "<!-- The end of the settings. -->"
_BETWEEN = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
_HEAD = ("name", "type", "default", "meaning")
_KEYS: Mapping[object, str] = {bytes: "key", dict[str, bytes]: "keys", dict[str, Any]: "JWK"}
"""32 bytes as base64url; a JSON object of such by id; a JSON Web Key as a JSON object."""


def classes() -> dict[str, type[BaseSettings]]:
    """Return the settings class of each service, by the service's name."""
    return {service: importlib.import_module(f"services.{service}.assembly").SETTINGS for service in SERVICES}


def variables() -> list[str]:
    """Return every variable of the environment that a process reads its settings from."""
    found: list[type[BaseSettings]] = [*classes().values(), InstallationSettings]
    return [f"{_prefix(one)}{name.upper()}" for one in found for name in one.model_fields]


def tables() -> str:
    """Return what must stand between the two comments."""
    common = Settings.model_fields
    parts = [
        "### Every service\n",
        "Each name stands behind the service's own prefix: `IACS_APPROVAL_DATABASE_URL`.\n",
        _table("IACS_<SERVICE>_", common.items()),
    ]
    for service, its in classes().items():
        own = [(name, field) for name, field in its.model_fields.items() if name not in common]
        if own:
            parts += [f"### {service.capitalize()}, besides\n", _table(_prefix(its), own)]
    parts += ["### The compose file's one-shot `install`\n"]
    parts += [_table(_prefix(InstallationSettings), InstallationSettings.model_fields.items())]
    return "\n".join(parts)


def written(page: str) -> str:
    """Return a page with the tables in their place, whatever stood there."""
    assert BEGIN in page and END in page, f"{FILE.name} has lost the comments between which the settings stand"
    return _BETWEEN.sub(lambda _: f"{BEGIN}\n\n{tables()}\n{END}", page)


def _prefix(its: type[BaseSettings]) -> str:
    return str(its.model_config.get("env_prefix", ""))


def _table(prefix: str, fields: Iterable[tuple[str, FieldInfo]]) -> str:
    rows = [_HEAD, ("---",) * len(_HEAD)]
    for name, field in fields:
        assert field.description, f"{prefix}{name.upper()} does not say what it is for"
        secret = " **Secret.**" if _is_secret(name, field) else ""
        rows.append((f"`{prefix}{name.upper()}`", _type(field), _default(field), _cell(field.description) + secret))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _is_secret(name: str, field: FieldInfo) -> bool:
    """Whether nobody may see it. Of sealing keys that is our own: other services' are public halves."""
    if field.annotation == dict[str, Any]:
        return name == "seal_key"
    return field.annotation in (SecretStr, bytes, dict[str, bytes])


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    if kind in _KEYS:
        return _KEYS[kind]
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    # An optional one is told by its default.
    kind = next((part for part in get_args(kind) if part is not type(None)), kind)
    assert isinstance(kind, type), f"no word for {kind}"
    bounds = {type(bound).__name__: bound for bound in field.metadata}
    least, most = (getattr(bounds.get(name), name.lower(), None) for name in ("Ge", "Le"))
    words = {int: "number", bool: "`true` or `false`", Path: "path"}
    limits = f", {least} to {most}" if most is not None else f", {least} or more" if least is not None else ""
    return words.get(kind, "text") + limits


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(needed)"
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if value is None or value == "":
        return "-"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<") + ("" if text.endswith((".", "!")) else ".")


def main() -> None:
    """Write the tables, or with --check say whether they are out of date."""
    page = FILE.read_text(encoding="utf-8")
    if "--check" not in sys.argv:
        FILE.write_text(written(page), encoding="utf-8")
    elif written(page) != page:
        sys.exit("Out of date: the settings in docs/operating.md. Run `make contracts`.")


if __name__ == "__main__":
    main()
