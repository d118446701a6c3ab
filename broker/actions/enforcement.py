"""What every verb does around its own work: gather facts, ask the policies, refuse on the record, record.

An `Enforcement` holds the doors; a `Matter` is one request on its way through the stations. Whatever fails
ends in `refuse`, which records first and raises then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn, Protocol

from broker.actions.doors import Facts, Ledger, Pseudonyms, Salts
from broker.actions.emergency import RETRY_SECONDS, goes_on, marked
from broker.actions.evidence_rows import refusal_row
from broker.actions.limits import LimitNotCountable, counter_steps
from broker.actions.limits import retry_after_seconds as longest_wait_seconds
from broker.actions.matter import ActingPerson, Matter, unfounded_matter
from broker.errors import ReleaseRefused, ScopeInsufficient, SourceOutage
from broker.evidence.recording import AccessContext, CounterStep, EvidenceRow, ReleaseRecord
from broker.oauth.detail_types import details_for
from broker.oauth.registry import ClientFacts
from connectors.base import SourceUnavailable
from policies.civil_time import civil_date
from policies.model import Decision, DecisionRequest
from policies.names import name_key
from policies.vocabulary import CARRIED_OUT

_TOLD: Final = {
    # Why a consent rests is the person's own matter: a recipient need not learn of a birthday or a fraud.
    "not_active_refresh_due": "not_active_paused",
    "not_active_invalidated": "not_active_withdrawn",
    "not_active_inapplicable": "not_active_expired",
}
"""Recorded reason → what the recipient is told instead; the person's own history has the recorded one."""
_WAITS: Final = frozenset({"frequency_exceeded", "log_stopped"})
"""Refusals that say when to come again, besides full limits."""
_STAFF_CODES: Final = {"acting_person_unknown": "054", "acting_person_mismatch": "055"}


class Policies(Protocol):
    """The policies as they are in force: which agreement opens an action to a client, and what it decides."""

    def agreement_for(self, action: str, agreement_ids: Sequence[str]) -> tuple[str, str] | None:
        """Return (agreement id, purpose) of the one agreement for the action among ids, or None."""
        ...

    def decide(self, request: DecisionRequest) -> Decision:
        """Return the decision; never raises."""
        ...


