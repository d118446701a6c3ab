"""What opens the commitments of entries: sealed before it is written, opened for the person it is about.

Sealing needs no look into the database: a person's key of the year is computed of the year's secret, which
the process has held since the first entry. So it adds no round trip to a release, two processes always
seal alike, and there is no first key of a person that two could make at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from broker.evidence.history import KeptOpening
from broker.evidence.person_keys import link_of, seal_key_of
from broker.evidence.recording import EvidenceRow
from broker.oauth.evidence_secrets import open_salts, seal_salts
from broker.storage.evidence_keys import PostgresEvidenceKeys
from broker.storage.faults import store_answers
from broker.storage.session import Store

SECONDS: Final = 2.0
"""How long the first look at a year's secret may take, where nobody says otherwise."""
NOBODY: Final = bytes(32)
"""In the place of a person's reference where nobody was found: a keyed hash is never all zeros."""
_FIND: Final = text(
    """SELECT e.entry, o.key_year, o.person_link, o.sealed_salts
       FROM evidence_openings o JOIN evidence_entries e USING (reference)
       WHERE o.reference = CAST(:reference AS uuid) AND o.person_link = ANY(CAST(:links AS bytea[]))"""
)


@dataclass(frozen=True, slots=True)
class SealedOpening:
    """A row of evidence_openings without its reference. sealed_salts: None where there are no salts."""

    key_year: int
    person_link: bytes | None
    sealed_salts: bytes | None


class PostgresOpenings:
    """Seals and opens. All methods raise StoreUnavailable, EvidenceSecretUnreadable."""

    def __init__(self, store: Store, key_encryption_key: bytes) -> None:
        self._engine = store.engine
        self._keys = PostgresEvidenceKeys(store, key_encryption_key)

    def seal(self, row: EvidenceRow, seconds: float = SECONDS) -> SealedOpening:
        """Return what is kept beside an entry that is about to be recorded.

        seconds: how long it may take, where the year's secret is not known yet.
        Of a person and year that were erased nothing is kept: neither whom it is about nor salts.
        """
        ref = row.data_subject_ref or NOBODY
        return sealed_opening(row, self._keys.find_for_writing(row.year, ref, seconds))

    def links(self, refs: Sequence[bytes]) -> Sequence[bytes]:
        """Return under what the entries of persons are found, in all years that were not erased."""
        return [link_of(one.key, one.ref) for one in self._keys.find_all(refs)]

    def find_opening(self, refs: Sequence[bytes], reference: str) -> KeptOpening | None:
        """Return one entry with its salts if it is about one of these persons, None for anybody else's."""
        mine = {link_of(one.key, one.ref): one for one in self._keys.find_all(refs)}
        parameters = {"reference": reference, "links": list(mine)}
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(_FIND, parameters).one_or_none()
        if row is None:
            return None
        owner = mine[bytes(row.person_link)]
        salts = _salts(row, seal_key_of(owner.key, owner.ref), UUID(reference).bytes)
        return KeptOpening(bytes(row.entry), owner.ref, *salts)


def sealed_opening(row: EvidenceRow, person_key: bytes | None) -> SealedOpening:
    """Return a row's opening under a person's key. person_key: None where it was erased."""
    ref = row.data_subject_ref
    if person_key is None:
        return SealedOpening(row.year, None, None)
    reference = bytes.fromhex(row.reference.replace("-", ""))
    key = seal_key_of(person_key, ref or NOBODY)
    return SealedOpening(
        row.year,
        None if ref is None else link_of(person_key, ref),
        seal_salts(key, reference, (row.data_subject_salt, row.payload_salt)),
    )


def _salts(row: Any, key: bytes, reference: bytes) -> tuple[bytes | None, bytes | None]:
    return (None, None) if row.sealed_salts is None else open_salts(key, reference, bytes(row.sealed_salts))
