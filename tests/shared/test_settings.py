"""Settings: checked at start, frozen, and an error names the variable and never a secret."""

import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from pathlib import Path

import pytest
from joserfc.jwk import ECKey
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from shared import settings
from shared.errors import SettingsError
from shared.kafka import Kafka
from shared.settings import Keys, PrivateJwk, PublicJwk, Settings

KEY = urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
_PAIR = ECKey.generate_key("P-256")
PRIVATE, PUBLIC = (json.dumps(_PAIR.as_dict(private=private)) for private in (True, False))


class Toy(Settings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="IACS_TOY_")

    data_keys: Keys
    seal_key: PrivateJwk
    others_seal_key: PublicJwk


def told(**changed: str | None) -> dict[str, str]:
    """The variables of a process that can start, and what is changed in them (None: absent)."""
    whole: dict[str, str | None] = {
        "PROFILE": "embedded",
        "DATABASE_URL": "postgresql://iacs:hush-hush@127.0.0.1/toy",
        "KAFKA_SERVERS": "127.0.0.1:9092",
        "API_PORT": "8000",
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "SECRET_KEY": KEY,
        "DATA_KEYS": json.dumps({"k1": KEY, "k2": KEY}),
        "SEAL_KEY": PRIVATE,
        "OTHERS_SEAL_KEY": PUBLIC,
        **changed,
    }
    return {f"IACS_TOY_{name}": value for name, value in whole.items() if value is not None}


def test_a_process_is_told_everything_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in told().items():
        monkeypatch.setenv(name, value)

    loaded = settings.load(Toy)

    assert loaded == settings.load(Toy, told())
    assert loaded.secret_key == bytes(range(32))
    assert list(loaded.data_keys) == ["k1", "k2"]
    assert loaded.seal_key == json.loads(PRIVATE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", None),
        ("API_PORT", "0"),
        ("API_PORT", "65536"),
        ("API_PORT", "many"),
        ("DATABASE_POOL_SIZE", "1"),
        ("DATABASE_POOL_SIZE", "101"),
        ("PROFILE", "staging"),
        ("SECRET_KEY", "c2hvcnQ"),
        ("SECRET_KEY", "ä" * 43),
        ("SECRET_KEY", "x"),
        ("DATA_KEYS", "{}"),
        ("DATA_KEYS", "[]"),
        ("DATA_KEYS", "{"),
        ("DATA_KEYS", '{"k1": "c2hvcnQ"}'),
        ("DATA_KEYS", '{"k1": 1}'),
        ("SEAL_KEY", "{}"),
        ("SEAL_KEY", "kty"),
        ("SEAL_KEY", '{"kty": "EC"}'),
        ("SEAL_KEY", '{"kty": "EC", "crv": "P-9", "x": "AAAA", "y": "AAAA"}'),
        ("SEAL_KEY", '{"kty": "EC", "crv": "P-256", "x": "A", "y": "A"}'),
        ("SEAL_KEY", PUBLIC),
        ("OTHERS_SEAL_KEY", PRIVATE),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "hush-hush"),
        ("DATABASE_URL", "mysql://iacs:hush-hush@127.0.0.1/toy"),
        ("DATABASE_URL", "postgresql://iacs:hush-hush@127.0.0.1:port/toy"),
        ("DATABASE_URL", "postgresql://iacs:hush-hush@127.0.0.1"),
        ("PUBLIC_URL", "iacs.example"),
        ("PUBLIC_URL", "ftp://iacs.example"),
        ("PUBLIC_URL", "HTTPS://iacs.example"),
        ("PUBLIC_URL", "https://iacs.example/"),
        ("PUBLIC_URL", "https://iacs.example/a?b#c"),
        ("PUBLIC_URL", "https://iacs.example:443"),
        ("PUBLIC_URL", "https://iacs.example:65536"),
        ("PUBLIC_URL", "https://iacs.example:port"),
        ("PUBLIC_URL", "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example"),
    ],
)
def test_an_error_names_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    with pytest.raises(SettingsError) as found:
        settings.load(Toy, told(**{name: value}))

    assert str(found.value).startswith(f"IACS_TOY_{name}: ")
    assert str(found.value).count("\n") == 0
    assert "hush" not in str(found.value)


def test_all_errors_are_told_at_once_and_no_value_is() -> None:
    with pytest.raises(SettingsError) as found:
        settings.load(Toy, told(KAFKA_SERVERS=None, SECRET_KEY="hush-hush", DATA_KEYS='{"k1": "hush-hush"}'))

    assert [line.split(":")[0] for line in str(found.value).splitlines()] == [
        "IACS_TOY_KAFKA_SERVERS",
        "IACS_TOY_SECRET_KEY",
        "IACS_TOY_DATA_KEYS",
    ]
    assert "hush" not in str(found.value)


