"""The whole product on one machine: stack, services, gateway; started in order, kept up, ended in order.

Whoever runs `up` owns the data folder. If the owner is killed, every process it started ends with it
(watcher.py); the next `up` waits for that end and finds all data.
"""

import json
import logging
import logging.handlers
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil

from shared import deployment
from shared.platform import embedded, part, ports, state
from shared.platform.gateway import Gateway
from shared.platform.jars import WrongJarError
from shared.platform.nursery import Nursery
from shared.platform.part import NotStartedError, Part, Progress, answers, silent
from shared.platform.stack import Stack

PROGRAM = ("services.cli",)
READY_SECONDS = 60.0
PREPARED_SECONDS = 600.0  # Long: a migration may go through a large table.
STOP_SECONDS = 45.0  # More than all graces in a row: then the owner itself is stuck, and is killed.
BACKOFF_SECONDS = (0.2, 5.0)
STEADY_SECONDS = 10.0  # Who lived that long is started again without a longer pause.
LOG_BYTES_MAX = 5_000_000
STATUS_FILE = "status.json"

log = logging.getLogger(__name__)


def up(
    data: Path,
    *,
    detach: bool,
    on_ready: Callable[[str], None] | None = None,
    progress: Progress = silent,
    modules: Sequence[str] = (),
    faults: bool = False,
) -> None:
    """Start everything; in the foreground stay until SIGINT, SIGTERM or SIGHUP, and end everything.

    `on_ready` gets the gateway's address when all services are ready; detached, it runs in this process, and this
    function returns after it. `modules` are imported once, before the services are forked. `faults` lets the mail
    server be told to misbehave. Raises InUseError if the data folder has an owner, and NotStartedError (with the
    end of a log); then nothing runs.
    """
    if not detach:
        _own(data.absolute(), on_ready or silent, progress, modules, faults=faults)
        return
    origin = _detached(data.absolute(), progress, modules, faults=faults)
    if on_ready:
        on_ready(origin)


def down(data: Path) -> bool:
    """End what `up` started and return when nothing runs. False if nothing ran."""
    owner = state.Lock(data / "owner")
    process = _holder(owner)
    if process is not None:
        process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while owner.is_taken:
            if time.monotonic() > deadline:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)
    part.await_last_run(data)
    return process is not None


def status(data: Path) -> dict[str, Any]:
    """Return what runs: `running`, `ready`, `address`, `pid` and `parts`, a dict for each process.

    A part has name, pid, state (running, starting, down), address and restarts. Its memory: `weighed`.
    """
    if not state.Lock(data / "owner").is_taken:
        return {"running": False, "ready": False, "address": None, "pid": None, "parts": []}
    known: dict[str, Any] = {"ready": False, "address": None, "pid": None, "parts": []}
    with suppress(FileNotFoundError):
        known = json.loads((data / STATUS_FILE).read_text())
    return {"running": True, **known}


