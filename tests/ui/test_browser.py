"""Pages in a real browser: axe, narrow screens, the keyboard, and scripts switched off."""

import pytest
from playwright.async_api import expect

from tests.ui.conftest import LAYOUTS, PHONE, Axe, OpenPage, fits
from tests.ui.mails import ADDRESS
from tests.ui.pages import STATES, TOKEN_PATH

LONG_REFERENCES = {"registration": 1280, "approval": 320, "directory": 320}
"""The width in which axe reads each. Colours take it seconds there, and are read once, in the shortest reference."""
GAPS = """links => links.map(link => {
  const lines = node => {
    const range = document.createRange();
    range.selectNodeContents(node);
    return range.getClientRects();
  };
  return lines(link.lastChild)[0].left - lines(link.querySelector('.iacs-method'))[0].right;
})"""
"""Pixels between the letters of each method and what follows it."""
PARTS = "[...new Set([...document.querySelectorAll('body *')].map((it) => `${it.tagName}.${it.className}`))].sort()"


@pytest.mark.parametrize("state", STATES)
async def test_axe_finds_nothing_and_nothing_scrolls_sideways(open_page: OpenPage, axe: Axe, state: str) -> None:
    page = await open_page(f"/states/{state}")
    await axe(page, *LAYOUTS)
    await page.set_viewport_size({"width": PHONE, "height": 900})
    assert await fits(page)


async def test_axe_finds_nothing_in_the_shortest_reference(open_page: OpenPage, axe: Axe) -> None:
    page = await open_page("/notification/docs")
    wide, narrow = LAYOUTS
    await axe(page, wide)
    await axe(page, narrow, has_new_colors=False)


@pytest.mark.parametrize("service", LONG_REFERENCES)
async def test_axe_finds_nothing_in_a_longer_reference_made_of_the_same_parts(
    open_page: OpenPage, axe: Axe, service: str
) -> None:
    page = await open_page("/notification/docs")
    parts = await page.evaluate(PARTS)
    page = await open_page(f"/{service}/docs")
    assert await page.evaluate(PARTS) == parts
    await axe(page, LONG_REFERENCES[service], has_new_colors=False)
    for width in (*LAYOUTS, PHONE):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await fits(page)


@pytest.mark.parametrize("path", ["/errors", *(f"/errors/{code}" for code in ("already_decided", "field_invalid"))])
async def test_axe_finds_nothing_in_the_pages_that_explain_errors(open_page: OpenPage, axe: Axe, path: str) -> None:
    page = await open_page(path)
    await axe(page)


@pytest.mark.parametrize("width", LAYOUTS)
async def test_in_the_contents_the_longest_method_stands_apart_from_what_it_does(
    open_page: OpenPage, width: int
) -> None:
    page = await open_page("/approval/docs", width)
    gaps = await page.locator(".iacs-contents li a").evaluate_all(GAPS)
    assert len(gaps) > 3
    assert min(gaps) >= 4


async def test_a_link_of_the_contents_leads_to_its_operation(open_page: OpenPage) -> None:
    page = await open_page("/approval/docs")
    await page.get_by_role("navigation").get_by_role("link", name="Decide a request").click()
    await expect(page.get_by_role("heading", name="Decide a request")).to_be_in_viewport()


@pytest.mark.parametrize("query", ["", f"?to={ADDRESS}", "?to=nobody@mail.example"])
async def test_axe_finds_nothing_in_the_inbox(open_page: OpenPage, axe: Axe, query: str) -> None:
    await axe(await open_page(f"/mail{query}"), *LAYOUTS)


async def test_axe_finds_nothing_in_a_mail_of_the_inbox_in_either_form(open_page: OpenPage, axe: Axe) -> None:
    page = await open_page("/mail")
    await page.get_by_role("link", name="Your decision is needed").first.click()
    await expect(page.locator("pre")).to_contain_text("Hello Rosa Delgado,")
    await axe(page, *LAYOUTS)
    await page.get_by_role("link", name="Show as its reader sees it").click()
    await expect(page.frame_locator("iframe").get_by_role("heading", level=1)).to_be_visible()
    await axe(page, *LAYOUTS)


async def test_the_styles_and_the_font_arrive(open_page: OpenPage) -> None:
    page = await open_page("/states/set_password")
    button = page.get_by_role("button", name="Set password")
    await expect(button).to_have_css("background-color", "rgb(0, 94, 162)")
    assert await page.evaluate("document.fonts.ready.then(() => document.fonts.check('1rem \"Public Sans Web\"'))")


async def test_a_password_can_be_shown_and_hidden_again(open_page: OpenPage) -> None:
    page = await open_page(TOKEN_PATH)
    password = page.get_by_label("New password")
    await page.get_by_role("button", name="Show password").click()
    await expect(password).to_have_attribute("type", "text")
    await page.get_by_role("button", name="Hide password").click()
    await expect(password).to_have_attribute("type", "password")


async def test_a_shown_password_is_sent_as_a_password_so_that_a_browser_offers_to_keep_it(
    open_page: OpenPage,
) -> None:
    page = await open_page(TOKEN_PATH)
    await page.get_by_role("button", name="Show password").click()
    await page.evaluate("document.addEventListener('submit', (event) => event.preventDefault())")
    await page.get_by_role("button", name="Set password").click()
    await expect(page.get_by_label("New password")).to_have_attribute("type", "password")


async def test_an_error_takes_focus_and_leads_to_its_field(open_page: OpenPage) -> None:
    page = await open_page(TOKEN_PATH)
    await page.get_by_label("New password").fill("too short")
    await page.get_by_role("button", name="Set password").click()
    await expect(page.get_by_role("alert")).to_be_focused()
    await expect(page).to_have_title("Error: Choose your password | Provider Access")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("New password")).to_be_focused()


async def test_the_skip_link_leads_past_the_header(open_page: OpenPage) -> None:
    page = await open_page("/states/password_set")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to main content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()


@pytest.mark.parametrize("width", [1280, 375])
async def test_a_password_is_set_with_scripts_off(open_page: OpenPage, width: int) -> None:
    page = await open_page(TOKEN_PATH, width, has_scripts=False)
    await expect(page.get_by_role("button", name="Show password")).to_be_hidden()
    await page.get_by_text("What this means").click()
    await expect(page.get_by_text("Do not enter real personal information")).to_be_visible()
    await page.get_by_label("New password").fill("too short")
    await page.get_by_role("button", name="Set password").click()
    await expect(page.get_by_role("alert")).to_contain_text("Password must be 15 characters or more")
    await page.get_by_label("New password").fill("ferry lantern orchard mitten")
    await page.get_by_role("button", name="Set password").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your password is set")


async def test_a_new_link_is_asked_for_with_scripts_off(open_page: OpenPage) -> None:
    page = await open_page("/states/link_invalid", has_scripts=False)
    await page.get_by_label("User ID").fill("K7MQ42XP")
    await page.get_by_role("button", name="Send a new link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Check your e-mail")


async def test_forced_colours_lose_nothing(open_page: OpenPage, axe: Axe) -> None:
    page = await open_page("/states/set_password_error", forced_colors="active")
    await axe(page)
