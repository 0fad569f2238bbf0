"""The tables of approval."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "approval_0001"
down_revision = None
branch_labels = ("approval",)
depends_on = "spine_0001"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "account",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_account")),
    )
    op.create_table(
        "assignment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment")),
    )
    op.create_index(
        "ix_assignment_person_id",
        "assignment",
        ["person_id"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index(
        "ix_assignment_place_id",
        "assignment",
        ["place_id", "role"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
    )
    op.create_index("ix_document_request_id", "document", ["request_id"], unique=False)
    op.create_table(
        "entitlement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("assignment_id", sa.Uuid(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entitlement")),
    )
    op.create_index(
        "ix_entitlement_assignment_id",
        "entitlement",
        ["assignment_id"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "history",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "position", name=op.f("pk_history")),
    )
    op.create_table(
        "organization",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("legal_business_name", sa.Text(), nullable=False),
        sa.Column("us_state", sa.Text(), nullable=False),
        sa.Column("duplicate_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization")),
    )
    op.create_index(
        "ix_organization_duplicate_key",
        "organization",
        ["duplicate_key"],
        unique=False,
        postgresql_where=sa.text("status <> 'closed'"),
    )
    op.create_table(
        "practitioner",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("us_state", sa.Text(), nullable=False),
        sa.Column("duplicate_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_practitioner")),
    )
    op.create_index(
        "ix_practitioner_duplicate_key",
        "practitioner",
        ["duplicate_key"],
        unique=False,
        postgresql_where=sa.text("status <> 'closed'"),
    )
    op.create_table(
        "request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("community_version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("place_kind", sa.Text(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("applicant_id", sa.Uuid(), nullable=False),
        sa.Column("application", sa.Text(), nullable=True),
        sa.Column("resting_id", sa.Uuid(), nullable=True),
        sa.Column("resting_role", sa.Text(), nullable=True),
        sa.Column("resting_place_kind", sa.Text(), nullable=True),
        sa.Column("resting_place_id", sa.Uuid(), nullable=True),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("concern", sa.Text(), nullable=True),
        sa.Column("duplicate_key", sa.Text(), nullable=True),
        sa.Column("us_state", sa.Text(), nullable=True),
        sa.Column("applicant_name", sa.Text(), nullable=False),
        sa.Column("place_name", sa.Text(), nullable=False),
        sa.Column("documents_needed", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("steps_added", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("voter_ids", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("absent_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("has_next_step", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("returns_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.Uuid(), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_role", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_event_id", sa.Uuid(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(ended_at IS NOT NULL) = (state IN ('granted', 'denied', 'expired', 'withdrawn', 'closed'))",
            name=op.f("ck_request_ended_whole"),
        ),
        sa.CheckConstraint(
            "state IN ('unrouted', 'awaiting_documents', 'pending', 'returned', 'approved', 'refused', "
            "'granted', 'denied', 'expired', 'withdrawn', 'closed')",
            name=op.f("ck_request_state_known"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('approved', 'granted', 'denied', 'returned') OR decided_by IS NOT NULL",
            name=op.f("ck_request_decided_by_somebody"),
        ),
        sa.CheckConstraint("decided_by <> applicant_id", name=op.f("ck_request_not_ones_own")),
        sa.CheckConstraint("num_nulls(claimed_by, claimed_until) IN (0, 2)", name=op.f("ck_request_claim_whole")),
        sa.CheckConstraint(
            "num_nulls(decided_by, decided_role, decided_at) IN (0, 3)", name=op.f("ck_request_decision_whole")
        ),
        sa.CheckConstraint(
            "num_nulls(resting_id, resting_role, resting_place_kind, resting_place_id) IN (0, 4)",
            name=op.f("ck_request_resting_whole"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
    )
    op.create_index("ix_request_community", "request", ["community_id", "opened_at", "id"], unique=False)
    op.create_index(
        "ix_request_duplicate_key",
        "request",
        ["duplicate_key"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "ix_request_names",
        "request",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text(
            "ended_at IS NOT NULL AND state <> 'granted' AND (applicant_name <> '' OR place_name <> '')"
        ),
    )
    op.create_index(
        "ix_request_pending", "request", ["id"], unique=False, postgresql_where=sa.text("state = 'pending'")
    )
    op.create_index(
        "ix_request_scope_id", "request", ["scope_id"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index(
        "ix_request_unrouted", "request", ["id"], unique=False, postgresql_where=sa.text("state = 'unrouted'")
    )
    op.create_table(
        "user_group",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_group")),
    )
    op.create_table(
        "decision",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("approver_id", sa.Uuid(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("statement", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("place_kind", sa.Text(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint(
            "(verdict = 'approve') = (statement IS NOT NULL)", name=op.f("ck_decision_approval_attests")
        ),
        sa.CheckConstraint(
            "(verdict IN ('deny', 'return')) = (reason IS NOT NULL)", name=op.f("ck_decision_a_no_has_a_reason")
        ),
        sa.CheckConstraint(
            "verdict IN ('approve', 'deny', 'return', 'retry', 'close')", name=op.f("ck_decision_verdict_known")
        ),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_decision_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_index(
        "uq_decision_key",
        "decision",
        ["approver_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index(
        "uq_decision_vote", "decision", ["request_id", "stage", "round", "approver_id", "verdict"], unique=True
    )
    op.create_table(
        "named",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_named_request_id")),
        sa.PrimaryKeyConstraint("request_id", "stage", "round", "person_id", name=op.f("pk_named")),
    )
    op.create_table(
        "queue",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("place_kind", sa.Text(), nullable=False),
        sa.Column("may_approve", sa.Boolean(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "why IN ('stage', 'no_approver', 'overdue', 'cannot_be_granted', 'concern')",
            name=op.f("ck_queue_why_known"),
        ),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_queue_request_id")),
        sa.PrimaryKeyConstraint("request_id", "stage", "role", "place_id", name=op.f("pk_queue")),
    )
    op.create_index(
        "ix_queue_open",
        "queue",
        ["place_id", "role", "opened_at", "request_id"],
        unique=False,
        postgresql_where=sa.text("open"),
    )
    op.create_table(
        "timer",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remains", sa.Interval(), nullable=True),
        sa.Column("number", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('expire', 'give_up', 'escalate', 'remind', 'announce_again')", name=op.f("ck_timer_kind_known")
        ),
        sa.CheckConstraint("num_nulls(due_at, remains) = 1", name=op.f("ck_timer_runs_or_stands")),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_timer_request_id")),
        sa.PrimaryKeyConstraint("request_id", "kind", name=op.f("pk_timer")),
    )
    op.create_index("ix_timer_due_at", "timer", ["due_at"], unique=False)
