"""What a community is, and what follows from its file: pure data, and its pure interpreter.

Routing, preconditions, cardinality, exclusions and effects are read from here by every service,
so a community with other roles and other stages needs no code. Source: domain 3.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.base import Code
from shared.ids import PlaceId, ScopeId, community_place

PlaceKind = Literal["organization", "group", "practitioner", "application", "community"]
Effect = Literal["activate_organization", "create_group", "assign_role", "create_practitioner", "grant_entitlement"]
Precondition = Literal[
    "not_a_practitioner",
    "organization_active",
    "scope_active",
    "group_active",
    "group_open",
    "applicant_is_outsider",
    "role_held",
    "application_open",
]
Power = Literal["help_desk", "audit", "own_application"]
"""What a role may do beyond deciding: staff the help desk, read everything, publish an application's notices."""
FieldName = Annotated[str, Field(pattern=r"^[a-z_]{1,40}\??$")]
Days = Annotated[int, Field(ge=1, le=3650)]

SCOPES: Mapping[Effect, PlaceKind] = {
    "activate_organization": "organization",
    "create_group": "group",
    "create_practitioner": "practitioner",
}
"""The kind of place that an effect creates."""

_NEEDED_FIELDS: Mapping[Effect, tuple[str, ...]] = {
    "activate_organization": ("legal_business_name", "tin", "street", "city", "state", "zip_code", "phone"),
    "create_group": ("group_name",),
    "create_practitioner": ("npi", "street", "city", "state", "zip_code"),
}
"""What an effect cannot do without: by these, what is created is found, listed and known to be a duplicate."""


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
    keeps_place: bool = Field(
        default=False,
        description="Whether its place needs a holder of it, or of another such role: without any, an organization "
        "is suspended, a group is without administrator, a practitioner record is closed",
    )
    powers: tuple[Power, ...] = ()
    duties: str = Field(default="", description="What its holder is responsible for, in a sentence or two")


class Exclusion(Part):
    """Nobody holds roles of two of these sets: in one scope, in one place, or anywhere. Separation of duty."""

    within: Literal["scope", "place", "anywhere"]
    between: tuple[tuple[Code, ...], ...] = Field(min_length=2)


class Decider(Part):
    """Holders of `role` in a place of the kind `held_in`, as seen from the request."""

    role: Code
    held_in: PlaceKind
    may_approve: bool = True


class Stage(Part):
    """One step of a request: who may decide it, and what happens when nobody does.

    `fallbacks` are the steps that are added, one after the other, when there is no approver or when
    `escalate_after_days` have passed since the last one; a step may add several queues at once. The
    request expires `expire_after_days` after the last of them. Source: domain 6.
    """

    deciders: tuple[Decider, ...] = Field(min_length=1)
    quorum: int = Field(default=1, ge=1)
    fallbacks: tuple[tuple[Decider, ...], ...] = ()
    remind_after_working_days: tuple[Days, ...] = (3, 7)
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


class Path(Part):
    """The stages of a request that rests on a role which its applicant holds: another path for each role."""

    rests_on: Code
    stages: tuple[Stage, ...] = Field(min_length=1)


class Kind(Part):
    """What can be asked for, by whom it is decided, and what it then does."""

    code: Code
    name: str = Field(min_length=1)
    effect: Effect
    role: Code | None = Field(default=None, description="The role that it gives; none where it gives an entitlement")
    group_kind: Literal["provider", "surrogate"] | None = None
    applicant_fields: tuple[FieldName, ...] = ()
    fields: tuple[FieldName, ...] = ()
    documents: tuple[DocumentNeed, ...] = ()
    documents_remind_on_days: tuple[Days, ...] = (7, 14, 25)
    documents_expire_after_days: Days = 30
    returned_expires_after_days: Days = 14
    returns_at_most: int = Field(default=3, ge=0)
    preconditions: tuple[Precondition, ...] = ()
    needs_holder_of: Code | None = Field(default=None, description="A role that must be held in the organization")
    stages: tuple[Stage, ...] = ()
    paths: tuple[Path, ...] = Field(default=(), description="Instead of `stages`: one for each role it may rest on")

    def stages_on(self, rests_on: str | None) -> tuple[Stage, ...]:
        """Return the stages of a request that rests on this role, or on none."""
        if not self.paths:
            return self.stages
        return next((path.stages for path in self.paths if path.rests_on == rests_on), ())

    def stage(self, number: int, rests_on: str | None = None) -> Stage:
        """Return stage `number`, counted from 1."""
        return self.stages_on(rests_on)[number - 1]

    def next_stage(self, number: int, rests_on: str | None = None) -> int | None:
        """Return the number of the stage after `number`, or None when that was the last."""
        return number + 1 if number < len(self.stages_on(rests_on)) else None

    @property
    def every_stage(self) -> tuple[Stage, ...]:
        """The stages of all its paths."""
        return self.stages + tuple(stage for path in self.paths for stage in path.stages)


