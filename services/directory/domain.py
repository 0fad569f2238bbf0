"""The directory's rules, pure: when an approval becomes access, and who may sign in.

Source: domain 2 (separation of duty, seats), 4 (effects), 5 (departures), 6 (sign-in), 7 (ids); R1, R6, R13.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from holidays import list_supported_countries
from zxcvbn import zxcvbn

from shared.contracts import community as rules
from shared.contracts.community import (
    Community,
    Decider,
    Holding,
    Kind,
    Places,
    Resting,
    Role,
    Surroundings,
)
from shared.contracts.directory import Cause
from shared.errors import Refusal, invalid
from shared.ids import AssignmentId, PersonId, PlaceId, ScopeId, application_place
from shared.policy import Policy, Standing, of_powers

USER_ID_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""No I, O, 0 or 1: they are misread."""
USER_ID_LENGTH = 8
PASSWORD_LENGTHS = (15, 128)
PASSWORD_LINK_LIVES = timedelta(hours=72)
PASSWORD_LINKS_AN_HOUR = 3
FAILURES_THAT_LOCK = 10
LOCKED_FOR = timedelta(minutes=15)
SESSION_IDLE = timedelta(minutes=30)
SESSION_LIVES = timedelta(hours=12)
FAILURES_OF_ONE_CLIENT = 30
FAILURES_COUNT_FOR = timedelta(minutes=15)
"""From one address, so many wrong passwords in this time, whoever's they were: then none is looked at."""
DEAD_SIGN_INS_KEPT = timedelta(days=1)
SIGNING_KEY_KNOWN_AFTER = timedelta(hours=1)
"""A key signs only once every service has had time to hear of it, also through an outage of Kafka."""
_GUESSES_THAT_ARE_COMMON = 10**10

POLICY: Policy = {
    "list_organizations": frozenset({Standing.ANYBODY}),
    "show_organization": frozenset({Standing.ANYBODY}),
    "list_groups": frozenset({Standing.ANYBODY}),
    "list_applications": frozenset({Standing.ANYBODY}),
    "search_organizations_by_npi": frozenset({Standing.APPROVER, Standing.HELP_DESK, Standing.AUDITOR}),
    "search_organizations_by_tin": frozenset({Standing.HELP_DESK}),
    "list_deciders": frozenset({Standing.MEMBER, Standing.HELP_DESK, Standing.AUDITOR}),
    "list_people": frozenset({Standing.KEEPER, Standing.HELP_DESK, Standing.AUDITOR}),
    "close_organization": frozenset({Standing.KEEPER, Standing.HELP_DESK}),
    "my_access": frozenset({Standing.SIGNED_IN}),
    "end_role": frozenset({Standing.HOLDER, Standing.APPROVER}),
    "end_entitlement": frozenset({Standing.HOLDER, Standing.APPROVER}),
    "sign_in": frozenset({Standing.ANYBODY}),
    "renew": frozenset({Standing.ANYBODY}),
    "sign_out": frozenset({Standing.ANYBODY}),
    "ask_password_link": frozenset({Standing.ANYBODY}),
    "show_password_form": frozenset({Standing.ANYBODY}),
    "set_password": frozenset({Standing.ANYBODY}),
    "show_password_set": frozenset({Standing.ANYBODY}),
    "show_link_asked": frozenset({Standing.ANYBODY}),
}
"""Who may: the action is the name of the endpoint's function, but for the search, which is two.

What anybody may do around passwords and sessions, the link's token or the session's cookie opens.
"""


@dataclass(frozen=True)
class Held:
    """A role that a person holds now, with where it is held."""

    assignment_id: AssignmentId
    community_id: str
    role: str
    place_kind: str
    place_id: PlaceId
    scope_id: ScopeId
    is_surrogate: bool = False

    @property
    def holding(self) -> Holding:
        """What the community's rules need to know of it."""
        return Holding(self.role, self.place_id, self.scope_id, self.is_surrogate)


def standings_in(community: Community, organization_id: ScopeId, held: Iterable[Held]) -> frozenset[Standing]:
    """Return how somebody who holds these roles stands to an organization of this community."""
    found = {Standing.SIGNED_IN}
    for one in held:
        role = community.role(one.role) if one.community_id == community.id else None
        if role is None:
            continue
        if one.scope_id == organization_id:
            found.add(Standing.MEMBER)
            if role.keeps_place and one.place_id == organization_id:
                found.add(Standing.KEEPER)
        found |= _standings_by_power(community, role, one.place_id)
    return frozenset(found)


def standings_anywhere(community: Community, held: Iterable[Held]) -> frozenset[Standing]:
    """Return how somebody who holds these roles stands to a community as a whole: do they decide anything in it?"""
    deciding = {decider.role for kind in community.kinds for stage in kind.every_stage for decider in stage.chain}
    found = {Standing.SIGNED_IN}
    for one in held:
        role = community.role(one.role) if one.community_id == community.id else None
        if role is not None:
            found |= _standings_by_power(community, role, one.place_id)
            if role.code in deciding:
                found.add(Standing.APPROVER)
    return frozenset(found)


