"""What a community is, and what follows from its file: pure data, and its pure interpreter.

Routing, preconditions, cardinality, exclusions and effects are read from here by every service,
so a community with other roles and other stages needs no code. Source: domain 3.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.base import Code
from shared.ids import PlaceId, ScopeId, community_place

PlaceKind = Literal["organization", "group", "community"]
Effect = Literal["activate_organization", "create_group", "assign_role"]
Precondition = Literal["organization_active", "group_active", "group_open"]
FieldName = Annotated[str, Field(pattern=r"^[a-z_]{1,40}\??$")]
Days = Annotated[int, Field(ge=1, le=3650)]


class Part(BaseModel):
    """A part of a community file: immutable, and a word it does not know is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(Part):
    """A role that people of this community hold."""

    code: Code
    name: str = Field(min_length=1)
    place: PlaceKind
    seats: int | None = Field(default=None, ge=1, description="How many may hold it in one place")
    appointed_by_operator: bool = False


class Exclusion(Part):
    """Nobody holds roles of two of these sets: in one scope, or in one place. Separation of duty."""

    within: Literal["scope", "place"]
    between: tuple[tuple[Code, ...], ...] = Field(min_length=2)


class Decider(Part):
    """Holders of `role` in a place of the kind `held_in`, as seen from the request."""

    role: Code
    held_in: PlaceKind
    may_approve: bool = True


class Stage(Part):
    """One step of a request: who may decide it, and what happens when nobody does.

    `fallbacks` are the steps that are added, one after the other, when there is no approver;
    a step may add several queues at once.
    """

    deciders: tuple[Decider, ...] = Field(min_length=1)
    quorum: int = Field(default=1, ge=1)
    fallbacks: tuple[tuple[Decider, ...], ...] = ()
    escalate_after_days: Days = 14
    expire_after_days: Days = 30

    def fallback(self, added_count: int) -> tuple[Decider, ...]:
        """Return the queues to add next, after `added_count` steps were added; empty if none is left."""
        return self.fallbacks[added_count] if added_count < len(self.fallbacks) else ()

    @property
    def chain(self) -> tuple[Decider, ...]:
        """Everybody who may ever have this stage in a queue."""
        return self.deciders + tuple(decider for step in self.fallbacks for decider in step)


class DocumentNeed(Part):
    """A document without which the request is not decided."""

    code: Code
    name: str = Field(min_length=1)


class Kind(Part):
    """What can be asked for, by whom it is decided, and what it then does."""

    code: Code
    name: str = Field(min_length=1)
    effect: Effect
    role: Code
    group_kind: Literal["provider", "surrogate"] | None = None
    applicant_fields: tuple[FieldName, ...]
    fields: tuple[FieldName, ...] = ()
    documents: tuple[DocumentNeed, ...] = ()
    documents_expire_after_days: Days = 30
    preconditions: tuple[Precondition, ...] = ()
    needs_holder_of: Code | None = Field(default=None, description="A role that must be held in the organization")
    stages: tuple[Stage, ...] = Field(min_length=1)

    def stage(self, number: int) -> Stage:
        """Return stage `number`, counted from 1."""
        return self.stages[number - 1]

    def next_stage(self, number: int) -> int | None:
        """Return the number of the stage after `number`, or None when that was the last."""
        return number + 1 if number < len(self.stages) else None


class Choice(Part):
    """One of the values a field may take."""

    code: Code
    name: str


class RefusedType(Part):
    """A provider type that should not register at this time, and the sentence it is shown."""

    code: Code
    name: str
    sentence: str


class HelpDesk(Part):
    """How a person reaches the help desk, and the one address at which it hears of its work."""

    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    phone: str
    tty: str
    hours: str


