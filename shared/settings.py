"""What a process is told from outside, checked at its start; an error names the variable.

Each service has one frozen class on this base, with a prefix of its own: IACS_APPROVAL_DATABASE_URL.
"""

import json
import re
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared import clock, outbox
from shared.database import Database
from shared.kafka import Kafka, Mechanism, Protocol

_KEY_BYTES = 32


class SettingsError(Exception):
    """The process cannot start as it was told; the message names each variable and what is wrong."""


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
    if not isinstance(found, dict) or "kty" not in found:
        raise ValueError("must be a JWK as a JSON object")
    return found


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
Jwk = Annotated[dict[str, Any], NoDecode, BeforeValidator(_jwk), Field(repr=False)]
"""A JSON Web Key."""
Origin = Annotated[str, AfterValidator(_origin)]
"""Where something is reached, as browsers name it (RFC 6454)."""


class Settings(BaseSettings):
    """What every service needs."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    profile: Literal["embedded", "production"] = Field(
        default="production", description="Production refuses what only a demonstration may do"
    )
    database_url: SecretStr = Field(description="postgresql://user:password@host:port/database")
    database_pool_size: int = Field(
        default=10, ge=2, le=100, description="Connections of one process, besides two for the relay and its wake-up"
    )
    kafka_servers: str = Field(description="host:port[,host:port]")
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
    def _production_is_strict(self) -> "Settings":
        if self.profile == "production":
            if self.clock_file is not None:
                raise ValueError("clock_file is for the embedded profile alone")
            if not self.public_url.startswith("https://"):
                raise ValueError("public_url must be https in production")
            if self.kafka_security_protocol == "PLAINTEXT":
                raise ValueError("kafka_security_protocol must be SSL or SASL_SSL in production")
        if self.kafka_security_protocol == "SASL_SSL" and not (self.kafka_user and self.kafka_password):
            raise ValueError("kafka_user and kafka_password are needed with SASL_SSL")
        return self

    @property
    def kafka(self) -> Kafka:
        """How Kafka is reached."""
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
        lines = [
            f"{prefix}{'_'.join(str(part) for part in fault['loc'][:1]).upper() or '*'}: "
            + fault["msg"].removeprefix("Value error, ")
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError("\n".join(lines)) from None
