"""People work, things break, all becomes quiet, and everything is judged."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from services.directory.settings import DirectorySettings
from services.story import Story
from services.story.telling import StoryError
from shared.settings import load
from shared.testing.torture import report
from shared.testing.torture.calls import Book, Stubborn
from shared.testing.torture.evidence import Evidence, gather
from shared.testing.torture.timeline import Timeline
from shared.testing.torture.troubles import Bully, Trouble
from tests.torture.actors import Actor
from tests.torture.scenes import SCENES, Cast, Scene, opening
from tests.torture.stand import Tormented

WORKERS = 4
_LOG_TAIL = 8000


@dataclass(frozen=True)
class Outcome:
    """Whether all promises were kept, the report, and, if not, what happened."""

    holds: bool
    report: str
    happened: str
    evidence: Evidence


def torture(folder: Path, seed: int, troubles: Sequence[Trouble], *, workers: int = WORKERS) -> Outcome:
    """Run it all on a product of its own in `folder`, and leave nothing running.

    Raises what kept it from being judged, with the timeline as a note.
    """
    product = Tormented(folder / "data")
    product.start()
    timeline = Timeline()
    try:
        book, bully = Book(timeline), Bully(product, timeline)
        people = People(product.origin, book, seed)
        cast = people.open(product)
        with people.working(cast, workers):
            for trouble in troubles:
                time.sleep(trouble.rest_seconds)
                bully.inflict(trouble)
        timeline.tell("all", "is to become quiet")
        evidence = gather(product, book, bully, people.unfinished)
        timeline.tell("all", "is quiet, and judged")
        verdict = report.judge(evidence)
        happened = "" if verdict.holds else report.what_happened(product, verdict, evidence)
        return Outcome(verdict.holds, report.told(verdict, evidence, seed), happened, evidence)
    except BaseException as trouble:
        trouble.add_note("\n".join([f"seed {seed}", *map(str, timeline.moments)]))
        for name, log in product.logs().items():
            trouble.add_note(f"The end of {name}:\n{log[-_LOG_TAIL:]}")
        raise
    finally:
        product.stop()


@dataclass
class People:
    """Everybody who works while things break."""

    origin: str
    book: Book
    seed: int
    unfinished: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._transport = Stubborn(self.book)
        self._over = threading.Event()

    def open(self, product: Tormented) -> Cast:
        """Let the cast come into being while all is well."""
        settings = load(DirectorySettings, dict(product.told))
        return opening(Story(Actor(self.origin, self._transport), settings))

    @contextmanager
    def working(self, cast: Cast, workers: int) -> Iterator[None]:
        """Let them work until the block ends; then each ends what was begun."""
        with ThreadPoolExecutor(workers) as pool:
            working = [pool.submit(self.work, cast, worker) for worker in range(1, workers + 1)]
            try:
                yield
            finally:
                self._over.set()
        for one in working:
            one.result()

    def work(self, cast: Cast, worker: int) -> None:
        """Play one scene after another, as the seed says, until it is over. A first round plays each once."""
        dice = random.Random(f"{self.seed} {worker}")
        names = list(SCENES)
        dice.shuffle(names)
        while not self._over.is_set():
            name = names.pop() if names else dice.choice(list(SCENES))
            self.book.timeline.tell(f"worker {worker}", name)
            scene = Scene(Actor(self.origin, self._transport), cast, dice)
            try:
                scene.play(name)
            except (StoryError, AssertionError, httpx.HTTPError) as trouble:
                filed = ", ".join(it.request_id for it in scene.do.filed)
                self.unfinished.append(f"{name} of {filed or 'nothing'}: {trouble}")
                self.book.timeline.tell(f"worker {worker}", f"{name} did not end: {trouble}")
            else:
                self.book.timeline.tell(f"worker {worker}", f"{name} is at its end")
