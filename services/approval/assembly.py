"""What approval is assembled from besides its web, whether it serves or a command of operators runs."""

from services.approval import consumers
from services.approval.settings import ApprovalSettings
from shared.delivery import Handlers

SETTINGS = ApprovalSettings


def handlers(_told: ApprovalSettings) -> Handlers:
    """Return what the service does about what it hears."""
    return consumers.handlers()
