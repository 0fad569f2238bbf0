"""Kafka comes in: what approval does about what registration and the directory say."""

from collections.abc import Sequence
from uuid import UUID

from services.approval import domain, tables, usecases
from shared import replicas
from shared.contracts import directory, registration
from shared.database import Transaction
from shared.delivery import Handlers


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

    @handle(registration.RequestResubmitted)
    async def resubmitted(tx: Transaction, it: registration.RequestResubmitted) -> None:
        await usecases.take_correction(tx, it)

    @handle(registration.WithdrawalAsked)
    async def withdrawal_asked(tx: Transaction, it: registration.WithdrawalAsked) -> None:
        await usecases.withdraw_request(tx, it.request_id)

    @handle(directory.GrantApplied)
    async def granted(tx: Transaction, it: directory.GrantApplied) -> None:
        await usecases.note_grant(tx, it.request_id, it.round)

    @handle(directory.GrantRefused)
    async def refused(tx: Transaction, it: directory.GrantRefused) -> None:
        await usecases.note_refusal(tx, it.request_id, it.round, it.reason, it.stage)

    @handle(directory.OrganizationClosed)
    async def organization_closed(tx: Transaction, it: directory.OrganizationClosed) -> None:
        await usecases.close_in(tx, it.organization_id)

    @handle(directory.GroupClosed)
    async def group_closed(tx: Transaction, it: directory.GroupClosed) -> None:
        await usecases.close_in(tx, it.group_id)

    @handle(directory.PractitionerClosed)
    async def practitioner_closed(tx: Transaction, it: directory.PractitionerClosed) -> None:
        await usecases.close_in(tx, it.practitioner_id)

    _keep_replicas(handle)
    return handle


def _keep_replicas(handle: Handlers) -> None:
    # Neither topic waits for the other: what was opened after the event of a place's end was heard, and before the
    # state that tells the same, is closed by the state.
    async def organizations_changed(tx: Transaction, now: Sequence[directory.OrganizationState]) -> None:
        await _close_in(tx, [it.organization_id for it in now if it.status == "closed"])

    async def practitioners_changed(tx: Transaction, now: Sequence[directory.PractitionerState]) -> None:
        await _close_in(tx, [it.practitioner_id for it in now if it.status == "closed"])

    async def groups_changed(tx: Transaction, now: Sequence[directory.GroupState]) -> None:
        await _close_in(tx, [it.group_id for it in now if it.status == "closed"])

    replicas.keep(handle, directory.OrganizationState, tables.organization, organizations_changed, us_state="state")
    replicas.keep(handle, directory.PractitionerState, tables.practitioner, practitioners_changed, us_state="state")
    replicas.keep(handle, directory.GroupState, tables.user_group, groups_changed, kind="group_kind")
    replicas.keep(handle, directory.EntitlementState, tables.entitlement)

    async def roles_changed(tx: Transaction, now: Sequence[directory.RoleAssignmentState]) -> None:
        await usecases.name_newcomers(tx, [it.person_id for it in now if it.status == "active"])

    async def accounts_changed(tx: Transaction, now: Sequence[directory.AccountState]) -> None:
        await usecases.name_newcomers(tx, [it.person_id for it in now if it.status in domain.ACTING_ACCOUNTS])

    replicas.keep(handle, directory.RoleAssignmentState, tables.assignment, roles_changed)
    replicas.keep(handle, directory.AccountState, tables.account, accounts_changed)


async def _close_in(tx: Transaction, places: Sequence[UUID]) -> None:
    for place_id in sorted(places):
        await usecases.close_in(tx, place_id)