def _standings_by_power(community: Community, role: Role, place_id: PlaceId) -> set[Standing]:
    return of_powers(role.powers) if place_id == community.place_id else set()


def standings_to_role(
    community: Community, assignment: Held, holder_id: PersonId, caller_id: PersonId, held: Iterable[Held]
) -> frozenset[Standing]:
    """Return how a caller stands to a role assignment: its holder, or who may take it away. Source: domain 4."""
    places = Places(assignment.scope_id, assignment.place_kind, assignment.place_id)
    return _standings_to(community, community.removers_of(assignment.role), places, holder_id, caller_id, held)


def standings_to_entitlement(
    community: Community,
    application: str,
    assignment: Held,
    holder_id: PersonId,
    caller_id: PersonId,
    held: Iterable[Held],
) -> frozenset[Standing]:
    """Return how a caller stands to an entitlement resting on `assignment`: its holder, or an approver of its path."""
    resting = Resting(assignment.role, assignment.place_kind, assignment.place_id)
    places = Places(assignment.scope_id, "application", application_place(community.id, application), resting)
    approvers = [
        decider
        for kind in community.kinds
        if kind.effect == "grant_entitlement"
        for stage in kind.stages_on(assignment.role)
        for decider in stage.chain
        if decider.may_approve
    ]
    return _standings_to(community, approvers, places, holder_id, caller_id, held)


def _standings_to(
    community: Community,
    deciders: Iterable[Decider],
    places: Places,
    holder_id: PersonId,
    caller_id: PersonId,
    held: Iterable[Held],
) -> frozenset[Standing]:
    if caller_id == holder_id:
        return frozenset({Standing.SIGNED_IN, Standing.HOLDER})
    mine = {(one.role, one.place_id) for one in held if one.community_id == community.id}
    may_take = any((decider.role, places.id_of(community, decider.held_in)) in mine for decider in deciders)
    return frozenset({Standing.SIGNED_IN, Standing.APPROVER} if may_take else {Standing.SIGNED_IN})


def keepers_of(community: Community, place_kind: str) -> tuple[str, ...]:
    """Return the codes of the roles without any of which a place of this kind cannot go on. Source: domain 5."""
    return tuple(role.code for role in community.roles if role.keeps_place and role.place == place_kind)


def deciding_roles(community: Community) -> list[tuple[Role, list[Kind]]]:
    """Return the roles whose holders may approve something, each with the kinds of request, in the file's order."""
    found = [
        (
            role,
            [
                kind
                for kind in community.kinds
                if any(d.role == role.code and d.may_approve for stage in kind.every_stage for d in stage.chain)
            ],
        )
        for role in community.roles
    ]
    return [(role, kinds) for role, kinds in found if kinds]


def place_name(community: Community, place_id: UUID) -> str | None:
    """Return the name of a place that the community itself or one of its applications is."""
    if place_id == community.place_id:
        return community.name
    applications = {application_place(community.id, it.code): it.name for it in community.applications}
    return applications.get(PlaceId(place_id))


def check_leaving(place_kind: str, other_keepers_count: int) -> None:
    """Refuse that the last who keeps an organization leaves it. Raises last_security_official. Source: domain 5."""
    if place_kind == "organization" and not other_keepers_count:
        raise Refusal("last_security_official")


def status_after(cause: Cause) -> str:
    """Return the status of a role assignment or entitlement that ended for this cause."""
    return {"left": "ended", "scope_closed": "ended", "revoked": "revoked", "lapsed": "lapsed"}[cause]


@dataclass(frozen=True)
class Evidence:
    """What the directory finds in its own rows when an approval comes to be applied."""

    surroundings: Surroundings
    """With all the person's present roles."""
    seats_taken: int
    """How many hold the role in the place."""
    undecided_stage: int | None = None
    """The first stage that was approved by somebody without authority, as of then, on the directory's own history."""
    is_duplicate_organization: bool = False
    is_duplicate_practitioner: bool = False
    is_group_name_taken: bool = False
    entitlements_have_ended: bool = False
    """Whether the organization has been suspended for so long that it has none any more."""


def may_approve(community: Community, kind: Kind, places: Places, number: int, role: str, place_id: PlaceId) -> bool:
    """Tell whether whoever holds `role` in `place_id` is one of those who approve stage `number`. Source: R6."""
    stage = kind.stages_on(places.resting.role if places.resting else None)[number - 1 : number]
    queues = (rules.queue_of(community, decider, places) for one in stage for decider in one.chain)
    return any(queue.may_approve and (queue.role, queue.place_id) == (role, place_id) for queue in queues)


