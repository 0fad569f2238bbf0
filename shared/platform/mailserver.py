"""The embedded mail server as a part of the stack. What it does: mail.py."""

import sys
from pathlib import Path

from shared.platform import ports
from shared.platform.part import Part, Progress, answers, silent

READY_SECONDS = 30.0


class MailServer(Part):
    """A mail server in a process of its own."""

    def __init__(self, data: Path, claims: ports.Ports, *, faults: bool = False) -> None:
        super().__init__("mail", data, claims)
        self._faults = ["--faults"] if faults else []
        self.smtp_port: int | None = None
        self.inbox_port: int | None = None

    @property
    def address(self) -> str:
        return self.inbox_url

    @property
    def smtp_url(self) -> str:
        return f"smtp://{ports.HOST}:{self.smtp_port}"

    @property
    def inbox_url(self) -> str:
        return f"http://{ports.HOST}:{self.inbox_port}/mail"

    def start(self, progress: Progress = silent) -> None:
        def start(smtp: int, inbox: int) -> None:
            options = ["--data", self.data / "mail", "--smtp-port", str(smtp), "--inbox-port", str(inbox)]
            self._launch([sys.executable, "-m", "shared.platform.mail", *map(str, options), *self._faults])
            self._await_ready(lambda: answers(inbox, "/healthz"), seconds=READY_SECONDS)

        self.smtp_port, self.inbox_port = self._start_on_free_port(["smtp", "inbox"], start)
        progress(f"Mail goes to {self.smtp_url} and is read at {self.inbox_url}")
