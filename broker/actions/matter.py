"""One request on its way through the stations, once its facts are gathered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from broker.evidence.entry import Circumstances
from broker.evidence.recording import AccessContext, ConsentBasis, OwnSession
from broker.oauth.registry import ClientFacts
from policies.model import Decision


@dataclass(frozen=True, slots=True)
class ActingPerson:
    """The staff member whom the client names for this request: full name and 12-digit personal id."""

    full_name: str
    personal_id: str


@dataclass(frozen=True, slots=True)
class Matter:
    """One request after its facts are gathered.

    staff_ref (32 bytes) and staff_name_key say who acts, as claimed; the recording statement checks both
    against the facility's registered staff. None when nobody is named. consent: on which a release rests.
    own_session: of a person who looks at the own record.
    """

    context: AccessContext
    action: str
    client: ClientFacts
    staff_ref: bytes | None
    staff_name_key: str | None
    encounter: str | None
    on_date: date
    decision: Decision
    consent: ConsentBasis | None = None
    own_session: OwnSession | None = None

    def circumstances(self, reference: str) -> Circumstances:
        """Return what all evidence of this matter says of who, when, and under which rules."""
        decision, consent = self.decision, self.consent
        return Circumstances(
            reference=reference,
            request_id=self.context.request_id,
            at=self.context.at,
            client=self.client.client_id,
            recipient=self.client.organisation_id,
            acting_person=None if self.staff_ref is None else self.staff_ref.hex(),
            encounter=self.encounter,
            action=self.action,
            purpose=decision.purpose,
            legal_basis=decision.legal_basis,
            agreement=decision.agreement_id,
            agreement_revision=decision.revision_hash,
            consent=None if consent is None else consent.consent_id,
            consent_version=None if consent is None else consent.version,
        )


def unfounded_matter(context: AccessContext, action: str, client: ClientFacts, on_date: date) -> Matter:
    """Return a matter that ends before any decision was asked for."""
    return Matter(context, action, client, None, None, None, on_date, Decision(False, "", ()))
