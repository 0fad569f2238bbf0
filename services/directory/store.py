"""All the SQL of the directory: rows to domain values and back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, exists, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from services.directory import domain
from services.directory.tables import (
    account,
    grant_case,
    organization,
    password_link,
    person,
    role_assignment,
    session,
    user_group,
)
from services.directory.tables import signing_key as signing_key_table
from shared.contracts.community import Community, Holding, Surroundings
from shared.database import Transaction
from shared.ids import PersonId, PlaceId, RequestId, ScopeId
from shared.tables import community, token_key

# --- Grants -----------------------------------------------------------------------------------


async def lock_case(tx: Transaction, request_id: RequestId) -> Any:
    """Return the case of one request, made if need be, and hold it until the commit."""
    await tx.execute(insert(grant_case).values(request_id=request_id).on_conflict_do_nothing())
    return await tx.one(select(grant_case).where(grant_case.c.request_id == request_id).with_for_update())


async def save_case(tx: Transaction, request_id: RequestId, **columns: object) -> None:
    """Write columns of a case."""
    await tx.execute(update(grant_case).where(grant_case.c.request_id == request_id).values(**columns))


async def lock_scope(tx: Transaction, scope_id: ScopeId, *, also: str = "") -> None:
    """Let one grant at a time judge and change what is in a scope; `also` names a further thing to hold.

    Seats and exclusions are judged on what is there: without this, two that wait for one seat both get it.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(scope_id), 0))))
    if also:
        await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(also, 0))))


async def load_surroundings(tx: Transaction, scope_id: ScopeId, place_id: PlaceId) -> Surroundings:
    """Return what preconditions are judged on, as it is now."""
    organization_status = await tx.value(select(organization.c.status).where(organization.c.id == scope_id))
    group = await tx.one(select(user_group.c.status, user_group.c.organization_id).where(user_group.c.id == place_id))
    seats = await tx.rows(
        select(role_assignment.c.role, func.count().label("taken"))
        .where(role_assignment.c.place_id == scope_id, role_assignment.c.status == "active")
        .group_by(role_assignment.c.role)
    )
    return Surroundings(
        organization_status=organization_status,
        group_status=group.status if group else None,
        group_in_scope=group is None or group.organization_id == scope_id,
        seats_taken={row.role: row.taken for row in seats},
    )


async def load_holdings(tx: Transaction, person_id: PersonId, scope_id: ScopeId) -> list[Holding]:
    """Return a person's present roles in a scope."""
    rows = await tx.rows(
        select(role_assignment.c.role, role_assignment.c.place_id, role_assignment.c.scope_id).where(
            role_assignment.c.scope_id == scope_id,
            role_assignment.c.person_id == person_id,
            role_assignment.c.status == "active",
        )
    )
    return [Holding(row.role, row.place_id, row.scope_id) for row in rows]


async def count_seats(tx: Transaction, role: str, place_id: PlaceId) -> int:
    """Return how many hold a role in a place now."""
    return int(
        await tx.value(
            select(func.count())
            .select_from(role_assignment)
            .where(
                role_assignment.c.place_id == place_id,
                role_assignment.c.role == role,
                role_assignment.c.status == "active",
            )
        )
    )


async def had_role(tx: Transaction, person_id: PersonId, role: str, place_id: PlaceId, at: datetime) -> bool:
    """Tell whether a person held a role in a place at a moment, on our own history. Source: R6."""
    held = role_assignment.c
    return bool(
        await tx.value(
            select(
                exists().where(
                    held.person_id == person_id,
                    held.role == role,
                    held.place_id == place_id,
                    held.effective_from <= at,
                    or_(held.effective_until.is_(None), held.effective_until > at),
                )
            )
        )
    )


async def is_listed_twice(tx: Transaction, duplicate_key: str) -> bool:
    """Tell whether an organization with this TIN, name and location exists."""
    return bool(
        await tx.value(
            select(exists().where(organization.c.duplicate_key == duplicate_key, organization.c.status != "closed"))
        )
    )


async def is_name_taken(tx: Transaction, organization_id: ScopeId, normalised_name: str) -> bool:
    """Tell whether an organization has a group of this name."""
    group = user_group.c
    return bool(
        await tx.value(
            select(
                exists().where(
                    group.organization_id == organization_id,
                    group.normalised_name == normalised_name,
                    group.status != "closed",
                )
            )
        )
    )


async def add_organization(tx: Transaction, **columns: object) -> None:
    """Write a new organization."""
    await tx.execute(insert(organization).values(version=1, **columns))


async def add_group(tx: Transaction, **columns: object) -> None:
    """Write a new user group."""
    await tx.execute(insert(user_group).values(version=1, **columns))


async def save_group_status(tx: Transaction, group_id: PlaceId, status: str) -> Any | None:
    """Change a group's status and return its row, or None when it has that status already."""
    return (
        await tx.execute(
            update(user_group)
            .where(user_group.c.id == group_id, user_group.c.status != status)
            .values(status=status, version=user_group.c.version + 1)
            .returning(user_group)
        )
    ).one_or_none()


