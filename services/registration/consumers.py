"""What registration hears: how far each request has come, and what its checks are judged on."""

from collections.abc import Mapping
from typing import Any

from services.registration import domain, tables, usecases
from shared import replicas
from shared.contracts import approval, directory
from shared.database import Transaction
from shared.delivery import Handlers

GROUP = "registration"

_STATES: Mapping[str, domain.State] = {"awaiting_documents": "awaiting_documents"}
"""Approval's words for its open states that are not simply pending."""


def handlers() -> Handlers:
    """Return what this service does about what it hears."""
    handle = Handlers(GROUP)
    replicas.follow(handle)
    _follow_approval(handle)
    _follow_grants(handle)
    _keep_replicas(handle)
    return handle


def _step(it: approval.RequestEvent, **more: Any) -> domain.Step:
    return domain.Step(version=it.version, stage=it.stage, round=it.round, **more)


def _follow_approval(handle: Handlers) -> None:
    @handle(approval.RequestOpened)
    async def opened(tx: Transaction, it: approval.RequestOpened) -> None:
        state = "awaiting_documents" if it.documents_awaited else _STATES.get(it.state, "pending")
        await usecases.note_step(
            tx, it.request_id, _step(it, state=state, at=it.opened_at, until_at=it.expires_at), "opened"
        )

    @handle(approval.RequestAwaitingDecision)
    async def awaiting(tx: Transaction, it: approval.RequestAwaitingDecision) -> None:
        roles = tuple(queue.role for queue in it.queues)
        step = _step(it, state="pending", at=it.since_at, roles=roles, until_at=it.expires_at)
        await usecases.note_step(tx, it.request_id, step, "awaiting_decision")

    @handle(approval.RequestReminded)
    async def reminded(tx: Transaction, it: approval.RequestReminded) -> None:
        if it.awaited == "documents":  # Whoever was to look into a concern before has done so.
            step = _step(it, state="awaiting_documents", at=it.reminded_at, until_at=it.expires_at)
        else:
            step = _step(
                it,
                state=None,
                at=it.reminded_at,
                roles=tuple(queue.role for queue in it.queues),
                adds_roles=True,
                reminded=it.number,
                until_at=it.expires_at,
            )
        await usecases.note_step(tx, it.request_id, step, "reminded")

    @handle(approval.RequestEscalated)
    async def escalated(tx: Transaction, it: approval.RequestEscalated) -> None:
        cannot_be_granted = it.why == "cannot_be_granted"
        step = _step(
            it,
            state="refused" if cannot_be_granted else None,
            at=it.escalated_at,
            roles=(it.queue.role,),
            adds_roles=not cannot_be_granted,
            reason=it.refusal if cannot_be_granted else None,
            escalated=it.why,
            until_at=it.expires_at,
        )
        await usecases.note_step(tx, it.request_id, step, "escalated")

    @handle(approval.RequestReturned)
    async def returned(tx: Transaction, it: approval.RequestReturned) -> None:
        step = _step(
            it,
            state="returned",
            at=it.returned_at,
            reason=it.reason,
            correct=it.correct,
            decided_as=it.capacity.role,
            until_at=it.expires_at,
        )
        await usecases.note_step(tx, it.request_id, step, "returned")

    @handle(approval.RequestWithdrawn)
    async def withdrawn(tx: Transaction, it: approval.RequestWithdrawn) -> None:
        await usecases.note_step(tx, it.request_id, _step(it, state="withdrawn", at=it.withdrawn_at), "withdrawn")

    @handle(approval.RequestWithdrawalRefused)
    async def withdrawal_refused(tx: Transaction, it: approval.RequestWithdrawalRefused) -> None:
        await usecases.note_refused_withdrawal(tx, it.request_id, it.refused_at)

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
        step = _step(it, state="pending", at=it.reopened_at, reason=it.why, until_at=it.expires_at)
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


def _keep_replicas(handle: Handlers) -> None:
    replicas.keep(handle, directory.OrganizationState, tables.organization)
    replicas.keep(handle, directory.PractitionerState, tables.practitioner)
    replicas.keep(handle, directory.EntitlementState, tables.entitlement)
    replicas.keep(handle, directory.GroupState, tables.user_group)
    replicas.keep(handle, directory.RoleAssignmentState, tables.assignment)
    replicas.keep(handle, directory.AccountState, tables.account)
    replicas.keep(handle, directory.PersonState, tables.known_person)
