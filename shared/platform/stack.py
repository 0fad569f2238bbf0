"""The embedded stack: PostgreSQL, Kafka and mail in one data folder, started and stopped together."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from shared.platform import part, ports, state
from shared.platform.kafka import Kafka
from shared.platform.mailserver import MailServer
from shared.platform.part import Part, Progress, silent
from shared.platform.postgres import Postgres


class Stack:
    """What the services stand on. One stack per data folder at a time; nothing of it outlives its owner."""

    def __init__(self, data: Path, *, faults: bool = False, durable: bool = True) -> None:
        """Prepare a stack; `faults` lets the mail server be told to misbehave.

        One that is not `durable` may lose its data when it stops: it is for tests.
        """
        self.data = data.absolute()
        self.ports = ports.Ports(self.data)
        self.postgres = Postgres(self.data, self.ports, durable=durable)
        self.kafka = Kafka(self.data, self.ports, durable=durable)
        self.mail = MailServer(self.data, self.ports, faults=faults)
        self._owner = state.Lock(self.data / "owner")

    def start(self, progress: Progress = silent, beside: Sequence[Part] = ()) -> None:
        """Start all at once, and the owner's parts `beside` them; return when all answer.

        Raises InUseError, NotStartedError, WrongJarError.
        """
        began = time.monotonic()
        self.data.mkdir(parents=True, exist_ok=True)
        # PostgreSQL, lent to another user when root starts it, walks through here; it lists nothing.
        self.data.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self._owner.take()
        self._owner.write(f"{os.getpid()} {psutil.Process().create_time()}\n")
        try:
            part.await_last_run(self.data)  # Before any port is looked at: they may still listen.
            part.start_together([self.kafka, self.postgres, self.mail, *beside], progress)
        except BaseException:
            self._let_go()
            raise
        progress(f"The stack is up after {time.monotonic() - began:.1f} s")

    def stop(self) -> None:
        """Stop all and return when nothing runs. No error if nothing does."""
        part.stop_together([self.mail, self.kafka, self.postgres])
        self._let_go()

    def _let_go(self) -> None:
        self.ports.release()
        self._owner.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
