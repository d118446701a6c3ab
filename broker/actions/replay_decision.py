"""Making the decision behind an entry of evidence again, from what the store has kept of then."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from broker.actions import own_reading, share_record, verify_entitlement
from broker.actions.consent_doors import Pseudonyms
from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.actions.consented_fields import MATCHED_BY_CONSENT
from broker.actions.entitlement_question import COMPARABLE
from broker.consent.chain import ConsentChainBroken
from broker.consent.codec import record_hash
from broker.consent.past import state_then
from broker.consent.record import Consent
from broker.consent.standing import state_at
from broker.consent.writing import ChainedEvent
from broker.evidence.replay import Replay, check_replayable, replay
from broker.evidence.replay_facts import (
    ActionFacts,
    ConsentThen,
    KeptRevision,
    NotReplayable,
    revision_then,
)
from policies.civil_time import civil_date
from policies.vocabulary import CARRIED_OUT

FACTS: Final[Mapping[str, ActionFacts]] = {
    verify_entitlement.ACTION: ActionFacts(
        supplied=verify_entitlement.SUPPLIED,
        supplied_with_person=frozenset({"acting_person"}),
        established=verify_entitlement.ESTABLISHED,
        lookup_keys=("hi_card", "personal_id", "si_number"),
        asks="all",
        batches=True,
        comparable=COMPARABLE,
        outcomes=verify_entitlement.TOLD_REASONS,
        carried_out=CARRIED_OUT[verify_entitlement.ACTION],
    ),
    share_record.ACTION: ActionFacts(
        supplied=MATCHED_BY_CONSENT,
        established=frozenset(),
        lookup_keys=("personal_id",),
        asks="some",
        carried_out=CARRIED_OUT[share_record.ACTION],
        rests_on_consent=True,
    ),
}
"""Action → what its code establishes by itself, whoever asks."""


def _look_facts(looking: own_reading.Looking) -> ActionFacts:
    return ActionFacts(
        supplied=frozenset(),
        established=frozenset({looking.established}),
        lookup_keys=("personal_id",),
        recipient_kind=looking.pages.organisation_kind,
        asks="all_or_some",
        carried_out=CARRIED_OUT[own_reading.ACTION],
        checked_before=frozenset({"level_too_low"}),
        shows_forms_of_others=True,
    )


LOOKS: Final[Mapping[str, ActionFacts]] = {
    one.pages.organisation_id: _look_facts(one) for one in (own_reading.OWN, own_reading.FOR_CHILD)
}
"""Who looks, at the own record or a child's → what the code of such a look establishes."""


class KeptEvidence(Protocol):
    """Reads the log; `broker.storage.evidence.PostgresEvidence` is one."""

    def find_entry(self, reference: str) -> bytes | None:
        """Return an entry, of whatever kind, or None. Raises StoreUnavailable."""
        ...

    def find_consent_entry(self, ref: bytes, consent_id: str, version: int) -> bytes | None:
        """Return the entry of one version of a consent of a person, or None. Raises StoreUnavailable."""
        ...


class KeptRevisions(Protocol):
    """Finds what was published; `broker.storage.agreements.KeptAgreements` is one."""

    def find_revision(self, revision_hash: str, at: datetime) -> KeptRevision | None:
        """Return a revision with the registers of an instant, or None. Raises StoreUnavailable."""
        ...


class KeptConsents(Protocol):
    """Finds consents as they are now, and what happened to them."""

    def find_consent(self, consent_id: str) -> Consent | None:
        """Return a consent, or None. Raises StoreUnavailable."""
        ...

    def find_events(self, consent_id: str) -> Sequence[ChainedEvent]:
        """Return all events of a consent, oldest first. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """An entry and the verdict on it."""

    entry: Mapping[str, Any]
    replay: Replay


@dataclass(frozen=True, slots=True)
class ReplayDecision:
    """The verb with its doors. It reads, and records nothing."""

    evidence: KeptEvidence
    revisions: KeptRevisions
    consents: KeptConsents
    pseudonyms: Pseudonyms

    def replay(self, reference: str) -> Replayed:
        """Return the verdict on the entry under a reference.

        Raises NotReplayable with the reason, StoreUnavailable.
        """
        content = self.evidence.find_entry(reference)
        if content is None:
            raise NotReplayable("there is no entry under this reference")
        entry = _entry_in(content)
        check_replayable(entry)
        is_look = entry["action"] == own_reading.ACTION
        facts = LOOKS.get(entry["recipient"]) if is_look else FACTS.get(entry["action"])
        if facts is None:
            raise NotReplayable(f"this program knows no action {entry['action']}")
        at = datetime.fromisoformat(entry["at"])
        kept = self.revisions.find_revision(entry["agreement_revision"], at)
        if kept is None:
            raise NotReplayable("the agreement revision that the entry names was never published here")
        return Replayed(entry, replay(entry, revision_then(kept), self._consent_then(entry, at), facts))

    def _consent_then(self, entry: Mapping[str, Any], at: datetime) -> ConsentThen | None:
        if entry["consent"] is None:
            return None
        consent = self.consents.find_consent(entry["consent"])
        if consent is None:
            raise NotReplayable("the consent that the entry names is not in the store")
        person = self.pseudonyms.data_subject_ref(CITIZEN_PREFIX + consent.citizen_id)
        version = self.evidence.find_consent_entry(person, consent.consent_id, entry["consent_version"])
        if version is None:
            raise NotReplayable("the evidence of that version of the consent is not there, or was erased")
        events = self.consents.find_events(consent.consent_id)
        return consent_then(consent, json.loads(version), events, at)


def _entry_in(content: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(content)
    except ValueError:
        raise NotReplayable("what lies under this reference is no JSON") from None
    if not isinstance(entry, dict):
        raise NotReplayable("what lies under this reference is no entry")
    return entry


def consent_then(
    consent: Consent, version: Mapping[str, Any], events: Sequence[ChainedEvent], at: datetime
) -> ConsentThen:
    """Return a consent as it stood at one of its versions, at an instant.

    consent: as it is now. version: the entry of evidence of that version. events: the consent's, all of them.
    Terms never change; who gave what is that version's own where it was decided anew since, and then nobody
    knows its days any more. Raises NotReplayable where the consent is not what its evidence says.
    """
    is_same = record_hash(consent) == version["record_hash"]
    if consent.version == version["consent_version"]:
        if not is_same:
            raise NotReplayable("the consent in the store is not what its evidence says of this version")
        state: str = state_at(consent, at)
    else:
        state = _former_state(events, version["consent_version"], at)
    given = {name for name, _ in version["fields"]}
    days = None
    if is_same and consent.valid_from_at is not None and consent.valid_to_at is not None:
        days = (civil_date(consent.valid_from_at), civil_date(consent.valid_to_at))
    return ConsentThen(
        consent_id=consent.consent_id,
        version=version["consent_version"],
        client=consent.client_id,
        recipient=consent.organisation_id,
        agreement=consent.terms.agreement_id,
        terms_revision=consent.terms.revision_hash,
        purpose=consent.terms.purpose,
        state=state,
        given={one.name: one.shape for one in consent.terms.fields if one.name in given},
        days=days,
    )


def _former_state(events: Sequence[ChainedEvent], version: int, at: datetime) -> str:
    try:
        return state_then(events, version, at)
    except ConsentChainBroken as broken:
        raise NotReplayable(f"the consent's events are not as they were written: {broken.detail}") from None
