"""`find_usage`: a citizens' portal asks who used the data of the person who is signed in there.

The stations of every other release: facts, decision, fetch (who the person is), record, respond. What leaves
is no field of the record but the own history, in a fixed shape; so that there is nothing to minimise. Each
question is an entry of the log (kind log_read) before anything of the history is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Protocol

from broker.actions.enforcement import Enforcement
from broker.actions.limits import counter_steps
from broker.actions.matter import Matter
from broker.evidence.canonical import commitment
from broker.evidence.log_read_entry import LogRead, log_read_entry_bytes
from broker.evidence.person_keys import key_year
from broker.evidence.pseudonyms import CITIZEN_PREFIX
from broker.evidence.recording import AccessContext, CounterStep, EvidenceRow
from broker.evidence.usage import Usage, UsageQuestion, UsageWords, find_usage, usage_of
from connectors.base import LookupKey, Source, SourceAnswerRefused, SourceUnavailable

ACTION: Final = "find_usage"
ESTABLISHED: Final = frozenset({"signed_in_at_portal"})
_COLUMNS: Final = ("personal_id",)


class UsageStore(Protocol):
    """The entries of the log about persons. All methods raise StoreUnavailable."""

    def iterate_releases(
        self, refs: Sequence[bytes], today: date
    ) -> Iterable[tuple[dict[str, object], tuple[str, str]]]:
        """Yield the releases about a person that are shown on a civil day, with their recipients' names."""
        ...

    def find_oldest(self) -> datetime | None:
        """Return the instant of the oldest entry of all, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class FindUsage:
    """The verb with its doors.

    citizen_of: personal id → account id, "" for none. words: for Vietnamese, then for English.
    """

    enforcement: Enforcement
    store: UsageStore
    source: Source
    citizen_of: Callable[[str], str]
    words: tuple[UsageWords, UsageWords]
    source_deadline_seconds: float

    def find(self, context: AccessContext, question: UsageQuestion, *, vietnamese: bool) -> dict[str, object]:
        """Return the answer of findUsage, after the evidence of the question is committed.

        Somebody whom nobody knows is answered like somebody whose data nobody used. Raises ReleaseRefused
        (recorded), SourceOutage (recorded), EvidenceUnavailable, StoreUnavailable.
        """
        enforcement = self.enforcement
        matter = enforcement.matter(
            context,
            ACTION,
            lookup_key="personal_id",
            supplied=frozenset(),
            established=ESTABLISHED,
            item_count=1,
            acting_person=None,
            encounter_reference=None,
        )
        names = self._names(matter, question.personal_id)
        person = names[0] if names else None
        if not question.is_own:
            # A portal's word that somebody acts for somebody else is not taken; the person sees the attempt.
            enforcement.refuse(matter, "not_the_signed_in_person", data_subject=person)
        row = self._row(matter, person)
        acting_ref = enforcement.pseudonyms.data_subject_ref(person or question.personal_id)
        more_steps = () if person else self._counted_alike(matter, acting_ref)
        enforcement.record(matter, [row], [person], acting_ref=acting_ref, more_steps=more_steps)
        refs = [enforcement.pseudonyms.data_subject_ref(name) for name in names]
        return dict(find_usage(self._usages(refs, matter.on_date, vietnamese=vietnamese), question))

    def _counted_alike(self, matter: Matter, ref: bytes) -> tuple[CounterStep, ...]:
        """Return the counter of a person's day for somebody whom nobody knows: no limit tells them apart."""
        decision, context = matter.decision, matter.context
        return counter_steps(
            [limit for limit in decision.limits if limit.scope == "data_subject_day"],
            now_seconds=int(context.at.timestamp()),
            agreement_id=decision.agreement_id,
            client_id=context.client_id,
            staff_ref=None,
            data_subject_refs=[ref],
        )

    def _names(self, matter: Matter, personal_id: str) -> Sequence[str]:
        """Return by what names evidence knows a person, none for nobody.

        Raises SourceOutage, ReleaseRefused: without the source a history would be told by halves.
        """
        key = LookupKey("personal_id", personal_id)
        try:
            record = self.source.fetch(key, _COLUMNS, self.source_deadline_seconds)
        except SourceUnavailable as down:
            self.enforcement.report_outage(matter, down)
        except SourceAnswerRefused as refused:
            self.enforcement.refuse(matter, f"source_{refused.fact}", error=True)
        account = self.citizen_of(personal_id)
        names = [] if record is None else [record.data_subject]
        return [*names, CITIZEN_PREFIX + account] if account else names

    def _row(self, matter: Matter, person: str | None) -> EvidenceRow:
        """Return the evidence of a question. person: by which name the log knows whose history it is."""
        context, pseudonyms = matter.context, self.enforcement.pseudonyms
        salt = None if person is None else self.enforcement.salts()
        read = LogRead(
            reference=context.reference,
            at=context.at,
            reader="portal",
            what="history",
            legal_basis=matter.decision.legal_basis,
            data_subject_commit=(
                None if person is None or salt is None else commitment(salt, person.encode())
            ),
            client=matter.client.client_id,
            recipient=matter.client.organisation_id,
            agreement=matter.decision.agreement_id,
            agreement_revision=matter.decision.revision_hash,
        )
        return EvidenceRow(
            reference=context.reference,
            kind="log_read",
            entry=log_read_entry_bytes(read),
            year=key_year(context.at),
            data_subject_ref=None if person is None else pseudonyms.data_subject_ref(person),
            data_subject_salt=salt,
            payload_salt=None,
        )

    def _usages(self, refs: Sequence[bytes], today: date, *, vietnamese: bool) -> Iterable[Usage]:
        index = 0 if vietnamese else 1
        for entry, names in self.store.iterate_releases(refs, today):
            usage = usage_of(entry, names[index] or names[1 - index], self.words[index])
            if usage is not None:
                yield usage
