"""How a letter becomes text and HTML, once, and how these become the bytes of a mail, as often as needed.

The rendering holds a placeholder where a secret belongs; the secret enters with the bytes.
"""

from binascii import b2a_qp
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address
from email.utils import format_datetime, formataddr, parseaddr
from functools import lru_cache
from html import escape
from uuid import UUID

from jinja2 import Template

from services.notification import domain
from shared.ui.environment import environment, render_block

_templates = environment("services.notification")


@dataclass(frozen=True)
class Rendering:
    """What a mail says, complete but for its secret."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Mail:
    """What stands in the row of a notice that is to be sent."""

    notice_id: UUID
    message_id: str
    root_id: UUID
    sender: str
    address: str = field(repr=False)
    rendered_at: datetime
    rendering: Rendering = field(repr=False)


def render(notice_name: str, letter: domain.Letter) -> Rendering:
    """Return both parts of a letter, and its subject."""
    text, html = _templates_of(notice_name)
    values = dict(letter.values)
    return Rendering(
        " ".join(render_block(text, "subject", values).split()),
        text.render(values),
        html.render(values),
    )


@lru_cache(maxsize=256)
def _templates_of(notice_name: str) -> tuple[Template, Template]:
    # Kept: the environment looks at each file again whenever it is asked for one.
    return _templates.get_template(f"mail/{notice_name}.txt"), _templates.get_template(f"mail/{notice_name}.html")


def message_id(notice_id: UUID, sender: str) -> str:
    """Return the Message-ID of a notice: one for each notice, recipient and version."""
    return f"<{notice_id}@{domain_of(sender)}>"


@lru_cache(maxsize=16)
def envelope_sender(sender: str) -> str:
    """Return the bare address of a From line."""
    return parseaddr(sender)[1]


def bytes_of(mail: Mail, secret: str | None) -> bytes:
    """Return the mail as it goes out: the same bytes for the same row and secret.

    Written out by hand: the standard library's message takes ten times as long, which is most of what a mail
    costs. Every header is of our making but the subject and the address. Raises ValueError for an address
    that no mail can carry.
    """
    text, html = mail.rendering.text, mail.rendering.html
    if secret is not None:
        text = text.replace(domain.SECRET_HERE, secret)
        html = html.replace(domain.SECRET_HERE, escape(secret))
    boundary = f"=_{mail.notice_id.hex}"
    head = "\r\n".join(
        (
            f"Message-ID: {mail.message_id}",
            f"Date: {format_datetime(mail.rendered_at)}",
            f"From: {_from(mail.sender)}",
            f"To: {_recipient(mail.address)}",
            f"Subject: {_subject(mail.rendering.subject)}",
            # Nobody's holiday greeting shall answer (RFC 3834).
            "Auto-Submitted: auto-generated",
            # Mail programs show all that belongs to one request as one conversation.
            f"References: <{mail.root_id}.root@{domain_of(mail.sender)}>",
            "MIME-Version: 1.0",
            f'Content-Type: multipart/alternative; boundary="{boundary}"',
            "",
            "",
        )
    ).encode("ascii")
    return b"".join(
        (
            head,
            _part(boundary, "plain", text),
            _part(boundary, "html", html),
            f"--{boundary}--\r\n".encode(),
        )
    )


def _part(boundary: str, subtype: str, content: str) -> bytes:
    head = (
        f"--{boundary}\r\n"
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    lines = content.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"
    return head.encode() + b2a_qp(lines.replace("\n", "\r\n").encode()) + b"\r\n"


@lru_cache(maxsize=16)
def _from(sender: str) -> str:
    """Return a From line as a header carries it."""
    return formataddr(parseaddr(sender))


def _recipient(address: str) -> str:
    """Return an address as a header carries it. Raises ValueError."""
    if not address.isascii():
        raise ValueError("the address is not ASCII")
    return str(_parsed(address))


def _parsed(address: str) -> Address:
    """Return the parts of an address. Raises ValueError."""
    try:
        return Address(addr_spec=address)
    except (MessageError, IndexError) as error:  # What the standard library says depends on where it stumbles.
        raise ValueError("no address of a mailbox") from error


def _subject(subject: str) -> str:
    """Return a subject as a header carries it: one line, and encoded if it is not ASCII (RFC 2047)."""
    line = " ".join(subject.split())
    return line if line.isascii() and line.isprintable() else Header(line, "utf-8").encode(linesep="\r\n")


@lru_cache(maxsize=16)
def domain_of(sender: str) -> str:
    """Return the domain of a From line. Raises ValueError."""
    address = _parsed(envelope_sender(sender))
    if not address.domain:
        raise ValueError("must be an address like IACS <no-reply@iacs.example>")
    return address.domain
