"""All the SQL of registration: rows to domain values and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import and_, case, delete, exists, func, literal, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from services.registration.domain import requests as domain
from services.registration.tables import (
    account,
    assignment,
    document,
    email_code,
    identity,
    known_person,
    organization,
    person,
    request,
    timeline,
    user_group,
)
from shared.contracts.community import Surroundings
from shared.database import Transaction
from shared.ids import DocumentId, PersonId, PlaceId, RequestId, ScopeId, new_id
from shared.replicas import newer

CAN_ACT = ("invited", "active")
_AT_ONCE = 100


@dataclass(frozen=True)
class KnownPerson:
    """A person whom the directory knows: how to address them, and whether their account can act."""

    applicant: domain.Applicant
    can_act: bool


@dataclass(frozen=True)
class AccountHolder:
    """Somebody who has an account already, and the address at which the account hears."""

    person_id: PersonId
    email: str | None


@dataclass(frozen=True)
class Document:
    """A document that was received."""

    id: DocumentId
    code: str
    media_type: str
    sha256: str
    size_bytes: int
    storage_key: str
    added_at: datetime


@dataclass(frozen=True)
class Moment:
    """One line of a request's timeline."""

    at: datetime
    what: str
    roles: tuple[str, ...]


# --- What the directory says ----------------------------------------------------------------------


async def save_replica(tx: Transaction, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep what the directory says of some entities, unless something newer is known. Any table of replicas."""
    if rows:
        key = next(iter(table.primary_key)).name
        # One order for everybody: two workers that save the same rows never wait for each other in a circle.
        ordered = sorted(rows, key=lambda row: str(row[key]))
        await tx.execute(newer(insert(table), table, "version").values(ordered))


async def load_surroundings(
    tx: Transaction, community_id: str, scope_id: ScopeId, group_id: PlaceId | None, needed_role: str | None
) -> Surroundings:
    """Return what preconditions are judged on, as far as the directory has told.

    An organization of another community is as unknown as one that is not there.
    """
    group_row = (
        await tx.one(select(user_group.c.organization_id, user_group.c.status).where(user_group.c.id == group_id))
        if group_id
        else None
    )
    taken = (
        await tx.value(
            select(func.count())
            .select_from(assignment)
            .where(assignment.c.place_id == scope_id, assignment.c.role == needed_role, assignment.c.status == "active")
        )
        if needed_role
        else 0
    )
    return Surroundings(
        organization_status=await tx.value(
            select(organization.c.status).where(
                organization.c.id == scope_id, organization.c.community_id == community_id
            )
        ),
        group_status=group_row.status if group_row else None,
        group_in_scope=group_row is not None and group_row.organization_id == scope_id,
        seats_taken={needed_role: taken} if needed_role else None,
    )


async def load_scope_of_group(tx: Transaction, group_id: PlaceId) -> ScopeId | None:
    """Return the organization of a group, if the group is known."""
    return cast(
        "ScopeId | None", await tx.value(select(user_group.c.organization_id).where(user_group.c.id == group_id))
    )


async def load_known_person(tx: Transaction, person_id: PersonId) -> KnownPerson | None:
    """Return a person whom the directory knows, or None if it has not told of both person and account yet."""
    row = await tx.one(
        select(known_person, account.c.status)
        .join(account, account.c.person_id == known_person.c.id)
        .where(known_person.c.id == person_id)
    )
    if row is None:
        return None
    return KnownPerson(domain.Applicant(row.given_name, row.family_name, row.email), can_act=row.status in CAN_ACT)


async def has_account(tx: Transaction, person_id: PersonId) -> bool:
    """Tell whether a person has an account, as the directory's state or a grant has told."""
    return bool(await tx.value(select(_has_account(literal(person_id)))))


async def find_account_holder(tx: Transaction, key: domain.PersonKey) -> AccountHolder | None:
    """Return the account holder whom these fingerprints recognise, the SSN before the identity."""
    granted_to = (
        select(identity.c.email)
        .join(request, request.c.id == identity.c.request_id)
        .where(request.c.person_id == person.c.id, request.c.state == "granted")
        .limit(1)
        .scalar_subquery()
    )
    rows = await tx.rows(
        select(person.c.id, func.coalesce(func.nullif(known_person.c.email, ""), granted_to).label("email"))
        .outerjoin(known_person, known_person.c.id == person.c.id)
        .where(_recognised(key), _has_account(person.c.id))
        .order_by(case((person.c.ssn_fingerprint == key.ssn, 0), else_=1))
        .limit(1)
    )
    return AccountHolder(PersonId(rows[0].id), rows[0].email) if rows else None


async def load_reader(tx: Transaction, person_id: PersonId) -> domain.Reader:
    """Return which roles a person holds where; none if the account cannot act."""
    rows = await tx.rows(
        select(assignment.c.role, assignment.c.place_id)
        .join(account, account.c.person_id == assignment.c.person_id)
        .where(assignment.c.person_id == person_id, assignment.c.status == "active", account.c.status.in_(CAN_ACT))
    )
    return domain.Reader(frozenset((row.role, row.place_id) for row in rows))


# --- People ---------------------------------------------------------------------------------------


async def lock_person(tx: Transaction, person_id: PersonId) -> None:
    """Let nobody else submit for this person until the commit."""
    statement = insert(person).values(id=person_id)
    await tx.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"id": statement.excluded.id}))


