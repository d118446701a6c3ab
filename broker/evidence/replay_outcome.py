"""What an entry must say if a decision stands behind it; what lies beyond the decision is the entry's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from broker.evidence.canonical import Json
from broker.evidence.replay_facts import ActionFacts
from broker.evidence.replay_questions import Question, may_be_absent, named_fields
from policies.forms import FORMS
from policies.given_forms import FORM_NOT_CONSENTED
from policies.model import Decision
from policies.reasons import REASONS

BY_ACTION: Final = frozenset({"obligation_not_understood", "match_not_understood"})
"""Refusals that an action gives to what the policies permitted, by its code and the decision alone."""


def expected(
    entry: Mapping[str, Any], decision: Decision, facts: ActionFacts, question: Question
) -> dict[str, Json]:
    """Return the decided members as they must stand in the entry."""
    told: dict[str, Json] = {
        "agreement": decision.agreement_id,
        "agreement_revision": decision.revision_hash,
        "purpose": decision.purpose,
        "legal_basis": decision.legal_basis,
        "determining_rules": list(decision.determining_rules),
    }
    refused = find_refusal(entry, decision, facts)
    if refused:
        return {**told, **_refused(entry, decision, refused)}
    return {**told, **_released(entry, decision, facts, question)}


def find_refusal(entry: Mapping[str, Any], decision: Decision, facts: ActionFacts) -> str:
    """Return the reason for which nothing may have left, "" where something may.

    A refusal after the decision (a limit, a source that is away) has a reason of its own, which no policy
    gives: that one is taken from the entry, and said to be not replayed.
    """
    if entry["kind"] == "refusal" and entry["reason"] in facts.checked_before:
        return str(entry["reason"])
    if not decision.permitted:
        return decision.reason
    if not decision.obligations <= facts.carried_out:
        return "obligation_not_understood"
    if "acting_person_registered" in decision.obligations and entry["acting_person"] is None:
        return "acting_person_unknown"
    if facts.comparable and not facts.comparable.issuperset(decision.must_match):
        return "match_not_understood"
    return entry["reason"] if is_after_decision(entry) else ""


def is_after_decision(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry is a refusal for a reason that lies beyond the decision."""
    reason = entry["reason"]
    is_decided = reason in REASONS or reason in BY_ACTION or reason == FORM_NOT_CONSENTED
    return entry["kind"] == "refusal" and bool(reason) and not is_decided


def _refused(entry: Mapping[str, Any], decision: Decision, reason: str) -> dict[str, Json]:
    withheld: list[Json] = [[one.field, reason] for one in decision.released]
    is_error = is_after_decision(entry) and entry["result"] == "error"
    return {
        "kind": "refusal",
        "result": "error" if is_error else "refused",
        "reason": reason,
        "released": [],
        "withheld": withheld or [[one.field, one.reason] for one in decision.withheld],
    }


def _released(
    entry: Mapping[str, Any], decision: Decision, facts: ActionFacts, question: Question
) -> dict[str, Json]:
    without_data = not entry["released"] and entry["reason"] in facts.outcomes
    permitted = {one.field: one for one in decision.released}
    recorded = dict(entry["released"])
    shows_others = facts.shows_forms_of_others and question.supposed["asked_fields"] == "some"
    released: list[Json] = []
    for one in decision.released:
        if without_data or (one.field not in recorded and may_be_absent(one, entry, permitted)):
            continue
        form = recorded.get(one.field, one.form.name)
        lends = shows_others and is_lent(form, one.form.name)
        released.append([one.field, form if lends else one.form.name])
    return {
        "kind": "release",
        "result": "released" if released else "answered_without_data",
        "reason": entry["reason"] if without_data else "",
        "released": released,
        "withheld": [[one.field, one.reason] for one in decision.withheld],
    }


def is_lent(recorded: str, own: str) -> bool:
    """Return whether a person may be shown a field in a form of another agreement: one that shows no more."""
    return recorded in FORMS and (own == "value" or recorded != "value")


def absent_groups(entry: Mapping[str, Any], decision: Decision) -> tuple[str, ...]:
    """Return the groups of permitted fields of which a release names none."""
    permitted = {one.field: one for one in decision.released}
    named = named_fields(entry)
    missing = [one for one in decision.released if one.field not in named]
    return tuple(sorted({one.group for one in missing if may_be_absent(one, entry, permitted)}))
