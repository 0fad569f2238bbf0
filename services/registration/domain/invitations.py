"""An invitation: for one address, for one use, for 60 days. Source: domain 3."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.registration.domain import fields
from services.registration.domain.limits import INVITED_AT_ONCE
from shared.contracts.community import Application, Community
from shared.errors import FieldFault, Refusal

InvitationState = Literal["issued", "used", "expired"]


@dataclass(frozen=True)
class Notice:
    """What the owner of an application tells the people for whom it is there."""

    community: Community
    application: Application
    emails: tuple[str, ...]
    criteria: str
    not_for: str


@dataclass(frozen=True)
class Invitation:
    """One address that was told."""

    id: UUID
    email_locked: str
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None = None

    def state(self, at: datetime) -> InvitationState:
        """Return what its owner sees of it."""
        if self.used_at is not None:
            return "used"
        return "issued" if at < self.expires_at else "expired"


def check_notice(
    community: Community, application: Application, emails: list[str], criteria: str | None, not_for: str | None
) -> Notice:
    """Return the notice to send; what is left out is said as the community file says it.

    Raises field_invalid with every address that is none. An address that stands there twice is told once.
    """
    rule = fields.rule_of("email")
    cleaned = [fields.email(each.strip()) for each in emails]
    faults = [FieldFault(f"/emails/{n}", rule.rule, rule.example) for n, each in enumerate(cleaned) if each is None]
    if not 1 <= len(emails) <= INVITED_AT_ONCE:
        faults.append(FieldFault("/emails", f"1 to {INVITED_AT_ONCE} addresses", rule.example))
    if faults:
        raise Refusal("field_invalid", faults=tuple(faults))
    once = {each.casefold(): each for each in cleaned if each is not None}
    return Notice(
        community,
        application,
        tuple(once.values()),
        application.criteria if criteria is None else criteria,
        application.not_for if not_for is None else not_for,
    )
