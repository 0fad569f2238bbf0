"""What a process is told from outside, checked at its start; an error names the variable.

Each service has one frozen class on this base, with a prefix of its own: IACS_APPROVAL_DATABASE_URL.
"""

import json
import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from shared import clock, outbox
from shared.database import Database
from shared.errors import SettingsError
from shared.kafka import Kafka, Mechanism, Protocol

_KEY_BYTES = 32


def _key(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("must be 32 bytes as base64url")  # noqa: TRY004 - pydantic reports ValueErrors by field.
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(raw) != _KEY_BYTES:
        raise ValueError("must be 32 bytes as base64url")
    return raw


def _keys(text: object) -> dict[str, bytes]:
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        found = {}
    if not isinstance(found, dict) or not found:
        raise ValueError('must be a JSON object of keys by id, the newest last, like {"k1": "…"}')
    return {str(kid): _key(value) for kid, value in found.items()}


def _jwk(text: object) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("must be an EC key, a JWK as a JSON object")  # noqa: TRY004 - as above.
    try:
        ECKey.import_key(found)
    except (JoseError, ValueError, KeyError):  # KeyError: of a curve that nobody knows.
        raise ValueError("must be an EC key, a JWK as a JSON object") from None
    return found


def _private(key: dict[str, Any]) -> dict[str, Any]:
    if "d" not in key:
        raise ValueError("must be a private EC key, with its `d`")
    return key


def _public(key: dict[str, Any]) -> dict[str, Any]:
    if "d" in key:
        raise ValueError("must be the public half alone: its owner keeps the one with `d`")
    return key


_DRIVERS = ("postgresql", "postgres", "postgresql+asyncpg")


def _database(url: SecretStr) -> SecretStr:
    try:
        found = make_url(url.get_secret_value())
    except (ArgumentError, ValueError):
        found = None
    if found is None or found.drivername not in _DRIVERS or not found.database:
        raise ValueError("must be like postgresql://user:password@host:port/database")
    return url


_ORIGIN = re.compile(r"(https?)://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_USUAL_PORT = {"http": "80", "https": "443"}


def _origin(text: str) -> str:
    found = _ORIGIN.fullmatch(text)
    if not found or found[2] == _USUAL_PORT[found[1]] or int(found[2] or 0) > 65535:
        raise ValueError(
            "must be an origin as browsers write it: scheme and host in lower case, a port only if it is not the usual "
            "one, and nothing behind, like https://iacs.example"
        )
    return text


Key = Annotated[bytes, NoDecode, BeforeValidator(_key), Field(repr=False)]
"""32 bytes as base64url."""
Keys = Annotated[dict[str, bytes], NoDecode, BeforeValidator(_keys), Field(repr=False)]
"""A JSON object of such keys by key id; the last one encrypts, all decrypt."""
PrivateJwk = Annotated[dict[str, Any], NoDecode, BeforeValidator(_jwk), AfterValidator(_private), Field(repr=False)]
"""A JSON Web Key that opens what is sealed to us."""
PublicJwk = Annotated[dict[str, Any], NoDecode, BeforeValidator(_jwk), AfterValidator(_public), Field(repr=False)]
"""A JSON Web Key that seals to another service."""
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database)]
"""Where a PostgreSQL database is, and as whom it is entered."""
Origin = Annotated[str, AfterValidator(_origin)]
"""Where something is reached, as browsers name it (RFC 6454)."""


