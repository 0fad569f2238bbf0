"""How a mail is handed to a mail server, and what the server's answer means.

One connection serves a burst. Whatever goes wrong before the mail's content is on its way leaves
nothing behind; after that, only an answer tells.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib
from aiosmtplib.errors import SMTPException, SMTPResponseException

from services.notification import domain

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
SEND_SECONDS = 30.0
"""No send takes longer, whatever the server does."""

_TLS: dict[str, Literal["none", "starttls", "implicit"]] = {
    "smtp": "none",
    "smtp+starttls": "starttls",
    "smtps": "implicit",
}
# 421: the service closes. 530, 534, 535, 538: it wants another sign-in. None of them is about the mail.
_ABOUT_US = frozenset({421, 530, 534, 535, 538})
_PERMANENT = 500
_ACCEPTED = range(200, 300)


@dataclass(frozen=True)
class Server:
    """A mail server and how to speak to it."""

    host: str
    port: int
    tls: Literal["none", "starttls", "implicit"] = "none"
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


def server_of(url: str) -> Server:
    """Read an address like smtp://host:port. Raises ValueError."""
    parts = urlsplit(url)
    tls = _TLS.get(parts.scheme)
    if tls is None or not parts.hostname or not parts.port:
        raise ValueError("must be smtp://host:port, smtp+starttls://host:port or smtps://host:port")
    return Server(
        parts.hostname,
        parts.port,
        tls,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )


class Post:
    """Sends mails one after another to one server."""

    def __init__(
        self,
        server: Server,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self.send_seconds = send_seconds
        self._server = server
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._client: aiosmtplib.SMTP | None = None
        self._handed_over = False

    async def send(self, sender: str, recipient: str, mail: bytes) -> domain.Outcome:
        """Send one mail. Trouble is an outcome, never an exception."""
        self._handed_over = False
        try:
            async with asyncio.timeout(self.send_seconds):
                return await self._send(sender, recipient, mail)
        except TimeoutError:
            self.close()
            return self._nobody_knows()

    def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def quit(self) -> None:
        """End the connection as the protocol wants it, if there is one."""
        if self._client is not None:
            with suppress(SMTPException, OSError, TimeoutError):
                await self._client.quit()
            self.close()

    async def _send(self, sender: str, recipient: str, mail: bytes) -> domain.Outcome:
        reused = self._client is not None and self._client.is_connected
        try:
            client = self._client if reused and self._client else await self._connect()
            await client.mail(sender)
            await client.rcpt(recipient)
            self._handed_over = True
            await client.data(mail)
        except SMTPResponseException as answer:
            return await self._answered(answer.code)
        except (SMTPException, OSError):
            self.close()
            if reused and not self._handed_over:  # The server had let go of an idle connection.
                return await self._send(sender, recipient, mail)
            return self._nobody_knows()
        return domain.Accepted()

    async def _connect(self) -> aiosmtplib.SMTP:
        self.close()
        server = self._server
        self._client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls == "implicit",
            start_tls=server.tls == "starttls",
            username=server.username,
            password=server.password,
            local_hostname="localhost",  # The default asks DNS for our own name, and waits for it.
            timeout=self._connect_seconds,
        )
        try:
            await self._client.connect()
        except SMTPResponseException as answer:
            # A server that does not let us in says nothing about any mail, whatever its number.
            raise SMTPResponseException(421, str(answer.code)) from answer
        self._client.timeout = self._answer_seconds
        return self._client

    async def _answered(self, code: int) -> domain.Outcome:
        if code in _ABOUT_US:
            self.close()
            return domain.Unreachable(code)
        if code in _ACCEPTED and self._handed_over:
            return domain.Accepted()
        try:
            if self._client is not None:
                await self._client.rset()
        except (SMTPException, OSError):
            self.close()
        return domain.Refused(code) if code >= _PERMANENT else domain.Deferred(code)

    def _nobody_knows(self) -> domain.Outcome:
        return domain.Lost() if self._handed_over else domain.Unreachable()
