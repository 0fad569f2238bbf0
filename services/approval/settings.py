"""What the approval service is told from outside."""

from pydantic_settings import SettingsConfigDict

from shared.settings import Settings


class ApprovalSettings(Settings):
    """Settings of the approval service: IACS_APPROVAL_…"""

    model_config = SettingsConfigDict(env_prefix="IACS_APPROVAL_", frozen=True, extra="ignore")
