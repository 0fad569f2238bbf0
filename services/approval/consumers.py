"""Kafka comes in: what approval does about what registration and the directory say."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.approval import domain, store, usecases
from shared import replicas
from shared.contracts import directory, registration
from shared.database import Transaction
from shared.delivery import Change, Handlers


def handlers() -> Handlers:
    """Return approval's handlers."""
    handle = Handlers("approval")
    replicas.follow(handle)

    @handle(registration.RequestSubmitted)
    async def submitted(tx: Transaction, it: registration.RequestSubmitted) -> None:
        await usecases.open_request(tx, it)

    @handle(registration.DocumentAdded)
    async def document_added(tx: Transaction, it: registration.DocumentAdded) -> None:
        await usecases.add_document(tx, it.request_id, it.document_id, it.document, actor="registration")

    @handle(directory.GrantApplied)
    async def granted(tx: Transaction, it: directory.GrantApplied) -> None:
        await usecases.note_grant(tx, it.request_id, it.round)

    @handle(directory.GrantRefused)
    async def refused(tx: Transaction, it: directory.GrantRefused) -> None:
        await usecases.note_refusal(tx, it.request_id, it.round, it.reason)

    @handle.state(directory.OrganizationState)
    async def organizations(tx: Transaction, changes: Sequence[Change[directory.OrganizationState]]) -> None:
        rows: list[dict[str, object]] = [
            {
                "id": change.now.organization_id,
                "version": change.version,
                "status": change.now.status,
                "legal_business_name": change.now.legal_business_name,
            }
            for change in changes
            if change.now
        ]
        await store.save_replica(tx, "organization", rows)
        await store.end_replica(tx, "organization", _deleted(changes))

    @handle.state(directory.GroupState)
    async def groups(tx: Transaction, changes: Sequence[Change[directory.GroupState]]) -> None:
        rows: list[dict[str, object]] = [
            {
                "id": change.now.group_id,
                "version": change.version,
                "organization_id": change.now.organization_id,
                "status": change.now.status,
                "name": change.now.name,
            }
            for change in changes
            if change.now
        ]
        await store.save_replica(tx, "user_group", rows)
        await store.end_replica(tx, "user_group", _deleted(changes))

    @handle.state(directory.RoleAssignmentState)
    async def assignments(tx: Transaction, changes: Sequence[Change[directory.RoleAssignmentState]]) -> None:
        kept = [change for change in changes if change.now]
        rows: list[dict[str, object]] = [
            {
                "id": change.now.assignment_id,
                "version": change.version,
                "person_id": change.now.person_id,
                "role": change.now.role,
                "place_id": change.now.place_id,
                "scope_id": change.now.scope_id,
                "community_id": change.now.community_id,
                "status": change.now.status,
            }
            for change in kept
            if change.now
        ]
        await store.save_replica(tx, "assignment", rows)
        await store.end_replica(tx, "assignment", _deleted(changes))
        gaining: list[UUID] = [change.now.person_id for change in kept if change.now and change.now.status == "active"]
        if gaining:
            await usecases.name_newcomers(tx, gaining)

    @handle.state(directory.AccountState)
    async def accounts(tx: Transaction, changes: Sequence[Change[directory.AccountState]]) -> None:
        kept = [change for change in changes if change.now]
        rows: list[dict[str, object]] = [
            {"person_id": change.now.person_id, "version": change.version, "status": change.now.status}
            for change in kept
            if change.now
        ]
        await store.save_replica(tx, "account", rows)
        await store.end_replica(tx, "account", _deleted(changes))
        acting: list[UUID] = [
            change.now.person_id for change in kept if change.now and change.now.status in domain.ACTING_ACCOUNTS
        ]
        if acting:
            await usecases.name_newcomers(tx, acting)

    return handle


def _deleted(changes: Sequence[Change[Any]]) -> list[tuple[str, int]]:
    return [(change.entity_id, change.version) for change in changes if change.now is None]
