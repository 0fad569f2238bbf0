"""Invitations: issued, listed for their owner, used once."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from services.registration import domain
from services.registration.tables import invitation, request
from shared import slices
from shared.database import Transaction
from shared.erasure import UNGRANTED_KEPT
from shared.ids import RequestId


async def add_invitations(tx: Transaction, them: Sequence[dict[str, Any]]) -> None:
    """Store invitations, each a whole row."""
    await tx.execute(insert(invitation).values(list(them)))


async def list_invitations(
    tx: Transaction, community_id: str, application: str, *, before: UUID | None, at_most: int
) -> list[domain.Invitation]:
    """Return the invitations to an application, the newest first, that come after `before`."""
    mine = select(invitation).where(invitation.c.community_id == community_id, invitation.c.application == application)
    if before is not None:
        mine = mine.where(invitation.c.id < before)
    return [
        domain.Invitation(row.id, row.email_locked, row.issued_at, row.expires_at, row.used_at)
        for row in await tx.rows(mine.order_by(invitation.c.id.desc()).limit(at_most))
    ]


async def find_invitation(
    tx: Transaction, community_id: str, code_fingerprint: str, email_fingerprint: str, draft: domain.Request
) -> UUID | None:
    """Return the id of a good invitation: this code, for this address, unused, in time.

    Or used by an open request for the same: then the proof leads back to that one. Source: R5.
    """
    same = select(request.c.id).where(
        request.c.kind == draft.kind, request.c.place_key == draft.place_key, request.c.ended_at.is_(None)
    )
    found: UUID | None = await tx.value(
        select(invitation.c.id).where(
            invitation.c.community_id == community_id,
            invitation.c.code_fingerprint == code_fingerprint,
            invitation.c.email_fingerprint == email_fingerprint,
            or_(
                and_(invitation.c.used_at.is_(None), invitation.c.expires_at > tx.now),
                invitation.c.used_by_request.in_(same),
            ),
        )
    )
    return found


async def use_invitation(tx: Transaction, invitation_id: UUID, request_id: RequestId, email_fingerprint: str) -> bool:
    """Use an invitation up; False if it is used, too old or for another address.

    Of two requests at once the second waits here, and then meets the first one's use.
    """
    done = await tx.execute(
        update(invitation)
        .where(
            invitation.c.id == invitation_id,
            invitation.c.email_fingerprint == email_fingerprint,
            invitation.c.used_at.is_(None),
            invitation.c.expires_at > tx.now,
        )
        .values(used_by_request=request_id, used_at=tx.now)
    )
    return done.rowcount == 1


async def delete_old_invitations(tx: Transaction) -> int:
    """Delete invitations that ended long ago, and return how many."""
    return await slices.delete_oldest(tx, invitation.c.expires_at, tx.now - UNGRANTED_KEPT)
