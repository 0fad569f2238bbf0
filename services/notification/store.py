"""All SQL of notification: rows to domain values and back."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, String, and_, case, cast, extract, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from services.notification import domain, render
from services.notification.tables import account, assignment, notice, person, place, request
from shared import replicas, telemetry
from shared.contracts.community import Community
from shared.database import Transaction
from shared.ids import PersonId, PlaceId, RequestId, ScopeId, new_id

_UNSENT = ("waiting", "due")
"""States in which a mail has certainly not left."""
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
class Listed:
    """What the help desk may know of one notice."""

    id: UUID
    name: str
    recipient_kind: str
    recipient_id: UUID | None
    version: str
    state: str
    why: str | None
    attempt_count: int
    smtp_status: int | None
    created_at: datetime
    rendered_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Reader:
    """As whom a person may read: their account, and what they hold in a community."""

    account_status: str | None
    held_roles: frozenset[str]


# --- What we hear of requests -----------------------------------------------------------------


async def lock_request(tx: Transaction, facts: domain.RequestFacts) -> None:
    """Keep what `facts` tell of a request, and lock it."""
    values = {name: value for name, value in asdict(facts).items() if value is not None}
    known = insert(request).values(values)
    names = [name for name in values if name not in ("id", "scope_id")]
    # Some column is always set: an insert that does nothing would not lock the row.
    changes = {name: func.coalesce(known.excluded[name], request.c[name]) for name in [*names, "scope_id"]}
    await tx.execute(known.on_conflict_do_update(index_elements=["id"], set_=changes))


async def list_told(tx: Transaction, request_id: RequestId) -> set[tuple[str, str]]:
    """Return name and version of a request's notices so far."""
    rows = await tx.rows(select(notice.c.name, notice.c.version).distinct().where(notice.c.request_id == request_id))
    return {(row.name, row.version) for row in rows}


async def save_step(tx: Transaction, request_id: RequestId, step: Mapping[str, Any], ends_at: datetime | None) -> None:
    """Add one line to a request's history; `ends_at` says that it was the last."""
    await tx.execute(
        update(request)
        .where(request.c.id == request_id)
        .values(
            history=request.c.history.concat(cast([dict(step)], JSONB)),
            ended_at=func.coalesce(ends_at, request.c.ended_at),
        )
    )


async def wipe_contacts(tx: Transaction, ended_before: datetime) -> int:
    """Forget who filed the requests that ended long ago; return how many."""
    done = await tx.execute(
        update(request)
        .where(request.c.ended_at < ended_before, request.c.email.is_not(None))
        .values(given_name=None, family_name=None, email=None)
    )
    return done.rowcount


# --- Notices ----------------------------------------------------------------------------------


async def add_notices(tx: Transaction, notices: Sequence[domain.Notice]) -> None:
    """Keep notices, each once: a row that is there stays as it is."""
    if not notices:
        return
    trace = telemetry.trace()
    rows = [
        {
            "id": one.id,
            "name": one.name,
            "about_id": one.about_id,
            "recipient_kind": one.recipient,
            "recipient_id": one.recipient_id,
            "version": one.version,
            "scope_id": one.scope_id,
            "request_id": one.request_id,
            "community_id": one.community_id,
            "address": one.address,
            "detail": dict(one.detail),
            "secret": one.secret,
            "expires_at": one.expires_at,
            "created_at": tx.now,
            "overdue_at": tx.now + domain.OVERDUE_AFTER,
            "correlation_id": one.request_id or trace.correlation_id or one.about_id,
            "causation_id": trace.causation_id,
            "traceparent": trace.traceparent or telemetry.new_traceparent(),
        }
        for one in notices
    ]
    await tx.execute(insert(notice).on_conflict_do_nothing(), rows)


async def withdraw(tx: Transaction, request_id: RequestId, names: Collection[str], *, kept: str) -> None:
    """Withdraw the request's notices of these names that have not left, but for the version `kept`."""
    if names:
        await tx.execute(
            update(notice)
            .where(
                notice.c.request_id == request_id,
                notice.c.name.in_(names),
                notice.c.version != kept,
                notice.c.state.in_(_UNSENT),
            )
            .values(state="withdrawn", why="settled", ended_at=tx.now, secret=None)
        )


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


