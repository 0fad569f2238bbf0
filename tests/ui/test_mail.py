"""Mails: both forms of every notice, from the variables that its header names and no others."""

import re
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError, meta

import services.notification
from shared.ui.environment import environment, render_block
from shared.ui.page import HelpDesk
from tests.ui.conftest import Axe, OpenPage
from tests.ui.html import Document

mails = environment("services.notification")
TEMPLATES = Path(services.notification.__path__[0]) / "templates" / "mail"
NOTICES = sorted(path.stem for path in TEMPLATES.glob("*.html") if path.stem != "base")

LAYOUT = {
    "recipient_name": "Rosa Delgado",
    "help_desk": HelpDesk(email="help@example.org", phone="1-555-555-0100", tty="1-555-555-0101"),
}
VALUES: dict[str, Any] = {
    "request_tracking_number": "7QK2-M4XP-93TD",
    "kind_name": "Join a group",
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
    "secret": "https://iacs.example/directory/password/" + "AbCdEf0123456789" * 4,
}

every_notice = pytest.mark.parametrize("notice", NOTICES)
every_form = pytest.mark.parametrize("form", ["html", "txt"])


def documented(notice: str, form: str) -> set[str]:
    """Return the variables that a template's header says it takes."""
    [header] = re.findall(r"\A\{#.*?#\}", (TEMPLATES / f"{notice}.{form}").read_text(), re.DOTALL)
    words = set(re.findall(r"[a-z_]+", header.partition("Takes, besides what the layout takes:")[2]))
    return words & VALUES.keys()


def rendered(notice: str, form: str, **layout: object) -> str:
    values = {name: VALUES[name] for name in documented(notice, form)}
    return mails.get_template(f"mail/{notice}.{form}").render({**LAYOUT, **values, **layout})


def words_of(text: str) -> list[str]:
    return re.sub(r"[^\w&<>:/.@-]+", " ", text).casefold().split()


def test_every_notice_has_both_forms() -> None:
    assert sorted(path.stem for path in TEMPLATES.glob("*.txt") if path.stem != "base") == NOTICES


@every_notice
@every_form
def test_a_notice_takes_exactly_what_its_header_names(notice: str, form: str) -> None:
    source = (TEMPLATES / f"{notice}.{form}").read_text()
    used = meta.find_undeclared_variables(mails.parse(source)) & VALUES.keys()
    assert used == documented(notice, form)
    for name in used:
        values = {one: VALUES[one] for one in used - {name}}
        with pytest.raises(UndefinedError):
            template = mails.get_template(f"mail/{notice}.{form}")
            template.render({**LAYOUT, **values})
            if form == "txt":
                render_block(template, "subject", values)


@every_notice
def test_both_forms_say_the_same(notice: str) -> None:
    page = Document(rendered(notice, "html"))
    text = " ".join(words_of(rendered(notice, "txt")))
    for element in page.elements:
        if element.tag in {"p", "h2", "li", "dt", "dd"} and not element.text.startswith("If the button"):
            assert " ".join(words_of(element.text)) in text
    for link in page.all("a"):
        assert link.attributes["href"].removeprefix("mailto:").casefold() in text


@every_notice
def test_a_subject_is_one_short_line_without_a_secret_or_a_name(notice: str) -> None:
    values = {name: VALUES[name] for name in documented(notice, "txt")}
    subject = render_block(mails.get_template(f"mail/{notice}.txt"), "subject", values)
    assert subject == subject.strip()
    assert "\n" not in subject
    assert 10 < len(subject) <= 78
    for private in ("secret", "user_id", "applicant_name", "place_name"):
        assert VALUES[private] not in subject


@every_notice
def test_a_mail_is_escaped_as_html_and_plain_as_text(notice: str) -> None:
    assert "Billing <b>" not in rendered(notice, "html")
    assert "&amp;" not in rendered(notice, "txt")


@every_notice
@every_form
def test_a_recipient_without_a_name_is_greeted_without_one(notice: str, form: str) -> None:
    assert "Hello," in rendered(notice, form, recipient_name="")


@every_notice
def test_a_mail_names_its_language_and_has_one_heading_and_a_title(notice: str) -> None:
    page = Document(rendered(notice, "html"))
    assert page.all("html")[0].attributes["lang"] == "en"
    [heading] = page.all("h1")
    assert page.all("title")[0].text == heading.text


def test_the_text_has_no_gap_of_more_than_one_line() -> None:
    for notice in NOTICES:
        assert "\n\n\n" not in rendered(notice, "txt")
        assert rendered(notice, "txt").startswith("Hello Rosa Delgado,\n\n")


@every_notice
async def test_axe_finds_nothing_in_a_mail_on_a_phone(open_page: OpenPage, axe: Axe, notice: str) -> None:
    page = await open_page("about:blank", width=320)
    await page.set_content(rendered(notice, "html"))
    await axe(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
