"""AsyncAPI's own parser takes the document, merges it as we do, and is no judge that takes everything."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import platformdirs
import pytest

from services import contracts
from tests.subscribers import documents
from tests.subscribers.documents import Json, merged

Judge = Callable[[Json], Json]
GRANTED, ENDED = "iacs.directory.role.granted.v1", "iacs.directory.role.ended.v1"
PATIENCE_SECONDS = 240
NODE = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def modules() -> Path:
    """The parser and all it stands on, fetched once as the lock file says. CI must have it; elsewhere it is skipped."""
    if not (shutil.which("node") and shutil.which("npm")):
        _absent("there is no Node.js")
    lock = (NODE / "package-lock.json").read_bytes()
    cache = platformdirs.user_cache_path("iacs")
    fetched = cache / f"asyncapi-parser-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not fetched.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _fetch(Path(folder))
            with suppress(OSError):  # Another run was faster, with the same.
                Path(folder, "node_modules").rename(fetched)
    return fetched


def _fetch(folder: Path) -> None:
    for file in NODE.glob("package*.json"):
        shutil.copy(file, folder)
    install = ["npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        for _ in range(2):  # A registry that hangs up once is no reason to judge nothing.
            done = subprocess.run(
                install, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
            )
            if done.returncode == 0:
                return
    except subprocess.TimeoutExpired:
        _absent("npm did not come to an end")
    _absent(f"npm could not fetch it: {done.stderr[-300:]}")


@pytest.fixture(scope="session")
def judge(modules: Path) -> Iterator[Judge]:
    """The parser, asked document by document."""
    with subprocess.Popen(
        ["node", NODE / "judge.cjs"],
        env={**os.environ, "NODE_PATH": str(modules)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parser:
        assert parser.stdin is not None
        assert parser.stdout is not None
        ask, hear = parser.stdin, parser.stdout

        def parse(document: Json) -> Json:
            print(json.dumps(document), file=ask, flush=True)
            answer: Json = json.loads(hear.readline())
            return answer

        yield parse
        parser.kill()


def _absent(why: str) -> NoReturn:
    message = f"NO ASYNCAPI PARSER: nobody but us has judged docs/asyncapi.json, for {why}."
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def answer(judge: Judge) -> Json:
    """What it says of the document as it is."""
    return judge(documents.document())


def _of_one_event() -> Json:
    """Return the document with one channel, one event in it and one message beside it: the whole takes long to read."""
    document = documents.document()
    channel, operation = document["channels"]["directoryEvents"], document["operations"]["sendDirectoryEvents"]
    channel["messages"] = {GRANTED: channel["messages"][GRANTED]}
    operation["messages"] = [it for it in operation["messages"] if it["$ref"].endswith(GRANTED)]
    document["channels"], document["operations"] = {"directoryEvents": channel}, {"sendDirectoryEvents": operation}
    parts = document["components"]
    parts["messages"] = {name: parts["messages"][name] for name in (GRANTED, ENDED)}
    parts["schemas"] = {name: parts["schemas"][name] for name in ("RoleGranted", "RoleEnded")}
    return document


def test_the_parser_finds_nothing_wrong_and_merges_headers_as_we_do(answer: Json) -> None:
    document = documents.document()
    assert answer["faults"] == []
    assert set(answer["messages"]) == set(document["components"]["messages"])
    for name, found in answer["messages"].items():
        ours = merged(document, name)
        assert _bare(found["headers"]) == ours["headers"]
        assert found["correlation"] == "$message.header#/ce_correlationid"


def test_the_parser_finds_the_fields_of_the_published_schemas_in_every_body(answer: Json) -> None:
    for name, found in answer["messages"].items():
        published = json.loads((contracts.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        assert set(found["fields"]) == set(published["properties"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document["channels"]["directoryEvents"]["bindings"]["kafka"].update(partitions="twelve"),
        lambda document: document["channels"]["directoryEvents"]["bindings"]["kafka"].update(keptFor="a year"),
        lambda document: document["operations"]["sendDirectoryEvents"].update(action="publish"),
        lambda document: document["operations"]["sendDirectoryEvents"]["messages"].append(
            {"$ref": f"#/components/messages/{ENDED}"}
        ),
        lambda document: document["components"]["schemas"].pop("RoleGranted"),
        lambda document: document["components"]["schemas"]["RoleGranted"].update(properties="none"),
        lambda document: document["components"]["messages"][GRANTED]["examples"][0].update(body="a body"),
    ],
)
def test_the_parser_refuses_a_broken_document(judge: Judge, spoil: Callable[[Json], Any]) -> None:
    document = _of_one_event()
    spoil(document)
    assert judge(document)["faults"] != []


def test_what_is_broken_there_is_whole_before(judge: Judge) -> None:
    assert judge(_of_one_event())["faults"] == []


def _bare(schema: Any) -> Any:
    """Return a schema without what the parser writes into it."""
    if isinstance(schema, dict):
        return {name: _bare(value) for name, value in schema.items() if not name.startswith("x-parser-")}
    return schema
