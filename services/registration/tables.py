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
    # Which application is asked for, and the role assignment that the entitlement is to rest on.
    Column("application", Text),
    Column("rests_on_id", Uuid),
    Column("rests_on_role", Text),
    Column("rests_on_place_kind", Text),
    Column("rests_on_place_id", Uuid),
    # 1 as filed; one more with each correction.
    Column("revision", Integer, nullable=False, server_default=text("1")),
    # What the help desk is to look into before anybody decides.
    Column("concern", Text),
    # The invitation that its applicant has, where one is needed; it is used up at submission.
    Column("invitation_id", Uuid),
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
    Column("until_at", DateTime(timezone=True)),
    Column("correct", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("reminded", Integer, nullable=False, server_default=text("0")),
    Column("escalated", Text),
    # What the applicant has sent or wished, and approval has not answered.
    Column("correction_sent", Boolean, nullable=False, server_default=text("false")),
    Column("withdrawal", Text),
    Column("ended_at", DateTime(timezone=True)),
    # Its timers: each is empty when it does not run.
    Column("draft_expires_at", DateTime(timezone=True)),
    Column("erase_at", DateTime(timezone=True)),
    Column("announce_again_at", DateTime(timezone=True)),
    Column("announced_again_count", Integer, nullable=False, server_default=text("0")),
    Column("unopened_since", DateTime(timezone=True)),
    CheckConstraint(
        "state IN ('awaiting_email_proof', 'awaiting_sign_in', 'submitted', 'awaiting_documents', 'pending', "
        "'returned', 'approved', 'refused', 'granted', 'denied', 'expired', 'withdrawn', 'closed')",
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
    CheckConstraint("NOT correction_sent OR state = 'returned'", name="correction_of_what_was_returned"),
    CheckConstraint("withdrawal IN ('asked', 'refused')", name="withdrawal_known"),
    CheckConstraint(
        "num_nulls(rests_on_id, rests_on_role, rests_on_place_kind, rests_on_place_id) IN (0, 4)",
        name="rests_on_whole",
    ),
    CheckConstraint("rests_on_id IS NULL OR application IS NOT NULL", name="rests_on_for_an_application"),
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
    Index("ix_request_person_id", "person_id", "id"),
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
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("try_count", Integer, nullable=False, server_default=text("0")),
    Column("used_at", DateTime(timezone=True)),
    CheckConstraint("try_count BETWEEN 0 AND 5", name="five_tries"),
    Index("ix_email_code_request_id", "request_id", "asked_at"),
    Index("ix_email_code_expires_at", "expires_at"),
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

invitation = Table(
    "invitation",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("community_id", Text, nullable=False),
    Column("application", Text, nullable=False),
    Column("email_fingerprint", Text, nullable=False),
    # Encrypted: shown to the owner who typed it, and to nobody else.
    Column("email_locked", Text, nullable=False),
    # None where no code is asked: then it is a notice alone.
    Column("code_fingerprint", Text, unique=True),
    Column("issued_by", Uuid, nullable=False),
    Column("issued_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_by_request", Uuid, unique=True),
    Column("used_at", DateTime(timezone=True)),
    CheckConstraint("num_nulls(used_by_request, used_at) IN (0, 2)", name="used_whole"),
    CheckConstraint("used_by_request IS NULL OR code_fingerprint IS NOT NULL", name="used_by_its_code"),
    Index("ix_invitation_application", "community_id", "application", "id"),
    Index("ix_invitation_expires_at", "expires_at"),
)

filing_key = Table(
    "filing_key",
    metadata,
    # Who filed under which Idempotency-Key, what, and how it was answered: so that a repetition is none.
    Column("caller", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_fingerprint", Text, nullable=False),
    Column("status", Integer),
    Column("answer", JSONB),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("num_nulls(status, answer) IN (0, 2)", name="answered_whole"),
    Index("ix_filing_key_ends_at", "ends_at"),
)

counted_act = Table(
    "counted_act",
    metadata,
    # What is limited: one row for each act, counted by all processes alike. `who` is an id or a keyed hash.
    Column("id", Uuid, primary_key=True),
    Column("limit", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("ix_counted_act_limit", "limit", "who", "at"),
    Index("ix_counted_act_at", "at"),
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

practitioner = Table(
    "practitioner",
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
    Column("group_kind", Text, nullable=False),
    Column("status", Text, nullable=False),
)

assignment = Table(
    "assignment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("person_id", Uuid),
    Column("role", Text, nullable=False),
    Column("place_kind", Text, nullable=False),
    Column("place_id", Uuid),
    Column("scope_id", Uuid),
    Column("status", Text, nullable=False),
    Index("ix_assignment_person", "person_id", postgresql_where=text("status = 'active'")),
    Index("ix_assignment_place", "place_id", "role", postgresql_where=text("status = 'active'")),
)

entitlement = Table(
    "entitlement",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("application", Text, nullable=False),
    Column("assignment_id", Uuid),
    Column("status", Text, nullable=False),
    Index("ix_entitlement_assignment", "assignment_id", postgresql_where=text("status = 'active'")),
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
