"""All the SQL of approval: rows to domain values and back.

`lock_for_decision` and `save_decision` are the hot path: one locking read, one writing statement,
on the asyncpg connection. Everything else is plain SQLAlchemy Core.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Table, and_, delete, exists, func, literal, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from services.approval import domain
from services.approval.domain import State
from services.approval.tables import (
    account,
    assignment,
    decision,
    document,
    history,
    named,
    organization,
    queue,
    request,
    timer,
    user_group,
)
from shared.contracts import directory
from shared.contracts.community import Holding, QueueOf, Surroundings
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId, PlaceId, RequestId
from shared.replicas import newer
from shared.tables import community, replica

_SLICE = 200

# --- The hot path -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Prior:
    """A decision that the same approver made under the same key."""

    body_sha256: bytes
    answer: dict[str, Any]


@dataclass(frozen=True)
class ForDecision:
    """All that one decision needs to be judged."""

    request: domain.Request
    approver: domain.Approver
    around: domain.Around
    prior: Prior | None


_LOCK_FOR_DECISION: Any = """
SELECT r.*,
  (SELECT jsonb_agg(jsonb_build_object('role', q.role, 'place_kind', q.place_kind, 'place_id', q.place_id,
                                       'may_approve', q.may_approve) ORDER BY q.may_approve DESC, q.added_at)
     FROM queue q
     JOIN assignment a ON a.person_id = $2 AND a.place_id = q.place_id AND a.role = q.role AND a.status = 'active'
     JOIN account c ON c.person_id = $2 AND c.status = ANY ($4)
    -- Once a stage is settled all its queues count, so that a late approver learns who was first.
    WHERE q.request_id = r.id AND q.stage = r.stage AND (q.open OR r.state NOT IN ('pending', 'refused'))
  ) AS capacities,
  (SELECT o.status FROM organization o WHERE o.id = r.scope_id) AS organization_status,
  (SELECT jsonb_build_object('status', g.status, 'organization_id', g.organization_id)
     FROM user_group g WHERE g.id = r.place_id) AS user_group,
  (SELECT jsonb_agg(jsonb_build_object('role', a.role, 'place_id', a.place_id))
     FROM assignment a
    WHERE a.person_id = r.applicant_id AND a.scope_id = r.scope_id AND a.status = 'active') AS holdings,
  (SELECT jsonb_agg(jsonb_build_object('place_id', s.place_id, 'role', s.role, 'taken', s.taken))
     FROM (SELECT a.place_id, a.role, count(*) AS taken FROM assignment a
            WHERE a.place_id IN (r.scope_id, r.place_id) AND a.status = 'active' GROUP BY 1, 2) s) AS seats,
  (SELECT jsonb_build_object('body', encode(d.body_sha256, 'hex'), 'answer', d.answer)
     FROM decision d WHERE d.approver_id = $2 AND d.idempotency_key = $3) AS prior
