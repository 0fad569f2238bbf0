"""Roles that people hold, what rests on them, and their ends, as the directory tells of them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.contracts import directory
from shared.ids import AssignmentId, EntitlementId, PersonId, PlaceId, ScopeId, new_id
from tests.notification.builders import COMMUNITY, LATER, NOW, Record, record


@dataclass(frozen=True)
class AnAssignment:
    """One role that a person holds: by default an End User in a group of an organization."""

    person_id: PersonId
    place_id: PlaceId
    scope_id: ScopeId
    role: str = "END_USER"
    place_kind: str = "group"
    id: AssignmentId = field(default_factory=lambda: AssignmentId(new_id()))

    def state(self, status: Any = "active", *, version: int = 1) -> Record:
        return record(
            directory.RoleAssignmentState(
                assignment_id=self.id,
                person_id=self.person_id,
                role=self.role,
                place_kind=self.place_kind,
                place_id=self.place_id,
                scope_id=self.scope_id,
                community_id=COMMUNITY.id,
                status=status,
                effective_from=NOW,
            ),
            subject=self.id,
            scope=self.scope_id,
            version=version,
        )

    def ended(self, cause: Any = "revoked", *, by: PersonId | None = None, at: datetime = NOW) -> Record:
        return record(
            directory.RoleEnded(
                assignment_id=self.id,
                person_id=self.person_id,
                role=self.role,
                place_kind=self.place_kind,
                place_id=self.place_id,
                scope_id=self.scope_id,
                community_id=COMMUNITY.id,
                cause=cause,
                ended_by=by,
                effective_until=at,
            ),
            subject=self.id,
            scope=self.scope_id,
        )

    def entitled(self, application: str, *, ended_at: datetime | None = None) -> Record:
        entitlement_id = EntitlementId(new_id())
        return record(
            directory.EntitlementState(
                entitlement_id=entitlement_id,
                person_id=self.person_id,
                application=application,
                assignment_id=self.id,
                role=self.role,
                scope_id=self.scope_id,
                community_id=COMMUNITY.id,
                status="ended" if ended_at else "active",
                effective_from=NOW,
                effective_until=ended_at,
            ),
            subject=entitlement_id,
            scope=self.scope_id,
        )

    def entitlement_ended(self, application: str, cause: Any = "revoked") -> Record:
        entitlement_id = EntitlementId(new_id())
        return record(
            directory.EntitlementEnded(
                entitlement_id=entitlement_id,
                person_id=self.person_id,
                application=application,
                assignment_id=self.id,
                role=self.role,
                scope_id=self.scope_id,
                community_id=COMMUNITY.id,
                cause=cause,
                effective_until=NOW,
            ),
            subject=entitlement_id,
            scope=self.scope_id,
        )


def suspended(organization_id: ScopeId) -> Record:
    """Nobody keeps the organization any more."""
    return record(
        directory.OrganizationSuspended(
            organization_id=organization_id, community_id=COMMUNITY.id, suspended_at=NOW, entitlements_end_at=LATER
        ),
        subject=organization_id,
    )


def group_left(group_id: PlaceId, organization_id: ScopeId) -> Record:
    """Nobody administers the group any more."""
    return record(
        directory.GroupLeftWithoutAdministrator(
            group_id=group_id, organization_id=organization_id, left_at=NOW, closes_at=LATER
        ),
        subject=group_id,
        scope=organization_id,
    )
