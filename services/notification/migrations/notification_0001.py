"""Notices, requests and replicas."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "notification_0001"
down_revision = None
branch_labels = ("notification",)
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
        sa.Column("place_kind", sa.Text(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment")),
    )
    op.create_index("ix_assignment_person_id", "assignment", ["person_id"], unique=False)
    op.create_index(
        "ix_assignment_scope_id",
        "assignment",
        ["scope_id"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "departure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("about_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("place_kind", sa.Text(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=True),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("tell_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("causation_id", sa.Uuid(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "what IN ('role_ended', 'organization_suspended', 'group_left')", name=op.f("ck_departure_what_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_departure")),
    )
    op.create_index(
        "ix_departure_tell_at", "departure", ["tell_at"], unique=False, postgresql_where=sa.text("told_at IS NULL")
    )
    op.create_index("ix_departure_told_at", "departure", ["told_at"], unique=False)
    op.create_table(
        "entitlement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("assignment_id", sa.Uuid(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("effective_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entitlement")),
    )
    op.create_index("ix_entitlement_assignment_id", "entitlement", ["assignment_id"], unique=False)
    op.create_table(
        "notice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("about_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_kind", sa.Text(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("community_id", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("attempt_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_since_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lease", sa.Uuid(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("rendered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("smtp_status", sa.Integer(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("overdue_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("correlation_id", sa.Uuid(), nullable=True),
        sa.Column("causation_id", sa.Uuid(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.CheckConstraint("(state = 'sending') = (lease IS NOT NULL)", name=op.f("ck_notice_lease_whole")),
        sa.CheckConstraint(
            "(state IN ('sent', 'failed', 'withdrawn')) = (ended_at IS NOT NULL)", name=op.f("ck_notice_ended_whole")
        ),
        sa.CheckConstraint(
            "recipient_kind <> 'help_desk' OR recipient_id IS NULL", name=op.f("ck_notice_help_desk_is_nobody")
        ),
        sa.CheckConstraint(
            "recipient_kind IN ('applicant', 'approver', 'person', 'help_desk')", name=op.f("ck_notice_recipient_known")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'due', 'sending', 'unknown', 'sent', 'failed', 'withdrawn')",
            name=op.f("ck_notice_state_known"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('due', 'sending', 'unknown') OR num_nulls(message_id, text, address) = 0",
            name=op.f("ck_notice_rendered_before_sent"),
        ),
        sa.CheckConstraint(
            "num_nulls(message_id, sender, rendered_at) IN (0, 3)", name=op.f("ck_notice_rendered_whole")
        ),
        sa.CheckConstraint("num_nulls(subject, text, html) IN (0, 3)", name=op.f("ck_notice_body_whole")),
        sa.CheckConstraint("secret IS NULL OR ended_at IS NULL", name=op.f("ck_notice_secret_gone_at_the_end")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint("message_id", name=op.f("uq_notice_message_id")),
    )
    op.create_index("ix_notice_created_at", "notice", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_notice_ended_at", "notice", ["ended_at"], unique=False, postgresql_where=sa.text("address IS NOT NULL")
    )
    op.create_index(
        "ix_notice_next_at",
        "notice",
        ["next_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'due', 'sending', 'unknown')"),
    )
    op.create_index(
        "ix_notice_overdue_at", "notice", ["overdue_at"], unique=False, postgresql_where=sa.text("state = 'waiting'")
    )
    op.create_index("ix_notice_recipient_id", "notice", ["recipient_id", "created_at", "id"], unique=False)
    op.create_index("ix_notice_request_id", "notice", ["request_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_notice_waiting_recipient",
        "notice",
        ["recipient_id"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_notice_waiting_scope", "notice", ["scope_id"], unique=False, postgresql_where=sa.text("state = 'waiting'")
    )
    op.create_index(
        "ix_notice_wiped_ended_at", "notice", ["ended_at"], unique=False, postgresql_where=sa.text("address IS NULL")
    )
    op.create_index(
        "uq_notice_once",
        "notice",
        ["name", "about_id", "recipient_kind", "recipient_id", "version"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("given_name", sa.Text(), nullable=True),
        sa.Column("family_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.CheckConstraint("num_nulls(given_name, family_name, email) IN (0, 3)", name=op.f("ck_person_contact_whole")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
    )
    op.create_table(
        "place",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_place")),
    )
    op.create_table(
        "request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=True),
        sa.Column("community_version", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("place_kind", sa.Text(), nullable=True),
        sa.Column("place_id", sa.Uuid(), nullable=True),
        sa.Column("applicant_id", sa.Uuid(), nullable=True),
        sa.Column("tracking_number", sa.Text(), nullable=True),
        sa.Column("given_name", sa.Text(), nullable=True),
        sa.Column("family_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("organization_name", sa.Text(), nullable=True),
        sa.Column("group_name", sa.Text(), nullable=True),
        sa.Column("application", sa.Text(), nullable=True),
        sa.Column("resting_kind", sa.Text(), nullable=True),
        sa.Column("resting_id", sa.Uuid(), nullable=True),
        sa.Column("resting_role", sa.Text(), nullable=True),
        sa.Column("history", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "num_nulls(given_name, family_name, email) IN (0, 3)", name=op.f("ck_request_contact_whole")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
    )
    op.create_index(
        "ix_request_ended_at", "request", ["ended_at"], unique=False, postgresql_where=sa.text("email IS NOT NULL")
    )
    op.create_index(
        "ix_request_heard_at",
        "request",
        ["heard_at"],
        unique=False,
        postgresql_where=sa.text("tracking_number IS NULL"),
    )
    op.create_index("ix_request_place_id", "request", ["place_id"], unique=False)
    op.create_index("ix_request_resting_id", "request", ["resting_id"], unique=False)
    op.create_index(
        "ix_request_wiped_ended_at", "request", ["ended_at"], unique=False, postgresql_where=sa.text("email IS NULL")
    )
    op.create_table(
        "settlement",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("occasion", sa.Text(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "request_id", "occasion", name=op.f("pk_settlement")),
    )
    op.create_index("ix_settlement_heard_at", "settlement", ["community_id", "heard_at"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("notice_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("smtp_status", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name=op.f("fk_attempt_notice_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("notice_id", "number", name=op.f("pk_attempt")),
    )
