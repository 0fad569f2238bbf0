"""The tables of directory."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "directory_0001"
down_revision = None
branch_labels = ("directory",)
depends_on = "spine_0001"


def upgrade() -> None:
    """Apply."""
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "grant_case",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("dossier", postgresql.JSONB(), nullable=True),
        sa.Column("approval", postgresql.JSONB(), nullable=True),
        sa.Column("answered_round", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.CheckConstraint("outcome IN ('applied', 'refused', 'ended')", name=op.f("ck_grant_case_outcome_known")),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome = 'refused' OR dossier IS NULL", name=op.f("ck_grant_case_dossier_dropped")
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_grant_case")),
    )
    op.create_table(
        "organization",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("legal_business_name", sa.Text(), nullable=False),
        sa.Column("normalised_name", sa.Text(), nullable=False),
        sa.Column("tin_locked", sa.Text(), nullable=False),
        sa.Column("tin_fingerprint", sa.Text(), nullable=False),
        sa.Column("duplicate_key", sa.Text(), nullable=False),
        sa.Column("street", sa.Text(), nullable=False),
        sa.Column("city", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("zip_code", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("provider_type", sa.Text(), nullable=False),
        sa.Column("npi", sa.Text(), nullable=False),
        sa.Column("ptans", postgresql.JSONB(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entitlements_end_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'suspended', 'closed')", name=op.f("ck_organization_status_known")),
        sa.CheckConstraint(
            "(status = 'suspended') = (entitlements_end_at IS NOT NULL)", name=op.f("ck_organization_suspended_whole")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization")),
        sa.UniqueConstraint("request_id", name=op.f("uq_organization_request_id")),
    )
    op.create_index(
        "ix_organization_listing",
        "organization",
        ["normalised_name", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index(
        "uq_organization_duplicate",
        "organization",
        ["duplicate_key"],
        unique=True,
        postgresql_where=sa.text("status <> 'closed'"),
    )
    op.create_index(
        "ix_organization_similar",
        "organization",
        ["normalised_name"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"normalised_name": "gin_trgm_ops"},
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index("ix_organization_tin_fingerprint", "organization", ["tin_fingerprint"], unique=False)
    op.create_index("ix_organization_npi", "organization", ["npi"], unique=False, postgresql_where=sa.text("npi <> ''"))
    op.create_table(
        "practitioner",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("npi", sa.Text(), nullable=False),
        sa.Column("duplicate_key", sa.Text(), nullable=False),
        sa.Column("street", sa.Text(), nullable=False),
        sa.Column("city", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("zip_code", sa.Text(), nullable=False),
        sa.Column("ptans", postgresql.JSONB(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'closed')", name=op.f("ck_practitioner_status_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_practitioner")),
        sa.UniqueConstraint("request_id", name=op.f("uq_practitioner_request_id")),
    )
    op.create_index(
        "uq_practitioner_duplicate",
        "practitioner",
        ["duplicate_key"],
        unique=True,
        postgresql_where=sa.text("status <> 'closed'"),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("given_name", sa.Text(), nullable=False),
        sa.Column("family_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
    )
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("private_locked", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_key")),
    )
    op.create_table(
        "account",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("failure_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state <> 'active' OR password_hash IS NOT NULL", name=op.f("ck_account_active_has_password")
        ),
        sa.CheckConstraint("(state = 'locked') = (locked_until IS NOT NULL)", name=op.f("ck_account_locked_whole")),
        sa.CheckConstraint(
            "state IN ('invited', 'active', 'locked', 'disabled', 'closed')", name=op.f("ck_account_state_known")
        ),
        sa.CheckConstraint("user_id ~ '^[A-HJ-NP-Z2-9]{8}$'", name=op.f("ck_account_user_id_shape")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_account_person_id")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_account")),
        sa.UniqueConstraint("user_id", name=op.f("uq_account_user_id")),
    )
    op.create_table(
        "password_link",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_for", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_password_link_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_link")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_password_link_token_hash")),
    )
    op.create_table(
        "failed_sign_in",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_hash", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_sign_in")),
    )
    op.create_index("ix_failed_sign_in_client_hash", "failed_sign_in", ["client_hash", "at"], unique=False)
    op.create_index("ix_password_link_person_id", "password_link", ["person_id", "asked_at"], unique=False)
    op.create_table(
        "role_assignment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("place_kind", sa.Text(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("community_version", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("effective_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status = 'active') = (effective_until IS NULL)", name=op.f("ck_role_assignment_ended_whole")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'ended', 'lapsed', 'revoked')", name=op.f("ck_role_assignment_status_known")
        ),
        sa.CheckConstraint("decided_by <> person_id", name=op.f("ck_role_assignment_not_ones_own")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_role_assignment_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_assignment")),
        sa.UniqueConstraint("request_id", name=op.f("uq_role_assignment_request_id")),
    )
    op.create_index("ix_role_assignment_place_id", "role_assignment", ["place_id", "role"], unique=False)
    op.create_index("ix_role_assignment_scope_id", "role_assignment", ["scope_id", "person_id"], unique=False)
    op.create_index(
        "uq_role_assignment_active",
        "role_assignment",
        ["person_id", "role", "place_id"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "entitlement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("assignment_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("effective_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(status = 'active') = (effective_until IS NULL)", name=op.f("ck_entitlement_ended_whole")),
        sa.CheckConstraint(
            "status IN ('active', 'ended', 'lapsed', 'revoked')", name=op.f("ck_entitlement_status_known")
        ),
        sa.CheckConstraint("decided_by <> person_id", name=op.f("ck_entitlement_not_ones_own")),
        sa.ForeignKeyConstraint(["assignment_id"], ["role_assignment.id"], name=op.f("fk_entitlement_assignment_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_entitlement_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entitlement")),
        sa.UniqueConstraint("request_id", name=op.f("uq_entitlement_request_id")),
    )
    op.create_index(
        "uq_entitlement_active",
        "entitlement",
        ["assignment_id", "application"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index("ix_entitlement_person_id", "entitlement", ["person_id"], unique=False)
    op.create_index("ix_entitlement_scope_id", "entitlement", ["scope_id"], unique=False)
    op.create_table(
        "timer",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('end_entitlements', 'close_group', 'unlock_account')", name=op.f("ck_timer_kind_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timer")),
    )
    op.create_index("ix_timer_due_at", "timer", ["due_at", "id"], unique=False)
    op.create_index("ix_timer_scope_id", "timer", ["scope_id", "due_at", "id"], unique=False)
    op.create_table(
        "session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cookie_hash", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_session_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("cookie_hash", name=op.f("uq_session_cookie_hash")),
    )
    op.create_index("ix_session_person_id", "session", ["person_id"], unique=False)
    op.create_table(
        "user_group",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("normalised_name", sa.Text(), nullable=False),
        sa.Column("company_name", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status = 'without_administrator') = (closes_at IS NOT NULL)", name=op.f("ck_user_group_left_whole")
        ),
        sa.CheckConstraint("kind IN ('provider', 'surrogate')", name=op.f("ck_user_group_kind_known")),
        sa.CheckConstraint(
            "status IN ('active', 'without_administrator', 'closed')", name=op.f("ck_user_group_status_known")
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"], name=op.f("fk_user_group_organization_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_group")),
        sa.UniqueConstraint("request_id", name=op.f("uq_user_group_request_id")),
    )
    op.create_index(
        "uq_user_group_name",
        "user_group",
        ["organization_id", "normalised_name"],
        unique=True,
        postgresql_where=sa.text("status <> 'closed'"),
    )
    for statement in _GUARDS:
        op.execute(statement)


# What a community says of seats and exclusions holds here for whoever writes: an operator's psql too. The locks
# make two that judge the same seat, or the same person, do so one after the other; each then sees the other's row.
_GUARDS = (
    """
