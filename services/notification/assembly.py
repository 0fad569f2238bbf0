"""What notification is assembled from besides its web, whether it serves or a command of operators runs."""

from services.notification import consumers
from services.notification.settings import NotificationSettings
from shared.delivery import Handlers

SETTINGS = NotificationSettings


def handlers(_told: NotificationSettings) -> Handlers:
    """Return what the service does about what it hears."""
    return consumers.handlers()
