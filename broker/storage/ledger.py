"""The evidence door: one statement judges, burns the proof, counts and records; its commit is the release.

What is on disk at each crash point: before the statement nothing; after it everything or nothing, because
the statement is its own transaction; an answer is sent only after the server has said that it committed
(synchronous_commit stays on). A crash in between leaves an entry without delivery, which is acceptable; a
delivery without an entry cannot happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from broker.errors import EvidenceUnavailable
from broker.evidence.recording import (
    AccessContext,
    CounterStep,
    EvidenceRow,
    Judgement,
    ReleaseRecord,
    Verdict,
)
from connectors.postgres import DatabaseError, DatabaseRefused, PreparedConnections, PreparedStatement, Row
from policies.civil_time import civil_date

# One row of evidence as parameters ($15 to $20), and many as arrays of the same.
_ONE_ROW: Final = """
  SELECT $15::uuid AS reference, $16::text AS kind, $17::bytea AS entry, $18::bytea AS data_subject_ref,
         $19::bytea AS data_subject_salt, $20::bytea AS payload_salt
"""
_MANY_ROWS: Final = """
  SELECT * FROM unnest($15::uuid[], $16::text[], $17::bytea[], $18::bytea[], $19::bytea[], $20::bytea[])
    AS r (reference, kind, entry, data_subject_ref, data_subject_salt, payload_salt)
"""

# Reads are plain: the statement's snapshot is taken after any withdrawal or suspension that was already
# answered, so the next release sees it. A used proof violates a primary key and a full counter a check
# constraint; either undoes the whole statement, so nothing is counted, burned or recorded by halves.
# Counters are raised in one order (client, acting person, data subjects by key), so that two statements
# cannot wait for one another in a circle.
_RELEASE_SQL: Final = """
WITH judged AS MATERIALIZED (
  SELECT c.status = 'active' AND o.status = 'active' AND c.expires_at > now()
           AND $3::text = ANY (c.agreement_ids) AS client_alive,
         EXISTS (SELECT FROM access_tokens t WHERE t.token_hash = $2::bytea AND t.client_id = c.client_id
           AND t.revoked_at IS NULL AND t.expires_at > now()) AS token_alive,
         EXISTS (SELECT FROM agreements a WHERE a.agreement_id = $3::text AND a.revision_hash = $4::text
           AND a.status = 'active' AND $8::date BETWEEN a.valid_from AND a.valid_to
           AND a.review_date >= $8::date) AS agreement_alive,
         $5::bytea IS NULL OR coalesce(
           s.organisation_id = c.organisation_id AND s.status = 'active', false) AS staff_alive,
         $5::bytea IS NULL OR coalesce(s.name_key = $21::text, false) AS staff_named,
         clock_timestamp() - $6::timestamptz BETWEEN - $7::interval AND $7::interval AS clock_fits
  FROM clients c JOIN organisations o USING (organisation_id)
    LEFT JOIN facility_staff s ON s.staff_ref = $5::bytea
  WHERE c.client_id = $1::text
), alive AS MATERIALIZED (
  SELECT FROM judged
  WHERE client_alive AND token_alive AND agreement_alive AND staff_alive AND staff_named AND clock_fits
), burned AS (
  INSERT INTO used_proofs (issued_at_seconds, proof_hash) SELECT $9::bigint, $10::bytea FROM alive
), counted AS (
  INSERT INTO usage_counters AS u (window_start_seconds, counter_ref, used_count, limit_count)
  SELECT s.window_start_seconds, s.counter_ref, s.add_count, s.limit_count
  FROM alive CROSS JOIN unnest($11::bigint[], $12::bytea[], $13::int[], $14::int[]) WITH ORDINALITY
    AS s (window_start_seconds, counter_ref, add_count, limit_count, position)
  ORDER BY s.position
  ON CONFLICT (window_start_seconds, counter_ref) DO UPDATE
    SET used_count = u.used_count + EXCLUDED.used_count, limit_count = EXCLUDED.limit_count
), entered AS (
  INSERT INTO evidence_entries (reference, kind, entry)
  SELECT r.reference, r.kind, r.entry FROM alive CROSS JOIN ({rows}) AS r
), annexed AS (
  INSERT INTO evidence_annex (reference, data_subject_ref, data_subject_salt, payload_salt)
  SELECT r.reference, r.data_subject_ref, r.data_subject_salt, r.payload_salt
  FROM alive CROSS JOIN ({rows}) AS r
)
SELECT EXISTS (SELECT FROM alive), client_alive, token_alive, clock_fits, agreement_alive, staff_alive,
  staff_named
