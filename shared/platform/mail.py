"""The embedded mail server: takes mail by SMTP, keeps each message on disk, and shows the inbox in a page.

    python -m shared.platform.mail --data FOLDER --smtp-port N --inbox-port N [--faults]

A message is kept before it is acknowledged. With `--faults`, `POST /mail/behaviour` makes the server
misbehave as mail servers do, for the tests of whoever sends.
"""

import argparse
import asyncio
import re
from collections.abc import Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import jinja2
import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from markupsafe import Markup, escape
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from shared.platform.mailbox import Mail, Mailbox

HOST = "127.0.0.1"
SIZE_MAX = 10_000_000
PAGE_LENGTH = 50
LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]")

_CLOSED = "default-src 'none'; base-uri 'none'; object-src 'none'; "
PAGE_HEADERS = {
    "Content-Security-Policy": _CLOSED
    + "script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # A page of mail must not tell where its links were found.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
# A mail's HTML is a stranger's: no script, no form, nothing loaded, and shown by our own page alone.
MAIL_HEADERS = PAGE_HEADERS | {
    "Content-Security-Policy": _CLOSED
    + "sandbox; form-action 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
}

Fault = Literal["refuse_temporarily", "refuse_permanently", "hang_after_data", "drop_after_data"]
FAULTS = get_args(Fault)


class Behaviour:
    """How the server treats mail: properly, or with one fault for everybody or for one recipient."""

    def __init__(self) -> None:
        self._faults: dict[str | None, Fault] = {}
        self._changed = asyncio.Event()

    def set(self, fault: Fault | None, recipient: str | None) -> None:
        """Begin a fault, or (None) end that of the recipient, or of everybody at once."""
        if fault is not None:
            self._faults[recipient] = fault
        elif recipient is None:
            self._faults.clear()
        else:
            self._faults.pop(recipient, None)
        self._changed.set()
        self._changed = asyncio.Event()

    def towards(self, recipients: list[str]) -> Fault | None:
        for recipient in recipients:
            if recipient in self._faults:
                return self._faults[recipient]
        return self._faults.get(None)

    async def changed(self) -> None:
        """Return at the next change."""
        await self._changed.wait()


class Receiver:
    """What aiosmtpd asks at each step of a delivery. The names are its own."""

    def __init__(self, mailbox: Mailbox, behaviour: Behaviour) -> None:
        self._mailbox = mailbox
        self._behaviour = behaviour

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        match self._behaviour.towards([address]):
            case "refuse_temporarily":
                return "451 4.3.0 The mailbox is busy, try again later"
            case "refuse_permanently":
                return "550 5.1.1 There is no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        recipients = [str(one) for one in envelope.rcpt_tos]
        # Kept in any case: whether a server that then fell silent has the mail is what nobody knows.
        await asyncio.to_thread(self._mailbox.keep, str(envelope.mail_from or ""), recipients, envelope.content)
        fault = self._behaviour.towards(recipients)
        if fault == "hang_after_data":
            await self._behaviour.changed()
        if fault in ("hang_after_data", "drop_after_data"):
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 2.0.0 Kept"


def inbox(mailbox: Mailbox, behaviour: Behaviour | None) -> Starlette:
    """Return the inbox: pages for people, JSON for programs; with `behaviour`, its switch too."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters["linked"] = _linked

    def page(template: str, **values: object) -> HTMLResponse:
        return HTMLResponse(templates.get_template(template).render(**values), headers=PAGE_HEADERS)

    def found(request: Request) -> Mail:
        mail = mailbox.find(request.path_params["id"])
        if mail is None:
            raise HTTPException(404)
        return mail

    async def show_inbox(request: Request) -> Response:
        to = request.query_params.get("to") or None
        before = request.query_params.get("before")
        mails = list(islice(mailbox.newest_first(to=to, before=before), PAGE_LENGTH + 1))
        shown = mails[:PAGE_LENGTH]
        older = shown[-1].id if len(mails) > len(shown) else None
        return page("inbox.html", mails=shown, to=to, older=older)

    async def list_messages(request: Request) -> Response:
        to = request.query_params.get("to")
        mails = [asdict(mail) for mail in mailbox.newest_first(to=to)]
        return JSONResponse(mails, headers={"Cache-Control": "no-store"})

    async def show_message(request: Request) -> Response:
        return page("message.html", mail=found(request), as_html="html" in request.query_params)

    async def show_html(request: Request) -> Response:
        html = found(request).html
        return HTMLResponse(html, headers=MAIL_HEADERS) if html else Response(status_code=404)

    async def set_behaviour(request: Request) -> Response:
        body: Mapping[str, str] = await request.json()
        mode = body.get("mode")
        if behaviour is None or mode not in (*FAULTS, "normal"):
            raise HTTPException(422, f"mode is one of normal, {', '.join(FAULTS)}")
        behaviour.set(next((fault for fault in FAULTS if fault == mode), None), body.get("recipient"))
        return Response(status_code=204)

    async def healthy(_request: Request) -> Response:
        return PlainTextResponse("ok")

    switch = [Route("/mail/behaviour", set_behaviour, methods=["POST"])] if behaviour else []
    return Starlette(
        routes=[
            Route("/mail", show_inbox),
            Route("/mail/", show_inbox),
            Route("/mail/messages", list_messages),
            Route("/mail/messages/{id}", show_message),
            Route("/mail/messages/{id}/html", show_html),
            Route("/healthz", healthy),
            *switch,
        ]
    )


def _linked(text: str) -> Markup:
    """Return the text with its web addresses as links."""
    link = r'<a class="usa-link" rel="noreferrer" href="\g<0>">\g<0></a>'
    return Markup(LINK.sub(link, str(escape(text))))  # noqa: S704 - escaped first, and LINK holds no quote.


async def serve(folder: Path, smtp_port: int, inbox_port: int, *, faults: bool) -> None:
    """Serve both until SIGTERM."""
    mailbox, behaviour = Mailbox(folder), Behaviour()
    receiver = Receiver(mailbox, behaviour)
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(
        lambda: SMTP(
            receiver,
            hostname="mail.embedded",
            ident="IACS embedded mail",
            loop=loop,
            data_size_limit=SIZE_MAX,
            enable_SMTPUTF8=True,
            decode_data=False,
        ),
        HOST,
        smtp_port,
    )
    app = inbox(mailbox, behaviour if faults else None)
    config = uvicorn.Config(
        app,
        host=HOST,
        port=inbox_port,
        access_log=False,
        log_level="warning",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    async with smtp:
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The embedded mail server")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--inbox-port", type=int, required=True)
    parser.add_argument("--faults", action="store_true")
    asked = parser.parse_args()
    asyncio.run(serve(asked.data, asked.smtp_port, asked.inbox_port, faults=asked.faults))
