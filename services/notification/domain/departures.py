"""What is told when a role, an entitlement, or the keeping of a place has ended: to whom it was, and to whom it leaves.

Who is left is not judged here: the community says which roles may remove a role and which keep a place,
the directory's states say who holds them. Source: domain 4, 5, 9.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.notification.domain.facts import (
    EntitlementEnded,
    GroupLeftWithoutAdministrator,
    OrganizationSuspended,
    RoleEnded,
)
from services.notification.domain.notices import Consequences, Departure, Notice
from shared.contracts.community import Community
from shared.ids import PersonId, PlaceId, ScopeId

TOLD_AFTER = timedelta(seconds=3)
"""How long we wait before we ask who is left: their roles are heard on another topic."""
TOGETHER = timedelta(seconds=10)
"""An entitlement that ends with its role is told with the role: both are said within moments."""


@dataclass(frozen=True)
class Holder:
    """A person who holds a role in a scope."""

    person_id: PersonId
    role: str
    place_id: UUID


def role_ended(fact: RoleEnded) -> Consequences:
    """The person is told, and so are those who could have removed the role, unless the place itself has gone."""
    detail = {
        "role": fact.role,
        "place_kind": fact.place_kind,
        "place_id": str(fact.place_id),
        "assignment_id": str(fact.assignment_id),
        "cause": fact.cause,
        "at": fact.at.isoformat(),
    }
    notice = Notice(
        "role_ended",
        fact.assignment_id,
        "person",
        fact.person_id,
        fact.scope_id,
        community_id=fact.community_id,
        detail=detail,
    )
    departure = None
    if fact.cause != "scope_closed":
        departure = Departure(
            "role_ended",
            fact.assignment_id,
            "1",
            fact.scope_id,
            fact.place_kind,
            fact.place_id,
            fact.community_id,
            {
                **detail,
                "person_id": str(fact.person_id),
                "ended_by": str(fact.ended_by) if fact.ended_by else None,
            },
        )
    return Consequences(
        notices=(notice,),
        # What ended in the same act: an application that had ended before is not the role's to tell.
        pointless=frozenset({"entitlement_ended"}),
        only=fact.at.isoformat(),
        about_id=fact.assignment_id,
        departure=departure,
    )


def entitlement_ended(fact: EntitlementEnded, told: Collection[tuple[str, str]]) -> Consequences:
    """The person is told, unless the role on which it rested has ended too and tells of it. Source: R13."""
    if any(name == "role_ended" for name, _ in told):
        return Consequences()
    detail = {
        "application": fact.application,
        "role": fact.role,
        "cause": fact.cause,
        "at": fact.at.isoformat(),
    }
    notice = Notice(
        "entitlement_ended",
        fact.assignment_id,
        "person",
        fact.person_id,
        fact.scope_id,
        f"{fact.at.isoformat()}.{fact.entitlement_id}",
        community_id=fact.community_id,
        detail=detail,
        held_for=TOGETHER,
    )
    return Consequences(notices=(notice,))


def organization_suspended(fact: OrganizationSuspended) -> Consequences:
    """Whoever still keeps a group there hears of it, and the help desk, with the day on which entitlements end."""
    return Consequences(
        departure=Departure(
            "organization_suspended",
            fact.organization_id,
            _occasion(fact.at.timestamp()),
            fact.organization_id,
            "organization",
            PlaceId(fact.organization_id),
            fact.community_id,
            _about_place("organization", fact.organization_id)
            | {"at": fact.at.isoformat(), "due_at": fact.entitlements_end_at.isoformat()},
        )
    )


def group_left(fact: GroupLeftWithoutAdministrator) -> Consequences:
    """Whoever keeps the organization hears of it, else the help desk, with the day on which the group closes."""
    return Consequences(
        departure=Departure(
            "group_left",
            fact.group_id,
            _occasion(fact.at.timestamp()),
            fact.organization_id,
            "group",
            fact.group_id,
            None,
            _about_place("group", fact.group_id) | {"at": fact.at.isoformat(), "due_at": fact.closes_at.isoformat()},
        )
    )


def told_of(departure: Departure, community: Community, holders: Sequence[Holder]) -> tuple[Notice, ...]:
    """Return the notices to those who are left. `holders` hold a role in the scope now."""
    match departure.what:
        case "role_ended":
            return _role_ended_elsewhere(departure, community, holders)
        case "organization_suspended":
            keepers = [one.person_id for one in holders if _keeps(community, one)]
            return _notices(departure, community, "organization_suspended", keepers, also_help_desk=True)
        case "group_left":
            keepers = [
                one.person_id for one in holders if one.place_id == departure.scope_id and _keeps(community, one)
            ]
            return _notices(departure, community, "group_left", keepers, also_help_desk=not keepers)


def _role_ended_elsewhere(departure: Departure, community: Community, holders: Sequence[Holder]) -> tuple[Notice, ...]:
    """Those who may remove the role hear of its end; where only the help desk may, it, and who else keeps the place."""
    role = str(departure.detail["role"])
    ended_by = departure.detail["ended_by"]
    left = [one for one in holders if str(one.person_id) != departure.detail["person_id"]]
    declared = community.role(role)
    is_keeper = declared is not None and declared.keeps_place
    vacant = is_keeper and not any(one.role == role and one.place_id == departure.place_id for one in left)
    inside = [one for one in community.removers_of(role) if one.held_in != "community"]
    if inside:
        wanted = {
            (one.role, departure.place_id if one.held_in == departure.place_kind else departure.scope_id)
            for one in inside
        }
        found = [one.person_id for one in left if (one.role, one.place_id) in wanted]
    else:
        found = [one.person_id for one in left if one.place_id == departure.place_id and _keeps(community, one)]
    told = [one for one in found if str(one) != ended_by]  # Who did it knows.
    return _notices(
        departure,
        community,
        "role_ended_superior",
        told,
        also_help_desk=not inside or not found,
        more={"vacant": vacant},
    )


def _notices(
    departure: Departure,
    community: Community,
    name: str,
    people: Collection[PersonId],
    *,
    also_help_desk: bool,
    more: dict[str, object] | None = None,
) -> tuple[Notice, ...]:
    detail = {key: value for key, value in departure.detail.items() if key != "ended_by"} | (more or {})
    whom: list[PersonId | None] = [*dict.fromkeys(people)]
    if also_help_desk:
        whom.append(None)
    return tuple(
        Notice(
            name if one else f"{name}_help_desk",
            departure.about_id,
            "approver" if one else "help_desk",
            one,
            departure.scope_id,
            departure.version,
            community_id=community.id,
            detail=detail,
        )
        for one in whom
    )


def _keeps(community: Community, holder: Holder) -> bool:
    role = community.role(holder.role)
    return role is not None and role.keeps_place


def _about_place(place_kind: str, place_id: ScopeId | PlaceId) -> dict[str, object]:
    return {"place_kind": place_kind, "place_id": str(place_id)}


def _occasion(seconds: float) -> str:
    """Return the version of what may come again another day."""
    return str(int(seconds * 1000))
