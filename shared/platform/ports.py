"""Which TCP port each part of a stack listens on: its own from the first day, or the next that is free."""

import contextlib
import json
import socket
import threading
from pathlib import Path

import platformdirs

from shared.platform import state

HOST = "127.0.0.1"

# Below the range from which systems take ports for outgoing connections: nothing drifts into these
# while a part of ours is restarted.
PREFERRED = {
    "gateway": 8080,
    "registration": 8101,
    "approval": 8102,
    "directory": 8103,
    "notification": 8104,
    "postgres": 15432,
    "kafka": 19092,
    "kafka-controller": 19093,
    "smtp": 11025,
    "inbox": 11080,
}
TRIES = 500


class NoPortFreeError(Exception):
    """A whole range of ports is taken."""


class Ports:
    """The ports of one data folder, remembered in its `ports.json`.

    A claimed port is locked among the stacks of this user, so two that start at once never choose the
    same. A program that is not ours can still take it between the look and the listening: the part
    that then fails to start claims again.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / "ports.json"
        self._folder = platformdirs.user_cache_path("iacs") / "ports"
        self._claims: dict[str, tuple[int, state.Lock]] = {}
        self._guard = threading.Lock()

    def claim(self, name: str) -> int:
        """Return a port that was free a moment ago: the remembered, else the preferred, else the next.

        Raises NoPortFreeError.
        """
        with self._guard:
            self._folder.mkdir(parents=True, exist_ok=True)
            remembered = self._remembered()
            first = remembered.get(name, PREFERRED[name])
            others = {port for other, port in {**PREFERRED, **remembered}.items() if other != name}
            for port in range(first, first + TRIES):
                if port in others or not self._hold(name, port):
                    continue
                if remembered.get(name) != port:
                    state.write_whole(self._path, json.dumps({**remembered, name: port}, indent=1) + "\n")
                return port
            raise NoPortFreeError(f"no port from {first} to {first + TRIES - 1} is free for {name}")

    def release(self) -> None:
        """Let other stacks have the ports. They stay remembered."""
        with self._guard:
            for _, lock in self._claims.values():
                lock.release()
            self._claims.clear()

    def _hold(self, name: str, port: int) -> bool:
        held = self._claims.get(name)
        if held and held[0] == port and is_free(port):
            return True
        lock = state.Lock(self._folder / str(port))
        try:
            lock.take()
        except state.InUseError:
            return False
        if not is_free(port):
            lock.release()
            return False
        if held:
            held[1].release()
        self._claims[name] = (port, lock)
        return True

    def _remembered(self) -> dict[str, int]:
        with contextlib.suppress(FileNotFoundError):
            return {str(name): int(port) for name, port in json.loads(self._path.read_text()).items()}
        return {}


def is_free(port: int) -> bool:
    """Whether nobody listens there now."""
    with socket.socket() as caller:
        caller.settimeout(0.5)
        # On macOS a bind alone succeeds beside a listener on all addresses.
        if caller.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True
