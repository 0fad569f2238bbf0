"""PostgreSQL, Kafka and mail start from nothing, from remains, and beside strangers; and break on request."""

import itertools
import json
import os
import re
import smtplib
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from joserfc import jwe
from joserfc.jwk import ECKey

from shared import deployment
from shared.platform import embedded, kafka, state
from shared.platform.part import Part, answers, start_together
from shared.platform.ports import Ports
from shared.platform.postgres import Postgres
from shared.platform.stack import Stack
from tests.platform.conftest import once_logged, processes_in, remember_own_ports

OWNER = """
import pathlib, sys, time
from shared.platform.stack import Stack
with Stack(pathlib.Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    """A stack for all tests of this module; each leaves it running."""
    with Stack(remember_own_ports(folder)) as stack:
        stack.postgres.create_database("kept")
        yield stack


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A data folder of this test's own."""
    yield remember_own_ports(tmp_path / "data")
    assert processes_in(tmp_path) == []


async def query(stack: Stack, statement: str, database: str = "kept") -> str:
    connection = await asyncpg.connect(stack.postgres.dsn(database), timeout=10)
    try:
        return str(await connection.fetchval(statement))
    finally:
        await connection.close()


def parts(stack: Stack) -> tuple[Part, ...]:
    return stack.postgres, stack.kafka, stack.mail


class Recorder:
    """Notes in place of a part that it was started and stopped. It is on its way up until it is stopped."""

    def __init__(self) -> None:
        self.name, self.told = "recorder", list[str]()
        self._stopped = threading.Event()

    def start(self, _: object) -> None:
        self.told.append("start")
        self._stopped.wait(60)

    def stop(self) -> None:
        self.told.append("stop")
        self._stopped.set()


@pytest.mark.parametrize("number", [1, 2])
def test_an_interrupt_between_two_starts_ends_what_was_started_and_starts_nothing_more(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    start, starts, both = threading.Thread.start, itertools.count(1), [Recorder(), Recorder()]

    def interrupted(thread: threading.Thread) -> None:
        if next(starts) == number:
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start_together(cast("list[Part]", both), lambda _: None)

    assert [part.told.count("start") for part in both] == [number - 1, 0]
    assert all(part.told[-1] == "stop" for part in both)


async def test_postgres_keeps_what_was_committed_over_a_kill(stack: Stack) -> None:
    await query(stack, "CREATE TABLE fact AS SELECT 1 AS one")
    stack.postgres.kill()
    assert not stack.postgres.is_alive
    stack.postgres.start()
    assert await query(stack, "SELECT count(*) FROM fact") == "1"


async def test_postgres_is_18_syncs_and_quotes_nobody_in_its_log(stack: Stack) -> None:
    assert (await query(stack, "SHOW server_version")).startswith("18.")
    assert await query(stack, "SHOW fsync") == "on"
    assert await query(stack, "SHOW max_connections") == "200"
    await query(stack, "CREATE TABLE person (name text UNIQUE)")
    await query(stack, "INSERT INTO person VALUES ('Maria Quill')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await query(stack, "INSERT INTO person SELECT name FROM person")
    assert "Quill" not in once_logged(stack.postgres.log, "duplicate key")


async def test_postgres_lets_nobody_in_without_the_password(stack: Stack) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://iacs:guess@{stack.postgres.address}/kept")


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_postgres_does_not_run_as_root(stack: Stack) -> None:
    assert psutil.Process(stack.postgres.pid).username() == "nobody"


async def test_a_database_is_copied_and_dropped_with_its_connections(stack: Stack) -> None:
    stack.postgres.create_database("model")
    await query(stack, "CREATE TABLE inherited ()", "model")
    stack.postgres.create_database("copy", template="model")
    assert await query(stack, "SELECT count(*) FROM inherited", "copy") == "0"

    connection = await asyncpg.connect(stack.postgres.dsn("copy"))
    stack.postgres.drop_database("copy")
    stack.postgres.drop_database("copy")
    assert "copy" not in stack.postgres.databases()
    connection.terminate()


async def test_kafka_keeps_its_records_over_a_kill(stack: Stack) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka.servers)
    await admin.start()
    await admin.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka.servers, acks="all")
    await producer.start()
    await producer.send_and_wait("kept", b"a fact", partition=0)
    await producer.stop()

    stack.kafka.kill()
    assert not stack.kafka.is_alive
    stack.kafka.start()

    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka.servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition("kept", 0)])
        await consumer.seek_to_beginning()
        assert (await consumer.getone()).value == b"a fact"
    finally:
        await consumer.stop()


