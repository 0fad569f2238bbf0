"""The settings of the four services on an embedded stack: addresses of today, secrets made once.

They lie in `<data>/settings.env`, readable by its owner alone, a line `NAME=value` each. The values are
bare (no quotes, no escapes): what follows the first `=` up to the end of the line.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from joserfc.jwk import ECKey

from shared.platform import ports, state
from shared.platform.stack import Stack

SERVICES = ("registration", "approval", "directory", "notification")
SETTINGS_FILE = "settings.env"
MAIL_FROM = "IACS <no-reply@iacs.example>"


def write(stack: Stack) -> dict[str, str]:
    """Write the settings for a stack that runs, and return them. What is secret stays as it was."""
    path = stack.data / SETTINGS_FILE
    settings = _settings(stack, kept=read(path) if path.exists() else {})
    state.write_whole(path, "".join(f"{name}={value}\n" for name, value in settings.items()))
    return settings


def read(path: Path) -> dict[str, str]:
    """Return the settings of a file that `write` wrote."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", maxsplit=1) for line in lines if line)


def of_service(settings: Mapping[str, str], service: str) -> dict[str, str]:
    """Return those that one service is told: no other's secrets."""
    return {name: value for name, value in settings.items() if name.startswith(_name(service, ""))}


def _settings(stack: Stack, kept: Mapping[str, str]) -> dict[str, str]:
    made = dict[str, str]()

    def once(service: str, key: str, make: Callable[[], str]) -> str:
        name = _name(service, key)
        made[name] = kept.get(name) or make()
        return made[name]

    def told(service: str, **values: str) -> None:
        made.update({_name(service, key): value for key, value in values.items()})

    for service in SERVICES:
        told(
            service,
            PROFILE="embedded",
            DATABASE_URL=stack.postgres.dsn(f"iacs_{service}"),
            KAFKA_SERVERS=stack.kafka.servers,
            API_HOST=ports.HOST,
            API_PORT=str(stack.ports.claim(service)),
            PUBLIC_URL=f"http://{ports.HOST}:{stack.ports.claim('gateway')}",
            CLOCK_FILE=str(stack.data / "clock"),
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
        DOCUMENTS_URL=(stack.data / "documents").as_uri(),
        DIRECTORY_SEAL_KEY=to_directory,
        NOTIFICATION_SEAL_KEY=to_notification,
    )
    told("directory", NOTIFICATION_SEAL_KEY=to_notification)
    told("notification", SMTP_URL=stack.mail.smtp_url, MAIL_FROM=MAIL_FROM)
    (stack.data / "documents").mkdir(mode=0o700, exist_ok=True)
    return made


def _name(service: str, key: str) -> str:
    return f"IACS_{service.upper()}_{key}"


def _key() -> str:
    return secrets.token_urlsafe(32)


def _sealing_key(owner: str) -> str:
    key = ECKey.generate_key("P-256", {"use": "enc"})
    return json.dumps({**key.as_dict(private=True), "kid": f"{owner}-{key.thumbprint()[:8]}"})


def _public(private: str) -> str:
    return json.dumps(ECKey.import_key(json.loads(private)).as_dict(private=False))
