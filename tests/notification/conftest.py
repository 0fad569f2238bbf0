"""A mail server in this process that misbehaves on demand, and notification's database."""

import asyncio
import email
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.notification import smtp
from shared.database import Database
from tests.notification import builders


@dataclass(frozen=True)
class Received:
    """One mail that was handed over, whether or not its sender got to know."""

    recipient: str
    content: bytes

    @property
    def mail(self) -> EmailMessage:
        return email.message_from_bytes(self.content, policy=default)

    @property
    def subject(self) -> str:
        return str(self.mail["Subject"])

    @property
    def text(self) -> str:
        return _part(self.mail, "plain")

    @property
    def html(self) -> str:
        return _part(self.mail, "html")


@dataclass
class MailServer:
    """A real SMTP server. `behave` sets what happens to the next mails, one word each; then it is good again.

    Words: `good`; `cut` (cuts the connection at MAIL, like one that idled too long); an SMTP answer to RCPT
    like `450` or `550`; `data 451` for one after the content; `drop` (takes the mail, then cuts the
    connection); `hang` (takes it, then says nothing).
    """

    received: list[Received] = field(default_factory=list)
    connection_count: int = 0
    _script: list[str] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    address: smtp.Server = field(default_factory=lambda: smtp.Server("127.0.0.1", 0))

    def behave(self, *words: str) -> None:
        self._script = list(words)

    async def arrival(self, count: int = 1, within_seconds: float = 60) -> None:
        """Return when so many mails have come in all."""
        async with asyncio.timeout(within_seconds):
            while len(self.received) < count:  # noqa: ASYNC110 - the server lives in another thread.
                await asyncio.sleep(0.002)

    def to(self, recipient: str) -> list[Received]:
        return [one for one in self.received if one.recipient == recipient]

    # --- What aiosmtpd calls, with all arguments by position ---

    async def handle_EHLO(  # noqa: N802
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connection_count += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self._script and self._script[0] == "cut":
            self._script.pop(0)
            cast("Any", server.transport).abort()
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self._script and self._script[0].isdecimal():
            return f"{self._script.pop(0)} as the test wants it"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        word = self._script.pop(0) if self._script else "good"
        if word.startswith("data "):
            return f"{word.removeprefix('data ')} as the test wants it"
        content = envelope.original_content
        assert isinstance(content, bytes)
        with self._guard:
            self.received.append(Received(envelope.rcpt_tos[0], content))
        if word == "drop":
            cast("Any", server.transport).abort()
        if word == "hang":
            await asyncio.sleep(3600)
        return "250 OK"


class _OnFreePort(Controller):
    def _trigger_server(self) -> None:
        self.port = cast("Any", self.server).sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd types it not.


@pytest.fixture
def mails() -> Iterator[MailServer]:
    """A mail server for this test alone."""
    server = MailServer()
    controller = _OnFreePort(server, hostname="127.0.0.1", port=0, ready_timeout=60)
    controller.start()
    server.address = smtp.Server("127.0.0.1", controller.port)
    yield server
    controller.stop()


class Calendar:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def calendar() -> Calendar:
    """The clock of `timed`."""
    return Calendar()


@pytest.fixture
async def timed(emptied: Callable[[str], Awaitable[Database]], calendar: Calendar) -> Database:
    """A database whose domain time the test moves; it knows the community."""
    database = await emptied("notification")
    database.clock = calendar
    await builders.feed(database, builders.the_community())
    return database


async def post_all(db: Database, mails: MailServer) -> None:
    """Send until nothing is due."""
    one = builders.sender(db, mails.address)
    while await one.send_due():
        pass


@pytest.fixture
async def db(emptied: Callable[[str], Awaitable[Database]]) -> AsyncIterator[Database]:
    """Notification's database, which knows the community."""
    database = await emptied("notification")
    await builders.feed(database, builders.the_community())
    yield database


def _part(mail: EmailMessage, subtype: str) -> str:
    part = mail.get_body((subtype,))
    assert part is not None
    return str(part.get_content())
