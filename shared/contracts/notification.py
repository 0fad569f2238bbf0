"""What notification says: whether a person was told. Internal."""

from uuid import UUID

from shared.contracts.base import Code, Event, Moment

TOPIC = "iacs.notification.v1"


class NoticeSent(Event):
    """A mail server has taken the message. `request_id` is absent where the notice is about a person."""

    wire = "iacs.notification.notice.sent.v1"
    topic = TOPIC

    notice_id: UUID
    notice: Code
    scope_id: UUID
    request_id: UUID | None = None
    recipient_id: UUID | None = None
    sent_at: Moment


class NoticeFailed(Event):
    """No mail server will take the message: nobody was told. The help desk hears of it."""

    wire = "iacs.notification.notice.failed.v1"
    topic = TOPIC

    notice_id: UUID
    notice: Code
    scope_id: UUID
    request_id: UUID | None = None
    recipient_id: UUID | None = None
    smtp_status: int
    failed_at: Moment
