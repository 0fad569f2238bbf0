"""Who may decide: answered by live joins on the replica, never by what was said when somebody was told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, and_, bindparam, delete, exists, select, true, update
from sqlalchemy.dialects.postgresql import insert

from services.approval import domain
from services.approval.domain import State
from services.approval.tables import account, assignment, named, queue, request
from shared.contracts import directory
from shared.database import Transaction
from shared.ids import PersonId, RequestId
from shared.tables import replica

_SLICE = 200


def _eligible() -> Any:
    """Open queues joined with whoever may decide in them at this moment."""
    return (
        select(queue.c.request_id, queue.c.stage, assignment.c.person_id)
        .join(request, and_(request.c.id == queue.c.request_id, request.c.stage == queue.c.stage))
        .join(
            assignment,
            and_(
                assignment.c.place_id == queue.c.place_id,
                assignment.c.role == queue.c.role,
                assignment.c.status == "active",
            ),
        )
        .join(
            account,
            and_(account.c.person_id == assignment.c.person_id, account.c.status.in_(domain.ACTING_ACCOUNTS)),
        )
        .where(queue.c.open, assignment.c.person_id != request.c.applicant_id)
    )


_eligible_here = (
    _eligible().where(queue.c.request_id == bindparam("of"), queue.c.place_kind != "community").subquery().c
)
_NAME = (
    insert(named)
    .from_select(
        ["request_id", "stage", "round", "person_id"],
        select(
            _eligible_here.request_id,
            _eligible_here.stage,
            bindparam("in_round", type_=Integer),
            _eligible_here.person_id,
        ).distinct(),
    )
    .on_conflict_do_nothing()
    .returning(named.c.person_id)
)


async def name_approvers(tx: Transaction, at: domain.Request) -> list[PersonId]:
    """Return the persons who may decide and were not told yet, and note that they are told now.

    The help desk has one address for all of its work, so its people are not named one by one.
    """
    added = await tx.rows(_NAME, {"of": at.id, "in_round": at.round})
    return sorted(row.person_id for row in added)


async def list_requests_gaining(tx: Transaction, person_ids: Sequence[UUID] | None = None) -> list[RequestId]:
    """Return pending requests that some of these persons, or anybody, may decide and were not told of."""
    untold = ~exists().where(
        named.c.request_id == queue.c.request_id,
        named.c.stage == queue.c.stage,
        named.c.round == request.c.round,
        named.c.person_id == assignment.c.person_id,
    )
    rows = await tx.rows(
        _eligible()
        .where(
            true() if person_ids is None else assignment.c.person_id.in_(person_ids),
            queue.c.place_kind != "community",
            request.c.state == State.PENDING.value,
            untold,
        )
        .with_only_columns(queue.c.request_id)
        .distinct()
    )
    return sorted(row.request_id for row in rows)


def _somebody() -> Any:
    """Whether anybody may decide a request now."""
    return (
        exists()
        .where(
            queue.c.request_id == request.c.id,
            queue.c.stage == request.c.stage,
            queue.c.open,
            assignment.c.place_id == queue.c.place_id,
            assignment.c.role == queue.c.role,
            assignment.c.status == "active",
            assignment.c.person_id != request.c.applicant_id,
            account.c.person_id == assignment.c.person_id,
            account.c.status.in_(domain.ACTING_ACCOUNTS),
        )
        .correlate(request)
    )


async def note_absence(tx: Transaction) -> int:
    """Note since when requests have had no approver, and forget it where one is back; return how many changed.

    In slices, and past those that are locked: a decision never waits for this, nor this for one.
    """
    is_pending = request.c.state == State.PENDING.value
    newly_absent = and_(is_pending, request.c.has_next_step, request.c.absent_since.is_(None), ~_somebody())
    back_again = and_(is_pending, request.c.absent_since.is_not(None), _somebody())
    changed = 0
    for which, since in ((newly_absent, tx.now), (back_again, None)):
        some = select(request.c.id).where(which).limit(_SLICE).with_for_update(skip_locked=True)
        done = await tx.execute(
            update(request).where(request.c.id.in_(some.scalar_subquery())).values(absent_since=since)
        )
        changed += done.rowcount
    return changed


async def list_surely_absent(tx: Transaction) -> list[RequestId]:
    """Return pending requests that have had no approver for long enough, locked; those that are locked are left."""
    rows = await tx.rows(
        select(request.c.id)
        .where(
            request.c.state == State.PENDING.value,
            request.c.absent_since <= tx.now - domain.ABSENCE_IS_SURE_AFTER,
            ~_somebody(),
        )
        .order_by(request.c.id)
        .limit(_SLICE)
        .with_for_update(skip_locked=True)
    )
    return [row.id for row in rows]


async def is_replica_complete(tx: Transaction) -> bool:
    """Tell whether the directory's state was once read to its end: before that, everybody seems absent."""
    return bool(await tx.value(select(exists().where(replica.c.topic == directory.STATE_TOPIC))))


# --- Reading ----------------------------------------------------------------------------------


async def forget_who_was_told(tx: Transaction, ended_before: datetime) -> int:
    """Forget who was named as approver of what ended before a moment: nobody is named for it any more."""
    over = select(request.c.id).where(request.c.ended_at < ended_before)
    some = select(named.c.request_id).where(named.c.request_id.in_(over)).limit(_SLICE)
    return (await tx.execute(delete(named).where(named.c.request_id.in_(some)))).rowcount


async def list_eligible(tx: Transaction, request_id: RequestId) -> list[PersonId]:
    """Return everybody who may decide a request now, told or not, besides the help desk's people."""
    rows = await tx.rows(
        _eligible()
        .where(queue.c.request_id == request_id, queue.c.place_kind != "community")
        .with_only_columns(assignment.c.person_id)
        .distinct()
    )
    return sorted(row.person_id for row in rows)
