"""The registers an agreement refers to, read from data files: legal bases, instruments, purposes, recipients.

Statutes, purposes and kinds of recipients change without code; what is not understood is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from policies.catalogue import TOPICS, Catalogue
from policies.reading import Table, read_toml
from policies.vocabulary import CERTAINTIES, DPV, NEEDS, SECTORS


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """One basis of the register. needs: consent | procedure | nothing. certainty: S | S-full | U."""

    code: str
    instrument: str
    article: str
    valid_from: date
    valid_to: date
    needs: str
    certainty: str
    dpv: str
    label_vi: str
    label_en: str


@dataclass(frozen=True, slots=True)
class Instrument:
    """A law, decree or circular and the days on which it applies."""

    key: str
    title_vi: str
    title_en: str
    valid_from: date
    valid_to: date
    certainty: str


@dataclass(frozen=True, slots=True)
class Purpose:
    """What fields are needed for; dpv: IRIs of the Data Privacy Vocabulary 2.x."""

    code: str
    dpv: tuple[str, ...]
    label_vi: str
    label_en: str


@dataclass(frozen=True, slots=True)
class RecipientKind:
    """A kind of recipient; sector public | private | person; legal_bases: codes open to it."""

    code: str
    sector: str
    legal_bases: frozenset[str]
    label_vi: str
    label_en: str


@dataclass(frozen=True, slots=True)
class Prohibition:
    """What no agreement with these kinds of recipients may permit: fields by name or by topic."""

    id: str
    recipient_kinds: frozenset[str]
    fields: frozenset[str]
    why: str


@dataclass(frozen=True, slots=True)
class HiddenRecipient:
    """Whose looks an agreement may keep from the person for a while, by which article, and for how long.

    days_maximum: from the look; extended_days_maximum: with every extension. certainty: S | S-full.
    """

    organisation: str
    kind: str
    legal_basis: str
    instrument: str
    article: str
    certainty: str
    days_maximum: int
    extended_days_maximum: int
    why: str


@dataclass(frozen=True, slots=True)
class Registers:
    """Everything an agreement may refer to."""

    legal_bases: Mapping[str, LegalBasis]
    instruments: Mapping[str, Instrument]
    purposes: Mapping[str, Purpose]
    recipient_kinds: Mapping[str, RecipientKind]
    prohibitions: tuple[Prohibition, ...]
    hidden_reads: Mapping[str, HiddenRecipient]


def _iri(entry: Table, key: str, value: str) -> str:
    if not value.startswith(DPV) or len(value) == len(DPV):
        raise entry.refusal(key, f"must be a term under {DPV}")
    return value


def read_legal_bases(text: str, file: str) -> tuple[dict[str, LegalBasis], dict[str, Instrument]]:
    """Read legal_bases.toml. Raises PolicyError for anything not understood."""
    top = read_toml(text, file)
    instruments: dict[str, Instrument] = {}
    for key in (table := top.table("instruments")).keys:
        entry = table.table(key)
        instruments[key] = Instrument(
            key,
            entry.text("title_vi"),
            entry.text("title_en"),
            entry.day("valid_from"),
            entry.day("valid_to", date.max),
            entry.word("certainty", CERTAINTIES),
        )
        entry.finish()
    bases: dict[str, LegalBasis] = {}
    for code in (table := top.table("bases")).keys:
        entry = table.table(code)
        bases[code] = LegalBasis(
            code,
            entry.word("instrument", instruments),
            entry.text("article"),
            entry.day("valid_from"),
            entry.day("valid_to", date.max),
            entry.word("needs", NEEDS),
            entry.word("certainty", CERTAINTIES),
            _iri(entry, "dpv", entry.text("dpv")),
            entry.text("label_vi"),
            entry.text("label_en"),
        )
        entry.finish()
    top.finish()
    return bases, instruments


def read_purposes(text: str, file: str) -> dict[str, Purpose]:
    """Read purposes.toml. Raises PolicyError for anything not understood."""
    top = read_toml(text, file)
    purposes: dict[str, Purpose] = {}
    for code in (table := top.table("purposes")).keys:
        entry = table.table(code)
        dpv = tuple(_iri(entry, "dpv", iri) for iri in entry.words("dpv", None, minimum=1))
        purposes[code] = Purpose(code, dpv, entry.text("label_vi"), entry.text("label_en"))
        entry.finish()
    top.finish()
    return purposes


def read_recipient_kinds(text: str, file: str, bases: Mapping[str, LegalBasis]) -> dict[str, RecipientKind]:
    """Read recipient_kinds.toml. Raises PolicyError for anything not understood."""
    top = read_toml(text, file)
    kinds: dict[str, RecipientKind] = {}
    for code in (table := top.table("kinds")).keys:
        entry = table.table(code)
        kinds[code] = RecipientKind(
            code,
            entry.word("sector", SECTORS),
            frozenset(entry.words("legal_bases", bases, minimum=1)),
            entry.text("label_vi"),
            entry.text("label_en"),
        )
        entry.finish()
    top.finish()
    return kinds


def read_prohibitions(
    text: str, file: str, kinds: Mapping[str, RecipientKind], catalogue: Catalogue
) -> tuple[Prohibition, ...]:
    """Read prohibitions.toml; topics become the fields that reveal them. Raises PolicyError."""
    top = read_toml(text, file)
    prohibitions = []
    for entry in top.tables("prohibition", optional=True):
        topics = set(entry.words("topics", TOPICS, optional=True))
        named = set(entry.words("fields", catalogue.fields, optional=True))
        if not topics and not named:
            raise entry.refusal("", "forbids nothing; name topics or fields")
        fields = named | {name for name, field in catalogue.fields.items() if field.reveals & topics}
        prohibitions.append(
            Prohibition(
                entry.text("id"),
                frozenset(entry.words("recipient_kinds", kinds, minimum=1)),
                frozenset(fields),
                entry.text("why"),
            )
        )
        entry.finish()
    top.finish()
    return tuple(prohibitions)
