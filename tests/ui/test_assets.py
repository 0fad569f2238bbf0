"""Assets, and the headers that go with pages."""

import hashlib
import json

import httpx
import pytest
from starlette.datastructures import Headers

from shared.ui import assets, security
from shared.ui.page import STATIC
from tests.ui.html import Document
from tests.ui.pages import LINKS_PATH, STATES, TOKEN_PATH, app

OUR_OWN = {"css/iacs.css", "js/iacs.js", "img/iacs.svg"}


def a_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://iacs.example")


def test_every_vendored_file_is_recorded_and_unchanged() -> None:
    recorded = json.loads((STATIC.parent / "VENDOR.json").read_text())
    for entry in recorded:
        content = (STATIC / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"], entry["file"]
    present = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    assert present == {entry["file"] for entry in recorded} | OUR_OWN


def test_every_licence_that_is_recorded_has_its_text() -> None:
    recorded = json.loads((STATIC.parent / "VENDOR.json").read_text())
    named = {part for entry in recorded for part in entry["licence"].split(" AND ")}
    texts = {path.stem for path in (STATIC.parent / "LICENSES").iterdir()}
    assert named - {"CC0-1.0", "MIT"} <= texts  # USWDS.md holds the MIT text and names CC0's address.
    assert "USWDS" in texts


async def test_a_page_finds_its_assets_and_may_keep_them_for_ever() -> None:
    page = Document(STATES["set_password"]())
    addresses = [one.attributes["href"] for one in page.all("link")]
    addresses += [one.attributes["src"] for one in page.all("script")]
    assert len(addresses) == 4
    async with a_client() as client:
        for address in addresses:
            answer = await client.get(address)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == assets.FOREVER


async def test_a_font_has_no_version_in_its_address_and_is_kept_for_a_day() -> None:
    async with a_client() as client:
        answer = await client.get("/directory/static/fonts/public-sans/PublicSans-Regular.woff2")
    assert answer.headers["cache-control"] == assets.A_DAY


async def test_a_page_carries_every_security_header_and_is_not_stored() -> None:
    async with a_client() as client:
        answer = await client.get(TOKEN_PATH)
    assert {name: answer.headers[name] for name in security.HEADERS} == security.HEADERS


async def test_a_form_of_another_site_is_refused_before_anything_reads_it() -> None:
    async with a_client() as client:
        refused = await client.post(LINKS_PATH, data={"user_id": "K7MQ42XP"}, headers={"Sec-Fetch-Site": "cross-site"})
        accepted = await client.post(
            LINKS_PATH, data={"user_id": "K7MQ42XP"}, headers={"Sec-Fetch-Site": "same-origin"}
        )
    assert refused.status_code == 403
    assert "content-security-policy" in refused.headers
    assert accepted.status_code == 303


@pytest.mark.parametrize(
    ("headers", "forged"),
    [
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://iacs.example"}, True),
        ({"origin": "http://iacs.example"}, False),
        ({"origin": "http://elsewhere.example"}, True),
        ({"origin": "null"}, True),
        ({}, False),
    ],
)
def test_a_browser_says_on_whose_behalf_it_sends(headers: dict[str, str], forged: bool) -> None:
    assert security.is_forged("POST", Headers({"host": "iacs.example", **headers})) is forged
    assert security.is_forged("GET", Headers({"host": "iacs.example", **headers})) is False
