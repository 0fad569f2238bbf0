"""How often somebody may: counted in the database, so that more processes are no way round."""

import math

from services.registration import domain, store
from shared.database import Transaction
from shared.errors import Refusal


async def refuse_above(tx: Transaction, limit: domain.Limit, who: str) -> None:
    """Refuse with rate_limited, and how long to wait, whoever has done this as often as they may."""
    wait = await store.lock_free_in(tx, limit, who)
    if wait is not None:
        raise Refusal("rate_limited", retry_after_seconds=max(1, math.ceil(wait.total_seconds())))


async def count_within(tx: Transaction, limit: domain.Limit, who: str) -> None:
    """Count one more act, unless it is one too many. What is refused later in the transaction is not counted."""
    await refuse_above(tx, limit, who)
    await store.add_act(tx, limit, who)
