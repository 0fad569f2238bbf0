"""The tables that every service has beside its own: outbox, inbox, parked records, audit.

They live in each service's database, so that an effect, what is said of it and what is noted of it
commit together.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.database import new_metadata

metadata = new_metadata()

outbox = Table(
    "outbox",
    metadata,
    Column("id", Uuid, primary_key=True),
    # Taken when the row is written, just before the commit: of two transactions of which one waited
    # for the other, the later has the higher position. Rows still commit out of this order.
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("scope_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("correlation_id", Uuid),
    Column("causation_id", Uuid),
    Column("traceparent", Text, nullable=False),
    Column("entity_version", BigInteger),
    Column("body", Text),
    # From here on the relay writes: its numbers first, in a commit of their own, then the receipt.
    Column("sending_order", BigInteger),
    Column("sequence", BigInteger),
    Column("as_of_sequence", BigInteger),
    Column("recorded_at", DateTime(timezone=True)),
    Column("sent_at", DateTime(timezone=True)),
    Column("sent_partition", Integer),
    Column("sent_offset", BigInteger),
    Column("resent_count", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("num_nulls(sending_order, recorded_at) IN (0, 2)", name="numbered_whole"),
    CheckConstraint("sent_at IS NULL OR sending_order IS NOT NULL", name="numbered_before_sent"),
    Index("ix_outbox_unnumbered", "position", postgresql_where=text("sending_order IS NULL")),
    Index(
        "ix_outbox_unsent",
        "sending_order",
        postgresql_where=text("sent_at IS NULL AND sending_order IS NOT NULL"),
    ),
    # None of these holds what was only just said: whoever waits for the commit pays for two indexes and no more.
    Index("ix_outbox_sending_order", "sending_order", postgresql_where=text("sending_order IS NOT NULL")),
    Index(
        "ix_outbox_receipt",
        "topic",
        "sent_partition",
        "sent_offset",
        postgresql_where=text("sent_partition IS NOT NULL"),
    ),
    Index("ix_outbox_sent_at", "sent_at", postgresql_where=text("sent_at IS NOT NULL")),
)

outbox_source = Table(
    "outbox_source",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("scope_id", Uuid, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_inbox_seen_at", "seen_at"),
)

progress = Table(
    "progress",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("moved_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

replica = Table(
    "replica",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("complete_at", DateTime(timezone=True), nullable=False),
)

parked = Table(
    "parked",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("consumer", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    # Of key, headers and value: after a cut of the log another record can come to stand at the same offset.
    Column("digest", LargeBinary, nullable=False),
    Column("key", LargeBinary),
    Column("headers", JSONB, nullable=False),
    Column("value", LargeBinary),
    Column("type", Text),
    Column("subject", Text),
    Column("error", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("resolved_at", DateTime(timezone=True)),
    Column("resolved_by", Text),
    CheckConstraint("state IN ('parked', 'waiting', 'replayed', 'discarded')", name="state_known"),
    CheckConstraint("(resolved_at IS NULL) = (state IN ('parked', 'waiting'))", name="resolved_whole"),
    # The same record is parked once, however often it is delivered.
    Index("uq_parked_origin", "consumer", "topic", "partition", "offset", "digest", unique=True),
    Index("ix_parked_open", "consumer", "subject", postgresql_where=text("resolved_at IS NULL")),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("scope_id", Uuid),
    Column("detail", JSONB, nullable=False),
    Column("number", BigInteger, unique=True),
    Column("hash", LargeBinary),
    CheckConstraint("num_nulls(number, hash) IN (0, 2)", name="sealed_whole"),
    Index("ix_audit_unsealed", "position", postgresql_where=text("number IS NULL")),
    Index("ix_audit_subject", "subject"),
)

token_key = Table(
    "token_key",
    metadata,
    # Public keys that verify access tokens, as the directory's state topic tells them.
    Column("kid", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("jwk", JSONB, nullable=False),
    Column("not_before", DateTime(timezone=True), nullable=False),
    Column("not_after", DateTime(timezone=True), nullable=False),
)

community = Table(
    "community",
    metadata,
    # Every version that is still in use: a request keeps the one under which it was filed.
    Column("id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("record_version", BigInteger, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("definition", JSONB, nullable=False),
)
