"""What approvers, the help desk and auditors look at."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DateTime,
    Integer,
    Select,
    Uuid,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    true,
    tuple_,
)

from services.approval import domain
from services.approval.tables import (
    account,
    assignment,
    document,
    history,
    organization,
    practitioner,
    queue,
    request,
    user_group,
)
from shared.database import Transaction
from shared.ids import PersonId, RequestId


async def list_queue_of(
    tx: Transaction, person_id: PersonId, *, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Any]:
    """Return the open requests that a person may decide now, the oldest first, each with why it is there.

    Answered by a live join: who has just gained a role sees older work, who has lost it sees none.
    Each of the person's places is read from its own index, only as far as the page needs.
    """
    place = {"after_at": after[0], "after_id": after[1]} if after else {}
    return await tx.rows(_queue(goes_on=after is not None), {"me": person_id, "at_most": limit, **place})


@cache
def _queue(*, goes_on: bool) -> Select[Any]:
    """The query of a queue: built once, since building it takes longer than asking it."""
    me, at_most = bindparam("me", type_=Uuid()), bindparam("at_most", type_=Integer())
    mine = (
        select(assignment.c.place_id, assignment.c.role)
        .join(account, and_(account.c.person_id == assignment.c.person_id, _acting))
        .where(assignment.c.person_id == me, assignment.c.status == "active")
        .subquery()
    )
    waiting = (
        select(queue.c.request_id, queue.c.opened_at, queue.c.why)
        .join(request, request.c.id == queue.c.request_id)
        .where(
            queue.c.open,
            queue.c.place_id == mine.c.place_id,
            queue.c.role == mine.c.role,
            request.c.applicant_id != me,
        )
    )
    if goes_on:
        after = bindparam("after_at", type_=DateTime(timezone=True)), bindparam("after_id", type_=Uuid())
        waiting = waiting.where(tuple_(queue.c.opened_at, queue.c.request_id) > tuple_(*after))
    first = waiting.order_by(queue.c.opened_at, queue.c.request_id).limit(at_most).lateral()
    ids = (
        select(first.c.request_id, first.c.opened_at, func.min(first.c.why).label("why"))
        .select_from(mine.join(first, onclause=true()))
        .group_by(first.c.request_id, first.c.opened_at)
        .order_by(first.c.opened_at, first.c.request_id)
        .limit(at_most)
        .subquery()
    )
    return _described(ids.c.why).join(ids, ids.c.request_id == request.c.id).order_by(ids.c.opened_at, ids.c.request_id)


async def list_requests_of(
    tx: Transaction,
    communities: Collection[str],
    *,
    state: str | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Any]:
    """Return the requests of whole communities, the oldest first, in whatever queue they are."""
    query = _described(_why()).where(
        request.c.community_id.in_(communities), request.c.state != domain.State.UNROUTED.value
    )
    if state is not None:
        query = query.where(request.c.state == state)
    if after is not None:
        query = query.where(tuple_(request.c.opened_at, request.c.id) > tuple_(*after))
    return await tx.rows(query.order_by(request.c.opened_at, request.c.id).limit(limit))


async def load_request(tx: Transaction, request_id: RequestId) -> Any | None:
    """Return a routed request with all that is shown of it, or None."""
    return await tx.one(
        _described(_why()).where(request.c.id == request_id, request.c.state != domain.State.UNROUTED.value)
    )


_acting = account.c.status.in_(domain.ACTING_ACCOUNTS)


def _described(why: Any) -> Select[Any]:
    """Requests with the names of their places, why they are where they are, and whether they exist twice."""
    twin = request.alias("twin")
    return (
        select(
            request,
            func.coalesce(organization.c.legal_business_name, request.c.place_name).label("organization_name"),
            func.coalesce(user_group.c.name, request.c.place_name).label("group_name"),
            why.label("why"),
            and_(
                request.c.duplicate_key.is_not(None),
                or_(
                    exists().where(
                        twin.c.duplicate_key == request.c.duplicate_key,
                        twin.c.id != request.c.id,
                        twin.c.ended_at.is_(None),
                    ),
                    *(
                        exists().where(
                            place.c.duplicate_key == request.c.duplicate_key,
                            place.c.id != request.c.scope_id,
                            place.c.status.in_(["active", "suspended"]),
                        )
                        for place in (organization.alias("same"), practitioner.alias("same_practice"))
                    ),
                ),
            ).label("is_duplicate"),
        )
        .outerjoin(organization, organization.c.id == request.c.scope_id)
        .outerjoin(user_group, user_group.c.id == request.c.place_id)
    )


def _why() -> Any:
    """Why a request is in the latest of its open queues."""
    return (
        select(queue.c.why)
        .where(queue.c.request_id == request.c.id, queue.c.open)
        .order_by(queue.c.added_at.desc(), queue.c.why)
        .limit(1)
        .scalar_subquery()
    )


async def is_approver(tx: Transaction, request_id: RequestId, person_id: PersonId) -> bool:
    """Tell whether a person may decide a request, or could have: in any of its queues, of any stage."""
    return bool(
        await tx.value(
            select(
                exists().where(
                    queue.c.request_id == request_id,
                    assignment.c.person_id == person_id,
                    assignment.c.place_id == queue.c.place_id,
                    assignment.c.role == queue.c.role,
                    assignment.c.status == "active",
                    account.c.person_id == assignment.c.person_id,
                    _acting,
                )
            )
        )
    )


async def list_roles_in(tx: Transaction, person_id: PersonId, place_ids: Collection[UUID]) -> set[tuple[UUID, str]]:
    """Return which roles (place, code) a person who can act holds in these places."""
    rows = await tx.rows(
        select(assignment.c.place_id, assignment.c.role)
        .join(account, and_(account.c.person_id == assignment.c.person_id, _acting))
        .where(
            assignment.c.person_id == person_id,
            assignment.c.place_id.in_(place_ids),
            assignment.c.status == "active",
        )
    )
    return {(row.place_id, row.role) for row in rows}


async def list_history(tx: Transaction, request_id: RequestId) -> Sequence[Any]:
    """Return the steps of a request's life, oldest first."""
    return await tx.rows(select(history).where(history.c.request_id == request_id).order_by(history.c.position))


async def list_documents(tx: Transaction, request_id: RequestId) -> Sequence[Any]:
    """Return the documents received for a request."""
    return await tx.rows(select(document).where(document.c.request_id == request_id).order_by(document.c.id))


async def count_approvers(tx: Transaction, request_id: RequestId, applicant_id: PersonId) -> Sequence[Any]:
    """Return the open queues of a request with how many may decide in each: nobody decides on their own."""
    eligible = (
        select(func.count())
        .select_from(assignment.join(account, account.c.person_id == assignment.c.person_id))
        .where(
            assignment.c.place_id == queue.c.place_id,
            assignment.c.role == queue.c.role,
            assignment.c.status == "active",
            assignment.c.person_id != applicant_id,
            _acting,
        )
        .scalar_subquery()
    )
    return await tx.rows(
        select(queue, eligible.label("approver_count"))
        .where(queue.c.request_id == request_id, queue.c.open)
        .order_by(queue.c.added_at, queue.c.role)
    )
