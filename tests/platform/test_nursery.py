"""Programs that are forked from one process start, end and fail as if each had been started by itself."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from services import cli
from shared.platform import part
from shared.platform.nursery import Nursery
from shared.platform.part import NotStartedError, Part
from shared.platform.ports import Ports
from tests.platform.conftest import once_logged

PROGRAM = """
import os, random, signal, socket, sys, time

import luggage

match sys.argv[1:]:
    case ["say", name]:
        print(luggage.CONTENT, os.environ.get(name), flush=True)
    case ["choose"]:
        from shared.ids import new_id
        print(new_id().bytes[8:].hex(), random.random(), flush=True)
    case ["signals"]:
        numbers = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
        print([str(signal.getsignal(it)) for it in numbers], flush=True)
    case ["write to nobody"]:
        ours, theirs = socket.socketpair()
        theirs.close()
        try:
            os.write(ours.fileno(), b"hello")
        except BrokenPipeError:
            print("nobody is there", flush=True)
    case ["stay"]:
        print("here", flush=True)
        time.sleep(600)
    case ["be deaf"]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf", flush=True)
        time.sleep(600)
    case ["exit", status]:
        sys.exit(int(status))
    case ["fail"]:
        raise ValueError("of its own")
    case ["hash passwords"]:
        def taken():
            return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        before = taken()
        for _ in range(3):
            largest = bytearray(os.urandom(1)) * 19_000_000
            while_hashing = taken()
            small = bytearray(100_000)  # Freed last, it would be the end of what could be given back.
            del largest
        print(while_hashing - before > 18, taken() - before < 5, flush=True)
    case ["files"]:
        files = [f"/proc/self/fd/{it}" for it in os.listdir("/proc/self/fd") if int(it) > 2]
        print([os.readlink(it) for it in files if os.path.exists(it)], flush=True)  # What listed them is closed by now.
"""
LUGGAGE = """
import pathlib, random

from shared.ids import new_id

new_id(), random.random()  # What is random has begun to be before anybody is forked.
with (pathlib.Path(__file__).parent / "imports").open("a") as file:
    file.write("once ")
CONTENT = "heavy"
"""
# Looks through its own memory for 32 bytes that it knows by their beginning and their hash alone.
SEARCHER = """
import os, sys
from hashlib import sha256

beginning, digest = bytes.fromhex(os.environ["BEGINNING"]), os.environ["DIGEST"]
found, looked_at = 0, 0
with open("/proc/self/mem", "rb", 0) as memory:
    for line in open("/proc/self/maps").read().splitlines():
        if " rw" not in line or "[v" in line:
            continue
        at, end = (int(word, 16) for word in line.split()[0].split("-"))
        memory.seek(at)
        content = memory.read(end - at)
        looked_at += len(content)
        place = content.find(beginning)
        while place >= 0:
            found += sha256(content[place : place + 32]).hexdigest() == digest
            place = content.find(beginning, place + 1)
print(f"found {found} in {looked_at > 1_000_000}", flush=True)
"""


class Program(Part):
    """A program of the test's own."""

    grace_seconds = 1.0

    def __init__(self, name: str, data: Path, nursery: Nursery) -> None:
        super().__init__(name, data, Ports(data))
        self._nursery = nursery
        self.words: list[str] = []
        self.environment: Mapping[str, str] = {}

    @property
    def address(self) -> str:
        return "-"

    def start(self, _progress: part.Progress = part.silent) -> None:
        self._launch(self.words, environment=self.environment, nursery=self._nursery)

    def does(self, *words: str, **environment: str) -> "Program":
        self.words, self.environment = ["program", *words], environment
        self.start()
        return self


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the programs are, and what they import."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    (folder / "searcher.py").write_text(SEARCHER)
    (folder / "luggage.py").write_text(LUGGAGE)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")
    return folder


@pytest.fixture
def nursery(tmp_path: Path, modules: Path) -> Iterator[Nursery]:
    running = Nursery(tmp_path / "data", Ports(tmp_path / "data"), ["luggage"])
    running.start()
    yield running
    running.stop()
    assert not running.is_alive


@pytest.fixture
def new(tmp_path: Path, nursery: Nursery) -> Iterator[Callable[[], Program]]:
    made: list[Program] = []

    def new() -> Program:
        made.append(Program(f"program-{len(made)}", tmp_path / "data", nursery))
        return made[-1]

    yield new
    for one in made:
        one.stop()
        assert not one.is_alive


def test_what_programs_share_is_imported_once(new: Callable[[], Program], modules: Path) -> None:
    for value in ("first", "second"):
        program = new().does("say", "WORD", WORD=value)
        assert once_logged(program.log, "\n") == f"heavy {value}\n"
        assert program.wait() == 0
    assert (modules / "imports").read_text() == "once "


def test_no_two_choose_the_same_where_they_choose_at_random(new: Callable[[], Program]) -> None:
    said = [once_logged(new().does("choose").log, "\n").split() for _ in range(2)]
    assert said[0][0] != said[1][0]
    assert said[0][1] != said[1][1]


def test_a_program_handles_signals_as_one_that_python_has_started(new: Callable[[], Program]) -> None:
    handlers = (signal.default_int_handler, signal.SIG_IGN, signal.SIG_IGN, signal.SIG_DFL)
    assert once_logged(new().does("signals").log, "\n") == f"{[str(it) for it in handlers]}\n"


def test_whoever_writes_to_a_closed_connection_is_told_so_and_lives(new: Callable[[], Program]) -> None:
    program = new().does("write to nobody")
    assert program.wait() == 0
    assert once_logged(program.log, "\n") == "nobody is there\n"


