"""What the four services of one deployment are told: addresses of today, secrets made once.

Settings lie in files `NAME=value`, one a line, readable by their owner alone. The values are bare (no quotes, no
escapes): what follows the first `=` up to the end of the line.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from joserfc.jwk import ECKey

from shared.errors import SettingsError

SERVICES = ("registration", "approval", "directory", "notification")
SETTINGS_FILE = "settings.env"
MAIL_FROM = "IACS <no-reply@iacs.example>"


@dataclass(frozen=True)
class Place:
    """Where everything is that the services of a demonstration stand on, and where they are to answer."""

    database_url: Callable[[str], str]
    """By service."""
    listen: Callable[[str], tuple[str, int]]
    """Host and port, by service."""
    kafka_servers: str
    public_url: str
    documents_url: str
    smtp_url: str
    clock_file: Path


def read(path: Path) -> dict[str, str]:
    """Return the settings of a file. Raises SettingsError, which names each line that is none, and tells no value."""
    try:
        lines = list(enumerate(path.read_text(encoding="utf-8").splitlines(), start=1))
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: must be UTF-8") from None
    if wrong := [number for number, line in lines if line and "=" not in line]:
        raise SettingsError("\n".join(f"{path}, line {number}: must be NAME=value" for number in wrong))
    return dict(line.split("=", maxsplit=1) for _, line in lines if line)


def text(settings: Mapping[str, str]) -> str:
    """Return what a file of these settings holds."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def of_service(settings: Mapping[str, str], service: str) -> dict[str, str]:
    """Return those that one service is told: no other's secrets."""
    return {name: value for name, value in settings.items() if name.startswith(_name(service, ""))}


def settings(place: Place, kept: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of every service. What is secret stays as it is in `kept`, or is made."""
    made = dict[str, str]()

    def once(service: str, key: str, make: Callable[[], str]) -> str:
        name = _name(service, key)
        made[name] = kept.get(name) or make()
        return made[name]

    def told(service: str, **values: str) -> None:
        made.update({_name(service, key): value for key, value in values.items()})

    for service in SERVICES:
        host, port = place.listen(service)
        told(
            service,
            PROFILE="embedded",
            DATABASE_URL=place.database_url(service),
            KAFKA_SERVERS=place.kafka_servers,
            API_HOST=host,
            API_PORT=str(port),
            PUBLIC_URL=place.public_url,
            CLOCK_FILE=str(place.clock_file),
        )
        once(service, "SECRET_KEY", _key)

    for service in ("registration", "directory"):
        once(service, "DATA_KEYS", lambda: json.dumps({"k1": _key()}))
    # Registration looks for equals of what the directory knows: both hash with one key.
    told("directory", FINGERPRINT_KEY=once("registration", "FINGERPRINT_KEY", _key))
    # A public key is always taken from its private one, so the two cannot part.
    to_directory = _public(once("directory", "SEAL_KEY", lambda: _sealing_key("directory")))
    to_notification = _public(once("notification", "SEAL_KEY", lambda: _sealing_key("notification")))
    told(
        "registration",
        DOCUMENTS_URL=place.documents_url,
        DIRECTORY_SEAL_KEY=to_directory,
        NOTIFICATION_SEAL_KEY=to_notification,
        FILINGS_AN_HOUR=str(_FILINGS_AN_HOUR),
    )
    told("directory", NOTIFICATION_SEAL_KEY=to_notification)
    told("notification", SMTP_URL=place.smtp_url, MAIL_FROM=MAIL_FROM)
    return made


_FILINGS_AN_HOUR = 1_000_000
"""Everybody comes from one address here, and stories are told again and again."""


def _name(service: str, key: str) -> str:
    return f"IACS_{service.upper()}_{key}"


def _key() -> str:
    return secrets.token_urlsafe(32)


def _sealing_key(owner: str) -> str:
    key = ECKey.generate_key("P-256", {"use": "enc"})
    return json.dumps({**key.as_dict(private=True), "kid": f"{owner}-{key.thumbprint()[:8]}"})


def _public(private: str) -> str:
    return json.dumps(ECKey.import_key(json.loads(private)).as_dict(private=False))
