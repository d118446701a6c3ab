"""What is known of a consented release before anything is read: consent, grant of the token, person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import Any, Protocol

from broker.actions.limits import counter_ref
from broker.consent.check import FetchFacts, period_end
from broker.consent.consented import ConsentedFacts
from broker.consent.record import Consent
from broker.consent.standing import state_at
from broker.consent.writing import CarriedCount
from broker.evidence.recording import CONSENT_FREQUENCY, CounterStep
from broker.oauth.detail_types import INSURANCE_RECORD
from broker.oauth.registry import ClientFacts
from policies.civil_time import civil_date
from policies.model import ConsentFacts


class ConsentFactsDoor(Protocol):
    """Finds consents; `broker.storage.consented.PreparedConsentFacts` is one."""

    def find_consented(self, token_hash: bytes, client_id: str, consent_id: str) -> ConsentedFacts | None:
        """Return a consent with what a token of a client has to do with it.

        None: the token was never issued under a grant, or there is no such consent. Raises StoreUnavailable.
        """
        ...

    def used_count(self, counter: CounterStep) -> int:
        """Return how far a counter has been raised. Raises StoreUnavailable."""
        ...


def consent_details(details: Sequence[Mapping[str, Any]], consent_id: str | None) -> list[Mapping[str, Any]]:
    """Return the details of a token that speak of insurance records, of one consent if it is named."""
    return [
        detail
        for detail in details
        if detail.get("type") == INSURANCE_RECORD
        and (consent_id is None or detail.get("consent_id") == consent_id)
    ]


def fetch_facts(
    found: ConsentedFacts, detail: Mapping[str, Any], client: ClientFacts, used_count: int, at: datetime
) -> FetchFacts:
    """Return what the checks at fetch are held against (`broker.consent.check`).

    A grant that ended with its consent is no fault of the token: then the consent's state is the reason.
    used_count: of the present period of the consent's own frequency. A count only grows within its period:
    one that was full when it was read is full. One that was not is left to the recording statement, which
    alone counts exactly.
    """
    consent = found.consent
    is_of_grant = consent.grant_id == found.grant_id
    is_over = state_at(consent, at) != "active"
    return FetchFacts(
        consent=consent,
        agreed_hash=found.agreed_hash,
        token_valid=found.is_token_alive and is_of_grant and (found.is_grant_alive or is_over),
        client_id=client.client_id,
        organisation_id=client.organisation_id,
        subject=found.subject,
        agreement_id=str(detail.get("agreement_id", "")),
        record_hash=str(detail.get("record_hash", "")),
        purpose=str(detail.get("purpose", "")),
        used_count=used_count,
    )


def consent_facts(consent: Consent) -> ConsentFacts | None:
    """Return what the policies need to know of a consent that was found active; None without its days."""
    if consent.valid_from_at is None or consent.valid_to_at is None:
        return None
    return ConsentFacts(
        consent_id=consent.consent_id,
        consent_version=consent.version,
        state="given",
        purpose=consent.terms.purpose,
        recipient=consent.organisation_id,
        fields=consent.given_names,
        valid_from=civil_date(consent.valid_from_at),
        valid_to=civil_date(consent.valid_to_at),
    )


def frequency_steps(consent: Consent, at: datetime) -> tuple[CounterStep, ...]:
    """Return the counter of a consent's own frequency in the present period; none where nothing is counted.

    What was consented to is counted by consent: two clients of one organisation have a consent each. Such a
    counter stands under the end of its period: it is long before a week or the life of a consent is over
    that the beginning looks old enough to be swept away.
    """
    frequency, ends_at = consent.terms.frequency, period_end(consent, at)
    if frequency is None or ends_at is None:
        return ()
    key = counter_ref(CONSENT_FREQUENCY.encode(), frequency.per.encode(), consent.consent_id.encode())
    return (CounterStep(key, int(ends_at.timestamp()), 0, 1, frequency.use_count, CONSENT_FREQUENCY),)


def carried_counts(
    before: Consent, after: Consent, begins_anew: bool, at: datetime
) -> tuple[CarriedCount, ...]:
    """Return how the count of a consent goes over to the one that takes its place; none where none is kept.

    Otherwise giving less would let the recipient read anew. begins_anew: the uses of a whole life begin anew
    with it, as they do when a consent is extended; those of a day, a week or a month never do.
    """
    frequency = after.terms.frequency
    if frequency != before.terms.frequency or frequency is None:
        return ()
    if begins_anew and frequency.per == "consent":
        return ()
    return tuple(
        CarriedCount(
            from_ref=old.counter_ref,
            from_seconds=old.window_start_seconds,
            to_ref=new.counter_ref,
            to_seconds=new.window_start_seconds,
        )
        for old, new in zip(frequency_steps(before, at), frequency_steps(after, at), strict=True)
    )


def wait_seconds(consent: Consent, at: datetime) -> int | None:
    """Return after how many seconds a consent's own count begins again; None where it never does."""
    frequency, ends_at = consent.terms.frequency, period_end(consent, at)
    if frequency is None or frequency.per == "consent" or ends_at is None or consent.valid_to_at is None:
        return None
    return max(1, ceil((ends_at - at).total_seconds())) if ends_at < consent.valid_to_at else None
