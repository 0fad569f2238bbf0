"""The mail that arrived: a folder of .eml files, and what the inbox shows of each."""

import email
import email.policy
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from shared.platform import state

_DELIVERED_TO = "Delivered-To: "


@dataclass(frozen=True)
class Mail:
    """One message as it arrived, once for all its recipients."""

    id: str
    to: list[str]
    sender: str
    subject: str
    date: str  # When it arrived: ISO 8601, UTC.
    message_id: str
    text: str | None
    html: str | None


class Mailbox:
    """All messages: a folder of .eml files. In memory is whose they are; what they say is read when somebody looks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._recipients = {path.stem: _recipients(path) for path in sorted(folder.glob("*.eml"))}
        self._guard = threading.Lock()  # Mails are kept by other threads than the one that shows them.

    def keep(self, sender: str, to: list[str], content: bytes) -> None:
        """Keep a message, on disk when this returns. Its file's name sorts by arrival."""
        mail_id = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        # As delivery agents do: the envelope, which the headers need not repeat, goes on top.
        envelope = [f"Return-Path: <{sender}>", *(f"{_DELIVERED_TO}{one}" for one in to)]
        whole = "".join(f"{line}\r\n" for line in envelope).encode() + content
        state.write_whole(self._folder / f"{mail_id}.eml", whole)
        with self._guard:
            self._recipients[mail_id] = {one.lower() for one in to}

    def find(self, mail_id: str) -> Mail | None:
        return _read(self._folder / f"{mail_id}.eml") if mail_id in self._recipients else None

    def newest_first(self, *, to: str | None = None, before: str | None = None) -> Iterator[Mail]:
        """Return those to one address, if given, that arrived before the message `before`, if given."""
        with self._guard:
            known = list(self._recipients.items())
        for mail_id, recipients in reversed(known):
            is_theirs = to is None or to.lower() in recipients
            if is_theirs and (before is None or mail_id < before):
                yield _read(self._folder / f"{mail_id}.eml")


def _recipients(path: Path) -> set[str]:
    """Return to whom a message was delivered, which stands at its top."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        next(lines, "")  # Return-Path
        told = takewhile(lambda line: line.startswith(_DELIVERED_TO), lines)
        return {line.removeprefix(_DELIVERED_TO).strip().lower() for line in told}


@lru_cache(maxsize=500)
def _read(path: Path) -> Mail:
    mail_id = path.stem
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)

    def part(kind: str) -> str | None:
        found = message.get_body((kind,))
        # Bytes that lie about their charset are still a mail that somebody wants to see.
        with suppress(LookupError, UnicodeError):
            return str(found.get_content()) if found else None
        return str(found.get_payload()) if found else None

    arrived_at = datetime.fromtimestamp(int(mail_id.partition("-")[0]) / 1e9, UTC)
    return Mail(
        id=mail_id,
        to=[str(one) for one in message.get_all("Delivered-To", [])],
        sender=str(message.get("From", "")),
        subject=str(message.get("Subject", "")),
        date=arrived_at.isoformat(timespec="milliseconds"),
        message_id=str(message.get("Message-ID", "")).strip(),
        text=part("plain"),
        html=part("html"),
    )
