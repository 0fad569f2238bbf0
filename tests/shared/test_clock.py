"""The clock of the rules: the wall clock, or ahead of it by what a file says."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.clock import shifted_clock, wall_clock

AN_HOUR = timedelta(hours=1)


def ahead(now: datetime) -> timedelta:
    return now - datetime.now(UTC)


def test_the_wall_clock_is_aware_and_utc() -> None:
    assert wall_clock().tzinfo is UTC


def test_without_a_file_it_is_now(tmp_path: Path) -> None:
    assert abs(ahead(shifted_clock(tmp_path / "clock")())) < timedelta(seconds=1)


def test_a_running_process_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    now = shifted_clock(file)

    file.write_text("3600\n")
    os.utime(file, ns=(1, 1))
    assert abs(ahead(now()) - AN_HOUR) < timedelta(seconds=1)

    file.write_text("7200")
    os.utime(file, ns=(2, 2))
    assert abs(ahead(now()) - 2 * AN_HOUR) < timedelta(seconds=1)

    file.unlink()
    assert abs(ahead(now())) < timedelta(seconds=1)


@pytest.mark.parametrize("nothing", ["", "\n", " "])
def test_an_empty_file_shifts_nothing(tmp_path: Path, nothing: str) -> None:
    (tmp_path / "clock").write_text(nothing)

    assert abs(ahead(shifted_clock(tmp_path / "clock")())) < timedelta(seconds=1)
