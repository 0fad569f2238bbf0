"""When something is due: working days where the organization is, reminders, escalation, expiry. Source: domain 6."""

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from services.approval.domain.queues import stage_of
from services.approval.domain.requests import Request
from shared.contracts.community import Calendar, Kind, Stage

ANNOUNCED_AGAIN_AFTER = timedelta(minutes=10)
UNROUTED_EXPIRES_AFTER = timedelta(days=30)
CLAIM_LASTS = timedelta(minutes=30)
TOLD_KEPT = timedelta(days=30)
"""How long after its end we know who was named as approver of a request."""

_ZONES = {
    zone: states.split()
    for zone, states in {
        "America/New_York": "CT DE DC FL GA IN KY MA MD ME MI NC NH NJ NY OH PA RI SC VA VT WV",
        "America/Chicago": "AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI",
        "America/Denver": "CO ID MT NM UT WY",
        "America/Phoenix": "AZ",
        "America/Los_Angeles": "CA NV OR WA",
        "America/Anchorage": "AK",
        "Pacific/Honolulu": "HI",
        "America/Puerto_Rico": "PR VI",
        "Pacific/Guam": "GU MP",
        "Pacific/Pago_Pago": "AS",
    }.items()
}
ZONE_OF_STATE = {state: zone for zone, states in _ZONES.items() for state in states}
"""Two letters of a state -> the time zone of most of its people, where it has several."""


def zone_of(calendar: Calendar, us_state: str | None) -> ZoneInfo:
    """Return the time zone of an organization's state; the community's own where the state is not known."""
    return ZoneInfo(ZONE_OF_STATE.get(us_state or "", calendar.time_zone))


def after_working_days(since: datetime, days: int, calendar: Calendar, us_state: str | None) -> datetime:
    """Return the moment `days` working days after `since`, at the same time of the day there (aware, UTC).

    Neither Saturdays, Sundays nor the public holidays of the community's country are working days.
    """
    zone = zone_of(calendar, us_state)
    local = since.astimezone(zone)
    day, left = local.date(), days
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < 5 and day not in _holidays(calendar.country)
    return datetime.combine(day, local.time(), zone).astimezone(since.tzinfo)


@lru_cache(maxsize=8)
def _holidays(country: str) -> holidays.HolidayBase:
    return holidays.country_holidays(country)


def reminder_due(kind: Kind, request: Request, number: int, calendar: Calendar) -> datetime | None:
    """Return when reminder `number` (from 1) of what a request waits for is due; None if there is no such one.

    Approvers are given working days, an applicant whose documents are awaited so many days.
    """
    stage = stage_of(kind, request)
    days = stage.remind_after_working_days if stage else kind.documents_remind_on_days
    if number > len(days):
        return None
    if stage is None:
        return request.since_at + timedelta(days=days[number - 1])
    return after_working_days(request.since_at, days[number - 1], calendar, request.us_state)


def escalation_due(stage: Stage, steps_added: int, since: datetime) -> datetime | None:
    """Return when the next step of a stage is due whose last queue was added at `since`; None after the last."""
    return since + timedelta(days=stage.escalate_after_days) if stage.fallback(steps_added) else None


def stage_expires_at(stage: Stage, steps_added: int, since: datetime) -> datetime:
    """Return when a stage that nobody decides expires, as long as no step is added before its time.

    That is so many days after the last escalation there can be; a stage that has none waits for one all the same.
    """
    steps_left = max(len(stage.fallbacks) - steps_added, 0 if steps_added else 1)
    return since + timedelta(days=stage.escalate_after_days * steps_left + stage.expire_after_days)
