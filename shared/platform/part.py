"""One part of the stack, a foreign process under its watcher: how it is started, asked, broken and ended."""

import contextlib
import http.client
import os
import select
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from shared.platform import ports, state, watcher

if TYPE_CHECKING:  # It is a part itself.
    from shared.platform.nursery import Born, Nursery

Progress = Callable[[str], None]
# How long the remains of a killed run may take to end: Kafka flushes its logs, PostgreSQL its memory.
LAST_RUN_SECONDS = 30.0
# Until a process exists: its watcher starts at once, but a nursery imports first what it needs.
LAUNCH_SECONDS = 60.0
LOG_TAIL_BYTES = 2_000
# glibc gives large blocks back to the system when they are freed, but once it has seen one, it keeps all that are
# no larger: the 19 MB in which a password was hashed, and what PostgreSQL sorted in. A limit of ours stays as it is.
MODEST = {"MALLOC_MMAP_THRESHOLD_": "1000000"}


class NotStartedError(Exception):
    """A part ended, or said nothing, instead of becoming ready. Its log's last lines are in the message."""


def silent(_: str) -> None:
    """Progress that nobody reads."""


class Part(ABC):
    """Something of the stack that runs.

    Only its owner starts and stops it; `kill` and `pause` break it as the world would, and tell nobody.
    """

    end_signal = signal.SIGTERM
    grace_seconds = 10.0

    def __init__(self, name: str, data: Path, claims: ports.Ports) -> None:
        self.name = name
        self.data = data
        self.log = data / "logs" / f"{name}.log"
        self._ports = claims
        # Held by whatever lives of this part, by us only between two of its processes.
        self._lock = state.Lock(data / "run" / f"{name}.lock")
        self._watcher: subprocess.Popen[bytes] | Born | None = None
        self._pid: int | None = None
        self._log_began_at = 0

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it answers, for people."""

    @abstractmethod
    def start(self, progress: Progress = silent) -> None:
        """Start it and return when it answers. Raises NotStartedError."""

    @property
    def is_alive(self) -> bool:
        return self._watcher is not None and self._watcher.poll() is None

    @property
    def pid(self) -> int | None:
        """The process itself, not its watcher. None when it is not running."""
        return self._pid if self.is_alive else None

    def wait(self) -> int | None:
        """Return when it has ended, however it ended."""
        return self._watcher.wait() if self._watcher else None

    def stop(self) -> None:
        """End it as its makers want it ended, or by force after its grace. No error if it is not running."""
        if self._watcher is None or self._watcher.stdin is None:
            return
        self.resume()
        with contextlib.suppress(BrokenPipeError):
            self._watcher.stdin.close()
        try:
            self._watcher.wait(self.grace_seconds + 2)
        except subprocess.TimeoutExpired:  # The watcher itself was stopped or is stuck.
            self.kill()

    def kill(self) -> None:
        """Kill the process (SIGKILL) and return when it is gone."""
        for process in self._family()[:1]:
            process.kill()
        if self._watcher:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._watcher.wait(5)

    def pause(self) -> None:
        """Freeze the process and its children (SIGSTOP): connections stay open and nothing answers."""
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Let go on what `pause` froze."""
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _family(self) -> list[psutil.Process]:
        if self.pid is None:
            return []
        try:
            head = psutil.Process(self.pid)
            return [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _launch(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        files: Sequence[int] = (),
        nursery: "Nursery | None" = None,
    ) -> None:
        """Start the command under a watcher, which takes over our turn. From a nursery it is a Python module's."""
        self._take_turn()
        # The last process's number may be a stranger's by now, and the lock may soon be held by what has none yet.
        self._pid = None
        pid_file = self._lock.path.with_suffix(".pid")
        pid_file.unlink(missing_ok=True)
        self._log_began_at = self.log.stat().st_size if self.log.exists() else 0
        options = {
            "--log": str(self.log),
            "--end": self.end_signal.name.removeprefix("SIG"),
            "--grace": str(self.grace_seconds),
        } | ({"--user": user} if user else {})
        watch = [*(word for option in options.items() for word in option), "--", *map(str, command)]
        if nursery is not None:
            self._watcher = nursery.bear(self.name, watch, environment or {}, self._lock.file)
        else:
            self._watcher = subprocess.Popen(  # noqa: S603 - every word of the command is ours.
                [sys.executable, "-I", "-S", watcher.__file__, *watch],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**MODEST, **os.environ, **(environment or {})},
                cwd=folder,
                # Ctrl-C goes to the terminal's whole group; the order of ending is ours.
                start_new_session=True,
                pass_fds=[self._lock.file, *files],
            )
        self._lock.release()
        assert self._watcher.stdout is not None
        with self._watcher.stdout as answer:
            poll = select.poll()
            poll.register(answer, select.POLLIN)
            said = answer.readline() if poll.poll(LAUNCH_SECONDS * 1000) else b""
        if not said:
            self.stop()  # It may come into being later, and finds then that nobody wants it.
            raise self._not_started(f"{self.name} could not be started")
        self._pid = int(said)
        state.write_whole(pid_file, f"{self._pid}\n")

    def _run(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        nursery: "Nursery | None" = None,
        seconds: float,
    ) -> None:
        """Run a command that prepares this part to its good end. Raises NotStartedError."""
        self._launch(command, folder=folder, environment=environment, user=user, nursery=nursery)
        assert self._watcher is not None
        what = self.name if nursery else Path(command[0]).name
        try:
            status = self._watcher.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self._not_started(f"{what} took over {seconds:.0f} s") from None
        if status != 0:
            raise self._not_started(f"{what} ended with {status}")

    def _await_ready(self, is_ready: Callable[[], bool], *, seconds: float, step_seconds: float = 0.03) -> None:
        deadline = time.monotonic() + seconds
        while not is_ready():
            if not self.is_alive:
                raise self._not_started(f"{self.name} ended before it was ready")
            if time.monotonic() > deadline:
                self.kill()
                raise self._not_started(f"{self.name} was not ready within {seconds:.0f} s")
            time.sleep(step_seconds)

    def _start_on_free_port(self, names: Sequence[str], start: Callable[..., None]) -> tuple[int, ...]:
        """Start with the ports claimed under these names; again with others if a stranger was faster."""
        self._take_turn()  # Its last process may still listen there.
        for _ in range(3):
            claimed = tuple(self._ports.claim(name) for name in names)
            try:
                start(*claimed)
            except NotStartedError:
                if all(ports.is_free(port) for port in claimed):
                    raise  # It failed for another reason than a taken port.
            else:
                return claimed
        raise NotStartedError(f"{self.name}: its port was taken three times while it started")

    def _take_turn(self) -> None:
        """Return when nothing lives of this part, and let nothing of it live until the next launch."""
        self._lock.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await_end(self._lock)

    def _not_started(self, what: str) -> NotStartedError:
        tail = b""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(self._log_began_at, self.log.stat().st_size - LOG_TAIL_BYTES))
            tail = log.read()
        return NotStartedError(f"{what}. {self.log} ends:\n{tail.decode(errors='replace').strip()}")


def answers(port: int, path: str) -> bool:
    """Whether GET `path` is answered with 200 there."""
    # Not urllib: it would ask the proxy that the environment names.
    caller = http.client.HTTPConnection(ports.HOST, port, timeout=2)
    try:
        caller.request("GET", path)
        return caller.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        caller.close()


def await_end(lock: state.Lock) -> None:
    """Take the lock of a part whose owner is gone, so that nothing of it lives; by force after its grace."""
    try:
        lock.take(patience_seconds=LAST_RUN_SECONDS)
    except state.InUseError:
        # All that the last run started inherited the lock, so its process is alive and is ours.
        with contextlib.suppress(ProcessLookupError, ValueError, FileNotFoundError):
            os.kill(int(lock.path.with_suffix(".pid").read_text()), signal.SIGKILL)
        lock.take(patience_seconds=5)


def await_last_run(data: Path) -> None:
    """Return when nothing lives of any part of a data folder whose owner is gone."""
    for path in (data / "run").glob("*.lock"):
        lock = state.Lock(path)
        await_end(lock)
        lock.release()


def start_together(parts: Sequence[Part], progress: Progress) -> None:
    """Start all at once, and stop all if one fails. Raises the first failure."""
    failures: list[BaseException] = []
    ending = threading.Event()

    def start(part: Part) -> None:
        try:
            if not ending.is_set():
                part.start(progress)
        except BaseException as trouble:
            failures.append(trouble)

    threads = [threading.Thread(target=start, args=[part], name=part.name, daemon=True) for part in parts]
    try:
        for thread in threads:
            thread.start()
        while not failures and any(thread.is_alive() for thread in threads):
            threads[0].join(0.02)
            threads.sort(key=threading.Thread.is_alive, reverse=True)
        if failures:
            raise failures[0]
    except BaseException:  # Ctrl-C while starting is one, too; not every thread may have been started then.
        ending.set()
        while alive := [thread for thread in threads if thread.is_alive()]:
            stop_together(parts)  # Again: one may have been between two steps of its start.
            alive[0].join(0.1)
        stop_together(parts)
        raise


def stop_together(parts: Sequence[Part]) -> None:
    """Stop all at once; each has its own deadline."""
    threads = [threading.Thread(target=part.stop) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
