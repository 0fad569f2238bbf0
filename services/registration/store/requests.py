"""Requests, who filed each, and what has happened to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from services.registration import domain
from services.registration.store import rows
from services.registration.tables import identity, request, timeline
from shared.database import Transaction
from shared.erasure import UNGRANTED_KEPT
from shared.ids import PersonId, RequestId

_ADD_REQUEST, _ADD_IDENTITY, _ADD_MOMENT = insert(request), insert(identity), insert(timeline)
_LOCK = select(request).where(request.c.id == bindparam("request_id")).with_for_update()


@dataclass(frozen=True)
class Moment:
    """One line of a request's timeline."""

    at: datetime
    what: str
    roles: tuple[str, ...]


async def add_request(tx: Transaction, it: domain.Request, who: domain.Identity) -> None:
    """Store a request and who filed it."""
    await tx.execute(
        _ADD_REQUEST,
        {
            "id": it.id,
            "tracking_number": it.tracking_number,
            "community_id": it.community_id,
            "community_version": it.community_version,
            "kind": it.kind,
            "scope_id": it.place.scope_id,
            "place_kind": it.place.kind,
            "place_id": it.place.id,
            "place_key": it.place_key,
            "filed_at": it.filed_at,
            "application": it.application,
            "rests_on_id": it.rests_on.assignment_id if it.rests_on else None,
            "rests_on_role": it.rests_on.role if it.rests_on else None,
            "rests_on_place_kind": it.rests_on.place_kind if it.rests_on else None,
            "rests_on_place_id": it.rests_on.place_id if it.rests_on else None,
            "invitation_id": it.invitation_id,
            **rows.submission(it),
            **rows.progress(it.progress),
        },
    )
    await tx.execute(_ADD_IDENTITY, {"request_id": it.id, **rows.identity(who)})
    await add_moment(tx, it.id, it.filed_at, "filed")
    if not it.is_draft:
        await add_moment(tx, it.id, it.progress.since_at, "submitted")


async def save_submission(tx: Transaction, it: domain.Request, who: domain.Identity) -> None:
    """Store that a draft was submitted, or to whom it was found to belong."""
    await tx.change(request, it.id, {**rows.submission(it), **rows.progress(it.progress)})
    await tx.change(identity, it.id, rows.identity(who))
    if not it.is_draft:
        await add_moment(tx, it.id, it.progress.since_at, "submitted")


async def save_correction(tx: Transaction, it: domain.Request, who: domain.Identity) -> None:
    """Store the corrected data of a request, and that it is on its way."""
    now = {"place_key": it.place_key, "revision": it.revision, **rows.progress(it.progress)}
    await tx.change(request, it.id, now)
    await tx.change(identity, it.id, rows.data(who))


async def save_wish(tx: Transaction, it: domain.Request) -> None:
    """Store what became of the applicant's wish to withdraw a request."""
    await tx.change(request, it.id, {"withdrawal": it.progress.withdrawal})


async def save_progress(tx: Transaction, it: domain.Request, now: domain.Progress) -> None:
    """Store how far a request has come. Whatever was heard of it, it has been opened."""
    ended = now.since_at if now.has_ended else None
    await tx.change(
        request,
        it.id,
        {
            **rows.progress(now),
            "ended_at": ended,
            "erase_at": ended + UNGRANTED_KEPT if ended and now.state != "granted" else None,
            "announce_again_at": None,
            "unopened_since": None,
        },
    )


async def lock_request(tx: Transaction, request_id: RequestId) -> domain.Request | None:
    """Return one request and keep others from changing it until the commit."""
    row = await tx.one(_LOCK, {"request_id": request_id})
    return rows.request_of(row) if row else None


async def load_request(tx: Transaction, request_id: RequestId) -> domain.Request | None:
    """Return one request."""
    row = await tx.one(select(request).where(request.c.id == request_id))
    return rows.request_of(row) if row else None


async def load_request_by_number(tx: Transaction, tracking_number: str) -> domain.Request | None:
    """Return the request of a tracking number."""
    row = await tx.one(select(request).where(request.c.tracking_number == tracking_number))
    return rows.request_of(row) if row else None


async def list_requests_of(
    tx: Transaction, person_id: PersonId, *, before: RequestId | None, at_most: int
) -> list[domain.Request]:
    """Return the submitted requests of a person, the newest first, that come after `before`."""
    mine = select(request).where(request.c.person_id == person_id)
    if before is not None:
        mine = mine.where(request.c.id < before)
    return [rows.request_of(row) for row in await tx.rows(mine.order_by(request.c.id.desc()).limit(at_most))]


async def load_open_request(tx: Transaction, person_id: PersonId, like: domain.Request) -> domain.Request | None:
    """Return the open request of a person for the kind and place of `like`, if there is one. Source: R5."""
    row = await tx.one(
        select(request).where(
            request.c.person_id == person_id,
            request.c.community_id == like.community_id,
            request.c.kind == like.kind,
            request.c.place_key == like.place_key,
            request.c.ended_at.is_(None),
            request.c.id != like.id,
        )
    )
    return rows.request_of(row) if row else None


async def list_open_elsewhere(tx: Transaction, person_id: PersonId, email_fingerprint: str) -> list[domain.Request]:
    """Return the open requests of a person that were filed at another e-mail address."""
    found = await tx.rows(
        select(request)
        .join(identity, identity.c.request_id == request.c.id)
        .where(
            request.c.person_id == person_id,
            request.c.ended_at.is_(None),
            identity.c.email_fingerprint != email_fingerprint,
        )
    )
    return [rows.request_of(row) for row in found]


async def load_identity(tx: Transaction, request_id: RequestId) -> domain.Identity | None:
    """Return who filed a request; None once that was erased."""
    row = await tx.one(select(identity).where(identity.c.request_id == request_id))
    if row is None:
        return None
    return domain.Identity(
        domain.Applicant(row.given_name, row.family_name, row.email, row.phone),
        row.email_fingerprint,
        domain.PersonKey(row.ssn_fingerprint, row.identity_fingerprint),
        {name: tuple(value) if isinstance(value, list) else value for name, value in row.data.items()},
        row.secrets,
    )


async def delete_request(tx: Transaction, request_id: RequestId) -> None:
    """Delete a draft and all that belongs to it."""
    await tx.execute(delete(request).where(request.c.id == request_id, request.c.person_id.is_(None)))


async def add_moment(
    tx: Transaction, request_id: RequestId, at: datetime, what: str, roles: Sequence[str] = ()
) -> None:
    """Add a line to a request's timeline."""
    await tx.execute(_ADD_MOMENT, {"request_id": request_id, "at": at, "what": what, "roles": list(roles)})


async def list_moments(tx: Transaction, request_id: RequestId) -> list[Moment]:
    """Return a request's timeline, oldest first."""
    found = await tx.rows(
        select(timeline).where(timeline.c.request_id == request_id).order_by(timeline.c.at, timeline.c.position)
    )
    return [Moment(row.at, row.what, tuple(row.roles)) for row in found]
