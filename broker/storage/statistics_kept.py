"""What exports keep sealed: true aggregates of released tables, for the auditor; results, for their asker."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, select

from broker.oauth.statistics_secrets import (
    ExportKeySeal,
    ExportSecretUnreadable,
    open_piece,
    seal_piece,
)
from broker.statistics.cells_codec import cells_from_bytes, cells_to_bytes
from broker.statistics.export_answer import ExportAnswer, KeptTable
from broker.statistics.export_job import ExportJob
from broker.statistics.plan_parse import kept_plan
from broker.storage.faults import store_answers
from broker.storage.statistics_names import name_of_result, name_of_table
from broker.storage.statistics_rows import CHUNK_BYTES
from broker.storage.tables import statistics_chunks, statistics_tables

_CELLS_MAX: Final = 512 * 1024 * 1024
"""Bytes of the aggregates of one table; the largest one that may be asked for has about a fiftieth."""
_t: Final = statistics_tables.c


class KeptTables:
    """Seals and opens. key_encryption_key: 32 bytes."""

    def __init__(self, engine: Engine, key_encryption_key: bytes) -> None:
        self._engine = engine
        self._keys = ExportKeySeal(key_encryption_key)

    def tables_of(self, release: str) -> Sequence[KeptTable]:
        """Return all tables of a release that were released, in the order in which they were.

        Raises StoreUnavailable, ExportSecretUnreadable; StatisticsRefused("cells_malformed").
        """
        statement = (
            select(_t.plan_hash, _t.plan, _t.key_encrypted, _t.cells_sealed)
            .where(_t.release == release, _t.state == "released")
            .order_by(_t.released_at, _t.plan_hash)
        )
        with store_answers(), self._engine.connect() as connection:
            rows = connection.execute(statement).all()
        return [self._opened(row) for row in rows]

    def new_result_key(self, job_id: str) -> tuple[bytes, bytes]:
        """Return the key of a result that is about to be kept, and what is kept of it."""
        return self._keys.new_key(name_of_result(job_id))

    def keep_table(self, connection: Connection, job: ExportJob, answer: ExportAnswer, now: datetime) -> None:
        """Release a table that was reserved, in the caller's transaction.

        Raises ValueError where the answer and what is kept disagree on whether it is a new one.
        """
        if answer.cells is None:
            kept = select(_t.table_hash).where(_t.plan_hash == job.plan_hash, _t.state == "released")
            if connection.execute(kept).scalar_one_or_none() != answer.table_hash:
                raise ValueError("a table that was not released is answered as if it had been")
            return
        name = name_of_table(job.plan_hash)
        key, key_encrypted = self._keys.new_key(name)
        released = {
            "state": "released",
            "key_encrypted": key_encrypted,
            "cells_sealed": seal_piece(key, name, 0, zlib.compress(cells_to_bytes(answer.cells), 1)),
            "table_hash": answer.table_hash,
            "released_at": now,
        }
        statement = statistics_tables.update().where(_t.plan_hash == job.plan_hash, _t.state == "reserved")
        if connection.execute(statement.values(released)).rowcount != 1:
            raise ValueError("a table that has no place reserved is answered")

    def keep_result(self, connection: Connection, job_id: str, key: bytes, content: bytes) -> None:
        """Keep the bytes of a result in sealed pieces, in the caller's transaction."""
        name, statement = name_of_result(job_id), statistics_chunks.insert()
        for number, start in enumerate(range(0, len(content), CHUNK_BYTES)):
            piece = seal_piece(key, name, number, content[start : start + CHUNK_BYTES])
            connection.execute(statement.values(job_id=UUID(job_id), number=number, sealed=piece))

    def _opened(self, row: Any) -> KeptTable:
        name = name_of_table(row.plan_hash)
        key = self._keys.open(name, bytes(row.key_encrypted))
        packed = open_piece(key, name, 0, bytes(row.cells_sealed))
        try:
            content = zlib.decompressobj().decompress(packed, _CELLS_MAX)
        except zlib.error:
            raise ExportSecretUnreadable("kept aggregates are not of their form") from None
        return KeptTable(kept_plan(row.plan), cells_from_bytes(content))
