"""What the service refuses to start with."""

import json
from base64 import urlsafe_b64encode

import pytest
from joserfc.jwk import ECKey

from services.notification import main, smtp
from services.notification.settings import NotificationSettings
from shared import settings
from shared.errors import SettingsError
from tests.notification.builders import SEAL_KEY

GOOD = {
    "DATABASE_URL": "postgresql://user:password@localhost:5432/notification",
    "KAFKA_SERVERS": "localhost:9092",
    "KAFKA_SECURITY_PROTOCOL": "SSL",
    "API_PORT": "8104",
    "PUBLIC_URL": "https://iacs.example",
    "SECRET_KEY": urlsafe_b64encode(bytes(32)).decode(),
    "SEAL_KEY": json.dumps(SEAL_KEY),
    "SMTP_URL": "smtps://user:p%40ss@mail.example:465",
    "MAIL_FROM": "IACS <no-reply@iacs.example>",
}


def load(**changed: str) -> NotificationSettings:
    told = {f"IACS_NOTIFICATION_{name}": value for name, value in {**GOOD, **changed}.items()}
    return settings.load(NotificationSettings, told)


def test_a_mail_server_is_read_from_its_address() -> None:
    assert smtp.server_of("smtps://user:p%40ss@mail.example:465") == smtp.Server(
        "mail.example", 465, "implicit", "user", "p@ss"
    )
    assert smtp.server_of("smtp+starttls://mail.example:587").tls == "starttls"
    assert smtp.server_of("smtp://localhost:25").tls == "none"
    assert "p@ss" not in repr(smtp.server_of("smtps://user:p%40ss@mail.example:465"))


@pytest.mark.parametrize("url", ["smtp://mail.example:25", "smtp://10.0.0.1:25"])
def test_production_sends_nothing_that_can_be_read_on_the_way(url: str) -> None:
    with pytest.raises(SettingsError, match="smtps://"):
        load(SMTP_URL=url)
    assert load(SMTP_URL=url, PROFILE="embedded")


@pytest.mark.parametrize("url", ["smtp://localhost:25", "smtp://127.0.0.1:25", "smtp+starttls://mail.example:587"])
def test_a_local_or_encrypted_way_is_fine_in_production(url: str) -> None:
    assert load(SMTP_URL=url).smtp_url.get_secret_value() == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_URL", "http://mail.example:25"),
        ("SMTP_URL", "smtps://mail.example"),
        ("MAIL_FROM", "nobody"),
        ("SEAL_KEY", json.dumps(ECKey.import_key(SEAL_KEY).as_dict(private=False))),
    ],
)
def test_a_setting_that_cannot_work_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"IACS_NOTIFICATION_{name}"):
        load(**{name: value})


def test_the_service_is_built_from_its_settings_alone() -> None:
    told = load()
    db = told.open_database()
    app = main.application(told, db, None, with_api=True)
    assert "/notification/v1/requests/{request_id}/notices" in app.openapi()["paths"]
