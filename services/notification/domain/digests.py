"""What others have settled is told once a day: approvers who had been told of work hear that it is done.

Source: domain 9 (settled by another: in their next digest).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.notification.domain.notices import Notice
from shared.contracts.community import Community
from shared.ids import PersonId, RequestId, ScopeId

TOLD_AT = time(17)
"""In the time zone of the community's calendar."""


@dataclass(frozen=True)
class Settled:
    """One request that somebody else has settled."""

    request_id: RequestId
    how: str
    role: str
    at: datetime


@dataclass(frozen=True)
class Occasion:
    """Which day's digest is to be sent, and up to when what was heard belongs to it."""

    day: date
    until: datetime


def occasion(community: Community, now: datetime) -> Occasion:
    """Return the latest digest of `community` whose hour has come at `now` (aware)."""
    zone = ZoneInfo(community.calendar.time_zone)
    local = now.astimezone(zone)
    day = local.date() if local.time() >= TOLD_AT else local.date() - timedelta(days=1)
    return Occasion(day, datetime.combine(day, TOLD_AT, zone))


def digest(community: Community, person_id: PersonId, day: date, settled: Sequence[Settled]) -> Notice:
    """Return the one notice that tells a person what others settled until this day."""
    return Notice(
        "settled_by_others",
        community.place_id,
        "approver",
        person_id,
        ScopeId(person_id),
        day.isoformat(),
        community_id=community.id,
        detail={
            "settled": [
                {"request_id": str(one.request_id), "how": one.how, "role": one.role, "at": one.at.isoformat()}
                for one in sorted(settled, key=lambda one: one.at)
            ]
        },
    )
