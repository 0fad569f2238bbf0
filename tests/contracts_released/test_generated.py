"""What is generated is told to be out of date when it is, and written anew as it must be."""

import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from services import asyncapi, contracts, error_pages, settings_table
from shared.contracts import approval
from shared.contracts.base import Event
from shared.settings import Settings


def ask(monkeypatch: pytest.MonkeyPatch, module: ModuleType, *words: str) -> None:
    """Call the module as `make check` or `make contracts` does."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *words])
    module.main()


@pytest.mark.parametrize(
    ("module", "word"), [(asyncapi, "decision"), (error_pages, "What to do"), (settings_table, "host:port[,host:port]")]
)
def test_a_page_that_says_something_else_is_out_of_date_until_it_is_written(
    module: ModuleType, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = module.FILE.read_text(encoding="utf-8")
    file = tmp_path / module.FILE.name
    file.write_text(said, encoding="utf-8")
    monkeypatch.setattr(module, "FILE", file)
    ask(monkeypatch, module, "--check")
    stale = said.replace(word, "something else")
    file.write_text(stale, encoding="utf-8")
    with pytest.raises(SystemExit, match=f"Out of date: .*docs/{file.name}. Run `make contracts`"):
        ask(monkeypatch, module, "--check")
    assert file.read_text(encoding="utf-8") == stale
    ask(monkeypatch, module)
    assert file.read_text(encoding="utf-8") == said
    ask(monkeypatch, module, "--check")


@pytest.mark.parametrize("module", [asyncapi, error_pages], ids=lambda it: it.__name__)
def test_a_page_that_is_not_there_is_out_of_date(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILE", tmp_path / "none")
    with pytest.raises(SystemExit, match="Out of date"):
        ask(monkeypatch, module, "--check")


def test_a_schema_that_is_stale_missing_or_of_no_type_any_more_is_named_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in contracts.FOLDER.glob("*.json"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(contracts, "FOLDER", tmp_path)
    ask(monkeypatch, contracts, "--check")
    names = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / names[0]).write_text("{}")
    (tmp_path / names[1]).unlink()
    (tmp_path / "toy.json").write_text("{}")
    with pytest.raises(SystemExit) as told:
        ask(monkeypatch, contracts, "--check")
    assert told.value.code == (
        f"Out of date in docs/contracts/: {names[0]}, {names[1]}, toy.json. Run `make contracts`."
    )
    ask(monkeypatch, contracts)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    ask(monkeypatch, contracts, "--check")


def test_two_types_of_one_wire_name_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twin(Event):
        wire = approval.RequestOpened.wire
        topic = approval.RequestOpened.topic

    monkeypatch.setattr(approval, "Twin", Twin, raising=False)
    with pytest.raises(AssertionError, match="names two types"):
        contracts.published()


def test_a_setting_that_does_not_say_what_it_is_for_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    field = Settings.model_fields["kafka_servers"]
    monkeypatch.setattr(field, "description", None)
    with pytest.raises(AssertionError, match="KAFKA_SERVERS does not say what it is for"):
        settings_table.tables()
