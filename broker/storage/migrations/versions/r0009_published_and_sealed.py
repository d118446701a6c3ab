"""How much of the log is published stands in a table, and the table of salts in the clear goes.

Revision 0009, after 0008. Expands: log_published, which a release asks. A database that has a log is given a
quarter of an hour, until its sequencer has written there. Contracts: evidence_annex, which no code reads
since this revision; code of 0008 reads it still, so its servers end before. Refused while rows are in it,
because only they open the entries of then: a command seals them, it has the keys.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from broker.errors import MigrationRefused

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Against a server of an early release that writes meanwhile: it waits, and fails when the table is gone.
    op.execute("LOCK TABLE evidence_annex IN ACCESS EXCLUSIVE MODE")
    left = op.get_bind().execute(sa.text("SELECT count(*) FROM evidence_annex")).scalar_one()
    if left:
        raise MigrationRefused(
            f"{left} rows of evidence_annex hold salts in the clear, which this release does not read: say "
            "broker evidence seal first, then broker prepare again. The database stays at revision 0008"
        )
    op.drop_table("evidence_annex")
    op.create_table(
        "log_published",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("tree_size", sa.BigInteger(), nullable=False),
        sa.Column("complete_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_log_published")),
    )
    op.execute(
        "INSERT INTO log_published (shard, tree_size, complete_at)"
        " SELECT date_part('year', now() AT TIME ZONE 'UTC'), 0, now() FROM log_horizon"
    )


def downgrade() -> None:
    op.drop_table("log_published")
    op.create_table(
        "evidence_annex",
        sa.Column("reference", sa.Uuid(), nullable=False),
        sa.Column("data_subject_ref", sa.LargeBinary(), nullable=True),
        sa.Column("data_subject_salt", sa.LargeBinary(), nullable=True),
        sa.Column("payload_salt", sa.LargeBinary(), nullable=True),
    )
    op.create_index(op.f("ix_evidence_annex_data_subject_ref"), "evidence_annex", ["data_subject_ref"])
    op.create_index("ix_evidence_annex_reference", "evidence_annex", ["reference"], postgresql_using="brin")
