"""A dossier and an approval become access: once, whole, whichever comes first; or are refused, and it is said why."""

from typing import Any

from services.directory import domain, store
from services.directory.usecases import accounts, places, roles
from services.directory.usecases.keys import Keys
from shared import audit, outbox
from shared.contracts import approval, registration
from shared.contracts.community import Community, Kind, Places, Resting
from shared.contracts.directory import EntitlementGranted, GrantApplied, GrantRefused, RoleGranted
from shared.database import Transaction
from shared.ids import RequestId, assignment_id, entitlement_id
from shared.replicas import load_community


async def keep_dossier(tx: Transaction, keys: Keys, it: registration.RequestSubmitted) -> None:
    """Keep what a request asks for, and grant it if its approval is there already."""
    case = await store.lock_case(tx, it.request_id)
    if case.dossier is None and case.outcome not in ("applied", "ended"):
        await _grant_or_keep(tx, keys, it, _approval_of(case))


async def correct_dossier(tx: Transaction, keys: Keys, it: registration.RequestResubmitted) -> None:
    """Put what the applicant has corrected in the place of what it was, and grant it if this is what was approved.

    What is not newer than what is kept changes nothing. Registration says it after the request itself, on one topic.
    """
    case = await store.lock_case(tx, it.request_id)
    dossier = _dossier_of(case)
    if dossier is None or it.revision <= dossier.revision:
        return
    corrected = dossier.model_copy(
        update={
            "revision": it.revision,
            "organization": it.organization,
            "group": it.group,
            "practitioner": it.practitioner,
        }
    )
    await _grant_or_keep(tx, keys, corrected, _approval_of(case))


async def keep_approval(tx: Transaction, keys: Keys, it: approval.RequestApproved) -> None:
    """Keep an approval, and grant it if the dossier is there already.

    A later round of what was granted is answered again, for whoever has not heard the first answer.
    """
    case = await store.lock_case(tx, it.request_id)
    if case.outcome == "ended" or it.round <= case.answered_round:
        return
    if case.outcome == "applied":
        await _answer_again(tx, it)
        return
    dossier = _dossier_of(case)
    if dossier is None:
        await store.save_case(tx, it.request_id, approval=it.model_dump(mode="json"))
    else:
        await _grant_or_keep(tx, keys, dossier, it)


async def _answer_again(tx: Transaction, it: approval.RequestApproved) -> None:
    assignment, entitlement = await store.load_granted(tx, it.request_id)
    granted = assignment or entitlement
    assert granted is not None, "an applied grant has led to one of them"
    await store.save_case(tx, it.request_id, answered_round=it.round)
    _say_applied(
        tx,
        it,
        person_id=granted.person_id,
        assignment_id=assignment and assignment.id,
        entitlement_id=entitlement and entitlement.id,
        account_issued=False,
        applied_at=granted.effective_from,
    )


def _say_applied(tx: Transaction, it: approval.RequestApproved, **what: Any) -> None:
    event = GrantApplied(request_id=it.request_id, round=it.round, scope_id=it.scope_id, place_id=it.place_id, **what)
    outbox.announce(tx, scope=it.scope_id, subject=it.request_id, event=event)


async def drop_dossier(tx: Transaction, request_id: RequestId) -> None:
    """Forget the personal data of a request that ended without a grant."""
    case = await store.lock_case(tx, request_id)
    if case.outcome != "applied":
        await store.save_case(tx, request_id, dossier=None, approval=None, outcome="ended")


def _dossier_of(case: Any) -> registration.RequestSubmitted | None:
    return registration.RequestSubmitted.model_validate(case.dossier) if case.dossier is not None else None


def _approval_of(case: Any) -> approval.RequestApproved | None:
    return approval.RequestApproved.model_validate(case.approval) if case.approval is not None else None


async def _grant_or_keep(
    tx: Transaction, keys: Keys, dossier: registration.RequestSubmitted, approved: approval.RequestApproved | None
) -> None:
    """Apply an approval once there is one that speaks of the dossier's revision; until then keep both.

    Which of the two comes second does not matter, and a round is answered once. The case's lock, which the caller has,
    makes two deliveries wait for each other; the scope's lock makes two grants in one organization judge one after the
    other.
    """
    request_id = dossier.request_id
    if approved is None or approved.revision != dossier.revision:
        kept = approved and approved.model_dump(mode="json")
        await store.save_case(tx, request_id, dossier=dossier.model_dump(mode="json"), approval=kept)
        return
    community = await load_community(tx, dossier.community_id, dossier.community_version)
    assert community is not None, "a published version stays while a request uses it"
    kind = community.kind(dossier.kind)
    assert kind is not None, "registration files only kinds of the version it names"

    duplicate = dossier.organization or dossier.practitioner
    await store.lock_scope_and_person(
        tx, dossier.scope_id, dossier.applicant.person_id, also=duplicate.duplicate_key if duplicate else ""
    )
    resting = await _resting(tx, dossier)
    found = await _evidence(tx, community, kind, dossier, approved, resting)
    reason = domain.refusal_of_grant(community, kind, dossier.place_id, dossier.scope_id, found)
    if reason is None:
        if kind.effect == "grant_entitlement":
            await _grant_entitlement(tx, dossier, approved)
        else:
            await _grant_role(tx, keys, community, kind, dossier, approved)
        await store.save_case(
            tx, request_id, dossier=None, approval=None, answered_round=approved.round, outcome="applied"
        )
        return
    await store.save_case(
        tx,
        request_id,
        dossier=dossier.model_dump(mode="json"),
        approval=None,
        answered_round=approved.round,
        outcome="refused",
    )
    audit.record(tx, actor="directory", act="refuse_grant", subject=request_id, scope=dossier.scope_id, reason=reason)
    outbox.announce(
        tx,
        scope=dossier.scope_id,
        subject=request_id,
        event=GrantRefused(
            request_id=request_id,
            round=approved.round,
            scope_id=dossier.scope_id,
            reason=reason,
            stage=found.undecided_stage,
            refused_at=tx.now,
        ),
    )


