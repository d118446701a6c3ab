"""The values that travel between the stations: what is asked, what is decided, what is released.

All are frozen; nothing here reads a file, a clock or a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, TypeAlias

Value: TypeAlias = str | int | bool | date | datetime | None
"""What one field of a record may hold; amounts are integers in VND."""

LimitScope: TypeAlias = Literal["client_day", "acting_person_hour", "data_subject_day"]


class PolicyError(Exception):
    """A policy file cannot be accepted: names file, key, line (from 1; 0 when unknown) and remedy."""

    def __init__(self, file: str, key: str, line: int, remedy: str) -> None:
        super().__init__(f"{file}:{line}: {key}: {remedy}" if line else f"{file}: {key}: {remedy}")
        self.file = file
        self.key = key
        self.line = line
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Form:
    """The form in which a field is released: a name of the closed list in `policies.forms`, and its parameters."""

    name: str
    parameters: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` answered look-ups per scope and window."""

    scope: LimitScope
    count: int


@dataclass(frozen=True, slots=True)
class ConsentFacts:
    """What the consent ledger says about one consent, as the decision needs it."""

    consent_id: str
    consent_version: int
    state: str
    purpose: str
    recipient: str
    fields: frozenset[str]
    valid_from: date
    valid_to: date


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """One question to the policies. Every member is a fact that was established before asking.

    action: action-id, e.g. verify_entitlement. recipient, recipient_kind: organisation that asks.
    lookup_key: catalogue field by which the data subject is looked up. on_date: civil day of Viet Nam.
    supplied: what the asker gave besides the key (match fields, encounter_reference, acting_person ...).
    established: facts about how the data subject relates to the recipient, e.g. presenting_at_facility.
    asked_fields: None asks for everything that the agreement permits. item_count: more than 1 for a batch.
    """

    action: str
    agreement_id: str
    recipient: str
    recipient_kind: str
    purpose: str
    lookup_key: str
    on_date: date
    supplied: frozenset[str]
    established: frozenset[str]
    asked_fields: frozenset[str] | None = None
    consent: ConsentFacts | None = None
    item_count: int = 1


@dataclass(frozen=True, slots=True)
class FieldRelease:
    """One permitted field and the form in which alone it may leave."""

    field: str
    form: Form


@dataclass(frozen=True, slots=True)
class Withheld:
    """One asked field that may not leave, and the code that says why."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of the policies, with its reasons.

    reason: "permitted", or the code of the first thing that denied. determining_rules: ids of the rules
    that decided. source_columns: all that the source may be asked for: permitted fields, fields that must
    match, and fields used to compute the outcome. must_match: catalogue fields that must agree with the
    asker's words before anything is said. retention_days: how long the recipient may keep the answer.
    """

    permitted: bool
    reason: str
    determining_rules: tuple[str, ...]
    agreement_id: str = ""
    revision: int = 0
    revision_hash: str = ""
    purpose: str = ""
    legal_basis: str = ""
    released: tuple[FieldRelease, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    source_columns: tuple[str, ...] = ()
    must_match: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    obligations: frozenset[str] = frozenset()
    retention_days: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What the source answered about one data subject.

    data_subject: opaque internal key of the source, never a number printed on a card.
    fields: catalogue field → value, for groups held once per person.
    groups: group → rows, for groups that repeat (hi_cards, contributions ...); each row field → value.
    as_of: instant at which the source's data were true.
    """

    data_subject: str
    as_of: datetime
    fields: Mapping[str, Value] = field(default_factory=dict)
    groups: Mapping[str, tuple[Mapping[str, Value], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Released:
    """What minimise leaves of a record: the permitted fields in their permitted form, and nothing else."""

    fields: Mapping[str, Value]
    groups: Mapping[str, tuple[Mapping[str, Value], ...]]
