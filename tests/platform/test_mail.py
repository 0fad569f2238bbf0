"""The embedded mail server keeps what it takes, shows it safely, and misbehaves on request."""

import smtplib
import socket
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.platform.mailbox import Mailbox
from shared.platform.mailserver import MailServer
from shared.platform.ports import Ports

ONE, OTHER = "one@people.example", "other@people.example"


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[MailServer]:
    folder.mkdir()
    ports = Ports(folder)
    server = MailServer(folder, ports, faults=True)
    server.start()
    yield server
    server.stop()
    ports.release()


@pytest.fixture
def inbox(server: MailServer) -> Iterator[httpx.Client]:
    origin = server.inbox_url.removesuffix("/mail")
    with httpx.Client(base_url=origin, timeout=10, trust_env=False) as client:
        yield client
        client.post("/mail/behaviour", json={"mode": "normal"}).raise_for_status()


def test_a_mailbox_of_thousands_of_mails_opens_at_once(tmp_path: Path) -> None:
    mail = a_mail(html="<p>Hello</p>" * 200).as_bytes()
    Mailbox(tmp_path).keep("us@iacs.example", ["Reader0000@people.example"], mail)
    (kept,) = tmp_path.glob("*.eml")
    for number in range(1, 3000):
        copy = kept.read_bytes().replace(b"Reader0000", b"Reader%04d" % number)
        (tmp_path / f"{number:020d}-00000000.eml").write_bytes(copy)

    began = time.process_time()
    (found,) = Mailbox(tmp_path).newest_first(to="reader1234@people.example")
    assert time.process_time() - began < 2  # Of a processor: others may be at work here, too.
    assert found.to == ["Reader1234@people.example"]


def a_mail(*, to: str = ONE, subject: str = "Your code", text: str = "Hello\n", html: str = "") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = "us@iacs.example", to, subject, "<1@iacs.example>"
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    return mail


def send(server: MailServer, mail: EmailMessage, *, timeout: float = 10) -> None:
    with smtplib.SMTP("127.0.0.1", server.smtp_port or 0, timeout=timeout) as sender:
        sender.send_message(mail)


def of(inbox: httpx.Client, address: str) -> list[dict[str, Any]]:
    return list(inbox.get("/mail/messages", params={"to": address}).json())


def test_a_program_finds_the_mail_of_an_address_newest_first(server: MailServer, inbox: httpx.Client) -> None:
    to = "Reader@people.example"
    send(server, a_mail(to=to, subject="Première", text="été\n", html="<p>été</p>"))
    send(server, a_mail(to=to, subject="Second"))
    send(server, a_mail(to=OTHER))

    second, first = of(inbox, to.lower())
    assert (first["subject"], second["subject"]) == ("Première", "Second")
    assert first["to"] == [to]
    assert first["message_id"] == "<1@iacs.example>"
    assert first["text"].strip() == "été"
    assert first["html"].strip() == "<p>été</p>"
    assert second["html"] is None


def test_the_mail_is_there_after_a_kill(server: MailServer, inbox: httpx.Client) -> None:
    send(server, a_mail(to="patient@people.example"))
    before = of(inbox, "patient@people.example")
    server.kill()
    server.start()
    assert of(inbox, "patient@people.example") == before
    assert len(before) == 1


def test_a_page_shows_text_first_with_links_that_work_and_nothing_unescaped(
    server: MailServer, inbox: httpx.Client
) -> None:
    to = "page@people.example"
    text = "Go to http://127.0.0.1:8080/directory/password/x?a=1&b=2. <script>bad()</script>\n"
    send(server, a_mail(to=to, subject="<script>bad()</script>", text=text, html="<p>Hello</p>"))
    (mail,) = of(inbox, to)

    page = inbox.get(f"/mail/messages/{mail['id']}")
    assert 'href="http://127.0.0.1:8080/directory/password/x?a=1&amp;b=2"' in page.text
    assert "<script>bad" not in page.text
    assert "<script>bad" not in inbox.get("/mail").text
    assert "<iframe" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"


