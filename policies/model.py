"""The values that travel between the stations: what is asked, what is decided, what is released.

All are frozen; nothing here reads a file, a clock or a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, TypeAlias

from policies.statistics_terms import DisclosureTerms, ExportLimits

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
    """The form in which a field is released: a name of the list in `policies.forms`, and parameters."""

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
    """One permitted field and the form in which alone it may leave; group "" = held once per person."""

    field: str
    form: Form
    group: str = ""


@dataclass(frozen=True, slots=True)
class RowScope:
    """Which rows of a repeating group may leave at all: a row outside is dropped before any form is applied.

    keep "own_units": the row's `field` must be one of the recipient's own unit codes (employers).
    keep "recent": the row's date `field` must lie in the last `months` months before the day of release.
    """

    group: str
    keep: Literal["own_units", "recent"]
    field: str
    months: int = 0


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
    row_scopes: tuple[RowScope, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation that signs: stable id and the name that citizens read."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Citation:
    """One article that carries a legal basis. certainty: "S", "S-full" or "U" (unverified: never law)."""

    instrument: str
    article: str
    certainty: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What citizens are told before they decide, beside the terms; each as (Vietnamese, English).

    afterwards: what the recipient does with the data and what becomes of them. who_else: who besides the
    recipient gets to see them. harm: what may come of sharing.
    """

    afterwards: tuple[str, str]
    who_else: tuple[str, str]
    harm: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """A permit: these fields may leave in this one form. `id` is unique inside its agreement.

    why: in English; why_vi: the same in Vietnamese, "" where the agreement does not say it.
    """

    id: str
    fields: tuple[str, ...]
    form: Form
    why: str
    why_vi: str = ""


@dataclass(frozen=True, slots=True)
class DenyRule:
    """A prohibition; it overrides every permit. All conditions that are given must hold for it to apply.

    fields: what it takes away; empty = the whole decision. recipients, recipient_kinds, purposes,
    lookup_keys: one of them is the request's (empty = any). established: all of them hold.
    not_established: none of them holds. first_day, last_day: inclusive civil days. batch: None = any.
    """

    id: str
    why: str
    fields: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    recipient_kinds: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    lookup_keys: frozenset[str] = frozenset()
    established: frozenset[str] = frozenset()
    not_established: frozenset[str] = frozenset()
    first_day: date = date.min
    last_day: date = date.max
    batch: bool | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """One sharing agreement (Decree 47/2020 art. 38), exactly as its file says.

    recipients: ids of the organisations named; empty = by accession: every organisation of
    `recipient_kind` that acceded to `accession_framework`. conditions: what must hold between data
    subject and recipient. computing_fields: read to compute an outcome, never released.
    row_scopes: which rows of repeating groups may leave. batch_maximum 0 = no batch.
    told: for citizens, exactly where consent is needed. hidden_days: for how many days each look stays out
    of the person's own history, 0 = not at all. items: the twelve items of art. 38, key → text.
    disclosure_control, export_limits: of tables, where nobody individually is concerned.
    text: the original file; revision_hash: SHA-256 (hex) over its canonical content, so a comment does not
    make a new revision.
    """

    id: str
    revision: int
    revision_hash: str
    file: str
    text: str
    title_vi: str
    title_en: str
    data_owner: Organisation
    action: str
    purpose: str
    recipient_kind: str
    recipients: frozenset[str]
    accession_framework: str
    legal_basis: str
    citations: tuple[Citation, ...]
    procedure: str
    risk_assessment: str
    complaint_contact: str
    conditions: frozenset[str]
    lookup_keys: tuple[str, ...]
    must_match: tuple[str, ...]
    must_supply: tuple[str, ...]
    computing_fields: tuple[str, ...]
    rules: tuple[Rule, ...]
    denies: tuple[DenyRule, ...]
    row_scopes: tuple[RowScope, ...]
    limits: tuple[Limit, ...]
    batch_maximum: int
    obligations: frozenset[str]
    retention_days: int
    valid_from: date
    valid_to: date
    review_date: date
    items: tuple[tuple[str, str], ...]
    told: Told | None = None
    hidden_days: int = 0
    disclosure_control: DisclosureTerms = field(default_factory=DisclosureTerms)
    export_limits: ExportLimits = field(default_factory=ExportLimits)
