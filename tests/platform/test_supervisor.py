"""The product stays up when any one of its processes dies, and leaves nothing when it is ended or killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from shared import deployment
from shared.platform import ports, state, supervisor
from shared.platform.part import NotStartedError
from tests.platform.conftest import processes_in, remember_own_ports

PROJECT = Path(__file__).parents[2]
ALL = {
    *("postgres", "kafka", "mail", "nursery", "gateway"),
    *deployment.SERVICES,
}


class Product:
    """`up` in a process of its own, with stand-ins for the services."""

    def __init__(self, data: Path, stand_ins: Path) -> None:
        self.data = data
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.platform.product", str(data)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=stand_ins,
            env={**os.environ, "PYTHONPATH": f"{stand_ins}:{PROJECT}"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))

    def origin(self) -> str:
        """Return the gateway's address once all is ready."""
        until(lambda: any(line.startswith("ready ") for line in self.said) or self.process.poll() is not None)
        return next(line for line in self.said if line.startswith("ready ")).removeprefix("ready ")

    def part(self, name: str) -> dict[str, Any]:
        return next(one for one in supervisor.status(self.data)["parts"] if one["name"] == name)


def until(holds: Callable[[], bool], *, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def product(folder: Path, stand_ins: Path) -> Iterator[Product]:
    product = Product(folder, stand_ins)
    product.origin()
    yield product
    supervisor.down(folder)
    product.process.wait(60)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A data folder of this test's own."""
    yield remember_own_ports(tmp_path / "data")
    until(lambda: processes_in(tmp_path) == [])


@pytest.fixture
def start(stand_ins: Path) -> Iterator[Callable[[Path], Product]]:
    """Start products that this test ends in whatever way it likes."""
    started: list[Product] = []

    def start(data: Path) -> Product:
        started.append(Product(data, stand_ins))
        return started[-1]

    yield start
    for one in started:
        supervisor.down(one.data)
        one.process.wait(60)


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=30, trust_env=False)


def test_one_origin_leads_to_every_service_and_to_the_inbox(product: Product) -> None:
    for name in deployment.SERVICES:
        answer = get(f"{product.origin()}/{name}/v1/things?a=1")
        assert answer.text.startswith(f"/{name}/v1/things?a=1 by {name} ")
    assert "Mail that the system sent" in get(f"{product.origin()}/mail").text
    assert get(product.origin()).headers["location"] == "/directory/docs"
    assert get(f"{product.origin()}/approvals").status_code == 404


def test_status_names_every_process(product: Product) -> None:
    status = supervisor.weighed(supervisor.status(product.data))
    assert status["running"]
    assert status["ready"]
    assert status["address"] == product.origin()
    assert {part["name"] for part in status["parts"]} == ALL
    for part in status["parts"]:
        assert psutil.pid_exists(part["pid"])
        assert part["memory_bytes"] > 1_000_000
        assert part["state"] == "running"


@pytest.mark.parametrize("name", sorted(ALL))
def test_whoever_is_killed_comes_back(product: Product, name: str) -> None:
    before = product.part(name)
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: product.part(name)["restarts"] > before["restarts"] and product.part(name)["state"] == "running")
    after = product.part(name)
    assert after["pid"] != before["pid"]
    assert after["address"] == before["address"]


def test_the_product_is_not_ready_while_a_part_is_away(product: Product) -> None:
    nursery = psutil.Process(product.part("nursery")["pid"])
    nursery.suspend()  # What forks the services: the one that is killed cannot come back yet.
    try:
        os.kill(product.part("approval")["pid"], signal.SIGKILL)
        until(lambda: product.part("approval")["state"] != "running")
        assert not supervisor.status(product.data)["ready"]
    finally:
        nursery.resume()
    until(lambda: supervisor.status(product.data)["ready"])


def test_a_service_that_is_being_restarted_costs_its_callers_a_moment(product: Product) -> None:
    told: list[int] = []
    while not told or (told[-1] != 200 and len(told) < 3):  # How long a moment is, a busy machine decides.
        os.kill(product.part("approval")["pid"], signal.SIGKILL)
        told.append(get(f"{product.origin()}/approval/v1/requests").status_code)
        until(lambda: product.part("approval")["state"] == "running")
    assert told[-1] == 200, told


def test_a_second_up_is_refused_and_harms_nothing(product: Product, start: Callable[[Path], Product]) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "tests.platform.product", str(product.data)],
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert second.returncode == 1
    assert "InUseError" in second.stderr
    assert get(f"{product.origin()}/approval/").status_code == 200
    assert supervisor.status(product.data)["ready"]


