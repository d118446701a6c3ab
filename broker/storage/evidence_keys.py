"""The keys of evidence in PostgreSQL: the secret of each year, and what is left of it after erasures."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

from sqlalchemy import Connection, Engine, exists, literal, select
from sqlalchemy.dialects.postgresql import insert

from broker.evidence.person_keys import key_at, path_of, paths_above
from broker.oauth.evidence_secrets import EvidenceKeySeal
from broker.storage.faults import store_answers
from broker.storage.tables import evidence_keys

_YEARS_HELD: Final = 2
"""Around a New Year entries of both years come; longer nobody needs a year's secret at hand."""


@dataclass(frozen=True, slots=True)
class PersonKey:
    """One person's key of one year. ref: keyed hash under which evidence knows the person (32 bytes)."""

    year: int
    ref: bytes
    key: bytes


class PostgresEvidenceKeys:
    """Reads the keys of evidence, and makes a year's secret where that year has none.

    All methods raise StoreUnavailable, and EvidenceSecretUnreadable under another key-encryption key.
    """

    def __init__(self, engine: Engine, key_encryption_key: bytes) -> None:
        self._engine = engine
        self._seal = EvidenceKeySeal(key_encryption_key)
        self._lock = Lock()
        self._held: dict[int, Mapping[str, bytes]] = {}

    def find_for_writing(self, year: int, ref: bytes) -> bytes | None:
        """Return a person's key of a year, from this process's memory after the first time.

        None where it was erased. An erasure meanwhile is not seen: what is sealed after it nobody can open.
        """
        held = self._held.get(year)
        return key_at(self._load(year) if held is None else held, path_of(ref))

    def find_all(self, refs: Sequence[bytes]) -> Sequence[PersonKey]:
        """Return the keys of persons in all years, as far as they were not erased."""
        places = {ref: path_of(ref) for ref in refs}
        above = sorted({node for path in places.values() for node in paths_above(path)})
        with store_answers(), self._engine.connect() as connection:
            years = self._nodes(connection, above)
        return [
            PersonKey(year, ref, key)
            for year, held in sorted(years.items())
            for ref, path in places.items()
            if (key := key_at(held, path)) is not None
        ]

    def _load(self, year: int) -> Mapping[str, bytes]:
        """Return all nodes of a year and keep them; of one that runs there is the root alone."""
        with self._lock:
            held = self._held.get(year)
            if held is None:
                with store_answers(), self._engine.begin() as connection:
                    self._make_year(connection, year)
                with store_answers(), self._engine.connect() as connection:
                    statement = select(evidence_keys).where(evidence_keys.c.key_year == year)
                    rows = connection.execute(statement).all()
                held = {row.path: self._seal.open(row.key_name, bytes(row.key_encrypted)) for row in rows}
                newest = sorted({*self._held, year})[-_YEARS_HELD:]
                self._held = {one: nodes for one, nodes in self._held.items() if one in newest}
                self._held[year] = held
            return held

    def _make_year(self, connection: Connection, year: int) -> None:
        """Make the secret of a year that has none. Of two who do so at once the first one's is kept.

        A year in which something was erased has no root any more and yet its other branches: it gets none.
        """
        name = key_name(year, "")
        is_there = exists().where(evidence_keys.c.key_year == year)
        if connection.execute(select(is_there)).scalar_one():
            return
        sealed = self._seal.seal(name, secrets.token_bytes(32))
        row = select(literal(name), literal(year), literal(""), literal(sealed)).where(~is_there)
        columns = ["key_name", "key_year", "path", "key_encrypted"]
        connection.execute(insert(evidence_keys).from_select(columns, row).on_conflict_do_nothing())

    def _nodes(self, connection: Connection, paths: Sequence[str]) -> Mapping[int, Mapping[str, bytes]]:
        """Return year → path → key, of the nodes at these paths."""
        found: dict[int, dict[str, bytes]] = defaultdict(dict)
        for row in connection.execute(select(evidence_keys).where(evidence_keys.c.path.in_(paths))):
            found[row.key_year][row.path] = self._seal.open(row.key_name, bytes(row.key_encrypted))
        return found


def key_name(year: int, path: str) -> str:
    """Return the name of a node: what its ciphertext is bound to."""
    return f"{year}/{path}"
