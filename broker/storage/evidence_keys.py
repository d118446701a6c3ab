"""The keys of evidence in PostgreSQL: the secret of each year, and what is left of it after erasures."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from sqlalchemy import Connection, select

from broker.errors import StoreUnavailable
from broker.evidence.person_keys import key_at, path_of, paths_above
from broker.oauth.evidence_secrets import EvidenceKeySeal
from broker.storage.faults import store_answers
from broker.storage.session import Store
from broker.storage.tables import evidence_keys
from connectors.postgres import DatabaseError, PreparedStatement, Row

_YEARS_HELD: Final = 2
"""Around a New Year entries of both years come; longer nobody needs a year's secret at hand."""

_READ: Final = PreparedStatement(
    "evidence_keys_of_a_year",
    "SELECT key_name, path, encode(key_encrypted, 'hex') FROM evidence_keys WHERE key_year = $1::smallint",
    repeatable=True,
)
_NEWEST: Final = PreparedStatement(
    "newest_evidence_key",
    "SELECT key_name, encode(key_encrypted, 'hex') FROM evidence_keys ORDER BY created_at DESC LIMIT 1",
    repeatable=True,
)
_MAKE: Final = PreparedStatement(
    "make_evidence_year",
    """
INSERT INTO evidence_keys (key_name, key_year, path, key_encrypted)
SELECT $1::text, $2::smallint, '', $3::bytea
WHERE NOT EXISTS (SELECT FROM evidence_keys WHERE key_year = $2::smallint)
ON CONFLICT DO NOTHING
""",
    frozenset({2}),
)


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

    def __init__(self, store: Store, key_encryption_key: bytes) -> None:
        self._engine = store.engine
        self._prepared = store.prepared
        self._seal = EvidenceKeySeal(key_encryption_key)
        self._held: dict[int, Mapping[str, bytes]] = {}

    def find_for_writing(self, year: int, ref: bytes, seconds: float) -> bytes | None:
        """Return a person's key of a year, from this process's memory after the first time.

        seconds: how long that first time may take. None where it was erased. An erasure meanwhile is not
        seen: what is sealed after it nobody can open.
        """
        held = self._held.get(year)
        return key_at(self._load(year, seconds) if held is None else held, path_of(ref))

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

    def _load(self, year: int, seconds: float) -> Mapping[str, bytes]:
        """Return all nodes of a year and keep them; of one that runs there is the root alone.

        Threads that come at once all read: none waits for another one's deadline.
        """
        until = monotonic() + seconds
        held = self._read(year, until)
        if not held:
            self._make(year, until)
            held = self._read(year, until)
        known = {**self._held, year: held}
        newest = {*sorted(known)[-_YEARS_HELD:], year}
        self._held = {one: nodes for one, nodes in known.items() if one in newest}
        return held

    def _read(self, year: int, until: float) -> dict[str, bytes]:
        """Return path → key of all nodes of a year."""
        found = self._run(_READ, [b"%d" % year], until)
        return {_text(path): self._open(name, sealed) for name, path, sealed in found}

    def _make(self, year: int, until: float) -> None:
        """Make the secret of a year that has none. Of two who do so at once the first one's is kept.

        A year in which something was erased has no root any more and yet its other branches: it gets none.
        Under a wrong key-encryption key none is made either: nobody else could open it.
        """
        for newest in self._run(_NEWEST, [], until):
            self._open(newest[0], newest[1])
        name = key_name(year, "")
        secret = self._seal.seal(name, secrets.token_bytes(32))
        self._run(_MAKE, [name.encode(), b"%d" % year, secret], until)

    def _run(
        self, statement: PreparedStatement, parameters: Sequence[bytes | None], until: float
    ) -> Sequence[Row]:
        try:
            return self._prepared.execute(statement, parameters, max(0.0, until - monotonic()))
        except DatabaseError as fault:
            raise StoreUnavailable(f"the keys of evidence cannot be had: {type(fault).__name__}") from None

    def _open(self, name: bytes | None, sealed: bytes | None) -> bytes:
        return self._seal.open(_text(name), bytes.fromhex(_text(sealed)))

    def _nodes(self, connection: Connection, paths: Sequence[str]) -> Mapping[int, Mapping[str, bytes]]:
        """Return year → path → key, of the nodes at these paths."""
        found: dict[int, dict[str, bytes]] = defaultdict(dict)
        for row in connection.execute(select(evidence_keys).where(evidence_keys.c.path.in_(paths))):
            found[row.key_year][row.path] = self._seal.open(row.key_name, bytes(row.key_encrypted))
        return found


def key_name(year: int, path: str) -> str:
    """Return the name of a node: what its ciphertext is bound to."""
    return f"{year}/{path}"


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
