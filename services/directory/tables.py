"""What the directory stores, and what PostgreSQL itself refuses.

Communities and token keys stand in the tables that every service has (`shared/tables.py`): here
they are the originals.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.database import new_metadata

metadata = new_metadata()

person = Table(
    "person",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("given_name", Text, nullable=False),
    Column("family_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
)

account = Table(
    "account",
    metadata,
    Column("person_id", Uuid, ForeignKey("person.id"), primary_key=True),
    Column("user_id", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("community_id", Text, nullable=False),
    Column("password_hash", Text),
    Column("failure_count", Integer, nullable=False, server_default=text("0")),
    Column("locked_until", DateTime(timezone=True)),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("state IN ('invited', 'active', 'locked', 'disabled', 'closed')", name="state_known"),
    CheckConstraint("user_id ~ '^[A-HJ-NP-Z2-9]{8}$'", name="user_id_shape"),
    CheckConstraint("state <> 'active' OR password_hash IS NOT NULL", name="active_has_password"),
    CheckConstraint("(state = 'locked') = (locked_until IS NOT NULL)", name="locked_whole"),
)

password_link = Table(
    "password_link",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("person_id", Uuid, ForeignKey("person.id"), nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
    # Whether its owner asked for it: the one that comes with the account does not count among three an hour.
    Column("asked_for", Boolean, nullable=False),
    Index("ix_password_link_person_id", "person_id", "asked_at"),
)

session = Table(
    "session",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("cookie_hash", LargeBinary, nullable=False, unique=True),
    Column("person_id", Uuid, ForeignKey("person.id"), nullable=False),
    Column("signed_in_at", DateTime(timezone=True), nullable=False),
    Column("last_used_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Index("ix_session_person_id", "person_id"),
)

failed_sign_in = Table(
    "failed_sign_in",
    metadata,
    # From where passwords are tried: a keyed hash of the address, kept as long as it counts.
    Column("id", Uuid, primary_key=True),
    Column("client_hash", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("ix_failed_sign_in_client_hash", "client_hash", "at"),
)

signing_key = Table(
    "signing_key",
    metadata,
    # The private half of a row of `token_key`, encrypted.
    Column("kid", Text, primary_key=True),
    Column("private_locked", Text, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
)

organization = Table(
    "organization",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("community_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("legal_business_name", Text, nullable=False),
    Column("normalised_name", Text, nullable=False),
    Column("tin_locked", Text, nullable=False),
    Column("tin_fingerprint", Text, nullable=False),
    Column("duplicate_key", Text, nullable=False),
    Column("street", Text, nullable=False),
    Column("city", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("zip_code", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("provider_type", Text, nullable=False),
    Column("npi", Text, nullable=False),
    Column("ptans", JSONB, nullable=False),
    Column("request_id", Uuid, nullable=False, unique=True),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    # While it is suspended: when its entitlements end.
    Column("entitlements_end_at", DateTime(timezone=True)),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("status IN ('active', 'suspended', 'closed')", name="status_known"),
    CheckConstraint("(status = 'suspended') = (entitlements_end_at IS NOT NULL)", name="suspended_whole"),
    # The same TIN, name and location is one organization, whoever approves it and however often.
    Index("uq_organization_duplicate", "duplicate_key", unique=True, postgresql_where=text("status <> 'closed'")),
    Index("ix_organization_listing", "normalised_name", "id", postgresql_where=text("status = 'active'")),
    Index(
        "ix_organization_similar",
        "normalised_name",
        postgresql_using="gin",
        postgresql_ops={"normalised_name": "gin_trgm_ops"},
        postgresql_where=text("status = 'active'"),
    ),
    Index("ix_organization_tin_fingerprint", "tin_fingerprint"),
    Index("ix_organization_npi", "npi", postgresql_where=text("npi <> ''")),
)

practitioner = Table(
    "practitioner",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("community_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("npi", Text, nullable=False),
    Column("duplicate_key", Text, nullable=False),
    Column("street", Text, nullable=False),
    Column("city", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("zip_code", Text, nullable=False),
    Column("ptans", JSONB, nullable=False),
    Column("request_id", Uuid, nullable=False, unique=True),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("status IN ('active', 'closed')", name="status_known"),
    Index("uq_practitioner_duplicate", "duplicate_key", unique=True, postgresql_where=text("status <> 'closed'")),
)

user_group = Table(
    "user_group",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("organization_id", Uuid, ForeignKey("organization.id"), nullable=False),
    Column("community_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("normalised_name", Text, nullable=False),
    Column("company_name", Text, nullable=False),
    Column("request_id", Uuid, nullable=False, unique=True),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    # While it is without administrator: when it is closed.
    Column("closes_at", DateTime(timezone=True)),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("kind IN ('provider', 'surrogate')", name="kind_known"),
    CheckConstraint("status IN ('active', 'without_administrator', 'closed')", name="status_known"),
    CheckConstraint("(status = 'without_administrator') = (closes_at IS NOT NULL)", name="left_whole"),
    Index(
        "uq_user_group_name",
        "organization_id",
        "normalised_name",
        unique=True,
        postgresql_where=text("status <> 'closed'"),
    ),
)

# Beside its constraints, three triggers of the migration guard who holds what, whoever writes: an active role
# assignment keeps the seats and the exclusions of the community version that it was given under
# (seats, separation_of_duty), and an active entitlement rests on an active one (rests_on_role). Source: domain 2, R13.
role_assignment = Table(
    "role_assignment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("person_id", Uuid, ForeignKey("person.id"), nullable=False),
    Column("role", Text, nullable=False),
    Column("place_kind", Text, nullable=False),
    Column("place_id", Uuid, nullable=False),
    Column("scope_id", Uuid, nullable=False),
    Column("community_id", Text, nullable=False),
    Column("community_version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    Column("effective_until", DateTime(timezone=True)),
    Column("request_id", Uuid, unique=True),
    Column("decided_by", Uuid),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("status IN ('active', 'ended', 'lapsed', 'revoked')", name="status_known"),
    CheckConstraint("(status = 'active') = (effective_until IS NULL)", name="ended_whole"),
    CheckConstraint("decided_by <> person_id", name="not_ones_own"),
    Index(
        "uq_role_assignment_active",
        "person_id",
        "role",
        "place_id",
        unique=True,
        postgresql_where=text("status = 'active'"),
    ),
    Index("ix_role_assignment_place_id", "place_id", "role"),
    Index("ix_role_assignment_scope_id", "scope_id", "person_id"),
)

entitlement = Table(
    "entitlement",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("person_id", Uuid, ForeignKey("person.id"), nullable=False),
    Column("application", Text, nullable=False),
    Column("assignment_id", Uuid, ForeignKey("role_assignment.id"), nullable=False),
    Column("role", Text, nullable=False),
    Column("scope_id", Uuid, nullable=False),
    Column("community_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    Column("effective_until", DateTime(timezone=True)),
    Column("request_id", Uuid, nullable=False, unique=True),
    Column("decided_by", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("status IN ('active', 'ended', 'lapsed', 'revoked')", name="status_known"),
    CheckConstraint("(status = 'active') = (effective_until IS NULL)", name="ended_whole"),
    CheckConstraint("decided_by <> person_id", name="not_ones_own"),
    Index(
        "uq_entitlement_active", "assignment_id", "application", unique=True, postgresql_where=text("status = 'active'")
    ),
    Index("ix_entitlement_person_id", "person_id"),
    Index("ix_entitlement_scope_id", "scope_id"),
)

timer = Table(
    "timer",
    metadata,
    # Written with the state that it is to end, and never changed: whoever fires it looks at the state anew.
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("scope_id", Uuid, nullable=False),
    Column("place_id", Uuid, nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("kind IN ('end_entitlements', 'close_group', 'unlock_account')", name="kind_known"),
    Index("ix_timer_due_at", "due_at", "id"),
    Index("ix_timer_scope_id", "scope_id", "due_at", "id"),
)

grant_case = Table(
    "grant_case",
    metadata,
    # What is known of one request: its dossier and its approval come from two topics, in any order.
    Column("request_id", Uuid, primary_key=True),
    Column("dossier", JSONB(none_as_null=True)),
    Column("approval", JSONB(none_as_null=True)),
    Column("answered_round", Integer, nullable=False, server_default=text("0")),
    Column("outcome", Text),
    CheckConstraint("outcome IN ('applied', 'refused', 'ended')", name="outcome_known"),
    # An applied or ended case needs its personal data no more.
    CheckConstraint("outcome IS NULL OR outcome = 'refused' OR dossier IS NULL", name="dossier_dropped"),
)
