"""The entry of an act, written in the transaction of the act: both are there, or neither.

A store that acts is opened with `Acts`, which knows who does it. One that was opened without can read and
nothing else, so there is no way to act and leave no entry.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import uuid_utils
from sqlalchemy import Connection

from broker.clock import Clock, system_clock
from broker.evidence.acting import IN_OFFICE, Acting, Drafts
from broker.evidence.administration_entry import Given
from broker.evidence.key_entry import KeyEvent, KeyPurpose
from broker.evidence.log_read_entry import Reader, What
from broker.evidence.policy_entry import PolicyEvent
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.evidence.recording import EvidenceRow
from broker.settings import Settings
from broker.storage.faults import store_answers
from broker.storage.openings import PostgresOpenings, SealedOpening
from broker.storage.session import Store
from broker.storage.tables import evidence_entries, evidence_openings


class NobodyActs(RuntimeError):
    """A store that was opened for reading was told to act: there is nobody whose entry it could write."""

    def __init__(self) -> None:
        super().__init__("this store was opened for reading: an act needs somebody who acts")


@dataclass(frozen=True, slots=True)
class Acts:
    """Writes the entries of one who acts. Every method writes within the caller's transaction.

    All raise ValueError for a value that no entry can hold; and of what is about a person StoreUnavailable
    and EvidenceSecretUnreadable, where it cannot be sealed. Then the transaction must not be committed.
    """

    drafts: Drafts
    seal: Callable[[EvidenceRow], SealedOpening]

    def by(self, acting: Acting) -> Acts:
        """Return the same for somebody else who acts."""
        return replace(self, drafts=self.drafts.by(acting))

    def administration(
        self,
        connection: Connection,
        act: str,
        target: str = "",
        *,
        given: tuple[tuple[Given, str], ...] = (),
        citizen_id: str = "",
    ) -> None:
        """Record an act of `broker.evidence.administration_entry.ACTS`. citizen_id: whose matter it is."""
        self._record(connection, self.drafts.administration(act, target, given, citizen_id))

    def policy_change(
        self,
        connection: Connection,
        agreement: str,
        event: PolicyEvent,
        *,
        revisions: tuple[str, str],
        registers: tuple[str, str],
    ) -> None:
        """Record a change of policy; hashes before and after."""
        self._record(connection, self.drafts.policy_change(agreement, event, revisions, registers))

    def key_event(
        self,
        connection: Connection,
        purpose: KeyPurpose,
        kid: str,
        event: KeyEvent,
        effective_at: datetime | None = None,
    ) -> None:
        """Record what happens to a key. effective_at: None for now."""
        self._record(connection, self.drafts.key_event(purpose, kid, event, effective_at))

    def log_read(
        self,
        connection: Connection,
        reader: Reader,
        what: What,
        *,
        data_subject: str = "",
        entry: str = "",
        period: tuple[datetime, datetime] | None = None,
    ) -> None:
        """Record a look into the log by somebody in office; see `broker.evidence.acting.Drafts.log_read`."""
        row = self.drafts.log_read(
            reader, what, IN_OFFICE, data_subject=data_subject, entry=entry, period=period
        )
        self._record(connection, row)

    def _record(self, connection: Connection, row: EvidenceRow) -> None:
        record_evidence(connection, row, self.opening_of(row))

    def opening_of(self, row: EvidenceRow) -> SealedOpening:
        """Return what is kept beside an entry. What is about nobody needs no key, and no look for one."""
        if row.data_subject_ref is None and row.data_subject_salt is None and row.payload_salt is None:
            return SealedOpening(row.year, None, None)
        return self.seal(row)


def acts_of(store: Store, settings: Settings, acting: Acting, clock: Clock = system_clock) -> Acts:
    """Return what writes the entries of one who acts, beside this store and under these keys."""
    openings = PostgresOpenings(store, settings.key_encryption_key_file.reveal())
    drafts = Drafts(
        acting=acting,
        clock=clock,
        new_reference=_new_reference,
        salts=_new_salt,
        data_subject_ref=KeyedPseudonyms(settings.pseudonym_key_file.reveal()).data_subject_ref,
    )
    return Acts(drafts, openings.seal)


def record_look(
    store: Store,
    acts: Acts,
    what: What,
    *,
    data_subject: str = "",
    entry: str = "",
    period: tuple[datetime, datetime] | None = None,
) -> None:
    """Record an auditor's look into the log, committed before anything of it is told.

    Raises StoreUnavailable, EvidenceSecretUnreadable.
    """
    with store_answers(), store.engine.begin() as connection:
        acts.log_read(connection, "auditor", what, data_subject=data_subject, entry=entry, period=period)


def record_act(store: Store, acts: Acts, act: str, target: str) -> None:
    """Record, in a transaction of its own, an act that is done elsewhere. Raises StoreUnavailable."""
    with store_answers(), store.engine.begin() as connection:
        acts.administration(connection, act, target)


def acting_in(acts: Acts | None) -> Acts:
    """Return who acts. Raises NobodyActs for a store that was opened for reading."""
    if acts is None:
        raise NobodyActs
    return acts


def record_evidence(connection: Connection, row: EvidenceRow, opening: SealedOpening) -> None:
    """Record one entry and what opens its commitments, within the caller's transaction."""
    entry = {"reference": row.reference, "kind": row.kind, "entry": row.entry}
    connection.execute(evidence_entries.insert().values(entry))
    values: dict[str, Any] = {
        "reference": row.reference,
        "key_year": opening.key_year,
        "person_link": opening.person_link,
        "sealed_salts": opening.sealed_salts,
    }
    connection.execute(evidence_openings.insert().values(values))


def _new_reference() -> str:
    return str(uuid_utils.uuid7())


def _new_salt() -> bytes:
    return secrets.token_bytes(32)
