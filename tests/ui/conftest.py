"""A real browser for pages: `chromium` for the session, `open_page` and `axe` for a test."""

import json
import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal

import axe_playwright_python
import pytest
import uvicorn
from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright, expect

from tests.ui.pages import front

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OPTIONS = {
    "runOnly": {"type": "tag", "values": RULES},
    "resultTypes": ["violations"],
    "iframes": False,  # A mail in its frame is tried by itself: no script enters the frame.
}
LAYOUTS = (1280, 320)
"""A width of each layout. Between them no rule of ours or of the design system shows or hides anything for a phone."""
PHONE = 375
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"

OpenPage = Callable[..., Awaitable[Page]]
Axe = Callable[..., Awaitable[None]]


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser of the Debian package `chromium`. CI must have it; elsewhere its absence skips, aloud."""
    path = shutil.which("chromium")
    if path is None:
        message = (
            "NO CHROMIUM: pages are not tried in a browser. "
            "apt-get install --no-install-recommends chromium fonts-liberation"
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the pages under test on a free port."""
    app = front(tmp_path_factory.mktemp("mail"))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
async def screen(chromium: Browser, base_url: str) -> AsyncIterator[Callable[[bool], Awaitable[Page]]]:
    """The one page with scripts on, and the one with scripts off: making one costs more than most tests in it."""
    pages: dict[bool, Page] = {}
    expect.set_options(timeout=30_000)

    async def found(has_scripts: bool) -> Page:
        if has_scripts not in pages:
            context = await chromium.new_context(base_url=base_url, java_script_enabled=has_scripts)
            context.set_default_timeout(30_000)
            pages[has_scripts] = await context.new_page()
        return pages[has_scripts]

    yield found
    for page in pages.values():
        await page.context.close()


@pytest.fixture
async def open_page(screen: Callable[[bool], Awaitable[Page]]) -> AsyncIterator[OpenPage]:
    """Open a path. A script error or a broken content policy fails the test at its end."""
    opened: list[Page] = []
    problems: list[str] = []

    def tell_error(error: Error) -> None:
        problems.append(str(error))

    def tell_policy(said: ConsoleMessage) -> None:
        if "Content Security Policy" in said.text:
            problems.append(said.text)

    async def open_(
        path: str, width: int = 1280, *, has_scripts: bool = True, forced_colors: Literal["active", "none"] = "none"
    ) -> Page:
        page = await screen(has_scripts)
        opened.append(page)
        page.on("pageerror", tell_error)
        page.on("console", tell_policy)
        await page.context.clear_cookies()
        await page.emulate_media(forced_colors=forced_colors)
        await page.set_viewport_size({"width": width, "height": 900})
        await page.goto(path)
        return page

    yield open_
    for page in opened:
        page.remove_listener("pageerror", tell_error)
        page.remove_listener("console", tell_policy)
    assert problems == []


@pytest.fixture
async def phone(screen: Callable[[bool], Awaitable[Page]]) -> Page:
    """A narrow page for all that is put into it: axe is read there once, and stays."""
    page = await screen(True)
    if page.url != "about:blank":  # The policy of a page that was open would hold for what is put into it.
        await page.goto("about:blank")
    await page.set_viewport_size({"width": 320, "height": 900})
    return page


@pytest.fixture
def axe() -> Axe:
    """Fail when axe finds a violation of WCAG 2.0 to 2.2, A or AA, or of its best practice; or anything scrolls aside.

    Looks at the page in each of the widths; none means as wide as it is.
    """

    async def check(page: Page, *widths: int, has_new_colors: bool = True) -> None:
        if not await page.evaluate("'axe' in window"):
            await page.evaluate(AXE.read_text())  # Through the debugger, so the page's own policy stays on.
        options = {**OPTIONS, "rules": {"color-contrast": {"enabled": has_new_colors}}}
        for width in widths or (None,):
            if width is not None:
                await page.set_viewport_size({"width": width, "height": 900})
            found = await page.evaluate("options => axe.run(document, options)", options)
            violations = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found["violations"]]
            assert not violations, f"{width}: {json.dumps(violations, indent=1)}"
            assert await fits(page), f"{width}: too wide"

    return check


async def fits(page: Page) -> bool:
    """Tell whether a page can be read without scrolling sideways."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
