"""Places come into being, are left by those who keep them, are kept again, and end. Source: domain 4, 5."""

from datetime import timedelta
from typing import Any

from services.directory import domain, store
from services.directory.usecases import roles, states
from services.directory.usecases.keys import Keys
from shared import audit, outbox, secrets
from shared.contracts import registration
from shared.contracts.base import Event
from shared.contracts.community import Community, Kind
from shared.contracts.directory import (
    GroupActivated,
    GroupClosed,
    GroupLeftWithoutAdministrator,
    OrganizationActivated,
    OrganizationClosed,
    OrganizationSuspended,
    PractitionerActivated,
    PractitionerClosed,
)
from shared.database import Transaction
from shared.ids import PersonId, PlaceId, ScopeId


async def create_place(tx: Transaction, keys: Keys, kind: Kind, dossier: registration.RequestSubmitted) -> None:
    """Make the place that a request of this kind creates, if it creates one."""
    if kind.effect == "activate_organization":
        await _activate_organization(tx, keys, dossier)
    elif kind.effect == "create_group":
        await _activate_group(tx, kind, dossier)
    elif kind.effect == "create_practitioner":
        await _activate_practitioner(tx, dossier)


async def _activate_organization(tx: Transaction, keys: Keys, dossier: registration.RequestSubmitted) -> None:
    data = dossier.organization
    assert data is not None, "a request for an organization carries its data"
    tin = secrets.unseal(keys.private_jwk, data.tin_sealed)
    row = await store.add_organization(
        tx,
        id=dossier.scope_id,
        community_id=dossier.community_id,
        tin_locked=keys.vault.lock(tin, bound_to=f"organization.tin {dossier.scope_id}"),
        request_id=dossier.request_id,
        ptans=list(data.ptans),
        **data.model_dump(exclude={"tin_sealed", "ptans"}),
    )
    event = OrganizationActivated(
        organization_id=dossier.scope_id,
        community_id=dossier.community_id,
        request_id=dossier.request_id,
        effective_from=tx.now,
    )
    _say_organization(tx, row, "activate_organization", event)


async def _activate_group(tx: Transaction, kind: Kind, dossier: registration.RequestSubmitted) -> None:
    assert dossier.group is not None, "a request for a group carries its name"
    assert kind.group_kind is not None, "a validated kind that creates a group says which"
    row = await store.add_group(
        tx,
        id=dossier.place_id,
        organization_id=dossier.scope_id,
        community_id=dossier.community_id,
        kind=kind.group_kind,
        request_id=dossier.request_id,
        **dossier.group.model_dump(),
    )
    event = GroupActivated(
        group_id=dossier.place_id,
        organization_id=dossier.scope_id,
        group_kind=kind.group_kind,
        request_id=dossier.request_id,
        effective_from=tx.now,
    )
    _say_group(tx, row, "activate_group", event)


async def _activate_practitioner(tx: Transaction, dossier: registration.RequestSubmitted) -> None:
    data = dossier.practitioner
    assert data is not None, "a request for a practitioner record carries its data"
    row = await store.add_practitioner(
        tx,
        id=dossier.scope_id,
        community_id=dossier.community_id,
        request_id=dossier.request_id,
        ptans=list(data.ptans),
        **data.model_dump(exclude={"ptans"}),
    )
    event = PractitionerActivated(
        practitioner_id=dossier.scope_id,
        community_id=dossier.community_id,
        request_id=dossier.request_id,
        effective_from=tx.now,
    )
    _say_practitioner(tx, row, "activate_practitioner", event)


async def keep_again(tx: Transaction, community: Community, role_code: str, place_id: PlaceId) -> None:
    """A suspended organization, or a group without administrator, that has a keeper again is active again."""
    role = community.role(role_code)
    if role is None or not role.keeps_place:
        return
    if role.place == "organization":
        row = await store.save_organization_status(tx, ScopeId(place_id), "active", unless=("active", "closed"))
        if row is not None:
            again = OrganizationActivated(organization_id=row.id, community_id=row.community_id, effective_from=tx.now)
            _say_organization(tx, row, "keep_organization_again", again)
    elif role.place == "group":
        row = await store.save_group_status(tx, place_id, "active", unless=("active", "closed"))
        if row is not None:
            kept = GroupActivated(
                group_id=row.id, organization_id=row.organization_id, group_kind=row.kind, effective_from=tx.now
            )
            _say_group(tx, row, "keep_group_again", kept)