async def add_assignment(tx: Transaction, **columns: object) -> None:
    """Write a new, active role assignment."""
    await tx.execute(insert(role_assignment).values(version=1, status="active", **columns))


async def load_assignment_of(tx: Transaction, request_id: RequestId) -> Any:
    """Return the role assignment that a granted request has led to."""
    return await tx.one(select(role_assignment).where(role_assignment.c.request_id == request_id))


# --- People and accounts ----------------------------------------------------------------------


async def add_person(tx: Transaction, **columns: object) -> bool:
    """Write a person; False when they are known already, and then nothing changes."""
    done = await tx.execute(insert(person).values(version=1, **columns).on_conflict_do_nothing())
    return done.rowcount == 1


async def load_person(tx: Transaction, person_id: PersonId) -> Any | None:
    """Return a person's row, or None."""
    return await tx.one(select(person).where(person.c.id == person_id))


async def next_person_version(tx: Transaction, person_id: PersonId) -> Any:
    """Count one more change of what is published of a person; return the row."""
    return (
        await tx.execute(
            update(person).where(person.c.id == person_id).values(version=person.c.version + 1).returning(person)
        )
    ).one()


async def add_account(tx: Transaction, person_id: PersonId, user_id: str, community_id: str) -> bool:
    """Write an invited account; False when the person has one, or the user ID is taken."""
    done = await tx.execute(
        insert(account)
        .values(person_id=person_id, user_id=user_id, state="invited", community_id=community_id, version=1)
        .on_conflict_do_nothing()
    )
    return done.rowcount == 1


def _accounts() -> Select[Any]:
    return select(account)


def _account(row: Any) -> domain.Account:
    return domain.Account(
        PersonId(row.person_id), row.user_id, row.state, row.password_hash, row.failure_count, row.locked_until
    )


async def load_account(tx: Transaction, person_id: PersonId) -> domain.Account | None:
    """Return a person's account, or None."""
    row = await tx.one(_accounts().where(account.c.person_id == person_id))
    return _account(row) if row else None


async def find_account(tx: Transaction, user_id: str) -> domain.Account | None:
    """Return the account of a user ID, or None."""
    row = await tx.one(_accounts().where(account.c.user_id == user_id))
    return _account(row) if row else None


async def lock_account(tx: Transaction, person_id: PersonId) -> domain.Account | None:
    """Return a person's account and hold it until the commit, or None."""
    row = await tx.one(_accounts().where(account.c.person_id == person_id).with_for_update())
    return _account(row) if row else None


async def save_account(tx: Transaction, person_id: PersonId, **columns: object) -> Any:
    """Write columns of an account and return the row."""
    return (
        await tx.execute(
            update(account)
            .where(account.c.person_id == person_id)
            .values(version=account.c.version + 1, **columns)
            .returning(account)
        )
    ).one()


async def add_password_link(tx: Transaction, **columns: object) -> None:
    """Write a set-password link; only the hash of its token is kept."""
    await tx.execute(insert(password_link).values(**columns))


async def find_password_link(tx: Transaction, token_hash: bytes, *, lock: bool = False) -> Any | None:
    """Return an unused, unexpired link, or None."""
    query = select(password_link).where(
        password_link.c.token_hash == token_hash,
        password_link.c.used_at.is_(None),
        password_link.c.expires_at > tx.now,
    )
    return await tx.one(query.with_for_update() if lock else query)


async def use_password_links(tx: Transaction, person_id: PersonId) -> None:
    """Mark every link of a person as used: setting the password ends the others too."""
    await tx.execute(
        update(password_link)
        .where(password_link.c.person_id == person_id, password_link.c.used_at.is_(None))
        .values(used_at=tx.now)
    )


async def count_password_links(tx: Transaction, person_id: PersonId, since: datetime) -> int:
    """Return how many links a person was sent since a moment."""
    return int(
        await tx.value(
            select(func.count())
            .select_from(password_link)
            .where(password_link.c.person_id == person_id, password_link.c.asked_at > since)
        )
    )


async def add_session(tx: Transaction, **columns: object) -> None:
    """Write a new session; only the hash of its cookie is kept."""
    await tx.execute(insert(session).values(**columns))


async def lock_session(tx: Transaction, cookie_hash: bytes) -> domain.Session | None:
    """Return the session of a cookie and hold it until the commit, or None."""
    row = await tx.one(select(session).where(session.c.cookie_hash == cookie_hash).with_for_update())
    if row is None:
        return None
    return domain.Session(row.id, PersonId(row.person_id), row.signed_in_at, row.last_used_at, row.ended_at)


async def save_session(tx: Transaction, session_id: UUID, **columns: object) -> None:
    """Write columns of a session."""
    await tx.execute(update(session).where(session.c.id == session_id).values(**columns))


