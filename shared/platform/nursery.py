"""The process that our own programs are forked from, as a part of the stack. How it forks: forking.py."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from shared.platform import ports, watcher
from shared.platform.part import Part, Progress, silent

TOLD_BYTES_MAX = 16_384


class Born:
    """The watcher of a program that the nursery forked: nobody's child here, so its end is read from a pipe.

    It shows as much of `subprocess.Popen` as a part needs.
    """

    def __init__(self, life_line: int, answer: int, ending: int) -> None:
        self.stdin, self.stdout = os.fdopen(life_line, "wb", 0), os.fdopen(answer, "rb", 0)
        self._status: Future[int] = Future()
        threading.Thread(target=self._read, args=[ending], name="ending", daemon=True).start()

    def poll(self) -> int | None:
        return self._status.result() if self._status.done() else None

    def wait(self, timeout: float | None = None) -> int:
        try:
            return self._status.result(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired("watcher", timeout or 0) from None

    def _read(self, ending: int) -> None:
        with os.fdopen(ending, "rb") as pipe:
            # Without a word it was killed, or never came into being.
            self._status.set_result(int(pipe.read() or watcher.CANNOT_START))


class Nursery(Part):
    """Imports once what programs of ours need, and forks them: each is there at once, and shares that memory.

    `start` returns before everything is imported: whoever is to be born meanwhile waits for it.
    """

    grace_seconds = 1.0

    def __init__(self, data: Path, claims: ports.Ports, modules: Sequence[str]) -> None:
        super().__init__("nursery", data, claims)
        self._modules = modules
        self._door: socket.socket | None = None

    @property
    def address(self) -> str:
        return "-"

    def start(self, _progress: Progress = silent) -> None:
        inner, outer = socket.socketpair()
        if self._door:
            self._door.close()
        self._door = outer
        with inner:
            self._launch(
                [sys.executable, "-m", "shared.platform.forking", "--door", str(inner.fileno()), *self._modules],
                environment={"PYTHONUNBUFFERED": "1"},
                files=[inner.fileno()],
            )

    def bear(self, name: str, watch: Sequence[str], environment: Mapping[str, str], lock: int) -> Born:
        """Let a watcher with these words be forked; its program is a Python module with its words, called `name`.

        Raises NotStartedError if this process does not run.
        """
        text = json.dumps({"name": name, "watch": watch, "environment": dict(environment)}).encode()
        assert len(text) <= TOLD_BYTES_MAX, "a pipe that nobody reads yet would not take it"
        life_line, answer, ending, told = [os.pipe() for _ in range(4)]
        theirs = [life_line[0], answer[1], ending[1], told[0], lock]
        ours = [life_line[1], answer[0], ending[0]]
        try:
            with os.fdopen(told[1], "wb") as content:
                content.write(text)
            assert self._door is not None, "not started"
            socket.send_fds(self._door, [b"!"], theirs)
        except OSError as trouble:
            for file in ours:
                os.close(file)
            raise self._not_started(f"{self.name} does not run") from trouble
        finally:
            for file in theirs[:-1]:
                os.close(file)
        return Born(*ours)
