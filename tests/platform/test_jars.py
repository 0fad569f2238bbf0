"""Kafka's archives are what the lock says, and are fetched once."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.platform import jars

IN_CACHE = """
import sys
from shared.platform import jars
jars.class_path(print)
assert not {"jgo", "requests"} & set(sys.modules), "the network client was loaded"
"""


def test_the_lock_names_each_archive_by_content_and_no_host() -> None:
    lines = jars.LOCK.read_text().splitlines()[1:]
    assert all(re.fullmatch(r"[\w.-]+:[\w.-]+:[\w.-]+ [0-9a-f]{64}", line) for line in lines)
    assert lines == sorted(set(lines))
    assert all(any(line.startswith(f"{root} ") for line in lines) for root in jars.ROOTS)


def test_a_start_with_all_archives_in_the_cache_asks_nobody() -> None:
    jars.class_path(lambda _: None)
    subprocess.run([sys.executable, "-c", IN_CACHE], check=True, timeout=60)


def test_a_half_or_changed_archive_is_not_taken_for_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = jars.class_path(lambda _: None)[0]
    relative = whole.relative_to(jars.CACHE)
    jar = next(jar for jar in jars.locked() if jar.path == whole)
    monkeypatch.setattr(jars, "CACHE", tmp_path)
    assert not jar.is_here

    copy = tmp_path / relative
    copy.parent.mkdir(parents=True)
    copy.write_bytes(whole.read_bytes())
    assert jar.is_here
    copy.write_bytes(whole.read_bytes()[:-1])
    assert not jar.is_here


def test_an_archive_is_asked_for_three_times_and_nothing_else_is_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "CACHE", tmp_path)
    jar = jars.Jar("org.example", "toy", "1", hashlib.sha256(b"whole").hexdigest())
    jar.path.parent.mkdir(parents=True)
    arriving: list[bytes] = []

    def network(*_coordinate: str) -> None:
        assert not jar.path.exists()  # Else what lies there would be taken for what was asked for.
        if (arrived := arriving.pop(0)) == b"":
            raise ConnectionError
        jar.path.write_bytes(arrived)

    monkeypatch.setattr(jars, "_maven_artifact", network)
    for first in ([b"whole"], [b"", b"half", b"whole"]):
        arriving[:] = first
        jar.fetch()
        assert jar.is_here
    for last, error in ((b"wrong", jars.WrongJarError), (b"", ConnectionError)):
        arriving[:] = [b"half", b"", last]
        with pytest.raises(error):
            jar.fetch()
        assert not jar.is_here
