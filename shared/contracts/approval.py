"""What approval says: where each request stands, and what was decided. Public.

An approval is a decision, not access: only the directory's events say what access exists.
Ids, roles, capacities and reason codes; never free text, names or contact data.
"""

from typing import Literal

from pydantic import Field

from shared.contracts.base import Code, Event, Moment, Record
from shared.ids import PersonId, PlaceId, RequestId, ScopeId

TOPIC = "iacs.approval.v1"


class Queue(Record):
    """The open requests that the holders of `role` in this place may decide."""

    role: Code
    place_kind: Code
    place_id: PlaceId


class Capacity(Record):
    """The role in which a decider decided, and where it is held."""

    role: Code
    place_kind: Code
    place_id: PlaceId


class RequestEvent(Event):
    """What every event about a request names."""

    topic = TOPIC

    request_id: RequestId
    scope_id: ScopeId
    community_id: str
    community_version: int
    kind: Code
    place_kind: Code
    place_id: PlaceId
    applicant_id: PersonId
    stage: int = Field(ge=0, description="1 for the first stage; 0 while documents are awaited")
    round: int = Field(ge=1)
    version: int = Field(ge=1, description="The request's version after this event")
    previous_state: Code | None = None


class RequestOpened(RequestEvent):
    """Approval has taken the request in."""

    wire = "iacs.approval.request.opened.v1"
    state: Code
    documents_awaited: tuple[Code, ...] = ()
    opened_at: Moment
    expires_at: Moment


class RequestAwaitingDecision(RequestEvent):
    """These persons may now decide; said again when the set gains someone.

    `community_address` says that the queue is the help desk's, which hears at its one address.
    """

    wire = "iacs.approval.request.awaiting_decision.v1"
    queues: tuple[Queue, ...]
    approver_ids: tuple[PersonId, ...] = ()
    community_address: bool = False
    since_at: Moment
    expires_at: Moment


class RequestEscalated(RequestEvent):
    """A further queue was added; those before keep theirs."""

    wire = "iacs.approval.request.escalated.v1"
    queue: Queue
    why: Literal["no_approver", "overdue", "cannot_be_granted"]
    refusal: Code | None = None
    may_approve: bool = False
    escalated_at: Moment
    expires_at: Moment


class RequestApproved(RequestEvent):
    """The last stage was approved by a named approver. The directory has not granted it yet."""

    wire = "iacs.approval.request.approved.v1"
    decided_by: PersonId
    capacity: Capacity
    decided_at: Moment


class RequestDenied(RequestEvent):
    """An approver said no. Final."""

    wire = "iacs.approval.request.denied.v1"
    decided_by: PersonId
    capacity: Capacity
    reason: Code = Field(description="The reason that the applicant sees")
    decided_at: Moment


class RequestReopened(RequestEvent):
    """The approval could not be granted because its decider had lost authority: decide again."""

    wire = "iacs.approval.request.reopened.v1"
    why: Code
    reopened_at: Moment
    expires_at: Moment


class RequestExpired(RequestEvent):
    """Time ran out before anybody decided. Final."""

    wire = "iacs.approval.request.expired.v1"
    expired_at: Moment


class RequestClosed(RequestEvent):
    """Ended without a decision. Final."""

    wire = "iacs.approval.request.closed.v1"
    why: Code
    closed_at: Moment
