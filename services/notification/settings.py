"""What the notification service is told from outside."""

from ipaddress import ip_address

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from services.notification import render, smtp
from shared.settings import PrivateJwk, Settings


class NotificationSettings(Settings):
    """Settings of the notification service: IACS_NOTIFICATION_…"""

    model_config = SettingsConfigDict(env_prefix="IACS_NOTIFICATION_", frozen=True, extra="ignore")

    seal_key: PrivateJwk = Field(description="Private EC key (JWK) that opens what is sealed for mails")
    smtp_url: SecretStr = Field(
        description="smtp://host:port, smtp+starttls://user:password@host:port or smtps://user:password@host:port"
    )
    mail_from: str = Field(description="From whom mails come, like IACS <no-reply@iacs.example>")

    @field_validator("smtp_url")
    @classmethod
    def _is_server(cls, url: SecretStr) -> SecretStr:
        smtp.server_of(url.get_secret_value())
        return url

    @field_validator("mail_from")
    @classmethod
    def _is_sender(cls, sender: str) -> str:
        render.domain_of(sender)
        return sender

    def faults(self) -> list[tuple[str, str]]:
        """Return what is wrong about the settings together: mail must not be read on the way."""
        server = smtp.server_of(self.smtp_url.get_secret_value())
        is_readable = self.profile == "production" and server.tls == "none" and not _is_local(server.host)
        needed = ("smtp_url", "must be smtp+starttls:// or smtps:// in production, unless the host is local")
        return [*super().faults(), *([needed] if is_readable else [])]


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
