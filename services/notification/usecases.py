"""What notification can be asked to do: take a fact in, claim mails, say what became of one, forget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.notification import domain, render, store
from shared import audit, outbox, telemetry
from shared.contracts import notification
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId, RequestId

ACTOR = "notification"
BODIES_KEPT = timedelta(days=30)
CONTACTS_KEPT = timedelta(days=90)
"""Source: domain 7, erasure."""
_BATCH = 100


@dataclass(frozen=True)
class Batch:
    """What was found: how many notices were looked at, and which of them are to be sent now."""

    looked_at_count: int
    claimed: tuple[store.Claimed, ...]


async def hear(tx: Transaction, fact: domain.Fact) -> None:
    """Keep what people are to be told because of `fact`, and withdraw what they need not be told any more.

    A notice whose words or address are not known yet is kept all the same, and completed when they are.
    """
    about = _request_of(fact)
    if about:
        await store.lock_request(tx, about)
    told = await store.list_told(tx, about.id) if about and isinstance(fact, domain.DecisionAwaited) else set()
    then = domain.consequences(fact, told)
    if about:
        await store.withdraw(tx, about.id, then.pointless, kept=then.kept)
        if then.step:
            await store.save_step(tx, about.id, then.step, then.ends_at)
        # What this fact told may be what others waited for.
        await store.hasten(tx, request_id=about.id)
    await store.add_notices(tx, then.notices)


async def learn_people(tx: Transaction, people: Sequence[Mapping[str, Any]]) -> None:
    """Keep who people are now, and complete what waited for it."""
    await store.save_people(tx, people)
    await store.hasten(tx, person_ids=[one["id"] for one in people])


async def learn_user_id(tx: Transaction, person_id: PersonId, user_id: str) -> None:
    """Keep a person's user ID, and complete what waited for it."""
    await store.save_user_id(tx, person_id, user_id)
    await store.hasten(tx, person_ids=[person_id])


async def learn_places(tx: Transaction, places: Sequence[Mapping[str, Any]]) -> None:
    """Keep what organizations and groups are called now, and complete what waited for it."""
    await store.save_places(tx, places)
    await store.hasten(tx, place_ids=[one["id"] for one in places])


async def claim(tx: Transaction, *, sender: str, public_url: str, limit: int, lease_seconds: float) -> Batch:
    """Claim mails whose moment has come, and render those that are complete now.

    Two workers never hold the same one: each row is locked here, and leased from here on.
    """
    due = await store.lock_due(tx, limit)
    expired = [one.id for one in due if one.notice.expires_at and one.notice.expires_at <= tx.now]
    if expired:
        await store.save_expired(tx, expired)
    alive = [one for one in due if one.id not in expired]
    rendered, waiting = await _render(tx, [one for one in alive if one.mail is None], sender, public_url)
    if waiting:
        await store.save_look_again(tx, waiting)
    ready = [one for one in alive if one.mail] + rendered
    if not ready:
        return Batch(len(due), ())
    lease = await store.save_lease(tx, [one.id for one in ready], lease_seconds)
    claimed = tuple(replace(one, lease=lease, attempt_count=one.attempt_count + 1) for one in ready)
    return Batch(len(due), claimed)


async def record_outcome(
    tx: Transaction, claimed: store.Claimed, outcome: domain.Outcome, *, jitter: float
) -> domain.Fate | None:
    """Keep what became of one mail and announce it. None if it was no longer ours: its lease had ended."""
    notice = claimed.notice
    fate = domain.fate_of(
        outcome,
        attempts=claimed.attempt_count,
        tried_for=claimed.tried_for,
        may_have_left=claimed.may_have_left,
        jitter=jitter,
    )
    if not await store.save_fate(tx, claimed, fate):
        return None
    match fate:
        case domain.Sent():
            _record(tx, notice, "notice_sent")
            outbox.announce(tx, scope=notice.scope_id, subject=_subject(notice), event=_sent(notice, tx.now))
        case domain.Failed(status, why):
            _record(tx, notice, "notice_failed", status=status, why=why)
            outbox.announce(tx, scope=notice.scope_id, subject=_subject(notice), event=_failed(notice, status, tx.now))
            await store.add_notices(tx, domain.undelivered(notice, why=why, status=status or None))
        case domain.TryAgain():
            pass
    return fate


