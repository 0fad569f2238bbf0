"""One process of a service: what all four are built from, and how it runs until it is told to stop."""

import asyncio
import faulthandler
import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from shared import telemetry
from shared.settings import Settings
from shared.worker import Worker

KEEP_ALIVE_SECONDS = 75
"""For so long an idle connection of a caller is kept. The gateway gives its own up before (deploy/Caddyfile)."""
STANDSTILL_SECONDS = 60.0
"""A process that has stood still for so long ends itself: whoever keeps it starts it anew, and nothing is lost."""
ALARM_SECONDS = 10
"""So long after that the system's alarm ends a process that could not even say where it stood."""
BEAT_SECONDS = 5.0

log = telemetry.logger(__name__)


def run(app: FastAPI, worker: Worker | None, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. A worker alone still answers health and metrics through `app`."""
    try:
        with asyncio.Runner(loop_factory=_loop) as runner:
            runner.run(_serve(app, worker, settings))
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 - not on every platform that can read this module.

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _serve(app: FastAPI, worker: Worker | None, settings: Settings) -> None:
    # What is there by now stays: walking through it again and again would stop every call for a tenth of a second.
    gc.collect()
    gc.freeze()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            loop="none",
            http="httptools",
            access_log=False,  # Paths may hold a set-password token; iacs_http_seconds counts the calls.
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=5,
        )
    )
    beating = asyncio.create_task(_beat(worker), name="beat")
    serving = asyncio.create_task(server.serve(), name="api")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    working = [asyncio.create_task(worker.run(), name="worker")] if worker else []
    done, _ = await asyncio.wait([serving, stopping, beating, *working], return_when=asyncio.FIRST_COMPLETED)
    # The worker goes first: it still needs the database that the application's lifespan closes.
    for task in (*working, stopping, beating):
        task.cancel()
    await asyncio.gather(*working, stopping, beating, return_exceptions=True)
    server.should_exit = True
    await serving
    for task in done:
        task.result()


async def _beat(worker: Worker | None) -> None:
    """Put the end of this process off, again and again, for as long as it moves; and once more when it is to end."""
    moved = True
    try:
        while True:
            if worker is None or worker.is_alive:
                moved = True
                _put_off_the_end()
            elif moved:
                moved = False
                log.error("the worker stands still", tasks=[_place_of(task) for task in asyncio.all_tasks()])
            await asyncio.sleep(BEAT_SECONDS)
    finally:
        _put_off_the_end()


def _put_off_the_end() -> None:
    """Let this process end in STANDSTILL_SECONDS, and no earlier.

    The end is a thread's that needs neither the loop nor the interpreter's lock. It writes to stderr where every thread
    stands, and exits with status 1. If stderr is what everything waits for, the system's alarm ends the process.
    """
    faulthandler.dump_traceback_later(STANDSTILL_SECONDS, exit=True)
    signal.alarm(int(STANDSTILL_SECONDS) + ALARM_SECONDS)


def _place_of(task: asyncio.Task[object]) -> str:
    """Return a task's name and the line of each coroutine in which it waits, the outermost first."""
    lines: list[str] = []
    awaited: Any = task.get_coro()
    while (frame := getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)) is not None:
        lines.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
        if not hasattr(awaited, "cr_frame"):  # A context manager waits in the generator that it is made of.
            awaited = getattr(frame.f_locals.get("self"), "gen", None)
    return " > ".join([task.get_name(), *lines])


class _Server(uvicorn.Server):
    """Signals are this module's business: uvicorn would end the process before the worker has."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield
