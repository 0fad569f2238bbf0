"""How notices leave: claimed under a lease, rendered once, their fate kept, many in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, case, extract, func, select, update

from services.notification import domain, render
from services.notification.tables import notice
from shared import telemetry
from shared.database import Transaction
from shared.ids import new_id

_MAY_HAVE_LEFT = ("sending", "unknown")
_TO_LOOK_AT = ("waiting", "due", "sending", "unknown")

# A notice that lacks something is looked at again after half its age so far, between these.
_LOOK_AGAIN_SECONDS = (0.2, 60)


@dataclass(frozen=True)
class Claimed:
    """A notice that nobody else touches until our lease ends."""

    id: UUID
    notice: domain.Notice
    attempt_count: int
    tried_for: timedelta
    lease: UUID | None
    mail: render.Mail | None
    """None: not rendered yet."""
    may_have_left: bool
    """Whether an earlier try ended without an answer."""
    trace: telemetry.Trace


@dataclass(frozen=True)
class Tried:
    """One try to send a claimed notice."""

    claimed: Claimed
    outcome: domain.Outcome


async def lock_due(tx: Transaction, limit: int) -> list[Claimed]:
    """Return notices whose moment has come, locked against all other workers."""
    rows = await tx.rows(
        select(notice, (func.now() - notice.c.due_since_at).label("tried_for"))
        .where(notice.c.state.in_(_TO_LOOK_AT), notice.c.next_at <= func.now())
        .order_by(notice.c.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [_claimed(row) for row in rows]


async def save_renderings(tx: Transaction, mails: Sequence[render.Mail]) -> None:
    """Keep how notices were rendered: from here on they are sent like this, however often."""
    if mails:
        await tx.raw.execute(
            _SAVE_RENDERINGS,
            [mail.notice_id for mail in mails],
            [mail.message_id for mail in mails],
            [mail.sender for mail in mails],
            [mail.address for mail in mails],
            [mail.rendered_at for mail in mails],
            [mail.rendering.subject for mail in mails],
            [mail.rendering.text for mail in mails],
            [mail.rendering.html for mail in mails],
        )


async def save_lease(tx: Transaction, notice_ids: Sequence[UUID], seconds: float) -> UUID:
    """Take notices for sending: nobody else will for so long. Returns the lease."""
    lease = new_id()
    await tx.execute(
        update(notice)
        .where(notice.c.id.in_(notice_ids))
        .values(
            state="sending",
            lease=lease,
            next_at=func.now() + timedelta(seconds=seconds),
            attempt_count=notice.c.attempt_count + 1,
        )
    )
    return lease


async def save_look_again(tx: Transaction, notice_ids: Sequence[UUID]) -> None:
    """Let notices wait for what they lack: the longer they have, the longer still."""
    least, most = _LOOK_AGAIN_SECONDS
    age_seconds = extract("epoch", func.now() - notice.c.due_since_at)
    pause_seconds = func.least(func.greatest(age_seconds / 2, least), most)
    await tx.execute(
        update(notice)
        .where(notice.c.id.in_(notice_ids))
        .values(next_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, pause_seconds, type_=Interval))
    )


async def save_expired(tx: Transaction, notice_ids: Sequence[UUID]) -> None:
    """Withdraw notices whose secret is no longer good for anything."""
    await tx.execute(
        update(notice)
        .where(notice.c.id.in_(notice_ids))
        .values(state="withdrawn", why="expired", ended_at=tx.now, secret=None, lease=None)
    )


async def save_fates(tx: Transaction, fates: Sequence[tuple[Tried, domain.Fate]]) -> set[UUID]:
    """Keep what became of mails and of each try, and end their leases.

    Returns those that were still ours: whose lease had ended stays as it is, and so does its history.
    """
    rows = [_fate_row(one, fate) for one, fate in fates]
    kept = await tx.raw.fetch(_SAVE_FATES, tx.now, *(list(column) for column in zip(*rows, strict=True)))
    return {row["id"] for row in kept}


def _fate_row(one: Tried, fate: domain.Fate) -> tuple[Any, ...]:
    about = (one.claimed.id, one.claimed.lease, one.claimed.attempt_count, domain.OUTCOMES[type(one.outcome)])
    match fate:
        case domain.Sent():
            return (*about, "sent", None, 250, None)
        case domain.Failed(status, why):
            return (*about, "failed", None, status or None, why)
        case domain.TryAgain(state, pause, status):
            return (*about, state, pause, status, None)


async def save_release(tx: Transaction, untried: Sequence[Claimed], pause: timedelta) -> None:
    """Give back what was claimed and not tried. A mail that may have left stays one that may have."""
    may_have_left = [one.id for one in untried if one.may_have_left]
    await tx.execute(
        update(notice)
        .where(notice.c.id.in_([one.id for one in untried]), notice.c.lease.in_([one.lease for one in untried]))
        .values(
            state=case((notice.c.id.in_(may_have_left), "unknown"), else_="due"),
            lease=None,
            next_at=func.now() + pause,
            attempt_count=notice.c.attempt_count - 1,
        )
    )


async def lock_overdue(tx: Transaction, limit: int) -> list[domain.Notice]:
    """Return notices that have waited too long for what they lack, each once."""
    rows = await tx.rows(
        select(notice, (func.now() - notice.c.due_since_at).label("tried_for"))
        .where(notice.c.state == "waiting", notice.c.overdue_at <= tx.now)
        .order_by(notice.c.overdue_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if rows:
        await tx.execute(update(notice).where(notice.c.id.in_([row.id for row in rows])).values(overdue_at=None))
    return [_claimed(row).notice for row in rows]


def _claimed(row: Any) -> Claimed:
    heard = domain.Notice(
        row.name,
        row.about_id,
        row.recipient_kind,
        row.recipient_id,
        row.scope_id,
        row.version,
        row.request_id,
        row.community_id,
        row.address,
        row.detail,
        row.secret,
        row.expires_at,
    )
    mail = None
    if row.message_id is not None:
        mail = render.Mail(
            row.id,
            row.message_id,
            heard.request_id or heard.scope_id,
            row.sender,
            row.address,
            row.rendered_at,
            render.Rendering(row.subject, row.text, row.html),
        )
    trace = telemetry.Trace(row.correlation_id, row.causation_id, row.traceparent)
    return Claimed(row.id, heard, row.attempt_count, row.tried_for, row.lease, mail, row.state in _MAY_HAVE_LEFT, trace)


_SAVE_RENDERINGS: Any = """
UPDATE notice SET message_id = m.message_id, sender = m.sender, address = m.address, rendered_at = m.rendered_at,
  subject = m.subject, text = m.text, html = m.html, due_since_at = now(), overdue_at = NULL
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[])
  AS m (id, message_id, sender, address, rendered_at, subject, text, html)
WHERE notice.id = m.id
"""

_SAVE_FATES: Any = """
WITH told AS (
  SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::interval[], $8::int[], $9::text[])
    AS t (id, lease, number, outcome, state, pause, status, why)
), kept AS (
  UPDATE notice SET state = told.state, lease = NULL, smtp_status = told.status, why = told.why,
    next_at = coalesce(now() + told.pause, notice.next_at),
    ended_at = CASE WHEN told.pause IS NULL THEN $1::timestamptz END,
    secret = CASE WHEN told.pause IS NULL THEN NULL ELSE notice.secret END
  FROM told WHERE notice.id = told.id AND notice.lease = told.lease
  RETURNING notice.id
), tried AS (
  INSERT INTO attempt (notice_id, number, at, outcome, smtp_status)
  SELECT id, number, $1::timestamptz, outcome, CASE WHEN outcome = 'accepted' THEN 250 ELSE status END
  FROM told JOIN kept USING (id)
)
SELECT id FROM kept
"""
