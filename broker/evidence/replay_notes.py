"""What a replay could not make again, each in one sentence: nobody should take it for checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from broker.evidence.replay_facts import ActionFacts, ConsentThen
from broker.evidence.replay_outcome import absent_groups, is_after_decision
from broker.evidence.replay_questions import Question
from policies.model import Decision

_SUPPOSED: Final = {
    "recipient_kind": "the recipient's kind of then",
    "lookup_key": "by which number the person was looked up",
    "item_count": "whether the person was one of a batch",
    "asked_fields": "which fields were asked for",
}
EMERGENCY_NOTE: Final = "whether the log stood still then, as the entry says: no decision depends on it"
_ALWAYS: Final = (
    "the program that decided then: today's decides now",
    "token, client, address and clock at the moment of recording",
    "whether the agreement was suspended at that moment",
)


def notes_of(
    entry: Mapping[str, Any],
    decision: Decision,
    facts: ActionFacts,
    consent: ConsentThen | None,
    fitting: Sequence[Question],
) -> tuple[str, ...]:
    """Return the sentences. fitting: the questions to which the entry is the answer."""
    notes = [*_supposed(facts, fitting), *_of_outcome(entry, decision, facts)]
    if "acting_person_registered" in decision.obligations:
        notes.append("the list of registered staff of then")
    if decision.limits:
        notes.append("the counters of the agreement's limits")
    if consent is not None:
        notes.append("how often the consent had been used")
        if consent.days is None:
            notes.append("the days for which the consent was given: it was decided anew since")
    return (*notes, *_ALWAYS)


def _of_outcome(entry: Mapping[str, Any], decision: Decision, facts: ActionFacts) -> list[str]:
    if is_after_decision(entry):
        return [f"the reason {entry['reason']}: it came after the decision"]
    if entry["kind"] == "refusal":
        return []
    notes = ["the values of the record, and how they were brought into their forms"]
    if facts.comparable:
        compared = ", ".join(sorted(facts.comparable.intersection(decision.must_match)))
        notes.append(f"the values compared at matching ({compared}), and which of the cards counted")
    absent = absent_groups(entry, decision)
    if absent and entry["reason"] not in facts.outcomes:
        notes.append("whether the record held rows of: " + ", ".join(absent))
    own = {one.field: one.form.name for one in decision.released}
    lent = sorted(name for name, form in entry["released"] if own.get(name, form) != form)
    if lent and facts.shows_forms_of_others:
        notes.append("the forms of another agreement, of which this look was a preview: " + ", ".join(lent))
    return notes


def _supposed(facts: ActionFacts, fitting: Sequence[Question]) -> list[str]:
    """Return the facts that were supposed, with the values for which the entry is the policies' answer."""
    wanted = [] if facts.recipient_kind else ["recipient_kind"]
    wanted += ["lookup_key"] if len(facts.lookup_keys) > 1 else []
    wanted += ["item_count"] if facts.batches else []
    wanted += [] if facts.asks == "all" else ["asked_fields"]
    notes = []
    for name in wanted:
        values = list(dict.fromkeys(question.supposed[name] for question in fitting))
        told = f" (the entry fits: {', '.join(values)})" if values else ""
        notes.append(_SUPPOSED[name] + told)
    return notes
