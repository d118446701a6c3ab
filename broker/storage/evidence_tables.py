"""The entries of the log, and what lies beside it: what opens commitments, sealed, and its keys."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, Table, Text, Uuid, text

from broker.storage.columns import instant, metadata

evidence_entries = Table(
    "evidence_entries",
    metadata,
    Column("reference", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    # RFC 8785 bytes, exactly as they will be hashed into the log; their length is bounded where they are
    # made, because PostgreSQL parses a check constraint anew for every statement.
    Column("entry", LargeBinary, nullable=False),
    instant("recorded_at", now=True),
    # The number of the transaction that entered it (64 bits, never used twice): whoever orders entries waits
    # until all transactions with smaller numbers have ended. Filled by the default alone.
    Column(
        "entered_transaction",
        BigInteger,
        nullable=False,
        server_default=text("(pg_current_xact_id()::text)::bigint"),
    ),
    # Numbers grow with the table: a block-range index finds the newest at next to no cost for the release.
    Index(
        "ix_evidence_entries_entered_transaction",
        "entered_transaction",
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    ),
)

evidence_openings = Table(
    "evidence_openings",
    metadata,
    # Beside the log and erasable without touching it: what opens the commitments of one entry.
    # Inserted only beside the entry's own INSERT, in one statement, hence no foreign key to pay for.
    # References are UUIDv7 and so in order of time: a block-range index finds them at next to no cost.
    Column("reference", Uuid, nullable=False),
    # Of the entry's instant, UTC: which year's keys are meant.
    Column("key_year", SmallInteger, nullable=False),
    # Made with the person's key of that year: finds a person's entries; NULL when nobody was found.
    Column("person_link", LargeBinary, nullable=True),
    # Both salts, AES-256-GCM under the person's key of that year; NULL when there are none.
    Column("sealed_salts", LargeBinary, nullable=True),
    Index("ix_evidence_openings_reference", "reference", postgresql_using="brin"),
    Index(
        "ix_evidence_openings_person_link",
        "person_link",
        postgresql_where="person_link IS NOT NULL",
    ),
)

evidence_keys = Table(
    "evidence_keys",
    metadata,
    # Year and path of a node in that year's tree of keys: "2026/" is the root, "2026/3f" below it.
    Column("key_name", Text, primary_key=True),
    Column("key_year", SmallInteger, nullable=False),
    Column("path", Text, nullable=False, index=True),
    # AES-256-GCM under a key derived from the key-encryption key; the name is the associated data.
    Column("key_encrypted", LargeBinary, nullable=False),
    instant("created_at", now=True),
)
