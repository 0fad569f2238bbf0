"""Requests, the queues they are in, their history, documents and timers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, and_, bindparam, delete, exists, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from services.approval import domain
from services.approval.domain import State
from services.approval.tables import (
    NAMES_IN_VAIN,
    document,
    history,
    organization,
    practitioner,
    queue,
    request,
    timer,
    user_group,
)
from shared.contracts.community import QueueOf, Resting
from shared.database import Transaction
from shared.ids import PersonId, PlaceId, RequestId, ScopeId
from shared.tables import community

_SLICE = 200

_ID = bindparam("request_id", type_=Uuid)
_OF = bindparam("of", type_=Uuid)  # Where a statement writes a column of that other name itself.
_SCOPE = bindparam("scope_id", type_=Uuid)

_ADD_REQUEST = insert(request).on_conflict_do_nothing().returning(request)
_LOCK_REQUEST = select(request).where(request.c.id == _ID).with_for_update()
_here = select(request.c.scope_id, request.c.place_id, request.c.resting_place_id).where(request.c.id == _ID).subquery()
_IS_CLOSED = select(
    or_(
        *(
            exists().where(place.c.id.in_(list(_here.c)), place.c.status == "closed")
            for place in (organization, practitioner, user_group)
        )
    )
).select_from(_here)
_US_STATE = select(
    func.coalesce(
        *(
            select(func.nullif(place.c.us_state, "")).where(place.c.id == _SCOPE).scalar_subquery()
            for place in (organization, practitioner)
        )
    )
)
_queue = insert(queue).values(opened_at=select(request.c.opened_at).where(request.c.id == _OF).scalar_subquery())
_ADD_QUEUE = _queue.on_conflict_do_update(
    index_elements=list(queue.primary_key),
    set_={name: _queue.excluded[name] for name in ("open", "why", "may_approve", "added_at")},
)
_LIST_QUEUES = (
    select(queue)
    .where(queue.c.request_id == _ID, queue.c.stage == bindparam("stage"), queue.c.open)
    .order_by(queue.c.added_at, queue.c.role)
)
_CLOSE_QUEUES = update(queue).where(queue.c.request_id == _OF, queue.c.open).values(open=False)
_ADD_HISTORY = insert(history)
_DOCUMENTS = select(
    request.c.documents_needed,
    func.array(select(document.c.code).where(document.c.request_id == _ID).distinct().scalar_subquery()).label(
        "received"
    ),
).where(request.c.id == _ID)
_timer = insert(timer)
_SET_TIMER = _timer.on_conflict_do_update(
    index_elements=list(timer.primary_key),
    set_={"due_at": _timer.excluded.due_at, "remains": None, "number": _timer.excluded.number},
)
_STOP_TIMERS = delete(timer).where(timer.c.request_id == _ID)


def request_of(row: Any) -> domain.Request:
    """Return a row as the rules see it."""
    decided = domain.DecidedBy(row["decided_role"], row["decided_at"]) if row["decided_by"] else None
    resting = (
        Resting(row["resting_role"], row["resting_place_kind"], row["resting_place_id"]) if row["resting_id"] else None
    )
    return domain.Request(
        id=row["id"],
        community_id=row["community_id"],
        community_version=row["community_version"],
        kind=row["kind"],
        scope_id=row["scope_id"],
        place_kind=row["place_kind"],
        place_id=row["place_id"],
        applicant_id=row["applicant_id"],
        state=State(row["state"]),
        stage=row["stage"],
        round=row["round"],
        version=row["version"],
        steps_added=row["steps_added"],
        voter_ids=tuple(row["voter_ids"]),
        absent_since=row["absent_since"],
        since_at=row["since_at"],
        expires_at=row["expires_at"],
        decided=decided,
        application=row["application"],
        resting=resting,
        revision=row["revision"],
        returns_count=row["returns_count"],
        refusal=row["refusal"],
        concern=row["concern"],
        us_state=row["us_state"],
    )


async def add_request(tx: Transaction, **columns: object) -> domain.Request | None:
    """Write a new request, hold it until the commit, and return it; None when it is there already."""
    row = await tx.one(_ADD_REQUEST, columns)
    return request_of(row._mapping) if row else None


async def lock_request(tx: Transaction, request_id: RequestId) -> domain.Request | None:
    """Return a request and hold it until the commit, or None."""
    row = await tx.one(_LOCK_REQUEST, {"request_id": request_id})
    return request_of(row._mapping) if row else None


async def save_request(tx: Transaction, request_id: RequestId, **columns: object) -> domain.Request:
    """Write columns of a request that is held, and return it as it then stands."""
    row = await tx.change(request, request_id, columns)
    assert row is not None, "what is held is there"
    return request_of(row._mapping)


async def lock_open_in(tx: Transaction, place_id: UUID) -> list[domain.Request]:
    """Return the requests in a scope, or about a group in it, that something else than a decision may end; locked.

    Not those that were approved and to which the directory has not said anything yet: they may be access already.
    """
    rows = await tx.rows(
        select(request)
        .where(
            request.c.ended_at.is_(None),
            request.c.state != State.APPROVED.value,
            or_(request.c.state != State.REFUSED.value, request.c.refusal != domain.UNANSWERED),
            or_(request.c.scope_id == place_id, request.c.place_id == place_id, request.c.resting_place_id == place_id),
        )
        .order_by(request.c.id)
        .with_for_update()
    )
    return [request_of(row._mapping) for row in rows]


async def is_closed(tx: Transaction, request_id: RequestId) -> bool:
    """Tell whether the scope or the group of a request, or the one that it rests on, is known to have ended."""
    return bool(await tx.value(_IS_CLOSED, {"request_id": request_id}))


async def us_state_of(tx: Transaction, scope_id: ScopeId) -> str | None:
    """Return the two letters of the state that an organization or a practice is in, if the directory has told."""
    found: str | None = await tx.value(_US_STATE, {"scope_id": scope_id})
    return found


async def save_claim(tx: Transaction, request_id: RequestId, person_id: PersonId, until: datetime) -> None:
    """Note who says they are looking at a request."""
    await tx.change(request, request_id, {"claimed_by": person_id, "claimed_until": until})


async def delete_claim(tx: Transaction, request_id: RequestId, person_id: PersonId) -> None:
    """Forget a person's claim, if it is theirs."""
    await tx.execute(
        update(request)
        .where(request.c.id == request_id, request.c.claimed_by == person_id)
        .values(claimed_by=None, claimed_until=None)
    )


