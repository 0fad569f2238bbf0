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
from playwright.async_api import Browser, Page, async_playwright

from tests.ui.pages import app

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
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"

OpenPage = Callable[..., Awaitable[Page]]
Axe = Callable[[Page], Awaitable[None]]


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
def base_url() -> Iterator[str]:
    """Serve the pages under test on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
async def open_page(chromium: Browser, base_url: str) -> AsyncIterator[OpenPage]:
    """Open a path in a fresh context. A script error or a broken content policy fails the test at its end."""
    contexts = []
    problems: list[str] = []

    async def open_(path: str, width: int = 1280, **options: Any) -> Page:
        context = await chromium.new_context(base_url=base_url, viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = await context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None,
        )
        await page.goto(path)
        return page

    yield open_
    for context in contexts:
        await context.close()
    assert problems == []


@pytest.fixture
def axe() -> Axe:
    """Fail when axe finds a violation of WCAG 2.0 to 2.2, A or AA, or of its best practice."""

    async def check(page: Page) -> None:
        await page.evaluate(AXE.read_text())  # Through the debugger, so the page's own policy stays on.
        found = await page.evaluate("rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES)
        violations = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found["violations"]]
        assert not violations, json.dumps(violations, indent=1)

    return check
