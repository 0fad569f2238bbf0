"""Every part has its port; one that somebody else has is stepped over."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.platform import ports, state
from tests.platform.conftest import remember_own_ports


@pytest.fixture
def claims(tmp_path: Path) -> Iterator[ports.Ports]:
    claims = ports.Ports(remember_own_ports(tmp_path))
    yield claims
    claims.release()


def test_a_part_gets_the_same_port_again(tmp_path: Path, claims: ports.Ports) -> None:
    port = claims.claim("smtp")
    assert claims.claim("smtp") == port
    claims.release()
    again = ports.Ports(tmp_path)
    assert again.claim("smtp") == port
    again.release()


def test_a_taken_port_is_stepped_over_and_its_successor_remembered(tmp_path: Path, claims: ports.Ports) -> None:
    first = claims.claim("gateway")
    claims.release()
    before = json.loads((tmp_path / "ports.json").read_text())
    with socket.create_server((ports.HOST, first)):
        second = claims.claim("gateway")
        assert second > first
    assert json.loads((tmp_path / "ports.json").read_text()) == {**before, "gateway": second}
    assert state.Lock(claims._folder / str(first)).is_taken is False  # Another stack may have it from now on.
    claims.release()
    again = ports.Ports(tmp_path)
    assert again.claim("gateway") == second
    again.release()


def test_when_a_whole_range_is_taken_a_part_has_none(claims: ports.Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    first = claims.claim("gateway")
    claims.release()
    monkeypatch.setattr(ports, "TRIES", 1)
    with socket.create_server((ports.HOST, first)), pytest.raises(ports.NoPortFreeError, match="gateway"):
        claims.claim("gateway")


def test_a_listener_on_all_addresses_counts(claims: ports.Ports) -> None:
    port = claims.claim("inbox")
    claims.release()
    with socket.create_server(("", port)):
        assert claims.claim("inbox") != port


def test_two_stacks_that_start_at_once_never_share(tmp_path: Path, claims: ports.Ports) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "ports.json", tmp_path / "other")
    other = ports.Ports(tmp_path / "other")
    # Nobody listens yet: only the claims keep them apart.
    assert claims.claim("kafka") != other.claim("kafka")
    other.release()


def test_no_part_takes_the_port_of_another(tmp_path: Path, claims: ports.Ports) -> None:
    theirs = {json.loads((tmp_path / "ports.json").read_text())["kafka-controller"], *ports.PREFERRED.values()}
    with socket.socket() as neighbour:
        neighbour.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        neighbour.bind((ports.HOST, claims.claim("kafka")))
        neighbour.listen()
        assert claims.claim("kafka") not in theirs
