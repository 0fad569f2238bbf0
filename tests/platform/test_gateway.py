"""The gateway leads each path to its service, waits for one that restarts, and repeats no secret."""

import http.server
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from shared import deployment, serve
from shared.platform.gateway import Gateway
from shared.platform.ports import HOST, Ports
from tests.platform.conftest import once_logged


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked and told."""

    def do_GET(self) -> None:
        told = "\n".join(f"{name.lower()}: {value}" for name, value in self.headers.items())
        body = f"{self.path}\n{told}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def claims(folder: Path) -> Iterator[Ports]:
    folder.mkdir()
    claims = Ports(folder)
    yield claims
    claims.release()


@pytest.fixture(scope="module")
def gateway(folder: Path, claims: Ports) -> Iterator[Gateway]:
    upstreams = {**{name: claims.claim(name) for name in deployment.SERVICES}, "mail": claims.claim("inbox")}
    gateway = Gateway(folder, claims, claims.claim("gateway"), upstreams)
    gateway.start()
    yield gateway
    gateway.stop()


@contextmanager
def serving(port: int) -> Iterator[None]:
    with http.server.ThreadingHTTPServer((HOST, port), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def get(gateway: Gateway, path: str) -> httpx.Response:
    return httpx.get(f"{gateway.address}{path}", timeout=20, trust_env=False)


@pytest.mark.parametrize("name", [*deployment.SERVICES, "inbox"])
def test_a_path_keeps_its_prefix_and_tells_who_asked(gateway: Gateway, claims: Ports, name: str) -> None:
    prefix = "mail" if name == "inbox" else name
    with serving(claims.claim(name)):
        for path in (f"/{prefix}", f"/{prefix}/v1/things/1?a=1"):
            answer = get(gateway, path).text
            assert answer.startswith(f"{path}\n")
            assert "x-forwarded-for: 127.0.0.1" in answer
            assert "x-forwarded-proto: http" in answer
            assert f"x-forwarded-host: {gateway.address.removeprefix('http://')}" in answer


def test_the_page_of_an_error_is_at_the_address_that_its_answer_names(gateway: Gateway, claims: Ports) -> None:
    with serving(claims.claim("directory")):
        assert get(gateway, "/errors/expired").text.startswith("/errors/expired\n")


def test_the_root_leads_to_the_reference_and_the_rest_to_nothing(gateway: Gateway) -> None:
    root = get(gateway, "/")
    assert (root.status_code, root.headers["location"]) == (302, "/directory/docs")
    assert get(gateway, "/approvals").status_code == 404
    assert get(gateway, "/healthz").text == "ok"


@pytest.mark.parametrize("behind", ["", "%0A", "%0D%0A", "%20", "%00", "%7F"])
@pytest.mark.parametrize("page", ["metrics", "readyz", "healthz"])
def test_the_pages_for_operators_are_not_there(gateway: Gateway, claims: Ports, page: str, behind: str) -> None:
    with serving(claims.claim("approval")):
        answer = get(gateway, f"/approval/{page}{behind}")
    assert answer.status_code == 404


def test_a_call_waits_for_a_service_that_is_on_its_way_up(gateway: Gateway, claims: Ports) -> None:
    answers: list[httpx.Response] = []
    caller = threading.Thread(target=lambda: answers.append(get(gateway, "/approval/v1/requests")))
    caller.start()
    caller.join(0.5)
    assert caller.is_alive(), "it gave up at once"
    with serving(claims.claim("approval")):
        caller.join(20)
    assert answers[0].status_code == 200


def test_a_failed_call_leaves_no_token_in_the_log(gateway: Gateway, claims: Ports) -> None:
    with socket.create_server((HOST, claims.claim("directory"))) as deaf:

        def hang_up() -> None:
            deaf.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        address = f"{gateway.address}/directory/password/a-token?next=a-token"
        answer = httpx.post(address, timeout=20, trust_env=False, headers={"Referer": address})
    assert answer.status_code == 502
    assert "a-token" not in once_logged(gateway.log, '"uri":"/directory/***"')


def test_an_idle_connection_is_given_up_before_its_service_closes_it() -> None:
    caddyfile = (Path(__file__).parents[2] / "deploy" / "Caddyfile").read_text()
    [seconds] = re.findall(r"^\s*keepalive (\d+)s$", caddyfile, re.MULTILINE)
    assert int(seconds) <= serve.KEEP_ALIVE_SECONDS - 15