async def list_unrouted(tx: Transaction) -> list[RequestId]:
    """Return requests whose community version was heard of only after they were opened."""
    rows = await tx.rows(
        select(request.c.id)
        .join(
            community,
            and_(community.c.id == request.c.community_id, community.c.version == request.c.community_version),
        )
        .where(request.c.state == State.UNROUTED.value)
        .order_by(request.c.id)
        .limit(_SLICE)
    )
    return [row.id for row in rows]


async def forget_names(tx: Transaction, ended_before: datetime) -> Sequence[Any]:
    """Forget whose requests ended without a grant before a moment; return their ids and scopes.

    What they were to create does not exist, so its name stands nowhere else and goes as well.
    """
    some = (
        select(request.c.id)
        .where(request.c.ended_at < ended_before, text(NAMES_IN_VAIN))
        .limit(_SLICE)
        .with_for_update(skip_locked=True)
    )
    return await tx.rows(
        update(request)
        .where(request.c.id.in_(some.scalar_subquery()))
        .values(applicant_name="", place_name="")
        .returning(request.c.id, request.c.scope_id)
    )


async def approved_event_id(tx: Transaction, request_id: RequestId) -> UUID | None:
    """Return the id of the event that announced a request's approval."""
    found: UUID | None = await tx.value(select(request.c.approved_event_id).where(request.c.id == request_id))
    return found


# --- Queues -----------------------------------------------------------------------------------


async def add_queues(tx: Transaction, at: domain.Request, queues: Sequence[QueueOf], *, why: str) -> None:
    """Put a request into queues of its present stage; those that it is in already are opened again."""
    if not queues:
        return
    rows = [
        {
            "of": at.id,
            "request_id": at.id,
            "stage": at.stage,
            "role": each.role,
            "place_id": each.place_id,
            "place_kind": each.place_kind,
            "may_approve": each.may_approve,
            "why": why,
            "added_at": tx.now,
            "open": True,
        }
        for each in queues
    ]
    await tx.execute(_ADD_QUEUE, rows)


async def list_queues(tx: Transaction, request_id: RequestId, stage: int) -> list[domain.Queue]:
    """Return the open queues of a request's stage."""
    rows = await tx.rows(_LIST_QUEUES, {"request_id": request_id, "stage": stage})
    return [domain.Queue(row.role, row.place_kind, PlaceId(row.place_id), row.may_approve) for row in rows]


async def close_queues(tx: Transaction, request_id: RequestId) -> None:
    """Take a request out of every queue; the rows stay as memory."""
    await tx.execute(_CLOSE_QUEUES, {"of": request_id})


async def reopen_queues(tx: Transaction, request_id: RequestId, stage: int) -> None:
    """Put a request back into all the queues that its stage had, and out of that of what could not be granted."""
    await tx.execute(
        update(queue)
        .where(queue.c.request_id == request_id, queue.c.stage == stage)
        .values(open=queue.c.why != "cannot_be_granted")
    )