def test_the_html_part_is_shown_in_a_sandbox(server: MailServer, inbox: httpx.Client) -> None:
    to = "html@people.example"
    send(server, a_mail(to=to, html="<p>Hello</p><script>bad()</script>"))
    (mail,) = of(inbox, to)
    page = inbox.get(f"/mail/messages/{mail['id']}?html")
    assert f'<iframe class="mail-html" sandbox src="/mail/messages/{mail["id"]}/html"' in page.text
    part = inbox.get(f"/mail/messages/{mail['id']}/html")
    policy = dict(rule.partition(" ")[::2] for rule in part.headers["content-security-policy"].split("; "))
    assert (policy["sandbox"], policy["default-src"], policy["form-action"]) == ("", "'none'", "'none'")
    # Nothing is fetched from anywhere: its sender would learn that it was read.
    assert {name: said for name, said in policy.items() if name.endswith("-src") and said != "'none'"} == {
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
    }
    assert policy["frame-ancestors"] == "'self'"


def test_it_takes_no_mail_from_other_machines_and_none_that_is_too_large(server: MailServer) -> None:
    for port in (server.smtp_port, server.inbox_port):
        with pytest.raises(OSError):  # Which one depends on the system.
            socket.create_connection(("127.0.0.2", port or 0), timeout=5).close()
    with smtplib.SMTP("127.0.0.1", server.smtp_port or 0, timeout=10) as sender:
        sender.ehlo()
        assert sender.mail("us@iacs.example", ["SIZE=10000001"])[0] == 552


def test_a_mail_is_shown_to_whom_it_was_delivered_though_its_headers_and_its_body_lie(tmp_path: Path) -> None:
    mail = b'Content-Type: text/plain; charset="none"\r\n\r\nDelivered-To: other@people.example\r\n'
    Mailbox(tmp_path).keep("us@iacs.example", [ONE], mail)
    again = Mailbox(tmp_path)
    (found,) = again.newest_first(to=ONE)
    assert (found.text or "").strip() == f"Delivered-To: {OTHER}"
    assert list(again.newest_first(to=OTHER)) == []


def test_older_mail_is_a_page_further(server: MailServer, inbox: httpx.Client) -> None:
    to = "many@people.example"
    for number in range(52):
        send(server, a_mail(to=to, subject=f"Mail {number:02d}"))
    first = inbox.get("/mail", params={"to": to}).text
    assert "Mail 51" in first
    assert "Mail 01" not in first
    older = first.split('href="/mail?before=')[1].split('"')[0].replace("&amp;", "&")
    second = inbox.get(f"/mail?before={older}").text
    assert "Mail 01" in second
    assert "Mail 51" not in second


def test_what_is_not_there_is_not_found(inbox: httpx.Client) -> None:
    assert inbox.get("/mail/messages/none").status_code == 404
    assert inbox.get("/mail/messages/none/html").status_code == 404


@pytest.mark.parametrize(("mode", "code"), [("refuse_temporarily", 451), ("refuse_permanently", 550)])
def test_it_refuses_one_recipient_on_request(server: MailServer, inbox: httpx.Client, mode: str, code: int) -> None:
    inbox.post("/mail/behaviour", json={"mode": mode, "recipient": ONE}).raise_for_status()
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        send(server, a_mail(to=ONE))
    assert refusal.value.recipients[ONE][0] == code
    send(server, a_mail(to=OTHER))

    inbox.post("/mail/behaviour", json={"mode": "normal", "recipient": ONE}).raise_for_status()
    send(server, a_mail(to=ONE))


def test_it_hangs_after_the_data_until_told_otherwise(server: MailServer, inbox: httpx.Client) -> None:
    to = "hang@people.example"
    inbox.post("/mail/behaviour", json={"mode": "hang_after_data"}).raise_for_status()
    with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
        send(server, a_mail(to=to), timeout=3)
    assert len(of(inbox, to)) == 1, "the sender cannot know it, but the mail was taken"


def test_it_drops_the_connection_after_the_data(server: MailServer, inbox: httpx.Client) -> None:
    to = "drop@people.example"
    inbox.post("/mail/behaviour", json={"mode": "drop_after_data"}).raise_for_status()
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
        send(server, a_mail(to=to))
    assert len(of(inbox, to)) == 1


def test_an_unknown_fault_is_refused(inbox: httpx.Client) -> None:
    assert inbox.post("/mail/behaviour", json={"mode": "explode"}).status_code == 422


def test_without_the_flag_nobody_can_make_it_misbehave(tmp_path: Path) -> None:
    ports = Ports(tmp_path)
    server = MailServer(tmp_path, ports)
    server.start()
    try:
        answer = httpx.post(f"{server.inbox_url}/behaviour", json={"mode": "normal"}, trust_env=False)
        assert answer.status_code in (404, 405)
    finally:
        server.stop()
        ports.release()