async def tell_overdue(tx: Transaction) -> int:
    """Tell the help desk of notices that have waited a day for what they lack. They go on waiting."""
    overdue = await store.lock_overdue(tx, _BATCH)
    for notice in overdue:
        with telemetry.tracing(telemetry.Trace(notice.request_id)):
            await store.add_notices(tx, domain.undelivered(notice, why="overdue"))
        _record(tx, notice, "notice_overdue")
    return len(overdue)


async def forget(tx: Transaction) -> int:
    """Wipe what was written in mails that ended 30 days ago, and who filed requests that ended 90 days ago."""
    await store.wipe_bodies(tx, tx.now - BODIES_KEPT)
    await store.wipe_contacts(tx, tx.now - CONTACTS_KEPT)
    return 0


async def list_notices(
    tx: Transaction, reader_id: PersonId, request_id: RequestId, *, limit: int, after: tuple[datetime, UUID] | None
) -> list[store.Listed]:
    """Return what people were told about a request. Refuses with not_found whoever may not know it exists."""
    community = await store.load_community_of(tx, request_id)
    if community is None:
        raise Refusal("not_found")
    reader = await store.load_reader(tx, reader_id, community.place_id)
    if not domain.may_read(community, reader.account_status, reader.held_roles):
        raise Refusal("not_found")
    return await store.list_notices(tx, request_id, limit, after)


async def _render(
    tx: Transaction, unrendered: Sequence[store.Claimed], sender: str, public_url: str
) -> tuple[list[store.Claimed], list[UUID]]:
    """Render what is complete; return it, and the ids of what still waits."""
    rendered: list[store.Claimed] = []
    waiting: list[UUID] = []
    known = await store.load_known(tx, [one.notice for one in unrendered], public_url) if unrendered else []
    for one, all_known in zip(unrendered, known, strict=True):
        letter = domain.compose(all_known)
        if isinstance(letter, domain.Missing):
            waiting.append(one.id)
            continue
        mail = render.Mail(
            one.id,
            render.message_id(one.id, sender),
            one.notice.request_id or one.notice.scope_id,
            sender,
            letter.address,
            tx.now.replace(microsecond=0),
            render.render(one.notice.name, letter),
        )
        await store.save_rendering(tx, mail)
        rendered.append(replace(one, mail=mail, tried_for=timedelta()))
    return rendered, waiting


def _request_of(fact: domain.Fact) -> domain.RequestFacts | None:
    match fact:
        case domain.AccountIssued() | domain.LinkAsked():
            return None
        case domain.CodeAsked() | domain.Submitted() | domain.Granted() | domain.GrantRefused():
            return fact.request
        case _:
            return fact.turn.request


def _subject(notice: domain.Notice) -> UUID:
    return notice.request_id or notice.id


def _record(tx: Transaction, notice: domain.Notice, act: str, **detail: object) -> None:
    audit.record(tx, actor=ACTOR, act=act, subject=notice.id, scope=notice.scope_id, notice=notice.name, **detail)


def _sent(notice: domain.Notice, at: datetime) -> notification.NoticeSent:
    return notification.NoticeSent(
        notice_id=notice.id,
        notice=notice.name,
        scope_id=notice.scope_id,
        request_id=notice.request_id,
        recipient_id=notice.recipient_id,
        sent_at=at,
    )


def _failed(notice: domain.Notice, status: int, at: datetime) -> notification.NoticeFailed:
    return notification.NoticeFailed(
        notice_id=notice.id,
        notice=notice.name,
        scope_id=notice.scope_id,
        request_id=notice.request_id,
        recipient_id=notice.recipient_id,
        smtp_status=status,
        failed_at=at,
    )
