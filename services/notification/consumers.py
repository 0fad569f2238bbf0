"""Kafka comes in: other services' events, in notification's own words."""

from collections.abc import Callable, Sequence
from datetime import datetime

from services.notification import domain, tables, usecases
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
    _accounts(handle, ring)
    _departures(handle, ring)
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
            it.application,
            it.rests_on.place_kind if it.rests_on else None,
            it.rests_on.place_id if it.rests_on else None,
            it.rests_on.role if it.rests_on else None,
        )
        await usecases.hear(tx, domain.Submitted(about, it.applicant.person_id, it.documents_needed, it.submitted_at))
        tx.after_commit.append(ring)

    @handle(registration.RequestResubmitted)
    async def corrected(tx: Transaction, it: registration.RequestResubmitted) -> None:
        about = domain.RequestFacts(
            it.request_id,
            it.scope_id,
            organization_name=it.organization.legal_business_name if it.organization else None,
            group_name=it.group.name if it.group else None,
        )
        await usecases.hear(tx, domain.Corrected(about))
        tx.after_commit.append(ring)

    @handle(registration.InvitationIssued)
    async def invited(tx: Transaction, it: registration.InvitationIssued) -> None:
        await usecases.hear(
            tx,
            domain.Invited(
                it.invitation_id,
                it.scope_id,
                it.community_id,
                it.application,
                it.email,
                it.criteria,
                it.not_for,
                it.code_sealed,
                it.expires_at,
            ),
        )
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

    @handle(approval.RequestReminded)
    async def reminded(tx: Transaction, it: approval.RequestReminded) -> None:
        await hear(
            tx,
            domain.Reminded(
                _turn(it, it.reminded_at),
                it.awaited,
                it.number,
                tuple(dict.fromkeys(queue.role for queue in it.queues)),
                it.approver_ids,
                it.community_address,
                it.documents_awaited,
                it.since_at,
                it.expires_at,
            ),
        )

    @handle(approval.RequestEscalated)
    async def escalated(tx: Transaction, it: approval.RequestEscalated) -> None:
        to_help_desk = it.queue.place_id == community_place(it.community_id)
        turn = _turn(it, it.escalated_at)
        await hear(tx, domain.Escalated(turn, it.queue.role, to_help_desk, it.why, it.refusal, it.expires_at))

    @handle(approval.RequestApproved)
    async def approved(tx: Transaction, it: approval.RequestApproved) -> None:
        turn = _turn(it, it.decided_at)
        await hear(tx, domain.Settled(turn, "approved", role=it.capacity.role, decided_by=it.decided_by))

    @handle(approval.RequestDenied)
    async def denied(tx: Transaction, it: approval.RequestDenied) -> None:
        turn = _turn(it, it.decided_at)
        await hear(tx, domain.Settled(turn, "denied", it.reason, it.capacity.role, it.decided_by))

    @handle(approval.RequestReturned)
    async def returned(tx: Transaction, it: approval.RequestReturned) -> None:
        turn = _turn(it, it.returned_at)
        await hear(tx, domain.Returned(turn, it.reason, it.correct, it.capacity.role, it.expires_at))

    @handle(approval.RequestReopened)
    async def reopened(tx: Transaction, it: approval.RequestReopened) -> None:
        await hear(tx, domain.Reopened(_turn(it, it.reopened_at), it.why))

    @handle(approval.RequestExpired)
    async def expired(tx: Transaction, it: approval.RequestExpired) -> None:
        await hear(tx, domain.Settled(_turn(it, it.expired_at), "expired", previous_state=it.previous_state))

    @handle(approval.RequestWithdrawn)
    async def withdrawn(tx: Transaction, it: approval.RequestWithdrawn) -> None:
        await hear(tx, domain.Settled(_turn(it, it.withdrawn_at), "withdrawn"))

    @handle(approval.RequestWithdrawalRefused)
    async def withdrawal_refused(tx: Transaction, it: approval.RequestWithdrawalRefused) -> None:
        await hear(tx, domain.WithdrawalRefused(_turn(it, it.refused_at), it.why))

    @handle(approval.RequestClosed)
    async def closed(tx: Transaction, it: approval.RequestClosed) -> None:
        await hear(tx, domain.Settled(_turn(it, it.closed_at), "closed", it.why))


