"""How a letter becomes text and HTML, once, and how these become the bytes of a mail, as often as needed.

The rendering holds a placeholder where a secret belongs; the secret enters with the bytes.
"""

from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from html import escape
from uuid import UUID

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
    text = _templates.get_template(f"mail/{notice_name}.txt")
    html = _templates.get_template(f"mail/{notice_name}.html")
    values = dict(letter.values)
    return Rendering(
        " ".join(render_block(text, "subject", values).split()),
        text.render(values),
        html.render(values),
    )


def message_id(notice_id: UUID, sender: str) -> str:
    """Return the Message-ID of a notice: one for each notice, recipient and version."""
    return f"<{notice_id}@{domain_of(sender)}>"


def envelope_sender(sender: str) -> str:
    """Return the bare address of a From line."""
    return parseaddr(sender)[1]


def domain_of(sender: str) -> str:
    """Return the domain of a From line. Raises ValueError."""
    address = Address(addr_spec=envelope_sender(sender))
    if not address.domain:
        raise ValueError("must be an address like IACS <no-reply@iacs.example>")
    return address.domain


def bytes_of(mail: Mail, secret: str | None) -> bytes:
    """Return the mail as it goes out: the same bytes for the same row and secret.

    Raises ValueError for an address that no mail can carry.
    """
    if not mail.address.isascii():
        raise ValueError("the address is not ASCII")
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = mail.message_id
    message["Date"] = format_datetime(mail.rendered_at)
    message["From"] = mail.sender
    message["To"] = Address(addr_spec=mail.address)
    message["Subject"] = mail.rendering.subject
    # Nobody's holiday greeting shall answer (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    # Mail programs show all that belongs to one request as one conversation.
    message["References"] = f"<{mail.root_id}.root@{domain_of(mail.sender)}>"
    text, html = mail.rendering.text, mail.rendering.html
    if secret is not None:
        text = text.replace(domain.SECRET_HERE, secret)
        html = html.replace(domain.SECRET_HERE, escape(secret))
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{mail.notice_id.hex}")
    return message.as_bytes()
