"""The page of guarantees names tests that there are, every promise of the rules, and all that torture judges."""

import ast
import re
from pathlib import Path

from shared.testing.torture.invariants import CHECKS

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "guarantees.md").read_text()
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_PROMISES = 10
_RULES = 14


def functions_of(path: str) -> set[str]:
    tree = ast.parse((REPOSITORY / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_the_page_names_is_there() -> None:
    named = _TEST.findall(PAGE)
    assert named
    missing = [
        f"{path}::{name}" for path, name in named if not (REPOSITORY / path).exists() or name not in functions_of(path)
    ]
    assert missing == []


def test_every_promise_and_every_rule_names_a_test() -> None:
    promises = PAGE.partition("## Broken on purpose")[0].splitlines()
    rows = [line for line in promises if line.startswith("|") and not line.startswith("|--")]
    proved = [row for row in rows if _TEST.search(row)]
    assert len(proved) == len(rows) - 2 == _PROMISES + _RULES, "two rows are headings"
    rules = [row.split("|")[1].strip() for row in proved[_PROMISES:]]
    assert rules == [f"R{number}" for number in range(1, _RULES + 1)]


def test_the_page_says_all_that_torture_judges() -> None:
    for check in CHECKS:
        assert f"- {(check.__doc__ or '').splitlines()[0]}" in PAGE
