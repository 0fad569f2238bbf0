"""One of two processes that decide the same requests at the same moments."""

import asyncio
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any
from uuid import UUID

from services.approval import usecases
from services.approval.domain import Order, Verdict
from shared import outbox
from shared.database import Database
from shared.errors import Refusal
from shared.ids import PersonId, RequestId


def race(dsn: str, approver_id: UUID, request_ids: list[UUID], start: Barrier, tell: Connection) -> None:
    """Decide each request when the other process is ready too; tell all answers at the end."""
    tell.send(asyncio.run(_race(dsn, PersonId(approver_id), request_ids, start)))


async def _race(dsn: str, approver_id: PersonId, request_ids: list[UUID], start: Barrier) -> list[dict[str, Any]]:
    db = Database(dsn, flush=outbox.flush, pool_size=2)
    answers = []
    for number, request_id in enumerate(request_ids):
        order = Order(Verdict.APPROVE if number % 2 else Verdict.DENY, None if number % 2 else "not_needed", 1)
        start.wait(timeout=60)
        try:
            async with db.begin() as tx:
                made = await usecases.decide_request(
                    tx, RequestId(request_id), approver_id, order, key=None, body_sha256=b""
                )
            assert isinstance(made, usecases.Answer)
            answers.append({"won_as": made.body["decided_as"], "at": made.body["decided_at"]})
        except Refusal as refusal:
            told = {name: str(value) for name, value in refusal.facts.items()}
            answers.append({"refused": refusal.code, **told})
    await db.close()
    return answers