class Application(Part):
    """A CMS application that an entitlement opens. Its owners hold their role in it."""

    code: Code
    name: str = Field(min_length=1)
    open: bool = True
    roles: tuple[Code, ...] = Field(min_length=1, description="An entitlement rests on one of these roles")
    criteria: str = Field(default="", description="Who should ask for it")
    not_for: str = Field(default="", description="Who should not")


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


class Calendar(Part):
    """Which days are working days, and where it is which day when an organization's state does not say."""

    country: str = Field(default="US", pattern=r"^[A-Z]{2}$", description="Whose public holidays are no working days")
    time_zone: str = Field(default="America/New_York", description="IANA name")


class Departures(Part):
    """What happens to a place once nobody keeps it any more. Source: domain 5."""

    suspended_entitlements_end_after_days: Days = 30
    group_closes_after_days: Days = 30


class Community(Part):
    """Users who give CMS a similar service and need similar applications."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{1,39}$")
    version: int = Field(ge=1)
    name: str
    open: bool
    invitation_needed: bool = Field(default=False, description="Whether a request is filed only with an invitation")
    help_desk: HelpDesk
    calendar: Calendar = Calendar()
    departures: Departures = Departures()
    roles: tuple[Role, ...] = Field(min_length=1)
    exclusions: tuple[Exclusion, ...] = ()
    applications: tuple[Application, ...] = ()
    provider_types: tuple[Choice, ...] = ()
    refused_provider_types: tuple[RefusedType, ...] = ()
    kinds: tuple[Kind, ...] = Field(min_length=1)

    @property
    def place_id(self) -> PlaceId:
        """The id under which this community is a place."""
        return community_place(self.id)

    @property
    def help_desk_role(self) -> Role:
        """The role that staffs the help desk. A valid community has exactly one."""
        return next(role for role in self.roles if "help_desk" in role.powers)

    def role(self, code: str | None) -> Role | None:
        """Return the role of this code, if there is one."""
        return next((role for role in self.roles if role.code == code), None)

    def kind(self, code: str) -> Kind | None:
        """Return the request kind of this code, if there is one."""
        return next((kind for kind in self.kinds if kind.code == code), None)

    def application(self, code: str | None) -> Application | None:
        """Return the application of this code, if there is one."""
        return next((application for application in self.applications if application.code == code), None)

    def roles_with(self, power: Power) -> tuple[Role, ...]:
        """Return the roles that have a power."""
        return tuple(role for role in self.roles if power in role.powers)

    def place_kind(self, kind: Kind) -> PlaceKind:
        """Return the kind of place that requests of `kind` are about."""
        if kind.effect == "grant_entitlement":
            return "application"
        role = self.role(kind.role)
        assert role is not None, "a valid kind that gives no entitlement gives one of its community's roles"
        return role.place

    def gives(self, kind: Kind, application: str | None = None) -> str:
        """Return the name of what `kind` gives: a role, or an application."""
        found = self.application(application) if kind.effect == "grant_entitlement" else self.role(kind.role)
        return found.name if found else application or kind.name

    def removers_of(self, role: str) -> tuple[Decider, ...]:
        """Return who may take this role from its holder: whoever may approve that it is given. Source: domain 4."""
        return tuple(
            dict.fromkeys(
                decider
                for kind in self.kinds
                if kind.role == role
                for stage in kind.every_stage
                for decider in stage.chain
                if decider.may_approve
            )
        )


@dataclass(frozen=True)
class Holding:
    """One role that a person holds, as far as rules need to know it."""

    role: str
    place_id: UUID
    scope_id: UUID
    is_surrogate: bool = False
    """Whether it is held in a surrogate group: by somebody from outside the organization."""


@dataclass(frozen=True)
class Resting:
    """The role assignment that a request rests on: its role, and where that is held."""

    role: str
    place_kind: str
    place_id: UUID


@dataclass(frozen=True)
class QueueOf:
    """A decider with the one place in which it holds for a request."""

    role: str
    place_kind: str
    place_id: PlaceId
    may_approve: bool = True


@dataclass(frozen=True)
class Places:
    """Where a request takes place, and where the role is held that it rests on, if it rests on one."""

    scope_id: ScopeId
    kind: str
    id: PlaceId
    resting: Resting | None = None

    def id_of(self, community: Community, held_in: str) -> PlaceId:
        """Return the one place of this kind that the request is about."""
        if held_in == "community":
            return community.place_id
        if held_in in ("organization", "practitioner"):
            return PlaceId(self.scope_id)
        if held_in == "group" and self.kind != "group" and self.resting is not None:
            return PlaceId(self.resting.place_id)
        return self.id


@dataclass(frozen=True)
class Surroundings:
    """What preconditions are judged on: scope, place and applicant as they stand at one moment."""

    organization_status: str | None = None
    """Of the organization, or of the practitioner record, that the scope is."""
    group_status: str | None = None
    group_in_scope: bool = True
    seats_taken: Mapping[str, int] | None = None
    """Role code -> how many hold it in the organization."""
    scope_kind: Literal["organization", "practitioner"] = "organization"
    scope_id: UUID | None = None
    holdings: tuple[Holding, ...] = ()
    """The applicant's present roles, wherever they are held."""
    resting_role: str | None = None
    """The role that the request rests on, as long as the applicant holds it."""
    application: str | None = None
    has_entitlement: bool = False
    """Whether the applicant may use the application already, resting on that very role."""