FROM judged
"""

_RELEASE_ONE: Final = PreparedStatement(
    "record_release", _RELEASE_SQL.format(rows=_ONE_ROW), frozenset({1, 4, 9, 16, 17, 18, 19})
)
_RELEASE_MANY: Final = PreparedStatement(
    "record_releases", _RELEASE_SQL.format(rows=_MANY_ROWS), frozenset({1, 4, 9})
)

# Only asked after a full counter has undone a release: which one was it?
_REACHED: Final = PreparedStatement(
    "limits_reached",
    """
SELECT s.position FROM unnest($1::bigint[], $2::bytea[], $3::int[], $4::int[]) WITH ORDINALITY
    AS s (window_start_seconds, counter_ref, add_count, limit_count, position)
  LEFT JOIN usage_counters u
    ON u.window_start_seconds = s.window_start_seconds AND u.counter_ref = s.counter_ref
WHERE coalesce(u.used_count, 0) + s.add_count > s.limit_count
""",
)
_UNIQUE_VIOLATION: Final = "23505"
_CHECK_VIOLATION: Final = "23514"
_PROOF_USED: Final = "pk_used_proofs"
_LIMIT_REACHED: Final = "ck_usage_counters_within_limit"

_REFUSAL: Final = PreparedStatement(
    "record_refusal",
    """
