"""The statements of the evidence door, as PostgreSQL prepares them. Constant text, built once at import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from connectors.postgres import PreparedStatement

# Reads are plain: the statement's snapshot is taken after any withdrawal or suspension that was already
# answered, so the next release sees it. A used proof violates a primary key and a full counter a check
# constraint; either undoes the whole statement, so nothing is counted, burned or recorded by halves.
# Counters are raised in one order (client, acting person, data subjects by key, consent), so that two
# statements cannot wait for one another in a circle.
_JUDGED_SQL: Final = """
WITH {consented}judged AS MATERIALIZED (SELECT *,
  client_alive AND token_alive AND source_fits AND agreement_alive AND staff_alive AND staff_named
    AND clock_fits AND log_fits{consent_alive} AS is_alive
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
         clock_timestamp() - $6::timestamptz BETWEEN - $7::interval AND $7::interval
           AS clock_fits,
         $13::interval IS NULL OR EXISTS (
           SELECT FROM log_published
           WHERE complete_at BETWEEN now() - $13::interval AND now() + interval '1 min'
         ) AS log_fits{consent_facts}
  FROM clients c
    LEFT JOIN access_tokens t ON t.token_hash = $2::bytea
    LEFT JOIN grants g ON g.grant_id = t.grant_id
    LEFT JOIN agreements a ON a.agreement_id = $3::text
    LEFT JOIN facility_staff s ON s.staff_ref = $5::bytea{consent_join}
  WHERE c.client_id = $1::text
) AS facts), burned AS (
  INSERT INTO used_proofs (issued_at_seconds, proof_hash)
  SELECT $9::bigint, $10::bytea FROM judged WHERE is_alive AND $10::bytea IS NOT NULL
)"""
_ENTERED_SQL: Final = """, entered AS (
  INSERT INTO evidence_entries (reference, kind, entry)
  SELECT r.reference, r.kind, r.entry FROM judged CROSS JOIN ({rows}) AS r WHERE is_alive
), opening AS (
  INSERT INTO evidence_openings (reference, key_year, person_link, sealed_salts)
  SELECT r.reference, r.key_year, r.person_link, r.sealed_salts
  FROM judged CROSS JOIN ({rows}) AS r WHERE is_alive
){counted}
"""
_ANSWER_SQL: Final = """SELECT is_alive, client_alive, token_alive, clock_fits, agreement_alive, staff_alive,
  staff_named, source_fits, log_fits{consent_answer}
FROM judged
"""
# A release that rests on a consent locks the consent's row in the very statement that records. A withdrawal
# under way is waited for and its row is read anew (READ COMMITTED reads a locked row again); a withdrawal
# that comes later waits until this statement has committed. So whoever was told that the consent is
# withdrawn can be sure that nothing leaves after it.
_CONSENT: Final = {
    "consented": """consented AS MATERIALIZED (
  SELECT state, version, client_id, grant_id, agreement_id, valid_to_at, refresh_due_at
  FROM consents WHERE consent_id = $20::uuid FOR SHARE
), """,
    "consent_facts": """,
         CASE WHEN k.state IS NULL THEN 'missing'
              WHEN k.state <> 'active' THEN k.state
              WHEN k.valid_to_at IS NULL OR k.valid_to_at <= now() THEN 'expired'
              WHEN k.refresh_due_at <= now() THEN 'refresh_due' ELSE 'active' END AS consent_state,
         coalesce(k.version = $21::int AND k.client_id = c.client_id AND k.grant_id = t.grant_id
           AND k.agreement_id = $3::text, false) AS consent_same""",
    "consent_join": "\n    LEFT JOIN consented k ON true",
    "consent_alive": " AND consent_state = 'active' AND consent_same",
    "consent_answer": ", consent_state, consent_same",
}
_NO_CONSENT: Final = dict.fromkeys(_CONSENT, "")
# A person who looks at the own record: a session that began with that sign-in must still live.
_OWN_JUDGED_SQL: Final = """
WITH judged AS MATERIALIZED (SELECT *,
  session_alive AND agreement_alive AND clock_fits AND log_fits AS is_alive
FROM (
  SELECT EXISTS (SELECT FROM citizen_sessions s JOIN citizens z USING (citizen_id)
           WHERE s.citizen_id = $1::uuid AND s.authenticated_at = $2::timestamptz AND s.expires_at > now()
             AND z.status = 'active') AS session_alive,
         EXISTS (SELECT FROM agreements a WHERE a.agreement_id = $3::text AND a.revision_hash = $4::text
           AND a.status = 'active' AND a.review_date >= $5::date
           AND $5::date BETWEEN a.valid_from AND a.valid_to) AS agreement_alive,
         clock_timestamp() - $6::timestamptz BETWEEN - $7::interval AND $7::interval AS clock_fits,
         $8::interval IS NULL OR EXISTS (
           SELECT FROM log_published
           WHERE complete_at BETWEEN now() - $8::interval AND now() + interval '1 min'
         ) AS log_fits
) AS facts)"""
_OWN_ANSWER_SQL: Final = "SELECT is_alive, session_alive, agreement_alive, clock_fits, log_fits FROM judged"
_COUNTED_SQL: Final = """, counted AS (
  INSERT INTO usage_counters AS u (window_start_seconds, counter_ref, used_count, limit_count)
  SELECT s.window_start_seconds, s.counter_ref, s.add_count, s.limit_count
  FROM judged CROSS JOIN {steps}
  ON CONFLICT (window_start_seconds, counter_ref) DO UPDATE
    SET used_count = u.used_count + EXCLUDED.used_count, limit_count = EXCLUDED.limit_count
)"""
_STEP_COLUMNS: Final = "AS s (window_start_seconds, counter_ref, add_count, limit_count{more})"
_MANY_ROWS: Final = """
  SELECT * FROM unnest($14::uuid[], $15::text[], $16::bytea[], $17::smallint[], $18::bytea[], $19::bytea[])
    AS r (reference, kind, entry, key_year, person_link, sealed_salts)
