"""What bounds a measure: how many processors each part keeps busy, and where its time goes."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil

PROFILES = Path(__file__).with_name("profiles")
PY_SPY = Path(sys.prefix) / "bin" / "py-spy"
_SHOWN = 40


class Busy:
    """The processors that each part keeps busy between `begin` and `told`: 1.0 is one processor all the time.

    A process of Python never has more than one. Parts are named; PostgreSQL's and Kafka's processes and this one, which
    makes the load, are found by themselves.
    """

    def __init__(self, **parts: psutil.Process) -> None:
        self._parts = parts
        self._began_at = 0.0
        self._before: Mapping[str, float] = {}

    def begin(self) -> None:
        """Count from here on."""
        self._before, self._began_at = self._seconds(), time.perf_counter()

    def told(self) -> dict[str, float]:
        """Return the processors of each part since `begin`."""
        seconds = time.perf_counter() - self._began_at
        now = self._seconds()
        return {name: round((now[name] - self._before.get(name, 0.0)) / seconds, 2) for name in now}

    def _seconds(self) -> dict[str, float]:
        found = {name: _seconds_of(process) for name, process in self._parts.items()}
        for process in psutil.process_iter(["name"]):
            if part := {"postgres": "PostgreSQL", "java": "Kafka"}.get(process.info["name"] or ""):
                found[part] = found.get(part, 0.0) + _seconds_of(process, with_ended=True)
        return {**found, "load": _seconds_of(psutil.Process())}


def _seconds_of(process: psutil.Process, *, with_ended: bool = False) -> float:
    """Return what a process has used; `with_ended` what its children had, too: of PostgreSQL, closed connections."""
    try:
        told = process.cpu_times()
    except psutil.Error:
        return 0.0
    ended = told.children_user + told.children_system if with_ended else 0.0
    return float(told.user + told.system + ended)


@contextmanager
def profiled(process: psutil.Process, name: str, *, seconds: int = 8) -> Iterator[None]:
    """Write where a process of Python spends its time to `profiles/<name>.txt`. It is slower meanwhile: no figure."""
    raw = PROFILES / f"{name}.raw"
    PROFILES.mkdir(exist_ok=True)
    command = [str(PY_SPY), "record", "--pid", str(process.pid), "--duration", str(seconds), "--rate", "250"]
    with subprocess.Popen(
        [*command, "--format", "raw", "--output", str(raw)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as spy:
        time.sleep(1)  # Until it looks.
        yield
        spy.wait()
    (PROFILES / f"{name}.txt").write_text(_text(name, raw.read_text().splitlines()))
    raw.unlink()


def _text(name: str, stacks: list[str]) -> str:
    own, whole, total = Counter[str](), Counter[str](), 0
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = [_frame(each) for each in stack.split(";")]
        total += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            whole[frame] += int(count)

    def table(counted: Counter[str], wanted: str = "") -> list[str]:
        some = [(frame, count) for frame, count in counted.most_common() if re.search(wanted, frame)]
        return [f"{100 * count / total:6.1f} %  {frame}" for frame, count in some[:_SHOWN]]

    return "\n".join(
        [
            f"{name}: {total} samples of py-spy, {datetime.now(UTC):%Y-%m-%d}; only while it ran, not while it waited",
            "",
            "In the function itself (and in C below it)",
            *table(own),
            "",
            "Of ours, in it and in all that it calls",
            *table(whole, r"  (services|shared)/"),
            "",
        ]
    )


def _frame(told: str) -> str:
    """Return a frame without its line, and its file without where it is installed."""
    function, _, place = told.rpartition(" (")
    path = place.rpartition(":")[0] or place.rstrip(")")
    return f"{function}  {path.rpartition('site-packages/')[2]}"
