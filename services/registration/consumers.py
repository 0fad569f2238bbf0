"""What registration hears: how far each request has come, and what its checks are judged on."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from services.registration import store, tables, usecases
from services.registration.domain import requests as domain
from shared import replicas
from shared.contracts import approval, directory
from shared.database import Transaction
from shared.delivery import Change, Handlers

GROUP = "registration"

_GONE = "deleted"
_STATES: Mapping[str, domain.State] = {"awaiting_documents": "awaiting_documents"}
"""Approval's words for its open states that are not simply pending."""


def handlers() -> Handlers:
    """Return what this service does about what it hears."""
    handle = Handlers(GROUP)
    replicas.follow(handle)
    _follow_approval(handle)
    _follow_grants(handle)
    _follow_directory(handle)
    return handle


def _step(it: approval.RequestEvent, **more: Any) -> domain.Step:
    return domain.Step(version=it.version, stage=it.stage, round=it.round, **more)


def _follow_approval(handle: Handlers) -> None:
    @handle(approval.RequestOpened)
    async def opened(tx: Transaction, it: approval.RequestOpened) -> None:
        state = "awaiting_documents" if it.documents_awaited else _STATES.get(it.state, "pending")
        await usecases.note_step(tx, it.request_id, _step(it, state=state, at=it.opened_at), "opened")

    @handle(approval.RequestAwaitingDecision)
    async def awaiting(tx: Transaction, it: approval.RequestAwaitingDecision) -> None:
        roles = tuple(queue.role for queue in it.queues)
        step = _step(it, state="pending", at=it.since_at, roles=roles)
        await usecases.note_step(tx, it.request_id, step, "awaiting_decision")

    @handle(approval.RequestEscalated)
    async def escalated(tx: Transaction, it: approval.RequestEscalated) -> None:
        step = (
            _step(it, state="refused", at=it.escalated_at, roles=(it.queue.role,), reason=it.refusal)
            if it.why == "cannot_be_granted"
            else _step(it, state=None, at=it.escalated_at, roles=(it.queue.role,), adds_roles=True)
        )
        await usecases.note_step(tx, it.request_id, step, "escalated")

    @handle(approval.RequestApproved)
    async def approved(tx: Transaction, it: approval.RequestApproved) -> None:
        step = _step(it, state="approved", at=it.decided_at, decided_as=it.capacity.role)
        await usecases.note_step(tx, it.request_id, step, "approved")

    @handle(approval.RequestDenied)
    async def denied(tx: Transaction, it: approval.RequestDenied) -> None:
        step = _step(it, state="denied", at=it.decided_at, decided_as=it.capacity.role, reason=it.reason)
        await usecases.note_step(tx, it.request_id, step, "denied")

    @handle(approval.RequestReopened)
    async def reopened(tx: Transaction, it: approval.RequestReopened) -> None:
        step = _step(it, state="pending", at=it.reopened_at, reason=it.why)
        await usecases.note_step(tx, it.request_id, step, "reopened")

    @handle(approval.RequestExpired)
    async def expired(tx: Transaction, it: approval.RequestExpired) -> None:
        await usecases.note_step(tx, it.request_id, _step(it, state="expired", at=it.expired_at), "expired")

    @handle(approval.RequestClosed)
    async def closed(tx: Transaction, it: approval.RequestClosed) -> None:
        step = _step(it, state="closed", at=it.closed_at, reason=it.why)
        await usecases.note_step(tx, it.request_id, step, "closed")


def _follow_grants(handle: Handlers) -> None:
    @handle(directory.GrantApplied)
    async def granted(tx: Transaction, it: directory.GrantApplied) -> None:
        await usecases.note_grant(tx, it.request_id, it.applied_at)

    @handle(directory.GrantRefused)
    async def refused(tx: Transaction, it: directory.GrantRefused) -> None:
        await usecases.note_refused_grant(tx, it.request_id, it.round, it.reason, it.refused_at)


def _follow_directory(handle: Handlers) -> None:
    """Keep what the directory says. Which of these comes first never matters: none refers to another row."""

    @handle.state(directory.OrganizationState)
    async def organizations(tx: Transaction, changes: Sequence[Change[directory.OrganizationState]]) -> None:
        await store.save_replica(
            tx,
            tables.organization,
            [
                {
                    "id": UUID(change.entity_id),
                    "version": change.version,
                    "community_id": change.now.community_id if change.now else "",
                    "status": change.now.status if change.now else _GONE,
                }
                for change in changes
            ],
        )

    @handle.state(directory.GroupState)
    async def groups(tx: Transaction, changes: Sequence[Change[directory.GroupState]]) -> None:
        await store.save_replica(
            tx,
            tables.user_group,
            [
                {
                    "id": UUID(change.entity_id),
                    "version": change.version,
                    "organization_id": change.now.organization_id if change.now else None,
                    "status": change.now.status if change.now else _GONE,
                }
                for change in changes
            ],
        )

    @handle.state(directory.RoleAssignmentState)
    async def assignments(tx: Transaction, changes: Sequence[Change[directory.RoleAssignmentState]]) -> None:
        await store.save_replica(
            tx,
            tables.assignment,
            [
                {
                    "id": UUID(change.entity_id),
                    "version": change.version,
                    "person_id": change.now.person_id if change.now else None,
                    "role": change.now.role if change.now else "",
                    "place_id": change.now.place_id if change.now else None,
                    "status": change.now.status if change.now else _GONE,
                }
                for change in changes
            ],
        )

    @handle.state(directory.AccountState)
    async def accounts(tx: Transaction, changes: Sequence[Change[directory.AccountState]]) -> None:
        await store.save_replica(
            tx,
            tables.account,
            [
                {
                    "person_id": change.now.person_id if change.now else UUID(change.entity_id),
                    "version": change.version,
                    "status": change.now.status if change.now else _GONE,
                }
                for change in changes
            ],
        )

    @handle.state(directory.PersonState)
    async def people(tx: Transaction, changes: Sequence[Change[directory.PersonState]]) -> None:
        await store.save_replica(
            tx,
            tables.known_person,
            [
                {
                    "id": UUID(change.entity_id),
                    "version": change.version,
                    "given_name": change.now.given_name if change.now else "",
                    "family_name": change.now.family_name if change.now else "",
                    "email": change.now.email if change.now else "",
                }
                for change in changes
            ],
        )
