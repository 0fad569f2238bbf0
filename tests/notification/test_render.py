"""The bytes of a mail: what any mail program reads out of them is what was rendered."""

import email
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import UUID

import pytest

from services.notification import domain, render

SENDER = "IACS <no-reply@iacs.example>"


def a_mail(text: str = "Hello.\n", html: str = "<p>Hello.</p>\n", **changed: Any) -> render.Mail:
    whole: dict[str, Any] = {
        "notice_id": UUID(int=1),
        "message_id": render.message_id(UUID(int=1), SENDER),
        "root_id": UUID(int=2),
        "sender": SENDER,
        "address": "rosa@applicants.example",
        "rendered_at": datetime(2026, 11, 24, 15, 4, tzinfo=UTC),
        "rendering": render.Rendering(changed.pop("subject", "Hello"), text, html),
    }
    return render.Mail(**whole | changed)


def read(raw: bytes) -> EmailMessage:
    """Read a mail as a mail program does, and hold it to what every mail server takes."""
    assert all(char in b"\t\r\n" or 32 <= char < 127 for char in raw)
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    message = email.message_from_bytes(raw, policy=default)
    assert not message.defects
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    return message


def part(message: EmailMessage, subtype: str) -> str:
    found = message.get_body((subtype,))
    assert found is not None
    assert not found.defects
    return str(found.get_content()).replace("\r\n", "\n")


@pytest.mark.parametrize(
    "text",
    [
        "Hello.\n",
        ".\n..\nFrom here on\n",
        "a trailing blank \nand a tab\t\n",
        "a long line " * 200 + "\n",
        "é “quoted” — ⟦x⟧ = 100 %\n",
        "--=_00000000000000000000000000000001\n",
        "one\n\n\nfour\n",
    ],
)
def test_what_is_read_is_what_was_rendered(text: str) -> None:
    message = read(render.bytes_of(a_mail(text, f"<p>{text}</p>\n"), None))
    assert part(message, "plain") == text
    assert part(message, "html") == f"<p>{text}</p>\n"


def test_foreign_line_ends_become_the_mails_own() -> None:
    assert part(read(render.bytes_of(a_mail("one\r\ntwo\rthree"), None)), "plain") == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    "subject", ["Choose your password", "Grüße aus der Klinik", "two\r\nBcc: x@b.example", "a bell \a", "é" * 90]
)
def test_a_subject_stays_one_header(subject: str) -> None:
    message = read(render.bytes_of(a_mail(subject=subject), None))
    assert message["Subject"] == " ".join(subject.split())
    assert message["Bcc"] is None


def test_a_sender_may_have_any_name() -> None:
    message = read(render.bytes_of(a_mail(sender="Zugänge, IACS <no-reply@iacs.example>".replace(",", "")), None))
    assert message["From"].addresses[0].display_name == "Zugänge IACS"
    assert message["From"].addresses[0].addr_spec == "no-reply@iacs.example"


def test_a_secret_stands_where_it_belongs_and_is_escaped_where_it_must_be() -> None:
    mail = a_mail(f"code {domain.SECRET_HERE}\n", f"<b>{domain.SECRET_HERE}</b>\n")
    message = read(render.bytes_of(mail, "a<b>&c"))
    assert part(message, "plain") == "code a<b>&c\n"
    assert part(message, "html") == "<b>a&lt;b&gt;&amp;c</b>\n"
