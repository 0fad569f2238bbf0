"""The hot path: one locking read, one writing statement, on the asyncpg connection underneath."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import and_, func, or_, select

from services.approval import domain
from services.approval.domain import State
from services.approval.store.requests import documents_missing, request_of
from services.approval.tables import decision
from shared import outbox
from shared.contracts.community import Holding, Surroundings
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId, PlaceId, RequestId


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
  -- The same for the stages before: who settled the latest of those that this person could have decided. The present
  -- one is settled as well while its grant is refused, though the help desk has the request in an open queue again.
  (SELECT jsonb_build_object('role', d.role, 'at', d.decided_at)
     FROM decision d
    WHERE d.request_id = r.id AND d.verdict = 'approve'
      AND (d.stage < r.stage OR (d.stage = r.stage AND r.state = 'refused'))
      AND EXISTS (SELECT FROM queue q
                    JOIN assignment a ON a.person_id = $2 AND a.place_id = q.place_id AND a.role = q.role
                                     AND a.status = 'active'
                    JOIN account c ON c.person_id = $2 AND c.status = ANY ($4)
                   WHERE q.request_id = r.id AND q.stage = d.stage)
    ORDER BY d.decided_at DESC LIMIT 1) AS settled_before,
  (SELECT jsonb_build_object('status', o.status) FROM organization o WHERE o.id = r.scope_id) AS organization,
  (SELECT jsonb_build_object('status', p.status) FROM practitioner p WHERE p.id = r.scope_id) AS practitioner,
  (SELECT jsonb_build_object('status', g.status, 'organization_id', g.organization_id)
     FROM user_group g WHERE g.id = r.place_id) AS user_group,
  (SELECT jsonb_agg(jsonb_build_object('id', a.id, 'role', a.role, 'place_id', a.place_id, 'scope_id', a.scope_id,
                                       'is_surrogate', coalesce(g.kind = 'surrogate', false)))
     FROM assignment a LEFT JOIN user_group g ON g.id = a.place_id
    WHERE a.person_id = r.applicant_id AND a.status = 'active') AS holdings,
  (SELECT jsonb_agg(jsonb_build_object('place_id', s.place_id, 'role', s.role, 'taken', s.taken))
     FROM (SELECT a.place_id, a.role, count(*) AS taken FROM assignment a
            WHERE a.place_id IN (r.scope_id, r.place_id) AND a.status = 'active' GROUP BY 1, 2) s) AS seats,
  EXISTS (SELECT FROM entitlement e
           WHERE e.assignment_id = r.resting_id AND e.application = r.application AND e.status = 'active'
  ) AS has_entitlement,
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
    # Asked with the lock held, too: the last document may have come while the statement waited.
    missing = await documents_missing(tx, request_id) if row["stage"] == 0 else []
    prior = row["prior"]
    return ForDecision(
        request=request_of(row),
        approver=_approver(row, approver_id),
        around=_around(row, missing),
        prior=Prior(bytes.fromhex(prior["body"]), prior["answer"]) if prior else None,
    )


def _approver(row: Any, approver_id: PersonId) -> domain.Approver:
    before = row["settled_before"]
    return domain.Approver(
        approver_id,
        tuple(
            domain.Queue(q["role"], q["place_kind"], PlaceId(UUID(q["place_id"])), q["may_approve"])
            for q in row["capacities"] or []
        ),
        domain.DecidedBy(before["role"], datetime.fromisoformat(before["at"])) if before else None,
    )


def _around(row: Any, missing: Sequence[str]) -> domain.Around:
    group, practitioner = row["user_group"], row["practitioner"]
    scope = practitioner or row["organization"]
    seats = {(UUID(s["place_id"]), s["role"]): s["taken"] for s in row["seats"] or []}
    held = {
        UUID(h["id"]): Holding(h["role"], UUID(h["place_id"]), UUID(h["scope_id"]), h["is_surrogate"])
        for h in row["holdings"] or []
    }
    resting = held.get(row["resting_id"]) if row["resting_id"] else None
    return domain.Around(
        surroundings=Surroundings(
            organization_status=scope["status"] if scope else None,
            scope_kind="practitioner" if practitioner else "organization",
            scope_id=row["scope_id"],
            group_status=group["status"] if group else None,
            group_in_scope=group is None or UUID(group["organization_id"]) == row["scope_id"],
            seats_taken={role: taken for (place, role), taken in seats.items() if place == row["scope_id"]},
            holdings=tuple(held.values()),
            resting_role=resting.role if resting else None,
            application=row["application"],
            has_entitlement=row["has_entitlement"],
        ),
        applicant_holdings=tuple(held.values()),
        seats_by_role={role: taken for (place, role), taken in seats.items() if place == row["place_id"]},
        documents_missing=missing,
    )


_SAVE_DECISION: Any = f"""
WITH {outbox.writing(25)}, made AS (
  INSERT INTO decision (id, request_id, stage, round, approver_id, verdict, reason, statement, role, place_kind,
                        place_id, decided_at, idempotency_key, body_sha256, answer)
  VALUES ($2, $1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
), told AS (
  INSERT INTO history (request_id, at, what, role, reason) VALUES ($1, $12, $6, $9, $7)
), closed AS (
  UPDATE queue SET open = false WHERE request_id = $1 AND stage = $3 AND open AND $16::bool
), stopped AS (
  -- What was returned comes back to the same stage: its clock stands still and is not stopped.
  DELETE FROM timer WHERE request_id = $1 AND $16::bool AND $17::text <> 'returned'
), started AS (
  INSERT INTO timer (request_id, kind, due_at)
  SELECT $1, 'announce_again', $21::timestamptz WHERE $17::text = 'approved'
)
UPDATE request SET
  state = $17, stage = $18, round = $19, version = $20,
  voter_ids = CASE WHEN $16 THEN '{{}}'::uuid[] ELSE voter_ids || $5::uuid END,
  absent_since = NULL,
  decided_by = CASE WHEN $22::bool THEN $5 ELSE decided_by END,
  decided_role = CASE WHEN $22 THEN $9 ELSE decided_role END,
  decided_at = CASE WHEN $22 THEN $12 ELSE decided_at END,
  claimed_by = NULL, claimed_until = NULL,
  refusal = NULL,
  approved_event_id = coalesce($23::uuid, approved_event_id),
  ended_at = CASE WHEN $24::bool THEN $12 END
WHERE id = $1
"""  # noqa: S608 - the rest is ours, and fixed.


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
    """Write a decision, where the request stands then, and what was said and recorded of it, in one statement.

    Raises idempotency_key_reused when the same approver decides another request under this key meanwhile.
    """
    is_deciding = made.state in (State.APPROVED, State.DENIED, State.RETURNED) and made.verdict is not _RETRY
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
        await tx.raw.execute(_SAVE_DECISION, *values, *outbox.gathered(tx))
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "uq_decision_key":
            raise
        raise Refusal("idempotency_key_reused") from error


_RETRY = domain.Verdict.RETRY


async def find_prior(tx: Transaction, approver_id: PersonId, key: str) -> Prior | None:
    """Return what an approver decided under a key, or None."""
    row = await tx.one(
        select(decision.c.body_sha256, decision.c.answer).where(
            decision.c.approver_id == approver_id, decision.c.idempotency_key == key
        )
    )
    return Prior(row.body_sha256, row.answer) if row else None


async def list_earlier_approvals(
    tx: Transaction, request_id: RequestId, stage: int, round_: int, decided_by: PersonId
) -> list[Any]:
    """Return the approvals that led up to `decided_by`'s in this stage and round, in order.

    Of a stage that was opened again those of its last round count; what a concern was about is no stage.
    """
    of_stage = decision.alias()
    last_round = (
        select(func.max(of_stage.c.round))
        .where(
            of_stage.c.request_id == decision.c.request_id,
            of_stage.c.stage == decision.c.stage,
            of_stage.c.verdict == "approve",
        )
        .scalar_subquery()
    )
    return list(
        await tx.rows(
            select(decision)
            .where(
                decision.c.request_id == request_id,
                decision.c.verdict == "approve",
                or_(
                    and_(decision.c.stage.between(1, stage - 1), decision.c.round == last_round),
                    and_(
                        decision.c.stage == stage,
                        decision.c.round == round_,
                        decision.c.approver_id != decided_by,
                    ),
                ),
            )
            .order_by(decision.c.stage, decision.c.decided_at)
        )
    )


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