CREATE FUNCTION guard_role_assignment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  definition jsonb;
  seats integer;
BEGIN
  SELECT c.definition INTO definition FROM community c
  WHERE c.id = NEW.community_id AND c.version = NEW.community_version;
  IF definition IS NULL THEN
    RAISE EXCEPTION 'no community % version %', NEW.community_id, NEW.community_version
      USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'community_known';
  END IF;

  PERFORM pg_advisory_xact_lock(hashtextextended('person ' || NEW.person_id, 0));
  IF EXISTS (
    SELECT FROM jsonb_array_elements(definition -> 'exclusions') x
    JOIN role_assignment h ON h.person_id = NEW.person_id AND h.status = 'active' AND h.id <> NEW.id
      AND CASE x ->> 'within'
            WHEN 'scope' THEN h.scope_id = NEW.scope_id
            WHEN 'place' THEN h.place_id = NEW.place_id
            ELSE true
          END
    WHERE EXISTS (SELECT FROM jsonb_array_elements(x -> 'between') side WHERE side ? NEW.role)
      AND EXISTS (SELECT FROM jsonb_array_elements(x -> 'between') side WHERE side ? h.role)
      AND NOT EXISTS (SELECT FROM jsonb_array_elements(x -> 'between') side WHERE side ? NEW.role AND side ? h.role)
  ) THEN
    RAISE EXCEPTION '% excludes a role that % holds', NEW.role, NEW.person_id
      USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'separation_of_duty';
  END IF;

  SELECT (r ->> 'seats')::integer INTO seats FROM jsonb_array_elements(definition -> 'roles') r
  WHERE r ->> 'code' = NEW.role;
  IF seats IS NOT NULL THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('seats ' || NEW.role || ' ' || NEW.place_id, 0));
    IF (SELECT count(*) FROM role_assignment h
        WHERE h.place_id = NEW.place_id AND h.role = NEW.role AND h.status = 'active' AND h.id <> NEW.id) >= seats THEN
      RAISE EXCEPTION '% of % has no free seat', NEW.role, NEW.place_id
        USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'seats';
    END IF;
  END IF;
  RETURN NEW;
END $$
""",
    """
CREATE TRIGGER guard_role_assignment BEFORE INSERT OR UPDATE ON role_assignment
FOR EACH ROW WHEN (NEW.status = 'active') EXECUTE FUNCTION guard_role_assignment()
""",
    """
CREATE FUNCTION guard_rest() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  resting boolean;
BEGIN
  IF TG_TABLE_NAME = 'entitlement' THEN
    PERFORM FROM role_assignment h WHERE h.id = NEW.assignment_id AND h.status = 'active' FOR SHARE;
    resting := FOUND;
  ELSE
    resting := NOT EXISTS (SELECT FROM entitlement e WHERE e.assignment_id = NEW.id AND e.status = 'active');
  END IF;
  IF NOT resting THEN
    RAISE EXCEPTION 'an active entitlement rests on an active role assignment'
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'rests_on_role';
  END IF;
  RETURN NEW;
END $$
""",
    """
CREATE TRIGGER guard_rest BEFORE INSERT OR UPDATE ON entitlement
FOR EACH ROW WHEN (NEW.status = 'active') EXECUTE FUNCTION guard_rest()
""",
    """
CREATE TRIGGER guard_rest BEFORE UPDATE ON role_assignment
FOR EACH ROW WHEN (NEW.status <> 'active') EXECUTE FUNCTION guard_rest()
""",
)
