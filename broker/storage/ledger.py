"""The evidence door: one statement judges, burns the proof, counts and records; its commit is the release.

What is on disk at each crash point: before the statement nothing; after it everything or nothing, because
the statement is its own transaction; an answer is sent only after the server has said that it committed
(synchronous_commit stays on). A crash in between leaves an entry without delivery, which is acceptable; a
delivery without an entry cannot happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from broker.errors import EvidenceUnavailable, StoreUnavailable
from broker.evidence.recording import (
    CONSENT_FREQUENCY,
    AccessContext,
    EvidenceRow,
    Judgement,
    OwnSession,
    ReleaseRecord,
    Verdict,
)
from broker.oauth.evidence_secrets import EvidenceSecretUnreadable
from broker.storage.log_standing import STOP, LogStanding
from broker.storage.openings import SealedOpening
from broker.storage.release_sql import (
    CHECK_VIOLATION,
    LIMIT_REACHED,
    PROOF_USED,
    REACHED,
    REFUSAL,
    RELEASE_CONSENTED,
    RELEASE_MANY,
    RELEASE_ONE,
    RELEASE_OWN,
    STEPS_MAX,
    UNIQUE_VIOLATION,
)
from broker.storage.statement_values import byteas, integers, number, plain_steps, step_arrays
from connectors.postgres import DatabaseError, DatabaseRefused, PreparedConnections, PreparedStatement, Row
from policies.civil_time import civil_date

# Column of the answer → what is no longer so, in the order in which it is told.
_JUDGED: Final[tuple[tuple[int, Verdict], ...]] = (
    (1, "client_not_active"),
    (2, "token_not_active"),
    (7, "source_address_refused"),
    (3, "clock_skewed"),
    (4, "agreement_not_active"),
    (5, "acting_person_unknown"),
    (6, "acting_person_mismatch"),
)
# The same for a person's look at the own record.
_OWN_JUDGED: Final[tuple[tuple[int, Verdict], ...]] = (
    (1, "session_not_active"),
    (3, "clock_skewed"),
    (2, "agreement_not_active"),
)
# Told only where nothing else stands in the way: column of the answer, and of a look at the own record.
_LOG_FITS: Final = 8
_OWN_LOG_FITS: Final = 4


class Sealer(Protocol):
    """Seals what opens an entry's commitments; `broker.storage.openings.PostgresOpenings` does it."""

    def seal(self, row: EvidenceRow, seconds: float) -> SealedOpening:
        """Return what is kept beside an entry, within so many seconds.

        Raises StoreUnavailable, EvidenceSecretUnreadable.
        """
        ...


