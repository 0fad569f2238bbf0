"""A watched process never outlives whoever asked for it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from shared.platform import state, watcher
from tests.platform.conftest import once_logged

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
SLEEPER = "import time; time.sleep(600)"


def watch(
    program: str, *options: str, lock: state.Lock | None = None
) -> tuple[subprocess.Popen[bytes], psutil.Process]:
    """Start a Python program under a watcher; return the watcher and the program's process."""
    started = subprocess.Popen(
        [sys.executable, "-I", "-S", watcher.__file__, *options, "--", sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[lock.file] if lock else [],
    )
    assert started.stdout is not None
    with started.stdout:
        return started, psutil.Process(int(started.stdout.readline()))


def close_life_line(started: subprocess.Popen[bytes]) -> None:
    assert started.stdin is not None
    started.stdin.close()


def test_the_process_ends_when_the_life_line_closes() -> None:
    started, process = watch(SLEEPER)
    close_life_line(started)
    assert started.wait(60) == 256 - signal.SIGTERM
    assert not process.is_running()


def test_a_process_that_will_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    started, process = watch(STUBBORN, "--grace", "0.3", "--log", str(log))
    once_logged(log, "deaf")
    close_life_line(started)
    assert started.wait(60) == 256 - signal.SIGKILL
    assert not process.is_running()


def test_a_paused_process_ends_too() -> None:
    started, process = watch(SLEEPER)
    process.suspend()
    close_life_line(started)
    assert started.wait(60) == 256 - signal.SIGTERM


def test_a_ctrl_c_in_the_terminal_is_left_to_the_owner() -> None:
    started, process = watch(SLEEPER)
    os.kill(started.pid, signal.SIGINT)
    os.kill(started.pid, signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        started.wait(0.3)
    assert process.is_running()
    close_life_line(started)
    started.wait(60)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_watcher_takes_the_process_along() -> None:
    started, process = watch(SLEEPER)
    started.kill()
    started.wait(60)
    process.wait(60)
    assert not process.is_running()
    close_life_line(started)


def test_the_exit_status_is_the_processs() -> None:
    started, _ = watch("raise SystemExit(7)")
    assert started.wait(60) == 7
    close_life_line(started)


def test_a_lock_that_is_passed_on_is_held_as_long_as_anything_lives(tmp_path: Path) -> None:
    lock = state.Lock(tmp_path / "lock")
    lock.take()
    # A child that outlives its parent, as a database's child processes do for a moment.
    child = f"subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], close_fds=False)"
    first, _ = watch(f"import subprocess, sys; print({child}.pid)", "--log", str(tmp_path / "log"), lock=lock)
    lock.release()
    assert first.wait(60) == 0
    assert lock.is_taken
    psutil.Process(int((tmp_path / "log").read_text())).kill()
    lock.take(patience_seconds=60)
    lock.release()
    close_life_line(first)


def test_the_log_is_begun_anew_before_it_grows_without_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    line_count = 19 * watcher.LOG_BYTES_MAX // 1000
    # Its output comes in pieces that hardly ever end where a line does.
    program = f"import os; text = ''.join(f'{{n:099d}}\\n' for n in range({line_count})).encode()\n"
    program += "for at in range(0, len(text), 65_501): os.write(1, text[at : at + 65_501])"
    started, _ = watch(program, "--log", str(log))
    assert started.wait(60) == 0
    close_life_line(started)

    older = Path(f"{log}.1")
    assert abs(older.stat().st_size - watcher.LOG_BYTES_MAX) < 100_000
    assert (older.read_text() + log.read_text()).splitlines() == [f"{n:099d}" for n in range(line_count)]
    assert log.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_watcher_costs_less_than_ten_megabytes() -> None:
    started, process = watch(SLEEPER)
    assert psutil.Process(started.pid).memory_full_info().pss < 10_000_000
    close_life_line(started)
    started.wait(60)
    assert not process.is_running()