async def lock_same_person(tx: Transaction, key: domain.PersonKey) -> domain.Human | None:
    """Return the one person of these fingerprints, made if nobody has met them; None on a contradiction.

    One insert fixes the id: of two first requests at once, the second waits and meets the first's row.
    """
    await tx.execute(
        insert(person)
        .values(id=new_id(), ssn_fingerprint=key.ssn, identity_fingerprint=key.identity)
        .on_conflict_do_nothing()
    )
    rows = await tx.rows(select(person).where(_recognised(key)).order_by(person.c.id).with_for_update())
    met = [
        domain.Human(PersonId(row.id), domain.PersonKey(row.ssn_fingerprint, row.identity_fingerprint)) for row in rows
    ]
    found = domain.same_person(key, met)
    if found is not None and found.key.ssn is None and key.ssn is not None:
        await tx.execute(update(person).where(person.c.id == found.id).values(ssn_fingerprint=key.ssn))
    return found


# --- Requests -------------------------------------------------------------------------------------


async def add_request(tx: Transaction, it: domain.Request, who: domain.Identity) -> None:
    """Store a request and who filed it."""
    await tx.execute(
        insert(request).values(
            id=it.id,
            tracking_number=it.tracking_number,
            community_id=it.community_id,
            community_version=it.community_version,
            kind=it.kind,
            scope_id=it.place.scope_id,
            place_kind=it.place.kind,
            place_id=it.place.id,
            place_key=it.place_key,
            filed_at=it.filed_at,
            **_submission(it),
            **_progress(it.progress),
        )
    )
    await tx.execute(insert(identity).values(request_id=it.id, **_identity(who)))
    await add_moment(tx, it.id, it.filed_at, "filed")
    if not it.is_draft:
        await add_moment(tx, it.id, it.progress.since_at, "submitted")


async def save_submission(tx: Transaction, it: domain.Request, who: domain.Identity) -> None:
    """Store that a draft was submitted, or to whom it was found to belong."""
    await tx.execute(update(request).where(request.c.id == it.id).values(**_submission(it), **_progress(it.progress)))
    await tx.execute(update(identity).where(identity.c.request_id == it.id).values(**_identity(who)))
    if not it.is_draft:
        await add_moment(tx, it.id, it.progress.since_at, "submitted")


async def save_progress(tx: Transaction, it: domain.Request, now: domain.Progress) -> None:
    """Store how far a request has come. Whatever was heard of it, it has been opened."""
    ended = now.since_at if now.has_ended else None
    await tx.execute(
        update(request)
        .where(request.c.id == it.id)
        .values(
            **_progress(now),
            ended_at=ended,
            erase_at=ended + domain.IDENTITY_KEPT if ended and now.state != "granted" else None,
            announce_again_at=None,
            unopened_since=None,
        )
    )


async def lock_request(tx: Transaction, request_id: RequestId) -> domain.Request | None:
    """Return one request and keep others from changing it until the commit."""
    row = await tx.one(select(request).where(request.c.id == request_id).with_for_update())
    return _request_of(row) if row else None


async def load_request(tx: Transaction, request_id: RequestId) -> domain.Request | None:
    """Return one request."""
    row = await tx.one(select(request).where(request.c.id == request_id))
    return _request_of(row) if row else None


async def load_request_by_number(tx: Transaction, tracking_number: str) -> domain.Request | None:
    """Return the request of a tracking number."""
    row = await tx.one(select(request).where(request.c.tracking_number == tracking_number))
    return _request_of(row) if row else None


async def load_open_request(tx: Transaction, person_id: PersonId, like: domain.Request) -> domain.Request | None:
    """Return the open request of a person for the kind and place of `like`, if there is one. Source: R5."""
    row = await tx.one(
        select(request).where(
            request.c.person_id == person_id,
            request.c.community_id == like.community_id,
            request.c.kind == like.kind,
            request.c.place_key == like.place_key,
            request.c.ended_at.is_(None),
        )
    )
    return _request_of(row) if row else None


