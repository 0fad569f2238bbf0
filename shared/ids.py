"""The ids of the published language: one type for each, and how the derived ones are made.

Every id is a UUIDv7, minted where the thing begins (domain 7): registration mints request, scope
and place ids, the directory adopts them. A role assignment's id is derived from the request that
led to it, so that applying the same approval twice can only ever name the same assignment.
"""

from typing import NewType
from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

RequestId = NewType("RequestId", UUID)
PersonId = NewType("PersonId", UUID)
ScopeId = NewType("ScopeId", UUID)
"""The organization, practitioner record, community, application or person in which something happens."""
PlaceId = NewType("PlaceId", UUID)
"""Where a role is held: an organization, group, practitioner record, application or community."""
AssignmentId = NewType("AssignmentId", UUID)
EntitlementId = NewType("EntitlementId", UUID)
EventId = NewType("EventId", UUID)
DocumentId = NewType("DocumentId", UUID)

_NAMES = UUID("b7c1f0de-6f5e-5d0e-9a38-2f0a6f6a1d11")


def new_id() -> UUID:
    """Return a fresh UUIDv7: unique, and sorted by the moment of its making."""
    return uuid7()


def assignment_id(request_id: RequestId, role: str) -> AssignmentId:
    """Return the id of the role assignment that `request_id` leads to. Source: domain 7."""
    return AssignmentId(uuid5(request_id, role))


def entitlement_id(request_id: RequestId) -> EntitlementId:
    """Return the id of the entitlement that `request_id` leads to: one, however often it is applied."""
    return EntitlementId(uuid5(request_id, "entitlement"))


def application_place(community_id: str, application: str) -> PlaceId:
    """Return the id under which an application of a community is a place where roles are held (its owners)."""
    return PlaceId(uuid5(_NAMES, f"application:{community_id}:{application}"))


def community_place(community_id: str) -> PlaceId:
    """Return the id under which a community is a place where roles are held (help desk, auditor)."""
    return PlaceId(uuid5(_NAMES, f"community:{community_id}"))


def directory_scope() -> ScopeId:
    """Return the scope of what belongs to the directory itself, such as the keys of its tokens."""
    return ScopeId(uuid5(_NAMES, "directory"))
