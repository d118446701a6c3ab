"""The consent's part of a decision made again: what the checks at fetch say of the version on record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from broker.evidence.canonical import Json
from broker.evidence.replay_facts import ConsentThen
from policies.civil_time import civil_date
from policies.model import ConsentFacts

_BY_TOKEN_FIRST: Final = frozenset({"token_not_active"})
_BY_TOKEN: Final = _BY_TOKEN_FIRST | {"subject_mismatch", "service_mismatch"}
_BY_TOKEN_LATER: Final = frozenset(
    {
        "record_hash_mismatch",
        "purpose_mismatch",
        "outside_range",
        "frequency_exceeded",
        "quota_exceeded",
        "policy_denied",
        "no_agreement",
    }
)
"""Refusals that rest on the token, on a count or on the client's register: no entry holds those."""


def consent_facts(entry: Mapping[str, Any], consent: ConsentThen) -> ConsentFacts:
    """Return what the policies are told of a consent. Days that are not kept count as including the day."""
    day = civil_date(datetime.fromisoformat(entry["at"]))
    first, last = consent.days or (day, day)
    return ConsentFacts(
        consent_id=consent.consent_id,
        consent_version=consent.version,
        state="given",
        purpose=consent.purpose,
        recipient=consent.recipient,
        fields=frozenset(consent.given),
        valid_from=first,
        valid_to=last,
    )


def find_denial(entry: Mapping[str, Any], consent: ConsentThen) -> str | None:
    """Return why the consent carried no release, of what can be known: whose it is, and its state."""
    if (entry["client"], entry["recipient"]) != (consent.client, consent.recipient):
        return "recipient_mismatch"
    return None if consent.state == "active" else f"not_active_{consent.state}"


def undecided(entry: Mapping[str, Any], consent: ConsentThen) -> tuple[dict[str, Json], tuple[str, ...]]:
    """Return how a refusal before the decision must stand in the entry, and what was not replayed of it."""
    denial, reason = find_denial(entry, consent), entry["reason"]
    comes_first = _BY_TOKEN_FIRST if denial == "recipient_mismatch" else _BY_TOKEN
    if denial is None:
        comes_first = _BY_TOKEN | _BY_TOKEN_LATER
    notes: tuple[str, ...] = ()
    if reason != denial and reason in comes_first:
        denial = reason
        notes = (
            f"the reason {reason}: an entry holds neither the token, nor a count, nor the client's register",
        )
    return {
        "kind": "refusal",
        "result": "refused",
        "reason": denial or "",
        "agreement": consent.agreement,
        "agreement_revision": consent.terms_revision,
        "purpose": consent.purpose,
        "legal_basis": "",
        "determining_rules": [],
        "released": [],
        "withheld": [],
    }, notes
