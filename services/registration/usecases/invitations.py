"""The owner of an application tells people that it is there for them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.registration import domain, keys, store
from services.registration.keys import Keyring
from services.registration.usecases.standings import require_owner
from shared import audit, outbox
from shared.contracts import registration as events
from shared.database import Transaction
from shared.ids import PersonId, ScopeId, application_place, new_id


@dataclass(frozen=True)
class Issued:
    """One address that will be told."""

    id: UUID
    email: str
    issued_at: datetime
    expires_at: datetime


async def issue_invitations(
    tx: Transaction,
    ring: Keyring,
    community_id: str,
    application_code: str,
    emails: list[str],
    said: tuple[str | None, str | None],
    by: PersonId,
) -> list[Issued]:
    """Tell some addresses that an application is there for them; `said` are its criteria and who should not.

    Raises not_found for whoever does not own it, then field_invalid. Where the community asks for an
    invitation each gets a code of its own, which only notification can read; elsewhere it is a notice.
    """
    community, application = await require_owner(tx, "issue_invitations", community_id, application_code, by)
    notice = domain.check_notice(community, application, emails, *said)
    scope_id = ScopeId(application_place(community.id, application.code))
    expires_at = tx.now + domain.INVITATION_LIVES
    rows: list[dict[str, Any]] = []
    issued = []
    for email in notice.emails:
        invitation_id = new_id()
        code = keys.new_invitation_code() if community.invitation_needed else None
        issued.append(Issued(invitation_id, email, tx.now, expires_at))
        rows.append(
            {
                "id": invitation_id,
                "community_id": community.id,
                "application": application.code,
                "email_fingerprint": ring.email_fingerprint(email),
                "email_locked": ring.lock_address(invitation_id, email),
                "code_fingerprint": ring.invitation_fingerprint(code) if code else None,
                "issued_by": by,
                "issued_at": tx.now,
                "expires_at": expires_at,
            }
        )
        outbox.announce(
            tx,
            scope=scope_id,
            subject=invitation_id,
            event=events.InvitationIssued(
                invitation_id=invitation_id,
                scope_id=scope_id,
                community_id=community.id,
                application=application.code,
                email=email,
                criteria=notice.criteria,
                not_for=notice.not_for,
                code_sealed=ring.seal_for_notification(code) if code else "",
                expires_at=expires_at,
                issued_at=tx.now,
            ),
        )
        audit.record(tx, actor=by, act="issue_invitation", subject=invitation_id, scope=scope_id)
    await store.add_invitations(tx, rows)
    return issued


async def list_invitations(
    tx: Transaction,
    ring: Keyring,
    community_id: str,
    application_code: str,
    by: PersonId,
    *,
    before: UUID | None,
    at_most: int,
) -> list[tuple[domain.Invitation, str]]:
    """Return invitations to an application with their addresses, the newest first, to its owner alone."""
    await require_owner(tx, "list_invitations", community_id, application_code, by)
    found = await store.list_invitations(tx, community_id, application_code, before=before, at_most=at_most)
    return [(it, ring.open_address(it.id, it.email_locked)) for it in found]
