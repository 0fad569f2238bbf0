"""What lies in a data folder is whole, and a lock is as alive as its holder."""

import os
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from shared.platform import state

HOLDER = """
import pathlib, sys, time
from shared.platform import state
lock = state.Lock(pathlib.Path(sys.argv[1]))
lock.take()
lock.write("it is me")
print("held", flush=True)
time.sleep(600)
"""


def test_a_file_is_replaced_whole_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    state.write_whole(path, "first")
    with path.open() as reading:
        state.write_whole(path, b"second")
        assert reading.read() == "first"  # Who was at it has the old one, whole.
    assert path.read_text() == "second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - hidden files count.


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        state.write_whole(tmp_path / "file", "first")
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - hidden files count.


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "one"
    assert state.secret(path) == state.secret(path)
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_lock_is_free_as_soon_as_its_holder_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lock = state.Lock(path)
        assert lock.is_taken
        with pytest.raises(state.InUseError):
            lock.take()
        assert path.read_text() == "it is me"
        holder.kill()

    lock.take(patience_seconds=60)
    assert state.Lock(path).is_taken
    lock.release()
    assert not state.Lock(path).is_taken


def test_a_lock_is_waited_for_and_says_the_newest_word_of_its_holder(tmp_path: Path) -> None:
    lock = state.Lock(tmp_path / "lock")
    lock.take()
    for word in ("a long word", "short"):
        lock.write(word)
    assert lock.path.read_text() == "short"
    Timer(0.05, lock.release).start()
    late = state.Lock(lock.path)
    late.take(patience_seconds=60)
    late.release()
