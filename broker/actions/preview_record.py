"""What would leave: each asked field in the form in which a recipient would get it, for who decides alone.

The same fetch and the same minimise as the release that may follow. It is the person's look at the own
record, or a representative's at a child's, and is recorded as one (`extract_own_record`, legal basis SELF):
nothing has gone to the recipient, and the history must not say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from broker.actions.consented_fields import MATCHED_BY_CONSENT, rows_in_range
from broker.actions.evidence_rows import released_pairs
from broker.actions.own_reading import OwnReader, OwnReading
from broker.actions.record_answer import told_fields
from broker.consent.record import DataRange
from broker.errors import EvidenceUnavailable, ReleaseRefused, SourceOutage
from broker.evidence.canonical import trusted_bytes
from policies.civil_time import civil_date
from policies.forms import FormContext, FormRefused
from policies.minimise import minimise
from policies.model import ConsentFacts, Decision, DecisionRequest, Released, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRecord:
    """What a recipient asks for: enough of the request to see what would leave."""

    agreement_id: str
    purpose: str
    organisation_id: str
    organisation_kind: str
    field_names: frozenset[str]
    data_range: DataRange | None = None


@dataclass(frozen=True, slots=True)
class PreviewRecord:
    """The verb with its doors."""

    reading: OwnReading
    source_name: str

    def preview(
        self, reader: OwnReader, asked: AskedRecord, at: datetime
    ) -> Mapping[str, tuple[Value, ...]] | None:
        """Return asked field → the values that would leave, one per row where it repeats.

        None where nothing can be shown now (sign-in too weak, daily limit of looks, source or store away).
        The decision does not depend on it, so the page stands without; nothing is raised for these.
        """
        try:
            return self._preview(reader, asked, at)
        except (ReleaseRefused, SourceOutage, EvidenceUnavailable):
            return None

    def _preview(
        self, reader: OwnReader, asked: AskedRecord, at: datetime
    ) -> Mapping[str, tuple[Value, ...]] | None:
        would = self._decision(asked, at)
        if not would.permitted:
            return None
        matter = self.reading.matter(reader, at, frozenset(one.field for one in would.released))
        own = {one.field for one in matter.decision.released}
        if any(one.field not in own for one in would.released):
            return None
        record = self.reading.fetch(matter, reader, would, asked.data_range)
        shown = rows_in_range(record, asked.data_range, matter.on_date)
        try:
            released = minimise(shown, would, FormContext(matter.on_date, asked.organisation_id))
        except FormRefused:
            return None
        told = told_fields(would, released, self.source_name, record.as_of)
        content = trusted_bytes({**told, "evidence_reference": matter.context.reference})
        self.reading.record(matter, record, content, released_pairs(would, released))
        return {one.field: _values(released, one.field, one.group) for one in would.released}

    def _decision(self, asked: AskedRecord, at: datetime) -> Decision:
        """Return what the policies would permit, had the person given all that is asked."""
        day = civil_date(at)
        return self.reading.enforcement.policies.decide(
            DecisionRequest(
                action="share_record",
                agreement_id=asked.agreement_id,
                recipient=asked.organisation_id,
                recipient_kind=asked.organisation_kind,
                purpose=asked.purpose,
                lookup_key="personal_id",
                on_date=day,
                supplied=MATCHED_BY_CONSENT,
                established=frozenset(),
                asked_fields=asked.field_names,
                consent=ConsentFacts(
                    "", 1, "given", asked.purpose, asked.organisation_id, asked.field_names, day, day
                ),
            )
        )


def _values(released: Released, name: str, group: str) -> tuple[Value, ...]:
    if name in released.fields:
        return (released.fields[name],)
    return tuple(row[name] for row in released.groups.get(group, ()))
