"""Consents and the requests for them in PostgreSQL: one action of a person is one transaction.

What is on disk at each crash point: before the commit nothing of the action, after it all of it: the new
version, its events, the end of the grant, the receipt, the notice to be sent, and the evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, select, true, tuple_

from broker.consent.codec import consent_from
from broker.consent.record import FINAL, Consent
from broker.consent.writing import (
    ChainedEvent,
    ConsentWriting,
    HeldConsent,
    IssuedReceipt,
    RequestOpening,
    RequestStep,
)
from broker.errors import ConsentMoved
from broker.evidence.recording import EvidenceRow
from broker.oauth.authorization_request import Grant, IssuedCode
from broker.oauth.grant_ends import GrantEnd
from broker.storage.acts import record_evidence
from broker.storage.consent_requests import (
    cancel_request,
    decide_request,
    is_undecided,
    is_unopened,
    keep_request,
    note_viewed,
    take_step,
)
from broker.storage.consent_writes import (
    decide_redirect,
    end_grant,
    hold_consents,
    is_living,
    write_consent,
)
from broker.storage.due_consents import due_ids
from broker.storage.faults import store_answers
from broker.storage.openings import PostgresOpenings
from broker.storage.tables import (
    consent_events,
    consent_receipts,
    consents,
    grants,
)


class PostgresConsents:
    """Keeps consents. All methods raise StoreUnavailable."""

    def __init__(self, engine: Engine, openings: PostgresOpenings) -> None:
        self._engine = engine
        self._openings = openings

    def find_one(self, consent_id: str) -> HeldConsent | None:
        """Return a consent with the end of its chain, or None."""
        return next(iter(self._held(consents.c.consent_id == consent_id)), None)

    def find_consent(self, consent_id: str) -> Consent | None:
        """Return a consent, or None."""
        held = self.find_one(consent_id)
        return None if held is None else held.consent

    def find_of_citizen(self, citizen_id: str, limit: int = 201, before: str = "") -> Sequence[Consent]:
        """Return a person's consents: what has not ended, then what has; the latest change first.

        So no number of ended ones keeps what is still given from being seen. before: id of an ended consent;
        then only what comes after it in that order.
        """
        is_ended = consents.c.state.in_(sorted(FINAL))
        statement = (
            select(consents.c.record)
            .where(consents.c.citizen_id == citizen_id)
            .order_by(is_ended, consents.c.state_since_at.desc(), consents.c.consent_id.desc())
            .limit(limit)
        )
        if before:
            statement = statement.where(
                is_ended, _is_after(consents.c, "state_since_at", "consent_id", before)
            )
        with store_answers(), self._engine.connect() as connection:
            return [consent_from(row.record) for row in connection.execute(statement)]

    def find_active_ids(self, citizen_id: str) -> Sequence[str]:
        """Return all consents of a person that are kept as active, the latest change first."""
        statement = (
            select(consents.c.consent_id)
            .where(consents.c.citizen_id == citizen_id, consents.c.state == "active")
            .order_by(consents.c.state_since_at.desc(), consents.c.consent_id)
        )
        with store_answers(), self._engine.connect() as connection:
            return [str(one) for one in connection.execute(statement).scalars()]

    def find_of_request(self, request_id: str) -> Sequence[HeldConsent]:
        """Return the consents that one request asks for."""
        return self._held(consents.c.request_id == request_id)

    def find_of_grant(self, grant_id: str) -> Sequence[HeldConsent]:
        """Return the consents that a grant rests on."""
        return self._held(consents.c.grant_id == grant_id)

    def find_living(self, citizen_id: str, organisation_id: str, purpose: str) -> Sequence[HeldConsent]:
        """Return what a person has given to a recipient for a purpose and is kept as not having ended."""
        return self._held(
            and_(
                consents.c.citizen_id == citizen_id,
                consents.c.organisation_id == organisation_id,
                consents.c.purpose == purpose,
                is_living(),
            )
        )

    def find_due(self, at: datetime, limit: int) -> Sequence[HeldConsent]:
        """Return consents that time alone has changed and nobody has written down yet."""
        with store_answers(), self._engine.connect() as connection:
            found = dict.fromkeys(connection.execute(due_ids(at, limit)).scalars())
        due = list(found)[:limit]
        return self._held(consents.c.consent_id.in_(due), limit) if due else ()

    def find_events(self, consent_id: str) -> Sequence[ChainedEvent]:
        """Return all events of a consent, oldest first."""
        statement = (
            select(consent_events)
            .where(consent_events.c.consent_id == consent_id)
            .order_by(consent_events.c.number)
        )
        with store_answers(), self._engine.connect() as connection:
            return [
                ChainedEvent(
                    consent_id=str(row.consent_id),
                    number=row.number,
                    type=row.type,
                    entry=bytes(row.entry),
                    entry_hash=bytes(row.entry_hash),
                    at=row.recorded_at,
                )
                for row in connection.execute(statement)
            ]

    def find_receipts(self, citizen_id: str, limit: int = 51, before: str = "") -> Sequence[IssuedReceipt]:
        """Return a person's receipts, the latest first. before: id of a receipt; then only those after it."""
        columns = consent_receipts.c
        statement = (
            select(consent_receipts)
            .where(columns.citizen_id == citizen_id)
            .order_by(columns.issued_at.desc(), columns.receipt_id.desc())
            .limit(limit)
        )
        if before:
            statement = statement.where(_is_after(columns, "issued_at", "receipt_id", before))
        with store_answers(), self._engine.connect() as connection:
            return [_receipt(row) for row in connection.execute(statement)]

    def find_receipt(self, receipt_id: str) -> IssuedReceipt | None:
        """Return one receipt, or None."""
        statement = select(consent_receipts).where(consent_receipts.c.receipt_id == receipt_id)
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _receipt(row)

    def write(
        self,
        writings: Sequence[ConsentWriting],
        evidence: Sequence[EvidenceRow],
        *,
        opening: RequestOpening | None = None,
        decided: tuple[str, datetime, str | None] | None = None,
        cancelled: tuple[str, datetime] | None = None,
        opened: tuple[str, datetime] | None = None,
        viewed: tuple[str, datetime] | None = None,
        step: RequestStep | None = None,
        redirect: tuple[bytes, datetime, Grant | None, IssuedCode | None] | None = None,
        grant: Mapping[str, Any] | None = None,
        ended: tuple[str, GrantEnd, datetime] | None = None,
    ) -> None:
        """Write all of one action, or nothing.

        opening: a request that begins with it. decided: (request_id, at, grant_id) of a request that ends
        with it. cancelled: (request_id, at) of one that is taken back. opened: (request_id, at) of one whose
        consents begin with it. viewed: (request_id, at) of one that was looked at. step: where a decision
        takes a request. redirect: (request_ref, at, grant, code) of the authorization endpoint's request that
        ends with it; without grant and code it was refused. grant: one that begins without a redirect, as the
        columns of its table.
        ended: (grant_id, by whom, at) of a grant that ends with all that lives under it.
        Raises ConsentMoved when anything is no longer as it was read, GrantNotFound where there was nothing
        to end.
        """
        sealed = [self._openings.seal(row) for row in evidence]
        with store_answers(), self._engine.begin() as connection:
            if redirect is not None:
                decide_redirect(connection, redirect)
            if grant is not None:
                connection.execute(grants.insert().values(dict(grant)))
            if opening is not None:
                keep_request(connection, opening)
            _check_request(connection, decided, cancelled, opened, step)
            if viewed is not None:
                note_viewed(connection, *viewed)
            hold_consents(connection, writings)
            for writing in writings:
                write_consent(connection, writing)
            if cancelled is not None and is_undecided(connection, cancelled[0]):
                raise ConsentMoved("the request was opened in the meantime")
            if ended is not None:
                end_grant(connection, ended, is_empty=not writings)
            for row, beside in zip(evidence, sealed, strict=True):
                record_evidence(connection, row, beside)

    def _held(self, condition: Any, limit: int = 500) -> Sequence[HeldConsent]:
        last = (
            select(consent_events.c.number, consent_events.c.entry_hash)
            .where(consent_events.c.consent_id == consents.c.consent_id)
            .order_by(consent_events.c.number.desc())
            .limit(1)
            .lateral()
        )
        statement = (
            select(consents.c.record, last.c.number, last.c.entry_hash)
            .join(last, true())
            .where(condition)
            .order_by(consents.c.consent_id)
            .limit(limit)
        )
        with store_answers(), self._engine.connect() as connection:
            return [
                HeldConsent(
                    consent=consent_from(row.record),
                    event_count=row.number,
                    last_hash=bytes(row.entry_hash),
                )
                for row in connection.execute(statement)
            ]


