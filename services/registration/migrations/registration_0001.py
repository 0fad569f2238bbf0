"""The tables of registration."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "registration_0001"
down_revision = None
branch_labels = ("registration",)
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
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("place_kind", sa.Text(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=True),
        sa.Column("scope_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment")),
    )
    op.create_index(
        "ix_assignment_person", "assignment", ["person_id"], unique=False, postgresql_where=sa.text("status = 'active'")
    )
    op.create_index(
        "ix_assignment_place",
        "assignment",
        ["place_id", "role"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "counted_act",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("limit", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counted_act")),
    )
    op.create_index("ix_counted_act_at", "counted_act", ["at"], unique=False)
    op.create_index("ix_counted_act_limit", "counted_act", ["limit", "who", "at"], unique=False)
    op.create_table(
        "entitlement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("assignment_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entitlement")),
    )
    op.create_index(
        "ix_entitlement_assignment",
        "entitlement",
        ["assignment_id"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "filing_key",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", postgresql.JSONB(), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("num_nulls(status, answer) IN (0, 2)", name=op.f("ck_filing_key_answered_whole")),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_filing_key")),
    )
    op.create_index("ix_filing_key_ends_at", "filing_key", ["ends_at"], unique=False)
    op.create_table(
        "invitation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("email_fingerprint", sa.Text(), nullable=False),
        sa.Column("email_locked", sa.Text(), nullable=False),
        sa.Column("code_fingerprint", sa.Text(), nullable=True),
        sa.Column("issued_by", sa.Uuid(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_by_request", sa.Uuid(), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("num_nulls(used_by_request, used_at) IN (0, 2)", name=op.f("ck_invitation_used_whole")),
        sa.CheckConstraint(
            "used_by_request IS NULL OR code_fingerprint IS NOT NULL", name=op.f("ck_invitation_used_by_its_code")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("code_fingerprint", name=op.f("uq_invitation_code_fingerprint")),
        sa.UniqueConstraint("used_by_request", name=op.f("uq_invitation_used_by_request")),
    )
    op.create_index("ix_invitation_application", "invitation", ["community_id", "application", "id"], unique=False)
    op.create_index("ix_invitation_expires_at", "invitation", ["expires_at"], unique=False)
    op.create_table(
        "known_person",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("given_name", sa.Text(), nullable=False),
        sa.Column("family_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_known_person")),
    )
    op.create_table(
        "organization",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization")),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ssn_fingerprint", sa.Text(), nullable=True),
        sa.Column("identity_fingerprint", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("identity_fingerprint", name=op.f("uq_person_identity_fingerprint")),
        sa.UniqueConstraint("ssn_fingerprint", name=op.f("uq_person_ssn_fingerprint")),
    )
    op.create_table(
        "practitioner",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_practitioner")),
    )
    op.create_table(
        "request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tracking_number", sa.Text(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("community_version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("place_kind", sa.Text(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("place_key", sa.Text(), nullable=False),
        sa.Column("filed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("known_as", sa.Uuid(), nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("submitted_event_id", sa.Uuid(), nullable=True),
        sa.Column("application", sa.Text(), nullable=True),
        sa.Column("rests_on_id", sa.Uuid(), nullable=True),
        sa.Column("rests_on_role", sa.Text(), nullable=True),
        sa.Column("rests_on_place_kind", sa.Text(), nullable=True),
        sa.Column("rests_on_place_id", sa.Uuid(), nullable=True),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("concern", sa.Text(), nullable=True),
        sa.Column("invitation_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("stage", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("round", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused_round", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("roles", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("decided_as", sa.Text(), nullable=True),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("correct", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("reminded", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("escalated", sa.Text(), nullable=True),
        sa.Column("correction_sent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("withdrawal", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("draft_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erase_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("announce_again_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("announced_again_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("unopened_since", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('awaiting_email_proof', 'awaiting_sign_in')) = (person_id IS NULL)",
            name=op.f("ck_request_draft_is_nobodys"),
        ),
        sa.CheckConstraint(
            "(state IN ('granted', 'denied', 'expired', 'withdrawn', 'closed')) = (ended_at IS NOT NULL)",
            name=op.f("ck_request_end_has_a_moment"),
        ),
        sa.CheckConstraint(
            "NOT correction_sent OR state = 'returned'", name=op.f("ck_request_correction_of_what_was_returned")
        ),
        sa.CheckConstraint(
            "erase_at IS NULL OR (ended_at IS NOT NULL AND state <> 'granted')", name=op.f("ck_request_granted_is_kept")
        ),
        sa.CheckConstraint(
            "place_kind <> 'organization' OR place_id = scope_id", name=op.f("ck_request_organization_is_its_scope")
        ),
        sa.CheckConstraint(
            "state <> 'awaiting_sign_in' OR known_as IS NOT NULL", name=op.f("ck_request_sign_in_of_somebody")
        ),
        sa.CheckConstraint(
            "state IN ('awaiting_email_proof', 'awaiting_sign_in', 'submitted', 'awaiting_documents', 'pending', "
            "'returned', 'approved', 'refused', 'granted', 'denied', 'expired', 'withdrawn', 'closed')",
            name=op.f("ck_request_state_known"),
        ),
        sa.CheckConstraint("withdrawal IN ('asked', 'refused')", name=op.f("ck_request_withdrawal_known")),
        sa.CheckConstraint(
            "(person_id IS NULL) = (draft_expires_at IS NOT NULL)", name=op.f("ck_request_draft_expires")
        ),
        sa.CheckConstraint(
            "num_nulls(person_id, submitted_at, submitted_event_id) IN (0, 3)", name=op.f("ck_request_submitted_whole")
        ),
        sa.CheckConstraint(
            "num_nulls(rests_on_id, rests_on_role, rests_on_place_kind, rests_on_place_id) IN (0, 4)",
            name=op.f("ck_request_rests_on_whole"),
        ),
        sa.CheckConstraint(
            "rests_on_id IS NULL OR application IS NOT NULL", name=op.f("ck_request_rests_on_for_an_application")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
        sa.UniqueConstraint("tracking_number", name=op.f("uq_request_tracking_number")),
    )
    op.create_index(
        "ix_request_announce_again_at",
        "request",
        ["announce_again_at"],
        unique=False,
        postgresql_where=sa.text("announce_again_at IS NOT NULL"),
    )
    op.create_index(
        "ix_request_draft_expires_at",
        "request",
        ["draft_expires_at"],
        unique=False,
        postgresql_where=sa.text("draft_expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_request_erase_at", "request", ["erase_at"], unique=False, postgresql_where=sa.text("erase_at IS NOT NULL")
    )
    op.create_index("ix_request_person_id", "request", ["person_id", "id"], unique=False)
    op.create_index(
        "ix_request_unopened",
        "request",
        ["unopened_since"],
        unique=False,
        postgresql_where=sa.text("unopened_since IS NOT NULL"),
    )
    op.create_index(
        "uq_request_open",
        "request",
        ["person_id", "community_id", "kind", "place_key"],
        unique=True,
        postgresql_where=sa.text("person_id IS NOT NULL AND ended_at IS NULL"),
    )
    op.create_table(
        "user_group",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("group_kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_group")),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "media_type IN ('application/pdf', 'image/jpeg', 'image/gif', 'image/png')",
            name=op.f("ck_document_media_type_known"),
        ),
        sa.CheckConstraint("size_bytes BETWEEN 1 AND 10485760", name=op.f("ck_document_at_most_10_mb")),
        sa.ForeignKeyConstraint(
            ["request_id"], ["request.id"], name=op.f("fk_document_request_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
        sa.UniqueConstraint("request_id", "code", "sha256", name=op.f("uq_document_request_id_code_sha256")),
        sa.UniqueConstraint("storage_key", name=op.f("uq_document_storage_key")),
    )
    op.create_table(
        "email_code",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("code_fingerprint", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("try_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("try_count BETWEEN 0 AND 5", name=op.f("ck_email_code_five_tries")),
        sa.ForeignKeyConstraint(
            ["request_id"], ["request.id"], name=op.f("fk_email_code_request_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_code")),
    )
    op.create_index("ix_email_code_expires_at", "email_code", ["expires_at"], unique=False)
    op.create_index("ix_email_code_request_id", "email_code", ["request_id", "asked_at"], unique=False)
    op.create_table(
        "identity",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("given_name", sa.Text(), nullable=False),
        sa.Column("family_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_fingerprint", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("ssn_fingerprint", sa.Text(), nullable=True),
        sa.Column("identity_fingerprint", sa.Text(), nullable=True),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("secrets", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint(
            "NOT data ?| array['ssn', 'birth_date', 'tin']", name=op.f("ck_identity_secrets_are_locked")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["request.id"], name=op.f("fk_identity_request_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_identity")),
    )
    op.create_table(
        "timeline",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("roles", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["request.id"], name=op.f("fk_timeline_request_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("request_id", "position", name=op.f("pk_timeline")),
    )
