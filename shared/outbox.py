"""How a service says something: rows that commit with the effect, and leave for Kafka afterwards.

`announce` and `publish_state` only gather; `flush`, called once before the commit, writes what was
announced and recorded in one statement, unless a statement of the hot path has taken it along before.
`shared/relay.py` takes it from there.
"""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from shared import telemetry
from shared.contracts.base import Event, State
from shared.database import Transaction
from shared.ids import new_id
from shared.tables import outbox

MAXIMUM_BODY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Said:
    """One record to be: what will stand in its row."""

    id: UUID
    topic: str
    key: str
    scope_id: UUID
    type: str
    subject: str
    correlation_id: UUID | None
    causation_id: UUID | None
    traceparent: str
    entity_version: int | None
    body: str | None


def announce(tx: Transaction, *, scope: UUID, subject: UUID, event: Event, key: UUID | None = None) -> UUID:
    """Say that `event` has happened, once this transaction commits. Returns the event's id.

    `key` is the scope unless the topic is keyed otherwise (accounts: the person). The thread it
    belongs to is the trace's, or else the subject's own.
    """
    said = _said(event, scope=scope, subject=subject, key=key or scope, version=None)
    # Events before states: a state record's asofsequence then counts the events of its own commit.
    first_state = next((n for n, other in enumerate(tx.outbox) if other.entity_version is not None), len(tx.outbox))
    tx.outbox.insert(first_state, said)
    return said.id


def publish_state(tx: Transaction, *, scope: UUID, entity: UUID | str, version: int, state: State) -> None:
    """Publish what is now true of `entity`. `version` rises with each record of the entity."""
    tx.outbox.append(_said(state, scope=scope, subject=entity, key=entity, version=version))


class Resent(Enum):
    """What became of the wish to send an event again."""

    AGAIN = "it is on its way once more"
    NOT_YET = "it has not left for the first time"
    ENOUGH = "it was sent again as often as it may, or is kept no longer"


async def resend(tx: Transaction, event_id: UUID, *, at_most: int) -> Resent:
    """Send an event again as it was (same id, sequence and bytes), at most so many times."""
    row = await tx.one(select(outbox.c.sent_at, outbox.c.resent_count).where(outbox.c.id == event_id).with_for_update())
    if row is None or (row.sent_at is not None and row.resent_count >= at_most):
        return Resent.ENOUGH
    if row.sent_at is None:
        return Resent.NOT_YET
    await tx.execute(
        update(outbox).where(outbox.c.id == event_id).values(sent_at=None, resent_count=outbox.c.resent_count + 1)
    )
    return Resent.AGAIN


async def flush(tx: Transaction) -> None:
    """Write what the transaction has announced and recorded, in one statement."""
    await tx.raw.execute(_FLUSH, *gathered(tx))


def gathered(tx: Transaction) -> tuple[Any, ...]:
    """Take what the transaction has announced and recorded so far: the values of what `writing` writes."""
    said, acts = tuple(tx.outbox), tuple(tx.audit)
    tx.outbox.clear()
    tx.audit.clear()
    tx.says |= bool(said)
    return (
        tx.now,
        [s.id for s in said],
        [s.topic for s in said],
        [s.key for s in said],
        [s.scope_id for s in said],
        [s.type for s in said],
        [s.subject for s in said],
        [s.correlation_id for s in said],
        [s.causation_id for s in said],
        [s.traceparent for s in said],
        [s.entity_version for s in said],
        [s.body for s in said],
        [a.id for a in acts],
        [a.actor for a in acts],
        [a.act for a in acts],
        [a.subject for a in acts],
        [a.scope_id for a in acts],
        [json.dumps(a.detail) for a in acts],
    )


def writing(first: int) -> str:
    """Return two CTEs, `said` and `noted`, for a statement that writes what was `gathered` beside rows of its own.

    Their parameters are numbered from `first`. The hot path has one statement for everything that it writes.
    """
    n = [f"${first + offset}" for offset in range(18)]
    return f"""
    said AS (
      INSERT INTO outbox (id, topic, key, scope_id, type, subject, correlation_id, causation_id, traceparent,
                          entity_version, body, time)
      SELECT *, {n[0]}::timestamptz
      FROM unnest({n[1]}::uuid[], {n[2]}::text[], {n[3]}::text[], {n[4]}::uuid[], {n[5]}::text[], {n[6]}::text[],
                  {n[7]}::uuid[], {n[8]}::uuid[], {n[9]}::text[], {n[10]}::bigint[], {n[11]}::text[])
    ), noted AS (
      INSERT INTO audit (id, actor, act, subject, scope_id, detail, at)
      SELECT *, {n[0]}::timestamptz
      FROM unnest({n[12]}::uuid[], {n[13]}::text[], {n[14]}::text[], {n[15]}::text[], {n[16]}::uuid[], {n[17]}::jsonb[])
    )
    """  # noqa: S608 - names and numbers of ours.


_FLUSH: Any = f"WITH {writing(1)} SELECT"


def _said(record: Event | State, *, scope: UUID, subject: UUID | str, key: UUID | str, version: int | None) -> Said:
    body = record.model_dump_json()
    assert len(body.encode()) <= MAXIMUM_BODY_BYTES, f"{record.wire} is too large for its topic"
    trace = telemetry.trace()
    return Said(
        id=new_id(),
        topic=record.topic,
        key=str(key),
        scope_id=scope,
        type=record.wire,
        subject=str(subject),
        correlation_id=trace.correlation_id or (subject if isinstance(subject, UUID) else scope),
        causation_id=trace.causation_id,
        traceparent=trace.traceparent or telemetry.new_traceparent(),
        entity_version=version,
        body=body,
    )
