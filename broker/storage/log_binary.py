"""Many rows at once for the sequencer, in PostgreSQL's binary format: no text, no object for each value.

A row costs the sequencer a tuple, and a position 40 bytes. All else of the log goes through SQLAlchemy; what
is raised here is psycopg's own (`broker.storage.faults.log_answers` knows it too).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, Final

import psycopg
from psycopg.types.string import ByteaBinaryLoader
from sqlalchemy import Connection

_POSITIONS: Final = "COPY log_positions (shard, leaf_index, reference) FROM STDIN (FORMAT binary)"
# Signature, flags, length of an extension. Each row has the count of its columns, each value its length
# before it: 2 bytes of smallint, 8 of bigint, 16 of uuid.
_COPY_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_ROW: Final = Struct(">hihiqi16s").pack
_COPY_END: Final = b"\xff\xff"


def fetched(connection: Connection, statement: str, given: Mapping[str, object]) -> Sequence[tuple[Any, ...]]:
    """Return all rows of a statement. statement: constant text with %(name)s.

    A bytea and a uuid are bytes, numbers are int. Raises psycopg.Error.
    """
    with _driver(connection).cursor(binary=True) as cursor:
        cursor.adapters.register_loader("uuid", ByteaBinaryLoader)
        return cursor.execute(statement, given).fetchall()


def copy_positions(connection: Connection, shard: int, first: int, references: Sequence[bytes]) -> None:
    """Write the positions of entries of a shard, from the index `first` on, in the transaction under way.

    references: 16 bytes each. Raises psycopg.Error, IntegrityError among them where a position or a reference
    is there already.
    """
    row = _COPY_ROW
    rows = [row(3, 2, shard, 8, index, 16, reference) for index, reference in enumerate(references, first)]
    with _driver(connection).cursor() as cursor, cursor.copy(_POSITIONS) as copy:
        copy.write(b"".join([_COPY_BEGIN, *rows, _COPY_END]))


def _driver(connection: Connection) -> psycopg.Connection[tuple[Any, ...]]:
    """Return psycopg's connection below SQLAlchemy's, in its transaction."""
    driver: psycopg.Connection[tuple[Any, ...]] = connection.connection.driver_connection  # type: ignore[assignment]
    return driver
