"""People leave roles or lose them, organizations are closed, and time ends what nobody keeps, and locks.

Source: domain 4, 5, 6.
"""

from typing import Any

from services.directory import domain, store
from services.directory.usecases import accounts, places, roles
from shared import policy
from shared.contracts.community import Community
from shared.contracts.directory import Cause
from shared.database import Transaction
from shared.errors import Refusal, invalid
from shared.ids import AssignmentId, EntitlementId, PersonId, PlaceId, ScopeId
from shared.policy import Standing
from shared.replicas import load_community


async def end_role(tx: Transaction, assignment_id: AssignmentId, me: PersonId) -> None:
    """Leave a role, or take it from its holder. Nothing happens to one that has ended.

    Raises not_found for who is neither its holder nor may take it, and last_security_official when nobody else
    keeps the organization that its holder wants to leave. An approver may take it even then.
    """
    found = await store.load_assignment(tx, assignment_id)
    if found is None:
        raise Refusal("not_found")
    await store.lock_scope(tx, found.scope_id)
    found = await store.load_assignment(tx, assignment_id)  # As it is now that nothing else changes it.
    assert found is not None, "assignments are ended, never deleted"
    held = store.held(found)
    community = await _community(tx, held.community_id)
    mine = await store.list_held_by_caller(tx, me)
    standings = domain.standings_to_role(community, held, found.person_id, me, mine)
    policy.require(domain.POLICY, "end_role", standings)
    is_leaving = Standing.HOLDER in standings
    keepers = domain.keepers_of(community, held.place_kind)
    if is_leaving and found.status == "active" and held.role in keepers:
        domain.check_leaving(held.place_kind, await store.count_holders(tx, keepers, held.place_id) - 1)
    ended = await roles.end_assignment(tx, assignment_id, "left" if is_leaving else "revoked", by=me)
    if ended is not None:
        await places.look_after(tx, community, ended)


async def end_entitlement(tx: Transaction, entitlement_id: EntitlementId, me: PersonId) -> None:
    """Give an entitlement up, or take it from its holder. Nothing happens to one that has ended.

    Raises not_found for who is neither its holder nor an approver of its path.
    """
    found = await store.load_entitlement(tx, entitlement_id)
    if found is None:
        raise Refusal("not_found")
    await store.lock_scope(tx, found.scope_id)
    assignment = await store.load_assignment(tx, found.assignment_id)
    assert assignment is not None, "the database keeps what an entitlement rests on"
    community = await _community(tx, found.community_id)
    standings = domain.standings_to_entitlement(
        community,
        found.application,
        store.held(assignment),
        found.person_id,
        me,
        await store.list_held_by_caller(tx, me),
    )
    policy.require(domain.POLICY, "end_entitlement", standings)
    cause: Cause = "left" if Standing.HOLDER in standings else "revoked"
    await roles.end_entitlements(tx, cause, by=me, id_=entitlement_id)


async def close_organization(tx: Transaction, organization_id: ScopeId, me: PersonId, *, confirm: str) -> None:
    """Close an organization for good: its groups, roles and entitlements end with it.

    Raises not_found for who neither keeps it nor staffs the help desk, field_invalid unless `confirm` is its legal
    business name, and scope_closed when it is closed already.
    """
    await store.lock_scope(tx, organization_id)
    found, standings = await standings_in(tx, organization_id, me)
    policy.require(domain.POLICY, "close_organization", standings)
    if found.status == "closed":
        raise Refusal("scope_closed")
    if confirm != found.legal_business_name:
        raise invalid("/confirm", "must be the legal business name, letter by letter", found.legal_business_name)
    await places.end_organization(tx, organization_id, by=me)


async def standings_in(tx: Transaction, organization_id: ScopeId, me: PersonId) -> tuple[Any, frozenset[Standing]]:
    """Return an organization, whatever its status, and how a person stands to it. Raises not_found for none."""
    found = await store.load_organization(tx, organization_id)
    if found is None:
        raise Refusal("not_found")
    community = await _community(tx, found.community_id)
    return found, domain.standings_in(community, organization_id, await store.list_held_by_caller(tx, me))


async def fire_timer(tx: Transaction) -> int:
    """Do what the first due timer asks for, if it is still so; return how many there were: one or none.

    Any number of workers may: each timer is taken once, those of one scope in order. Source: domain 5.
    """
    due = await store.take_timer(tx)
    if due is None:
        return 0
    await store.lock_scope(tx, due.scope_id)
    match due.kind:
        case "close_group":
            if await store.is_left_group_due(tx, due.place_id):
                await places.close_group(tx, due.scope_id, PlaceId(due.place_id), by=None)
        case "end_entitlements":
            if await store.is_suspension_due(tx, due.scope_id):
                await roles.end_entitlements(tx, "lapsed", by=None, scope_id=due.scope_id)
        case "unlock_account":
            await accounts.end_lock(tx, PersonId(due.place_id))
        case unknown:
            raise AssertionError(f"the database knows no timer of the kind {unknown}")
    return 1


async def _community(tx: Transaction, community_id: str) -> Community:
    community = await load_community(tx, community_id)
    assert community is not None, "what was granted belongs to a published community"
    return community