def _directory(handle: Handlers, ring: Callable[[], None]) -> None:
    @handle(directory.GrantApplied)
    async def granted(tx: Transaction, it: directory.GrantApplied) -> None:
        about = domain.RequestFacts(it.request_id, it.scope_id, place_id=it.place_id)
        await usecases.hear(tx, _granted(about, it))
        tx.after_commit.append(ring)

    @handle(directory.GrantRefused)
    async def refused(tx: Transaction, it: directory.GrantRefused) -> None:
        about = domain.RequestFacts(it.request_id, it.scope_id)
        await usecases.hear(tx, domain.GrantRefused(about, it.round, it.reason, it.refused_at))
        tx.after_commit.append(ring)


def _accounts(handle: Handlers, ring: Callable[[], None]) -> None:
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

    @handle(directory.AccountChanged)
    async def account_changed(tx: Transaction, it: directory.AccountChanged) -> None:
        if it.state == "locked" and it.community_id and it.until:  # The directory names both since it locks.
            await usecases.hear(tx, domain.AccountLocked(it.person_id, it.community_id, it.changed_at, it.until))
            tx.after_commit.append(ring)
        else:
            await usecases.hear(tx, domain.LockEnded(it.person_id))


def _departures(handle: Handlers, ring: Callable[[], None]) -> None:
    async def hear(tx: Transaction, fact: domain.Fact) -> None:
        await usecases.hear(tx, fact)
        tx.after_commit.append(ring)

    @handle(directory.RoleEnded)
    async def role_ended(tx: Transaction, it: directory.RoleEnded) -> None:
        await hear(
            tx,
            domain.RoleEnded(
                it.assignment_id,
                it.person_id,
                it.role,
                it.place_kind,
                it.place_id,
                it.scope_id,
                it.community_id,
                it.cause,
                it.ended_by,
                it.effective_until,
            ),
        )

    @handle(directory.EntitlementEnded)
    async def entitlement_ended(tx: Transaction, it: directory.EntitlementEnded) -> None:
        await hear(
            tx,
            domain.EntitlementEnded(
                it.entitlement_id,
                it.assignment_id,
                it.person_id,
                it.application,
                it.role,
                it.scope_id,
                it.community_id,
                it.cause,
                it.effective_until,
            ),
        )

    @handle(directory.OrganizationSuspended)
    async def suspended(tx: Transaction, it: directory.OrganizationSuspended) -> None:
        fact = domain.OrganizationSuspended(
            it.organization_id, it.community_id, it.suspended_at, it.entitlements_end_at
        )
        await hear(tx, fact)

    @handle(directory.GroupLeftWithoutAdministrator)
    async def group_left(tx: Transaction, it: directory.GroupLeftWithoutAdministrator) -> None:
        await hear(tx, domain.GroupLeftWithoutAdministrator(it.group_id, it.organization_id, it.left_at, it.closes_at))


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
                {
                    "id": change.entity_id,
                    "version": change.version,
                    "name": change.now.legal_business_name,
                    "community_id": change.now.community_id,
                }
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
                {
                    "id": change.entity_id,
                    "version": change.version,
                    "name": change.now.name,
                    "community_id": change.now.community_id,
                }
                for change in changes
                if change.now
            ],
        )
        tx.after_commit.append(ring)


def _readers(handle: Handlers) -> None:
    """Who holds which role, which applications rest on it, and whose account may act.

    For who may see what people were told, and for who is left where somebody's role has ended.
    """

    replicas.keep(handle, directory.RoleAssignmentState, tables.assignment)
    replicas.keep(handle, directory.EntitlementState, tables.entitlement)
    replicas.keep(handle, directory.AccountState, tables.account)


def _granted(about: domain.RequestFacts, it: directory.GrantApplied) -> domain.Granted:
    return domain.Granted(about, it.person_id, it.account_issued, it.entitlement_id is not None, it.applied_at)


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
        application=it.application,
    )
    return domain.Turn(about, it.applicant_id, it.stage, it.round, at)
