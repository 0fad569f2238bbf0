"""What time it is for the rules: the wall clock, plus an offset that only a demonstration may set.

The offset file moves deadlines, retention and the moments in events, so that months can pass in a
test or in the story. Tokens, leases and back-off keep to the wall clock. Source: architecture 5.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    """Return the present moment (aware, UTC)."""
    return datetime.now(UTC)


def shifted_clock(offset_file: Path) -> Clock:
    """Return a clock that is ahead by the number of seconds that stands in `offset_file`, if it exists.

    The file is read again whenever it has changed, so a running process follows.
    """
    seen: tuple[int, timedelta] = (0, timedelta())

    def now() -> datetime:
        nonlocal seen
        try:
            changed_ns = offset_file.stat().st_mtime_ns
        except FileNotFoundError:
            return wall_clock()
        if changed_ns != seen[0]:
            seen = (changed_ns, timedelta(seconds=float(offset_file.read_text().strip() or 0)))
        return wall_clock() + seen[1]

    return now
