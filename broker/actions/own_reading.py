"""A person's look at the own record, or at a represented child's: the stations that all such looks walk."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.actions.consented_fields import read_record
from broker.actions.enforcement import Enforcement
from broker.actions.evidence_rows import release_row
from broker.actions.matter import Matter
from broker.consent.record import DataRange
from broker.evidence.recording import AccessContext, OwnSession
from broker.oauth.registry import ClientFacts
from connectors.base import LookupKey, Source, SourceAnswerRefused, SourceUnavailable
from policies.civil_time import civil_date
from policies.model import Decision, DecisionRequest, Record
from policies.vocabulary import CARRIED_OUT

ACTION: Final = "extract_own_record"
AGREEMENT: Final = "citizen_own_record"
PURPOSE: Final = "obtain_own_record"
LEVEL: Final = 2
"""Least level of the sign-in (the agreement: after signing in at level 2)."""
CITIZEN_PAGES: Final = ClientFacts("citizen_pages", "data_subject", "citizen", None, (AGREEMENT,))
"""Who asks, in the evidence of such a look: the broker's own pages, for the data subject."""
CHILD_AGREEMENT: Final = "representative_child_record"
CHILD_PURPOSE: Final = "decide_for_a_child"
CHILD_PAGES: Final = ClientFacts("citizen_pages", "representative", "citizen", None, (CHILD_AGREEMENT,))
"""Who asks where a representative looks: the same pages, for whoever represents the data subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnReader:
    """Whoever is signed in: account, level and instant of the sign-in, and the 12 digits to look up.

    child_id: account of the child that this person represents, as the source has just said; the digits are
    the child's then. "" for the own record.
    """

    citizen_id: str
    level: int
    authenticated_at: datetime
    personal_id: str = field(repr=False)
    child_id: str = ""


@dataclass(frozen=True, slots=True)
class Looking:
    """How a look is decided on and recorded: under which agreement, what for, by whom, on what ground."""

    agreement: str
    purpose: str
    pages: ClientFacts
    established: str


OWN: Final = Looking(AGREEMENT, PURPOSE, CITIZEN_PAGES, "is_the_data_subject")
FOR_CHILD: Final = Looking(CHILD_AGREEMENT, CHILD_PURPOSE, CHILD_PAGES, "represents_the_data_subject")


@dataclass(frozen=True, slots=True)
class OwnReading:
    """The stations with their doors. source_deadline_seconds: for the one look-up."""

    enforcement: Enforcement
    source: Source
    source_deadline_seconds: float

    def matter(self, reader: OwnReader, at: datetime, asked: frozenset[str] | None = None) -> Matter:
        """Gather the facts and decide. asked: fields, None for all that the agreement permits.

        Raises ReleaseRefused (recorded), EvidenceUnavailable.
        """
        enforcement, on_date = self.enforcement, civil_date(at)
        looking = FOR_CHILD if reader.child_id else OWN
        reference = enforcement.new_reference()
        context = AccessContext(
            client_id=looking.pages.client_id,
            scopes=frozenset({ACTION}),
            token_hash=b"",
            proof_hash=None,
            proof_issued_at_seconds=None,
            at=at,
            reference=reference,
            request_id=reference,
        )
        decision = enforcement.policies.decide(
            DecisionRequest(
                action=ACTION,
                agreement_id=looking.agreement,
                recipient=looking.pages.organisation_id,
                recipient_kind=looking.pages.organisation_kind,
                purpose=looking.purpose,
                lookup_key="personal_id",
                on_date=on_date,
                supplied=frozenset(),
                established=frozenset({looking.established}),
                asked_fields=asked,
            )
        )
        session = OwnSession(reader.citizen_id, reader.authenticated_at)
        # A representative acts in somebody else's matter, and stands in the entry as whoever acted.
        who = enforcement.pseudonyms.data_subject_ref(CITIZEN_PREFIX + reader.citizen_id)
        acting = who if reader.child_id else None
        matter = Matter(
            context, ACTION, looking.pages, acting, None, None, on_date, decision, own_session=session
        )
        person = person_of(reader)
        if reader.level < LEVEL:
            enforcement.refuse(matter, "level_too_low", data_subject=person)
        if not decision.permitted:
            enforcement.refuse(matter, decision.reason, data_subject=person)
        if not decision.obligations <= CARRIED_OUT[ACTION]:
            enforcement.refuse(matter, "obligation_not_understood", data_subject=person)
        return matter

    def fetch(
        self, matter: Matter, reader: OwnReader, decision: Decision, days: DataRange | None = None
    ) -> Record:
        """Read what a decision permits of the person's record.

        Raises SourceOutage (recorded), ReleaseRefused (recorded: no record, or an answer of no use).
        """
        enforcement, person = self.enforcement, person_of(reader)
        key = LookupKey("personal_id", reader.personal_id)
        try:
            record = read_record(
                self.source, key, decision, days, matter.on_date, self.source_deadline_seconds
            )
        except SourceUnavailable as down:
            enforcement.report_outage(matter, down, person)
        except SourceAnswerRefused as refused:
            enforcement.refuse(matter, f"source_{refused.fact}", data_subject=person, error=True)
        if record is None:
            enforcement.refuse(matter, "record_not_found", data_subject=person)
        return record

    def record(
        self, matter: Matter, record: Record, content: bytes, released: tuple[tuple[str, str], ...]
    ) -> None:
        """Record the look, or refuse: only after this may anything be shown.

        The limit per acting person counts whoever looks. Raises ReleaseRefused (recorded),
        EvidenceUnavailable.
        """
        enforcement = self.enforcement
        row = release_row(
            matter,
            enforcement.pseudonyms,
            enforcement.salts,
            matter.context.reference,
            content,
            released=released,
            reason="",
            data_subject=record.data_subject,
        )
        enforcement.record(matter, [row], [record.data_subject], acting_ref=row.data_subject_ref)


def person_of(reader: OwnReader) -> str:
    """Return the name under which what came before a look-up stands in the history of whose record it is."""
    return CITIZEN_PREFIX + (reader.child_id or reader.citizen_id)
