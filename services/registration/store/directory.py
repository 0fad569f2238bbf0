"""What the directory has told: its replicas, and what is read from them."""

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Text, Uuid, and_, bindparam, case, exists, func, literal, or_, select, union_all

from services.registration import domain
from services.registration.tables import (
    account,
    assignment,
    entitlement,
    identity,
    known_person,
    organization,
    person,
    practitioner,
    request,
    user_group,
)
from shared.contracts.community import Holding, Kind, Surroundings
from shared.database import Transaction
from shared.ids import AssignmentId, PersonId, PlaceId, ScopeId

CAN_ACT = ("invited", "active")


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


async def load_surroundings(
    tx: Transaction,
    community_id: str,
    kind: Kind,
    place: domain.Place,
    person_id: PersonId | None,
    application: str | None,
    rests_on: domain.RestsOn | None,
) -> Surroundings:
    """Return what preconditions are judged on, as far as the directory has told.

    A scope of another community is as unknown as one that is not there. Somebody without an account,
    None, holds nothing.
    """
    scope = await _load_scope(tx, community_id, place.scope_id)
    group = (
        await tx.one(select(user_group.c.organization_id, user_group.c.status).where(user_group.c.id == place.id))
        if place.kind == "group"
        else None
    )
    holdings = await list_holdings(tx, person_id)
    held = rests_on is not None and await _is_held(tx, person_id, rests_on.assignment_id)
    return Surroundings(
        organization_status=scope.status if scope else None,
        group_status=group.status if group else None,
        group_in_scope=group is not None and group.organization_id == place.scope_id,
        seats_taken=(
            {kind.needs_holder_of: await count_holders(tx, place.scope_id, kind.needs_holder_of)}
            if kind.needs_holder_of
            else None
        ),
        scope_kind="practitioner" if scope and scope.is_practitioner else "organization",
        scope_id=place.scope_id,
        holdings=holdings,
        resting_role=rests_on.role if rests_on and held else None,
        application=application,
        has_entitlement=rests_on is not None and await _has_entitlement(tx, rests_on.assignment_id, application),
    )


async def list_holdings(tx: Transaction, person_id: PersonId | None) -> tuple[Holding, ...]:
    """Return the roles that a person holds now, wherever they are held."""
    if person_id is None:
        return ()
    rows = await tx.rows(
        select(assignment.c.role, assignment.c.place_id, assignment.c.scope_id, user_group.c.group_kind)
        .outerjoin(user_group, user_group.c.id == assignment.c.place_id)
        .where(assignment.c.person_id == person_id, assignment.c.status == "active")
        .order_by(assignment.c.id)
    )
    return tuple(Holding(row.role, row.place_id, row.scope_id, row.group_kind == "surrogate") for row in rows)


async def count_holders(tx: Transaction, place_id: UUID, role: str) -> int:
    """Return how many hold a role in a place."""
    return int(await tx.value(_COUNT_HOLDERS, {"place_id": place_id, "role": role}))


async def load_own_assignment(
    tx: Transaction, person_id: PersonId, assignment_id: AssignmentId
) -> domain.RestsOn | None:
    """Return one of a person's present role assignments; None for anybody else's."""
    row = await tx.one(
        select(assignment).where(
            assignment.c.id == assignment_id, assignment.c.person_id == person_id, assignment.c.status == "active"
        )
    )
    if row is None:
        return None
    return domain.RestsOn(assignment_id, row.role, row.place_kind, PlaceId(row.place_id), ScopeId(row.scope_id))


async def _load_scope(tx: Transaction, community_id: str, scope_id: ScopeId) -> Any | None:
    return await tx.one(_SCOPE, {"scope_id": scope_id, "community_id": community_id})


async def _is_held(tx: Transaction, person_id: PersonId | None, assignment_id: AssignmentId) -> bool:
    return person_id is not None and await load_own_assignment(tx, person_id, assignment_id) is not None


async def _has_entitlement(tx: Transaction, assignment_id: AssignmentId, application: str | None) -> bool:
    found = exists().where(
        entitlement.c.assignment_id == assignment_id,
        entitlement.c.application == application,
        entitlement.c.status == "active",
    )
    return bool(await tx.value(select(found)))


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
    return bool(await tx.value(select(account_of(literal(person_id)))))


async def find_account_holder(tx: Transaction, key: domain.PersonKey) -> AccountHolder | None:
    """Return the account holder whom these fingerprints recognise, the SSN before the identity."""
    row = await tx.one(_HOLDER, {"ssn": key.ssn, "identity": key.identity})
    return AccountHolder(PersonId(row.id), row.email) if row else None


async def list_roles(tx: Transaction, person_id: PersonId) -> frozenset[tuple[str, UUID]]:
    """Return which roles a person holds, each with its place; none if the account cannot act."""
    rows = await tx.rows(
        select(assignment.c.role, assignment.c.place_id)
        .join(account, account.c.person_id == assignment.c.person_id)
        .where(assignment.c.person_id == person_id, assignment.c.status == "active", account.c.status.in_(CAN_ACT))
    )
    return frozenset((row.role, row.place_id) for row in rows)


_SSN = bindparam("ssn", type_=Text)
RECOGNISED = or_(person.c.ssn_fingerprint == _SSN, person.c.identity_fingerprint == bindparam("identity", type_=Text))
"""That a row of people has one of these fingerprints. None is nobody's."""


def account_of(person_id: Any) -> Any:
    """Return the condition that a person has an account, as the state or a grant has told."""
    return or_(
        exists().where(account.c.person_id == person_id, account.c.status.not_in(("closed", "deleted"))),
        and_(
            exists().where(request.c.person_id == person_id, request.c.state == "granted"),
            ~exists().where(account.c.person_id == person_id, account.c.status.in_(("closed", "deleted"))),
        ),
    )


_granted_to = (
    select(identity.c.email)
    .join(request, request.c.id == identity.c.request_id)
    .where(request.c.person_id == person.c.id, request.c.state == "granted")
    .limit(1)
    .scalar_subquery()
)
_HOLDER = (
    select(person.c.id, func.coalesce(func.nullif(known_person.c.email, ""), _granted_to).label("email"))
    .outerjoin(known_person, known_person.c.id == person.c.id)
    .where(RECOGNISED, account_of(person.c.id))
    .order_by(case((person.c.ssn_fingerprint == _SSN, 0), else_=1))
    .limit(1)
)
_COUNT_HOLDERS = (
    select(func.count())
    .select_from(assignment)
    .where(
        assignment.c.place_id == bindparam("place_id"),
        assignment.c.role == bindparam("role"),
        assignment.c.status == "active",
    )
)
_SCOPE = union_all(
    *(
        select(table.c.status, literal(table is practitioner).label("is_practitioner")).where(
            table.c.id == bindparam("scope_id", type_=Uuid),
            table.c.community_id == bindparam("community_id", type_=Text),
        )
        for table in (organization, practitioner)
    )
)