WITH burned AS (
  INSERT INTO used_proofs (issued_at_seconds, proof_hash) VALUES ($1::bigint, $2::bytea)
  ON CONFLICT DO NOTHING RETURNING 1
), entered AS (
  INSERT INTO evidence_entries (reference, kind, entry)
  VALUES ($3::uuid, $4::text, $5::bytea) RETURNING reference
), annexed AS (
  INSERT INTO evidence_annex (reference, data_subject_ref, data_subject_salt, payload_salt)
  SELECT reference, $6::bytea, $7::bytea, $8::bytea FROM entered
)
SELECT EXISTS (SELECT FROM burned)
""",
    frozenset({1, 4, 5, 6, 7}),
)

# Column of the answer → what is no longer so, in the order in which it is told.
_JUDGED: Final[tuple[tuple[int, Verdict], ...]] = (
    (1, "client_not_active"),
    (2, "token_not_active"),
    (3, "clock_skewed"),
    (4, "agreement_not_active"),
    (5, "acting_person_unknown"),
    (6, "acting_person_mismatch"),
)


class PostgresLedger:
    """The ledger on the broker's own PostgreSQL.

    deadline_seconds: for one statement, connecting included. clock_skew_seconds: greatest difference
    between this process's clock and the database's before everything is refused.
    """

    def __init__(
        self, connections: PreparedConnections, *, deadline_seconds: float, clock_skew_seconds: float
    ) -> None:
        self._connections = connections
        self._deadline_seconds = deadline_seconds
        self._skew = f"{clock_skew_seconds} s".encode()

    def record_release(self, record: ReleaseRecord) -> Judgement:
        """Judge and record; see `broker.actions.doors.Ledger`."""
        context, decision = record.context, record.decision
        statement, rows = (
            (_RELEASE_ONE, _one(record.rows[0]))
            if len(record.rows) == 1
            else (_RELEASE_MANY, _many(record.rows))
        )
        steps = _steps(record.steps)
        try:
            answer = self._execute(
                statement,
                [
                    context.client_id.encode(),
                    context.token_hash,
                    decision.agreement_id.encode(),
                    decision.revision_hash.encode(),
                    record.staff_ref,
                    _timestamp(context.at),
                    self._skew,
                    civil_date(context.at).isoformat().encode(),
                    b"%d" % context.proof_issued_at_seconds,
                    context.proof_hash,
                    *steps,
                    *rows,
                    None if record.staff_name_key is None else record.staff_name_key.encode(),
                ],
            )
        except DatabaseRefused as refused:
            if (refused.sqlstate, refused.constraint) == (_UNIQUE_VIOLATION, _PROOF_USED):
                return Judgement("proof_replayed")
            if (refused.sqlstate, refused.constraint) == (_CHECK_VIOLATION, _LIMIT_REACHED):
                reached = self._execute(_REACHED, steps)
                names = {record.steps[int(row[0] or b"1") - 1].limit_name for row in reached}
                return Judgement("limit_reached", tuple(sorted(names)))
            raise EvidenceUnavailable(f"the ledger refused to record: {refused}") from refused
        return _judgement(answer)

    def record_refusal(self, context: AccessContext, row: EvidenceRow) -> bool:
        """Burn the proof and record a refusal; see `broker.actions.doors.Ledger`."""
        proof = [b"%d" % context.proof_issued_at_seconds, context.proof_hash]
        try:
            return self._execute(_REFUSAL, [*proof, *_one(row)])[0][0] == b"t"
        except DatabaseRefused as refused:
            raise EvidenceUnavailable(f"the ledger refused to record: {refused}") from refused

    def _execute(self, statement: PreparedStatement, parameters: Sequence[bytes | None]) -> list[Row]:
        """Run a statement. Raises DatabaseRefused (it had no effect) or EvidenceUnavailable."""
        try:
            return self._connections.execute(statement, parameters, self._deadline_seconds)
        except DatabaseRefused:
            raise
        except DatabaseError as fault:
            raise EvidenceUnavailable(f"the ledger did not record: {type(fault).__name__}") from fault


def _judgement(answer: Sequence[Row]) -> Judgement:
    if not answer:
        return Judgement("client_not_active")
    row = answer[0]
    for column, verdict in _JUDGED:
        if row[column] != b"t":
            return Judgement(verdict)
    if row[0] != b"t":
        raise EvidenceUnavailable("the ledger's answer contradicts itself")
    return Judgement("recorded")


def _steps(steps: Sequence[CounterStep]) -> list[bytes]:
    return [
        _integers([step.window_start_seconds for step in steps]),
        _byteas([step.counter_ref for step in steps]),
        _integers([step.add_count for step in steps]),
        _integers([step.limit_count for step in steps]),
    ]


def _timestamp(instant: datetime) -> bytes:
    return instant.isoformat().encode()


def _integers(values: Sequence[int]) -> bytes:
    return b"{" + b",".join([b"%d" % value for value in values]) + b"}"


def _byteas(values: Sequence[bytes | None]) -> bytes:
    return (
        "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"
    ).encode()


def _one(row: EvidenceRow) -> list[bytes | None]:
    return [
        row.reference.encode(),
        row.kind.encode(),
        row.entry,
        row.data_subject_ref,
        row.data_subject_salt,
        row.payload_salt,
    ]


def _many(rows: Sequence[EvidenceRow]) -> list[bytes | None]:
    return [
        ("{" + ",".join([row.reference for row in rows]) + "}").encode(),
        ("{" + ",".join([row.kind for row in rows]) + "}").encode(),
        _byteas([row.entry for row in rows]),
        _byteas([row.data_subject_ref for row in rows]),
        _byteas([row.data_subject_salt for row in rows]),
        _byteas([row.payload_salt for row in rows]),
    ]
