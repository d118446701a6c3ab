"""The broker without its evidence, for the bench alone: what is left of a check that writes no entry.

`tests.bench.unrecorded:app()`. Everything else of a check is done as ever: client, token and proof are
judged, the proof is burned, the counters are raised, in the same statement with the same commit. Left out
are the draft of the entry, its salts and commitments, what opens them, and the rows of the two tables. It
answers single checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

from flask import Flask

from broker.actions import verify_entitlement
from broker.actions.doors import Pseudonyms, Salts
from broker.actions.matter import Matter
from broker.app import create_app
from broker.evidence.recording import EvidenceRow, ReleaseRecord
from broker.storage import release_sql
from broker.storage.ledger import PostgresLedger
from broker.storage.statement_values import plain_steps
from connectors.postgres import PreparedStatement

_FIRST_STEP = 14
"""Number of the first parameter behind those that are judged."""


def statement_without_evidence(step_count: int) -> PreparedStatement:
    """Return the recording statement without its evidence: judges, burns the proof, raises the counters."""
    numbers = range(_FIRST_STEP, _FIRST_STEP + 4 * step_count, 4)
    values = ", ".join(f"(${n}::bigint, ${n + 1}::bytea, ${n + 2}::int, ${n + 3}::int)" for n in numbers)
    steps = f"(VALUES {values}) {release_sql._STEP_COLUMNS.format(more='')} WHERE is_alive"
    counted = release_sql._COUNTED_SQL.format(steps=steps) if step_count else ""
    nothing = release_sql._NO_CONSENT
    sql = release_sql._JUDGED_SQL.format(**nothing) + counted + release_sql._ANSWER_SQL.format(**nothing)
    return PreparedStatement(f"unrecorded_{step_count}", sql, release_sql._JUDGED_BINARY | set(numbers))


_STATEMENTS = tuple(statement_without_evidence(count) for count in range(release_sql.STEPS_MAX + 1))


def row_without_entry(
    matter: Matter,
    pseudonyms: Pseudonyms,
    salts: Salts,
    reference: str,
    payload: bytes,
    *,
    data_subject: str | None,
    **unused: object,
) -> EvidenceRow:
    """Return what else a check needs of its row: the reference under which the person is counted."""
    ref = None if data_subject is None else pseudonyms.data_subject_ref(data_subject)
    return EvidenceRow(reference, "release", b"", 0, ref, None, None)


def _statement(
    self: PostgresLedger, record: ReleaseRecord, complete_within: bytes | None
) -> tuple[PreparedStatement, Sequence[bytes | None]]:
    if record.own_session is not None or record.consent is not None or len(record.rows) != 1:
        raise NotImplementedError("single checks alone")
    return _STATEMENTS[len(record.steps)], [*self._facts(record, complete_within), *plain_steps(record.steps)]


def app() -> Flask:
    """Return the application; the process that asks for it is the bench's own, and records nothing."""
    patch.object(verify_entitlement, "release_row", row_without_entry).start()
    patch.object(verify_entitlement, "released_pairs", lambda *_: ()).start()
    patch.object(PostgresLedger, "_statement", _statement).start()
    return create_app()
