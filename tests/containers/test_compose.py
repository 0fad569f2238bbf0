"""The compose file, tried where a Docker engine runs: up, the story, three processes, a crash, and nothing left."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import deployment
from shared.testing.product import wait_until

ROOT = Path(__file__).resolve().parents[2]
OPERATING = ROOT / "docs" / "operating.md"
PROJECT = "iacs-tests"


def _free_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


PORTS = {"GATEWAY_PORT": _free_port(), "KAFKA_PORT": _free_port()}


def _why_not() -> str:
    """Return why containers are not tried; empty if they are."""
    if os.environ.get("STACK") != "containers":
        return "containers are tried with: make test STACK=containers"
    if shutil.which("docker") is None:
        return "there is no docker command"
    found = subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=30)
    return "" if found.returncode == 0 else "no Docker engine runs"


pytestmark = [
    pytest.mark.skipif(bool(_why_not()), reason=_why_not()),
    pytest.mark.timeout(900),  # The first build fetches every package.
]


def compose(*words: str, check: bool = True) -> str:
    done = subprocess.run(
        ["docker", "compose", "-p", PROJECT, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **PORTS},
    )
    assert not check or done.returncode == 0, f"docker compose {' '.join(words)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    """Everything up and healthy, with three processes of approval; afterwards nothing is left."""
    compose("build", "--quiet")
    try:
        compose("up", "--wait", "--scale", "approval=3")
        yield
    finally:
        compose("down", "--volumes", check=False)
    assert compose("ps", "--all", "--quiet") == ""
    left = subprocess.run(["docker", "volume", "ls", "-q"], capture_output=True, text=True, check=True)
    assert not [name for name in left.stdout.split() if name.startswith(PROJECT)]


def test_the_story_is_told_with_three_processes_of_approval() -> None:
    told = json.loads(
        compose(
            "run",
            "--rm",
            "-T",
            "story",
            "story",
            "--url",
            "http://gateway:8080",
            "--data",
            "/settings/directory",
            "--json",
        )
    )
    assert [step["name"] for step in told["steps"] if not step["ok"]] == []
    assert len(told["steps"]) > 100


def test_a_second_start_finds_what_the_first_has_made() -> None:
    compose("up", "--wait", "--scale", "approval=3", "--force-recreate")
    told = json.loads(
        compose(
            "run",
            "--rm",
            "-T",
            "story",
            "story",
            "--url",
            "http://gateway:8080",
            "--data",
            "/settings/directory",
            "--json",
        )
    )
    assert all(step["ok"] for step in told["steps"])


@pytest.mark.parametrize("service", deployment.SERVICES)
def test_a_service_is_nobody_and_can_write_nowhere(service: str) -> None:
    script = "id -u; touch /app/x 2>&1 | grep -c Read-only; grep CapEff /proc/1/status; ls /settings/*/settings.env"
    told = compose("exec", "-T", service, "sh", "-c", script).split("\n")
    assert told[0] == "10001"
    assert told[1] == "1"
    assert told[2].split()[-1] == "0000000000000000"
    assert told[3] == f"/settings/{service}/settings.env"  # No other's secrets.


@pytest.mark.parametrize("service", deployment.SERVICES)
def test_an_operator_asks_a_service_as_the_guide_says(service: str) -> None:
    command = f"run --rm {service} parked list {service} --data /settings/{service}"
    told = compose(*command.replace("--rm", "--rm -T").split())
    assert "Nothing is parked" in told
    assert f"`docker compose {command.replace(service, 'approval')}`" in OPERATING.read_text(encoding="utf-8")


def test_a_crash_restarts() -> None:
    container = compose("ps", "-q", "directory").strip()
    inspect = ["docker", "inspect", container, "--format", "{{.State.Pid}} {{.RestartCount}} {{.State.Health.Status}}"]

    def state() -> list[str]:
        return subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.split()

    pid, before, _ = state()
    os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: state()[1:] == [str(int(before) + 1), "healthy"], "it is up again")