def _is_after(columns: Any, at: str, key: str, before: str) -> ColumnElement[bool]:
    """Return the condition that a row comes after that of a key, the latest first.

    A key of somebody else's is as good as any instant: whose rows they are is a condition of its own.
    """
    row = columns[key].table.alias()
    place = select(row.c[at], row.c[key]).where(row.c[key] == before).scalar_subquery()
    return tuple_(columns[at], columns[key]) < place


def _check_request(
    connection: Connection,
    decided: tuple[str, datetime, str | None] | None,
    cancelled: tuple[str, datetime] | None,
    opened: tuple[str, datetime] | None,
    step: RequestStep | None,
) -> None:
    """Hold the request's row, and let it go where the action takes it. Raises ConsentMoved."""
    if decided is not None and not decide_request(connection, *decided):
        raise ConsentMoved("the request was decided, cancelled or has expired")
    if cancelled is not None and not cancel_request(connection, *cancelled):
        raise ConsentMoved("the request was decided, cancelled or has expired")
    if opened is not None and not is_unopened(connection, *opened):
        raise ConsentMoved("the request was opened already, or is over")
    if step is not None and not take_step(connection, step):
        raise ConsentMoved("the request is over, or more of it was decided in the meantime")


def _receipt(row: Any) -> IssuedReceipt:
    return IssuedReceipt(
        receipt_id=str(row.receipt_id),
        consent_id=str(row.consent_id),
        citizen_id=str(row.citizen_id),
        event_type=row.event_type,
        receipt=row.receipt,
        issued_at=row.issued_at,
    )
