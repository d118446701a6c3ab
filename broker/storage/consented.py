"""What a consented release needs to know before it reads: one prepared statement, whose answer may be old.

It can only refuse early or go on; the recording statement judges consent, token and grant again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias
from uuid import UUID

import orjson

from broker.consent.codec import agreed_hash, consent_from
from broker.consent.consented import ConsentedFacts
from broker.errors import StoreUnavailable
from broker.evidence.recording import CounterStep
from connectors.postgres import DatabaseError, PreparedConnections, PreparedStatement, Row

_CONSENTED: Final = PreparedStatement(
    "consented_facts",
    """
SELECT k.record::text, z.citizen_id, z.personal_id_encrypted, t.grant_id, g.subject,
  t.client_id = $2::text AND t.revoked_at IS NULL AND t.expires_at > now(),
  g.revoked_at IS NULL AND g.expires_at > now()
FROM access_tokens t
  JOIN grants g ON g.grant_id = t.grant_id
  JOIN consents k ON k.consent_id = $3::uuid
  JOIN citizens z ON z.citizen_id = k.citizen_id
WHERE t.token_hash = $1::bytea
""",
    frozenset({0}),
    repeatable=True,
)

_USED: Final = PreparedStatement(
    "consent_used_count",
    "SELECT used_count FROM usage_counters"
    " WHERE window_start_seconds = $1::bigint AND counter_ref = $2::bytea",
    frozenset({1}),
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

    def find_consented(self, token_hash: bytes, client_id: str, consent_id: str) -> ConsentedFacts | None:
        """Return a consent with what a token of a client has to do with it, or None. consent_id: any text.

        Raises StoreUnavailable, CitizenSecretUnreadable.
        """
        try:
            key = str(UUID(consent_id)).encode()
        except ValueError:
            return None
        rows = self._look(_CONSENTED, (token_hash, client_id.encode(), key))
        return self._facts(rows[0]) if rows else None

    def used_count(self, counter: CounterStep) -> int:
        """Return how far a counter has been raised, 0 if never. Raises StoreUnavailable."""
        window = b"%d" % counter.window_start_seconds
        rows = self._look(_USED, (window, counter.counter_ref))
        return int(rows[0][0] or b"0") if rows else 0

    def _look(self, statement: PreparedStatement, parameters: tuple[bytes, ...]) -> Sequence[Row]:
        try:
            return self._connections.execute(statement, parameters, self._deadline_seconds)
        except DatabaseError as fault:
            raise StoreUnavailable(f"the consents do not answer: {type(fault).__name__}") from fault

    def _facts(self, row: Row) -> ConsentedFacts:
        record, citizen_id, sealed, grant_id, subject = (value or b"" for value in row[:5])
        document = orjson.loads(record)
        return ConsentedFacts(
            consent=consent_from(document),
            # What is kept is what consent_document made: the hash need not make it again.
            agreed_hash=agreed_hash(document),
            is_token_alive=row[5] == b"t",
            is_grant_alive=row[6] == b"t",
            grant_id=grant_id.decode(),
            subject=subject.decode(),
            # bytea in text format: \\x and two digits per byte.
            personal_id=self._open_personal_id(
                citizen_id.decode(), bytes.fromhex(sealed[2:].decode("ascii"))
            ),
        )
