"""Who holds which role where, and which application it opens."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.directory import domain
from services.directory.tables import account, entitlement, role_assignment, user_group
from shared.database import Transaction
from shared.ids import AssignmentId, EntitlementId, PersonId, PlaceId, RequestId, ScopeId


def _held() -> Select[Any]:
    return select(role_assignment, user_group.c.kind.label("group_kind")).outerjoin(
        user_group, user_group.c.id == role_assignment.c.place_id
    )


def held(row: Any) -> domain.Held:
    """Return what rules need to know of a role assignment."""
    return domain.Held(
        AssignmentId(row.id),
        row.community_id,
        row.role,
        row.place_kind,
        PlaceId(row.place_id),
        ScopeId(row.scope_id),
        is_surrogate=row.group_kind == "surrogate",
    )


_HELD = (
    _held()
    .where(role_assignment.c.person_id == bindparam("person_id"), role_assignment.c.status == "active")
    .order_by(role_assignment.c.id)
)
_COUNT = (
    select(func.count())
    .select_from(role_assignment)
    .where(
        role_assignment.c.place_id == bindparam("place_id"),
        role_assignment.c.role.in_(bindparam("roles", expanding=True)),
        role_assignment.c.status == "active",
    )
)
_ADD_ASSIGNMENT = insert(role_assignment).returning(role_assignment)
_ADD_ENTITLEMENT = insert(entitlement).returning(entitlement)


async def list_held(tx: Transaction, person_id: PersonId) -> list[domain.Held]:
    """Return a person's present roles, wherever they are held."""
    return [held(row) for row in await tx.rows(_HELD, {"person_id": person_id})]


async def list_held_by_caller(tx: Transaction, person_id: PersonId) -> list[domain.Held]:
    """Return the present roles of somebody who wants to act in them; none while the account may not act.

    Source: domain 1 (approver: whose account is invited or active).
    """
    state = await tx.value(select(account.c.state).where(account.c.person_id == person_id))
    return await list_held(tx, person_id) if state in ("invited", "active") else []


async def count_seats(tx: Transaction, role: str | None, place_id: PlaceId) -> int:
    """Return how many hold a role in a place now."""
    return await count_holders(tx, [role] if role else [], place_id)


async def count_holders(tx: Transaction, roles: Collection[str], place_id: PlaceId) -> int:
    """Return how many hold one of these roles in a place now."""
    return int(await tx.value(_COUNT, {"place_id": place_id, "roles": list(roles)}))


async def add_assignment(tx: Transaction, **columns: object) -> Any:
    """Write a new, active role assignment and return its row."""
    return await tx.one(_ADD_ASSIGNMENT, {"version": 1, "status": "active", "effective_from": tx.now, **columns})


async def load_assignment(tx: Transaction, assignment_id: AssignmentId) -> Any | None:
    """Return a role assignment, or None."""
    return await tx.one(_held().where(role_assignment.c.id == assignment_id))


async def find_assignment(tx: Transaction, person_id: PersonId, role: str, place_id: PlaceId) -> Any | None:
    """Return the assignment by which a person holds a role in a place now, or None."""
    return await tx.one(
        _held().where(
            role_assignment.c.person_id == person_id,
            role_assignment.c.role == role,
            role_assignment.c.place_id == place_id,
            role_assignment.c.status == "active",
        )
    )


async def lock_resting(
    tx: Transaction,
    assignment_id: AssignmentId,
    *,
    person_id: PersonId,
    role: str,
    scope_id: ScopeId,
    place_id: PlaceId,
) -> Any | None:
    """Return the active assignment that an entitlement is to rest on and hold it until the commit, or None.

    It must be this person's, and the very role in the very place that approvers were told.
    """
    held_ = role_assignment.c
    return await tx.one(
        select(role_assignment)
        .where(
            held_.id == assignment_id,
            held_.person_id == person_id,
            held_.role == role,
            held_.scope_id == scope_id,
            held_.place_id == place_id,
            held_.status == "active",
        )
        .with_for_update()
    )


async def load_granted(tx: Transaction, request_id: RequestId) -> tuple[Any | None, Any | None]:
    """Return the role assignment and the entitlement that a granted request has led to: one of them."""
    return (
        await tx.one(select(role_assignment).where(role_assignment.c.request_id == request_id)),
        await tx.one(select(entitlement).where(entitlement.c.request_id == request_id)),
    )


async def list_assignments_in(tx: Transaction, scope_id: ScopeId, place_id: PlaceId | None = None) -> Sequence[Any]:
    """Return the active role assignments in a scope, or in one place of it."""
    query = select(role_assignment).where(role_assignment.c.scope_id == scope_id, role_assignment.c.status == "active")
    if place_id is not None:
        query = query.where(role_assignment.c.place_id == place_id)
    return await tx.rows(query.order_by(role_assignment.c.effective_from, role_assignment.c.id))


async def end_assignment(tx: Transaction, assignment_id: UUID, status: str) -> Any | None:
    """End an active role assignment now and return its row; None when it has ended before."""
    return (
        await tx.execute(
            update(role_assignment)
            .where(role_assignment.c.id == assignment_id, role_assignment.c.status == "active")
            .values(status=status, effective_until=tx.now, version=role_assignment.c.version + 1)
            .returning(role_assignment)
        )
    ).one_or_none()


async def add_entitlement(tx: Transaction, **columns: object) -> Any:
    """Write a new, active entitlement and return its row."""
    return await tx.one(_ADD_ENTITLEMENT, {"version": 1, "status": "active", "effective_from": tx.now, **columns})


async def load_entitlement(tx: Transaction, entitlement_id: EntitlementId) -> Any | None:
    """Return an entitlement, or None."""
    return await tx.one(select(entitlement).where(entitlement.c.id == entitlement_id))


async def end_entitlements(
    tx: Transaction,
    status: str,
    *,
    id_: UUID | None = None,
    assignment_id: UUID | None = None,
    scope_id: UUID | None = None,
) -> Sequence[Any]:
    """End the active entitlement of this id, or those that rest on an assignment or lie in a scope; return them."""
    wanted = {"id": id_, "assignment_id": assignment_id, "scope_id": scope_id}
    named = [entitlement.c[name] == value for name, value in wanted.items() if value is not None]
    assert len(named) == 1, "say which"
    return (
        await tx.execute(
            update(entitlement)
            .where(entitlement.c.status == "active", *named)
            .values(status=status, effective_until=tx.now, version=entitlement.c.version + 1)
            .returning(entitlement)
        )
    ).all()