FROM request r WHERE r.id = $1 FOR UPDATE OF r
"""


async def lock_for_decision(
    tx: Transaction, request_id: RequestId, approver_id: PersonId, key: str | None
) -> ForDecision | None:
    """Return all that a decision needs, and hold the request until the commit; None if there is none.

    One statement, as a rule. When it had to wait for another decision, the request's own columns are as that
    one left them, while the rest is as it was when the statement began: what several approvers
    change is therefore in the request's row.
    """
    values = (request_id, approver_id, key, list(domain.ACTING_ACCOUNTS))
    row = await tx.raw.fetchrow(_LOCK_FOR_DECISION, *values)
    if row is not None and not row["capacities"]:
        # The statement may have waited for one that moved the request to other queues: it then sees the new
        # request beside the old queues. Asked again, with the lock held, it sees both as they are.
        row = await tx.raw.fetchrow(_LOCK_FOR_DECISION, *values)
    if row is None:
        return None
    group = row["user_group"]
    seats = {(UUID(s["place_id"]), s["role"]): s["taken"] for s in row["seats"] or []}
    holdings = [Holding(h["role"], UUID(h["place_id"]), row["scope_id"]) for h in row["holdings"] or []]
    prior = row["prior"]
    return ForDecision(
        request=_request(row),
        approver=domain.Approver(
            approver_id,
            tuple(
                domain.Queue(q["role"], q["place_kind"], PlaceId(UUID(q["place_id"])), q["may_approve"])
                for q in row["capacities"] or []
            ),
        ),
        around=domain.Around(
            surroundings=Surroundings(
                organization_status=row["organization_status"],
                group_status=group["status"] if group else None,
                group_in_scope=group is None or UUID(group["organization_id"]) == row["scope_id"],
                seats_taken={role: taken for (place, role), taken in seats.items() if place == row["scope_id"]},
            ),
            applicant_holdings=holdings,
            seats_by_role={role: taken for (place, role), taken in seats.items() if place == row["place_id"]},
        ),
        prior=Prior(bytes.fromhex(prior["body"]), prior["answer"]) if prior else None,
    )


_SAVE_DECISION: Any = """
WITH made AS (
  INSERT INTO decision (id, request_id, stage, round, approver_id, verdict, reason, statement, role, place_kind,
                        place_id, decided_at, idempotency_key, body_sha256, answer)
  VALUES ($2, $1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
), told AS (
  INSERT INTO history (request_id, at, what, role, reason) VALUES ($1, $12, $6, $9, $7)
), closed AS (
  UPDATE queue SET open = false WHERE request_id = $1 AND stage = $3 AND open AND $16::bool
), stopped AS (
  DELETE FROM timer WHERE request_id = $1 AND $16::bool
), started AS (
  INSERT INTO timer (request_id, kind, due_at)
  SELECT $1, 'announce_again', $21::timestamptz WHERE $17::text = 'approved'
)
UPDATE request SET
  state = $17, stage = $18, round = $19, version = $20,
  voter_ids = CASE WHEN $16 THEN '{}'::uuid[] ELSE voter_ids || $5::uuid END,
  absent_since = NULL,
  steps_added = CASE WHEN $16 THEN 0 ELSE steps_added END,
  has_next_step = has_next_step OR $16,
  decided_by = CASE WHEN $22::bool THEN $5 ELSE decided_by END,
  decided_role = CASE WHEN $22 THEN $9 ELSE decided_role END,
  decided_at = CASE WHEN $22 THEN $12 ELSE decided_at END,
  approved_event_id = coalesce($23::uuid, approved_event_id),
  ended_at = CASE WHEN $24::bool THEN $12 END
WHERE id = $1
"""


async def save_decision(
    tx: Transaction,
    before: domain.Request,
    made: domain.Decision,
    *,
    decision_id: UUID,
    key: str | None,
    body_sha256: bytes,
    answer: dict[str, Any],
    approved_event_id: UUID | None,
) -> None:
    """Write a decision and where the request stands then, in one statement.

    Raises idempotency_key_reused when the same approver decides another request under this key meanwhile.
    """
    is_deciding = made.state in (State.APPROVED, State.DENIED) and made.verdict is not domain.Verdict.RETRY
    values = (
        before.id,
        decision_id,
        before.stage,
        before.round,
        made.by,
        made.verdict.value,
        made.reason,
        domain.STATEMENT if made.verdict is domain.Verdict.APPROVE else None,
        made.capacity.role,
        made.capacity.place_kind,
        made.capacity.place_id,
        made.at,
        key,
        body_sha256,
        json.dumps(answer),
        made.is_settled,
        made.state.value,
        made.stage,
        made.round,
        made.version,
        made.at + domain.ANNOUNCED_AGAIN_AFTER,
        is_deciding,
        approved_event_id,
        made.state.is_final,
    )
    try:
        await tx.raw.execute(_SAVE_DECISION, *values)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "uq_decision_key":
            raise
        raise Refusal("idempotency_key_reused") from error


async def find_prior(tx: Transaction, approver_id: PersonId, key: str) -> Prior | None:
    """Return what an approver decided under a key, or None."""
    row = await tx.one(
        select(decision.c.body_sha256, decision.c.answer).where(
            decision.c.approver_id == approver_id, decision.c.idempotency_key == key
        )
    )
    return Prior(row.body_sha256, row.answer) if row else None


def _request(row: Any) -> domain.Request:
    decided = domain.DecidedBy(row["decided_role"], row["decided_at"]) if row["decided_by"] else None
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
        expires_at=row["expires_at"],
        decided=decided,
    )


# --- Requests and their queues ----------------------------------------------------------------


async def add_request(tx: Transaction, **columns: object) -> bool:
    """Write a new request; False when it is there already."""
    done = await tx.execute(insert(request).values(**columns).on_conflict_do_nothing())
    return done.rowcount == 1


async def lock_request(tx: Transaction, request_id: RequestId) -> domain.Request | None:
    """Return a request and hold it until the commit, or None."""
    row = await tx.one(select(request).where(request.c.id == request_id).with_for_update())
    return _request(row._mapping) if row else None


async def save_request(tx: Transaction, request_id: RequestId, **columns: object) -> None:
    """Write columns of a request."""
    await tx.execute(update(request).where(request.c.id == request_id).values(**columns))


async def load_approval(tx: Transaction, request_id: RequestId) -> Any:
    """Return the decision that approved a request in its last stage, whoever retried it later."""
    return (
        await tx.rows(
            select(decision)
            .where(decision.c.request_id == request_id, decision.c.verdict == "approve")
            .order_by(decision.c.decided_at.desc())
            .limit(1)
        )
    )[0]


async def add_queues(
    tx: Transaction, at: domain.Request, queues: Sequence[QueueOf], *, why: str, opened_at: datetime
) -> None:
    """Put a request into queues of its present stage; those that it is in already are opened again."""
    if not queues:
        return
    statement = insert(queue).values(
        [
            {
                "request_id": at.id,
                "stage": at.stage,
                "role": each.role,
                "place_id": each.place_id,
                "place_kind": each.place_kind,
                "may_approve": each.may_approve,
                "why": why,
                "opened_at": opened_at,
                "added_at": tx.now,
                "open": True,
            }
            for each in queues
        ]
    )
    again = {name: statement.excluded[name] for name in ("open", "why", "may_approve", "added_at")}
    await tx.execute(statement.on_conflict_do_update(index_elements=list(queue.primary_key), set_=again))


async def list_queues(tx: Transaction, request_id: RequestId, stage: int) -> list[domain.Queue]:
    """Return the open queues of a request's stage."""
    rows = await tx.rows(
        select(queue)
        .where(queue.c.request_id == request_id, queue.c.stage == stage, queue.c.open)
        .order_by(queue.c.added_at, queue.c.role)
    )
    return [domain.Queue(row.role, row.place_kind, PlaceId(row.place_id), row.may_approve) for row in rows]


async def close_queues(tx: Transaction, request_id: RequestId) -> None:
    """Take a request out of every queue; the rows stay as memory."""
    await tx.execute(update(queue).where(queue.c.request_id == request_id, queue.c.open).values(open=False))


async def reopen_queues(tx: Transaction, request_id: RequestId, stage: int) -> None:
    """Put a request back into all the queues that its stage had."""
    await tx.execute(update(queue).where(queue.c.request_id == request_id, queue.c.stage == stage).values(open=True))


async def opened_at(tx: Transaction, request_id: RequestId) -> datetime:
    """Return when a request was opened."""
    moment: datetime = await tx.value(select(request.c.opened_at).where(request.c.id == request_id))
    return moment


async def add_history(
    tx: Transaction, request_id: RequestId, what: str, *, role: str | None = None, reason: str | None = None
) -> None:
    """Note a step of a request's life, for those who decide on it."""
    await tx.execute(insert(history).values(request_id=request_id, at=tx.now, what=what, role=role, reason=reason))


async def set_timer(tx: Transaction, request_id: RequestId, kind: str, due_at: datetime) -> None:
    """Start a timer, or move it."""
    statement = insert(timer).values(request_id=request_id, kind=kind, due_at=due_at)
    await tx.execute(statement.on_conflict_do_update(index_elements=list(timer.primary_key), set_={"due_at": due_at}))


async def stop_timers(tx: Transaction, request_id: RequestId) -> None:
    """Stop all timers of a request."""
    await tx.execute(delete(timer).where(timer.c.request_id == request_id))


async def claim_due_timer(tx: Transaction) -> Any | None:
    """Take the timer that is due longest and whose request nobody else holds, or None."""
    row = await tx.one(
        select(timer)
        .join(request, request.c.id == timer.c.request_id)
        .where(timer.c.due_at <= tx.now)
        .order_by(timer.c.due_at)
        .limit(1)
        # The request too: who decides holds it and then stops its timers, so to wait for it with the
        # timer in hand would be to wait for each other.
        .with_for_update(skip_locked=True)
    )
    if row is not None:
        await tx.execute(delete(timer).where(timer.c.request_id == row.request_id, timer.c.kind == row.kind))
    return row


async def approved_event_id(tx: Transaction, request_id: RequestId) -> UUID | None:
    """Return the id of the event that announced a request's approval."""
    found: UUID | None = await tx.value(select(request.c.approved_event_id).where(request.c.id == request_id))
    return found


async def add_document(tx: Transaction, **columns: object) -> None:
    """Note that a document was received; nothing when it is noted."""
    await tx.execute(insert(document).values(**columns).on_conflict_do_nothing())


async def documents_missing(tx: Transaction, request_id: RequestId, needed: Sequence[str]) -> list[str]:
    """Return which of the needed documents have not been received."""
    rows = await tx.rows(select(document.c.code).where(document.c.request_id == request_id).distinct())
    return domain.documents_missing(needed, {row.code for row in rows})


async def documents_needed(tx: Transaction, request_id: RequestId) -> list[str]:
    """Return the documents that a request's kind asks for."""
    return list(await tx.value(select(request.c.documents_needed).where(request.c.id == request_id)))


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


# --- Approvers --------------------------------------------------------------------------------


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


async def name_approvers(tx: Transaction, at: domain.Request) -> list[PersonId]:
    """Return the persons who may decide and were not told yet, and note that they are told now.

    The help desk has one address for all of its work, so its people are not named one by one.
    """
    eligible = _eligible().where(queue.c.request_id == at.id, queue.c.place_kind != "community").subquery()
    added = await tx.execute(
        insert(named)
        .from_select(
            ["request_id", "stage", "round", "person_id"],
            select(eligible.c.request_id, eligible.c.stage, literal(at.round), eligible.c.person_id).distinct(),
        )
        .on_conflict_do_nothing()
        .returning(named.c.person_id)
    )
    return sorted(row.person_id for row in added.all())


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


async def list_queue_of(
    tx: Transaction, person_id: PersonId, *, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Any]:
    """Return the open requests that a person may decide now, the oldest first.

    Answered by a live join: who has just gained a role sees older work, who has lost it sees none.
    Each of the person's places is read from its own index, only as far as the page needs.
    """
    mine = (
        select(assignment.c.place_id, assignment.c.role)
        .join(
            account,
            and_(account.c.person_id == assignment.c.person_id, account.c.status.in_(domain.ACTING_ACCOUNTS)),
        )
        .where(assignment.c.person_id == person_id, assignment.c.status == "active")
        .subquery()
    )
    waiting = (
        select(queue.c.request_id, queue.c.opened_at)
        .join(request, request.c.id == queue.c.request_id)
        .where(
            queue.c.open,
            queue.c.place_id == mine.c.place_id,
            queue.c.role == mine.c.role,
            request.c.applicant_id != person_id,
        )
    )
    if after is not None:
        waiting = waiting.where(tuple_(queue.c.opened_at, queue.c.request_id) > tuple_(*after))
    first = waiting.order_by(queue.c.opened_at, queue.c.request_id).limit(limit).lateral()
    ids = (
        select(first.c.request_id, first.c.opened_at)
        .select_from(mine.join(first, onclause=true()))
        .distinct()
        .order_by(first.c.opened_at, first.c.request_id)
        .limit(limit)
        .subquery()
    )
    return await tx.rows(
        _with_names().join(ids, ids.c.request_id == request.c.id).order_by(ids.c.opened_at, ids.c.request_id)
    )


def _with_names() -> Any:
    return (
        select(
            request,
            func.coalesce(organization.c.legal_business_name, request.c.place_name).label("organization_name"),
            func.coalesce(user_group.c.name, request.c.place_name).label("group_name"),
        )
        .outerjoin(organization, organization.c.id == request.c.scope_id)
        .outerjoin(user_group, user_group.c.id == request.c.place_id)
    )


async def load_for_approver(tx: Transaction, request_id: RequestId, person_id: PersonId) -> Any | None:
    """Return a request with its names, if this person may decide it or could have; else None."""
    theirs = exists().where(
        queue.c.request_id == request.c.id,
        assignment.c.person_id == person_id,
        assignment.c.place_id == queue.c.place_id,
        assignment.c.role == queue.c.role,
        assignment.c.status == "active",
        account.c.person_id == assignment.c.person_id,
        account.c.status.in_(domain.ACTING_ACCOUNTS),
    )
    return await tx.one(_with_names().where(request.c.id == request_id, theirs))


async def list_history(tx: Transaction, request_id: RequestId) -> Sequence[Any]:
    """Return the steps of a request's life, oldest first."""
    return await tx.rows(select(history).where(history.c.request_id == request_id).order_by(history.c.position))


async def list_documents(tx: Transaction, request_id: RequestId) -> Sequence[Any]:
    """Return the documents received for a request."""
    return await tx.rows(select(document).where(document.c.request_id == request_id).order_by(document.c.id))


async def count_approvers(tx: Transaction, request_id: RequestId) -> Sequence[Any]:
    """Return the open queues of a request with how many may decide in each."""
    eligible = (
        select(func.count())
        .select_from(assignment.join(account, account.c.person_id == assignment.c.person_id))
        .where(
            assignment.c.place_id == queue.c.place_id,
            assignment.c.role == queue.c.role,
            assignment.c.status == "active",
            account.c.status.in_(domain.ACTING_ACCOUNTS),
        )
        .scalar_subquery()
    )
    return await tx.rows(
        select(queue, eligible.label("approver_count"))
        .where(queue.c.request_id == request_id, queue.c.open)
        .order_by(queue.c.added_at, queue.c.role)
    )


# --- What the directory says ------------------------------------------------------------------

GONE = "deleted"
REPLICAS: dict[str, Table] = {
    "organization": organization,
    "user_group": user_group,
    "assignment": assignment,
    "account": account,
}


async def save_replica(tx: Transaction, name: str, rows: Sequence[dict[str, object]]) -> None:
    """Write rows of a replica; one that is older than what stands there changes nothing."""
    if rows:
        table = REPLICAS[name]
        await tx.execute(newer(insert(table), table, "version").values(rows))


async def end_replica(tx: Transaction, name: str, ended: Sequence[tuple[str, int]]) -> None:
    """Take rows (entity id, version) out of effect that the directory has deleted; their versions stay known."""
    table = REPLICAS[name]
    (key,) = table.primary_key.columns
    for entity_id, version in ended:
        await tx.execute(
            update(table).where(key == UUID(entity_id), table.c.version < version).values(status=GONE, version=version)
        )
