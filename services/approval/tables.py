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
    Interval,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.database import new_metadata

metadata = new_metadata()

_FINAL = "('granted', 'denied', 'expired', 'withdrawn', 'closed')"
NAMES_IN_VAIN = "state <> 'granted' AND (applicant_name <> '' OR place_name <> '')"
"""Names whose request has created nothing. Literal, so that a statement which says it uses the index that does."""

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
    Column("application", Text),
    # The role assignment that it rests on, if it rests on one.
    Column("resting_id", Uuid),
    Column("resting_role", Text),
    Column("resting_place_kind", Text),
    Column("resting_place_id", Uuid),
    # Counts what the applicant has supplied: the directory grants exactly the one that was approved.
    Column("revision", Integer, nullable=False, server_default=text("1")),
    # What the help desk has to look into before anybody decides.
    Column("concern", Text),
    # Keyed hash that is equal for what would be the same organization or practice.
    Column("duplicate_key", Text),
    # Where it is which day: two letters, if the organization or practice is known.
    Column("us_state", Text),
    # What an approver needs to see of whom they decide on. Empty 90 days after an end without a grant.
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
    Column("returns_count", Integer, nullable=False, server_default=text("0")),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    # Since when this stage, or the wait for documents, lasts.
    Column("since_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    # Who says they are looking at it. That tells the others, and stops nobody.
    Column("claimed_by", Uuid),
    Column("claimed_until", DateTime(timezone=True)),
    Column("decided_by", Uuid),
    Column("decided_role", Text),
    Column("decided_at", DateTime(timezone=True)),
    Column("approved_event_id", Uuid),
    Column("refusal", Text),
    Column("ended_at", DateTime(timezone=True)),
    CheckConstraint(
        "state IN ('unrouted', 'awaiting_documents', 'pending', 'returned', 'approved', 'refused', "
        "'granted', 'denied', 'expired', 'withdrawn', 'closed')",
        name="state_known",
    ),
    # domain.py says these too; here they also hold for a migration or an operator's psql.
    CheckConstraint("num_nulls(decided_by, decided_role, decided_at) IN (0, 3)", name="decision_whole"),
    CheckConstraint("decided_by <> applicant_id", name="not_ones_own"),
    CheckConstraint(f"(ended_at IS NOT NULL) = (state IN {_FINAL})", name="ended_whole"),
    CheckConstraint(
        "state NOT IN ('approved', 'granted', 'denied', 'returned') OR decided_by IS NOT NULL",
        name="decided_by_somebody",
    ),
    CheckConstraint("num_nulls(claimed_by, claimed_until) IN (0, 2)", name="claim_whole"),
    CheckConstraint(
        "num_nulls(resting_id, resting_role, resting_place_kind, resting_place_id) IN (0, 4)", name="resting_whole"
    ),
    Index("ix_request_unrouted", "id", postgresql_where=text("state = 'unrouted'")),
    Index("ix_request_pending", "id", postgresql_where=text("state = 'pending'")),
    Index("ix_request_scope_id", "scope_id", postgresql_where=text("ended_at IS NULL")),
    Index("ix_request_duplicate_key", "duplicate_key", postgresql_where=text("ended_at IS NULL")),
    Index("ix_request_names", "ended_at", postgresql_where=text(f"ended_at IS NOT NULL AND {NAMES_IN_VAIN}")),
    # What the help desk and auditors look through.
    Index("ix_request_community", "community_id", "opened_at", "id"),
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
    CheckConstraint("why IN ('stage', 'no_approver', 'overdue', 'cannot_be_granted', 'concern')", name="why_known"),
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
    CheckConstraint("verdict IN ('approve', 'deny', 'return', 'retry', 'close')", name="verdict_known"),
    CheckConstraint("(verdict IN ('deny', 'return')) = (reason IS NOT NULL)", name="a_no_has_a_reason"),
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
    # Empty while the clock stands still; then this is what was left.
    Column("due_at", DateTime(timezone=True)),
    Column("remains", Interval),
    # Of a reminder: which one it will be.
    Column("number", Integer, nullable=False, server_default=text("1")),
    CheckConstraint("kind IN ('expire', 'give_up', 'escalate', 'remind', 'announce_again')", name="kind_known"),
    CheckConstraint("num_nulls(due_at, remains) = 1", name="runs_or_stands"),
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
    Column("us_state", Text, nullable=False),
    Column("duplicate_key", Text, nullable=False),
    Index("ix_organization_duplicate_key", "duplicate_key", postgresql_where=text("status <> 'closed'")),
)

practitioner = Table(
    "practitioner",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("us_state", Text, nullable=False),
    Column("duplicate_key", Text, nullable=False),
    Index("ix_practitioner_duplicate_key", "duplicate_key", postgresql_where=text("status <> 'closed'")),
)

user_group = Table(
    "user_group",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("organization_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("kind", Text, nullable=False),
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

entitlement = Table(
    "entitlement",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("assignment_id", Uuid, nullable=False),
    Column("application", Text, nullable=False),
    Column("status", Text, nullable=False),
    Index("ix_entitlement_assignment_id", "assignment_id", postgresql_where=text("status = 'active'")),
)

account = Table(
    "account",
    metadata,
    Column("person_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
)