async def has_open_elsewhere(tx: Transaction, person_id: PersonId, email_fingerprint: str) -> bool:
    """Tell whether a person has an open request at another e-mail address."""
    found = await tx.value(
        select(
            exists().where(
                request.c.person_id == person_id,
                request.c.ended_at.is_(None),
                identity.c.request_id == request.c.id,
                identity.c.email_fingerprint != email_fingerprint,
            )
        )
    )
    return bool(found)


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
    await tx.execute(insert(timeline).values(request_id=request_id, at=at, what=what, roles=list(roles)))


async def list_moments(tx: Transaction, request_id: RequestId) -> list[Moment]:
    """Return a request's timeline, oldest first."""
    rows = await tx.rows(
        select(timeline).where(timeline.c.request_id == request_id).order_by(timeline.c.at, timeline.c.position)
    )
    return [Moment(row.at, row.what, tuple(row.roles)) for row in rows]


# --- Codes ----------------------------------------------------------------------------------------


async def add_code(
    tx: Transaction, request_id: RequestId, fingerprint: str, *, asked_again: bool, expires_at: datetime
) -> None:
    """Store a code that will be mailed. It takes the place of those before it."""
    await tx.execute(
        insert(email_code).values(
            id=new_id(),
            request_id=request_id,
            code_fingerprint=fingerprint,
            asked_at=tx.now,
            asked_again=asked_again,
            expires_at=expires_at,
        )
    )


async def load_newest_code(tx: Transaction, request_id: RequestId) -> domain.Code | None:
    """Return the newest code of a request whose row is locked."""
    rows = await tx.rows(
        select(email_code)
        .where(email_code.c.request_id == request_id)
        .order_by(email_code.c.asked_at.desc(), email_code.c.id.desc())
        .limit(1)
    )
    return (
        domain.Code(rows[0].id, rows[0].code_fingerprint, rows[0].expires_at, rows[0].try_count, rows[0].used_at)
        if rows
        else None
    )


async def save_failed_try(tx: Transaction, code_id: UUID) -> None:
    """Count a wrong try of a code."""
    await tx.execute(update(email_code).where(email_code.c.id == code_id).values(try_count=email_code.c.try_count + 1))


async def save_code_used(tx: Transaction, code_id: UUID) -> None:
    """Let a code never be used again."""
    await tx.execute(update(email_code).where(email_code.c.id == code_id).values(used_at=tx.now))


async def count_codes_asked(tx: Transaction, request_id: RequestId) -> int:
    """Return how many codes were asked for again in the last hour."""
    return int(
        await tx.value(
            select(func.count())
            .select_from(email_code)
            .where(
                email_code.c.request_id == request_id,
                email_code.c.asked_again,
                email_code.c.asked_at > tx.now - timedelta(hours=1),
            )
        )
    )


# --- Documents ------------------------------------------------------------------------------------


async def add_document(tx: Transaction, request_id: RequestId, it: Document) -> bool:
    """Store a document; False if the very same one is there already."""
    done = await tx.execute(
        insert(document)
        .values(
            id=it.id,
            request_id=request_id,
            code=it.code,
            media_type=it.media_type,
            sha256=it.sha256,
            size_bytes=it.size_bytes,
            storage_key=it.storage_key,
            added_at=it.added_at,
        )
        .on_conflict_do_nothing(index_elements=["request_id", "code", "sha256"])
    )
    return done.rowcount == 1


async def list_documents(tx: Transaction, request_id: RequestId) -> list[Document]:
    """Return the documents of a request, oldest first."""
    rows = await tx.rows(select(document).where(document.c.request_id == request_id).order_by(document.c.id))
    return [
        Document(row.id, row.code, row.media_type, row.sha256, row.size_bytes, row.storage_key, row.added_at)
        for row in rows
    ]


async def list_unknown_keys(tx: Transaction, keys: Sequence[str]) -> list[str]:
    """Return those of some storage keys that no document names."""
    known = {
        row.storage_key for row in await tx.rows(select(document.c.storage_key).where(document.c.storage_key.in_(keys)))
    }
    return [key for key in keys if key not in known]


# --- Timers ---------------------------------------------------------------------------------------


