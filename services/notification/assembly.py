"""What notification is assembled from besides its web, whether it serves or a command of operators runs."""

from collections.abc import Callable

from services.notification import consumers
from services.notification.settings import NotificationSettings
from shared.delivery import Handlers

SETTINGS = NotificationSettings


def handlers(_told: NotificationSettings, ring: Callable[[], None] = lambda: None) -> Handlers:
    """Return what the service does about what it hears; it rings when there may be a mail to send."""
    return consumers.handlers(ring)
