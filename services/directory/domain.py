"""The directory's rules, pure: when an approval becomes access, and who may sign in.

Source: domain 2 (separation of duty, seats), 4 (effects), 6 (sign-in), 7 (ids); R1, R6.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from zxcvbn import zxcvbn

from shared.contracts import community as rules
from shared.contracts.community import Community, Holding, Kind, Surroundings
from shared.errors import Refusal, invalid
from shared.ids import PersonId

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
SIGNING_KEY_KNOWN_AFTER = timedelta(hours=1)
"""A key signs only once every service has had time to hear of it, also through an outage of Kafka."""
_GUESSES_THAT_ARE_COMMON = 10**10


@dataclass(frozen=True)
class Evidence:
    """What the directory finds in its own rows when an approval comes to be applied."""

    surroundings: Surroundings
    holdings: Sequence[Holding]
    """The person's present roles in the scope."""
    seats_taken: int
    """How many hold the role in the place."""
    decider_had_authority: bool
    """As of `decided_at`, on the directory's own history."""
    is_duplicate_organization: bool = False
    is_group_name_taken: bool = False


def refusal_of_grant(community: Community, kind: Kind, place_id: UUID, scope_id: UUID, found: Evidence) -> str | None:
    """Return why an approval cannot become access, as a reason code, or None when it can.

    The order is part of the promise: authority first, since without it nothing was decided.
    Source: R6.
    """
    if not found.decider_had_authority:
        return "approver_lost_authority"
    unmet = rules.unmet_precondition(kind, found.surroundings)
    if unmet:
        return unmet
    if found.is_duplicate_organization:
        return "duplicate_organization"
    if found.is_group_name_taken:
        return "group_name_taken"
    if any(held.role == kind.role and held.place_id == place_id for held in found.holdings):
        return "role_conflict"  # They hold this very role there already.
    return rules.role_conflict(community, kind.role, place_id, scope_id, found.holdings, found.seats_taken)


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
        """Whether a password is looked at at all now."""
        is_locked = self.locked_until is not None and at < self.locked_until
        return self.state == "active" and self.password_hash is not None and not is_locked

    def after_failure(self, at: datetime) -> tuple[int, datetime | None]:
        """Return the failure count and lock after one more wrong password at `at`."""
        count = self.failure_count + 1
        return (0, at + LOCKED_FOR) if count >= FAILURES_THAT_LOCK else (count, self.locked_until)


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

    `published` are the versions that exist: a version never changes once it is published.
    """
    found = rules.faults(community)
    if community.version in published:
        found.append(f"version: {community.version} is published already; the next is {max(published) + 1}")
    if found:
        raise Refusal("community_invalid", "; ".join(found), community_faults=found)
