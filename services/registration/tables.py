"""What registration stores, and what PostgreSQL itself refuses.

SSN, birth date and TIN stand here only encrypted (with the key's id) and as keyed hashes.
"""

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
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.database import new_metadata

metadata = new_metadata()

person = Table(
    "person",
    metadata,
    # One human: whoever comes second with the same fingerprint meets this row. A person whom the
    # directory knew first has neither, and is here only to be locked.
    Column("id", Uuid, primary_key=True),
    Column("ssn_fingerprint", Text),
    Column("identity_fingerprint", Text),
    UniqueConstraint("ssn_fingerprint"),
    UniqueConstraint("identity_fingerprint"),
)

request = Table(
    "request",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tracking_number", Text, nullable=False, unique=True),
    Column("community_id", Text, nullable=False),
    Column("community_version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("scope_id", Uuid, nullable=False),
    Column("place_kind", Text, nullable=False),
    Column("place_id", Uuid, nullable=False),
    # Keyed hash of what makes two wishes be about the same place (R5).
    Column("place_key", Text, nullable=False),
    Column("filed_at", DateTime(timezone=True), nullable=False),
    # Whom the applicant of a draft was found to be, if that person has an account.
    Column("known_as", Uuid),
    Column("person_id", Uuid),
    Column("submitted_at", DateTime(timezone=True)),
    Column("submitted_event_id", Uuid),
    # How far it has come, as approval and the directory have told.
    Column("state", Text, nullable=False),
    Column("since_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("stage", Integer, nullable=False, server_default=text("0")),
    Column("round", Integer, nullable=False, server_default=text("0")),
    Column("refused_round", Integer, nullable=False, server_default=text("0")),
    Column("roles", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("reason", Text),
    Column("decided_as", Text),
    Column("ended_at", DateTime(timezone=True)),
    # Its timers: each is empty when it does not run.
    Column("draft_expires_at", DateTime(timezone=True)),
    Column("erase_at", DateTime(timezone=True)),
    Column("announce_again_at", DateTime(timezone=True)),
    Column("announced_again_count", Integer, nullable=False, server_default=text("0")),
    Column("unopened_since", DateTime(timezone=True)),
    CheckConstraint(
        "state IN ('awaiting_email_proof', 'awaiting_sign_in', 'submitted', 'awaiting_documents', 'pending', "
        "'approved', 'refused', 'granted', 'denied', 'expired', 'withdrawn', 'closed')",
        name="state_known",
    ),
    CheckConstraint("num_nulls(person_id, submitted_at, submitted_event_id) IN (0, 3)", name="submitted_whole"),
    # A draft is nobody's yet, and every draft ends by itself.
    CheckConstraint(
        "(state IN ('awaiting_email_proof', 'awaiting_sign_in')) = (person_id IS NULL)", name="draft_is_nobodys"
    ),
    CheckConstraint("(person_id IS NULL) = (draft_expires_at IS NOT NULL)", name="draft_expires"),
    CheckConstraint("state <> 'awaiting_sign_in' OR known_as IS NOT NULL", name="sign_in_of_somebody"),
    CheckConstraint(
        "(state IN ('granted', 'denied', 'expired', 'withdrawn', 'closed')) = (ended_at IS NOT NULL)",
        name="end_has_a_moment",
    ),
    CheckConstraint("erase_at IS NULL OR (ended_at IS NOT NULL AND state <> 'granted')", name="granted_is_kept"),
    CheckConstraint("place_kind <> 'organization' OR place_id = scope_id", name="organization_is_its_scope"),
    # R5: at most one open request for a person, a kind and a place.
    Index(
        "uq_request_open",
        "person_id",
        "community_id",
        "kind",
        "place_key",
        unique=True,
        postgresql_where=text("person_id IS NOT NULL AND ended_at IS NULL"),
    ),
    Index("ix_request_draft_expires_at", "draft_expires_at", postgresql_where=text("draft_expires_at IS NOT NULL")),
    Index("ix_request_erase_at", "erase_at", postgresql_where=text("erase_at IS NOT NULL")),
    Index("ix_request_announce_again_at", "announce_again_at", postgresql_where=text("announce_again_at IS NOT NULL")),
    Index("ix_request_unopened", "unopened_since", postgresql_where=text("unopened_since IS NOT NULL")),
    Index("ix_request_person_id", "person_id"),
)

identity = Table(
    "identity",
    metadata,
    # Who filed, and what they typed. Goes when the draft expires, or 90 days after an end without a grant.
    Column("request_id", Uuid, ForeignKey("request.id", ondelete="CASCADE"), primary_key=True),
    Column("given_name", Text, nullable=False),
    Column("family_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_fingerprint", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("ssn_fingerprint", Text),
    Column("identity_fingerprint", Text),
    Column("data", JSONB, nullable=False),
    # Field name -> the encrypted value, bound to this row and field.
    Column("secrets", JSONB, nullable=False),
    CheckConstraint("NOT data ?| array['ssn', 'birth_date', 'tin']", name="secrets_are_locked"),
)

email_code = Table(
    "email_code",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("request_id", Uuid, ForeignKey("request.id", ondelete="CASCADE"), nullable=False),
    Column("code_fingerprint", Text, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    # Whether the applicant asked for it: the first one comes by itself.
    Column("asked_again", Boolean, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("try_count", Integer, nullable=False, server_default=text("0")),
    Column("used_at", DateTime(timezone=True)),
    CheckConstraint("try_count BETWEEN 0 AND 5", name="five_tries"),
    Index("ix_email_code_request_id", "request_id", "asked_at"),
)

document = Table(
    "document",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("request_id", Uuid, ForeignKey("request.id", ondelete="CASCADE"), nullable=False),
    Column("code", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # Where its bytes are. A file that no row names is an orphan, and is cleaned up.
    Column("storage_key", Text, nullable=False, unique=True),
    Column("added_at", DateTime(timezone=True), nullable=False),
    CheckConstraint(
        "media_type IN ('application/pdf', 'image/jpeg', 'image/gif', 'image/png')", name="media_type_known"
    ),
    CheckConstraint("size_bytes BETWEEN 1 AND 10485760", name="at_most_10_mb"),
    UniqueConstraint("request_id", "code", "sha256"),
)

timeline = Table(
    "timeline",
    metadata,
    # What the status page shows of the past: states and roles, no personal data.
    Column("request_id", Uuid, ForeignKey("request.id", ondelete="CASCADE"), primary_key=True),
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("what", Text, nullable=False),
    Column("roles", ARRAY(Text), nullable=False, server_default=text("'{}'")),
)

# --- What the directory says, as far as registration needs it --------------------------------------
# A deleted entity keeps its row, so that an older record cannot bring it back.

organization = Table(
    "organization",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("community_id", Text, nullable=False),
    Column("status", Text, nullable=False),
)

user_group = Table(
    "user_group",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("organization_id", Uuid),
    Column("status", Text, nullable=False),
)

assignment = Table(
    "assignment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("person_id", Uuid),
    Column("role", Text, nullable=False),
    Column("place_id", Uuid),
    Column("status", Text, nullable=False),
    Index("ix_assignment_person", "person_id", postgresql_where=text("status = 'active'")),
    Index("ix_assignment_place", "place_id", "role", postgresql_where=text("status = 'active'")),
)

account = Table(
    "account",
    metadata,
    Column("person_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
)

known_person = Table(
    "known_person",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("given_name", Text, nullable=False),
    Column("family_name", Text, nullable=False),
    Column("email", Text, nullable=False),
)
