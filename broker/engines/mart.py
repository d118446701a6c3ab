"""The layout of a frozen release: one row for each person, period and sector; whole numbers alone.

    person         BIGINT    collapsed person key: HMAC under the release's secret, 0 to 2^63 - 1
    rkey           BIGINT    record key (`broker.statistics.keys`), 0 to 2^32 - 1
    d_<dimension>  SMALLINT  number of the finest category, from 0 in the registry's order
    m_<measure>    BIGINT    amount, 0 or more

Files lie under `period=<code>/province=<code>/part-<n>.parquet`, sorted by person; the columns of these two
dimensions are in the file too. A person may have many rows, in several periods and sectors; a person's other
dimensions are the same in all.
"""

from __future__ import annotations

from typing import Final

PERSON: Final = "person"
RECORD_KEY: Final = "rkey"
PARTITIONS: Final = ("period", "province")
"""The dimensions by whose finest categories files are laid apart."""


def dimension_column(name: str) -> str:
    """Return the column that holds a dimension's finest category."""
    return f"d_{name}"


def measure_column(name: str) -> str:
    """Return the column that holds a measure."""
    return f"m_{name}"