def queue_of(community: Community, decider: Decider, places: Places) -> QueueOf:
    """Return the queue of `decider` for a request about these places."""
    return QueueOf(decider.role, decider.held_in, places.id_of(community, decider.held_in), decider.may_approve)


def unmet_precondition(community: Community, kind: Kind, around: Surroundings, *, is_filed: bool = False) -> str | None:
    """Return the error code of the first precondition of `kind` that does not hold, or None.

    Unknown and unapproved organizations get the same answer. What `is_filed` already goes on in an
    organization that was suspended since: its groups still decide who joins. Source: R3, domain 4, 5.
    """
    working = around.organization_status in (("active", "suspended") if is_filed else ("active",))
    is_organization = around.scope_kind == "organization"
    group = around.group_status if around.group_in_scope else None
    is_open = _is_open(community.application(around.application), around.resting_role)
    holds: Mapping[Precondition, tuple[bool, str]] = {
        "not_a_practitioner": (is_organization, "surrogate_for_practitioner"),
        "organization_active": (is_organization and working, "organization_not_listed"),
        "scope_active": (working, "organization_not_listed"),
        "group_active": (group == "active", "group_not_active"),
        "group_open": (group in ("active", "without_administrator"), "group_not_active"),
        "applicant_is_outsider": (not _is_insider(around), "not_an_outsider"),
        "role_held": (bool(kind.stages_on(around.resting_role)), "role_not_held"),
        "application_open": (is_open, "application_not_open"),
    }
    for precondition in kind.preconditions:
        is_met, code = holds[precondition]
        if not is_met:
            return code
    if kind.effect == "grant_entitlement" and around.has_entitlement:
        return "already_held"
    if kind.needs_holder_of and not (around.seats_taken or {}).get(kind.needs_holder_of):
        return "security_official_vacant"
    return None


def _is_insider(around: Surroundings) -> bool:
    return any(held.scope_id == around.scope_id and not held.is_surrogate for held in around.holdings)


def _is_open(application: Application | None, role: str | None) -> bool:
    return application is not None and application.open and role in application.roles


