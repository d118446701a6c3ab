"""What a consented release needs to know before it reads: one prepared statement, whose answer may be old.

It can only refuse early or go on; the recording statement judges consent, token and grant again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias
from uuid import UUID

import orjson

from broker.consent.codec import consent_from
from broker.consent.consented import ConsentedFacts, FrequencyCounter
from broker.errors import StoreUnavailable
from connectors.postgres import DatabaseError, PreparedConnections, PreparedStatement, Row

_CONSENTED: Final = PreparedStatement(
    "consented_facts",
    """
SELECT k.record::text, z.citizen_id, z.personal_id_encrypted, t.grant_id, g.subject,
  t.client_id = $2::text AND t.revoked_at IS NULL AND t.expires_at > now(),
  g.revoked_at IS NULL AND g.expires_at > now(), coalesce(u.used_count, 0)
FROM access_tokens t
  JOIN grants g ON g.grant_id = t.grant_id
  JOIN consents k ON k.consent_id = $3::uuid
  JOIN citizens z ON z.citizen_id = k.citizen_id
  LEFT JOIN unnest($4::text[], $5::bigint[], $6::bytea[]) AS f (per, ends_at_seconds, counter_ref)
    ON f.per = k.record #>> '{terms,frequency,per}'
  LEFT JOIN usage_counters u ON u.counter_ref = f.counter_ref AND u.window_start_seconds
    = coalesce(f.ends_at_seconds, floor(extract(epoch FROM k.valid_to_at))::bigint)
WHERE t.token_hash = $1::bytea
""",
    frozenset({0}),
    repeatable=True,
)


OpenPersonalId: TypeAlias = Callable[[str, bytes], str]
"""From a citizen's id and what is kept of the number to its 12 digits. Raises CitizenSecretUnreadable."""


class PreparedConsentFacts:
    """Implements `broker.actions.consent_facts.ConsentFactsDoor`. deadline_seconds: for one look."""

    def __init__(
        self, connections: PreparedConnections, open_personal_id: OpenPersonalId, deadline_seconds: float
    ) -> None:
        self._connections = connections
        self._open_personal_id = open_personal_id
        self._deadline_seconds = deadline_seconds

    def find_consented(
        self, token_hash: bytes, client_id: str, consent_id: str, counters: Sequence[FrequencyCounter]
    ) -> ConsentedFacts | None:
        """Return a consent with what a token of a client has to do with it, or None. consent_id: any text.

        counters: where its releases may be counted, one per period. Raises StoreUnavailable,
        CitizenSecretUnreadable.
        """
        try:
            key = str(UUID(consent_id)).encode()
        except ValueError:
            return None
        try:
            rows = self._connections.execute(
                _CONSENTED,
                (token_hash, client_id.encode(), key, *_arrays(counters)),
                self._deadline_seconds,
            )
        except DatabaseError as fault:
            raise StoreUnavailable(f"the consents do not answer: {type(fault).__name__}") from fault
        return self._facts(rows[0]) if rows else None

    def _facts(self, row: Row) -> ConsentedFacts:
        record, citizen_id, sealed, grant_id, subject = (value or b"" for value in row[:5])
        return ConsentedFacts(
            consent=consent_from(orjson.loads(record)),
            is_token_alive=row[5] == b"t",
            is_grant_alive=row[6] == b"t",
            grant_id=grant_id.decode(),
            subject=subject.decode(),
            used_count=int(row[7] or b"0"),
            # bytea in text format: \\x and two digits per byte.
            personal_id=self._open_personal_id(
                citizen_id.decode(), bytes.fromhex(sealed[2:].decode("ascii"))
            ),
        )


def _arrays(counters: Sequence[FrequencyCounter]) -> tuple[bytes, bytes, bytes]:
    """Return periods, ends and keys of counters as arrays in text form."""
    ends = [one.ends_at_seconds for one in counters]
    return (
        _array([one.per for one in counters]),
        _array(["NULL" if end is None else str(end) for end in ends]),
        _array([f'"\\\\x{one.counter_ref.hex()}"' for one in counters]),
    )


def _array(values: Sequence[str]) -> bytes:
    return ("{" + ",".join(values) + "}").encode()
