"""What a decision is made again from: the revision as it was kept, the consent of that version, the action.

None of it is guessed. What neither an entry nor the store holds is named by the replay, never filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeAlias

from policies.agreement import read_agreement
from policies.compile import AgreementTable, PolicySet, compile_policies
from policies.load import read_registers, registers_hash
from policies.model import PolicyError

Asks: TypeAlias = Literal["all", "some", "all_or_some"]
"""Whether an action asks for all that an agreement permits, or names fields."""


class NotReplayable(Exception):
    """The decision behind an entry cannot be made again. reason: in one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class KeptRegisters:
    """The register files of an instant, by the hash they were kept under. documents: file → text."""

    registers_hash: str
    documents: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KeptRevision:
    """One revision of an agreement as it was published. superseded_at: when the next one was, or None.

    registers: with which it was in force when the entry was written; None where they were not kept.
    """

    agreement_id: str
    revision_hash: str
    text: str
    published_at: datetime
    superseded_at: datetime | None
    registers: KeptRegisters | None


@dataclass(frozen=True, slots=True)
class RevisionThen:
    """One revision, ready to decide with. in_force_until: None where it is in force still."""

    policies: PolicySet
    agreement_id: str
    revision_hash: str
    in_force_from: datetime
    in_force_until: datetime | None

    @property
    def table(self) -> AgreementTable:
        """The revision's lookup tables."""
        return self.policies.tables[self.agreement_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentThen:
    """A consent as it stood at the version that an entry names, at the entry's instant.

    state: as time had made it by then. given: field → shape asked for, of what was given. days: first and
    last civil day, None where what was given has changed since and the days of that version are not kept.
    terms_revision: hash of the agreement as it stood when asked.
    """

    consent_id: str
    version: int
    client: str
    recipient: str
    agreement: str
    terms_revision: str
    purpose: str
    state: str
    given: Mapping[str, str]
    days: tuple[date, date] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFacts:
    """What the code of an action establishes by itself, the same for every request.

    supplied, established: as in `policies.model.DecisionRequest`; supplied_with_person: besides, when a staff
    member was named. lookup_keys: by which it can look up. recipient_kind: "" where the register says it.
    comparable: fields that it can compare; outcomes: reasons of an answer without data. batches: whether
    several persons may be asked about at once. carried_out: obligations that it carries out. checked_before:
    reasons for which it refuses whatever the policies said. shows_forms_of_others: it may show a field in the
    form of another agreement, as a preview does.
    """

    supplied: frozenset[str]
    supplied_with_person: frozenset[str] = frozenset()
    established: frozenset[str]
    lookup_keys: tuple[str, ...]
    recipient_kind: str = ""
    asks: Asks
    batches: bool = False
    comparable: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()
    carried_out: frozenset[str]
    checked_before: frozenset[str] = frozenset()
    rests_on_consent: bool = False
    shows_forms_of_others: bool = False


def revision_then(kept: KeptRevision) -> RevisionThen:
    """Return a kept revision ready to decide with.

    Raises NotReplayable: registers not kept, or a text that is not what its hash says.
    """
    registers = kept.registers
    if registers is None:
        raise NotReplayable("the registers with which this revision was in force then were not kept")
    if registers_hash(registers.documents) != registers.registers_hash:
        raise NotReplayable("the kept registers are not what their hash says")
    try:
        catalogue, read = read_registers(registers.documents)
        agreement = read_agreement(kept.text, f"revision {kept.revision_hash[:12]}", catalogue, read)
        policies = compile_policies([agreement], catalogue, read)
    except (PolicyError, KeyError) as fault:
        raise NotReplayable(f"the kept agreement cannot be read: {fault}") from None
    if agreement.revision_hash != kept.revision_hash:
        raise NotReplayable("the kept text of the agreement is not what its hash says")
    return RevisionThen(policies, agreement.id, kept.revision_hash, kept.published_at, kept.superseded_at)
