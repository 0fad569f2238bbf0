"""What notification can be asked to do: take a fact in, claim mails, say what became of them, tell, show, forget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.notification import domain, render, store
from shared import audit, outbox, policy, replicas, slices, telemetry
from shared.contracts import notification
from shared.contracts.community import Community
from shared.database import Transaction
from shared.erasure import UNGRANTED_KEPT
from shared.errors import Refusal
from shared.ids import PersonId, RequestId

ACTOR = "notification"
BODIES_KEPT = timedelta(days=30)
NOTICES_KEPT = timedelta(days=400)
"""Longer than any event can come again: the same fact must not be told twice."""
SECRET_NOTICES = ("email_code", "invitation", "set_password")
"""Mails that are good for their secret alone, which nobody reads anywhere else."""
_BATCH = 100

Position = tuple[datetime, UUID]
"""A place in a list, to go on after."""


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
    then = domain.consequences(fact, await _told(tx, fact))
    community_id = None
    if about:
        community_id = await store.keep_request(tx, about, then.step, then.ends_at)
        await store.withdraw(tx, then.pointless, kept=then.kept, request_id=about.id)
        # What this fact told may be what others waited for.
        await store.hasten(tx, request_id=about.id)
    elif then.about_id:
        await store.withdraw(tx, then.pointless, kept=then.kept, only=then.only, about_id=then.about_id)
    if then.settlement:  # After the withdrawal: whoever's mail could not be stopped any more has been told.
        await store.add_settlements(tx, then.settlement)
    await store.add_notices(tx, then.notices, community_id)
    if then.departure:
        await store.add_departure(tx, then.departure)


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


async def record_outcomes(
    tx: Transaction, tries: Sequence[store.Tried], *, jitter: float
) -> Mapping[UUID, domain.Fate]:
    """Keep what became of mails and announce it. Returns it for those that were still ours: no lease had ended."""
    fates = {
        one.claimed.id: domain.fate_of(
            one.outcome,
            attempts=one.claimed.attempt_count,
            tried_for=one.claimed.tried_for,
            may_have_left=one.claimed.may_have_left,
            jitter=jitter,
        )
        for one in tries
    }
    ours = await store.save_fates(tx, [(one, fates[one.claimed.id]) for one in tries])
    for one in tries:
        if one.claimed.id in ours:
            with telemetry.tracing(one.claimed.trace):
                await _announce(tx, one.claimed.notice, fates[one.claimed.id])
    return {notice_id: fate for notice_id, fate in fates.items() if notice_id in ours}


async def _announce(tx: Transaction, notice: domain.Notice, fate: domain.Fate) -> None:
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


async def tell_departures(tx: Transaction) -> int:
    """Tell those who are left where a role, or the keeping of a place, has ended; return of how many it was told."""
    told = []
    for due in await store.lock_departures(tx, _BATCH):
        community = await replicas.load_community(tx, due.community_id) if due.community_id else None
        if community is None:  # Not heard of yet: it is looked at again.
            continue
        holders = await store.list_holders(tx, due.departure.scope_id)
        with telemetry.tracing(due.trace):
            await store.add_notices(tx, domain.told_of(due.departure, community, holders))
        told.append(due.departure.id)
    await store.save_told(tx, told)
    return len(told)


async def tell_digests(tx: Transaction) -> int:
    """Tell people once a day what others have settled; return how many people. Nobody gets an empty one."""
    count = 0
    for community in await replicas.list_communities(tx):
        day = domain.occasion(community, tx.now)
        found = await store.take_settlements(tx, community.id, community.place_id, day, _BATCH)
        await store.add_notices(tx, [domain.digest(community, one, day.day, work) for one, work in found.items()])
        count += len(found)
    return count


async def tell_overdue(tx: Transaction) -> int:
    """Tell the help desk of notices that have waited a day for what they lack. They go on waiting."""
    overdue = await store.lock_overdue(tx, _BATCH)
    for notice in overdue:
        with telemetry.tracing(telemetry.Trace(notice.request_id)):
            await store.add_notices(tx, domain.undelivered(notice, why="overdue"))
        _record(tx, notice, "notice_overdue")
    return len(overdue)


async def forget(tx: Transaction) -> int:
    """Wipe what was written in mails that ended 30 days ago, and who filed requests that ended 90 days ago.

    After 400 days what ended goes as a whole, and so does a draft of then that was never submitted.
    Returns how many rows; 0 when no more of them wait.
    """
    return slices.left_over(
        await store.wipe_bodies(tx, tx.now - BODIES_KEPT),
        await store.wipe_contacts(tx, tx.now - UNGRANTED_KEPT),
        await store.delete_notices(tx, tx.now - NOTICES_KEPT),
        await store.delete_departures(tx, tx.now - NOTICES_KEPT),
        await store.delete_requests(tx, tx.now - NOTICES_KEPT),
        await store.delete_drafts(tx, tx.now - NOTICES_KEPT),
    )


async def list_notices_of_request(
    tx: Transaction, reader_id: PersonId, request_id: RequestId, *, limit: int, after: Position | None
) -> list[store.Listed]:
    """Return what people were told about a request. Refuses with not_found whoever may not know it exists."""
    community_id = await store.load_community_id(tx, request_id)
    community = await replicas.load_community(tx, community_id) if community_id else None
    reader = await store.load_reader(tx, reader_id)
    policy.require(domain.POLICY, "list_notices_of_request", _standings(reader, community))
    wanted = store.Filter(request_id=request_id)
    communities = [community.id] if community else []
    return await store.list_notices(tx, wanted, communities, limit=limit, after=after, newest_first=False)


async def list_notices(
    tx: Transaction, reader_id: PersonId, wanted: store.Filter, *, limit: int, after: Position | None
) -> list[store.Listed]:
    """Return notices of every community whose help desk or auditor the reader is. Refuses others with not_found."""
    reader = await store.load_reader(tx, reader_id)
    standings = {one.id: _standings(reader, one) for one in await replicas.list_communities(tx)}
    policy.require(domain.POLICY, "list_notices", frozenset().union(*standings.values()))
    readable = [one for one, found in standings.items() if policy.allows(domain.POLICY, "list_notices", found)]
    return await store.list_notices(tx, wanted, readable, limit=limit, after=after, newest_first=True)


async def show_notice(
    tx: Transaction, reader_id: PersonId, notice_id: UUID
) -> tuple[store.Listed, list[store.Attempt]]:
    """Return a notice and every try to send it. Refuses with not_found whoever may not know it exists."""
    found = await store.load_notice(tx, notice_id)
    community = await replicas.load_community(tx, found.community_id) if found and found.community_id else None
    reader = await store.load_reader(tx, reader_id)
    policy.require(domain.POLICY, "show_notice", _standings(reader, community))
    if found is None:
        raise Refusal("not_found")
    return found, await store.list_attempts(tx, notice_id)


async def list_own_notices(
    tx: Transaction, person_id: PersonId, *, limit: int, after: Position | None
) -> list[store.Mine]:
    """Return what a person was told. Refuses with not_found whose account may not act."""
    reader = await store.load_reader(tx, person_id)
    policy.require(domain.POLICY, "list_own_notices", domain.standings(None, reader.account_status))
    return await store.list_mine(tx, person_id, SECRET_NOTICES, limit=limit, after=after)


def _standings(reader: store.Reader, community: Community | None) -> frozenset[policy.Standing]:
    held = reader.held_roles.get(community.place_id, frozenset()) if community else frozenset()
    return domain.standings(community, reader.account_status, held)


async def _told(tx: Transaction, fact: domain.Fact) -> set[tuple[str, str]]:
    """Return what was told so far about the same, where that matters."""
    match fact:
        case domain.DecisionAwaited():
            return await store.list_told(tx, request_id=fact.turn.request.id)
        case domain.Granted():
            return await store.list_told(tx, request_id=fact.request.id)
        case domain.EntitlementEnded():
            return await store.list_told(tx, about_id=fact.assignment_id)
        case _:
            return set()


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
        rendered.append(replace(one, mail=mail, tried_for=timedelta()))
    await store.save_renderings(tx, [one.mail for one in rendered if one.mail])
    return rendered, waiting


def _request_of(fact: domain.Fact) -> domain.RequestFacts | None:
    match fact:
        case domain.CodeAsked() | domain.Submitted() | domain.Corrected() | domain.Granted() | domain.GrantRefused():
            return fact.request
        case (
            domain.Opened()
            | domain.DecisionAwaited()
            | domain.Reminded()
            | domain.Escalated()
            | domain.Returned()
            | domain.WithdrawalRefused()
            | domain.Settled()
            | domain.Reopened()
        ):
            return fact.turn.request
        case _:
            return None


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