class Community(Part):
    """Users who give CMS a similar service and need similar applications."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{1,39}$")
    version: int = Field(ge=1)
    name: str
    open: bool
    help_desk: HelpDesk
    roles: tuple[Role, ...] = Field(min_length=1)
    exclusions: tuple[Exclusion, ...] = ()
    provider_types: tuple[Choice, ...] = ()
    refused_provider_types: tuple[RefusedType, ...] = ()
    kinds: tuple[Kind, ...] = Field(min_length=1)

    @property
    def place_id(self) -> PlaceId:
        """The id under which this community is a place."""
        return community_place(self.id)

    def role(self, code: str) -> Role | None:
        """Return the role of this code, if there is one."""
        return next((role for role in self.roles if role.code == code), None)

    def kind(self, code: str) -> Kind | None:
        """Return the request kind of this code, if there is one."""
        return next((kind for kind in self.kinds if kind.code == code), None)


@dataclass(frozen=True)
class Holding:
    """One role that a person holds, as far as rules need to know it."""

    role: str
    place_id: UUID
    scope_id: UUID


@dataclass(frozen=True)
class QueueOf:
    """A decider with the one place in which it holds for a request."""

    role: str
    place_kind: str
    place_id: PlaceId
    may_approve: bool = True


@dataclass(frozen=True)
class Surroundings:
    """What preconditions are judged on: the scope and the place as they stand at one moment."""

    organization_status: str | None = None
    group_status: str | None = None
    group_in_scope: bool = True
    seats_taken: Mapping[str, int] | None = None
    """Role code -> how many hold it in the organization."""


def queue_of(community: Community, decider: Decider, scope_id: ScopeId, place_id: PlaceId) -> QueueOf:
    """Return the queue of `decider` for a request about this scope and place."""
    places: Mapping[str, PlaceId] = {
        "organization": PlaceId(scope_id),
        "group": place_id,
        "community": community.place_id,
    }
    return QueueOf(decider.role, decider.held_in, places[decider.held_in], decider.may_approve)


def unmet_precondition(kind: Kind, around: Surroundings) -> str | None:
    """Return the error code of the first precondition of `kind` that does not hold, or None.

    Unknown and unapproved organizations get the same answer. Source: R3, domain 4.
    """
    for precondition in kind.preconditions:
        if precondition == "organization_active" and around.organization_status != "active":
            return "organization_not_listed"
        if precondition in ("group_active", "group_open"):
            allowed = ("active",) if precondition == "group_active" else ("active", "without_administrator")
            if not around.group_in_scope or around.group_status not in allowed:
                return "group_not_active"
    if kind.needs_holder_of and not (around.seats_taken or {}).get(kind.needs_holder_of):
        return "security_official_vacant"
    return None


def role_conflict(
    community: Community,
    role: str,
    place_id: UUID,
    scope_id: UUID,
    holdings: Iterable[Holding],
    seats_taken: int,
) -> str | None:
    """Return why a person with `holdings` may not be given `role` in this place, or None.

    `holdings` are the person's present roles in this scope; `seats_taken` counts the place's
    present holders of the role. The order of the answers is part of the promise:
    separation_of_duty, then cardinality_reached. Source: domain 2.
    """
    held = list(holdings)
    for exclusion in community.exclusions:
        mine = [n for n, roles in enumerate(exclusion.between) if role in roles]
        for holding in held:
            same = holding.scope_id == scope_id if exclusion.within == "scope" else holding.place_id == place_id
            others = [n for n, roles in enumerate(exclusion.between) if holding.role in roles]
            if same and mine and others and not set(mine) & set(others):
                return "separation_of_duty"
    declared = community.role(role)
    if declared is not None and declared.seats is not None and seats_taken >= declared.seats:
        return "cardinality_reached"
    return None


def faults(community: Community) -> list[str]:
    """Return everything that is wrong with a community whose shape is right; empty if nothing.

    Each fault names where it is and what would be right. Source: domain 3 (validated by the
    directory: every role reachable, every stage with a fallback, no cycle).
    """
    found: list[str] = []
    codes = [role.code for role in community.roles]
    found += [f"roles: {code} is declared twice" for code in sorted({c for c in codes if codes.count(c) > 1})]
    kinds = [kind.code for kind in community.kinds]
    found += [f"kinds: {code} is declared twice" for code in sorted({c for c in kinds if kinds.count(c) > 1})]
    for number, exclusion in enumerate(community.exclusions, start=1):
        found += [
            f"exclusions: number {number} names the unknown role {code}"
            for roles in exclusion.between
            for code in roles
            if code not in codes
        ]
    for kind in community.kinds:
        found += _faults_of_kind(community, kind)
    reachable = _reachable_roles(community)
    found += [
        f"roles: {code} can be reached by nobody: no kind gives it that reachable roles can decide"
        for code in codes
        if code not in reachable
    ]
    return found


def _faults_of_kind(community: Community, kind: Kind) -> list[str]:
    found: list[str] = []
    role = community.role(kind.role)
    where = f"kinds: {kind.code}"
    if kind.needs_holder_of and community.role(kind.needs_holder_of) is None:
        found.append(f"{where}: needs a holder of the unknown role {kind.needs_holder_of}")
    if role is None:
        found.append(f"{where}: gives the unknown role {kind.role}")
    elif kind.effect == "activate_organization" and role.place != "organization":
        found.append(f"{where}: activates an organization, so its role is held in one, not in a {role.place}")
    elif kind.effect == "create_group" and role.place != "group":
        found.append(f"{where}: creates a group, so its role is held in one, not in a {role.place}")
    if kind.effect == "create_group" and kind.group_kind is None:
        found.append(f"{where}: creates a group, so it says which group_kind: provider or surrogate")
    place = role.place if role else "organization"
    for number, stage in enumerate(kind.stages, start=1):
        at = f"{where}: stage {number}"
        for decider in stage.chain:
            held = community.role(decider.role)
            if held is None:
                found.append(f"{at}: names the unknown role {decider.role}")
            elif held.place != decider.held_in:
                found.append(f"{at}: {decider.role} is held in a {held.place}, not in a {decider.held_in}")
            if decider.held_in == "group" and place != "group":
                found.append(f"{at}: {decider.role} is held in a group, but the request is about no group")
        if not any(_by_operator(community, decider.role) for decider in stage.chain):
            found.append(f"{at}: ends with no queue that an operator can staff: add a fallback held in the community")
    return found


def _by_operator(community: Community, code: str) -> bool:
    role = community.role(code)
    return role is not None and role.appointed_by_operator


def _reachable_roles(community: Community) -> set[str]:
    """Return the roles that people can come to hold, starting from those an operator appoints."""
    reachable = {role.code for role in community.roles if role.appointed_by_operator}
    while True:
        more = {
            kind.role
            for kind in community.kinds
            if (kind.needs_holder_of is None or kind.needs_holder_of in reachable)
            and all(any(d.role in reachable and d.may_approve for d in stage.chain) for stage in kind.stages)
        }
        if more <= reachable:
            return reachable
        reachable |= more
