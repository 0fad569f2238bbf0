"""Notices: kept once each, withdrawn while they have not left, listed for those who may see them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Interval,
    Select,
    String,
    Text,
    Update,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    not_,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.notification import domain
from services.notification.tables import attempt, notice, request
from shared import slices, telemetry
from shared.database import Transaction
from shared.ids import PersonId, RequestId

_UNSENT = ("waiting", "due")
"""States in which a mail has certainly not left."""
_ON_ITS_WAY = ("sending", "unknown")


@dataclass(frozen=True)
class Listed:
    """What the help desk and the auditor may know of one notice."""

    id: UUID
    name: str
    recipient_kind: str
    recipient_id: UUID | None
    request_id: UUID | None
    community_id: str | None
    version: str
    state: str
    why: str | None
    attempt_count: int
    smtp_status: int | None
    created_at: datetime
    rendered_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Attempt:
    """One try to send a notice."""

    number: int
    at: datetime
    outcome: str
    smtp_status: int | None


@dataclass(frozen=True)
class Mine:
    """One notice as its recipient reads it."""

    id: UUID
    name: str
    request_id: UUID | None
    subject: str
    text: str
    rendered_at: datetime


@dataclass(frozen=True)
class Filter:
    """Which notices are wanted. What is None is no condition."""

    request_id: UUID | None = None
    recipient_id: UUID | None = None
    state: str | None = None
    name: str | None = None


_held = func.now() + bindparam("held_for", type_=Interval)
_ADD = insert(notice).values(next_at=_held, due_since_at=_held).on_conflict_do_nothing()


def _withdrawal(about: ColumnElement[Any]) -> Update:
    version, kept, only = notice.c.version, bindparam("kept", type_=Text), bindparam("only", type_=Text)
    has_not_left = notice.c.state.in_(_UNSENT)
    return (
        update(notice)
        .where(
            about == bindparam("about", type_=Uuid),
            notice.c.name == any_(bindparam("names", type_=ARRAY(Text))),
            not_(or_(version == kept, func.starts_with(version, kept + "."))),
            or_(only == "", version == only, func.starts_with(version, only + ".")),
            notice.c.state.in_((*_UNSENT, *_ON_ITS_WAY)),
        )
        .values(
            state=case((has_not_left, "withdrawn"), else_=notice.c.state),
            why=case((has_not_left, "settled"), else_=notice.c.why),
            secret=case((has_not_left, None), else_=notice.c.secret),
            ended_at=case((has_not_left, _NOW), else_=notice.c.ended_at),
            expires_at=case((has_not_left, notice.c.expires_at), else_=_NOW),
        )
    )


def _hastening(which: ColumnElement[bool]) -> Update:
    return (
        update(notice)
        .where(notice.c.state == "waiting", notice.c.due_since_at <= func.now(), which)
        .values(next_at=func.now(), due_since_at=func.now())
    )


_NOW = bindparam("now", type_=DateTime(timezone=True))
_WITHDRAW_OF_REQUEST = _withdrawal(notice.c.request_id)
_WITHDRAW_ABOUT = _withdrawal(notice.c.about_id)
_HASTEN_REQUEST = _hastening(notice.c.request_id == bindparam("about", type_=Uuid))


async def add_notices(tx: Transaction, notices: Sequence[domain.Notice], community_id: str | None = None) -> None:
    """Keep notices, each once: a row that is there stays as it is.

    `community_id` is the community of those that do not name one.
    """
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
            "community_id": one.community_id or community_id,
            "address": one.address,
            "detail": dict(one.detail),
            "secret": one.secret,
            "expires_at": one.expires_at,
            "created_at": tx.now,
            "overdue_at": tx.now + domain.OVERDUE_AFTER,
            "correlation_id": one.request_id or trace.correlation_id or one.about_id,
            "causation_id": trace.causation_id,
            "traceparent": trace.traceparent or telemetry.new_traceparent(),
            "held_for": one.held_for,
        }
        for one in notices
    ]
    await tx.execute(_ADD, rows)


async def list_told(
    tx: Transaction, *, request_id: RequestId | None = None, about_id: UUID | None = None
) -> set[tuple[str, str]]:
    """Return name and version of the notices so far of a request, or about something else."""
    which = notice.c.request_id == request_id if request_id else notice.c.about_id == about_id
    rows = await tx.rows(select(notice.c.name, notice.c.version).distinct().where(which))
    return {(row.name, row.version) for row in rows}


async def withdraw(
    tx: Transaction,
    names: Collection[str],
    *,
    kept: str,
    only: str = "",
    request_id: RequestId | None = None,
    about_id: UUID | None = None,
) -> None:
    """Withdraw a request's notices of these names, or those about something, that have not left.

    Those whose version is `kept`, or a part of it, stay, and if `only` is said all others than it and its parts.
    One that is on its way is not stopped, but if it does not arrive it is not tried again.
    """
    if names:
        by, about = (_WITHDRAW_OF_REQUEST, request_id) if request_id else (_WITHDRAW_ABOUT, about_id)
        await tx.execute(by, {"about": about, "names": list(names), "kept": kept, "only": only, "now": tx.now})


async def hasten(
    tx: Transaction,
    *,
    request_id: RequestId | None = None,
    person_ids: Collection[UUID] = (),
    place_ids: Collection[UUID] = (),
) -> None:
    """Look at once at the notices that may have waited for what has just become known.

    A notice that is written at this very moment is not seen; it is young and looked at again soon. One that
    is held stays so.
    """
    which: list[ColumnElement[bool]] = []
    if request_id is not None:
        await tx.execute(_HASTEN_REQUEST, {"about": request_id})
    if person_ids:
        which.append(notice.c.recipient_id.in_(person_ids))
        which.append(_detail("person_id").in_([str(one) for one in person_ids]))
    if place_ids:
        about = request.c.place_id.in_(place_ids) | request.c.resting_id.in_(place_ids)
        which.append(notice.c.scope_id.in_(place_ids))
        which.append(_detail("place_id").in_([str(one) for one in place_ids]))
        which.append(notice.c.request_id.in_(select(request.c.id).where(about)))
    for one in which:
        await tx.execute(_hastening(one))


async def list_notices(
    tx: Transaction,
    wanted: Filter,
    community_ids: Collection[str],
    *,
    limit: int,
    after: tuple[datetime, UUID] | None,
    newest_first: bool,
) -> list[Listed]:
    """Return notices of these communities that fit, in the order of their making, after a place in it."""
    query = _listed().where(_community_id().in_(community_ids))
    for column, value in (
        (notice.c.request_id, wanted.request_id),
        (notice.c.recipient_id, wanted.recipient_id),
        (notice.c.state, wanted.state),
        (notice.c.name, wanted.name),
    ):
        if value is not None:
            query = query.where(column == value)
    return [Listed(**row._mapping) for row in await tx.rows(_page(query, limit, after, newest_first=newest_first))]


async def load_notice(tx: Transaction, notice_id: UUID) -> Listed | None:
    """Return one notice, if there is one."""
    row = await tx.one(_listed().where(notice.c.id == notice_id))
    return None if row is None else Listed(**row._mapping)


async def list_attempts(tx: Transaction, notice_id: UUID) -> list[Attempt]:
    """Return every try to send a notice, in their order."""
    columns = [attempt.c[one.name] for one in fields(Attempt)]
    rows = await tx.rows(select(*columns).where(attempt.c.notice_id == notice_id).order_by(attempt.c.number))
    return [Attempt(**row._mapping) for row in rows]


async def list_mine(
    tx: Transaction, person_id: PersonId, without: Collection[str], *, limit: int, after: tuple[datetime, UUID] | None
) -> list[Mine]:
    """Return what a person was told, newest first, but for these names, withdrawn ones and what is wiped."""
    query = select(*[notice.c[one.name] for one in fields(Mine)]).where(
        notice.c.recipient_id == person_id,
        notice.c.name.not_in(without),
        notice.c.state != "withdrawn",
        notice.c.text.is_not(None),
    )
    if after is not None:
        query = query.where(tuple_(notice.c.rendered_at, notice.c.id) < after)
    query = query.order_by(notice.c.rendered_at.desc(), notice.c.id.desc()).limit(limit)
    return [Mine(**row._mapping) for row in await tx.rows(query)]


async def wipe_bodies(tx: Transaction, ended_before: datetime) -> int:
    """Forget what was written to whom in mails that ended long ago. Returns in how many."""
    nothing = {"subject": None, "text": None, "html": None, "address": None}
    return await slices.wipe_oldest(tx, notice.c.ended_at, ended_before, notice.c.address.is_not(None), values=nothing)


async def delete_notices(tx: Transaction, ended_before: datetime) -> int:
    """Forget notices that ended very long ago, and every try to send them. Returns how many."""
    return await slices.delete_oldest(tx, notice.c.ended_at, ended_before, notice.c.address.is_(None))


def _detail(name: str) -> ColumnElement[str]:
    return cast(notice.c.detail[name].astext, String)


def _community_id() -> ColumnElement[str]:
    return func.coalesce(notice.c.community_id, request.c.community_id)


def _listed() -> Select[Any]:
    columns = [
        _community_id().label("community_id") if one.name == "community_id" else notice.c[one.name]
        for one in fields(Listed)
    ]
    return select(*columns).outerjoin(request, request.c.id == notice.c.request_id)


def _page(query: Select[Any], limit: int, after: tuple[datetime, UUID] | None, *, newest_first: bool) -> Select[Any]:
    if after is not None:
        at, notice_id = after
        later, same = (
            (notice.c.created_at < at, notice.c.id < notice_id)
            if newest_first
            else (notice.c.created_at > at, notice.c.id > notice_id)
        )
        query = query.where(or_(later, and_(notice.c.created_at == at, same)))
    if newest_first:
        return query.order_by(notice.c.created_at.desc(), notice.c.id.desc()).limit(limit)
    return query.order_by(notice.c.created_at, notice.c.id).limit(limit)
