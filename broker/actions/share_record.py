"""`share_record`: fields of one person's record to one recipient, on that person's consent and no further.

The recipient names nobody: its token names the consent, and the consent the person. That is also how the
person is matched: by having signed in and decided (docs/adr/0016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from broker.actions.consent_facts import (
    ConsentFactsDoor,
    consent_details,
    consent_facts,
    fetch_facts,
    frequency_steps,
    wait_seconds,
)
from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.actions.consented_fields import MATCHED_BY_CONSENT, consented, read_record, rows_in_range
from broker.actions.enforcement import Enforcement
from broker.actions.evidence_rows import release_row, released_pairs
from broker.actions.matter import Matter, unfounded_matter
from broker.actions.record_answer import shared_content, told_fields
from broker.consent.check import find_denial
from broker.consent.consented import ConsentedFacts
from broker.consent.record import Consent
from broker.errors import InputFault, RequestMalformed
from broker.evidence.canonical import trusted_bytes
from broker.evidence.recording import AccessContext, ConsentBasis
from broker.oauth.registry import ClientFacts
from connectors.base import LookupKey, Source, SourceAnswerRefused, SourceUnavailable
from policies.civil_time import civil_date
from policies.forms import FormContext, FormRefused
from policies.minimise import minimise
from policies.model import Decision, DecisionRequest, Record
from policies.vocabulary import CARRIED_OUT

ACTION: Final = "share_record"
RECORD_SECONDS: Final = 0.5
"""What a request keeps back from the source, so that its answer can still be recorded."""


@dataclass(frozen=True, slots=True)
class SharedRecord:
    """What may be said: content is the canonical JSON of the answer, already recorded under reference."""

    reference: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ShareRecord:
    """The verb with its doors. source_name: as provenance; source_deadline_seconds: for the one look-up."""

    enforcement: Enforcement
    consents: ConsentFactsDoor
    source: Source
    source_name: str
    source_deadline_seconds: float

    def read(self, context: AccessContext, consent_id: str | None = None) -> SharedRecord:
        """Return what the consent of a token lets out, after its evidence is committed.

        consent_id: which of them, where a token rests on several. Raises RequestMalformed (several and none
        named), ReleaseRefused (recorded), SourceOutage (recorded), EvidenceUnavailable, StoreUnavailable.
        """
        client, detail = self._asked(context, consent_id)
        named = str(detail["consent_id"])
        found = self.consents.find_consented(context.token_hash, context.client_id, named)
        if found is None:
            self._refuse_unfounded(context, client, "token_not_active")
        matter, consent = self._matter(context, client, found, detail), found.consent
        person = CITIZEN_PREFIX + consent.citizen_id
        try:
            record = read_record(
                self.source,
                LookupKey("personal_id", found.personal_id),
                matter.decision,
                consent.readable_range,
                matter.on_date,
                min(self.source_deadline_seconds, context.left_seconds() - RECORD_SECONDS),
            )
        except SourceUnavailable as down:
            self.enforcement.report_outage(matter, down, person)
        except SourceAnswerRefused as refused:
            self.enforcement.refuse(matter, f"source_{refused.fact}", data_subject=person, error=True)
        if record is None:
            self.enforcement.refuse(matter, "record_not_found", data_subject=person)
        return self._share(matter, consent, record)

    def _asked(self, context: AccessContext, consent_id: str | None) -> tuple[ClientFacts, Mapping[str, Any]]:
        """Return who asks and which detail of the token is meant."""
        client = self.enforcement.facts.find_client(context.client_id)
        if client is None:
            unknown = ClientFacts(context.client_id, "unknown", "unknown", None, ())
            self._refuse_unfounded(context, unknown, "client_not_active")
        if ACTION not in context.scopes:
            self._refuse_unfounded(context, client, "scope_insufficient")
        details = consent_details(context.authorization_details, consent_id)
        if not details:
            self._refuse_unfounded(context, client, "authorization_details_insufficient")
        if len(details) > 1:
            raise RequestMalformed((InputFault("/consent_id", "The token rests on several: name one."),))
        if "consent_id" not in details[0]:
            self._refuse_unfounded(context, client, "consent_missing")
        return client, details[0]

    def _refuse_unfounded(self, context: AccessContext, client: ClientFacts, reason: str) -> NoReturn:
        """Refuse before it is known whose record is meant."""
        matter = unfounded_matter(context, ACTION, client, civil_date(context.at))
        self.enforcement.refuse(matter, reason)

    def _matter(
        self, context: AccessContext, client: ClientFacts, found: ConsentedFacts, detail: Mapping[str, Any]
    ) -> Matter:
        """Stations facts and decide: the checks at fetch in their order, then the policies."""
        consent, on_date = found.consent, civil_date(context.at)
        terms, person = consent.terms, CITIZEN_PREFIX + consent.citizen_id
        undecided = Decision(
            False,
            "",
            (),
            agreement_id=terms.agreement_id,
            revision_hash=terms.revision_hash,
            purpose=terms.purpose,
            withheld=(),
        )
        basis = ConsentBasis(consent.consent_id, consent.version)
        matter = Matter(context, ACTION, client, None, None, None, on_date, undecided, basis)
        # Only a consent with a frequency pays for the look at its counter.
        used_count = sum(self.consents.used_count(one) for one in frequency_steps(consent, context.at))
        denial = find_denial(fetch_facts(found, detail, client, used_count, context.at), context.at)
        if denial is not None:
            reason = "token_not_active" if denial == "token_invalid" else denial
            wait = wait_seconds(consent, context.at) if denial == "frequency_exceeded" else None
            self.enforcement.refuse(matter, reason, data_subject=person, retry_after_seconds=wait)
        if terms.agreement_id not in client.agreement_ids:
            self.enforcement.refuse(matter, "no_agreement", data_subject=person)
        decision = self.enforcement.policies.decide(
            DecisionRequest(
                action=ACTION,
                agreement_id=terms.agreement_id,
                recipient=client.organisation_id,
                recipient_kind=client.organisation_kind,
                purpose=terms.purpose,
                lookup_key="personal_id",
                on_date=on_date,
                supplied=MATCHED_BY_CONSENT,
                established=frozenset(),
                asked_fields=frozenset(detail.get("fields", ())),
                consent=consent_facts(consent),
            )
        )
        decision = consented(decision, consent)
        matter = replace(matter, decision=decision)
        if not decision.permitted:
            self.enforcement.refuse(matter, decision.reason, data_subject=person)
        if not decision.obligations <= CARRIED_OUT[ACTION]:
            self.enforcement.refuse(matter, "obligation_not_understood", data_subject=person)
        return matter

    def _share(self, matter: Matter, consent: Consent, record: Record) -> SharedRecord:
        """Minimise, draft the answer with its evidence, record, and only then say it."""
        enforcement, context, decision = self.enforcement, matter.context, matter.decision
        shown = rows_in_range(record, consent.readable_range, matter.on_date)
        try:
            released = minimise(shown, decision, FormContext(matter.on_date, matter.client.organisation_id))
        except FormRefused as refused:
            enforcement.refuse(matter, f"form_{refused.fact}", data_subject=record.data_subject, error=True)
        told = told_fields(decision, released, self.source_name, record.as_of)
        content = trusted_bytes(
            shared_content(matter, told, record.as_of, consent.terms.retention_days, context.reference)
        )
        row = release_row(
            matter,
            enforcement.pseudonyms,
            enforcement.salts,
            context.reference,
            content,
            released=released_pairs(decision, released),
            reason="",
            data_subject=record.data_subject,
        )
        enforcement.record(
            matter,
            [row],
            [record.data_subject],
            acting_ref=row.data_subject_ref,
            more_steps=frequency_steps(consent, context.at),
            wait_seconds=wait_seconds(consent, context.at),
        )
        return SharedRecord(context.reference, content)