@pytest.mark.parametrize(
    "origin", ["https://iacs.example", "http://127.0.0.1:8080", "https://[2001:db8::1]:8443", "http://localhost"]
)
def test_an_origin_is_taken_as_browsers_write_it(origin: str) -> None:
    assert settings.load(Toy, told(PUBLIC_URL=origin)).public_url == origin


def test_production_refuses_what_only_a_demonstration_may_do() -> None:
    production = told(PROFILE="production", PUBLIC_URL="https://iacs.example", KAFKA_SECURITY_PROTOCOL="SSL")
    assert settings.load(Toy, production).profile == "production"

    with pytest.raises(SettingsError) as found:
        settings.load(Toy, told(PROFILE=None, CLOCK_FILE="clock"))
    assert str(found.value).splitlines() == [
        "IACS_TOY_CLOCK_FILE: is for the embedded profile alone",
        "IACS_TOY_PUBLIC_URL: must be https in production",
        "IACS_TOY_KAFKA_SECURITY_PROTOCOL: must be SSL or SASL_SSL in production",
    ]


def test_who_signs_in_at_kafka_has_a_user_and_a_password() -> None:
    signing_in = told(KAFKA_SECURITY_PROTOCOL="SASL_SSL")
    words = {"IACS_TOY_KAFKA_USER": "iacs", "IACS_TOY_KAFKA_PASSWORD": "hush-hush"}
    assert settings.load(Toy, signing_in | words).kafka.password == "hush-hush"
    for name in words:
        with pytest.raises(SettingsError, match=f"^{name}: is needed with SASL_SSL$"):
            settings.load(Toy, signing_in | words | {name: ""})


def secured(**files: str) -> dict[str, str]:
    """The same with Kafka behind TLS, and some of the files that secure it."""
    return told(KAFKA_SECURITY_PROTOCOL="SSL", **{"KAFKA_CERTIFICATE_FILE": __file__, **files})


def test_a_key_is_of_no_use_without_its_certificate() -> None:
    with pytest.raises(SettingsError, match=r"^IACS_TOY_KAFKA_CERTIFICATE_FILE: is needed with kafka_key_file$"):
        settings.load(Toy, told(KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_KEY_FILE=__file__))


@pytest.mark.parametrize(
    "url",
    ["postgres://h/toy", "postgresql://h/toy", "postgresql:///toy?host=/run/pg", "postgresql://h/toy?sslmode=require"],
)
def test_an_address_of_a_database_as_people_write_it_is_taken(url: str) -> None:
    assert settings.load(Toy, told(DATABASE_URL=url)).database_url.get_secret_value() == url


@pytest.mark.parametrize("name", ["KAFKA_CA_FILE", "KAFKA_CERTIFICATE_FILE", "KAFKA_KEY_FILE"])
def test_a_file_that_secures_kafka_must_be_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"^IACS_TOY_{name}: is no file$"):
        _ = settings.load(Toy, secured(**{name: str(tmp_path / "missing.pem")})).kafka
    with pytest.raises(SettingsError, match=f"^IACS_TOY_{name}: is no file$"):  # The key itself, in its place.
        _ = settings.load(Toy, secured(**{name: "-----BEGIN PRIVATE KEY-----" * 200})).kafka


def test_kafka_is_reached_as_was_told(tmp_path: Path) -> None:
    files = {f"{name}_FILE": str(tmp_path / name) for name in ("CA", "CERTIFICATE", "KEY")}
    for path in files.values():
        Path(path).touch()
    words = {"USER": "iacs", "PASSWORD": "hush-hush", **files}
    said = {f"KAFKA_{name}": word for name, word in words.items()}

    reached = settings.load(Toy, told(KAFKA_SECURITY_PROTOCOL="SASL_SSL", KAFKA_SASL_MECHANISM="PLAIN", **said)).kafka

    assert reached == Kafka("127.0.0.1:9092", "SASL_SSL", "PLAIN", *words.values())


def test_the_database_is_opened_with_the_clock_and_the_pool_that_were_told(tmp_path: Path) -> None:
    clock_file = tmp_path / "clock"
    clock_file.write_text("86400")

    shifted = settings.load(Toy, told(CLOCK_FILE=str(clock_file), DATABASE_POOL_SIZE="7")).open_database()

    assert shifted.clock() - shifted.real_clock() > timedelta(hours=23)
    assert shifted.engine.pool.status().startswith("Pool size: 7 ")


def test_the_profile_is_production_unless_told_otherwise() -> None:
    assert (
        settings.load(Toy, told(PROFILE=None, PUBLIC_URL="https://iacs.example", KAFKA_SECURITY_PROTOCOL="SSL")).profile
        == "production"
    )


def test_settings_do_not_change_and_do_not_show_their_secrets() -> None:
    loaded = settings.load(Toy, told())

    with pytest.raises(ValidationError):
        loaded.api_port = 1  # type: ignore[misc]  # That it does not do.
    assert "hush" not in repr(loaded)
    assert json.loads(PRIVATE)["d"] not in repr(loaded)
    assert repr(bytes(range(32))) not in repr(loaded)
