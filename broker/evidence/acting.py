"""Who acts upon the broker itself, and the rows of evidence of what is done; nothing is written here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, cast

from broker.evidence.administration_entry import (
    Administration,
    AdministrationActor,
    Given,
    administration_entry_bytes,
)
from broker.evidence.canonical import commitment
from broker.evidence.key_entry import KeyActor, KeyChange, KeyEvent, KeyPurpose, key_entry_bytes
from broker.evidence.log_read_entry import LogRead, Reader, What, log_read_entry_bytes
from broker.evidence.person_keys import key_year
from broker.evidence.policy_entry import PolicyActor, PolicyChange, PolicyEvent, policy_entry_bytes
from broker.evidence.pseudonyms import CITIZEN_PREFIX
from broker.evidence.recording import EvidenceRow, RowKind

IN_OFFICE: Final = "L19_1_c"
"""Legal basis of operators and auditors who look into the log: the operation of a state agency by law."""
OPERATORS: Final = "operator"
"""In the place of the organisation where the keyed hash of an operator is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """Who acts: an operator, a client of the broker's own, or the broker by itself.

    acting_person: keyed hash in hex, None where nobody is known. client: through which, "" without one.
    """

    actor: AdministrationActor
    acting_person: str | None = None
    client: str = ""


BY_ITSELF: Final = Acting(actor="broker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """Drafts the entries of one who acts, each with a reference, instant and salt of its own.

    new_reference: fresh UUIDv7 as text. salts: 32 fresh random bytes. data_subject_ref: the keyed hash under
    which a person's evidence is found. All methods raise ValueError for a value that no entry can hold.
    """

    acting: Acting
    clock: Callable[[], datetime]
    new_reference: Callable[[], str]
    salts: Callable[[], bytes]
    data_subject_ref: Callable[[str], bytes]

    def by(self, acting: Acting) -> Drafts:
        """Return the same for somebody else who acts."""
        return replace(self, acting=acting)

    def administration(
        self, act: str, target: str, given: tuple[tuple[Given, str], ...], citizen_id: str
    ) -> EvidenceRow:
        """Return the row of an act. citizen_id: account whose matter it is, "" for nobody's."""
        reference, at = self.new_reference(), self.clock()
        commit, ref, salt = self._person(CITIZEN_PREFIX + citizen_id if citizen_id else "")
        done = Administration(
            reference=reference,
            at=at,
            act=act,
            target=target,
            actor=self.acting.actor,
            given=given,
            client=self.acting.client,
            data_subject_commit=commit,
            acting_person=self.acting.acting_person,
        )
        return _row("administration", reference, at, administration_entry_bytes(done), ref, salt)

    def policy_change(
        self, agreement: str, event: PolicyEvent, revisions: tuple[str, str], registers: tuple[str, str]
    ) -> EvidenceRow:
        """Return the row of a change of policy. revisions, registers: hashes, before and after."""
        reference, at = self.new_reference(), self.clock()
        change = PolicyChange(
            reference=reference,
            at=at,
            agreement=agreement,
            event=event,
            old_revision=revisions[0],
            new_revision=revisions[1],
            actor=cast(PolicyActor, self.acting.actor),
            old_registers=registers[0],
            new_registers=registers[1],
            acting_person=self.acting.acting_person,
        )
        return _row("policy_change", reference, at, policy_entry_bytes(change))

    def key_event(
        self, purpose: KeyPurpose, kid: str, event: KeyEvent, effective_at: datetime | None
    ) -> EvidenceRow:
        """Return the row of what happens to a key. effective_at: None for now."""
        reference, at = self.new_reference(), self.clock()
        change = KeyChange(
            reference=reference,
            at=at,
            purpose=purpose,
            kid=kid,
            event=event,
            effective_at=effective_at or at,
            actor=cast(KeyActor, self.acting.actor),
            acting_person=self.acting.acting_person,
        )
        return _row("key_event", reference, at, key_entry_bytes(change))

    def log_read(
        self,
        reader: Reader,
        what: What,
        legal_basis: str,
        *,
        data_subject: str = "",
        entry: str = "",
        period: tuple[datetime, datetime] | None = None,
    ) -> EvidenceRow:
        """Return the row of a look into the log.

        data_subject: by what evidence names whose it is, "" for nobody's. period: of the entries that were
        read, the end not included.
        """
        reference, at = self.new_reference(), self.clock()
        commit, ref, salt = self._person(data_subject)
        begin, end = (None, None) if period is None else period
        read = LogRead(
            reference=reference,
            at=at,
            reader=reader,
            what=what,
            legal_basis=legal_basis,
            data_subject_commit=commit,
            entry=entry,
            period_begin=begin,
            period_end=end,
            acting_person=self.acting.acting_person,
        )
        return _row("log_read", reference, at, log_read_entry_bytes(read), ref, salt)

    def _person(self, name: str) -> tuple[str | None, bytes | None, bytes | None]:
        """Return the commitment to a person, the reference that finds the entry, and the salt."""
        if not name:
            return None, None, None
        salt = self.salts()
        return commitment(salt, name.encode()), self.data_subject_ref(name), salt


def _row(
    kind: RowKind,
    reference: str,
    at: datetime,
    entry: bytes,
    ref: bytes | None = None,
    salt: bytes | None = None,
) -> EvidenceRow:
    return EvidenceRow(
        reference=reference,
        kind=kind,
        entry=entry,
        year=key_year(at),
        data_subject_ref=ref,
        data_subject_salt=salt,
        payload_salt=None,
    )