async def lock_due(tx: Transaction, timer: str) -> list[domain.Request]:
    """Return some requests of which this timer is due, each for this transaction alone.

    `timer` is a column: draft_expires_at, erase_at or announce_again_at.
    """
    due = request.c[timer]
    rows = await tx.rows(
        select(request)
        .where(due.is_not(None), due <= tx.now)
        .order_by(due)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return [_request_of(row) for row in rows]


async def delete_identities(tx: Transaction, them: Sequence[domain.Request]) -> None:
    """Erase who filed some requests, with documents, codes and, if nothing else needs it, the person.

    The documents' bytes have no row any more from here on, so they go as orphans do.
    """
    ids = [it.id for it in them]
    for table in (identity, document, email_code):
        await tx.execute(delete(table).where(table.c.request_id.in_(ids)))
    await tx.execute(update(request).where(request.c.id.in_(ids)).values(erase_at=None))
    still_needed = exists().where(request.c.person_id == person.c.id, identity.c.request_id == request.c.id)
    await tx.execute(
        delete(person).where(person.c.id.in_([it.person_id for it in them]), ~still_needed, ~_has_account(person.c.id))
    )


async def save_announced_again(tx: Transaction, it: domain.Request, *, was_sent: bool) -> bool:
    """Note one more try to have a request opened; True once it has had all its tries.

    A try counts only if the event had left before: while Kafka is down nobody is to blame.
    """
    given_up = request.c.announced_again_count >= domain.ANNOUNCED_AGAIN_AT_MOST
    row = await tx.one(
        update(request)
        .where(request.c.id == it.id)
        .values(
            announced_again_count=request.c.announced_again_count + (1 if was_sent else 0),
            announce_again_at=case((given_up, null()), else_=tx.now + domain.MUST_BE_OPENED_WITHIN),
            unopened_since=case((given_up, tx.now), else_=null()),
        )
        .returning(request.c.unopened_since)
    )
    return row is not None and row.unopened_since is not None


async def count_unopened(tx: Transaction) -> int:
    """Return how many requests approval never opened, although they were announced again and again."""
    return int(await tx.value(select(func.count()).select_from(request).where(request.c.unopened_since.is_not(None))))


# --- Rows and values ------------------------------------------------------------------------------


def _recognised(key: domain.PersonKey) -> Any:
    by_identity = person.c.identity_fingerprint == key.identity
    return or_(person.c.ssn_fingerprint == key.ssn, by_identity) if key.ssn else by_identity


def _has_account(person_id: Any) -> Any:
    return or_(
        exists().where(account.c.person_id == person_id, account.c.status.not_in(("closed", "deleted"))),
        and_(
            exists().where(request.c.person_id == person_id, request.c.state == "granted"),
            ~exists().where(account.c.person_id == person_id, account.c.status.in_(("closed", "deleted"))),
        ),
    )


def _submission(it: domain.Request) -> dict[str, Any]:
    return {
        "known_as": it.known_as,
        "person_id": it.person_id,
        "submitted_at": it.submitted_at,
        "submitted_event_id": it.submitted_event_id,
        "draft_expires_at": it.filed_at + domain.DRAFT_KEPT if it.is_draft else None,
        "announce_again_at": it.submitted_at + domain.MUST_BE_OPENED_WITHIN if it.submitted_at else None,
    }


def _progress(now: domain.Progress) -> dict[str, Any]:
    return {
        "state": now.state,
        "since_at": now.since_at,
        "version": now.version,
        "stage": now.stage,
        "round": now.round,
        "refused_round": now.refused_round,
        "roles": list(now.roles),
        "reason": now.reason,
        "decided_as": now.decided_as,
    }


def _identity(who: domain.Identity) -> dict[str, Any]:
    return {
        "given_name": who.applicant.given_name,
        "family_name": who.applicant.family_name,
        "email": who.applicant.email,
        "email_fingerprint": who.email_fingerprint,
        "phone": who.applicant.phone,
        "ssn_fingerprint": who.key.ssn,
        "identity_fingerprint": who.key.identity,
        "data": {name: list(value) if isinstance(value, tuple) else value for name, value in who.data.items()},
        "secrets": dict(who.secrets),
    }


def _request_of(row: Any) -> domain.Request:
    return domain.Request(
        id=RequestId(row.id),
        tracking_number=row.tracking_number,
        community_id=row.community_id,
        community_version=row.community_version,
        kind=row.kind,
        place=domain.Place(ScopeId(row.scope_id), row.place_kind, PlaceId(row.place_id)),
        place_key=row.place_key,
        filed_at=row.filed_at,
        progress=domain.Progress(
            state=row.state,
            since_at=row.since_at,
            version=row.version,
            stage=row.stage,
            round=row.round,
            refused_round=row.refused_round,
            roles=tuple(row.roles),
            reason=row.reason,
            decided_as=row.decided_as,
        ),
        known_as=row.known_as,
        person_id=row.person_id,
        submitted_at=row.submitted_at,
        submitted_event_id=row.submitted_event_id,
    )
