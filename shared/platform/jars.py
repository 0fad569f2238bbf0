"""The Java archives that Apache Kafka is made of: which, with which content, and how they get here.

`kafka-jars.lock` names each by its Maven coordinate and sha256. They are fetched once, with jgo, into
the user's cache folder; as long as all of them lie there unchanged, nobody is asked. A new version:
change ROOTS, then `python -m shared.platform.jars`, and read the difference.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from shared.platform import state

ROOTS = (
    "org.apache.kafka:kafka_2.13:4.3.1",
    # What Kafka logs goes through slf4j: without this one it is dropped.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
)
LOCK = Path(__file__).with_name("kafka-jars.lock")
CACHE = platformdirs.user_cache_path("iacs") / "kafka-jars"
TRIES = 3
# Another start on this machine may be fetching them just now.
PATIENCE_SECONDS = 600.0


class WrongJarError(Exception):
    """What was fetched is not what the lock says."""


@dataclass(frozen=True)
class Jar:
    """One archive, laid down in the cache as Maven lays down its repository."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        folder = CACHE.joinpath(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"

    @property
    def is_here(self) -> bool:
        """Whether it is in the cache with the content that the lock names."""
        if not self.path.exists():
            return False
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256

    def fetch(self) -> None:
        """Download it. Raises WrongJarError."""
        for last in (False, False, True):
            self.path.unlink(missing_ok=True)  # Half a download, or one that somebody changed.
            try:
                _maven_artifact(self.group, self.artifact, self.version)
            except Exception:
                # jgo raises whatever its HTTP library does; a network deserves a second try.
                if last:
                    raise
            if self.is_here:
                return
        raise WrongJarError(f"{self.path.name} does not have the sha256 that {LOCK.name} names")


def locked() -> list[Jar]:
    """Return what the lock names."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return [Jar(*line.replace(":", " ").split()) for line in lines if not line.startswith("#")]


def class_path(progress: Callable[[str], None]) -> list[Path]:
    """Return the archives of the lock, having fetched those that are missing. Raises WrongJarError."""
    jars = locked()
    with ThreadPoolExecutor(2) as hashing:
        if all(hashing.map(lambda jar: jar.is_here, jars)):
            return [jar.path for jar in jars]

    CACHE.mkdir(parents=True, exist_ok=True)
    turn = state.Lock(CACHE / ".lock")
    turn.take(patience_seconds=PATIENCE_SECONDS)
    try:
        missing = [jar for jar in jars if not jar.is_here]
        if missing:
            progress(f"Fetching Apache Kafka: {len(missing)} archives, 45 MB in all, this once")
        with ThreadPoolExecutor(8) as network:
            list(network.map(Jar.fetch, missing))
    finally:
        turn.release()
    return [jar.path for jar in jars]


def _maven_artifact(group: str, artifact: str, version: str) -> Path:
    # Imported here: a start that finds all in the cache needs none of it.
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    # Whoever has a mirror of Maven Central names it in jgo's own settings.
    repositories = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    context = MavenContext(repo_cache=CACHE, remote_repos=repositories)
    return Path(context.project(group, artifact).at_version(version).artifact().resolve())


def _write_lock() -> None:
    """Resolve the roots anew and write down what they stand on."""
    import jgo  # noqa: PLC0415 - as above.

    lines = set()
    # Root by root: resolved together, the second one's managed versions would reach into Kafka's.
    found_once = {(jar.groupId, jar.artifactId): jar for root in reversed(ROOTS) for jar in jgo.resolve(root)}
    for found in found_once.values():
        path = _maven_artifact(found.groupId, found.artifactId, found.version)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.add(f"{found.groupId}:{found.artifactId}:{found.version} {sha256}")
    head = f"# Written by `python -m shared.platform.jars` from {' and '.join(ROOTS)}: coordinate, sha256."
    LOCK.write_text("\n".join([head, *sorted(lines)]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write_lock()
