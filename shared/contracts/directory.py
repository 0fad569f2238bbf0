"""What the directory says: what access exists, as events and as full state.

Only these records say what access exists. `TOPIC` and `STATE_TOPIC` are public; `ACCOUNTS_TOPIC`
(the only one with a sealed field) and `PEOPLE_TOPIC` (names, addresses) are internal.
"""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.base import Code, Event, Moment, State
from shared.ids import AssignmentId, EntitlementId, PersonId, PlaceId, RequestId, ScopeId

TOPIC = "iacs.directory.v1"
STATE_TOPIC = "iacs.directory.state.v1"
ACCOUNTS_TOPIC = "iacs.directory.accounts.v1"
PEOPLE_TOPIC = "iacs.directory.people.v1"

Cause = Literal["left", "revoked", "lapsed", "scope_closed"]
"""Why a role or an entitlement ended: its holder left it, an approver took it, time ran out, its place is gone."""


class OrganizationActivated(Event):
    """The organization is approved: it is listed, and may be named in requests."""

    wire = "iacs.directory.organization.activated.v1"
    topic = TOPIC

    organization_id: ScopeId
    community_id: str
    request_id: RequestId | None = Field(default=None, description="None when a suspended one is active again")
    effective_from: Moment


class OrganizationSuspended(Event):
    """Nobody keeps the organization any more. It is not listed; its entitlements end on the day given."""

    wire = "iacs.directory.organization.suspended.v1"
    topic = TOPIC

    organization_id: ScopeId
    community_id: str
    suspended_at: Moment
    entitlements_end_at: Moment


class OrganizationClosed(Event):
    """The organization has ended, and with it its groups, roles, entitlements and open requests."""

    wire = "iacs.directory.organization.closed.v1"
    topic = TOPIC

    organization_id: ScopeId
    community_id: str
    closed_by: PersonId | None = None
    closed_at: Moment


class GroupActivated(Event):
    """The user group is approved: people may ask to join it."""

    wire = "iacs.directory.group.activated.v1"
    topic = TOPIC

    group_id: PlaceId
    organization_id: ScopeId
    group_kind: Literal["provider", "surrogate"]
    request_id: RequestId | None = Field(default=None, description="None when it has an administrator again")
    effective_from: Moment


class GroupLeftWithoutAdministrator(Event):
    """Nobody administers the user group any more. It is closed on the day given unless somebody does."""

    wire = "iacs.directory.group.left_without_administrator.v1"
    topic = TOPIC

    group_id: PlaceId
    organization_id: ScopeId
    left_at: Moment
    closes_at: Moment


class GroupClosed(Event):
    """The user group has ended, and with it its roles, entitlements and open requests."""

    wire = "iacs.directory.group.closed.v1"
    topic = TOPIC

    group_id: PlaceId
    organization_id: ScopeId
    closed_at: Moment


class PractitionerActivated(Event):
    """The practitioner record is approved."""

    wire = "iacs.directory.practitioner.activated.v1"
    topic = TOPIC

    practitioner_id: ScopeId
    community_id: str
    request_id: RequestId
    effective_from: Moment


class PractitionerClosed(Event):
    """The practitioner record has ended, and with it its role, entitlements and open requests."""

    wire = "iacs.directory.practitioner.closed.v1"
    topic = TOPIC

    practitioner_id: ScopeId
    community_id: str
    closed_at: Moment


class RoleGranted(Event):
    """A person now holds a role in a place."""

    wire = "iacs.directory.role.granted.v1"
    topic = TOPIC

    assignment_id: AssignmentId
    person_id: PersonId
    role: Code
    place_kind: Code
    place_id: PlaceId
    scope_id: ScopeId
    community_id: str
    request_id: RequestId | None = None
    decided_by: PersonId | None = None
    decided_as: Code | None = None
    effective_from: Moment


class RoleEnded(Event):
    """A person no longer holds a role in a place."""

    wire = "iacs.directory.role.ended.v1"
    topic = TOPIC

    assignment_id: AssignmentId
    person_id: PersonId
    role: Code
    place_kind: Code
    place_id: PlaceId
    scope_id: ScopeId
    community_id: str
    cause: Cause
    ended_by: PersonId | None = None
    effective_until: Moment


class EntitlementGranted(Event):
    """A person may now use an application, as long as the role assignment lasts that it rests on."""

    wire = "iacs.directory.entitlement.granted.v1"
    topic = TOPIC

    entitlement_id: EntitlementId
    person_id: PersonId
    application: Code
    assignment_id: AssignmentId
    role: Code
    scope_id: ScopeId
    community_id: str
    request_id: RequestId
    decided_by: PersonId
    decided_as: Code
    effective_from: Moment


class EntitlementEnded(Event):
    """A person may no longer use an application on the strength of this role assignment. Source: R13."""

    wire = "iacs.directory.entitlement.ended.v1"
    topic = TOPIC

    entitlement_id: EntitlementId
    person_id: PersonId
    application: Code
    assignment_id: AssignmentId
    role: Code
    scope_id: ScopeId
    community_id: str
    cause: Cause
    ended_by: PersonId | None = None
    effective_until: Moment