def role_conflict(
    community: Community,
    role: str | None,
    place_id: UUID,
    scope_id: UUID,
    holdings: Iterable[Holding],
    seats_taken: int,
) -> str | None:
    """Return why a person with `holdings` may not be given `role` in this place, or None.

    `holdings` are all the person's present roles, wherever they are held; `seats_taken` counts the place's
    present holders of the role. The order of the answers is part of the promise: already_held,
    separation_of_duty, then cardinality_reached. No role is in nobody's way. Source: domain 2.
    """
    held = list(holdings)
    if any(holding.role == role and holding.place_id == place_id for holding in held):
        return "already_held"
    for exclusion in community.exclusions:
        mine = [n for n, roles in enumerate(exclusion.between) if role in roles]
        for holding in held:
            same = {
                "scope": holding.scope_id == scope_id,
                "place": holding.place_id == place_id,
                "anywhere": True,
            }[exclusion.within]
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
    codes = [role.code for role in community.roles]
    found = [
        *_declared_twice("roles", codes),
        *_declared_twice("kinds", [kind.code for kind in community.kinds]),
        *_declared_twice("applications", [application.code for application in community.applications]),
    ]
    found += [
        f"exclusions: number {number} names the unknown role {code}"
        for number, exclusion in enumerate(community.exclusions, start=1)
        for roles in exclusion.between
        for code in roles
        if code not in codes
    ]
    found += _faults_of_powers(community)
    found += _faults_of_calendar(community.calendar)
    resting = {path.rests_on for kind in community.kinds for path in kind.paths}
    for application in community.applications:
        found += [
            f"applications: {application.code} is open to {code}, on which no path of a kind rests"
            for code in application.roles
            if code not in resting
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


def _declared_twice(what: str, codes: Iterable[str]) -> list[str]:
    counts = Counter(codes)
    return [f"{what}: {code} is declared twice" for code in sorted(code for code in counts if counts[code] > 1)]


def _faults_of_powers(community: Community) -> list[str]:
    found = [
        f"roles: {role.code} has powers, so an operator appoints it: set appointed_by_operator"
        for role in community.roles
        if role.powers and not role.appointed_by_operator
    ]
    found += [
        f"roles: {role.code} is held in a {role.place}, where no operator appoints: leave appointed_by_operator out"
        for role in community.roles
        if role.appointed_by_operator and role.place not in ("community", "application")
    ]
    staff = community.roles_with("help_desk")
    if len(staff) != 1 or staff[0].place != "community":
        found.append("roles: exactly one role, held in the community, has the power help_desk")
    return found


def _faults_of_calendar(calendar: Calendar) -> list[str]:
    try:
        ZoneInfo(calendar.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return [f"calendar: {calendar.time_zone} is no time zone; one is America/New_York"]
    return []


def _faults_of_kind(community: Community, kind: Kind) -> list[str]:
    where = f"kinds: {kind.code}"
    found = _faults_of_effect(community, kind, where)
    if kind.needs_holder_of and community.role(kind.needs_holder_of) is None:
        found.append(f"{where}: needs a holder of the unknown role {kind.needs_holder_of}")
    if bool(kind.stages) == bool(kind.paths):
        found.append(f"{where}: has either stages, or a path for each role that it may rest on")
    given = community.role(kind.role)
    about = "application" if kind.effect == "grant_entitlement" else given.place if given else ""
    for path in kind.paths:
        role = community.role(path.rests_on)
        if role is None:
            found.append(f"{where}: rests on the unknown role {path.rests_on}")
        for number, stage in enumerate(path.stages, start=1):
            at = f"{where}: on {path.rests_on}: stage {number}"
            found += _faults_of_stage(community, stage, at, {about, role.place if role else ""})
    for number, stage in enumerate(kind.stages, start=1):
        found += _faults_of_stage(community, stage, f"{where}: stage {number}", {about})
    return found


def _faults_of_effect(community: Community, kind: Kind, where: str) -> list[str]:
    if kind.effect == "grant_entitlement":
        found = [f"{where}: gives an entitlement, so it gives no role: leave role out"] if kind.role else []
        if "role_held" not in kind.preconditions:
            found.append(f"{where}: gives an entitlement, which rests on a role: add the precondition role_held")
        return found
    role = community.role(kind.role)
    if role is None:
        return [f"{where}: gives the unknown role {kind.role}"]
    found = []
    asked = {name for name in kind.fields if not name.endswith("?")}
    found += [
        f"{where}: must ask for the field {name}" for name in _NEEDED_FIELDS.get(kind.effect, ()) if name not in asked
    ]
    created = SCOPES.get(kind.effect)
    if created and role.place != created:
        found.append(f"{where}: creates a place of the kind {created}, but its role is held in a {role.place}")
    if kind.effect == "create_group" and kind.group_kind is None:
        found.append(f"{where}: creates a group, so it says which group_kind: provider or surrogate")
    return found


def _faults_of_stage(community: Community, stage: Stage, at: str, about: Collection[str]) -> list[str]:
    """`about`: the kinds of place that a request of this stage is about besides its scope."""
    found: list[str] = []
    for decider in stage.chain:
        held = community.role(decider.role)
        if held is None:
            found.append(f"{at}: names the unknown role {decider.role}")
        elif held.place != decider.held_in:
            found.append(f"{at}: {decider.role} is held in a {held.place}, not in a {decider.held_in}")
        if decider.held_in in ("group", "application") and decider.held_in not in about:
            found.append(f"{at}: {decider.role} is held in a {decider.held_in}, but the request is about none")
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
            if kind.role is not None
            and (kind.needs_holder_of is None or kind.needs_holder_of in reachable)
            and all(any(d.role in reachable and d.may_approve for d in stage.chain) for stage in kind.stages)
        }
        if more <= reachable:
            return reachable
        reachable |= more
