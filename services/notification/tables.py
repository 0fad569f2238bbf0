"""What notification stores: notices with their mail and its fate, and replicas of what a mail must name.

Moments ending in `_at` are domain time, except `next_at` and `due_since_at`: leases and back-off keep
to the wall clock of the database, which all workers share.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.database import new_metadata

metadata = new_metadata()

STATES = ("waiting", "due", "sending", "unknown", "sent", "failed", "withdrawn")

notice = Table(
    "notice",
    metadata,
    # Derived from name, subject, recipient and version: the same notice can only ever be this row.
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("about_id", Uuid, nullable=False),
    Column("recipient_kind", Text, nullable=False),
    Column("recipient_id", Uuid),
    Column("version", Text, nullable=False),
    Column("scope_id", Uuid, nullable=False),
    Column("request_id", Uuid),
    Column("community_id", Text),
    Column("address", Text),
    Column("detail", JSONB, nullable=False),
    # JWE sealed to this service. Opened where the mail is made, gone once nothing is to be sent.
    Column("secret", Text),
    Column("expires_at", DateTime(timezone=True)),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    Column("attempt_count", Integer, nullable=False, server_default=text("0")),
    # When to look at it next; while it is being sent: the end of its lease.
    Column("next_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("due_since_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("lease", Uuid),
    # The rendering, made once: a mail that is sent again is the same to the byte.
    Column("message_id", Text, unique=True),
    Column("sender", Text),
    Column("rendered_at", DateTime(timezone=True)),
    Column("subject", Text),
    Column("text", Text),
    Column("html", Text),
    Column("smtp_status", Integer),
    Column("why", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    # When the help desk is to hear that it still waits; empty once it has, or need not.
    Column("overdue_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("correlation_id", Uuid),
    Column("causation_id", Uuid),
    Column("traceparent", Text, nullable=False),
    Index(
        "uq_notice_once",
        "name",
        "about_id",
        "recipient_kind",
        "recipient_id",
        "version",
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    CheckConstraint(f"state IN {STATES}", name="state_known"),
    CheckConstraint("recipient_kind IN ('applicant', 'approver', 'person', 'help_desk')", name="recipient_known"),
    CheckConstraint("recipient_kind <> 'help_desk' OR recipient_id IS NULL", name="help_desk_is_nobody"),
    CheckConstraint("(state IN ('sent', 'failed', 'withdrawn')) = (ended_at IS NOT NULL)", name="ended_whole"),
    CheckConstraint("secret IS NULL OR ended_at IS NULL", name="secret_gone_at_the_end"),
    CheckConstraint("(state = 'sending') = (lease IS NOT NULL)", name="lease_whole"),
    CheckConstraint("num_nulls(message_id, sender, rendered_at) IN (0, 3)", name="rendered_whole"),
    CheckConstraint("num_nulls(subject, text, html) IN (0, 3)", name="body_whole"),
    CheckConstraint(
        "state NOT IN ('due', 'sending', 'unknown') OR num_nulls(message_id, text, address) = 0",
        name="rendered_before_sent",
    ),
    Index(
        "ix_notice_next_at",
        "next_at",
        postgresql_where=text("state IN ('waiting', 'due', 'sending', 'unknown')"),
    ),
    Index("ix_notice_request_id", "request_id", "created_at", "id"),
    Index("ix_notice_recipient_id", "recipient_id", "created_at", "id"),
    Index("ix_notice_created_at", "created_at", "id"),
    Index("ix_notice_waiting_recipient", "recipient_id", postgresql_where=text("state = 'waiting'")),
    Index("ix_notice_waiting_scope", "scope_id", postgresql_where=text("state = 'waiting'")),
    Index("ix_notice_overdue_at", "overdue_at", postgresql_where=text("state = 'waiting'")),
    Index("ix_notice_ended_at", "ended_at", postgresql_where=text("address IS NOT NULL")),
    Index("ix_notice_wiped_ended_at", "ended_at", postgresql_where=text("address IS NULL")),
)

attempt = Table(
    "attempt",
    metadata,
    # Each try to send a notice, and how it ended. A number that is missing: the worker died over it.
    Column("notice_id", Uuid, ForeignKey("notice.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("smtp_status", Integer),
)

departure = Table(
    "departure",
    metadata,
    # What has ended, until those who are left there are told.
    Column("id", Uuid, primary_key=True),
    Column("what", Text, nullable=False),
    Column("about_id", Uuid, nullable=False),
    Column("version", Text, nullable=False),
    Column("scope_id", Uuid, nullable=False),
    Column("place_kind", Text, nullable=False),
    Column("place_id", Uuid, nullable=False),
    Column("community_id", Text),
    Column("detail", JSONB, nullable=False),
    # Wall clock of the database, like leases: states on another topic are to be read first.
    Column("tell_at", DateTime(timezone=True), nullable=False),
    # A row that has been told stays, so that the same departure is not told again; it goes with the notices.
    Column("told_at", DateTime(timezone=True)),
    Column("causation_id", Uuid),
    Column("traceparent", Text, nullable=False),
    CheckConstraint("what IN ('role_ended', 'organization_suspended', 'group_left')", name="what_known"),
    Index("ix_departure_tell_at", "tell_at", postgresql_where=text("told_at IS NULL")),
    Index("ix_departure_told_at", "told_at"),
)

settlement = Table(
    "settlement",
    metadata,
    # Work of which a person had been told and that somebody else has settled, until the next digest.
    Column("person_id", Uuid, primary_key=True),
    Column("request_id", Uuid, primary_key=True),
    Column("occasion", Text, primary_key=True),
    Column("community_id", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("settled_at", DateTime(timezone=True), nullable=False),
    Column("heard_at", DateTime(timezone=True), nullable=False),
    Index("ix_settlement_heard_at", "community_id", "heard_at"),
)

request = Table(
    "request",
    metadata,
    # Everything may be unknown for a while: the topics are read in no order.
    Column("id", Uuid, primary_key=True),
    Column("scope_id", Uuid, nullable=False),
    Column("community_id", Text),
    Column("community_version", Integer),
    Column("kind", Text),
    Column("place_kind", Text),
    Column("place_id", Uuid),
    Column("applicant_id", Uuid),
    Column("tracking_number", Text),
    Column("given_name", Text),
    Column("family_name", Text),
    Column("email", Text),
    Column("organization_name", Text),
    Column("group_name", Text),
    Column("application", Text),
    Column("resting_kind", Text),
    Column("resting_id", Uuid),
    Column("resting_role", Text),
    Column("history", JSONB, nullable=False, server_default=text("'[]'")),
    Column("heard_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    CheckConstraint("num_nulls(given_name, family_name, email) IN (0, 3)", name="contact_whole"),
    Index("ix_request_place_id", "place_id"),
    Index("ix_request_resting_id", "resting_id"),
    Index("ix_request_ended_at", "ended_at", postgresql_where=text("email IS NOT NULL")),
    Index("ix_request_wiped_ended_at", "ended_at", postgresql_where=text("email IS NULL")),
    # Drafts, of which only a code was ever asked.
    Index("ix_request_heard_at", "heard_at", postgresql_where=text("tracking_number IS NULL")),
)

person = Table(
    "person",
    metadata,
    Column("id", Uuid, primary_key=True),
    # 0: only the user ID is known, from the account's topic.
    Column("version", BigInteger, nullable=False),
    Column("given_name", Text),
    Column("family_name", Text),
    Column("email", Text),
    Column("user_id", Text),
    CheckConstraint("num_nulls(given_name, family_name, email) IN (0, 3)", name="contact_whole"),
)

place = Table(
    "place",
    metadata,
    # Organizations and groups, by the name under which people know them.
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("community_id", Text, nullable=False),
)

assignment = Table(
    "assignment",
    metadata,
    # Who holds which role where: the readers of what people were told, and those who are left in a place.
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("person_id", Uuid, nullable=False),
    Column("role", Text, nullable=False),
    Column("place_kind", Text, nullable=False),
    Column("place_id", Uuid, nullable=False),
    Column("scope_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Index("ix_assignment_person_id", "person_id"),
    Index("ix_assignment_scope_id", "scope_id", postgresql_where=text("status = 'active'")),
)

entitlement = Table(
    "entitlement",
    metadata,
    # Which applications rest on which role assignment: they end with it.
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("assignment_id", Uuid, nullable=False),
    Column("application", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("effective_until", DateTime(timezone=True)),
    Index("ix_entitlement_assignment_id", "assignment_id"),
)

account = Table(
    "account",
    metadata,
    Column("person_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
)