class PostgresLedger:
    """The ledger on the broker's own PostgreSQL.

    openings: seals what opens the commitments. deadline_seconds: for one statement, connecting included.
    clock_skew_seconds: greatest difference between this process's clock and the database's before everything
    is refused. needs_log: whether nothing ordinary may be released while the log stands.
    """

    def __init__(
        self,
        connections: PreparedConnections,
        openings: Sealer,
        *,
        deadline_seconds: float,
        clock_skew_seconds: float,
        needs_log: bool,
    ) -> None:
        self._connections = connections
        self._openings = openings
        self._deadline_seconds = deadline_seconds
        self._skew = f"{clock_skew_seconds} s".encode()
        self._log = LogStanding(connections, clock_skew_seconds, is_needed=needs_log)

    def record_release(self, record: ReleaseRecord) -> Judgement:
        """Judge and record; see `broker.actions.doors.Ledger`."""
        asked = None if record.in_emergency or not self._log.is_needed else STOP
        judgement = self._judged(record, asked)
        if judgement.verdict == "log_stopped" and not self._log_stands(record.context):
            # Long ago something was published last, and nothing waits since: an idle log.
            return self._judged(record, None)
        return judgement

    def _log_stands(self, context: AccessContext) -> bool:
        try:
            return self._log.stands(min(self._deadline_seconds, context.left_seconds()))
        except DatabaseError as fault:
            raise EvidenceUnavailable(f"how the log stands is not known: {type(fault).__name__}") from fault

    def _judged(self, record: ReleaseRecord, complete_within: bytes | None) -> Judgement:
        """Run the recording statement once.

        complete_within: how long ago the published log may have been complete, None for nothing of it.
        """
        try:
            statement, parameters = self._statement(record, complete_within)
            return _judgement(record, self._execute(record.context, statement, parameters))
        except DatabaseRefused as refused:
            if (refused.sqlstate, refused.constraint) == (UNIQUE_VIOLATION, PROOF_USED):
                return Judgement("proof_replayed")
            if (refused.sqlstate, refused.constraint) == (CHECK_VIOLATION, LIMIT_REACHED):
                return self._limited(record)
            raise EvidenceUnavailable(f"the ledger refused to record: {refused}") from refused

    def _statement(
        self, record: ReleaseRecord, complete_within: bytes | None
    ) -> tuple[PreparedStatement, list[bytes | None]]:
        """Return the statement for a record and its parameters."""
        if record.own_session is not None:
            own = self._own_facts(record, record.own_session, complete_within)
            return RELEASE_OWN[len(record.steps)], [
                *own,
                *self._one(record.context, record.rows[0]),
                *plain_steps(record.steps),
            ]
        judged, basis = self._facts(record, complete_within), record.consent
        if basis is not None:
            consent = [basis.consent_id.encode(), b"%d" % basis.version]
            one = self._one(record.context, record.rows[0])
            return RELEASE_CONSENTED[len(record.steps)], [*judged, *one, *consent, *plain_steps(record.steps)]
        if len(record.rows) == 1 and len(record.steps) <= STEPS_MAX:
            one = self._one(record.context, record.rows[0])
            return RELEASE_ONE[len(record.steps)], [*judged, *one, *plain_steps(record.steps)]
        return RELEASE_MANY, [*judged, *self._many(record.context, record.rows), *step_arrays(record.steps)]

    def _facts(self, record: ReleaseRecord, complete_within: bytes | None) -> list[bytes | None]:
        context, decision = record.context, record.decision
        return [
            context.client_id.encode(),
            context.token_hash,
            decision.agreement_id.encode(),
            decision.revision_hash.encode(),
            record.staff_ref,
            context.at.isoformat().encode(),
            self._skew,
            civil_date(context.at).isoformat().encode(),
            number(context.proof_issued_at_seconds),
            context.proof_hash,
            None if record.staff_name_key is None else record.staff_name_key.encode(),
            context.source_address.encode() or None,
            complete_within,
        ]

    def _own_facts(
        self, record: ReleaseRecord, session: OwnSession, complete_within: bytes | None
    ) -> list[bytes | None]:
        at, decision = record.context.at, record.decision
        return [
            session.citizen_id.encode(),
            session.authenticated_at.isoformat().encode(),
            decision.agreement_id.encode(),
            decision.revision_hash.encode(),
            civil_date(at).isoformat().encode(),
            at.isoformat().encode(),
            self._skew,
            complete_within,
        ]

    def _limited(self, record: ReleaseRecord) -> Judgement:
        """Say which counters are full, after one of them has undone the release."""
        reached = self._execute(record.context, REACHED, step_arrays(record.steps))
        names = {record.steps[int(row[0] or b"1") - 1].limit_name for row in reached}
        if CONSENT_FREQUENCY in names:
            return Judgement("frequency_exceeded")
        return Judgement("limit_reached", tuple(sorted(names)))

    def record_refusal(self, context: AccessContext, row: EvidenceRow) -> bool:
        """Burn the proof and record a refusal; see `broker.actions.doors.Ledger`."""
        proof = [number(context.proof_issued_at_seconds), context.proof_hash]
        try:
            return self._execute(context, REFUSAL, [*proof, *self._one(context, row)])[0][0] == b"t"
        except DatabaseRefused as refused:
            raise EvidenceUnavailable(f"the ledger refused to record: {refused}") from refused

    def _one(self, context: AccessContext, row: EvidenceRow) -> list[bytes | None]:
        """Return the parameters of one row of evidence."""
        sealed = self._sealed(context, row)
        return [
            row.reference.encode(),
            row.kind.encode(),
            row.entry,
            b"%d" % sealed.key_year,
            sealed.person_link,
            sealed.sealed_salts,
        ]

    def _many(self, context: AccessContext, rows: Sequence[EvidenceRow]) -> list[bytes | None]:
        """Return the parameters of several rows, as arrays."""
        sealed = [self._sealed(context, row) for row in rows]
        return [
            ("{" + ",".join([row.reference for row in rows]) + "}").encode(),
            ("{" + ",".join([row.kind for row in rows]) + "}").encode(),
            byteas([row.entry for row in rows]),
            integers([one.key_year for one in sealed]),
            byteas([one.person_link for one in sealed]),
            byteas([one.sealed_salts for one in sealed]),
        ]

    def _sealed(self, context: AccessContext, row: EvidenceRow) -> SealedOpening:
        try:
            return self._openings.seal(row, min(self._deadline_seconds, context.left_seconds()))
        except (StoreUnavailable, EvidenceSecretUnreadable) as fault:
            raise EvidenceUnavailable(f"the keys of evidence cannot be read: {fault.kind}") from fault

    def _execute(
        self, context: AccessContext, statement: PreparedStatement, parameters: Sequence[bytes | None]
    ) -> list[Row]:
        """Run a statement within what is left. Raises DatabaseRefused (no effect) or EvidenceUnavailable."""
        deadline_seconds = min(self._deadline_seconds, context.left_seconds())
        try:
            return self._connections.execute(statement, parameters, deadline_seconds)
        except DatabaseRefused:
            raise
        except DatabaseError as fault:
            raise EvidenceUnavailable(f"the ledger did not record: {type(fault).__name__}") from fault


def _judgement(record: ReleaseRecord, answer: Sequence[Row]) -> Judgement:
    if not answer:
        return Judgement("client_not_active")
    row = answer[0]
    # A withdrawal ends its tokens too: of the two the consent is what is told.
    if record.consent is not None and row[9] != b"active":
        return Judgement("consent_not_active", consent_state=(row[9] or b"").decode())
    for column, verdict in _JUDGED if record.own_session is None else _OWN_JUDGED:
        if row[column] != b"t":
            return Judgement(verdict)
    if record.consent is not None and row[10] != b"t":
        return Judgement("consent_changed")
    if row[_LOG_FITS if record.own_session is None else _OWN_LOG_FITS] != b"t":
        return Judgement("log_stopped")
    if row[0] != b"t":
        raise EvidenceUnavailable("the ledger's answer contradicts itself")
    return Judgement("recorded")