def _permitted(agreement_ids: Sequence[str], details: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return the client's agreements that its token was not narrowed away from."""
    named = {detail["agreement_id"] for detail in details if "agreement_id" in detail}
    return [one for one in agreement_ids if one in named] if named else agreement_ids


@dataclass(frozen=True, slots=True)
class Enforcement:
    """The doors that all verbs share. new_reference gives a fresh UUIDv7 as text."""

    ledger: Ledger
    facts: Facts
    policies: Policies
    pseudonyms: Pseudonyms
    salts: Salts
    new_reference: Callable[[], str]

    def matter(
        self,
        context: AccessContext,
        action: str,
        *,
        lookup_key: str,
        supplied: frozenset[str],
        established: frozenset[str],
        item_count: int,
        acting_person: ActingPerson | None,
        encounter_reference: str | None,
    ) -> Matter:
        """Gather the facts, decide, and return the matter if the decision permits; else refuse.

        lookup_key, supplied, established, item_count: see `policies.model.DecisionRequest`. Recipient,
        agreement and purpose come from the register, never from the asker.
        Raises ReleaseRefused (recorded) or EvidenceUnavailable.
        """
        client = self.facts.find_client(context.client_id)
        on_date = civil_date(context.at)
        if client is None:
            client = ClientFacts(context.client_id, "unknown", "unknown", None, ())
            self.refuse(unfounded_matter(context, action, client, on_date), "client_not_active")
        if action not in context.scopes:
            self.refuse(unfounded_matter(context, action, client, on_date), "scope_insufficient")
        details = details_for(action, context.authorization_details, lookup_key)
        if details is None:
            self.refuse(
                unfounded_matter(context, action, client, on_date), "authorization_details_insufficient"
            )
        found = self.policies.agreement_for(action, _permitted(client.agreement_ids, details))
        if found is None:
            self.refuse(unfounded_matter(context, action, client, on_date), "no_agreement")
        recipient = client.organisation_id
        request = DecisionRequest(
            action=action,
            agreement_id=found[0],
            recipient=recipient,
            recipient_kind=client.organisation_kind,
            purpose=found[1],
            lookup_key=lookup_key,
            on_date=on_date,
            supplied=supplied,
            established=established,
            item_count=item_count,
        )
        staff_ref = staff_name_key = encounter = None
        if acting_person is not None:
            staff_ref = self.pseudonyms.staff_ref(recipient, acting_person.personal_id)
            staff_name_key = name_key(acting_person.full_name)
        if encounter_reference is not None:
            encounter = self.pseudonyms.encounter_ref(recipient, encounter_reference)
        decision = self.policies.decide(request)
        matter = Matter(context, action, client, staff_ref, staff_name_key, encounter, on_date, decision)
        self._check(matter)
        return matter

    def _check(self, matter: Matter) -> None:
        decision = matter.decision
        if not decision.permitted:
            self.refuse(matter, decision.reason)
        if not decision.obligations <= CARRIED_OUT.get(matter.action, frozenset()):
            self.refuse(matter, "obligation_not_understood")
        if "acting_person_registered" in decision.obligations and matter.staff_ref is None:
            self.refuse(matter, "acting_person_unknown", gateway_code="054")

    def refuse(
        self,
        matter: Matter,
        reason: str,
        *,
        data_subject: str | None = None,
        gateway_code: str | None = None,
        limits: Sequence[str] = (),
        retry_after_seconds: int | None = None,
        error: bool = False,
    ) -> NoReturn:
        """Record the refusal, then raise ReleaseRefused with its reference.

        data_subject: opaque key if one was found, so that the person sees the attempt. A proof that was
        used before is the reason whatever else is wrong. retry_after_seconds: where the caller knows it.
        """
        row = self.refusal_row(matter, reason, data_subject, error=error)
        fresh = self.ledger.record_refusal(matter.context, row)
        if fresh and reason == "scope_insufficient":
            raise ScopeInsufficient(matter.action, reference=matter.context.reference)
        raise ReleaseRefused(
            _TOLD.get(reason, reason) if fresh else "proof_replayed",
            reference=matter.context.reference,
            determining_rules=matter.decision.determining_rules,
            retry_after_seconds=(
                longest_wait_seconds(limits, int(matter.context.at.timestamp()))
                if reason == "limit_reached"
                else retry_after_seconds
            ),
            gateway_code=gateway_code if fresh else None,
        )

    def report_outage(
        self, matter: Matter, down: SourceUnavailable, data_subject: str | None = None
    ) -> NoReturn:
        """Record that the source did not answer, then raise SourceOutage. Raises EvidenceUnavailable."""
        context = matter.context
        row = self.refusal_row(matter, down.kind, data_subject, error=True)
        if not self.ledger.record_refusal(context, row):
            # Whoever sends a proof a second time gets no signed word of this broker either.
            raise ReleaseRefused("proof_replayed", reference=context.reference) from down
        raise SourceOutage(
            reference=context.reference,
            organisation_id=matter.client.organisation_id,
            facility_code=matter.client.facility_code,
            retry_after_seconds=down.retry_after_seconds,
        ) from down

    def refusal_row(
        self, matter: Matter, reason: str, data_subject: str | None = None, *, error: bool = False
    ) -> EvidenceRow:
        """Return the evidence row of a refusal under the request's own reference."""
        return refusal_row(matter, self.pseudonyms, self.salts, reason, data_subject, error=error)

    def record(
        self,
        matter: Matter,
        rows: Sequence[EvidenceRow],
        data_subjects: Sequence[str | None],
        *,
        acting_ref: bytes | None = None,
        more_steps: tuple[CounterStep, ...] = (),
        wait_seconds: int | None = None,
    ) -> None:
        """Record the rows and return, or refuse: only after this may anything be said.

        data_subjects: opaque key or None per row, for the refusal of a single question. acting_ref: whom the
        limit per acting person counts where no staff member is named. more_steps: counters besides those of
        the agreement, raised after them; wait_seconds: until that of a consent begins again, None for never.
        Raises ReleaseRefused or EvidenceUnavailable.
        """
        context, decision = matter.context, matter.decision
        try:
            steps = counter_steps(
                decision.limits,
                now_seconds=int(context.at.timestamp()),
                agreement_id=decision.agreement_id,
                client_id=context.client_id,
                staff_ref=matter.staff_ref or acting_ref,
                data_subject_refs=[row.data_subject_ref for row in rows],
            )
        except LimitNotCountable:
            self.refuse(matter, "limit_not_countable")
        record = ReleaseRecord(
            context,
            decision,
            matter.staff_ref,
            matter.staff_name_key,
            (*steps, *more_steps) if more_steps else steps,
            rows,
            matter.consent,
            matter.own_session,
        )
        judgement = self.ledger.record_release(record)
        if judgement.verdict == "log_stopped":
            wait_seconds = RETRY_SECONDS
            if goes_on(matter):
                flagged = replace(record, rows=marked(rows), in_emergency=True)
                judgement = self.ledger.record_release(flagged)
        if judgement.verdict != "recorded":
            self.refuse(
                matter,
                judgement.reason,
                data_subject=data_subjects[0] if len(data_subjects) == 1 else None,
                gateway_code=_STAFF_CODES.get(judgement.verdict),
                limits=judgement.limits_reached,
                retry_after_seconds=wait_seconds if judgement.reason in _WAITS else None,
            )