async def save_rendering(tx: Transaction, mail: render.Mail) -> None:
    """Keep how a notice was rendered: from here on it is sent like this, however often."""
    await tx.execute(
        update(notice)
        .where(notice.c.id == mail.notice_id)
        .values(
            message_id=mail.message_id,
            sender=mail.sender,
            address=mail.address,
            rendered_at=mail.rendered_at,
            subject=mail.rendering.subject,
            text=mail.rendering.text,
            html=mail.rendering.html,
            due_since_at=func.now(),
            overdue_at=None,
        )
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


async def save_fate(tx: Transaction, claimed: Claimed, fate: domain.Fate) -> bool:
    """Keep what became of a mail, and end its lease. False if the lease was no longer ours."""
    match fate:
        case domain.Sent():
            values: dict[str, Any] = {"state": "sent", "ended_at": tx.now, "secret": None, "smtp_status": 250}
        case domain.Failed(status, why):
            values = {"state": "failed", "ended_at": tx.now, "secret": None, "smtp_status": status or None, "why": why}
        case domain.TryAgain(state, pause, status):
            values = {"state": state, "next_at": func.now() + pause, "smtp_status": status}
    done = await tx.execute(
        update(notice).where(notice.c.id == claimed.id, notice.c.lease == claimed.lease).values(lease=None, **values)
    )
    return done.rowcount == 1


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


async def wipe_bodies(tx: Transaction, ended_before: datetime) -> int:
    """Forget what was written to whom in mails that ended long ago; return how many."""
    done = await tx.execute(
        update(notice)
        .where(notice.c.ended_at < ended_before, notice.c.address.is_not(None))
        .values(subject=None, text=None, html=None, address=None)
    )
    return done.rowcount


async def list_notices(
    tx: Transaction, request_id: RequestId, limit: int, after: tuple[datetime, UUID] | None
) -> list[Listed]:
    """Return the notices of one request, oldest first, after a place in that order."""
    query = select(*[notice.c[name] for name in Listed.__dataclass_fields__]).where(notice.c.request_id == request_id)
    if after is not None:
        created_at, notice_id = after
        query = query.where(
            or_(
                notice.c.created_at > created_at,
                and_(notice.c.created_at == created_at, notice.c.id > notice_id),
            )
        )
    rows = await tx.rows(query.order_by(notice.c.created_at, notice.c.id).limit(limit))
    return [Listed(**row._mapping) for row in rows]


# --- What a notice says -----------------------------------------------------------------------


async def load_known(tx: Transaction, notices: Sequence[domain.Notice], public_url: str) -> list[domain.Known]:
    """Return all that is known for each of these notices, in their order."""
    requests = await _load_requests(tx, {one.request_id for one in notices if one.request_id})
    people = await _load_people(tx, {found for one in notices if (found := _person_of(one))})
    places = await _load_places(tx, [facts for facts, _ in requests.values()])
    communities: dict[tuple[str, int | None], Community | None] = {}

    async def community_of(community_id: str | None, version: int | None) -> Community | None:
        if community_id is None:
            return None
        key = (community_id, version)
        if key not in communities:
            communities[key] = await replicas.load_community(tx, community_id, version)
        return communities[key]

    known = []
    for one in notices:
        facts, history = requests.get(one.request_id, (None, ())) if one.request_id else (None, ())
        community_id = (facts.community_id if facts else None) or one.community_id
        now = await community_of(community_id, None)
        version = facts.community_version if facts else None
        known.append(
            domain.Known(
                one,
                public_url,
                facts,
                history,
                people.get(_person_of(one), domain.Person()),
                await community_of(community_id, version) if version is not None else now,
                now,
                places.get(facts.scope_id) if facts else None,
                places.get(facts.place_id) if facts and facts.place_id else None,
            )
        )
    return known


async def load_reader(tx: Transaction, person_id: PersonId, place_id: PlaceId) -> Reader:
    """Return as whom a person may read what is kept about one community."""
    status = await tx.value(select(account.c.status).where(account.c.id == person_id))
    rows = await tx.rows(
        select(assignment.c.role).where(
            assignment.c.person_id == person_id, assignment.c.place_id == place_id, assignment.c.active
        )
    )
    return Reader(status, frozenset(row.role for row in rows))


async def load_community_of(tx: Transaction, request_id: RequestId) -> Community | None:
    """Return the present form of the community to which a request belongs; None if either is unknown."""
    community_id = await tx.value(select(request.c.community_id).where(request.c.id == request_id))
    return None if community_id is None else await replicas.load_community(tx, community_id)


# --- Replicas ---------------------------------------------------------------------------------


async def save_people(tx: Transaction, people: Sequence[Mapping[str, Any]]) -> None:
    """Keep newer states of people; a user ID that is known stays known."""
    known = insert(person)
    changes = {name: known.excluded[name] for name in ("version", "given_name", "family_name", "email")}
    await tx.execute(
        known.on_conflict_do_update(
            index_elements=["id"],
            set_={**changes, "user_id": func.coalesce(known.excluded.user_id, person.c.user_id)},
            where=person.c.version < known.excluded.version,
        ),
        people,
    )


async def save_user_id(tx: Transaction, person_id: PersonId, user_id: str) -> None:
    """Keep a person's user ID, which never changes."""
    known = insert(person).values(id=person_id, version=0, user_id=user_id)
    await tx.execute(known.on_conflict_do_update(index_elements=["id"], set_={"user_id": known.excluded.user_id}))


async def save_places(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep newer names of organizations and groups."""
    if rows:
        await tx.execute(replicas.newer(insert(place), place, "version"), rows)


async def save_assignments(
    tx: Transaction, rows: Sequence[Mapping[str, Any]], deleted: Sequence[Mapping[str, Any]]
) -> None:
    """Keep newer states of roles that are held in communities; a deleted one keeps its version."""
    if rows:
        await tx.execute(replicas.newer(insert(assignment), assignment, "version"), rows)
    for row in deleted:
        await tx.execute(
            update(assignment)
            .where(assignment.c.id == row["id"], assignment.c.version < row["version"])
            .values(active=False, version=row["version"])
        )


async def save_accounts(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep newer states of accounts."""
    await tx.execute(replicas.newer(insert(account), account, "version"), rows)


async def hasten(
    tx: Transaction,
    *,
    request_id: RequestId | None = None,
    person_ids: Collection[UUID] = (),
    place_ids: Collection[UUID] = (),
) -> None:
    """Look at once at the notices that may have waited for what has just become known.

    A notice that is written at this very moment is not seen; it is young and looked at again soon.
    """
    which = []
    if request_id is not None:
        which.append(notice.c.request_id == request_id)
    if person_ids:
        which.append(notice.c.recipient_id.in_(person_ids))
        which.append(cast(notice.c.detail["person_id"].astext, String).in_([str(one) for one in person_ids]))
    if place_ids:
        which.append(notice.c.scope_id.in_(place_ids))
        which.append(notice.c.request_id.in_(select(request.c.id).where(request.c.place_id.in_(place_ids))))
    for one in which:
        await tx.execute(
            update(notice).where(notice.c.state == "waiting", one).values(next_at=func.now(), due_since_at=func.now())
        )


# --- Rows to values ---------------------------------------------------------------------------


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


def _person_of(one: domain.Notice) -> UUID | None:
    mentioned = one.detail.get("person_id")
    return one.recipient_id or (UUID(mentioned) if mentioned else None)


async def _load_requests(
    tx: Transaction, ids: Collection[RequestId]
) -> dict[RequestId, tuple[domain.RequestFacts, Sequence[Mapping[str, Any]]]]:
    if not ids:
        return {}
    names = list(domain.RequestFacts.__dataclass_fields__)
    rows = await tx.rows(select(request).where(request.c.id.in_(ids)))
    return {
        RequestId(row.id): (domain.RequestFacts(**{name: row._mapping[name] for name in names}), row.history)
        for row in rows
    }


async def _load_people(tx: Transaction, ids: Collection[UUID]) -> dict[UUID | None, domain.Person]:
    if not ids:
        return {}
    rows = await tx.rows(select(person).where(person.c.id.in_(ids)))
    return {row.id: domain.Person(row.given_name, row.family_name, row.email, row.user_id) for row in rows}


async def _load_places(tx: Transaction, requests: Sequence[domain.RequestFacts]) -> dict[PlaceId | ScopeId, str]:
    ids = {one.scope_id for one in requests} | {one.place_id for one in requests if one.place_id}
    if not ids:
        return {}
    return {row.id: row.name for row in await tx.rows(select(place).where(place.c.id.in_(ids)))}