async def end_sessions(tx: Transaction, person_id: PersonId) -> None:
    """End every session of a person: whoever has one knew the old password at best."""
    await tx.execute(
        update(session).where(session.c.person_id == person_id, session.c.ended_at.is_(None)).values(ended_at=tx.now)
    )


# --- Keys and communities ---------------------------------------------------------------------


async def add_signing_key(tx: Transaction, *, private_locked: str, **public: object) -> None:
    """Write a key that signs access tokens, and its public half."""
    await tx.execute(insert(token_key).values(version=1, **public))
    await tx.execute(insert(signing_key_table).values(kid=public["kid"], private_locked=private_locked, made_at=tx.now))


async def newest_signing_key(tx: Transaction) -> Any | None:
    """Return the newest key there is, or None before the first was made."""
    return await tx.one(_signing_keys().limit(1))


async def signing_key(tx: Transaction) -> Any | None:
    """Return the key that signs now: the newest that everybody has had time to hear of, else the oldest."""
    known = signing_key_table.c.made_at <= tx.now - domain.SIGNING_KEY_KNOWN_AFTER
    rows = await tx.rows(_signing_keys(known.desc()))
    if not rows:
        return None
    return rows[0] if rows[0].made_at <= tx.now - domain.SIGNING_KEY_KNOWN_AFTER else rows[-1]


def _signing_keys(*first: Any) -> Select[Any]:
    return (
        select(
            signing_key_table.c.kid,
            signing_key_table.c.private_locked,
            signing_key_table.c.made_at,
            token_key.c.not_after,
        )
        .join(token_key, token_key.c.kid == signing_key_table.c.kid)
        .order_by(*first, signing_key_table.c.made_at.desc())
    )


async def lock_communities(tx: Transaction) -> None:
    """Let one operator at a time change communities."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("communities", 0))))


async def list_versions(tx: Transaction, community_id: str) -> Sequence[Any]:
    """Return the versions of a community, oldest first."""
    return await tx.rows(select(community).where(community.c.id == community_id).order_by(community.c.version))


async def add_community(tx: Transaction, it: Community) -> None:
    """Write a version of a community; it is the current one from now on."""
    await tx.execute(
        insert(community).values(
            id=it.id, version=it.version, record_version=1, current=True, definition=it.model_dump(mode="json")
        )
    )


async def retire_versions(tx: Transaction, community_id: str) -> Sequence[Any]:
    """Make no version of a community the current one; return those that were."""
    return (
        await tx.execute(
            update(community)
            .where(and_(community.c.id == community_id, community.c.current))
            .values(current=False, record_version=community.c.record_version + 1)
            .returning(community)
        )
    ).all()


# --- Reading ----------------------------------------------------------------------------------


async def list_organizations(
    tx: Transaction, *, prefix: str, after: tuple[str, UUID] | None, limit: int
) -> Sequence[Any]:
    """Return active organizations whose normalised name begins with `prefix`, by name. Source: R3."""
    query = select(organization).where(organization.c.status == "active")
    if prefix:
        query = query.where(organization.c.normalised_name.startswith(prefix, autoescape=True))
    if after is not None:
        query = query.where(tuple_(organization.c.normalised_name, organization.c.id) > tuple_(*after))
    return await tx.rows(query.order_by(organization.c.normalised_name, organization.c.id).limit(limit))


async def load_listed_organization(tx: Transaction, organization_id: ScopeId) -> Any | None:
    """Return an active organization, or None."""
    return await tx.one(
        select(organization).where(organization.c.id == organization_id, organization.c.status == "active")
    )


async def list_groups(
    tx: Transaction, organization_id: ScopeId, *, after: tuple[str, UUID] | None, limit: int
) -> Sequence[Any]:
    """Return the groups of an active organization that people may ask about, by name."""
    query = (
        select(user_group)
        .join(organization, organization.c.id == user_group.c.organization_id)
        .where(
            user_group.c.organization_id == organization_id,
            user_group.c.status != "closed",
            organization.c.status == "active",
        )
    )
    if after is not None:
        query = query.where(tuple_(user_group.c.normalised_name, user_group.c.id) > tuple_(*after))
    return await tx.rows(query.order_by(user_group.c.normalised_name, user_group.c.id).limit(limit))


async def list_roles_of(tx: Transaction, person_id: PersonId) -> Sequence[Any]:
    """Return a person's present roles with the names of their places."""
    return await tx.rows(
        select(
            role_assignment,
            organization.c.legal_business_name.label("organization_name"),
            user_group.c.name.label("group_name"),
        )
        .outerjoin(organization, organization.c.id == role_assignment.c.scope_id)
        .outerjoin(user_group, user_group.c.id == role_assignment.c.place_id)
        .where(role_assignment.c.person_id == person_id, role_assignment.c.status == "active")
        .order_by(role_assignment.c.effective_from, role_assignment.c.id)
    )


async def load_public_key(tx: Transaction, kid: str) -> dict[str, Any]:
    """Return the public half of a signing key, as a JWK."""
    return dict(await tx.value(select(token_key.c.jwk).where(token_key.c.kid == kid)))
