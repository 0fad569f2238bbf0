"""Roles and entitlements begin and end: the row, the record, the fact, and what is true from now on."""

from typing import Any
from uuid import UUID

from services.directory import domain, store
from services.directory.usecases import states
from shared import audit, outbox
from shared.contracts.directory import (
    Cause,
    EntitlementEnded,
    EntitlementGranted,
    RoleEnded,
    RoleGranted,
)
from shared.database import Transaction
from shared.ids import PersonId

_COLUMNS = {
    "person_id",
    "role",
    "place_kind",
    "place_id",
    "scope_id",
    "community_id",
    "request_id",
    "decided_by",
}


async def give_role(tx: Transaction, granted: RoleGranted, version: int, *, by: UUID | str, act: str) -> None:
    """Let a person hold a role from now on. `version` is that of the community whose rules were judged."""
    row = await store.add_assignment(
        tx, id=granted.assignment_id, community_version=version, **granted.model_dump(include=_COLUMNS)
    )
    audit.record(
        tx,
        actor=by,
        act=act,
        subject=granted.assignment_id,
        scope=granted.scope_id,
        person=granted.person_id,
        role=granted.role,
        **({"request": granted.request_id} if granted.request_id else {}),
    )
    outbox.announce(tx, scope=granted.scope_id, subject=granted.assignment_id, event=granted)
    states.publish(tx, "role_assignment", row._mapping)


async def give_entitlement(tx: Transaction, granted: EntitlementGranted) -> None:
    """Let a person use an application from now on."""
    columns = granted.model_dump(exclude={"entitlement_id", "decided_as", "effective_from"})
    row = await store.add_entitlement(tx, id=granted.entitlement_id, **columns)
    audit.record(
        tx,
        actor=granted.decided_by,
        act="grant_entitlement",
        subject=granted.entitlement_id,
        scope=granted.scope_id,
        person=granted.person_id,
        application=granted.application,
        request=granted.request_id,
    )
    outbox.announce(tx, scope=granted.scope_id, subject=granted.entitlement_id, event=granted)
    states.publish(tx, "entitlement", row._mapping)


async def end_assignment(
    tx: Transaction, assignment_id: UUID, cause: Cause, *, by: PersonId | None, actor: str = "directory"
) -> Any | None:
    """End a role assignment, and before it the entitlements that rest on it; None when it has ended already.

    Source: R13. What becomes of its place is looked at by whoever calls this.
    """
    await end_entitlements(tx, cause, by=by, actor=actor, assignment_id=assignment_id)
    row = await store.end_assignment(tx, assignment_id, domain.status_after(cause))
    if row is None:
        return None
    audit.record(tx, actor=by or actor, act="end_role", subject=row.id, scope=row.scope_id, cause=cause)
    said = {**row._mapping, "assignment_id": row.id}
    outbox.announce(tx, scope=row.scope_id, subject=row.id, event=RoleEnded(**{**said, "cause": cause, "ended_by": by}))
    states.publish(tx, "role_assignment", row._mapping)
    return row


async def end_entitlements(
    tx: Transaction, cause: Cause, *, by: PersonId | None, actor: str = "directory", **which: UUID
) -> None:
    """End the active entitlement of an id, or those on an assignment or in a scope, each with its own event."""
    for row in await store.end_entitlements(tx, domain.status_after(cause), **which):
        audit.record(tx, actor=by or actor, act="end_entitlement", subject=row.id, scope=row.scope_id, cause=cause)
        said = {**row._mapping, "entitlement_id": row.id}
        outbox.announce(
            tx, scope=row.scope_id, subject=row.id, event=EntitlementEnded(**{**said, "cause": cause, "ended_by": by})
        )
        states.publish(tx, "entitlement", row._mapping)