def test_a_signal_while_starting_ends_everything(fresh: Path, start: Callable[[Path], Product]) -> None:
    product = start(fresh)
    until(lambda: bool(product.said))
    product.process.send_signal(signal.SIGTERM)
    assert product.process.wait(60) == 0
    assert processes_in(fresh) == []


def test_a_killed_owner_leaves_nothing_and_the_next_up_finds_its_data(
    fresh: Path, start: Callable[[Path], Product]
) -> None:
    first = start(fresh)
    origin = first.origin()
    pids = [part["pid"] for part in supervisor.status(fresh)["parts"]]
    first.process.kill()
    first.process.wait(60)
    # The owner's file still names it: stale, as its lock tells.
    assert (fresh / "owner").read_text().startswith(f"{first.process.pid} ")
    assert supervisor.status(fresh) == {
        "running": False, "ready": False, "address": None, "pid": None, "parts": [],
    }  # fmt: skip
    assert supervisor.down(fresh) is False
    assert processes_in(fresh) == []
    assert not any(psutil.pid_exists(pid) for pid in pids)

    second = start(fresh)
    assert second.origin() == origin
    assert "Making the PostgreSQL data folder" not in second.said


def test_a_signal_while_preparing_ends_the_preparation_before_what_it_works_on(
    fresh: Path, start: Callable[[Path], Product], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREPARES_SECONDS", "600")
    product = start(fresh)
    until((fresh / "run" / "preparation.pid").exists)
    preparing = psutil.Process(int((fresh / "run" / "preparation.pid").read_text()))
    product.process.send_signal(signal.SIGTERM)
    preparing.wait(60)
    assert psutil.pid_exists(int((fresh / "run" / "postgres.pid").read_text()))
    assert product.process.wait(60) == 0
    assert processes_in(fresh) == []


def test_what_is_ended_with_its_nursery_frozen_ends_all_the_same(fresh: Path, start: Callable[[Path], Product]) -> None:
    product = start(fresh)
    product.origin()
    os.kill(product.part("nursery")["pid"], signal.SIGSTOP)
    os.kill(product.part("approval")["pid"], signal.SIGKILL)  # It is asked for again, and nobody answers.
    until(lambda: product.part("approval")["state"] == "starting")
    product.process.send_signal(signal.SIGTERM)
    assert product.process.wait(30) == 0
    assert processes_in(fresh) == []


def test_taken_ports_are_stepped_over_and_a_signal_ends_everything(
    fresh: Path, start: Callable[[Path], Product]
) -> None:
    claims = ports.Ports(fresh)
    taken = {name: claims.claim(name) for name in ports.PREFERRED}
    claims.release()
    with ExitStack() as listeners:
        for port in taken.values():
            listeners.enter_context(socket.create_server((ports.HOST, port)))
        product = start(fresh)
        assert get(f"{product.origin()}/approval/").status_code == 200
        remembered = json.loads((fresh / "ports.json").read_text())
        assert not set(remembered.values()) & set(taken.values())

        product.process.send_signal(signal.SIGINT)
        assert product.process.wait(60) == 0
    assert product.said[-1] == "Nothing runs any more"
    assert processes_in(fresh) == []


def test_detached_it_goes_on_alone_until_down(fresh: Path, stand_ins: Path) -> None:
    program = (
        "import pathlib, sys; from shared.platform import supervisor; from tests.platform.product import say\n"
        "supervisor.up(pathlib.Path(sys.argv[1]), detach=True, on_ready=say, progress=say)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(fresh)],
        cwd=stand_ins, env={**os.environ, "PYTHONPATH": f"{stand_ins}:{PROJECT}"},
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    origin = done.stdout.splitlines()[-1]
    assert get(f"{origin}/approval/").status_code == 200
    assert supervisor.status(fresh)["ready"]
    assert supervisor.down(fresh) is True
    until(lambda: processes_in(fresh) == [])  # Its lock is free a moment before its owner is gone.


def test_what_fails_to_prepare_is_told_and_leaves_nothing(
    fresh: Path, stand_ins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{stand_ins}:{PROJECT}")
    monkeypatch.setenv("FAILS_TO_PREPARE", "the community file is wrong")
    monkeypatch.chdir(stand_ins)
    with pytest.raises(NotStartedError, match=r"(?s)preparation ended with 1.*the community file is wrong"):
        supervisor.up(fresh, detach=True)
    until(lambda: not state.Lock(fresh / "owner").is_taken)
