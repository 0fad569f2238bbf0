"""Mails under test: each notice rendered from its own template, with values that its header names."""

import re
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import services.notification
from shared.platform.mailbox import Mailbox
from shared.ui.environment import environment, render_block
from shared.ui.page import HelpDesk

mails = environment("services.notification")
TEMPLATES = Path(services.notification.__path__[0]) / "templates" / "mail"
NOTICES = sorted(path.stem for path in TEMPLATES.glob("*.html") if path.stem != "base")

ADDRESS = "rosa.delgado.with.a.long.name@mail.example"
LAYOUT = {
    "recipient_name": "Rosa Delgado",
    "help_desk": HelpDesk(email="help@example.org", phone="1-555-555-0100", tty="1-555-555-0101"),
}
VALUES: dict[str, Any] = {
    "request_tracking_number": "7QK2-M4XP-93TD",
    "kind_name": "Join a group",
    "asked_for": "the role End User",
    "role_name": "End User",
    "place_name": "Billing <b>& Sons",
    "applicant_name": "Peter Okafor",
    "due_at": "December 8, 2026, 5:00 p.m. ET",
    "status_url": "https://iacs.example/registration/status/7QK2-M4XP-93TD",
    "queue_url": "https://iacs.example/approval/queue",
    "reason_text": "The letter names another organization.",
    "next_step_text": "File a new request with the right letter.",
    "history": [{"at": "November 1, 2026", "text": "filed"}, {"at": "November 4, 2026", "text": "reminded"}],
    "documents": ["IRS letter CP 575 or 147C"],
    "user_id": "K7MQ42XP",
    "age_text": "14 days",
    "application_name": "Claim Status Inquiry",
    "applications": ["Claim Status Inquiry", "Cost <i>& Reports"],
    "community_name": "Provider/Supplier Community",
    "corrections": ["ZIP code", "IRS letter CP 575 or 147C"],
    "criteria": "Everybody who files cost reports.",
    "days_left_text": "5 days",
    "ended_at": "December 1, 2026, 9:00 a.m. EST",
    "invitation_code": "7QK2M4XP93TD",
    "not_for": "Practices that file no cost report.",
    "notice_url": "https://iacs.example/notification/v1/notices/0198f3c2-7b1e-7c3a-9d52-5e0f6a1b2c3d",
    "now_open_text": "The group is now open: people can ask to join it.",
    "person_name": "Olga Owner",
    "settled": [
        {
            "kind": "Join a user group",
            "place": "Billing, XYZ Clinic",
            "how": "Approved by a person in the role Security Official",
            "at": "December 1, 2026, 9:00 a.m. EST",
        }
    ],
    "since_at": "November 24, 2026, 9:00 a.m. EST",
    "start_url": "https://iacs.example/",
    "vacancy_text": "Nobody holds the role Security Official there now.",
    "secret": "https://iacs.example/directory/password/" + "AbCdEf0123456789" * 4,
}


def documented(notice: str, form: str) -> set[str]:
    """Return the variables that a template's header says it takes."""
    [header] = re.findall(r"\A\{#.*?#\}", (TEMPLATES / f"{notice}.{form}").read_text(), re.DOTALL)
    words = set(re.findall(r"[a-z_]+", header.partition("Takes, besides what the layout takes:")[2]))
    return words & VALUES.keys()


def rendered(notice: str, form: str, **layout: object) -> str:
    values = {name: VALUES[name] for name in documented(notice, form)}
    return mails.get_template(f"mail/{notice}.{form}").render({**LAYOUT, **values, **layout})


def fill(folder: Path) -> Mailbox:
    """Return a mailbox with one mail of each notice, all to one person."""
    mailbox = Mailbox(folder)
    for notice in NOTICES:
        message = EmailMessage()
        message["From"] = "IACS <no-reply@iacs.example>"
        message["Message-ID"] = f"<{notice}@iacs.example>"
        message["Subject"] = render_block(mails.get_template(f"mail/{notice}.txt"), "subject", VALUES)
        message.set_content(rendered(notice, "txt"))
        message.add_alternative(rendered(notice, "html"), subtype="html")
        mailbox.keep("no-reply@iacs.example", [ADDRESS], message.as_bytes())
    return mailbox