def test_a_setting_of_one_is_not_one_of_the_next(new: Callable[[], Program]) -> None:
    new().does("say", "WORD", WORD="secret").wait()
    program = new().does("say", "WORD")
    assert once_logged(program.log, "\n") == "heavy None\n"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_one_is_told_is_nowhere_in_the_memory_of_the_next(new: Callable[[], Program]) -> None:
    secret = os.urandom(16).hex()

    def search() -> str:
        searcher = new()
        searcher.words = ["searcher"]
        searcher.environment = {
            "BEGINNING": secret[:8].encode().hex(), "DIGEST": sha256(secret.encode()).hexdigest(),
        }  # fmt: skip
        searcher.start()
        return once_logged(searcher.log, "\n")

    new().does("say", "WORD", WORD=secret).wait()
    assert search() == "found 0 in True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_program_gives_the_memory_back_in_which_it_hashed_passwords(new: Callable[[], Program]) -> None:
    assert once_logged(new().does("hash passwords").log, "\n") == "True True\n"


@pytest.mark.parametrize(("words", "status"), [(["exit", "7"], 7), (["exit", "0"], 0), (["fail"], 1)])
def test_the_exit_status_is_the_programs(new: Callable[[], Program], words: list[str], status: int) -> None:
    assert new().does(*words).wait() == status


def test_what_a_program_fails_with_is_in_its_log(new: Callable[[], Program]) -> None:
    once_logged(new().does("fail").log, "ValueError: of its own")


def test_a_program_ends_when_told_and_by_force_after_its_grace(new: Callable[[], Program]) -> None:
    obedient, deaf = new().does("stay"), new().does("be deaf")
    once_logged(obedient.log, "here")
    once_logged(deaf.log, "deaf")
    obedient.stop()
    deaf.stop()
    assert obedient.wait() == 256 - signal.SIGTERM
    assert deaf.wait() == 256 - signal.SIGKILL


def test_a_program_whose_owner_is_gone_ends(tmp_path: Path, nursery: Nursery) -> None:
    """As the kernel closes the life line of an owner that was killed."""
    program = Program("lonely", tmp_path / "data", nursery).does("stay")
    process = psutil.Process(program.pid)
    watcher = process.parent()
    assert watcher is not None
    assert program._watcher is not None
    assert program._watcher.stdin is not None
    program._watcher.stdin.close()
    process.wait(60)
    watcher.wait(60)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_watcher_takes_the_program_along_and_the_next_start_is_clean(new: Callable[[], Program]) -> None:
    program = new().does("stay")
    process = psutil.Process(program.pid)
    watcher = process.parent()
    assert watcher is not None
    watcher.kill()
    assert program.wait() == 127
    process.wait(60)
    program.start()
    assert program.pid != process.pid


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_program_has_no_open_file_but_its_own_lock(new: Callable[[], Program]) -> None:
    program = new().does("files")
    assert once_logged(program.log, "\n") == f"['{program.data}/run/{program.name}.lock']\n"


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="no such file on this system")
def test_a_program_is_called_by_its_own_name(new: Callable[[], Program]) -> None:
    program = new().does("stay")
    once_logged(program.log, "here")
    assert Path(f"/proc/{program.pid}/comm").read_text() == f"{program.name}\n"


def test_a_killed_nursery_leaves_what_it_has_borne_and_bears_again_once_started(
    new: Callable[[], Program], nursery: Nursery
) -> None:
    first, second = new().does("stay"), new()
    nursery.kill()
    assert not nursery.is_alive
    with pytest.raises(NotStartedError, match=r"nursery does not run|could not be started"):
        second.does("stay")
    assert first.is_alive

    nursery.start()
    second.start()
    assert second.is_alive
    first.stop()
    assert first.wait() == 256 - signal.SIGTERM


def test_of_a_frozen_nursery_nobody_waits_for_ever_and_what_comes_too_late_ends(
    new: Callable[[], Program], nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = new().does("exit", "0")
    late.wait()
    monkeypatch.setattr(part, "LAUNCH_SECONDS", 0.5)
    nursery.pause()
    with pytest.raises(NotStartedError, match="could not be started"):
        late.does("stay")
    assert not (late.data / "run" / f"{late.name}.pid").exists(), "it names a process that may be anybody's"
    nursery.resume()

    ends_at = time.monotonic() + 60
    while late.is_alive:
        assert time.monotonic() < ends_at, "it lives on"
        time.sleep(0.05)
    monkeypatch.undo()
    late.start()
    assert late.pid


def test_what_cannot_be_imported_is_told_with_the_start_that_needs_it(tmp_path: Path, modules: Path) -> None:
    (modules / "broken.py").write_text("raise RuntimeError('it is broken')")
    nursery = Nursery(tmp_path / "data", Ports(tmp_path / "data"), ["broken"])
    nursery.start()
    nursery.wait()
    with pytest.raises(NotStartedError, match="it is broken"):
        Program("program", tmp_path / "data", nursery).does("stay")


def test_what_our_services_import_starts_no_thread_that_a_fork_would_lose(tmp_path: Path, modules: Path) -> None:
    nursery = Nursery(tmp_path / "data", Ports(tmp_path / "data"), cli.modules())
    nursery.start()
    try:
        assert Program("program", tmp_path / "data", nursery).does("exit", "0").wait() == 0  # All is imported by then.
        assert psutil.Process(nursery.pid).num_threads() == 1
    finally:
        nursery.stop()