async def look_after(tx: Transaction, community: Community, ended: Any) -> None:
    """See to the place of a role assignment that has ended: if nobody keeps it any more, say so and set the timer.

    Under the scope's lock: two keepers who leave at the same moment are judged one after the other.
    """
    keepers = domain.keepers_of(community, ended.place_kind)
    if ended.role not in keepers or await store.count_holders(tx, keepers, ended.place_id):
        return
    if ended.place_kind == "organization":
        await _suspend_organization(tx, community, ended.place_id)
    elif ended.place_kind == "group":
        await _leave_group(tx, community, ended.place_id)
    elif ended.place_kind == "practitioner":
        await _close_practitioner(tx, ended.place_id)


async def _suspend_organization(tx: Transaction, community: Community, organization_id: ScopeId) -> None:
    end_at = tx.now + timedelta(days=community.departures.suspended_entitlements_end_after_days)
    row = await store.save_organization_status(
        tx, organization_id, "suspended", unless=("suspended", "closed"), entitlements_end_at=end_at
    )
    if row is None:
        return
    await store.add_timer(tx, "end_entitlements", organization_id, organization_id, end_at)
    event = OrganizationSuspended(
        organization_id=organization_id, community_id=row.community_id, suspended_at=tx.now, entitlements_end_at=end_at
    )
    _say_organization(tx, row, "suspend_organization", event)


async def _leave_group(tx: Transaction, community: Community, group_id: PlaceId) -> None:
    closes_at = tx.now + timedelta(days=community.departures.group_closes_after_days)
    row = await store.save_group_status(
        tx, group_id, "without_administrator", unless=("without_administrator", "closed"), closes_at=closes_at
    )
    if row is None:
        return
    await store.add_timer(tx, "close_group", row.organization_id, group_id, closes_at)
    event = GroupLeftWithoutAdministrator(
        group_id=group_id, organization_id=row.organization_id, left_at=tx.now, closes_at=closes_at
    )
    _say_group(tx, row, "leave_group_without_administrator", event)


async def _close_practitioner(tx: Transaction, practitioner_id: ScopeId) -> None:
    await _end_all_roles(tx, practitioner_id, by=None)
    row = await store.close_practitioner(tx, practitioner_id)
    if row is not None:
        event = PractitionerClosed(practitioner_id=practitioner_id, community_id=row.community_id, closed_at=tx.now)
        _say_practitioner(tx, row, "close_practitioner", event)


async def close_group(tx: Transaction, organization_id: ScopeId, group_id: PlaceId, *, by: PersonId | None) -> None:
    """End a group, and with it its roles and entitlements."""
    await _end_all_roles(tx, organization_id, group_id, by=by)
    row = await store.save_group_status(tx, group_id, "closed", unless=("closed",))
    if row is not None:
        event = GroupClosed(group_id=group_id, organization_id=organization_id, closed_at=tx.now)
        _say_group(tx, row, "close_group", event)


async def end_organization(tx: Transaction, organization_id: ScopeId, *, by: PersonId | None) -> None:
    """End an organization, and with it its groups, roles and entitlements."""
    for group_id in await store.list_open_groups(tx, organization_id):
        await close_group(tx, organization_id, group_id, by=by)
    await _end_all_roles(tx, organization_id, by=by)
    row = await store.save_organization_status(tx, organization_id, "closed", unless=("closed",))
    if row is not None:
        event = OrganizationClosed(
            organization_id=organization_id, community_id=row.community_id, closed_by=by, closed_at=tx.now
        )
        _say_organization(tx, row, "close_organization", event, by=by)


async def _end_all_roles(
    tx: Transaction, scope_id: ScopeId, place_id: PlaceId | None = None, *, by: PersonId | None
) -> None:
    for assignment in await store.list_assignments_in(tx, scope_id, place_id):
        await roles.end_assignment(tx, assignment.id, "scope_closed", by=by)


def _say_organization(tx: Transaction, row: Any, act: str, event: Event, *, by: PersonId | None = None) -> None:
    audit.record(tx, actor=by or "directory", act=act, subject=row.id, scope=row.id)
    outbox.announce(tx, scope=row.id, subject=row.id, event=event)
    states.publish(tx, "organization", row._mapping)


def _say_group(tx: Transaction, row: Any, act: str, event: Event) -> None:
    audit.record(tx, actor="directory", act=act, subject=row.id, scope=row.organization_id)
    outbox.announce(tx, scope=row.organization_id, subject=row.id, event=event)
    states.publish(tx, "user_group", row._mapping)


def _say_practitioner(tx: Transaction, row: Any, act: str, event: Event) -> None:
    audit.record(tx, actor="directory", act=act, subject=row.id, scope=row.id)
    outbox.announce(tx, scope=row.id, subject=row.id, event=event)
    states.publish(tx, "practitioner", row._mapping)