class GrantApplied(Event):
    """An approval has had its effect: from here on it is access."""

    wire = "iacs.directory.grant.applied.v1"
    topic = TOPIC

    request_id: RequestId
    round: int
    scope_id: ScopeId
    place_id: PlaceId
    person_id: PersonId
    assignment_id: AssignmentId | None = Field(default=None, description="The role assignment, if a role was given")
    entitlement_id: EntitlementId | None = Field(default=None, description="The entitlement, if one was given")
    account_issued: bool = Field(description="Whether this first grant also made the person's account")
    applied_at: Moment


class GrantRefused(Event):
    """An approval could not have its effect, for `reason`. Nothing of it was applied."""

    wire = "iacs.directory.grant.refused.v1"
    topic = TOPIC

    request_id: RequestId
    round: int
    scope_id: ScopeId
    reason: Code
    stage: int | None = Field(
        default=None, description="With approver_lost_authority: the first stage whose approver had no authority"
    )
    refused_at: Moment


class AccountIssued(Event):
    """A person has an account now: its user ID, and the link that sets its password."""

    wire = "iacs.directory.account.issued.v1"
    topic = ACCOUNTS_TOPIC

    person_id: PersonId
    user_id: str
    community_id: str
    request_id: RequestId | None = None
    link_sealed: str = Field(description="JWE (compact) sealed to notification's key: the link's token")
    link_expires_at: Moment
    issued_at: Moment


class PasswordLinkAsked(Event):
    """A new link to set the password was asked for."""

    wire = "iacs.directory.account.password_link_asked.v1"
    topic = ACCOUNTS_TOPIC

    person_id: PersonId
    user_id: str
    community_id: str
    link_id: UUID
    link_sealed: str
    link_expires_at: Moment
    asked_at: Moment


class AccountChanged(Event):
    """The account's state changed; `user_id` never does. One that is locked is active again by itself."""

    wire = "iacs.directory.account.changed.v1"
    topic = ACCOUNTS_TOPIC

    person_id: PersonId
    previous_state: Code
    state: Code
    changed_at: Moment
    community_id: str | None = Field(default=None, description="The community whose help desk helps this person")
    until: Moment | None = Field(default=None, description="When a lock ends; None in every other state")


class OrganizationState(State):
    """An organization as it is now, with what a listing shows."""

    wire = "iacs.directory.organization.state.v1"
    topic = STATE_TOPIC

    organization_id: ScopeId
    community_id: str
    status: Literal["active", "suspended", "closed"]
    legal_business_name: str
    city: str
    state: str
    duplicate_key: str
    effective_from: Moment


class GroupState(State):
    """A user group as it is now."""

    wire = "iacs.directory.group.state.v1"
    topic = STATE_TOPIC

    group_id: PlaceId
    organization_id: ScopeId
    community_id: str
    status: Literal["active", "without_administrator", "closed"]
    group_kind: Literal["provider", "surrogate"]
    name: str
    normalised_name: str
    company_name: str = ""
    effective_from: Moment


class PractitionerState(State):
    """A practitioner record as it is now: no name, no NPI."""

    wire = "iacs.directory.practitioner.state.v1"
    topic = STATE_TOPIC

    practitioner_id: ScopeId
    community_id: str
    status: Literal["active", "closed"]
    duplicate_key: str
    state: str
    effective_from: Moment


class RoleAssignmentState(State):
    """Who holds which role where, and since when."""

    wire = "iacs.directory.role_assignment.state.v1"
    topic = STATE_TOPIC

    assignment_id: AssignmentId
    person_id: PersonId
    role: Code
    place_kind: Code
    place_id: PlaceId
    scope_id: ScopeId
    community_id: str
    status: Literal["active", "ended", "lapsed", "revoked"]
    effective_from: Moment
    effective_until: Moment | None = None


class EntitlementState(State):
    """Who may use which application, resting on which role assignment."""

    wire = "iacs.directory.entitlement.state.v1"
    topic = STATE_TOPIC

    entitlement_id: EntitlementId
    person_id: PersonId
    application: Code
    assignment_id: AssignmentId
    role: Code
    scope_id: ScopeId
    community_id: str
    status: Literal["active", "ended", "lapsed", "revoked"]
    effective_from: Moment
    effective_until: Moment | None = None


class AccountState(State):
    """Whether a person's account can act: no name, no user ID."""

    wire = "iacs.directory.account.state.v1"
    topic = STATE_TOPIC

    person_id: PersonId
    status: Literal["invited", "active", "locked", "disabled", "closed"]


class CommunityState(State):
    """One version of a community, whole. A request keeps the version under which it was filed."""

    wire = "iacs.directory.community.state.v1"
    topic = STATE_TOPIC

    community_id: str
    version: int
    current: bool
    definition: dict[str, Any]


class TokenKeyState(State):
    """A public key that verifies access tokens (JWK). Kept by each service in its own database."""

    wire = "iacs.directory.token_key.state.v1"
    topic = STATE_TOPIC

    kid: str
    jwk: dict[str, Any]
    not_before: Moment
    not_after: Moment


class PersonState(State):
    """Who a person is and where mail reaches them. Internal."""

    wire = "iacs.directory.person.state.v1"
    topic = PEOPLE_TOPIC

    person_id: PersonId
    given_name: str
    family_name: str
    email: str
    user_id: str | None = None
