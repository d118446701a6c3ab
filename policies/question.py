"""The question an agreement is made for, and variations of it: what `broker policy explain` asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from policies.model import Agreement, ConsentFacts, DecisionRequest
from policies.vocabulary import DERIVED_CONDITIONS


def usual_question(agreement: Agreement, day: date) -> DecisionRequest:
    """Return the request that the agreement is made for, with all that it wants (but no consent)."""
    return DecisionRequest(
        action=agreement.action,
        agreement_id=agreement.id,
        recipient=min(agreement.recipients, default=f"any_{agreement.recipient_kind}"),
        recipient_kind=agreement.recipient_kind,
        purpose=agreement.purpose,
        lookup_key=agreement.lookup_keys[0] if agreement.lookup_keys else "",
        on_date=day,
        supplied=frozenset((*agreement.must_match, *agreement.must_supply)),
        established=agreement.conditions - DERIVED_CONDITIONS,
    )


def _words(text: str | None, default: frozenset[str] | None) -> frozenset[str] | None:
    if text is None:
        return default
    return frozenset(word.strip() for word in text.split(",") if word.strip())


def vary_question(usual: DecisionRequest, said: Mapping[str, str | None], items: int = 1) -> DecisionRequest:
    """Return `usual` with what was said instead; None = as usual. Lists are comma-separated.

    said: agreement_id, recipient, recipient_kind, purpose, action, lookup_key, supplied, established,
    asked_fields, consent_fields. consent_fields supposes a consent, given and in force, to these fields.
    """

    def text(key: str, default: str) -> str:
        word = said.get(key)
        return default if word is None else word

    request = replace(
        usual,
        agreement_id=text("agreement_id", usual.agreement_id),
        recipient=text("recipient", usual.recipient),
        recipient_kind=text("recipient_kind", usual.recipient_kind),
        purpose=text("purpose", usual.purpose),
        action=text("action", usual.action),
        lookup_key=text("lookup_key", usual.lookup_key),
        supplied=_words(said.get("supplied"), usual.supplied) or frozenset(),
        established=_words(said.get("established"), usual.established) or frozenset(),
        asked_fields=_words(said.get("asked_fields"), usual.asked_fields),
        item_count=items,
    )
    fields = _words(said.get("consent_fields"), None)
    if fields is None:
        return request
    day = request.on_date
    consent = ConsentFacts("supposed", 1, "given", request.purpose, request.recipient, fields, day, day)
    return replace(request, consent=consent)
