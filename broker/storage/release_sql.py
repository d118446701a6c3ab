"""The statements of the evidence door, as PostgreSQL prepares them. Constant text, built once at import."""

from __future__ import annotations

from typing import Final

from connectors.postgres import PreparedStatement

# Reads are plain: the statement's snapshot is taken after any withdrawal or suspension that was already
# answered, so the next release sees it. A used proof violates a primary key and a full counter a check
# constraint; either undoes the whole statement, so nothing is counted, burned or recorded by halves.
# Counters are raised in one order (client, acting person, data subjects by key), so that two statements
# cannot wait for one another in a circle.
_RELEASE_SQL: Final = """
WITH judged AS MATERIALIZED (SELECT *,
  client_alive AND token_alive AND source_fits AND agreement_alive AND staff_alive AND staff_named
    AND clock_fits AS is_alive
FROM (
  SELECT c.status = 'active' AND c.expires_at > now() AS client_alive,
         coalesce(t.client_id = c.client_id AND t.revoked_at IS NULL AND t.expires_at > now()
           AND (t.grant_id IS NULL OR g.revoked_at IS NULL AND g.expires_at > now()), false) AS token_alive,
         c.source_networks = '{{}}' OR coalesce($12::inet <<= ANY (c.source_networks), false) AS source_fits,
         coalesce(a.revision_hash = $4::text AND a.status = 'active' AND a.review_date >= $8::date
           AND $8::date BETWEEN a.valid_from AND a.valid_to, false)
           AND $3::text = ANY (c.agreement_ids) AS agreement_alive,
         $5::bytea IS NULL OR coalesce(
           s.organisation_id = c.organisation_id AND s.status = 'active', false) AS staff_alive,
         $5::bytea IS NULL OR coalesce(s.name_key = $11::text, false) AS staff_named,
         clock_timestamp() - $6::timestamptz BETWEEN - $7::interval AND $7::interval AS clock_fits
  FROM clients c
    LEFT JOIN access_tokens t ON t.token_hash = $2::bytea
    LEFT JOIN grants g ON g.grant_id = t.grant_id
    LEFT JOIN agreements a ON a.agreement_id = $3::text
    LEFT JOIN facility_staff s ON s.staff_ref = $5::bytea
  WHERE c.client_id = $1::text
) AS facts), burned AS (
  INSERT INTO used_proofs (issued_at_seconds, proof_hash)
  SELECT $9::bigint, $10::bytea FROM judged WHERE is_alive AND $10::bytea IS NOT NULL
), entered AS (
  INSERT INTO evidence_entries (reference, kind, entry)
  SELECT r.reference, r.kind, r.entry FROM judged CROSS JOIN ({rows}) AS r WHERE is_alive
), annexed AS (
  INSERT INTO evidence_annex (reference, data_subject_ref, data_subject_salt, payload_salt)
  SELECT r.reference, r.data_subject_ref, r.data_subject_salt, r.payload_salt
  FROM judged CROSS JOIN ({rows}) AS r WHERE is_alive
){counted}
SELECT is_alive, client_alive, token_alive, clock_fits, agreement_alive, staff_alive,
  staff_named, source_fits
FROM judged
"""
_COUNTED_SQL: Final = """, counted AS (
  INSERT INTO usage_counters AS u (window_start_seconds, counter_ref, used_count, limit_count)
  SELECT s.window_start_seconds, s.counter_ref, s.add_count, s.limit_count
  FROM judged CROSS JOIN {steps}
  ON CONFLICT (window_start_seconds, counter_ref) DO UPDATE
    SET used_count = u.used_count + EXCLUDED.used_count, limit_count = EXCLUDED.limit_count
)"""
_STEP_COLUMNS: Final = "AS s (window_start_seconds, counter_ref, add_count, limit_count{more})"
_MANY_ROWS: Final = """
  SELECT * FROM unnest($13::uuid[], $14::text[], $15::bytea[], $16::bytea[], $17::bytea[], $18::bytea[])
    AS r (reference, kind, entry, data_subject_ref, data_subject_salt, payload_salt)
"""
# Parameters: 1 to 12 what is judged, 13 to 18 the evidence, from 19 on the counters.
_JUDGED_BINARY: Final = frozenset({1, 4, 9})
_FIRST_STEP: Final = 19
STEPS_MAX: Final = 3


def _release_one(step_count: int) -> PreparedStatement:
    """Return the statement for one row of evidence and a few counters: the usual case, plain parameters."""
    numbers = range(_FIRST_STEP, _FIRST_STEP + 4 * step_count, 4)
    values = ", ".join(f"(${n}::bigint, ${n + 1}::bytea, ${n + 2}::int, ${n + 3}::int)" for n in numbers)
    rows = (
        "SELECT $13::uuid AS reference, $14::text AS kind, $15::bytea AS entry, $16::bytea AS"
        " data_subject_ref, $17::bytea AS data_subject_salt, $18::bytea AS payload_salt"
    )
    steps = f"(VALUES {values}) {_STEP_COLUMNS.format(more='')} WHERE is_alive"
    sql = _RELEASE_SQL.format(rows=rows, counted=_COUNTED_SQL.format(steps=steps) if step_count else "")
    binary = {14, 15, 16, 17, *(n for n in numbers)}
    return PreparedStatement(f"record_release_{step_count}", sql, _JUDGED_BINARY | binary)


def _release_many() -> PreparedStatement:
    """Return the statement for a batch: evidence and counters as arrays."""
    rows = _MANY_ROWS
    steps = (
        "unnest($19::bigint[], $20::bytea[], $21::int[], $22::int[]) WITH ORDINALITY "
        f"{_STEP_COLUMNS.format(more=', position')} WHERE is_alive ORDER BY s.position"
    )
    sql = _RELEASE_SQL.format(rows=rows, counted=_COUNTED_SQL.format(steps=steps))
    return PreparedStatement("record_releases", sql, _JUDGED_BINARY)


RELEASE_ONE: Final = tuple(_release_one(count) for count in range(STEPS_MAX + 1))
RELEASE_MANY: Final = _release_many()

# Only asked after a full counter has undone a release: which one was it?
REACHED: Final = PreparedStatement(
    "limits_reached",
    """
SELECT s.position FROM unnest($1::bigint[], $2::bytea[], $3::int[], $4::int[]) WITH ORDINALITY
    AS s (window_start_seconds, counter_ref, add_count, limit_count, position)
  LEFT JOIN usage_counters u
    ON u.window_start_seconds = s.window_start_seconds AND u.counter_ref = s.counter_ref
WHERE coalesce(u.used_count, 0) + s.add_count > s.limit_count
""",
)
UNIQUE_VIOLATION: Final = "23505"
CHECK_VIOLATION: Final = "23514"
PROOF_USED: Final = "pk_used_proofs"
LIMIT_REACHED: Final = "ck_usage_counters_within_limit"

REFUSAL: Final = PreparedStatement(
    "record_refusal",
    """
WITH burned AS (
  INSERT INTO used_proofs (issued_at_seconds, proof_hash)
  SELECT $1::bigint, $2::bytea WHERE $2::bytea IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING 1
), entered AS (
  INSERT INTO evidence_entries (reference, kind, entry)
  VALUES ($3::uuid, $4::text, $5::bytea) RETURNING reference
), annexed AS (
  INSERT INTO evidence_annex (reference, data_subject_ref, data_subject_salt, payload_salt)
  SELECT reference, $6::bytea, $7::bytea, $8::bytea FROM entered
)
SELECT $2::bytea IS NULL OR EXISTS (SELECT FROM burned)
""",
    frozenset({1, 4, 5, 6, 7}),
)
