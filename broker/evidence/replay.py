"""Making the decision behind an entry of evidence again, and saying whether it is the one on record.

Pure: an entry, the revision and consent of then, and what the action's code establishes, give a verdict. A
fact that the entry does not hold (by which number somebody was looked up, say) is tried in each of its few
possible values; the entry must be what the policies say for one of them, and the verdict says for which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from broker.evidence.canonical import Json
from broker.evidence.entry import LOG_STOPPED_RULE, check_entry, without_emergency
from broker.evidence.history import is_reference
from broker.evidence.replay_consent import consent_facts, find_denial, undecided
from broker.evidence.replay_facts import ActionFacts, ConsentThen, NotReplayable, RevisionThen
from broker.evidence.replay_notes import EMERGENCY_NOTE, notes_of
from broker.evidence.replay_outcome import expected
from broker.evidence.replay_questions import Question, questions
from policies.decide import decide
from policies.given_forms import within_given_forms
from policies.model import Decision, DecisionRequest
from policies.reasons import POLICY_ERROR

Result: TypeAlias = Literal["same", "differs"]

MEMBERS: Final = (
    "kind",
    "result",
    "reason",
    "agreement",
    "agreement_revision",
    "purpose",
    "legal_basis",
    "determining_rules",
    "released",
    "withheld",
)
"""Members of an entry that are decided; the others are facts, references and commitments."""
TOLERANCE: Final = timedelta(seconds=60)
"""Between the instant in an entry and the commits of release and publication (clock skew, waiting)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One member that is not what the decision made again says."""

    member: str
    recorded: Json
    replayed: Json


@dataclass(frozen=True, slots=True)
class Replay:
    """The verdict, with both sides and what could not be made again, each in one sentence."""

    result: Result
    recorded: Mapping[str, Json]
    replayed: Mapping[str, Json]
    differences: tuple[Difference, ...]
    not_replayed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Attempt:
    question: Question
    decision: Decision
    replayed: dict[str, Json]
    differences: tuple[Difference, ...]


def replay(
    entry: Mapping[str, Any], revision: RevisionThen, consent: ConsentThen | None, facts: ActionFacts
) -> Replay:
    """Return whether the decision made again is the one on record.

    entry: a release or refusal as decoded JSON. revision: the one under the entry's hash. consent: the one
    that the entry names, at its version. Raises NotReplayable where nothing was decided, or the entry is not
    of the schema.
    """
    check_replayable(entry)
    if not _is_marked(entry):
        return _made_again(entry, revision, consent, facts)
    found = _made_again(without_emergency(entry), revision, consent, facts)
    return replace(
        found,
        recorded=_marked(found.recorded),
        replayed=_marked(found.replayed),
        not_replayed=(EMERGENCY_NOTE, *found.not_replayed),
    )


def _made_again(
    entry: Mapping[str, Any], revision: RevisionThen, consent: ConsentThen | None, facts: ActionFacts
) -> Replay:
    """Do so for an entry that was recorded while the log was at work."""
    if facts.rests_on_consent and consent is None:
        raise NotReplayable("the consent that the entry rests on is not given")
    if _is_before_decision(entry, facts) and consent is not None:
        replayed, notes = undecided(entry, consent)
        return _replay(entry, replayed, _differences(entry, replayed), notes)
    attempts = _attempts(entry, revision, consent, facts)
    fitting = [one for one in attempts if not one.differences]
    best = min(attempts, key=lambda one: len(one.differences))
    if consent is not None and (denial := find_denial(entry, consent)) is not None:
        replayed = {**best.replayed, "kind": "refusal", "result": "refused", "reason": denial, "released": []}
        return _replay(entry, replayed, _differences(entry, replayed), ())
    notes = notes_of(entry, best.decision, facts, consent, [one.question for one in fitting])
    return _replay(entry, best.replayed, best.differences, notes)


def check_replayable(entry: Mapping[str, Any]) -> None:
    """Raise NotReplayable unless an entry is one behind which a decision of an agreement can stand."""
    if entry.get("kind") not in ("release", "refusal"):
        raise NotReplayable(f"an entry of kind {entry.get('kind')} is no decision of the policies")
    try:
        check_entry(entry)
        _check_facts(entry)
    except ValueError as fault:
        raise NotReplayable(f"the entry is not of its schema: {fault}") from None
    if entry["reason"] == POLICY_ERROR:
        raise NotReplayable("deciding failed then, by a fault; there is no decision to make again")
    if not entry["agreement"] or not entry["agreement_revision"]:
        raise NotReplayable(
            f"refused before any agreement was found ({entry['reason']}): nothing was decided"
        )


def _check_facts(entry: Mapping[str, Any]) -> None:
    """Raise ValueError for an instant that does not exist, or a consent that cannot be looked for."""
    datetime.fromisoformat(entry["at"])
    consent, version = entry["consent"], entry["consent_version"]
    if consent is None and version is None:
        return
    if not isinstance(consent, str) or not is_reference(consent) or type(version) is not int:
        raise ValueError("consent and consent_version are an id and a number, or both null")


def _is_marked(entry: Mapping[str, Any]) -> bool:
    """Return whether a release says that it went on while the log stood; none that rests on a consent may."""
    is_lawful = entry["kind"] == "release" and entry["consent"] is None
    return is_lawful and LOG_STOPPED_RULE in entry["determining_rules"]


def _marked(members: Mapping[str, Any]) -> Mapping[str, Json]:
    return {**members, "determining_rules": [*members["determining_rules"], LOG_STOPPED_RULE]}


def _is_before_decision(entry: Mapping[str, Any], facts: ActionFacts) -> bool:
    """A refusal by the checks of the consent: the policies were not asked, so no basis and no rule stands."""
    silent = not entry["legal_basis"] and not entry["determining_rules"]
    return facts.rests_on_consent and entry["kind"] == "refusal" and silent


def _attempts(
    entry: Mapping[str, Any], revision: RevisionThen, consent: ConsentThen | None, facts: ActionFacts
) -> list[_Attempt]:
    found = []
    given = None if consent is None else consent_facts(entry, consent)

    def decided(request: DecisionRequest) -> Decision:
        decision = decide(request, revision.policies)
        return decision if consent is None else within_given_forms(decision, consent.given)

    for question in questions(entry, revision.table, given, facts, decided):
        decision = decided(question.request)
        replayed = expected(entry, decision, facts, question)
        differences = (*_differences(entry, replayed), *_out_of_force(entry, revision))
        found.append(_Attempt(question, decision, replayed, differences))
    return found


def _differences(entry: Mapping[str, Any], replayed: Mapping[str, Json]) -> tuple[Difference, ...]:
    return tuple(
        Difference(name, _plain(entry[name]), replayed[name])
        for name in MEMBERS
        if _plain(entry[name]) != replayed[name]
    )


def _out_of_force(entry: Mapping[str, Any], revision: RevisionThen) -> tuple[Difference, ...]:
    """A release is recorded under the revision in force only; a refusal may be about any that was loaded."""
    if entry["kind"] != "release":
        return ()
    at, until = datetime.fromisoformat(entry["at"]), revision.in_force_until
    is_early = at < revision.in_force_from - TOLERANCE
    if not is_early and (until is None or at < until + TOLERANCE):
        return ()
    told = f"from {revision.in_force_from.isoformat()}" + (
        "" if until is None else f" to {until.isoformat()}"
    )
    return (Difference("in_force", entry["at"], told),)


def _replay(
    entry: Mapping[str, Any],
    replayed: Mapping[str, Json],
    differences: tuple[Difference, ...],
    notes: tuple[str, ...],
) -> Replay:
    recorded = {name: _plain(entry[name]) for name in MEMBERS}
    return Replay("differs" if differences else "same", recorded, replayed, differences, notes)


def _plain(value: Any) -> Json:
    """Lists of pairs compare as JSON has them, whether they come from a tuple or a list."""
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
