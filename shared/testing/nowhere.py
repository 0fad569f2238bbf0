"""What the services are told of a stack where nothing answers: for what must happen before, or without, any server."""

from pathlib import Path

from shared import deployment
from shared.platform import ports

ADDRESS = f"{ports.HOST}:9"
"""Where no server is: the port of discarded packets."""
PASSWORD = "secret-word"  # noqa: S105 - it opens nothing, and must be told to nobody.


def settings(folder: Path, database_url: str = f"postgresql://iacs:{PASSWORD}@{ADDRESS}/iacs") -> dict[str, str]:
    """Return the settings of all services; what they would keep in files is below `folder`."""
    place = deployment.Place(
        database_url=lambda _: database_url,
        listen=lambda _: (ports.HOST, 1),
        kafka_servers=ADDRESS,
        public_url=f"http://{ADDRESS}",
        documents_url=folder.as_uri(),
        smtp_url=f"smtp://{ADDRESS}",
        clock_file=folder / "clock",
    )
    return deployment.settings(place, {})
