"""Keys that sign, and communities."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.directory import domain
from services.directory.tables import signing_key as signing_key_table
from shared.contracts.community import Community
from shared.database import Transaction
from shared.tables import community, token_key


async def add_signing_key(tx: Transaction, *, private_locked: str, **public: object) -> Any:
    """Write a key that signs access tokens, and its public half; return the row of that half."""
    row = await tx.one(insert(token_key).values(version=1, **public).returning(token_key))
    await tx.execute(
        insert(signing_key_table).values(kid=public["kid"], private_locked=private_locked, made_at=tx.real_now)
    )
    return row


async def newest_signing_key(tx: Transaction) -> Any | None:
    """Return the newest key there is, or None before the first was made."""
    return await tx.one(_signing_keys().limit(1))


async def signing_key(tx: Transaction) -> Any | None:
    """Return the key that signs now: the newest that everybody has had time to hear of, else the oldest."""
    known = signing_key_table.c.made_at <= tx.real_now - domain.SIGNING_KEY_KNOWN_AFTER
    rows = await tx.rows(_signing_keys(known.desc()))
    if not rows:
        return None
    return rows[0] if rows[0].made_at <= tx.real_now - domain.SIGNING_KEY_KNOWN_AFTER else rows[-1]


def _signing_keys(*first: Any) -> Select[Any]:
    return (
        select(
            signing_key_table.c.kid,
            signing_key_table.c.private_locked,
            signing_key_table.c.made_at,
            token_key.c.not_after,
        )
        .join(token_key, token_key.c.kid == signing_key_table.c.kid)
        .order_by(*first, signing_key_table.c.made_at.desc())
    )


async def lock_communities(tx: Transaction) -> None:
    """Let one operator at a time change communities."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("communities", 0))))


async def list_versions(tx: Transaction, community_id: str) -> Sequence[Any]:
    """Return the versions of a community, oldest first."""
    return await tx.rows(select(community).where(community.c.id == community_id).order_by(community.c.version))


async def add_community(tx: Transaction, it: Community) -> Any:
    """Write a version of a community, the current one from now on, and return its row."""
    return await tx.one(
        insert(community)
        .values(id=it.id, version=it.version, record_version=1, current=True, definition=it.model_dump(mode="json"))
        .returning(community)
    )


async def retire_versions(tx: Transaction, community_id: str) -> Sequence[Any]:
    """Make no version of a community the current one; return those that were."""
    return (
        await tx.execute(
            update(community)
            .where(and_(community.c.id == community_id, community.c.current))
            .values(current=False, record_version=community.c.record_version + 1)
            .returning(community)
        )
    ).all()


async def load_public_key(tx: Transaction, kid: str) -> dict[str, Any]:
    """Return the public half of a signing key, as a JWK."""
    return dict(await tx.value(select(token_key.c.jwk).where(token_key.c.kid == kid)))
