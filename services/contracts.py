"""Writes the published language as JSON Schemas, one file a type, into docs/contracts/.

`--check` tells whether the files say what the models say.
"""

import importlib
import json
import sys
from pathlib import Path

from shared import deployment, topics
from shared.contracts.base import Event, State
from shared.contracts.community import Community
from shared.envelope import schema_of

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "contracts"
TOPIC, KEY = "x-iacs-topic", "x-iacs-key"
"""Where a schema says on which topic its type is, and by what its records are keyed there."""


def published() -> list[type[Event] | type[State]]:
    """Return every type of the published language, by its name on the wire."""
    found: dict[str, type[Event] | type[State]] = {}
    for name in deployment.SERVICES:
        for it in vars(importlib.import_module(f"shared.contracts.{name}")).values():
            if isinstance(it, type) and issubclass(it, Event | State) and hasattr(it, "wire"):
                assert found.setdefault(it.wire, it) is it, f"{it.wire} names two types"
    return [found[wire] for wire in sorted(found)]


def files() -> dict[str, str]:
    """Return what each file must hold."""
    texts = {}
    for it in published():
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": schema_of(it.wire),
            TOPIC: it.topic,
            KEY: _keyed_by(it),
        }
        texts[f"{it.wire}.json"] = _text(schema | it.model_json_schema())
    texts["community.json"] = _text(Community.model_json_schema())
    return texts


def _keyed_by(it: type[Event] | type[State]) -> str:
    if not topics.BY_NAME[it.topic].is_state:
        return "scope id"
    return "community id@version" if "definition" in it.model_fields else "entity id"


def _text(schema: dict[str, object]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files, or with --check say which are out of date."""
    wanted = files()
    if "--check" in sys.argv:
        present = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
        stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        if stale:
            sys.exit(f"Out of date in docs/contracts/: {', '.join(stale)}. Run `make contracts`.")
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
