"""Where the platform's tests put their data, stand-ins for the four services, and what a log comes to say."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from shared.platform import ports, state

# As small as a service can be: it is ready, says who answered, and ends when told. Its preparation may fail.
STAND_IN = """
import http.server, os, sys, time

if sys.argv[1] == "prepare":
    time.sleep(float(os.environ.get("PREPARES_SECONDS", "0")))
    sys.exit(os.environ.get("FAILS_TO_PREPARE"))
name = sys.argv[2]

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{self.path} by {name} {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

port = int(os.environ[f"IACS_{name.upper()}_API_PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


# Above all that stacks elsewhere prefer, below what systems take for outgoing connections.
_first_ports = itertools.count(21_000, 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with a space and a comma in its path, as people have them."""
    path = tmp_path_factory.mktemp("a folder, with")
    yield path / "data"
    assert processes_in(path) == [], "something outlived its owner"


def remember_own_ports(data: Path) -> Path:
    """Let a data folder remember ports that no stack elsewhere takes, and return it.

    Other stacks come and go beside these tests, and may take a port between its release and its next claim.
    """
    data.mkdir(parents=True, exist_ok=True)
    first = next(_first_ports)
    own = {name: first + i for i, name in enumerate(ports.PREFERRED)}
    state.write_whole(data / "ports.json", json.dumps(own))
    return data


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to put on PYTHONPATH and to work in: there `services.cli` serves stand-ins."""
    path = tmp_path_factory.mktemp("stand_ins")
    (path / "services").mkdir()
    (path / "services" / "__init__.py").touch()
    (path / "services" / "cli.py").write_text(STAND_IN)
    return path


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of all that runs and names the folder, works in it, or was forked for it."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        inside = str(folder) in words or str(process.info["cwd"] or "").startswith(str(folder))
        if "shared.platform.forking" in words:  # What was forked has the words of its nursery.
            with suppress(psutil.Error):
                inside |= any(file.path.startswith(str(folder)) for file in process.open_files())
        if inside and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(words)
    return found


def once_logged(log: Path, text: str) -> str:
    """Return the log once it says `text`: its watcher copies it there a moment after the process said it."""
    ends_at = time.monotonic() + 60
    while text not in (said := log.read_text() if log.exists() else ""):
        assert time.monotonic() < ends_at, f"{text!r} never came; the log says:\n{said}"
        time.sleep(0.01)
    return said
