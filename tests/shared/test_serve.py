"""A process that stands still ends itself and says where it stood; one that moves is left alone."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest

from shared.testing.product import wait_until

STANDSTILL_SECONDS = 2.0
PROGRAM = f"""
import asyncio, sys, time
from contextlib import asynccontextmanager
from types import SimpleNamespace
from fastapi import FastAPI
from shared import serve, telemetry
from shared.worker import Worker

class StandIn(Worker):
    is_alive = True
    def __init__(self): pass

    async def run(self):
        async with self.subscribed():
            pass

    @asynccontextmanager
    async def subscribed(self):
        await self.wait_for_what_never_comes()
        yield

    async def wait_for_what_never_comes(self):
        await asyncio.Event().wait()

app, worker = FastAPI(), StandIn()

@app.get("/well")
async def well(): return "well"

@app.get("/loop")
async def stand_still_with_everybody(): time.sleep(600)

@app.get("/log")
async def stand_still_over_the_log(): sys.stderr.write("more than a pipe takes " * 100_000)

@app.get("/worker")
async def stand_still_alone(): StandIn.is_alive = False

serve.STANDSTILL_SECONDS, serve.ALARM_SECONDS, serve.BEAT_SECONDS = {STANDSTILL_SECONDS}, 1, 0.1
telemetry.configure_logs("tests", as_json=True)
serve.run(app, worker, SimpleNamespace(api_host="127.0.0.1", api_port=int(sys.argv[1])))
"""


@contextmanager
def serving() -> Iterator[SimpleNamespace]:
    """Serve in a process of its own; with it, and a client of it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http,
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(port)], stderr=subprocess.PIPE, text=True) as process,
    ):

        def answers() -> bool:
            try:
                return http.get("/well").status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(answers, "it answers")
            yield SimpleNamespace(process=process, http=http)
        finally:
            process.kill()


def test_a_process_is_left_alone_while_it_moves_and_ends_when_its_loop_stands_still() -> None:
    with serving() as it:
        ends_at = time.monotonic() + 2 * STANDSTILL_SECONDS
        wait_until(lambda: time.monotonic() > ends_at, "it has lived for longer than it may stand still")
        assert it.http.get("/well").json() == "well"
        with pytest.raises(httpx.TransportError):
            it.http.get("/loop")
        said = it.process.communicate(timeout=30)[1]
    assert it.process.returncode == 1
    assert "in stand_still_with_everybody" in said


def test_a_process_that_waits_for_its_own_log_ends_without_a_word() -> None:
    with serving() as it:
        with pytest.raises(httpx.TransportError):
            it.http.get("/log")
        assert it.process.wait(timeout=30) == -signal.SIGALRM


def test_a_process_whose_worker_stands_still_ends_and_says_for_what_it_waited() -> None:
    with serving() as it:
        it.http.get("/worker")
        said = it.process.communicate(timeout=30)[1]
    assert it.process.returncode == 1
    assert said.count("the worker stands still") == 1
    way = r"worker > StandIn\.run:\d+ > .*StandIn\.subscribed:\d+ > StandIn\.wait_for_what_never_comes:\d+"
    assert re.search(way, said)