def weighed(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status whose parts have memory_bytes, too: children counted in, shared pages by share where it is told.

    It takes a tenth of a second of processor time: too much for who only waits for a part.
    """
    of_parent: dict[int | None, list[psutil.Process]] = defaultdict(list)
    for process in psutil.process_iter(["ppid"]):
        of_parent[process.info["ppid"]].append(process)
    pids = {one["pid"] for one in status["parts"]}
    return {
        **status,
        "parts": [{**one, "memory_bytes": _memory_bytes(one["pid"], of_parent, pids)} for one in status["parts"]],
    }


class Service(Part):
    """One of the four services: API and worker in one process, told its own settings alone."""

    def __init__(self, name: str, stack: Stack, settings: Mapping[str, str], nursery: Nursery) -> None:
        super().__init__(name, stack.data, stack.ports)
        self.port = stack.ports.claim(name)
        self._nursery = nursery
        self._settings = deployment.of_service(settings, name)

    @property
    def address(self) -> str:
        return f"http://{ports.HOST}:{self.port}/{self.name}"

    def start(self, progress: Progress = silent) -> None:
        self._launch([*PROGRAM, "serve", self.name], environment=self._settings, nursery=self._nursery)
        # A look is a transaction of the service, which is busy reading what the others have said.
        ready = partial(answers, self.port, f"/{self.name}/readyz")
        self._await_ready(ready, seconds=READY_SECONDS, step_seconds=0.1)
        progress(f"The {self.name} service is ready")


class Preparation(Part):
    """What must be done before the services start: `start` returns when it is."""

    def __init__(self, stack: Stack, nursery: Nursery) -> None:
        super().__init__("preparation", stack.data, stack.ports)
        self._nursery = nursery

    @property
    def address(self) -> str:
        return "-"

    def start(self, progress: Progress = silent) -> None:
        progress("Bringing databases and topics to where the services can start")
        try:
            self._run([*PROGRAM, "prepare", "--data", self.data], nursery=self._nursery, seconds=PREPARED_SECONDS)
        finally:
            self.stop()  # Before what it works on is stopped, when it was a signal that ended the waiting.


class Keeper:
    """Starts one part again whenever it ends, until told that it may end."""

    def __init__(self, kept: Part, on_change: Callable[[], None]) -> None:
        self.part = kept
        self.state = "running"
        self.restarts = 0
        self._on_change = on_change
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"keep {kept.name}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop the part and keep it no longer."""
        self._ending.set()
        self.part.stop()
        while self._thread.is_alive():
            self._thread.join(0.2)
            self.part.stop()  # It may have been on its way up.

    def _keep(self) -> None:
        pause, longest = BACKOFF_SECONDS
        while not self._ending.is_set():
            up_since = time.monotonic()
            ended_with = self.part.wait()
            if time.monotonic() - up_since > STEADY_SECONDS:
                pause = BACKOFF_SECONDS[0]
            self._now("down")
            if self._ending.wait(pause):
                return
            log.warning("%s ended with %s and is started again", self.part.name, ended_with)
            self.restarts += 1
            self._now("starting")
            try:
                self.part.start()
            except (NotStartedError, WrongJarError, state.InUseError, ports.NoPortFreeError, OSError) as trouble:
                log.error("%s could not be started: %s", self.part.name, trouble)
            else:
                self._now("running")
            pause = min(2 * pause, longest)

    def _now(self, what: str) -> None:
        self.state = what
        self._on_change()


class Owner:
    """Who keeps what runs: in the order of starting, and a status file that says it."""

    def __init__(self, data: Path) -> None:
        self._status = data / STATUS_FILE
        self._keepers: list[Keeper] = []
        self._guard = threading.Lock()
        self.address: str | None = None

    def keep(self, *parts: Part) -> None:
        self._keepers += [Keeper(one, self.tell) for one in parts]
        self.tell()

    def tell(self) -> None:
        """Write the status file."""
        with self._guard:
            parts = [
                {
                    "name": keeper.part.name,
                    "pid": keeper.part.pid,
                    "state": keeper.state,
                    "address": keeper.part.address,
                    "restarts": keeper.restarts,
                }
                for keeper in self._keepers
            ]
            # Once all had started, but not while one of them is away.
            is_ready = self.address is not None and all(one["state"] == "running" for one in parts)
            known = {"ready": is_ready, "address": self.address, "pid": os.getpid(), "parts": parts}
            state.write_whole(self._status, json.dumps(known, indent=1) + "\n")

    def end(self, kinds: type[Part] | tuple[type[Part], ...]) -> None:
        """End all parts of these kinds at once."""
        threads = [threading.Thread(target=keeper.end) for keeper in self._keepers if isinstance(keeper.part, kinds)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _own(
    data: Path, on_ready: Callable[[str], None], progress: Progress, modules: Sequence[str], *, faults: bool
) -> None:
    stack, owner = Stack(data, faults=faults), Owner(data)
    nursery = Nursery(data, stack.ports, modules)
    with _ended_by_signal(), suppress(KeyboardInterrupt):
        stack.start(progress, beside=[nursery])
        try:
            _log_to(data / "logs" / "supervisor.log")
            owner.keep(stack.postgres, stack.kafka, stack.mail, nursery)
            settings = embedded.write(stack)
            embedded.make_databases(stack)
            Preparation(stack, nursery).start(progress)
            services = [Service(name, stack, settings, nursery) for name in deployment.SERVICES]
            assert stack.mail.inbox_port is not None
            upstreams = {"mail": stack.mail.inbox_port, **{one.name: one.port for one in services}}
            gateway = Gateway(data, stack.ports, stack.ports.claim("gateway"), upstreams)
            part.start_together([*services, gateway], progress)
            owner.keep(*services, gateway)
            owner.address = gateway.address
            owner.tell()
            on_ready(gateway.address)
            threading.Event().wait()  # Until a signal.
        finally:
            progress("Ending")
            # From the edge inwards: no call finds its service gone, no service its database.
            owner.end(Gateway)
            owner.end((Service, Nursery))
            owner.end(Part)
            nursery.stop()
            (data / STATUS_FILE).unlink(missing_ok=True)
            stack.stop()
            progress("Nothing runs any more")


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Turn the first signal to end into a KeyboardInterrupt, and let no second one disturb the ending."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _detached(data: Path, progress: Progress, modules: Sequence[str], *, faults: bool) -> str:
    """Own the data folder in a process of its own; return the gateway's address once it is ready.

    Forked rather than started anew: it has imported everything already.
    """
    (data / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    news, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork():
            os._exit(0)  # The owner is nobody's child: nobody has to wait for it.
        os.close(news)
        _be_detached(data, telling, modules, faults=faults)
    os.close(telling)
    os.waitpid(child, 0)
    try:
        with os.fdopen(news) as lines:
            for kind, text in map(json.loads, lines):
                if kind == "ready":
                    return str(text)
                if kind == "failed":
                    raise NotStartedError(text)
                progress(text)
    except KeyboardInterrupt:
        down(data)
        raise
    raise NotStartedError(f"the start ended without a word; see {data / 'logs'}")


def _be_detached(data: Path, telling: int, modules: Sequence[str], *, faults: bool) -> NoReturn:
    output = os.open(data / "logs" / "supervisor.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, theirs in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(ours, theirs)

    def tell(kind: str, text: str) -> None:
        with suppress(BrokenPipeError):  # Nobody listens once it is ready.
            os.write(telling, json.dumps([kind, text]).encode() + b"\n")

    exit_status = 1
    try:
        _own(data, partial(tell, "ready"), partial(tell, "progress"), modules, faults=faults)
        exit_status = 0
    except BaseException as trouble:
        tell("failed", f"{type(trouble).__name__}: {trouble}")
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_status)  # Not back into the caller's program.


def _holder(owner: state.Lock) -> psutil.Process | None:
    """Return the process that holds the data folder, if one does."""
    deadline = time.monotonic() + 5
    while owner.is_taken:
        # Until a new holder has written its name there, it is the last one's, and that number could be
        # a stranger's by now: so the moment of its birth stands beside it.
        with suppress(psutil.NoSuchProcess, ValueError):
            pid, began = owner.path.read_text().split()
            process = psutil.Process(int(pid))
            if process.create_time() == float(began):
                return process
        if time.monotonic() > deadline:
            raise state.InUseError(f"{owner.path} is held, but does not say by whom")
        time.sleep(0.02)
    return None


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES_MAX, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.handlers, log.propagate = [handler], False


def _memory_bytes(
    pid: int | None, of_parent: Mapping[int | None, Sequence[psutil.Process]], parts: set[int | None]
) -> int:
    """Return the memory of a part with its children, as far as these are no parts themselves."""
    total = 0
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        family = [psutil.Process(pid)] if pid else []
        for process in family:  # It grows as children are found.
            family += [child for child in of_parent.get(process.pid, ()) if child.pid not in parts]
            full = process.memory_full_info()
            total += getattr(full, "pss", full.rss)
    return total
