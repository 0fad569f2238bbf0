"""What is known of requests: all of it may be unknown for a while."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from services.notification import domain
from services.notification.tables import request
from shared import slices
from shared.database import Transaction
from shared.ids import RequestId

_known = insert(request)
_told_now = _known.excluded
_KEEP = _known.on_conflict_do_update(
    index_elements=["id"],
    set_={
        **{
            one.name: func.coalesce(_told_now[one.name], request.c[one.name])
            for one in fields(domain.RequestFacts)
            if one.name != "id"
        },
        "history": request.c.history.concat(_told_now.history),
        "ended_at": func.coalesce(_told_now.ended_at, request.c.ended_at),
    },
).returning(request.c.community_id)


async def keep_request(
    tx: Transaction, facts: domain.RequestFacts, step: Mapping[str, Any] | None, ends_at: datetime | None
) -> str | None:
    """Keep what `facts` tell of a request, and the step of its history that they were. Returns its community, if known.

    `ends_at` says that the step was the last. The request is held until the commit.
    """
    community_id: str | None = await tx.value(
        _KEEP,
        {**asdict(facts), "history": [dict(step)] if step else [], "ended_at": ends_at, "heard_at": tx.now},
    )
    return community_id


async def wipe_contacts(tx: Transaction, ended_before: datetime) -> int:
    """Forget who filed the requests that ended long ago. Returns of how many."""
    nobody = {"given_name": None, "family_name": None, "email": None}
    return await slices.wipe_oldest(tx, request.c.ended_at, ended_before, request.c.email.is_not(None), values=nobody)


async def delete_requests(tx: Transaction, before: datetime) -> int:
    """Forget requests that ended very long ago. Returns how many."""
    return await slices.delete_oldest(tx, request.c.ended_at, before, request.c.email.is_(None))


async def delete_drafts(tx: Transaction, before: datetime) -> int:
    """Forget drafts of very long ago that were never submitted, and so have no end. Returns how many."""
    return await slices.delete_oldest(tx, request.c.heard_at, before, request.c.tracking_number.is_(None))


async def load_community_id(tx: Transaction, request_id: RequestId) -> str | None:
    """Return the community to which a request belongs; None if either is unknown."""
    found: str | None = await tx.value(select(request.c.community_id).where(request.c.id == request_id))
    return found
