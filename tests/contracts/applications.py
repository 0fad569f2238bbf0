"""The four services' applications as their own composition roots make them, and the documents that they publish."""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from fastapi import FastAPI
from joserfc.jwk import ECKey

from services.approval import main as approval
from services.approval.settings import ApprovalSettings
from services.directory import main as directory
from services.directory.settings import DirectorySettings
from services.notification import main as notification
from services.notification.settings import NotificationSettings
from services.registration import main as registration
from services.registration.settings import RegistrationSettings
from shared import outbox, settings
from shared.database import Database
from tests.directory import builders

Service = Literal["registration", "approval", "directory", "notification"]
SERVICES: tuple[Service, ...] = ("registration", "approval", "directory", "notification")
ORIGIN = "http://iacs.test"
KEY = urlsafe_b64encode(bytes(32)).decode()
SIGNER, DIRECTORY_KEY, NOTIFICATION_KEY = (ECKey.generate_key("P-256") for _ in range(3))


@dataclass(frozen=True)
class Surroundings:
    """What an application is told of the world: its database, and a folder for documents."""

    db: Database
    documents_url: str = "file:///nonexistent"


def application(service: Service, around: Surroundings) -> FastAPI:
    """Return the application of one service, with its whole API."""
    if service == "registration":
        told = settings.load(RegistrationSettings, _told(service, around))
        return registration.application(told, around.db, None, with_api=True)
    if service == "approval":
        return approval.application(
            settings.load(ApprovalSettings, _told(service, around)), around.db, None, with_api=True
        )
    if service == "directory":
        return directory.application(
            settings.load(DirectorySettings, _told(service, around)), around.db, None, with_api=True
        )
    return notification.application(
        settings.load(NotificationSettings, _told(service, around)), around.db, None, with_api=True
    )


@cache
def document(service: Service) -> dict[str, Any]:
    """Return the OpenAPI document of one service. It needs no database."""
    nowhere = Database("postgresql://iacs@127.0.0.1:1/none", flush=outbox.flush)
    return application(service, Surroundings(nowhere)).openapi()


def operations(service: Service) -> dict[str, dict[str, Any]]:
    """Return the operations of a document by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document(service)["paths"].items()
        for method, operation in methods.items()
    }


def _told(service: Service, around: Surroundings) -> dict[str, str]:
    public = {name: json.dumps(key.as_dict(private=False)) for name, key in _SEALS.items()}
    whole = {
        "PROFILE": "embedded",
        "DATABASE_URL": around.db.dsn,
        "KAFKA_SERVERS": "localhost:1",
        "API_PORT": "1234",
        "PUBLIC_URL": ORIGIN,
        "SECRET_KEY": KEY,
        "FINGERPRINT_KEY": KEY,
        "DATA_KEYS": json.dumps({"k1": KEY}),
        "DOCUMENTS_URL": around.documents_url,
        "FILINGS_AN_HOUR": "100000",
        "DIRECTORY_SEAL_KEY": public["directory"],
        "NOTIFICATION_SEAL_KEY": public["notification"],
        "SEAL_KEY": json.dumps(builders.SEAL_KEY),
        "SMTP_URL": "smtp://127.0.0.1:1",
        "MAIL_FROM": "iacs@iacs.test",
    }
    if service == "directory":
        whole["NOTIFICATION_SEAL_KEY"] = json.dumps(dict(builders.KEYS.notification_jwk))
    return {f"IACS_{service.upper()}_{name}": value for name, value in whole.items()}


_SEALS = {"directory": DIRECTORY_KEY, "notification": NOTIFICATION_KEY}
