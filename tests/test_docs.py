"""The pages tell the truth where a machine can know it: paths, commands, settings, metrics, events, who reads what."""

import importlib
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client import REGISTRY

from services import contracts, settings_table
from services.approval import consumers as approval
from services.cli import app
from services.directory import consumers as directory
from services.notification import consumers as notification
from services.registration import consumers as registration
from services.registration import timers as _registers_its_gauge
from shared import topics
from shared.delivery import Handlers
from shared.deployment import SERVICES
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "services").glob("*/README.md")),
]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

_FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
_DRAWING = re.compile(r"^```mermaid.*?^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^(?: {4}|\t).*\n?)+", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(?:#[^)]*)?\)")
_FILE = re.compile(r"[\w.<>*/-]+\.(?:py|md|toml|json|svg|txt|html|yml|java|env)|[\w/-]+\.lock|Makefile|\.ci/run")
_PLACES = ("services/", "shared/", "docs/", "tests/", "examples/", "deploy/", "benchmarks/")
_ELSEWHERE = {"settings.env", "pom.xml"}
"""Files that a running product writes, and those that a page shows to be made."""


@cache
def tracked() -> frozenset[str]:
    """Every file of the project, whether it is committed yet or not, and every folder with one."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    folders = {f"{parent}/" for file in files for parent in Path(file).parents}
    return frozenset(files) | folders


def code_of(page: Path) -> Iterator[str]:
    """What a page writes as code: spans, and lines of blocks."""
    text = _DRAWING.sub("", page.read_text(encoding="utf-8"))
    for block in (*_FENCE.finditer(text), *_INDENTED.finditer(text)):
        yield from block[0].splitlines()
    yield from _CODE.findall(_FENCE.sub("", text))


def is_there(name: str) -> bool:
    """Whether a file or folder of this name exists: from the root on, or somewhere, as `api.py` in each service.

    A module may have grown into a package of its name.
    """
    pattern = re.sub(r"<\w+>", "*", name)
    whole = [pattern, f"{pattern.removesuffix('.py').rstrip('/')}/"]
    return any(fnmatch(path, one) or fnmatch(path, f"*/{one}") for path in tracked() for one in whole)


@every_page
def test_each_file_that_is_named_exists(page: Path) -> None:
    named = {word for code in code_of(page) for word in re.split(r"[\s,;:()\"']+", code)}
    paths = {word for word in named if _FILE.fullmatch(word) or word.startswith(_PLACES)}

    assert sorted(path for path in paths - _ELSEWHERE if not is_there(path.rstrip("."))) == []


@every_page
def test_each_link_leads_somewhere(page: Path) -> None:
    links = {link for link in _LINK.findall(page.read_text(encoding="utf-8")) if link}

    assert sorted(link for link in links if not (page.parent / link).exists()) == []


@every_page
def test_each_link_into_a_page_names_a_heading_of_it(page: Path) -> None:
    for link, anchor in re.findall(r"\]\((?!https?:)([^)\s#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        aim = (page.parent / link) if link else page
        headings = re.findall(r"^#+ (.+)$", aim.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, anchor


@every_page
def test_each_command_of_iacs_that_is_named_exists_with_its_options(page: Path) -> None:
    for code in code_of(page):
        for words in re.findall(r"(?:^|[\s/])iacs ((?:[a-z]|--)[^#|&;)]*)", code):
            assert fault_of(words.split()) is None, f"iacs {words}: {fault_of(words.split())}"


def fault_of(words: list[str]) -> str | None:
    """Return what the `iacs` command would not know of these words."""
    command: Any = typer.main.get_command(app)
    for word in words:
        commands = getattr(command, "commands", None)  # What a command has that is only a group of others.
        if commands is not None and re.fullmatch(r"[a-z]+", word):
            if word not in commands:
                return f"no command {word}"
            command = commands[word]
        elif word.startswith("--"):
            options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            if word.partition("=")[0] not in {*options, "--help"}:
                return f"no option {word}"
    return None


@every_page
def test_each_target_of_make_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w.-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {target for code in code_of(page) for target in re.findall(r"(?:^|\s)make ([a-z][\w.-]*)", code)}

    assert named - targets == set()


@every_page
def test_each_module_that_is_named_can_be_imported(page: Path) -> None:
    text = "\n".join(code_of(page))
    for name in set(re.findall(r"(?<![\w./])((?:services|shared|benchmarks)(?:\.[a-z_]+)+)(?![\w/])", text)):
        if not name.endswith((".py", ".md")):
            importlib.import_module(name)


@every_page
def test_each_variable_that_is_named_is_read_by_somebody(page: Path) -> None:
    known = {name.replace("_<SERVICE>_", f"_{service.upper()}_") for name in known_variables() for service in SERVICES}
    for name in set(re.findall(r"\bIACS_(?:<SERVICE>_)?[A-Z_]*[A-Z]\b", "\n".join(code_of(page)))):
        assert name.replace("<SERVICE>", "APPROVAL") in known, name


def known_variables() -> list[str]:
    """Settings, and what commands and tests look for in the environment."""
    return [*settings_table.variables(), "IACS_DATA", "IACS_WRITE_SNAPSHOTS"]


# --- Each of these stands on its page ----------------------------------------------------------------


def operating() -> str:
    return settings_table.FILE.read_text(encoding="utf-8")


def test_each_setting_is_documented_as_its_class_has_it() -> None:
    page = operating()

    assert settings_table.written(page) == page
    common = Settings.model_fields
    for name in settings_table.variables():
        of_all = f"IACS_<SERVICE>_{name.split('_', 2)[2]}"
        is_common = name.split("_", 2)[2].lower() in common and "_INSTALLATION_" not in name
        assert f"| `{of_all if is_common else name}` |" in page


def test_a_setting_that_holds_a_secret_is_marked_and_no_other() -> None:
    marked = re.findall(r"^\| `IACS_(\S+)` .*\*\*Secret", settings_table.tables(), re.MULTILINE)

    assert set(marked) == {
        "<SERVICE>_DATABASE_URL",
        "<SERVICE>_KAFKA_PASSWORD",
        "<SERVICE>_SECRET_KEY",
        "REGISTRATION_DATA_KEYS",
        "REGISTRATION_FINGERPRINT_KEY",
        "DIRECTORY_DATA_KEYS",
        "DIRECTORY_FINGERPRINT_KEY",
        "DIRECTORY_SEAL_KEY",
        "NOTIFICATION_SEAL_KEY",
        "NOTIFICATION_SMTP_URL",
        "INSTALLATION_POSTGRES_URL",
        "INSTALLATION_SMTP_URL",
    }


def test_each_metric_is_documented_and_each_documented_one_exists() -> None:
    assert _registers_its_gauge.unopened_requests is not None
    registered = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in REGISTRY.collect()
        if metric.name.startswith("iacs_")
    }

    assert set(re.findall(r"^\| `(iacs_\w+)` \|", operating(), re.MULTILINE)) == registered
    spoken_of = set(re.findall(r"\biacs_[a-z_]+", "\n".join(page.read_text(encoding="utf-8") for page in PAGES)))
    assert {re.sub(r"_(count|sum|bucket)$", "", name) for name in spoken_of} <= registered


def architecture(*names: str) -> str:
    folder = ROOT / "docs" / "architecture"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names or ("containers.md", "request.md"))


def short(wire: str) -> str:
    return wire.removeprefix("iacs.").removesuffix(".v1")


def hearing() -> dict[str, Handlers]:
    """What each service listens to."""
    return {
        "registration": registration.handlers(),
        "approval": approval.handlers(),
        "directory": directory.handlers(None),  # type: ignore[arg-type]  # Nothing is opened or sealed here.
        "notification": notification.handlers(),
    }


def test_each_event_is_in_the_way_of_a_request_and_each_that_is_named_is_published() -> None:
    published = {short(it.wire) for it in contracts.published()}
    named = set(re.findall(rf"\b(?:{'|'.join(SERVICES)})\.[a-z_]+\.[a-z_]+", architecture("request.md")))

    assert named == published


def test_the_table_of_events_names_those_who_handle_each() -> None:
    told = dict(
        re.findall(r"^\| `([a-z_]+\.[a-z_]+\.[a-z_]+)` \| (.+) \|$", architecture("containers.md"), re.MULTILINE)
    )
    services = hearing()

    assert told == {
        short(it.wire): ", ".join(name for name, its in services.items() if it.wire in its._bodies) or "-"
        for it in contracts.published()
    }


def test_the_table_of_topics_is_as_topics_are() -> None:
    rows = re.findall(
        r"^\| `(iacs\.[a-z.]+\.v1)`( \(public\))? \| (\w+) \| (.+?) \| \w+ \| (.+?) \|$", architecture(), re.MULTILINE
    )
    services = hearing()

    assert rows == [
        (
            topic.name,
            " (public)" if topic.public else "",
            topic.owner,
            ", ".join(name for name, its in services.items() if topic.name in its.topics) or "-",
            f"{topic.kept.days} days" if topic.kept else "the latest of each",
        )
        for topic in topics.TOPICS
    ]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("serve approval --worker", None),
        ("topics apply --replication 3", None),
        ("topics aply", "no command aply"),
        ("serve approval --workers", "no option --workers"),
    ],
)
def test_a_command_that_is_not_there_is_found_out(words: str, fault: str | None) -> None:
    assert fault_of(words.split()) == fault
