"""What the directory is assembled from besides its web, whether it serves or a command of operators runs."""

from services.directory import consumers, usecases
from services.directory.settings import DirectorySettings
from shared import secrets
from shared.delivery import Handlers

SETTINGS = DirectorySettings


def keys(told: DirectorySettings) -> usecases.Keys:
    """Return what the directory encrypts, opens and seals with."""
    return usecases.Keys(secrets.Vault(told.data_keys), told.seal_key, told.notification_seal_key, told.fingerprint_key)


def handlers(told: DirectorySettings) -> Handlers:
    """Return what the service does about what it hears."""
    return consumers.handlers(keys(told))
