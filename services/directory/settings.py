"""What the directory is told from outside."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import Key, Keys, PrivateJwk, PublicJwk, Settings


class DirectorySettings(Settings):
    """Settings of the directory: IACS_DIRECTORY_…"""

    model_config = SettingsConfigDict(env_prefix="IACS_DIRECTORY_", frozen=True, extra="ignore")

    data_keys: Keys = Field(description="Encrypt TINs and signing keys at rest, by key id; the last encrypts")
    fingerprint_key: Key = Field(description="The key of fingerprints, shared with registration")
    seal_key: PrivateJwk = Field(description="The directory's private key: opens what is sealed to it")
    notification_seal_key: PublicJwk = Field(description="Notification's public key: seals set-password links to it")
