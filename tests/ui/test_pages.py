"""Pages, read as HTML: fast, and without a browser."""

import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from services.directory import domain, views
from shared.errors import CATALOGUE
from shared.ui.page import HELP_DESK
from shared.web import STATUS
from tests.ui.html import Document
from tests.ui.pages import LINKS_PATH, STATES, TOKEN_PATH, render
from tests.ui.services import application

every_state = pytest.mark.parametrize("state", STATES)


def test_every_template_is_tried() -> None:
    templates = Path(views.__file__).parent / "templates" / "directory"
    tried = {state.removesuffix("_error") for state in STATES}
    assert {path.stem for path in templates.glob("*.html")} == tried


@every_state
def test_a_page_has_one_heading_and_a_title_that_names_it(state: str) -> None:
    page = Document(STATES[state]())
    [heading] = page.all("h1")
    [title] = page.all("title")
    error = "Error: " if state.endswith("_error") else ""
    assert title.text == f"{error}{heading.text} | Provider Access"


@every_state
def test_ids_are_unique_and_whatever_names_an_id_finds_it(state: str) -> None:
    page = Document(STATES[state]())
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        for attribute in ("for", "aria-describedby", "aria-labelledby", "aria-controls"):
            assert set(element.attributes.get(attribute, "").split()) <= set(ids)
        if element.attributes.get("href", "").startswith("#"):
            assert element.attributes["href"][1:] in ids


@every_state
def test_every_field_that_is_sent_has_a_label(state: str) -> None:
    page = Document(STATES[state]())
    labelled = {label.attributes["for"] for label in page.all("label")}
    assert {one.attributes["id"] for one in page.all("input") if "name" in one.attributes} <= labelled


@every_state
def test_nothing_stands_in_a_page_that_the_content_policy_refuses(state: str) -> None:
    for element in Document(STATES[state]()).elements:
        assert not [name for name in element.attributes if name == "style" or name.startswith("on")]
        assert element.tag != "style"
        assert element.tag != "script" or not element.text


@every_state
def test_no_page_claims_to_be_official(state: str) -> None:
    assert "A demonstration system, not an official website of the United States government" in STATES[state]()


@pytest.mark.parametrize(("problem", "words"), views.PASSWORD_PROBLEMS.items())
def test_an_error_says_the_same_in_the_summary_and_at_the_field(problem: views.PasswordProblem, words: str) -> None:
    page = Document(render("directory/set_password.html", views.set_password_page(TOKEN_PATH, [problem])))
    [link] = [link for link in page.all("a") if link.attributes["href"] == "#password"]
    [at_field] = [one for one in page.all("span") if one.attributes.get("id") == "password-error"]
    assert link.text == words
    assert re.sub(r"\s+", " ", at_field.text) == f"Error: {words}"


def test_the_token_stands_in_no_visible_text_and_the_password_is_never_sent_back() -> None:
    page = Document(STATES["set_password_error"]())
    assert "one-time-token" not in page.all("html")[0].text
    [field] = [one for one in page.all("input") if one.attributes.get("name") == "password"]
    assert "value" not in field.attributes
    assert field.attributes["autocomplete"] == "new-password"


def test_what_was_typed_as_a_user_id_comes_back_escaped() -> None:
    html = render(
        "directory/link_invalid.html", views.link_invalid_page(LINKS_PATH, '"><b>', user_id_is_malformed=True)
    )
    assert 'value="&#34;&gt;&lt;b&gt;"' in html


def text_of(html: str) -> str:
    """Return what is read of a page, each word after the other."""
    return " ".join(Document(html).all("body")[0].text.split())


@every_state
def test_every_page_ends_with_how_the_help_desk_is_reached(state: str) -> None:
    page = Document(STATES[state]())
    (footer,) = page.all("footer")
    assert " ".join(footer.text.split()) == (
        f"Need help? Call the help desk at {HELP_DESK.phone} (TTY {HELP_DESK.tty}), or write to {HELP_DESK.email}."
    )
    reached = {one.text: one.attributes["href"] for one in page.all("a") if ":" in one.attributes["href"]}
    assert reached == {
        HELP_DESK.phone: f"tel:{HELP_DESK.phone}",
        HELP_DESK.tty: f"tel:{HELP_DESK.tty}",
        HELP_DESK.email: f"mailto:{HELP_DESK.email}",
    }


def test_what_pages_say_of_links_and_locks_is_what_the_rules_say() -> None:
    hours, minutes = domain.PASSWORD_LINK_LIVES // timedelta(hours=1), domain.LOCKED_FOR // timedelta(minutes=1)
    asked = text_of(STATES["link_asked"]())
    assert f"The link works once, and for {hours} hours." in asked
    assert f"You can ask for a link {domain.PASSWORD_LINKS_AN_HOUR} times in an hour." in asked
    assert f"works once, and for {hours} hours." in text_of(STATES["link_invalid"]())
    locked = f"After {domain.FAILURES_THAT_LOCK} wrong tries, sign-in is locked for {minutes} minutes."
    assert locked in text_of(STATES["password_set"]())


@pytest.mark.parametrize(
    ("state", "field", "described_by"),
    [
        ("set_password", "password", "password-hint"),
        ("set_password_error", "password", "password-hint password-error"),
        ("link_invalid", "user_id", "user_id-hint"),
        ("link_invalid_error", "user_id", "user_id-hint user_id-error"),
    ],
)
def test_a_field_is_told_to_be_needed_with_its_hint_and_when_it_is_wrong_with_its_error(
    state: str, field: str, described_by: str
) -> None:
    (control,) = (one for one in Document(STATES[state]()).all("input") if one.attributes["id"] == field)
    assert control.attributes["aria-describedby"] == described_by
    assert control.attributes.get("aria-invalid") == ("true" if state.endswith("_error") else None)
    assert "required" in control.attributes


def test_the_summary_of_errors_counts_them() -> None:
    problems: list[views.PasswordProblem] = ["too_short", "too_common"]
    for count, heading in ((1, "There is a problem"), (2, "There are 2 problems")):
        view = views.set_password_page(TOKEN_PATH, problems[:count])
        (summary,) = (
            one
            for one in Document(render("directory/set_password.html", view)).all("div")
            if one.attributes.get("role") == "alert"
        )
        words = " ".join(summary.text.split())
        assert words == " ".join([heading, *(views.PASSWORD_PROBLEMS[problem] for problem in problems[:count])])


async def test_each_error_has_a_page_that_explains_it_and_a_list_leads_to_all_of_them() -> None:
    app = httpx.ASGITransport(application("notification"))
    async with httpx.AsyncClient(transport=app, base_url="http://iacs.example") as client:
        links = Document((await client.get("/errors")).text).all("a")
        told = {one.attributes["href"]: one.text for one in links if one.attributes["href"].startswith("/")}
        assert told == {f"/errors/{code}": entry.title for code, entry in CATALOGUE.items()}
        for code, entry in CATALOGUE.items():
            answer = await client.get(f"/errors/{code}")
            assert answer.status_code == 200
            assert " ".join(Document(answer.text).all("main")[0].text.split()).startswith(
                f"{entry.title} How it comes about {entry.why} What to do {entry.remedy} "
                f"For programs: code {code}, status {STATUS[entry.family]}."
            )
