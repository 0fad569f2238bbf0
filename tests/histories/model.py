"""What a reader of the published events alone holds to be true, and what it refuses to believe.

Written a second time on purpose, from the rules and not from the code that is tried: who may decide where,
who holds what together, what is final.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import combinations
from uuid import UUID

from shared.contracts import approval, directory
from shared.contracts.base import Event, State
from shared.contracts.community import Community, Decider, Kind
from shared.contracts.registration import RequestSubmitted

_ENDS = (approval.RequestDenied, approval.RequestExpired, approval.RequestWithdrawn, approval.RequestClosed)


@dataclass(frozen=True)
class Role:
    """A role that somebody held somewhere, since when and until when."""

    person_id: UUID
    role: str
    place_id: UUID
    scope_id: UUID
    community_id: str
    since: datetime
    until: datetime | None = None

    def was_held_at(self, at: datetime) -> bool:
        """Tell whether it was held at a moment."""
        return self.since <= at and (self.until is None or at < self.until)


def place_of(community: Community, decider: Decider, it: RequestSubmitted) -> UUID:
    """Return where a decider of a request holds the role: the request itself says so. Source: domain 3."""
    if decider.held_in == "community":
        return community.place_id
    if decider.held_in in ("organization", "practitioner"):
        return it.scope_id
    if decider.held_in == "group" and it.rests_on is not None:
        return it.rests_on.place_id
    return it.place_id


@dataclass
class Model:
    """The roles, entitlements and answers that the two topics of events tell of."""

    communities: Mapping[str, Community]
    filed: dict[UUID, RequestSubmitted] = field(default_factory=dict)
    roles: dict[UUID, Role] = field(default_factory=dict)
    entitlements: dict[UUID, UUID] = field(default_factory=dict)
    """Those in effect -> the role assignment that each rests on."""
    granted: dict[UUID, UUID] = field(default_factory=dict)
    """Request -> the one role assignment or entitlement that it has led to."""
    approved: dict[UUID, list[approval.RequestApproved]] = field(default_factory=dict)
    answered: set[tuple[UUID, int]] = field(default_factory=set)
    ended: dict[UUID, str] = field(default_factory=dict)
    places: dict[UUID, str] = field(default_factory=dict)
    """Organizations, groups and practitioner records -> how they are."""

    def copy(self) -> "Model":
        """Return one that goes its own way from here."""
        mine = {name: type(value)(value) for name, value in vars(self).items() if name != "approved"}
        return Model(**mine, approved={request_id: list(told) for request_id, told in self.approved.items()})

    def kind_of(self, it: RequestSubmitted) -> Kind:
        """Return the kind of a request."""
        kind = self.communities[it.community_id].kind(it.kind)
        assert kind is not None
        return kind

    def capacities(self, it: RequestSubmitted, stage: int, *, to_approve: bool) -> set[tuple[str, UUID]]:
        """Return the roles, each with its place, that may ever decide a request in a stage; or approve it."""
        community, kind = self.communities[it.community_id], self.kind_of(it)
        help_desk = (community.help_desk_role.code, community.place_id)
        if stage == 0:
            return {help_desk}
        chain = kind.stage(stage, it.rests_on.role if it.rests_on else None).chain
        able = {(d.role, place_of(community, d, it)) for d in chain if d.may_approve or not to_approve}
        return able if to_approve else able | {help_desk}

    # --- What it hears

    def hear(self, event: Event | State) -> None:
        """Take one more fact in. Raises AssertionError if it cannot be true."""
        if isinstance(event, approval.RequestEvent):
            self._hear_of_request(event)
        elif isinstance(event, directory.RoleGranted):
            self._begin(event)
        elif isinstance(event, directory.RoleEnded):
            resting = [right for right, role in self.entitlements.items() if role == event.assignment_id]
            assert not resting, "a role ends before the entitlements that rest on it"
            before = self.roles[event.assignment_id]
            assert before.until is None, "what has ended ends again"
            self.roles[event.assignment_id] = replace(before, until=event.effective_until)
        elif isinstance(event, directory.EntitlementGranted):
            role = self.roles[event.assignment_id]
            assert role.until is None, "an entitlement rests on a role that has ended"
            assert role.person_id == event.person_id, "an entitlement rests on somebody else's role"
            self._granted(event.request_id, event.entitlement_id, event.person_id, event.decided_by, event.decided_as)
            self.entitlements[event.entitlement_id] = event.assignment_id
        elif isinstance(event, directory.EntitlementEnded):
            del self.entitlements[event.entitlement_id]
        elif isinstance(event, directory.GrantApplied):
            self._answered(event.request_id, event.round)
            what = event.assignment_id or event.entitlement_id
            assert self.granted.get(event.request_id) == what, "what is said to be granted is not"
        elif isinstance(event, directory.GrantRefused):
            self._answered(event.request_id, event.round)
            assert event.request_id not in self.granted, "what is granted is refused"
        else:
            self._hear_of_place(event)

    def _hear_of_request(self, event: approval.RequestEvent) -> None:
        if isinstance(event, approval.RequestWithdrawalRefused):
            return
        assert event.request_id not in self.ended, f"{event.wire} after {self.ended[event.request_id]}"
        if isinstance(event, _ENDS):
            self.ended[event.request_id] = event.wire
        elif isinstance(event, approval.RequestApproved):
            it = self.filed[event.request_id]
            assert event.decided_by != it.applicant.person_id, "somebody decides their own request"
            stages = self.kind_of(it).stages_on(it.rests_on.role if it.rests_on else None)
            able = self.capacities(it, len(stages), to_approve=True)
            assert (event.capacity.role, event.capacity.place_id) in able, "who approved it may not"
            self.approved.setdefault(event.request_id, []).append(event)

    def _begin(self, event: directory.RoleGranted) -> None:
        new = Role(
            **{name: getattr(event, name) for name in ("person_id", "role", "place_id", "scope_id", "community_id")},
            since=event.effective_from,
        )
        if event.request_id is not None:
            assert event.decided_by is not None
            assert event.decided_as is not None
            self._granted(event.request_id, event.assignment_id, event.person_id, event.decided_by, event.decided_as)
        assert event.assignment_id not in self.roles, "a role is given twice"
        self.roles[event.assignment_id] = new
        check_roles(self.communities, [role for role in self.roles.values() if role.until is None])

    def _granted(self, request_id: UUID, what: UUID, person_id: UUID, decided_by: UUID, decided_as: str) -> None:
        assert request_id not in self.granted, "a request is granted twice"
        assert request_id not in self.ended, f"a request is granted after {self.ended[request_id]}"
        assert decided_by != person_id, "somebody decides their own request"
        approvals = [it for it in self.approved[request_id] if it.decided_by == decided_by]
        assert any(
            it.capacity.role == decided_as == role.role
            and role.person_id == decided_by
            and role.place_id == it.capacity.place_id
            and role.was_held_at(it.decided_at)
            for it in approvals
            for role in self.roles.values()
        ), "nobody who could has approved what is granted"
        self.granted[request_id] = what

    def _answered(self, request_id: UUID, round_: int) -> None:
        assert (request_id, round_) not in self.answered, "a round is answered twice"
        self.answered.add((request_id, round_))

    def _hear_of_place(self, event: Event | State) -> None:
        word = type(event).__name__
        for subject, how in (
            ("organization_id", "Organization"),
            ("practitioner_id", "Practitioner"),
            ("group_id", "Group"),
        ):
            if word.startswith(how) and isinstance(event, Event):
                place = getattr(event, subject)
                assert self.places.get(place) != "Closed", f"{word} of what is closed"
                self.places[place] = word.removeprefix(how)
                held = [
                    role
                    for role in self.roles.values()
                    if role.until is None and place in (role.place_id, role.scope_id)
                ]
                assert word != f"{how}Closed" or not held, "a place is closed before the roles in it end"


def check_roles(communities: Mapping[str, Community], held: Iterable[Role]) -> None:
    """Find no two roles of one person that exclude each other, and no seat taken too often. Source: domain 2."""
    present = list(held)
    for community in communities.values():
        for role in community.roles:
            places = [it.place_id for it in present if it.role == role.code and it.community_id == community.id]
            crowded = [place for place in places if role.seats is not None and places.count(place) > role.seats]
            assert not crowded, f"more than {role.seats} hold {role.code} in a place"
        for one, other in combinations(present, 2):
            if one.person_id == other.person_id:
                _check_pair(community, one, other)


def _check_pair(community: Community, one: Role, other: Role) -> None:
    for exclusion in community.exclusions:
        together = {
            "scope": one.scope_id == other.scope_id,
            "place": one.place_id == other.place_id,
            "anywhere": True,
        }[exclusion.within]
        mine, others = (
            {number for number, side in enumerate(exclusion.between) if it.role in side} for it in (one, other)
        )
        is_excluded = bool(together and mine and others) and mine.isdisjoint(others)
        assert not is_excluded, f"{one.role} and {other.role} are held together"
