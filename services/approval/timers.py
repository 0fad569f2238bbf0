"""Time comes in: deadlines fire, absence and the overlooked are looked for, requests wait for their community."""

from services.approval import usecases
from shared.worker import Chore

ABSENCE_EVERY_SECONDS = 26
"""Two looks must lie at least 25 s apart. Source: R8."""


def chores() -> list[Chore]:
    """Return what approval does again and again."""
    return [
        Chore("fire timers", 0.5, usecases.fire_timer),
        Chore("look for absence", ABSENCE_EVERY_SECONDS, usecases.look_for_absence),
        Chore("name who was overlooked", ABSENCE_EVERY_SECONDS, usecases.name_overlooked),
        Chore("forget who was told", 3600, usecases.forget_who_was_told),
        Chore("forget names", 3600, usecases.forget_names),
        Chore("route what was unrouted", 1, usecases.route_unrouted),
    ]