def refusal_of_grant(community: Community, kind: Kind, place_id: UUID, scope_id: UUID, found: Evidence) -> str | None:
    """Return why an approval cannot become access, as a reason code, or None when it can.

    The order is part of the promise: authority first, since without it nothing was decided.
    Source: R6.
    """
    if found.undecided_stage is not None:
        return "approver_lost_authority"
    unmet = rules.unmet_precondition(community, kind, found.surroundings, is_filed=True)
    if unmet is None and kind.effect == "grant_entitlement" and found.entitlements_have_ended:
        unmet = "organization_not_listed"
    if unmet:
        return unmet
    for reason, stands in (
        ("duplicate_organization", found.is_duplicate_organization),
        ("duplicate_practitioner", found.is_duplicate_practitioner),
        ("group_name_taken", found.is_group_name_taken),
    ):
        if stands:
            return reason
    return rules.role_conflict(community, kind.role, place_id, scope_id, found.surroundings.holdings, found.seats_taken)


def new_user_id() -> str:
    """Return a user ID: 8 characters that nobody misreads. Unique only once the row is written."""
    return "".join(secrets.choice(USER_ID_ALPHABET) for _ in range(USER_ID_LENGTH))


def normalise_user_id(typed: str) -> str:
    """Return a typed user ID as it is stored, or "" for what can be none.

    Letters are capital, spaces and dashes are no part of it.
    """
    meant = typed.upper().replace(" ", "").replace("-", "")
    return meant if len(meant) == USER_ID_LENGTH and set(meant) <= set(USER_ID_ALPHABET) else ""


def check_password(password: str, *, personal: Sequence[str]) -> None:
    """Refuse a password that is too short, too long, or one that others try first.

    `personal` are the person's own words (user ID, names), which are tried first too.
    Source: domain 6; NIST SP 800-63B-4, 3.1.1.2 (length, blocklist, no composition rules).
    """
    least, most = PASSWORD_LENGTHS
    if not least <= len(password) <= most:
        raise invalid("/password", f"must have {least} to {most} characters", "three or four unrelated words")
    # Only the first 72 characters are looked at: enough to know a common one, and bounded in time.
    found = zxcvbn(password[:72], user_inputs=[word for word in personal if word])
    if found["guesses"] < _GUESSES_THAT_ARE_COMMON:
        raise invalid("/password", "is too common or too easy to guess", "three or four unrelated words")


@dataclass(frozen=True)
class Account:
    """One person's way in."""

    person_id: PersonId
    user_id: str
    state: str
    password_hash: str | None
    failure_count: int
    locked_until: datetime | None

    def may_try(self, at: datetime) -> bool:
        """Whether a password is looked at at all now: of an active account, or one whose lock has had its time."""
        return self.password_hash is not None and (self.state == "active" or self.is_lock_over(at))

    def is_lock_over(self, at: datetime) -> bool:
        """Whether it is locked still, though the time of the lock has passed."""
        return self.state == "locked" and self.locked_until is not None and self.locked_until <= at

    def unlocked(self) -> "Account":
        """Return it able to sign in, its failures forgotten."""
        return replace(self, state="active", failure_count=0, locked_until=None)

    def after_failure(self, at: datetime) -> "Account":
        """Return it after one more wrong password at `at`: ten in a row lock it. A lock that is over is ended first."""
        before = self.unlocked() if self.is_lock_over(at) else self
        count = before.failure_count + 1
        if count < FAILURES_THAT_LOCK:
            return replace(before, failure_count=count)
        return replace(before, state="locked", failure_count=0, locked_until=at + LOCKED_FOR)


NOBODY = Account(PersonId(UUID(int=0)), "", "closed", None, 0, None)
"""Who is meant by a user ID that nobody has: what is done for others is done for this one, and reaches no row."""


def check_client(limit_reached_at: datetime | None, at: datetime) -> None:
    """Refuse a client as rate_limited, saying for how long.

    `limit_reached_at` is the moment of the newest failure but FAILURES_OF_ONE_CLIENT - 1, if there are so many.
    """
    if limit_reached_at is not None and (wait := limit_reached_at + FAILURES_COUNT_FOR - at) > timedelta(0):
        raise Refusal("rate_limited", retry_after_seconds=int(wait.total_seconds()) + 1)


@dataclass(frozen=True)
class Session:
    """One sign-in of one person."""

    id: UUID
    person_id: PersonId
    signed_in_at: datetime
    last_used_at: datetime
    ended_at: datetime | None

    def is_alive(self, at: datetime) -> bool:
        """Whether it may still renew an access token. Source: domain 6 (30 minutes idle, 12 hours)."""
        return (
            self.ended_at is None and at - self.last_used_at < SESSION_IDLE and at - self.signed_in_at < SESSION_LIVES
        )


def check_community(community: Community, published: Sequence[int]) -> None:
    """Refuse a community file that is wrong, naming every fault at once.

    `published` are the versions that exist: a version never changes once it is published, and the newest is current.
    """
    found = rules.faults(community)
    if community.calendar.country not in list_supported_countries():
        found.append(f"calendar: no public holidays are known of the country {community.calendar.country}; one is US")
    newest = max(published, default=0)
    if community.version in published:
        found.append(f"version: {community.version} is published already; the next is {newest + 1}")
    elif community.version < newest:
        found.append(
            f"version: {community.version} is older than {newest}, which is published; the next is {newest + 1}"
        )
    if found:
        raise Refusal("community_invalid", "; ".join(found), community_faults=found)