def test_what_is_paused_answers_nothing_and_goes_on_when_resumed(stack: Stack) -> None:
    assert stack.mail.inbox_port is not None
    assert stack.kafka.port is not None
    stack.mail.pause()
    stack.kafka.pause()
    assert not answers(stack.mail.inbox_port, "/healthz")
    assert not kafka.is_ready(stack.kafka.port)
    stack.mail.resume()
    stack.kafka.resume()
    deadline = time.monotonic() + 60
    while not (answers(stack.mail.inbox_port, "/healthz") and kafka.is_ready(stack.kafka.port)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_mail_is_kept_over_a_kill(stack: Stack) -> None:
    with smtplib.SMTP("127.0.0.1", stack.mail.smtp_port or 0) as sender:
        sender.sendmail("us@iacs.example", ["you@iacs.example"], b"Subject: kept\r\n\r\ntext\r\n")
    stack.mail.kill()
    stack.mail.start()
    assert len(list((stack.data / "mail").glob("*.eml"))) == 1


def test_nobody_else_reads_what_lies_in_the_folder(stack: Stack) -> None:
    open_to_others = [path for path in stack.data.rglob("*") if path.lstat().st_mode & 0o077]
    assert open_to_others == []
    assert stack.data.stat().st_mode & 0o066 == 0


def test_a_data_folder_has_one_owner(stack: Stack) -> None:
    with pytest.raises(state.InUseError):
        Stack(stack.data).start()
    assert all(part.is_alive for part in parts(stack))


def test_a_second_start_finds_the_data_and_the_ports_of_the_first(stack: Stack) -> None:
    before = [part.address for part in parts(stack)]
    stack.stop()
    assert processes_in(stack.data) == []
    stack.start()
    assert [part.address for part in parts(stack)] == before
    assert "kept" in stack.postgres.databases()


def test_a_stale_postmaster_file_with_the_number_of_a_stranger_is_no_obstacle(stack: Stack) -> None:
    stack.postgres.stop()
    # The number is of a process that lives and that PostgreSQL may not signal: this one.
    (stack.data / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{stack.data}/postgres\n")
    stack.postgres.start()
    assert stack.postgres.is_alive


def test_a_killed_owner_leaves_nothing_and_the_next_start_waits_for_that(fresh: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(fresh)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        owner.kill()
    ports = json.loads((fresh / "ports.json").read_text())
    with Stack(fresh) as stack:
        assert all(part.is_alive for part in parts(stack))
    assert json.loads((fresh / "ports.json").read_text()) == ports


def test_a_first_start_that_was_killed_half_way_is_done_again(fresh: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(fresh)]) as owner:
        threading.Timer(0.5, owner.kill).start()
    with Stack(fresh) as stack:
        assert all(part.is_alive for part in parts(stack))


def test_half_made_folders_are_made_again_and_a_cluster_of_its_own_with_every_feature(
    stack: Stack, fresh: Path
) -> None:
    for name in ("postgres.new", "kafka.new"):
        (fresh / name).mkdir(parents=True)
        (fresh / name / "half").touch()
    with Stack(fresh) as second:
        assert all(part.is_alive for part in parts(second))
        assert {"group.version", "transaction.version", "metadata.version"} <= features_in_use(second.kafka)
        assert identity(second).keys() == identity(stack).keys()
        assert not set(identity(second).values()) & set(identity(stack).values()) - {"1"}
    assert not (fresh / "postgres.new").exists()
    assert not (fresh / "kafka.new").exists()


def identity(stack: Stack) -> dict[str, str]:
    """Return what Kafka's folder says it is."""
    lines = (stack.data / "kafka" / "meta.properties").read_text().splitlines()
    return dict(line.split("=") for line in lines if not line.startswith("#"))


def features_in_use(broker: kafka.Kafka) -> set[str]:
    """Return the features that a broker uses.

    Its answer about versions names first what it knows, where a client of this age is told of one, and then those.
    """
    key, version, correlation, no_client, client = 18, 3, 1, -1, b"\x02a\x021\x00"
    request = struct.pack(">hhih", key, version, correlation, no_client) + b"\x00" + client
    with socket.create_connection(("127.0.0.1", broker.port or 0), timeout=10) as caller:
        caller.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", caller.recv(4, socket.MSG_WAITALL))
        _, *used = re.findall(rb"[a-z.]+\.version", caller.recv(size, socket.MSG_WAITALL))
    return {name.decode() for name in used}


def test_kafka_logs_without_their_identity_are_not_formatted_over(stack: Stack) -> None:
    identity = stack.data / "kafka" / "meta.properties"
    stack.kafka.stop()
    kept = identity.with_suffix(".kept")
    identity.rename(kept)
    with pytest.raises(OSError, match="not empty"):
        stack.kafka.start()
    kept.rename(identity)
    stack.kafka.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_root_can_keep_its_data_where_nobody_else_may_go(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    claims = Ports(closed)
    postgres = Postgres(closed, claims)
    postgres.start()
    assert postgres.databases() == []
    postgres.stop()
    claims.release()
    assert closed.stat().st_mode & 0o777 == 0o700


def test_settings_keep_their_secrets_and_every_key_fits_its_lock(stack: Stack) -> None:
    first = embedded.write(stack)
    assert embedded.write(stack) == first
    path = stack.data / deployment.SETTINGS_FILE
    assert deployment.read(path) == first
    assert path.stat().st_mode & 0o777 == 0o600

    assert first["IACS_REGISTRATION_FINGERPRINT_KEY"] == first["IACS_DIRECTORY_FINGERPRINT_KEY"]
    assert first["IACS_REGISTRATION_DATA_KEYS"] != first["IACS_DIRECTORY_DATA_KEYS"]
    for public, private in (
        ("IACS_REGISTRATION_DIRECTORY_SEAL_KEY", "IACS_DIRECTORY_SEAL_KEY"),
        ("IACS_REGISTRATION_NOTIFICATION_SEAL_KEY", "IACS_NOTIFICATION_SEAL_KEY"),
        ("IACS_DIRECTORY_NOTIFICATION_SEAL_KEY", "IACS_NOTIFICATION_SEAL_KEY"),
    ):
        assert '"d"' not in first[public]
        header = {"alg": "ECDH-ES", "enc": "A256GCM"}
        sealed = jwe.encrypt_compact(header, b"secret", ECKey.import_key(json.loads(first[public])))
        assert jwe.decrypt_compact(sealed, ECKey.import_key(json.loads(first[private]))).plaintext == b"secret"


def test_a_service_is_told_its_own_settings_alone(stack: Stack) -> None:
    told = deployment.of_service(embedded.write(stack), "approval")
    assert set(told) == {
        f"IACS_APPROVAL_{key}"
        for key in (
            *("PROFILE", "DATABASE_URL", "KAFKA_SERVERS", "API_HOST", "API_PORT"),
            *("PUBLIC_URL", "CLOCK_FILE", "SECRET_KEY"),
        )
    }
