"""Who did what when, in the order in which it happened."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Moment:
    """One thing that happened, so many seconds after the beginning."""

    seconds: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.seconds:8.2f}  {self.who:10}  {self.what}"


@dataclass
class Timeline:
    """What happened, told by any number of threads."""

    moments: list[Moment] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self._began

    def tell(self, who: str, what: str) -> None:
        """Add what has just happened."""
        self.moments.append(Moment(self.now(), who, what))
