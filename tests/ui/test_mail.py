"""Mails: both forms of every notice, from the variables that its header names and no others."""

import re

import pytest
from jinja2 import UndefinedError, meta
from playwright.async_api import Page

from shared.ui.environment import render_block
from tests.ui.conftest import Axe
from tests.ui.html import Document
from tests.ui.mails import LAYOUT, NOTICES, TEMPLATES, VALUES, documented, mails, rendered

every_notice = pytest.mark.parametrize("notice", NOTICES)
every_form = pytest.mark.parametrize("form", ["html", "txt"])


def words_of(text: str) -> list[str]:
    return re.sub(r"[^\w&<>:/.@-]+", " ", text).casefold().split()


def used_by(template: str) -> set[str]:
    """Return which of the values a template takes, itself and through those that it extends."""
    source = mails.parse((TEMPLATES.parent / template).read_text())
    extended = [name for name in meta.find_referenced_templates(source) if name and not name.startswith("mail/base.")]
    mine = meta.find_undeclared_variables(source) & VALUES.keys()
    return mine.union(*(used_by(name) for name in extended))


def test_every_notice_has_both_forms() -> None:
    assert sorted(path.stem for path in TEMPLATES.glob("*.txt") if path.stem != "base") == NOTICES


@every_notice
@every_form
def test_a_notice_takes_exactly_what_its_header_names(notice: str, form: str) -> None:
    used = used_by(f"mail/{notice}.{form}")
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
    for private in ("secret", "user_id", "applicant_name", "person_name", "place_name", "invitation_code"):
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
async def test_axe_finds_nothing_in_a_mail_on_a_phone(phone: Page, axe: Axe, notice: str) -> None:
    await phone.set_content(rendered(notice, "html"))
    await axe(phone)
