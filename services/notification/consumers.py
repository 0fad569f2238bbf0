"""Kafka comes in: other services' events, in notification's own words."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from services.notification import domain, store, usecases
from shared import replicas
from shared.contracts import approval, directory, registration
from shared.database import Transaction
from shared.delivery import Change, Handlers
from shared.ids import PersonId, RequestId, ScopeId, community_place

GROUP = "notification"


def handlers(ring: Callable[[], None] = lambda: None) -> Handlers:
    """Return what is done about each kind of event. `ring` tells the sender that there may be work."""
    handle = Handlers(GROUP)
    replicas.follow(handle)
    _registration(handle, ring)
    _approval(handle, ring)
    _directory(handle, ring)
    _people_and_places(handle, ring)
    _readers(handle)
    return handle


def _registration(handle: Handlers, ring: Callable[[], None]) -> None:
    @handle(registration.EmailCodeAsked)
    async def code_asked(tx: Transaction, it: registration.EmailCodeAsked) -> None:
        about = domain.RequestFacts(RequestId(it.request_id), ScopeId(it.scope_id), it.community_id, kind=it.kind)
        person_id = PersonId(it.person_id) if it.person_id else None
        is_known = it.purpose == "sign_in_needed"
        await usecases.hear(tx, domain.CodeAsked(about, it.email, is_known, person_id, it.code_sealed, it.expires_at))
        tx.after_commit.append(ring)

    @handle(registration.RequestSubmitted)
    async def submitted(tx: Transaction, it: registration.RequestSubmitted) -> None:
        about = domain.RequestFacts(
            it.request_id,
            it.scope_id,
            it.community_id,
            it.community_version,
            it.kind,
            it.place_kind,
            it.place_id,
            it.applicant.person_id,
            it.tracking_number,
            it.applicant.given_name,
            it.applicant.family_name,
            it.applicant.email,
            it.organization.legal_business_name if it.organization else None,
            it.group.name if it.group else None,
        )
        await usecases.hear(tx, domain.Submitted(about, it.applicant.person_id, it.documents_needed, it.submitted_at))
        tx.after_commit.append(ring)


def _approval(handle: Handlers, ring: Callable[[], None]) -> None:
    async def hear(tx: Transaction, fact: domain.Fact) -> None:
        await usecases.hear(tx, fact)
        tx.after_commit.append(ring)

    @handle(approval.RequestOpened)
    async def opened(tx: Transaction, it: approval.RequestOpened) -> None:
        await hear(tx, domain.Opened(_turn(it, it.opened_at), it.documents_awaited, it.expires_at))

    @handle(approval.RequestAwaitingDecision)
    async def decision_awaited(tx: Transaction, it: approval.RequestAwaitingDecision) -> None:
        roles = tuple(dict.fromkeys(queue.role for queue in it.queues))
        turn = _turn(it, it.since_at)
        await hear(tx, domain.DecisionAwaited(turn, roles, it.approver_ids, it.community_address, it.expires_at))

    @handle(approval.RequestEscalated)
    async def escalated(tx: Transaction, it: approval.RequestEscalated) -> None:
        to_help_desk = it.queue.place_id == community_place(it.community_id)
        turn = _turn(it, it.escalated_at)
        await hear(tx, domain.Escalated(turn, it.queue.role, to_help_desk, it.why, it.refusal, it.expires_at))

    @handle(approval.RequestApproved)
    async def approved(tx: Transaction, it: approval.RequestApproved) -> None:
        await hear(tx, domain.Settled(_turn(it, it.decided_at), "approved", role=it.capacity.role))

    @handle(approval.RequestDenied)
    async def denied(tx: Transaction, it: approval.RequestDenied) -> None:
        await hear(tx, domain.Settled(_turn(it, it.decided_at), "denied", it.reason, it.capacity.role))

    @handle(approval.RequestReopened)
    async def reopened(tx: Transaction, it: approval.RequestReopened) -> None:
        await hear(tx, domain.Reopened(_turn(it, it.reopened_at), it.why))

    @handle(approval.RequestExpired)
    async def expired(tx: Transaction, it: approval.RequestExpired) -> None:
        await hear(tx, domain.Settled(_turn(it, it.expired_at), "expired"))

    @handle(approval.RequestClosed)
    async def closed(tx: Transaction, it: approval.RequestClosed) -> None:
        await hear(tx, domain.Settled(_turn(it, it.closed_at), "closed", it.why))


def _directory(handle: Handlers, ring: Callable[[], None]) -> None:
    @handle(directory.GrantApplied)
    async def granted(tx: Transaction, it: directory.GrantApplied) -> None:
        about = domain.RequestFacts(it.request_id, it.scope_id, place_id=it.place_id)
        await usecases.hear(tx, domain.Granted(about, it.person_id, it.account_issued, it.applied_at))
        tx.after_commit.append(ring)

    @handle(directory.GrantRefused)
    async def refused(tx: Transaction, it: directory.GrantRefused) -> None:
        about = domain.RequestFacts(it.request_id, it.scope_id)
        await usecases.hear(tx, domain.GrantRefused(about, it.round, it.reason, it.refused_at))
        tx.after_commit.append(ring)

    @handle(directory.AccountIssued)
    async def account_issued(tx: Transaction, it: directory.AccountIssued) -> None:
        await usecases.learn_user_id(tx, it.person_id, it.user_id)
        await usecases.hear(
            tx,
            domain.AccountIssued(it.person_id, it.community_id, it.request_id, it.link_sealed, it.link_expires_at),
        )
        tx.after_commit.append(ring)

    @handle(directory.PasswordLinkAsked)
    async def link_asked(tx: Transaction, it: directory.PasswordLinkAsked) -> None:
        await usecases.learn_user_id(tx, it.person_id, it.user_id)
        await usecases.hear(
            tx, domain.LinkAsked(it.person_id, it.community_id, it.link_id, it.link_sealed, it.link_expires_at)
        )
        tx.after_commit.append(ring)


def _people_and_places(handle: Handlers, ring: Callable[[], None]) -> None:
    @handle.state(directory.PersonState)
    async def people(tx: Transaction, changes: Sequence[Change[directory.PersonState]]) -> None:
        # Deleted for good: no name and no address is left, so that nothing can be written any more.
        rows = [
            {
                "id": change.entity_id,
                "version": change.version,
                "given_name": change.now.given_name if change.now else None,
                "family_name": change.now.family_name if change.now else None,
                "email": change.now.email if change.now else None,
                "user_id": change.now.user_id if change.now else None,
            }
            for change in changes
        ]
        await usecases.learn_people(tx, rows)
        tx.after_commit.append(ring)

    @handle.state(directory.OrganizationState)
    async def organizations(tx: Transaction, changes: Sequence[Change[directory.OrganizationState]]) -> None:
        await usecases.learn_places(
            tx,
            [
                {"id": change.entity_id, "version": change.version, "name": change.now.legal_business_name}
                for change in changes
                if change.now
            ],
        )
        tx.after_commit.append(ring)

    @handle.state(directory.GroupState)
    async def groups(tx: Transaction, changes: Sequence[Change[directory.GroupState]]) -> None:
        await usecases.learn_places(
            tx,
            [
                {"id": change.entity_id, "version": change.version, "name": change.now.name}
                for change in changes
                if change.now
            ],
        )
        tx.after_commit.append(ring)


def _readers(handle: Handlers) -> None:
    """Who may see what people were told: roles held in a community, and the accounts of their holders."""

    @handle.state(directory.RoleAssignmentState)
    async def assignments(tx: Transaction, changes: Sequence[Change[directory.RoleAssignmentState]]) -> None:
        rows: list[dict[str, Any]] = [
            {
                "id": change.entity_id,
                "version": change.version,
                "person_id": change.now.person_id,
                "role": change.now.role,
                "place_id": change.now.place_id,
                "active": change.now.status == "active",
            }
            for change in changes
            if change.now and change.now.place_kind == "community"
        ]
        gone = [{"id": change.entity_id, "version": change.version} for change in changes if change.now is None]
        await store.save_assignments(tx, rows, gone)

    @handle.state(directory.AccountState)
    async def accounts(tx: Transaction, changes: Sequence[Change[directory.AccountState]]) -> None:
        await store.save_accounts(
            tx,
            [
                {
                    "id": change.entity_id,
                    "version": change.version,
                    "status": change.now.status if change.now else "closed",
                }
                for change in changes
            ],
        )


def _turn(it: approval.RequestEvent, at: datetime) -> domain.Turn:
    about = domain.RequestFacts(
        it.request_id,
        it.scope_id,
        it.community_id,
        it.community_version,
        it.kind,
        it.place_kind,
        it.place_id,
        it.applicant_id,
    )
    return domain.Turn(about, it.applicant_id, it.stage, it.round, at)
