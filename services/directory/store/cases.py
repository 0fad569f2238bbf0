"""What is known of each request, and the locks under which grants are judged."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from services.directory.store import roles
from services.directory.tables import entitlement, grant_case, organization, practitioner, role_assignment, user_group
from shared.contracts.community import Surroundings
from shared.database import Transaction
from shared.ids import PersonId, PlaceId, RequestId, ScopeId

_SCOPE = bindparam("scope_id", type_=Uuid)
_PLACE = bindparam("place_id", type_=Uuid)

_case = insert(grant_case)
_LOCK_CASE = _case.on_conflict_do_update(
    index_elements=["request_id"],
    set_={"request_id": _case.excluded.request_id},  # Nothing new: an insert that does nothing would not lock the row.
).returning(grant_case)

_STATUSES = select(
    select(organization.c.status).where(organization.c.id == _SCOPE).scalar_subquery().label("organization"),
    select(practitioner.c.status).where(practitioner.c.id == _SCOPE).scalar_subquery().label("practitioner"),
    select(user_group.c.status).where(user_group.c.id == _PLACE).scalar_subquery().label("group"),
    select(user_group.c.organization_id).where(user_group.c.id == _PLACE).scalar_subquery().label("group_in"),
)
_SEATS = (
    select(role_assignment.c.role, func.count().label("taken"))
    .where(role_assignment.c.place_id == _SCOPE, role_assignment.c.status == "active")
    .group_by(role_assignment.c.role)
)
_HAD_ROLE = select(
    exists().where(
        role_assignment.c.person_id == bindparam("person_id"),
        role_assignment.c.role == bindparam("role"),
        role_assignment.c.place_id == _PLACE,
        role_assignment.c.effective_from <= bindparam("at"),
        or_(role_assignment.c.effective_until.is_(None), role_assignment.c.effective_until > bindparam("at")),
    )
)


async def lock_case(tx: Transaction, request_id: RequestId) -> Any:
    """Return the case of one request, made if need be, and hold it until the commit."""
    return await tx.one(_LOCK_CASE, {"request_id": request_id})


async def save_case(tx: Transaction, request_id: RequestId, **columns: object) -> None:
    """Write columns of a case."""
    await tx.change(grant_case, request_id, columns)


async def lock_scope(tx: Transaction, scope_id: ScopeId) -> None:
    """Let one at a time judge and change what is in a scope.

    Seats and keepers are judged on what is there: without this, two that wait for one seat both get it.
    """
    await _lock(tx, str(scope_id))


async def lock_person(tx: Transaction, person_id: PersonId) -> None:
    """Let one at a time give roles to a person: some exclude each other wherever they are held.

    The same lock as the database's own guard takes. Always after the scope's.
    """
    await _lock(tx, _person(person_id))


async def lock_scope_and_person(tx: Transaction, scope_id: ScopeId, person_id: PersonId, *, also: str = "") -> None:
    """Hold what a grant is judged on: the scope, then what `also` names, then the person."""
    await _lock(tx, str(scope_id), *([also] if also else []), _person(person_id))


def _person(person_id: PersonId) -> str:
    return f"person {person_id}"


async def _lock(tx: Transaction, *names: str) -> None:
    await tx.raw.execute("SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest($1::text[]) name", names)


async def load_surroundings(
    tx: Transaction,
    scope_id: ScopeId,
    place_id: PlaceId,
    person_id: PersonId,
    *,
    application: str | None = None,
    resting: Any | None = None,
) -> Surroundings:
    """Return what preconditions are judged on, as it is now; `resting` is the row of the role to rest on, if held."""
    now = await tx.one(_STATUSES, {"scope_id": scope_id, "place_id": place_id})
    assert now is not None, "values without a table are one row"
    seats = await tx.rows(_SEATS, {"scope_id": scope_id})
    return Surroundings(
        organization_status=now.organization or now.practitioner,
        group_status=now.group,
        group_in_scope=now.group is None or now.group_in == scope_id,
        seats_taken={row.role: row.taken for row in seats},
        scope_kind="practitioner" if now.practitioner else "organization",
        scope_id=scope_id,
        holdings=tuple(held.holding for held in await roles.list_held(tx, person_id)),
        resting_role=resting.role if resting else None,
        application=application,
        has_entitlement=resting is not None and await _may_use(tx, resting.id, application),
    )


async def _may_use(tx: Transaction, assignment_id: UUID, application: str | None) -> bool:
    right = entitlement.c
    return bool(
        await tx.value(
            select(
                exists().where(
                    right.assignment_id == assignment_id, right.application == application, right.status == "active"
                )
            )
        )
    )


async def had_role(tx: Transaction, person_id: PersonId, role: str, place_id: PlaceId, at: datetime) -> bool:
    """Tell whether a person held a role in a place at a moment, on our own history. Source: R6."""
    return bool(await tx.value(_HAD_ROLE, {"person_id": person_id, "role": role, "place_id": place_id, "at": at}))
