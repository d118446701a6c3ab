"""Entries of the evidence that a client's organisation has caused, for that organisation."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, text

from broker.storage.faults import store_answers

# Of a consent's entries a client learns by events: their references are not told, so they are nobody's here.
_FIND: Final = text(
    """SELECT e.entry FROM evidence_entries e
    JOIN clients caused ON caused.client_id = convert_from(e.entry, 'UTF8')::json ->> 'client'
    JOIN clients asking USING (organisation_id)
    WHERE e.reference = CAST(:reference AS uuid) AND e.kind IN ('release', 'refusal', 'export')
      AND asking.client_id = :client_id"""
)


class PostgresClientEntries:
    """Implements `broker.api.evidence.ClientEntries`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def find_entry(self, client_id: str, reference: str) -> bytes | None:
        """Return the release, refusal or export that a client of the same organisation caused, or None.

        reference: text of a UUID. Raises StoreUnavailable.
        """
        given = {"client_id": client_id, "reference": reference}
        with store_answers(), self._engine.connect() as connection:
            entry = connection.execute(_FIND, given).scalar_one_or_none()
        return None if entry is None else bytes(entry)
