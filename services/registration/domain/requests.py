"""What a request is: one wish of one applicant, on its way."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.registration.domain.filing import Place, RestsOn
from services.registration.domain.progress import DRAFT, Progress
from shared.errors import Refusal
from shared.ids import PersonId, RequestId


@dataclass(frozen=True)
class Request:
    """One wish of one applicant."""

    id: RequestId
    tracking_number: str
    community_id: str
    community_version: int
    kind: str
    place: Place
    place_key: str
    filed_at: datetime
    progress: Progress
    known_as: PersonId | None = None
    person_id: PersonId | None = None
    submitted_at: datetime | None = None
    submitted_event_id: UUID | None = None
    application: str | None = None
    rests_on: RestsOn | None = None
    revision: int = 1
    """1 as filed; one more with each correction."""
    concern: str | None = None
    """What the help desk is to look into before anybody decides."""
    invitation_id: UUID | None = None

    @property
    def is_draft(self) -> bool:
        """Whether it has not been submitted: it is nobody's yet."""
        return self.progress.state in DRAFT

    @property
    def resting_role(self) -> str | None:
        """The role that it rests on, if it rests on one."""
        return self.rests_on.role if self.rests_on else None


def is_like(one: Request, other: Request) -> bool:
    """Tell whether two requests are of one kind and about the same place. Source: R5."""
    return (one.community_id, one.kind, one.place_key) == (other.community_id, other.kind, other.place_key)


def require_open(it: Request) -> None:
    """Refuse with not_found what was never submitted, with request_closed what has ended. Source: R12."""
    if it.is_draft:
        raise Refusal("not_found")
    if it.progress.has_ended:
        raise Refusal("request_closed")


def require_correctable(it: Request) -> None:
    """Refuse as `require_open` does, then with not_returned unless approval waits for a correction. Source: R7."""
    require_open(it)
    if not it.progress.may_be_corrected:
        raise Refusal("not_returned")