"""
# Parameters: 1 to 13 what is judged, 14 to 19 the evidence, then consent and version if there is a consent,
# then the counters. Of one's own record: 1 to 8 what is judged, 9 to 14 the evidence, then the counters.
# The last of what is judged says how long ago the published log may have been complete; NULL: not asked.
_JUDGED_BINARY: Final = frozenset({1, 4, 9})
_ROW_NAMES: Final = (
    "uuid AS reference", "text AS kind", "bytea AS entry", "smallint AS key_year",
    "bytea AS person_link", "bytea AS sealed_salts",
)  # fmt: skip
STEPS_MAX: Final = 3
CONSENT_STEPS_MAX: Final = 4


def _entered(first: int, steps_first: int, step_count: int) -> tuple[str, frozenset[int]]:
    """Return the part that enters one row and raises a few counters, and its binary parameters.

    first: number of the row's first parameter, from 1; steps_first: of the counters.
    """
    row = "SELECT " + ", ".join(f"${first + at}::{name}" for at, name in enumerate(_ROW_NAMES))
    numbers = range(steps_first, steps_first + 4 * step_count, 4)
    values = ", ".join(f"(${n}::bigint, ${n + 1}::bytea, ${n + 2}::int, ${n + 3}::int)" for n in numbers)
    steps = f"(VALUES {values}) {_STEP_COLUMNS.format(more='')} WHERE is_alive"
    counted = _COUNTED_SQL.format(steps=steps) if step_count else ""
    binary = frozenset({first + 1, first + 3, first + 4, *numbers})
    return _ENTERED_SQL.format(rows=row, counted=counted), binary


def _release_one(step_count: int, consent: Mapping[str, str]) -> PreparedStatement:
    """Return the statement for one row of evidence and a few counters: the usual case, plain parameters."""
    entered, binary = _entered(14, 22 if consent is _CONSENT else 20, step_count)
    sql = _JUDGED_SQL.format(**consent) + entered + _ANSWER_SQL.format(**consent)
    name = "record_consented" if consent is _CONSENT else "record_release"
    return PreparedStatement(f"{name}_{step_count}", sql, _JUDGED_BINARY | binary)


def _release_own(step_count: int) -> PreparedStatement:
    """Return the statement for a person's look at the own record."""
    entered, binary = _entered(9, 15, step_count)
    return PreparedStatement(f"record_own_{step_count}", _OWN_JUDGED_SQL + entered + _OWN_ANSWER_SQL, binary)


def _release_many() -> PreparedStatement:
    """Return the statement for a batch: evidence and counters as arrays."""
    rows = _MANY_ROWS
    steps = (
        "unnest($20::bigint[], $21::bytea[], $22::int[], $23::int[]) WITH ORDINALITY "
        f"{_STEP_COLUMNS.format(more=', position')} WHERE is_alive ORDER BY s.position"
    )
    entered = _ENTERED_SQL.format(rows=rows, counted=_COUNTED_SQL.format(steps=steps))
    sql = _JUDGED_SQL.format(**_NO_CONSENT) + entered + _ANSWER_SQL.format(**_NO_CONSENT)
    return PreparedStatement("record_releases", sql, _JUDGED_BINARY)


RELEASE_ONE: Final = tuple(_release_one(count, _NO_CONSENT) for count in range(STEPS_MAX + 1))
RELEASE_MANY: Final = _release_many()
RELEASE_CONSENTED: Final = tuple(_release_one(count, _CONSENT) for count in range(CONSENT_STEPS_MAX + 1))
RELEASE_OWN: Final = tuple(_release_own(count) for count in range(STEPS_MAX + 1))

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
), opening AS (
  INSERT INTO evidence_openings (reference, key_year, person_link, sealed_salts)
  SELECT reference, $6::smallint, $7::bytea, $8::bytea FROM entered
)
SELECT $2::bytea IS NULL OR EXISTS (SELECT FROM burned)
""",
    frozenset({1, 4, 6, 7}),
)
