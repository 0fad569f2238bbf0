"""What registration is assembled from besides its web, whether it serves or a command of operators runs."""

from services.registration import consumers
from services.registration.settings import RegistrationSettings
from shared.delivery import Handlers

SETTINGS = RegistrationSettings


def handlers(_told: RegistrationSettings) -> Handlers:
    """Return what the service does about what it hears."""
    return consumers.handlers()
