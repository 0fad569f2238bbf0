"""Assets, and the headers that go with pages."""

import hashlib
import json
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from shared.ui import assets, page, security
from shared.ui.page import STATIC
from tests.ui.html import Document
from tests.ui.pages import LINKS_PATH, SHELL, STATES, TOKEN_PATH, app

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
    shown = Document(STATES["set_password"]())
    addresses = [one.attributes["href"] for one in shown.all("link")]
    addresses += [one.attributes["src"] for one in shown.all("script")]
    assert len(addresses) == 4
    async with a_client() as client:
        for address in addresses:
            answer = await client.get(address)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == assets.FOREVER


def test_the_address_of_an_asset_changes_with_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "STATIC", tmp_path)
    addresses = set()
    for content in ("one", "two"):
        (tmp_path / "new.css").write_text(content)
        page._digest.cache_clear()  # As another process would find it.
        addresses.add(SHELL.asset("new.css"))
    assert len(addresses) == 2


async def test_a_font_has_no_version_in_its_address_and_is_kept_for_a_day() -> None:
    async with a_client() as client:
        answer = await client.get("/directory/static/fonts/public-sans/PublicSans-Regular.woff2")
    assert answer.headers["cache-control"] == assets.A_DAY


async def test_a_page_carries_every_security_header_and_is_not_stored() -> None:
    async with a_client() as client:
        answer = await client.get(TOKEN_PATH)
    assert {name: answer.headers[name] for name in security.HEADERS} == security.HEADERS


def test_the_headers_let_a_browser_run_load_frame_and_keep_nothing_that_is_not_ours() -> None:
    policy = dict(rule.split(" ", 1) for rule in security.HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {"base-uri", "form-action", "frame-ancestors"} <= set(policy)  # The default does not speak of them.
    assert set(policy.values()) == {"'none'", "'self'"}
    assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    told = ("X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy", "Cache-Control")
    assert [security.HEADERS[name] for name in told] == ["nosniff", "same-origin", "same-origin", "no-store"]
    sensors = [sensor.split("=") for sensor in security.HEADERS["Permissions-Policy"].split(", ")]
    assert sensors == [[name, "()"] for name in ("camera", "geolocation", "microphone", "payment", "usb")]


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
        ({"origin": "http://iacs.example:8080"}, True),
        ({"origin": "http://iacs.example:8080", "host": "iacs.example:8080"}, False),
        ({"origin": "null"}, True),
        ({}, False),
    ],
)
def test_a_browser_says_on_whose_behalf_it_sends(headers: dict[str, str], forged: bool) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert security.is_forged(method, Headers({"host": "iacs.example", **headers})) is forged
    for method in ("GET", "HEAD", "OPTIONS"):
        assert security.is_forged(method, Headers({"host": "iacs.example", **headers})) is False