async def _resting(tx: Transaction, dossier: registration.RequestSubmitted) -> Any | None:
    """Return the role assignment that the request rests on and hold it, if it is still held as it was told."""
    if dossier.rests_on is None:
        return None
    return await store.lock_resting(
        tx,
        dossier.rests_on.assignment_id,
        person_id=dossier.applicant.person_id,
        role=dossier.rests_on.role,
        scope_id=dossier.scope_id,
        place_id=dossier.rests_on.place_id,
    )


async def _evidence(
    tx: Transaction,
    community: Community,
    kind: Kind,
    dossier: registration.RequestSubmitted,
    approved: approval.RequestApproved,
    resting: Any | None,
) -> domain.Evidence:
    return domain.Evidence(
        surroundings=await store.load_surroundings(
            tx,
            dossier.scope_id,
            dossier.place_id,
            dossier.applicant.person_id,
            application=dossier.application,
            resting=resting,
        ),
        seats_taken=await store.count_seats(tx, kind.role, dossier.place_id),
        undecided_stage=await _undecided_stage(tx, community, kind, dossier, approved),
        is_duplicate_organization=(
            dossier.organization is not None and await store.is_listed_twice(tx, dossier.organization.duplicate_key)
        ),
        is_duplicate_practitioner=(
            dossier.practitioner is not None
            and await store.is_practitioner_known(tx, dossier.practitioner.duplicate_key)
        ),
        is_group_name_taken=(
            kind.effect == "create_group"
            and dossier.group is not None
            and await store.is_name_taken(tx, dossier.scope_id, dossier.group.normalised_name)
        ),
        entitlements_have_ended=await store.is_suspension_due(tx, dossier.scope_id),
    )


async def _undecided_stage(
    tx: Transaction,
    community: Community,
    kind: Kind,
    dossier: registration.RequestSubmitted,
    approved: approval.RequestApproved,
) -> int | None:
    """Return the first stage one of whose approvers held, on our own history, no role that decides it. Source: R6."""
    rests_on = dossier.rests_on
    resting = Resting(rests_on.role, rests_on.place_kind, rests_on.place_id) if rests_on else None
    places = Places(dossier.scope_id, dossier.place_kind, dossier.place_id, resting)
    last = len(kind.stages_on(resting.role if resting else None))
    approvals: list[tuple[int, approval.EarlierApproval | approval.RequestApproved]] = [
        *((earlier.stage, earlier) for earlier in approved.earlier),
        (last, approved),
    ]
    for number, one in approvals:
        role, place_id = one.capacity.role, one.capacity.place_id
        if not (
            one.decided_by != dossier.applicant.person_id
            and domain.may_approve(community, kind, places, number, role, place_id)
            and await store.had_role(tx, one.decided_by, role, place_id, one.decided_at)
        ):
            return number
    return None


async def _grant_role(
    tx: Transaction,
    keys: Keys,
    community: Community,
    kind: Kind,
    dossier: registration.RequestSubmitted,
    approved: approval.RequestApproved,
) -> None:
    """Make it so: the place, the person, the account, the role; and say each."""
    role = community.role(kind.role)
    assert role is not None, "a published community names only its own roles"
    await places.create_place(tx, keys, kind, dossier)
    account_issued = await accounts.issue_account(tx, keys, dossier)
    granted = RoleGranted(
        assignment_id=assignment_id(dossier.request_id, role.code),
        person_id=dossier.applicant.person_id,
        role=role.code,
        place_kind=role.place,
        place_id=dossier.place_id,
        scope_id=dossier.scope_id,
        community_id=community.id,
        request_id=dossier.request_id,
        decided_by=approved.decided_by,
        decided_as=approved.capacity.role,
        effective_from=tx.now,
    )
    await roles.give_role(tx, granted, community.version, by=approved.decided_by, act="grant_role")
    await places.keep_again(tx, community, role.code, dossier.place_id)
    _say_applied(
        tx,
        approved,
        person_id=granted.person_id,
        assignment_id=granted.assignment_id,
        account_issued=account_issued,
        applied_at=tx.now,
    )


async def _grant_entitlement(
    tx: Transaction, dossier: registration.RequestSubmitted, approved: approval.RequestApproved
) -> None:
    """Let the applicant use the application. Whoever holds the role that it rests on has an account."""
    assert dossier.rests_on is not None, "who holds no role was refused"
    assert dossier.application is not None, "an application that is open has a code"
    granted = EntitlementGranted(
        entitlement_id=entitlement_id(dossier.request_id),
        person_id=dossier.applicant.person_id,
        application=dossier.application,
        assignment_id=dossier.rests_on.assignment_id,
        role=dossier.rests_on.role,
        scope_id=dossier.scope_id,
        community_id=dossier.community_id,
        request_id=dossier.request_id,
        decided_by=approved.decided_by,
        decided_as=approved.capacity.role,
        effective_from=tx.now,
    )
    await roles.give_entitlement(tx, granted)
    _say_applied(
        tx,
        approved,
        person_id=granted.person_id,
        entitlement_id=granted.entitlement_id,
        account_issued=False,
        applied_at=tx.now,
    )
