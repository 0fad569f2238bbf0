"""Organizations, user groups and practitioner records, and the timers that end what nobody keeps, and locks."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, exists, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from services.directory.tables import organization, practitioner, timer, user_group
from shared.database import Transaction
from shared.ids import PlaceId, ScopeId, new_id

TimerKind = Literal["end_entitlements", "close_group", "unlock_account"]

# A transaction that began before that moment and waited for the scope may find the timer fired already.
_SUSPENSION_DUE = select(
    exists().where(
        organization.c.id == bindparam("organization_id"),
        organization.c.status == "suspended",
        or_(
            organization.c.entitlements_end_at <= bindparam("now"),
            ~exists().where(
                timer.c.kind == "end_entitlements",
                timer.c.scope_id == organization.c.id,
                timer.c.due_at == organization.c.entitlements_end_at,
            ),
        ),
    )
)


async def is_listed_twice(tx: Transaction, duplicate_key: str) -> bool:
    """Tell whether an organization with this TIN, name and location exists."""
    return bool(
        await tx.value(
            select(exists().where(organization.c.duplicate_key == duplicate_key, organization.c.status != "closed"))
        )
    )


async def is_practitioner_known(tx: Transaction, duplicate_key: str) -> bool:
    """Tell whether a practitioner record with this NPI exists."""
    return bool(
        await tx.value(
            select(exists().where(practitioner.c.duplicate_key == duplicate_key, practitioner.c.status != "closed"))
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


async def add_organization(tx: Transaction, **columns: object) -> Any:
    """Write a new, active organization and return its row."""
    return (
        await tx.execute(
            insert(organization)
            .values(version=1, status="active", effective_from=tx.now, **columns)
            .returning(organization)
        )
    ).one()


async def add_group(tx: Transaction, **columns: object) -> Any:
    """Write a new, active user group and return its row."""
    return (
        await tx.execute(
            insert(user_group)
            .values(version=1, status="active", effective_from=tx.now, **columns)
            .returning(user_group)
        )
    ).one()


async def add_practitioner(tx: Transaction, **columns: object) -> Any:
    """Write a new, active practitioner record and return its row."""
    return (
        await tx.execute(
            insert(practitioner)
            .values(version=1, status="active", effective_from=tx.now, **columns)
            .returning(practitioner)
        )
    ).one()


async def load_organization(tx: Transaction, organization_id: ScopeId) -> Any | None:
    """Return an organization, whatever its status, or None."""
    return await tx.one(select(organization).where(organization.c.id == organization_id))


async def list_open_groups(tx: Transaction, organization_id: ScopeId) -> list[PlaceId]:
    """Return the groups of an organization that are not closed."""
    rows = await tx.rows(
        select(user_group.c.id)
        .where(user_group.c.organization_id == organization_id, user_group.c.status != "closed")
        .order_by(user_group.c.id)
    )
    return [PlaceId(row.id) for row in rows]


async def save_organization_status(
    tx: Transaction,
    organization_id: ScopeId,
    status: str,
    *,
    unless: tuple[str, ...],
    entitlements_end_at: datetime | None = None,
) -> Any | None:
    """Change an organization's status and return its row; None when its status is one of `unless`."""
    return (
        await tx.execute(
            update(organization)
            .where(organization.c.id == organization_id, organization.c.status.not_in(unless))
            .values(status=status, entitlements_end_at=entitlements_end_at, version=organization.c.version + 1)
            .returning(organization)
        )
    ).one_or_none()


async def save_group_status(
    tx: Transaction, group_id: PlaceId, status: str, *, unless: tuple[str, ...], closes_at: datetime | None = None
) -> Any | None:
    """Change a group's status and return its row; None when its status is one of `unless`."""
    return (
        await tx.execute(
            update(user_group)
            .where(user_group.c.id == group_id, user_group.c.status.not_in(unless))
            .values(status=status, closes_at=closes_at, version=user_group.c.version + 1)
            .returning(user_group)
        )
    ).one_or_none()


async def close_practitioner(tx: Transaction, practitioner_id: ScopeId) -> Any | None:
    """Close a practitioner record and return its row; None when it is closed already."""
    return (
        await tx.execute(
            update(practitioner)
            .where(practitioner.c.id == practitioner_id, practitioner.c.status != "closed")
            .values(status="closed", version=practitioner.c.version + 1)
            .returning(practitioner)
        )
    ).one_or_none()


async def is_left_group_due(tx: Transaction, group_id: PlaceId) -> bool:
    """Tell whether a group has been without administrator for as long as it may."""
    group = user_group.c
    return bool(await tx.value(select(exists().where(group.id == group_id, group.closes_at <= tx.now))))


async def is_suspension_due(tx: Transaction, organization_id: ScopeId) -> bool:
    """Tell whether an organization has been suspended for as long as its entitlements last."""
    return bool(await tx.value(_SUSPENSION_DUE, {"organization_id": organization_id, "now": tx.now}))


async def add_timer(tx: Transaction, kind: TimerKind, scope_id: ScopeId, place_id: UUID, due_at: datetime) -> None:
    """Write that something is to be looked at again at a moment."""
    await tx.execute(insert(timer).values(id=new_id(), kind=kind, scope_id=scope_id, place_id=place_id, due_at=due_at))


async def take_timer(tx: Transaction) -> Any | None:
    """Take the first timer that is due and that no other worker has, off the table; None if there is none.

    Of one scope the earliest comes first, also when several workers wake after a time down: while one has it,
    the others pass over that scope.
    """
    earlier = timer.alias()
    due = (
        select(timer.c.id)
        .where(
            timer.c.due_at <= tx.now,
            ~exists().where(
                earlier.c.scope_id == timer.c.scope_id,
                tuple_(earlier.c.due_at, earlier.c.id) < tuple_(timer.c.due_at, timer.c.id),
            ),
        )
        .order_by(timer.c.due_at, timer.c.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=timer)
    )
    return (await tx.execute(timer.delete().where(timer.c.id == due.scalar_subquery()).returning(timer))).one_or_none()
