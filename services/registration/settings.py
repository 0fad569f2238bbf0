"""What the registration service is told from outside."""

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from services.registration import domain, files
from shared.settings import Key, Keys, PublicJwk, Settings


class RegistrationSettings(Settings):
    """Settings of the registration service: IACS_REGISTRATION_…"""

    model_config = SettingsConfigDict(env_prefix="IACS_REGISTRATION_", frozen=True, extra="ignore")

    data_keys: Keys = Field(description="Encrypt SSN, birth date and TIN at rest")
    fingerprint_key: Key = Field(description="Keyed hashes of SSN, TIN, identity and codes; the directory shares it")
    documents_url: str = Field(description="Where documents are kept: file:///path or s3://bucket/prefix")
    directory_seal_key: PublicJwk = Field(description="Public key to which TINs are sealed for the directory")
    filings_an_hour: int = Field(
        default=domain.FILED_BY_ADDRESS.at_most, ge=1, description="By people who are not signed in, from one address"
    )
    notification_seal_key: PublicJwk = Field(description="Public key to which mailed codes are sealed for notification")

    @field_validator("documents_url")
    @classmethod
    def _is_store(cls, url: str) -> str:
        files.kind_of(url)
        return url
