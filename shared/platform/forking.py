"""Forks programs of ours from a process that has imported already what all of them need.

    python -m shared.platform.forking --door FD [MODULE...]

A module takes a processor a second or more to import, and each process that has it on its own takes memory for it;
forked, a program is there at once and shares what it never writes. The modules must start no thread.

A request is one byte at the door with the open files of FILES: the end of a life line, where a watcher answers the
process's id, where it leaves its exit status, what it is told, and a lock. This process never reads what a program is
told: that may be a secret, and what is born later would inherit it. The last one at the other side of the door ends it.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from shared.platform import watcher

FILES = ("life_line", "answer", "ending", "told", "lock")


def main(argv: list[str]) -> int:
    """Import the modules; then fork a watcher with its program for each request, until nobody can send one."""
    door = socket.socket(fileno=int(argv[argv.index("--door") + 1]))
    for module in argv[argv.index("--door") + 2 :]:
        importlib.import_module(module)
    # Nothing here is ever garbage: a child that looks for some would write on every page that it shares.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Whoever asked is told how it ended; nobody asks here.
    while True:
        request, files, _, _ = socket.recv_fds(door, 1, len(FILES))
        if not request:
            return 0
        if os.fork() == 0:
            _watch(**dict(zip(FILES, files, strict=True)))
        for file in files:
            os.close(file)


def _watch(*, life_line: int, answer: int, ending: int, told: int, lock: int) -> NoReturn:
    """Be the watcher of one program. Its own module says what that means."""
    status = watcher.CANNOT_START
    try:
        os.setsid()  # Ctrl-C goes to the terminal's whole group; the order of ending is the starter's.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with os.fdopen(told) as lines:
            request = json.load(lines)
        os.dup2(life_line, 0)
        os.dup2(answer, 1)
        # Not the door above all, nor the lock of this process: they tell who lives.
        _close_others(ending, lock)
        status = watcher.main(request["watch"], become=partial(_become, request["name"], request["environment"], lock))
        os.write(ending, b"%d" % status)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _become(name: str, environment: dict[str, str], lock: int, command: list[str]) -> NoReturn:
    """Be what `python -m` with these words would be. Where it ends, this process ends."""
    status = 1
    try:
        with suppress(OSError):  # For `top` and `ps -e`, where there is such a file; its words stay the nursery's.
            Path("/proc/self/comm").write_text(name)
        # As Python has them at its start; above all, whoever writes to a closed connection is told so, not killed.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _close_others(lock)
        os.environ.update(environment)
        sys.argv = command.copy()
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:  # As Python itself understands it.
        if isinstance(end.code, int | None):
            status = end.code or 0
        else:
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _close_others(*kept: int) -> None:
    """Close every open file but these and the standard ones."""
    for file in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        if file > 2 and file not in kept:
            with suppress(OSError):  # That one by which they were listed is closed already.
                os.close(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
