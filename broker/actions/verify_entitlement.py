"""`verify_entitlement`: does this person's health insurance hold on this day? By law, without consent.

A hospital asks at reception (Decree 188/2025 arts 37-38; Circular 12/2026/TT-BTC art. 4, both read in
secondary sources). What leaves: the outcome, and for a person whose name and birth date matched the
permitted fields of the card or cards that count. A mismatch says so and carries no card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from broker.actions.doors import Countdown
from broker.actions.enforcement import Enforcement
from broker.actions.entitlement_answer import CARD_GROUP, answer_content
from broker.actions.entitlement_outcome import (
    BENEFIT_CODE_WRONG,
    BIRTH_DATE_WRONG,
    ISSUING_PROVINCE_WRONG,
    NAME_NEAR,
    NAME_WRONG,
    NOT_FOUND,
    NUMBER_WRONG,
    SOURCE_FAULT,
    EntitlementOutcome,
    decide_entitlement,
)
from broker.actions.entitlement_question import COMPARABLE, EntitlementQuestion, match_person
from broker.actions.evidence_rows import release_row, released_pairs
from broker.actions.matter import ActingPerson, Matter
from broker.evidence.canonical import trusted_bytes
from broker.evidence.recording import AccessContext, EvidenceRow
from connectors.base import LookupKey, Source, SourceAnswerRefused, SourceUnavailable
from policies.forms import FormContext, FormRefused
from policies.minimise import minimise
from policies.model import Record, Released

ACTION: Final = "verify_entitlement"
RECORD_SECONDS: Final = 0.5
"""What a request keeps back from the source, so that its answer can still be recorded."""
TOLD_REASONS: Final = frozenset(
    {
        "status_only",
        *(
            one.name
            for one in (
                NOT_FOUND,
                NUMBER_WRONG,
                ISSUING_PROVINCE_WRONG,
                BENEFIT_CODE_WRONG,
                NAME_WRONG,
                NAME_NEAR,
                BIRTH_DATE_WRONG,
                SOURCE_FAULT,
            )
        ),
    }
)
"""What evidence says of an answer without a card; a status of a person is not named."""
SUPPLIED: Final = frozenset({"full_name", "birth_date", "service_date", "encounter_reference"})
SUPPLIED_WITH_PERSON: Final = SUPPLIED | {"acting_person"}
ESTABLISHED: Final = frozenset({"presenting_at_facility"})


@dataclass(frozen=True, slots=True)
class EntitlementAnswer:
    """What may be said: content is the canonical JSON of the answer, already recorded under reference."""

    reference: str
    content: bytes
    outcome: str
    gateway_code: str


@dataclass(frozen=True, slots=True)
class _Examined:
    """One question after fetch and minimise, before record."""

    answer: EntitlementAnswer
    row: EvidenceRow
    data_subject: str | None


@dataclass(frozen=True, slots=True)
class VerifyEntitlement:
    """The verb with its doors. source_deadline_seconds: for all look-ups of one request together."""

    enforcement: Enforcement
    source: Source
    countdown: Countdown
    source_deadline_seconds: float

    def check(
        self, context: AccessContext, question: EntitlementQuestion, acting_person: ActingPerson | None
    ) -> EntitlementAnswer:
        """Return the answer to one question, after its evidence is committed.

        Raises ReleaseRefused (recorded), SourceOutage (recorded), EvidenceUnavailable (nothing left).
        """
        matter = self._matter(context, [question], acting_person, question.encounter_reference)
        try:
            record = self._fetch(matter, question, self.source_deadline_seconds)
        except SourceAnswerRefused as refused:
            self.enforcement.refuse(
                matter, f"source_{refused.fact}", gateway_code=SOURCE_FAULT.gateway_code, error=True
            )
        examined = self._examine(matter, question, record, context.reference)
        self.enforcement.record(matter, [examined.row], [examined.data_subject])
        return examined.answer

    def check_batch(
        self,
        context: AccessContext,
        questions: Sequence[EntitlementQuestion],
        acting_person: ActingPerson | None,
    ) -> list[EntitlementAnswer]:
        """Return one answer per question, in order; all are recorded in one commit, or none is said.

        A record that the source cannot give cleanly is answered for that item alone (code 100).
        Raises like `check`; a limit refuses the whole batch.
        """
        matter = self._matter(context, questions, acting_person, None)
        left_seconds = self.countdown(self.source_deadline_seconds)
        examined: list[_Examined] = []
        for position, question in enumerate(questions):
            reference = context.reference if position == 0 else self.enforcement.new_reference()
            item = replace(matter, encounter=self._encounter(matter, question))
            try:
                record = self._fetch(matter, question, left_seconds())
            except SourceAnswerRefused:
                examined.append(self._answered(item, SOURCE_FAULT, None, reference))
                continue
            examined.append(self._examine(item, question, record, reference))
        self.enforcement.record(matter, [one.row for one in examined], [one.data_subject for one in examined])
        return [one.answer for one in examined]

    def _matter(
        self,
        context: AccessContext,
        questions: Sequence[EntitlementQuestion],
        acting_person: ActingPerson | None,
        encounter_reference: str | None,
    ) -> Matter:
        """Stations facts and decide. Every look-up key of a batch must be permitted."""
        matter: Matter | None = None
        for lookup_key in _lookup_keys(questions):
            matter = self.enforcement.matter(
                context,
                ACTION,
                lookup_key=lookup_key,
                supplied=SUPPLIED if acting_person is None else SUPPLIED_WITH_PERSON,
                established=ESTABLISHED,
                item_count=len(questions),
                acting_person=acting_person,
                encounter_reference=encounter_reference,
            )
        if matter is None:
            raise ValueError("a check asks at least one question")
        if not COMPARABLE.issuperset(matter.decision.must_match):
            self.enforcement.refuse(matter, "match_not_understood")
        return matter

    def _encounter(self, matter: Matter, question: EntitlementQuestion) -> str:
        return self.enforcement.pseudonyms.encounter_ref(
            matter.client.organisation_id, question.encounter_reference
        )

    def _fetch(self, matter: Matter, question: EntitlementQuestion, deadline_seconds: float) -> Record | None:
        """Station fetch: only the permitted columns, one round trip."""
        number = question.number
        key = LookupKey(number.lookup_field, number.lookup_value)
        allowed_seconds = min(deadline_seconds, matter.context.left_seconds() - RECORD_SECONDS)
        try:
            return self.source.fetch(key, matter.decision.source_columns, allowed_seconds)
        except SourceUnavailable as down:
            self.enforcement.report_outage(matter, down)

    def _examine(
        self, matter: Matter, question: EntitlementQuestion, record: Record | None, reference: str
    ) -> _Examined:
        """Compare, choose the outcome, minimise, and draft the answer with its evidence."""
        if record is None:
            return self._answered(matter, NOT_FOUND, None, reference)
        outcome = match_person(question, record, matter.decision.must_match) or decide_entitlement(
            question.number, record.groups.get(CARD_GROUP, ()), question.service_date
        )
        return self._answered(matter, outcome, record, reference)

    def _answered(
        self, matter: Matter, outcome: EntitlementOutcome, record: Record | None, reference: str
    ) -> _Examined:
        cards = [card for card in (outcome.card, outcome.new_card) if card is not None]
        released = Released({}, {})
        if record is not None and cards:
            shown = Record(record.data_subject, record.as_of, {}, {CARD_GROUP: tuple(cards)})
            context = FormContext(matter.on_date, matter.client.organisation_id)
            try:
                released = minimise(shown, matter.decision, context)
            except FormRefused as refused:
                self.enforcement.refuse(
                    matter, f"form_{refused.fact}", data_subject=record.data_subject, error=True
                )
        content = trusted_bytes(answer_content(matter, outcome, record, released, reference))
        data_subject = None if record is None else record.data_subject
        row = release_row(
            matter,
            self.enforcement.pseudonyms,
            self.enforcement.salts,
            reference,
            content,
            released=released_pairs(matter.decision, released) if cards else (),
            reason="" if cards else _told_reason(outcome),
            data_subject=data_subject,
        )
        return _Examined(
            EntitlementAnswer(reference, content, outcome.name, outcome.gateway_code), row, data_subject
        )


def _lookup_keys(questions: Sequence[EntitlementQuestion]) -> Sequence[str]:
    if len(questions) == 1:
        return (questions[0].number.lookup_field,)
    return sorted({question.number.lookup_field for question in questions})


def _told_reason(outcome: EntitlementOutcome) -> str:
    """The reason in evidence of an answer without card: a mismatch is named, a status of a person is not."""
    return outcome.name if outcome.name in TOLD_REASONS else "status_only"
