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


class EarlierApproval(Record):
    """An approval that led up to the last one: of a stage before, or a vote before in the last stage."""

    stage: int = Field(ge=1)
    decided_by: PersonId
    capacity: Capacity
    decided_at: Moment


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
    revision: int = Field(default=1, ge=1, description="1 as filed; one more with each correction by the applicant")
    application: Code | None = Field(default=None, description="Which application is asked for, if one is")
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


class RequestReminded(RequestEvent):
    """Nothing has happened for a while: those who may decide are named again, or the applicant is awaited.

    `number` counts the reminders of a stage and round from 1.
    """

    wire = "iacs.approval.request.reminded.v1"
    awaited: Literal["decision", "documents"]
    number: int = Field(ge=1)
    queues: tuple[Queue, ...] = ()
    approver_ids: tuple[PersonId, ...] = ()
    community_address: bool = False
    documents_awaited: tuple[Code, ...] = ()
    since_at: Moment
    reminded_at: Moment
    expires_at: Moment


class RequestEscalated(RequestEvent):
    """A further queue was added; those before keep theirs."""

    wire = "iacs.approval.request.escalated.v1"
    queue: Queue
    why: Literal["no_approver", "overdue", "cannot_be_granted", "concern"]
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
    earlier: tuple[EarlierApproval, ...] = Field(
        default=(), description="What led up to it where there are several stages or votes, in order"
    )


class RequestDenied(RequestEvent):
    """An approver said no. Final."""

    wire = "iacs.approval.request.denied.v1"
    decided_by: PersonId
    capacity: Capacity
    reason: Code = Field(description="The reason that the applicant sees")
    decided_at: Moment


class RequestReturned(RequestEvent):
    """An approver wants something corrected: it is the applicant's turn, and the approver's clock stands still."""

    wire = "iacs.approval.request.returned.v1"
    returned_by: PersonId
    capacity: Capacity
    reason: Code
    correct: tuple[Code, ...] = Field(default=(), description="The fields and documents to look at, by their codes")
    returned_at: Moment
    expires_at: Moment


class RequestReopened(RequestEvent):
    """It is to be decided again: its decider had lost authority, or the applicant has corrected it."""

    wire = "iacs.approval.request.reopened.v1"
    why: Code
    reopened_at: Moment
    expires_at: Moment


class RequestWithdrawn(RequestEvent):
    """The applicant's wish to withdraw was granted. Final."""

    wire = "iacs.approval.request.withdrawn.v1"
    withdrawn_at: Moment


class RequestWithdrawalRefused(RequestEvent):
    """The applicant's wish to withdraw came too late: somebody had decided."""

    wire = "iacs.approval.request.withdrawal_refused.v1"
    why: Code
    refused_at: Moment


class RequestExpired(RequestEvent):
    """Time ran out before anybody decided. Final."""

    wire = "iacs.approval.request.expired.v1"
    expired_at: Moment


class RequestClosed(RequestEvent):
    """Ended without a decision. Final."""

    wire = "iacs.approval.request.closed.v1"
    why: Code
    closed_at: Moment
