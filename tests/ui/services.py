"""The four services as they are served, built from settings alone: their pages and documents need no database."""

import importlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import gettempdir

from fastapi import FastAPI
from joserfc.jwk import ECKey

from shared import settings


def _key() -> str:
    return urlsafe_b64encode(bytes(32)).decode()


def _jwk(*, private: bool) -> str:
    key = ECKey.generate_key("P-256", {"kid": "test", "use": "enc", "alg": "ECDH-ES"}, private=True)
    return json.dumps(key.as_dict(private=private))


_OF_ALL = {
    "PROFILE": "embedded",
    "DATABASE_URL": "postgresql://user:password@localhost:5432/none",
    "KAFKA_SERVERS": "localhost:9092",
    "API_PORT": "8100",
    "PUBLIC_URL": "http://iacs.example",
    "SECRET_KEY": _key(),
}
_OF_ONE: Mapping[str, Callable[[], Mapping[str, str]]] = {
    "registration": lambda: {
        "DATA_KEYS": json.dumps({"k1": _key()}),
        "FINGERPRINT_KEY": _key(),
        "DIRECTORY_SEAL_KEY": _jwk(private=False),
        "NOTIFICATION_SEAL_KEY": _jwk(private=False),
        "DOCUMENTS_URL": Path(gettempdir()).as_uri(),
    },
    "approval": dict,
    "directory": lambda: {
        "DATA_KEYS": json.dumps({"k1": _key()}),
        "FINGERPRINT_KEY": _key(),
        "SEAL_KEY": _jwk(private=True),
        "NOTIFICATION_SEAL_KEY": _jwk(private=False),
    },
    "notification": lambda: {
        "SEAL_KEY": _jwk(private=True),
        "SMTP_URL": "smtp://localhost:25",
        "MAIL_FROM": "IACS <no-reply@iacs.example>",
    },
}
SERVICES = tuple(_OF_ONE)


@cache
def application(service: str) -> FastAPI:
    """Return the application of a service, by its own composition root."""
    assembly, main = (importlib.import_module(f"services.{service}.{part}") for part in ("assembly", "main"))
    prefix = f"IACS_{service.upper()}_"
    told = settings.load(
        assembly.SETTINGS, {f"{prefix}{name}": value for name, value in {**_OF_ALL, **_OF_ONE[service]()}.items()}
    )
    app = main.application(told, told.open_database(), None, with_api=True)
    assert isinstance(app, FastAPI)
    return app
