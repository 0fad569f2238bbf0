"""`iacs up`, as a newcomer gives it: the first start tells the story and shows where everything is."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from shared import deployment

Iacs = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def iacs(tmp_path: Path) -> Iterator[Iacs]:
    """Return a function that gives a command on a folder of its own, each in a process of its own."""

    def give(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "services.cli", *words, "--data", str(tmp_path / "[data]")]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    yield give
    give("down")


def test_the_first_start_tells_the_story_and_a_later_one_finds_what_it_left(iacs: Iacs, tmp_path: Path) -> None:
    for words, code, said in (
        (("down",), 0, "Nothing was running.\n"),
        (("status",), 1, "Nothing is running.\n"),
        (("story",), 2, "Nothing is running here: start it with `iacs up`, or name it with --url.\n"),
    ):
        done = iacs(*words)
        assert (done.returncode, done.stdout + done.stderr) == (code, said)
    assert f"Nothing was started in {tmp_path}/[data]: " in iacs("parked", "list", "approval").stderr

    first = iacs("up", "--detach")
    assert first.returncode == 0, first.stderr
    assert "The help desk opens" in first.stdout
    assert "It knows exactly what each of them may do" in first.stdout
    status = iacs("status", "--json")
    origin = json.loads(status.stdout)["address"]
    assert status.returncode == 0
    shown = re.findall(r"│ (\S[^│]*?) +│ (\S+) +│", first.stdout)
    assert dict(shown) == {
        "mail inbox": f"{origin}/mail",
        **{f"{service} API": f"{origin}/{service}/docs" for service in deployment.SERVICES},
    }
    asked = re.findall(rf"^  curl -s '?({origin}[^'\s]*)", first.stdout, re.MULTILINE)
    assert len(asked) == 3
    for address in (*asked, *(address for _, address in shown)):
        assert httpx.get(address, follow_redirects=True).status_code == 200, address
    assert len(httpx.get(asked[-1]).json()) > 0  # What the help desk was sent.

    for more in (["--detach"], []):
        twice = iacs("up", *more)
        assert (twice.returncode, twice.stderr.startswith("Not started:")) == (1, True)
        assert "[data]/owner is held" in twice.stderr
        assert "Traceback" not in twice.stderr
    before = httpx.get(f"{origin}/directory/v1/organizations").json()
    assert iacs("down").stdout == "Stopped.\n"

    later = iacs("up", "--detach")
    assert later.returncode == 0, later.stderr
    assert "IACS is ready" in later.stdout
    assert "The help desk opens" not in later.stdout
    assert httpx.get(f"{origin}/directory/v1/organizations").json() == before
