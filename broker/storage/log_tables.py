"""Tables of the log in the broker's own database: which entry stands where, and how far that has come."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from broker.storage.columns import instant, metadata

log_positions = Table(
    "log_positions",
    metadata,
    # The calendar year (UTC) of the entry's own instant; each has a tree of its own.
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    # No foreign key: its check would lock, and so write to, every row of evidence that is given a position.
    Column("reference", Uuid, nullable=False),
    UniqueConstraint("reference"),
)

log_horizon = Table(
    "log_horizon",
    metadata,
    # One row: everything of a transaction below has its position, and of that very one what has a reference
    # up to this.
    Column("only_row", Boolean, primary_key=True, server_default="true"),
    # Whose transaction numbers these are: the identifier of the PostgreSQL cluster.
    Column("epoch", Text, nullable=False),
    Column("entered_transaction", BigInteger, nullable=False),
    Column("reference", Uuid, nullable=False),
    CheckConstraint("only_row", name="only_row"),
)

log_published = Table(
    "log_published",
    metadata,
    # How much of each shard stands in a published tree, as the sequencer writes it after publishing.
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("tree_size", BigInteger, nullable=False),
    # All that was recorded before, of whatever shard, stands in a published tree. The recording statement
    # asks for it: when it is too long ago, what waits is looked at, and ordinary releases stop.
    instant("complete_at"),
)