async def restore_queue(tx: Transaction, at: domain.Request, own: QueueOf, *, why: str | None) -> None:
    """Make a queue of the present stage its own again, if it has become that of what could not be granted.

    Without `why` it is what the history says of the step that added it.
    """
    added = (
        select(history.c.reason)
        .where(
            history.c.request_id == at.id,
            history.c.what == "escalated",
            history.c.role == own.role,
            history.c.reason.in_(["no_approver", "overdue"]),
        )
        .order_by(history.c.position.desc())
        .limit(1)
        .scalar_subquery()
    )
    await tx.execute(
        update(queue)
        .where(
            queue.c.request_id == at.id,
            queue.c.stage == at.stage,
            queue.c.role == own.role,
            queue.c.place_id == own.place_id,
            queue.c.why == "cannot_be_granted",
        )
        .values(why=why or added, may_approve=own.may_approve)
    )


# --- History and documents --------------------------------------------------------------------


async def add_history(
    tx: Transaction, request_id: RequestId, what: str, *, role: str | None = None, reason: str | None = None
) -> None:
    """Note a step of a request's life, for those who decide on it."""
    await tx.execute(
        _ADD_HISTORY, {"request_id": request_id, "at": tx.now, "what": what, "role": role, "reason": reason}
    )


async def add_document(tx: Transaction, **columns: object) -> None:
    """Note that a document was received; nothing when it is noted."""
    await tx.execute(insert(document).values(**columns).on_conflict_do_nothing())


async def documents_missing(tx: Transaction, request_id: RequestId) -> list[str]:
    """Return which of the documents that a request needs have not been received."""
    row = await tx.one(_DOCUMENTS, {"request_id": request_id})
    assert row is not None, "only a request that is there needs documents"
    return domain.documents_missing(row.documents_needed, set(row.received))


# --- Timers -----------------------------------------------------------------------------------


async def set_timer(tx: Transaction, request_id: RequestId, kind: str, due_at: datetime, *, number: int = 1) -> None:
    """Start a timer, or move it."""
    await tx.execute(_SET_TIMER, {"request_id": request_id, "kind": kind, "due_at": due_at, "number": number})


async def set_timers(tx: Transaction, request_id: RequestId, due: Mapping[str, datetime | None]) -> None:
    """Start the timers of these kinds, or move them; none where no moment is named."""
    rows = [
        {"request_id": request_id, "kind": kind, "due_at": due_at, "number": 1}
        for kind, due_at in due.items()
        if due_at
    ]
    if rows:
        await tx.execute(_SET_TIMER, rows)


async def stop_timer(tx: Transaction, request_id: RequestId, kind: str) -> None:
    """Stop one timer of a request."""
    await tx.execute(delete(timer).where(timer.c.request_id == request_id, timer.c.kind == kind))


async def stop_timers(tx: Transaction, request_id: RequestId) -> None:
    """Stop all timers of a request."""
    await tx.execute(_STOP_TIMERS, {"request_id": request_id})


async def pause_timers(tx: Transaction, request_id: RequestId) -> None:
    """Let every clock of a request stand still: what is left of each stays. Source: domain 6."""
    await tx.execute(
        update(timer)
        .where(timer.c.request_id == request_id, timer.c.due_at.is_not(None))
        .values(remains=timer.c.due_at - tx.now, due_at=None)
    )


async def resume_timers(tx: Transaction, request_id: RequestId) -> None:
    """Let the clocks of a request run on that stood still."""
    await tx.execute(
        update(timer)
        .where(timer.c.request_id == request_id, timer.c.remains.is_not(None))
        .values(due_at=literal(tx.now) + timer.c.remains, remains=None)
    )


async def timer_due_at(tx: Transaction, request_id: RequestId, kind: str) -> datetime | None:
    """Return when a timer is due, or None if it does not run."""
    found: datetime | None = await tx.value(
        select(timer.c.due_at).where(timer.c.request_id == request_id, timer.c.kind == kind)
    )
    return found


async def claim_due_timer(tx: Transaction) -> Any | None:
    """Take the timer that is due longest and whose request nobody else holds, or None."""
    row = await tx.one(
        select(timer)
        .join(request, request.c.id == timer.c.request_id)
        .where(timer.c.due_at <= tx.now)
        .order_by(timer.c.due_at, timer.c.kind)
        .limit(1)
        # The request too: who decides holds it and then stops its timers, so to wait for it with the
        # timer in hand would be to wait for each other.
        .with_for_update(skip_locked=True)
    )
    if row is not None:
        await stop_timer(tx, row.request_id, row.kind)
    return row
