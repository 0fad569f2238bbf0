"""Pages, read as HTML: fast, and without a browser."""

import re
from pathlib import Path

import pytest

from services.directory import views
from tests.ui.html import Document
from tests.ui.pages import LINKS_PATH, STATES, TOKEN_PATH, render

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
