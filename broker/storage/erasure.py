"""One person's year is erased: what is kept beside the log goes, and the key that would open a copy of it.

One transaction, as the owner role. It holds the keys of evidence against other erasures and against their
exchange; readers and releases go on. What a copy from before still holds nobody can open or find any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from broker.evidence.person_keys import beside, descend, link_of, path_of, paths_above
from broker.evidence.recording import EvidenceRow
from broker.oauth.evidence_secrets import EvidenceKeySeal
from broker.storage.acts import record_evidence
from broker.storage.evidence_keys import key_name
from broker.storage.faults import store_answers
from broker.storage.openings import PostgresOpenings, SealedOpening
from broker.storage.tables import evidence_keys

_HELD: Final = text("LOCK TABLE evidence_keys IN SHARE ROW EXCLUSIVE MODE")
_COUNT: Final = text(
    "SELECT count(*) FROM evidence_openings WHERE person_link = ANY(CAST(:links AS bytea[]))"
)
_DELETE: Final = text("DELETE FROM evidence_openings WHERE person_link = ANY(CAST(:links AS bytea[]))")
_KEYS: Final = evidence_keys.c


@dataclass(frozen=True, slots=True)
class _Place:
    """A person's key of the year, and the node that it is computed of."""

    path: str
    node: str
    node_key: bytes
    link: bytes


class PostgresErasure:
    """Erases. owner: engine of the owner role. key_encryption_key: 32 bytes, from the settings.

    All methods raise StoreUnavailable, EvidenceSecretUnreadable.
    """

    def __init__(self, owner: Engine, openings: PostgresOpenings, key_encryption_key: bytes) -> None:
        self._owner = owner
        self._openings = openings
        self._seal = EvidenceKeySeal(key_encryption_key)

    def count(self, refs: Sequence[bytes], year: int) -> int:
        """Return how many entries about a person are found in a year; 0 also after an erasure."""
        with store_answers(), self._owner.begin() as connection:
            return self._count(connection, refs, year)

    def erase(self, refs: Sequence[bytes], year: int, row: EvidenceRow) -> int:
        """Erase, and record that; return of how many entries, 0 where there were none and nothing was done.

        refs: keyed hashes of one person. row: the entry of the erasure; what opens it is not kept.
        """
        with store_answers(), self._owner.begin() as connection:
            connection.execute(_HELD)
            found = self._count(connection, refs, year)
            if found:
                for ref in refs:
                    self._take_away(connection, ref, year)
                record_evidence(connection, row, SealedOpening(row.year, None, None))
        self._sweep()
        return found

    def keep(self, row: EvidenceRow) -> None:
        """Record that something is kept by law, or that somebody looked at how much there is."""
        opening = self._openings.seal(row)
        with store_answers(), self._owner.begin() as connection:
            record_evidence(connection, row, opening)

    def _count(self, connection: Connection, refs: Sequence[bytes], year: int) -> int:
        places = [self._place(connection, ref, year) for ref in refs]
        links = [place.link for place in places if place is not None]
        return int(connection.execute(_COUNT, {"links": links}).scalar_one())

    def _take_away(self, connection: Connection, ref: bytes, year: int) -> None:
        """Delete what is found under a person's key, and leave no way to that key."""
        place = self._place(connection, ref, year)
        if place is None:
            return
        connection.execute(_DELETE, {"links": [place.link]})
        connection.execute(evidence_keys.delete().where(_KEYS.key_name == key_name(year, place.node)))
        rows = [self._row(year, path, key) for path, key in beside(place.node, place.node_key, place.path)]
        connection.execute(evidence_keys.insert(), rows)

    def _place(self, connection: Connection, ref: bytes, year: int) -> _Place | None:
        path = path_of(ref)
        above = evidence_keys.select().where(_KEYS.key_year == year, _KEYS.path.in_(paths_above(path)))
        row = connection.execute(above).one_or_none()
        if row is None:
            return None
        node_key = self._seal.open(row.key_name, bytes(row.key_encrypted))
        person_key = descend(node_key, path[len(row.path) :])
        return _Place(path, row.path, node_key, link_of(person_key, ref))

    def _row(self, year: int, path: str, key: bytes) -> dict[str, Any]:
        name = key_name(year, path)
        return {
            "key_name": name,
            "key_year": year,
            "path": path,
            "key_encrypted": self._seal.seal(name, key),
        }

    def _sweep(self) -> None:
        """Write the table of keys anew, so that no page of it holds the deleted node. It is small."""
        autocommit = self._owner.execution_options(isolation_level="AUTOCOMMIT")
        with store_answers(), autocommit.connect() as connection:
            connection.execute(text("VACUUM (FULL) evidence_keys"))
