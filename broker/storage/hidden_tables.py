"""Tables of looks that a person's own history leaves out for a while, and of how many there were."""

from __future__ import annotations

from sqlalchemy import Column, Date, Index, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from broker.storage.columns import instant, metadata

disclosure_extensions = Table(
    "disclosure_extensions",
    metadata,
    # Reference of the entry of administration that says so.
    Column("evidence_reference", Uuid, primary_key=True),
    # Of the look whose day of disclosure moves.
    Column("reference", Uuid, nullable=False),
    Column("hidden_until", Date, nullable=False),
    # Code of the article that was given for it.
    Column("legal_ground", Text, nullable=False),
    instant("extended_at"),
    Index("ix_disclosure_extensions_reference", "reference"),
)

hidden_read_quarters = Table(
    "hidden_read_quarters",
    metadata,
    # Each calendar quarter (of Viet Nam) is counted once, after its end.
    Column("quarter", Date, primary_key=True),
    # Organisation → how many looks of its were kept out of histories in that quarter.
    Column("counts", JSONB, nullable=False),
    Column("extension_counts", JSONB, nullable=False),
    instant("counted_at"),
)
