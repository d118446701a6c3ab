"""`extract_own_record`: everybody may see what the agency holds about them (Law 91/2025 art. 4), recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from broker.actions.evidence_rows import released_pairs
from broker.actions.own_reading import OwnReader, OwnReading
from broker.actions.record_answer import told_fields
from broker.evidence.canonical import trusted_bytes
from policies.catalogue import Catalogue
from policies.forms import FormContext, FormRefused
from policies.minimise import minimise
from policies.model import FieldRelease, Value


@dataclass(frozen=True, slots=True)
class OwnField:
    """One value of the own record, as the page shows it. form: as it is shown, mostly the value itself."""

    name: str
    label_vi: str
    label_en: str
    form: str
    value: Value = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnGroup:
    """Fields that belong together. rows: one for what is held once per person, several where it repeats."""

    name: str
    label_vi: str
    label_en: str
    repeats: bool
    rows: tuple[tuple[OwnField, ...], ...]


@dataclass(frozen=True, slots=True)
class OwnRecord:
    """The record of whoever is signed in, already recorded under reference.

    source: name of the database; as_of: when it was last true.
    """

    reference: str
    source: str
    as_of: datetime
    groups: tuple[OwnGroup, ...]


@dataclass(frozen=True, slots=True)
class ExtractOwnRecord:
    """The verb with its doors. catalogue: for labels and for which fields belong together."""

    reading: OwnReading
    source_name: str
    catalogue: Catalogue

    def read(self, reader: OwnReader, at: datetime) -> OwnRecord:
        """Return the whole own record as the agreement with citizens permits it.

        Raises ReleaseRefused (recorded: level_too_low, session_not_active, limit_reached ...), SourceOutage,
        EvidenceUnavailable.
        """
        matter = self.reading.matter(reader, at)
        decision, context = matter.decision, FormContext(matter.on_date, matter.client.organisation_id)
        record = self.reading.fetch(matter, reader, decision)
        try:
            released = minimise(record, decision, context)
        except FormRefused as refused:
            self.reading.enforcement.refuse(
                matter, f"form_{refused.fact}", data_subject=record.data_subject, error=True
            )
        told = told_fields(decision, released, self.source_name, record.as_of)
        content = trusted_bytes({**told, "evidence_reference": matter.context.reference})
        self.reading.record(matter, record, content, released_pairs(decision, released))
        return OwnRecord(
            matter.context.reference,
            self.source_name,
            record.as_of,
            self._groups(decision.released, released.fields, released.groups),
        )

    def _groups(
        self,
        releases: tuple[FieldRelease, ...],
        fields: Mapping[str, Value],
        groups: Mapping[str, tuple[Mapping[str, Value], ...]],
    ) -> tuple[OwnGroup, ...]:
        forms = {one.field: one.form.name for one in releases}
        held: dict[str, list[str]] = {}
        for one in releases:
            held.setdefault(self.catalogue.fields[one.field].group, []).append(one.field)
        found = []
        for name, names in held.items():
            group = self.catalogue.groups[name]
            values = groups.get(name, ()) if group.repeats else (fields,)
            rows = tuple(tuple(self._field(one, forms[one], row.get(one)) for one in names) for row in values)
            found.append(OwnGroup(name, group.label_vi, group.label_en, group.repeats, rows))
        return tuple(found)

    def _field(self, name: str, form: str, value: Value) -> OwnField:
        held = self.catalogue.fields[name]
        return OwnField(name, held.label_vi, held.label_en, form, value)
