"""A real browser for pages: `chromium` for the session, `open_page` and `axe` for a test."""

import json
import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

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
async def context(chromium: Browser, base_url: str) -> AsyncIterator[BrowserContext]:
    """What a reader with scripts on has: shared by all tests, so that styles and fonts load once."""
    context = await chromium.new_context(base_url=base_url)
    context.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    yield context
    await context.close()


@pytest.fixture
async def open_page(chromium: Browser, base_url: str, context: BrowserContext) -> AsyncIterator[OpenPage]:
    """Open a path in a page of its own; `options` ask for a context of its own as well.

    A script error or a broken content policy fails the test at its end.
    """
    opened: list[Page | BrowserContext] = []
    problems: list[str] = []

    async def open_(path: str, width: int = 1280, **options: Any) -> Page:
        chosen = context
        if options:
            chosen = await chromium.new_context(base_url=base_url, **options)
            chosen.set_default_timeout(30_000)
        page = await chosen.new_page()
        opened.append(chosen if options else page)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None,
        )
        await page.set_viewport_size({"width": width, "height": 900})
        await page.goto(path)
        return page

    yield open_
    for one in opened:
        await one.close()
    assert problems == []


@pytest.fixture(scope="session")
async def phone(context: BrowserContext) -> AsyncIterator[Page]:
    """One narrow page for all that is put into it: axe is read there once, and stays."""
    page = await context.new_page()
    await page.set_viewport_size({"width": 320, "height": 900})
    yield page
    await page.close()


@pytest.fixture
def axe() -> Axe:
    """Fail when axe finds a violation of WCAG 2.0 to 2.2, A or AA, or of its best practice; or anything scrolls aside.

    Looks at the page in each of the widths; none means as wide as it is.
    """

    async def check(page: Page, *widths: int) -> None:
        if not await page.evaluate("'axe' in window"):
            await page.evaluate(AXE.read_text())  # Through the debugger, so the page's own policy stays on.
        for width in widths or (None,):
            if width is not None:
                await page.set_viewport_size({"width": width, "height": 900})
            found = await page.evaluate("options => axe.run(document, options)", OPTIONS)
            violations = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found["violations"]]
            assert not violations, f"{width}: {json.dumps(violations, indent=1)}"
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{width}: too wide"

    return check
