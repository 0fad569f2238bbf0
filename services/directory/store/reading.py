"""What people and programs look up. A read takes the reader's scope, so it cannot show too much."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on

from services.directory.tables import entitlement, organization, person, role_assignment, user_group
from shared.database import Transaction
from shared.ids import PersonId, ScopeId

_LIKE_ENOUGH = "0.4"
"""How alike (0 to 1) the typed words and a part of a name must be: one wrong letter in a short word is let pass."""


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


async def list_similar_organizations(tx: Transaction, words: str, *, limit: int) -> Sequence[Any]:
    """Return the active organizations whose name is most like these normalised words, the likest first. Source: R3."""
    await tx.execute(select(func.set_config("pg_trgm.word_similarity_threshold", _LIKE_ENOUGH, True)))
    name = organization.c.normalised_name
    return await tx.rows(
        select(organization)
        .where(organization.c.status == "active", name.op("%>")(words))
        .order_by(func.word_similarity(words, name).desc(), name, organization.c.id)
        .limit(limit)
    )


async def find_organizations(
    tx: Transaction,
    whole: Collection[str],
    listed: Collection[str],
    *,
    npi: str,
    tin_fingerprint: str,
    after: tuple[str, UUID] | None,
    limit: int,
) -> Sequence[Any]:
    """Return the organizations with this NPI, or without one with this TIN, by name.

    Of the communities `whole` whatever their status, of those that are `listed` the active ones. Source: R3.
    """
    number = organization.c.npi == npi if npi else organization.c.tin_fingerprint == tin_fingerprint
    may_see = or_(
        organization.c.community_id.in_(whole),
        and_(organization.c.community_id.in_(listed), organization.c.status == "active"),
    )
    by_name = organization.c.normalised_name, organization.c.id
    query = select(organization).where(number, may_see)
    if after is not None:
        query = query.where(tuple_(*by_name) > tuple_(*after))
    return await tx.rows(query.order_by(*by_name).limit(limit))


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


_ROLES = (
    select(
        role_assignment,
        organization.c.legal_business_name.label("organization_name"),
        user_group.c.name.label("group_name"),
    )
    .outerjoin(organization, organization.c.id == role_assignment.c.scope_id)
    .outerjoin(user_group, user_group.c.id == role_assignment.c.place_id)
    .where(role_assignment.c.status == "active")
    .order_by(role_assignment.c.effective_from, role_assignment.c.id)
)
_ENTITLEMENTS = (
    select(entitlement, organization.c.legal_business_name.label("organization_name"))
    .outerjoin(organization, organization.c.id == entitlement.c.scope_id)
    .where(entitlement.c.status == "active")
    .order_by(entitlement.c.effective_from, entitlement.c.id)
)


async def list_roles_of(tx: Transaction, person_id: PersonId) -> Sequence[Any]:
    """Return a person's present roles with the names of their places."""
    return await tx.rows(_ROLES.where(role_assignment.c.person_id == person_id))


async def list_entitlements_of(tx: Transaction, person_id: PersonId) -> Sequence[Any]:
    """Return a person's present entitlements with the name of the organization."""
    return await tx.rows(_ENTITLEMENTS.where(entitlement.c.person_id == person_id))


async def list_people_in(tx: Transaction, scope_id: ScopeId, *, after: UUID | None, limit: int) -> Sequence[Any]:
    """Return the people who hold a role in a scope, by id."""
    query = (
        select(person)
        .ext(distinct_on(person.c.id))
        .join(role_assignment, role_assignment.c.person_id == person.c.id)
        .where(role_assignment.c.scope_id == scope_id, role_assignment.c.status == "active")
    )
    if after is not None:
        query = query.where(person.c.id > after)
    return await tx.rows(query.order_by(person.c.id).limit(limit))


async def list_access_in(
    tx: Transaction, scope_id: ScopeId, people: Collection[UUID]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the present roles and entitlements that these people have in a scope."""
    return (
        await tx.rows(_ROLES.where(role_assignment.c.scope_id == scope_id, role_assignment.c.person_id.in_(people))),
        await tx.rows(_ENTITLEMENTS.where(entitlement.c.scope_id == scope_id, entitlement.c.person_id.in_(people))),
    )


async def list_holders(
    tx: Transaction, scope_id: ScopeId, roles: Collection[str], *, after: UUID | None, limit: int
) -> Sequence[Any]:
    """Return who holds one of these roles in a scope, with the names of person and group, by assignment."""
    query = (
        select(
            role_assignment.c.id,
            role_assignment.c.role,
            person.c.given_name,
            person.c.family_name,
            user_group.c.id.label("group_id"),
            user_group.c.name.label("group_name"),
        )
        .join(person, person.c.id == role_assignment.c.person_id)
        .outerjoin(user_group, user_group.c.id == role_assignment.c.place_id)
        .where(
            role_assignment.c.scope_id == scope_id,
            role_assignment.c.role.in_(roles),
            role_assignment.c.status == "active",
        )
    )
    if after is not None:
        query = query.where(role_assignment.c.id > after)
    return await tx.rows(query.order_by(role_assignment.c.id).limit(limit))
