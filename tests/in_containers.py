"""The stack that most tests share, in containers of the images of docker-compose.yml: `make test STACK=containers`."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from testcontainers.core.container import DockerContainer

from shared.platform import kafka, ports, postgres, state
from shared.platform.part import NotStartedError, Progress, silent
from shared.platform.stack import Stack

POSTGRES = "postgres:18"
KAFKA = "apache/kafka:4.3.1"
READY_SECONDS = 240.0  # Compose builds and starts beside it.
LOG_TAIL = 2_000
# Nothing of theirs outlives these tests, which stop what they start; the reaper is one more image to fetch.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")


class _InContainer:
    """A part whose process is a container's."""

    _container: DockerContainer | None = None

    def stop(self) -> None:
        """End it, with its data."""
        if self._container is not None:
            self._container.stop()
            self._container = None

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        assert self._container is not None
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        """Let go on what `pause` froze."""
        assert self._container is not None
        self._container.get_wrapped_container().unpause()

    def _await(self, answers: Callable[[], bool]) -> None:
        """Return once it answers. Raises NotStartedError, with what it logged last, when it never will."""
        assert self._container is not None
        ends_at = time.monotonic() + READY_SECONDS
        while not answers():
            self._container.get_wrapped_container().reload()
            if time.monotonic() > ends_at or self._container.get_wrapped_container().status == "exited":
                said = b"".join(self._container.get_logs()).decode(errors="replace")
                raise NotStartedError(
                    f"{self._container.image} does not answer from its container:\n{said[-LOG_TAIL:]}"
                )
            time.sleep(0.2)


class Postgres(_InContainer, postgres.Postgres):
    """PostgreSQL in a container, with the settings of the embedded one."""

    def start(self, progress: Progress = silent) -> None:
        """Start it, and return when it answers from outside."""
        settings = {**postgres.SETTINGS, **postgres.FORGETFUL}
        # Where it listens, the image decides: nowhere outside while it sets itself up, and then everywhere.
        for name in ("listen_addresses", "unix_socket_directories"):
            del settings[name]
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self._container = (
            DockerContainer(POSTGRES)
            .with_envs(
                POSTGRES_USER=postgres.USER,
                POSTGRES_PASSWORD=state.secret(self._password),
                POSTGRES_INITDB_ARGS="--encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8",
            )
            .with_command(" ".join(["postgres", *words]))
            .with_exposed_ports(5432)
        )
        self._container.start()
        self.port = int(self._container.get_exposed_port(5432))
        self._await(self._answers)
        progress(f"PostgreSQL answers on {self.address}, in a container")

    def _answers(self) -> bool:
        try:
            self.psql("SELECT 1")
        except RuntimeError:
            return False
        return True


class Kafka(_InContainer, kafka.Kafka):
    """A broker in a container, with the settings of the embedded one."""

    def start(self, progress: Progress = silent) -> None:
        """Start it, and return when it answers from outside."""
        self.port = port = self._ports.claim("kafka")
        told = {
            **kafka.SETTINGS,
            "listeners": f"CLIENTS://:{port},CONTROLLER://:9093",
            "advertised.listeners": f"CLIENTS://{ports.HOST}:{port}",
            "controller.quorum.voters": "1@localhost:9093",
            "log.dirs": "/tmp/kafka",  # noqa: S108 - inside the container, which goes with its data.
        }
        environment = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in told.items()}
        self._container = DockerContainer(KAFKA).with_envs(**environment).with_bind_ports(port, port)
        self._container.start()
        self._await(lambda: kafka.is_ready(port))
        progress(f"Kafka answers on {self.address}, in a container")


class ContainerStack(Stack):
    """As `Stack`, but for where PostgreSQL and Kafka run."""

    def __init__(self, data: Path) -> None:
        super().__init__(data, durable=False)
        self.postgres = Postgres(self.data, self.ports, durable=False)
        self.kafka = Kafka(self.data, self.ports)
