"""What approval stores, and what PostgreSQL itself refuses."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.database import new_metadata

metadata = new_metadata()

_FINAL = "('granted', 'denied', 'expired', 'closed')"

request = Table(
    "request",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("community_id", Text, nullable=False),
    Column("community_version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("scope_id", Uuid, nullable=False),
    Column("place_kind", Text, nullable=False),
    Column("place_id", Uuid, nullable=False),
    Column("applicant_id", Uuid, nullable=False),
    # What an approver needs to see of whom they decide on.
    Column("applicant_name", Text, nullable=False),
    Column("place_name", Text, nullable=False),
    Column("documents_needed", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("round", Integer, nullable=False, server_default=text("1")),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    Column("steps_added", Integer, nullable=False, server_default=text("0")),
    Column("voter_ids", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    Column("absent_since", DateTime(timezone=True)),
    # False once the last fallback step was added: then nothing is left to do about absence.
    Column("has_next_step", Boolean, nullable=False, server_default=text("true")),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("decided_by", Uuid),
    Column("decided_role", Text),
    Column("decided_at", DateTime(timezone=True)),
    Column("approved_event_id", Uuid),
    Column("refusal", Text),
    Column("ended_at", DateTime(timezone=True)),
    CheckConstraint(
        "state IN ('unrouted', 'awaiting_documents', 'pending', 'approved', 'refused', "
        "'granted', 'denied', 'expired', 'closed')",
        name="state_known",
    ),
    # domain.py says these too; here they also hold for a migration or an operator's psql.
    CheckConstraint("num_nulls(decided_by, decided_role, decided_at) IN (0, 3)", name="decision_whole"),
    CheckConstraint("decided_by <> applicant_id", name="not_ones_own"),
    CheckConstraint(f"(ended_at IS NOT NULL) = (state IN {_FINAL})", name="ended_whole"),
    CheckConstraint(
        "state NOT IN ('approved', 'granted', 'denied') OR decided_by IS NOT NULL", name="decided_by_somebody"
    ),
    Index("ix_request_unrouted", "id", postgresql_where=text("state = 'unrouted'")),
    Index("ix_request_pending", "id", postgresql_where=text("state = 'pending'")),
)

document = Table(
    "document",
    metadata,
    # No foreign key: a document may be heard of before its request.
    Column("id", Uuid, primary_key=True),
    Column("request_id", Uuid, nullable=False),
    Column("code", Text, nullable=False),
    Column("added_at", DateTime(timezone=True), nullable=False),
    Index("ix_document_request_id", "request_id"),
)

queue = Table(
    "queue",
    metadata,
    Column("request_id", Uuid, ForeignKey("request.id"), primary_key=True),
    Column("stage", Integer, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("place_id", Uuid, primary_key=True),
    Column("place_kind", Text, nullable=False),
    Column("may_approve", Boolean, nullable=False),
    Column("why", Text, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("added_at", DateTime(timezone=True), nullable=False),
    # False once the stage is settled: the row stays, so that a late approver learns who was first.
    Column("open", Boolean, nullable=False),
    CheckConstraint("why IN ('stage', 'no_approver', 'overdue', 'cannot_be_granted')", name="why_known"),
    Index("ix_queue_open", "place_id", "role", "opened_at", "request_id", postgresql_where=text("open")),
)

decision = Table(
    "decision",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("request_id", Uuid, ForeignKey("request.id"), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("approver_id", Uuid, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text),
    Column("statement", Text),
    Column("role", Text, nullable=False),
    Column("place_kind", Text, nullable=False),
    Column("place_id", Uuid, nullable=False),
    Column("decided_at", DateTime(timezone=True), nullable=False),
    # The row is the idempotency record as well: it commits with its effect.
    Column("idempotency_key", Text),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("answer", JSONB, nullable=False),
    CheckConstraint("verdict IN ('approve', 'deny', 'retry', 'close')", name="verdict_known"),
    CheckConstraint("(verdict = 'deny') = (reason IS NOT NULL)", name="denial_has_reason"),
    CheckConstraint("(verdict = 'approve') = (statement IS NOT NULL)", name="approval_attests"),
    Index("uq_decision_vote", "request_id", "stage", "round", "approver_id", "verdict", unique=True),
    Index(
        "uq_decision_key",
        "approver_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

history = Table(
    "history",
    metadata,
    Column("request_id", Uuid, primary_key=True),
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("what", Text, nullable=False),
    Column("role", Text),
    Column("reason", Text),
)

named = Table(
    "named",
    metadata,
    # Who was told that this stage awaits their decision: each once.
    Column("request_id", Uuid, ForeignKey("request.id"), primary_key=True),
    Column("stage", Integer, primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("person_id", Uuid, primary_key=True),
)

timer = Table(
    "timer",
    metadata,
    Column("request_id", Uuid, ForeignKey("request.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("due_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("kind IN ('expire', 'announce_again')", name="kind_known"),
    Index("ix_timer_due_at", "due_at"),
)

# --- What approval has heard from the directory: guarded by version, never joined by hope. ---

organization = Table(
    "organization",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("legal_business_name", Text, nullable=False),
)

user_group = Table(
    "user_group",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("organization_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("name", Text, nullable=False),
)

assignment = Table(
    "assignment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("person_id", Uuid, nullable=False),
    Column("role", Text, nullable=False),
    Column("place_id", Uuid, nullable=False),
    Column("scope_id", Uuid, nullable=False),
    Column("community_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Index("ix_assignment_person_id", "person_id", postgresql_where=text("status = 'active'")),
    Index("ix_assignment_place_id", "place_id", "role", postgresql_where=text("status = 'active'")),
)

account = Table(
    "account",
    metadata,
    Column("person_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
)