class Settings(BaseSettings):
    """What every service needs."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    profile: Literal["embedded", "production"] = Field(
        default="production", description="Production refuses what only a demonstration may do"
    )
    database_url: DatabaseUrl = Field(
        description="postgresql://user:password@host:port/database; over a net with ?sslmode=verify-full"
    )
    database_pool_size: int = Field(
        default=10, ge=2, le=100, description="Connections of one process, besides two for the relay and its wake-up"
    )
    kafka_servers: str = Field(min_length=1, description="host:port[,host:port]")
    kafka_security_protocol: Protocol = Field(default="PLAINTEXT", description="SSL or SASL_SSL in production")
    kafka_sasl_mechanism: Mechanism = Field(default="SCRAM-SHA-512", description="With SASL_SSL")
    kafka_user: str = Field(default="", description="With SASL_SSL")
    kafka_password: SecretStr = Field(default=SecretStr(""), description="With SASL_SSL")
    kafka_ca_file: str | None = Field(default=None, description="PEM; the system's authorities without it")
    kafka_certificate_file: str | None = Field(default=None, description="PEM, for mutual TLS")
    kafka_key_file: str | None = Field(default=None, description="PEM, of that certificate")
    api_host: str = Field(default="127.0.0.1", description="The address to listen on")
    api_port: int = Field(ge=1, le=65535, description="A worker alone answers health and metrics there")
    public_url: Origin = Field(description="The one origin that people and programs use, like https://iacs.example")
    secret_key: Key = Field(description="Seals cursors and this service's own tokens")
    clock_file: Path | None = Field(default=None, description="Offset of the domain clock; embedded profile only")
    log_json: bool = Field(default=True, description="One JSON object a line on stderr; else lines for people")

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        if faults := self.faults():
            raise ValueError("\n".join(f"{name.upper()}: {what}" for name, what in faults))
        return self

    def faults(self) -> list[tuple[str, str]]:
        """Return what is wrong about settings that are fine each by itself: the name of one, and what it must be."""
        found: list[tuple[str, str]] = []
        if self.profile == "production":
            if self.clock_file is not None:
                found.append(("clock_file", "is for the embedded profile alone"))
            if not self.public_url.startswith("https://"):
                found.append(("public_url", "must be https in production"))
            if self.kafka_security_protocol == "PLAINTEXT":
                found.append(("kafka_security_protocol", "must be SSL or SASL_SSL in production"))
        if self.kafka_security_protocol == "SASL_SSL":
            words = {"kafka_user": self.kafka_user, "kafka_password": self.kafka_password}
            found += [(name, "is needed with SASL_SSL") for name, word in words.items() if not word]
        if self.kafka_key_file and not self.kafka_certificate_file:
            found.append(("kafka_certificate_file", "is needed with kafka_key_file"))
        return found

    @property
    def kafka(self) -> Kafka:
        """How Kafka is reached. Raises SettingsError where a file that secures it is not there."""
        if self.kafka_security_protocol != "PLAINTEXT":
            files = ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file")
            # Path.is_file would fail with the name of what can be none: perhaps the key itself, typed in its place.
            missing = [name for name in files if (path := getattr(self, name)) and not os.path.isfile(path)]  # noqa: PTH113
            if missing:
                prefix = self.model_config.get("env_prefix", "")
                raise SettingsError("\n".join(f"{prefix}{name.upper()}: is no file" for name in missing))
        return Kafka(
            self.kafka_servers,
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_user,
            self.kafka_password.get_secret_value(),
            self.kafka_ca_file,
            self.kafka_certificate_file,
            self.kafka_key_file,
        )

    def open_database(self) -> Database:
        """Return the service's database, on the clock that these settings allow."""
        return Database(
            self.database_url.get_secret_value(),
            flush=outbox.flush,
            clock=clock.shifted_clock(self.clock_file) if self.clock_file else clock.wall_clock,
            pool_size=self.database_pool_size,
        )


T = TypeVar("T", bound=BaseSettings)


def load(cls: type[T], environment: dict[str, str] | None = None) -> T:
    """Read the settings of one class. Raises SettingsError, which names each variable at fault."""
    prefix = str(cls.model_config.get("env_prefix", ""))
    try:
        if environment is None:
            return cls()
        given = {
            name: environment[variable]
            for name in cls.model_fields
            if (variable := f"{prefix}{name.upper()}") in environment
        }
        return cls(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_input=False, include_url=False):
            said = fault["msg"].removeprefix("Value error, ")
            # What is wrong about several together names each of them itself.
            name = "".join(str(part) for part in fault["loc"][:1]).upper()
            lines += [f"{prefix}{name}: {said}"] if name else [f"{prefix}{line}" for line in said.splitlines()]
        raise SettingsError("\n".join(lines)) from None


def database_addresses(told: Mapping[str, str], services: Sequence[str]) -> dict[str, str]:
    """Return where the database of each of these services is: all that its schema needs. Raises SettingsError."""
    found, faults = {}, []
    for service in services:
        name = f"IACS_{service.upper()}_DATABASE_URL"
        try:
            found[service] = _database(SecretStr(told[name])).get_secret_value()
        except KeyError:
            faults.append(f"{name}: Field required")
        except ValueError as wrong:
            faults.append(f"{name}: {wrong}")
    if faults:
        raise SettingsError("\n".join(faults))
    return found
