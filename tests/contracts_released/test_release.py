"""A version is released once, whole, and stays as it was; the command says what is wrong and keeps nothing then."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services import compatibility, contracts

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
TOY = "iacs.toy.v1"


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A folder with one released version, 0.1.0."""
    released = tmp_path / "released"
    release(released, "0.1.0", SCHEMA)
    return released


def release(released: Path, version: str, schema: dict[str, Any]) -> None:
    sample = json.dumps({"body": '{"x":"a"}'})
    compatibility.release(version, {f"{TOY}.json": json.dumps(schema)}, {f"{TOY}.json": sample}, released)


def test_nothing_is_wrong_before_the_first_release(tmp_path: Path) -> None:
    assert compatibility.check({TOY: SCHEMA}, tmp_path / "none") == []


def test_a_release_keeps_the_schemas_and_a_sample_of_each(released: Path) -> None:
    assert [path.relative_to(released).as_posix() for path in sorted(released.rglob("*.json"))] == [
        f"0.1.0/{TOY}.json",
        f"0.1.0/samples/{TOY}.json",
    ]
    assert compatibility.read(released / "0.1.0") == {TOY: SCHEMA}
    assert compatibility.check({TOY: SCHEMA}, released) == []


def test_a_version_is_not_released_twice(released: Path) -> None:
    with pytest.raises(FileExistsError):
        release(released, "0.1.0", {})
    assert compatibility.read(released / "0.1.0") == {TOY: SCHEMA}


def test_every_released_version_must_stay_readable_not_only_the_last(released: Path) -> None:
    grown = {**SCHEMA, "properties": {**SCHEMA["properties"], "y": {"type": "string", "default": ""}}}
    release(released, "0.2.0", grown)
    assert compatibility.check({TOY: grown}, released) == []
    assert compatibility.check({TOY: SCHEMA}, released) == [
        f"Against 0.2.0: {TOY}: `y` is removed; released readers rely on it"
    ]
    assert compatibility.check({}, released) == [
        f"Against {version}: {TOY}: the type is removed; released readers wait for it" for version in ("0.1.0", "0.2.0")
    ]


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda folder: (folder / f"{TOY}.json").write_text(json.dumps({**SCHEMA, "title": "Other"})),
        lambda folder: (folder / "samples" / f"{TOY}.json").unlink(),
        lambda folder: (folder / "samples" / "iacs.game.v1.json").write_text("{}"),
        lambda folder: (folder / compatibility.SUMS).unlink(),
    ],
    ids=["changed", "removed", "added", "without sums"],
)
def test_what_was_released_is_not_rewritten(released: Path, rewrite: Any) -> None:
    rewrite(released / "0.1.0")
    assert compatibility.check({TOY: SCHEMA}, released) == [
        "Against 0.1.0: its files are not as they were released; take them back from the version history"
    ]


def test_the_sums_are_read_by_the_usual_tool(released: Path) -> None:
    judge = ["sha256sum", "--check", "--strict", "--quiet", compatibility.SUMS]
    assert subprocess.run(judge, cwd=released / "0.1.0", check=False).returncode == 0
    (released / "0.1.0" / f"{TOY}.json").write_text("{}")
    assert subprocess.run(judge, cwd=released / "0.1.0", check=False, capture_output=True).returncode == 1


# --- The command ------------------------------------------------------------------------------


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.compatibility", *words],
        cwd=contracts.FOLDER.parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_todays_language_can_be_read_by_the_readers_of_every_released_version() -> None:
    done = command("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_command_says_how_it_is_called() -> None:
    for words in ((), ("publish",), ("release", "--check")):
        done = command(*words)
        assert (done.returncode, done.stderr) == (1, "usage: python -m services.compatibility release | --check\n")


def test_the_command_releases_todays_language_once_and_finds_it_compatible(tmp_path: Path) -> None:
    compatibility.main(["release"], tmp_path)
    (version,) = compatibility.versions(tmp_path)
    assert compatibility.read(version) == compatibility.read(contracts.FOLDER)
    assert len(list((version / "samples").iterdir())) == len(contracts.published())
    compatibility.main(["--check"], tmp_path)
    with pytest.raises(SystemExit, match=f"{version.name} is released, and never rewritten"):
        compatibility.main(["release"], tmp_path)


@pytest.mark.parametrize("word", ["release", "--check"])
def test_the_command_refuses_what_released_readers_would_not_survive_and_keeps_nothing(
    released: Path, word: str
) -> None:
    with pytest.raises(SystemExit, match=f"Against 0.1.0: {TOY}: the type is removed"):
        compatibility.main([word], released)
    assert [folder.name for folder in compatibility.versions(released)] == ["0.1.0"]


@pytest.mark.parametrize("word", ["release", "--check"])
def test_the_command_refuses_schemas_that_are_not_todays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setattr(contracts, "FOLDER", tmp_path)
    with pytest.raises(SystemExit, match="Out of date: docs/contracts/"):
        compatibility.main([word], tmp_path / "released")
    assert compatibility.versions(tmp_path / "released") == []
