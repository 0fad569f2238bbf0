"""The codes that prove an address."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from services.registration import domain
from services.registration.tables import email_code
from shared import slices
from shared.database import Transaction
from shared.ids import RequestId, new_id

_ADD = insert(email_code)


async def add_code(tx: Transaction, request_id: RequestId, fingerprint: str, *, expires_at: datetime) -> None:
    """Store a code that will be mailed. It takes the place of those before it."""
    await tx.execute(
        _ADD,
        {
            "id": new_id(),
            "request_id": request_id,
            "code_fingerprint": fingerprint,
            "asked_at": tx.now,
            "expires_at": expires_at,
        },
    )


async def load_newest_code(tx: Transaction, request_id: RequestId) -> domain.Code | None:
    """Return the newest code of a request whose row is locked."""
    rows = await tx.rows(
        select(email_code)
        .where(email_code.c.request_id == request_id)
        .order_by(email_code.c.asked_at.desc(), email_code.c.id.desc())
        .limit(1)
    )
    return (
        domain.Code(rows[0].id, rows[0].code_fingerprint, rows[0].expires_at, rows[0].try_count, rows[0].used_at)
        if rows
        else None
    )


async def save_failed_try(tx: Transaction, code_id: UUID) -> None:
    """Count a wrong try of a code."""
    await tx.execute(update(email_code).where(email_code.c.id == code_id).values(try_count=email_code.c.try_count + 1))


async def save_code_used(tx: Transaction, code_id: UUID) -> None:
    """Let a code never be used again."""
    await tx.execute(update(email_code).where(email_code.c.id == code_id).values(used_at=tx.now))


async def delete_expired_codes(tx: Transaction) -> int:
    """Delete the codes that can prove nothing any more, and return how many.

    Used ones stay until they would have expired: without the newest, an older one would count again.
    """
    return await slices.delete_oldest(tx, email_code.c.expires_at, tx.now)
