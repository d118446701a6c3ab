"""Which questions to the policies an entry may be the answer to: few, because an entry holds most facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from typing import Any, Final, TypeAlias

from broker.evidence.replay_facts import ActionFacts
from policies.civil_time import civil_date
from policies.compile import AgreementTable
from policies.forms import is_over_rows
from policies.model import ConsentFacts, Decision, DecisionRequest, FieldRelease

Decider: TypeAlias = Callable[[DecisionRequest], Decision]
ANOTHER: Final = "another"
"""Stands for any kind of recipient that the agreement is not made with."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question, and the values it supposes for facts that the entry does not hold."""

    request: DecisionRequest
    supposed: Mapping[str, str]


def questions(
    entry: Mapping[str, Any],
    table: AgreementTable,
    consent: ConsentFacts | None,
    facts: ActionFacts,
    decided: Decider,
) -> Iterator[Question]:
    """Yield the questions, the usual one first. decided: what the agreement and the consent say to one."""
    agreement = table.agreement
    usual = DecisionRequest(
        action=entry["action"],
        agreement_id=agreement.id,
        recipient=entry["recipient"],
        recipient_kind=facts.recipient_kind or agreement.recipient_kind,
        purpose=agreement.purpose if consent is None else consent.purpose,
        lookup_key="",
        on_date=civil_date(datetime.fromisoformat(entry["at"])),
        supplied=facts.supplied | (facts.supplied_with_person if entry["acting_person"] else frozenset()),
        established=facts.established,
        consent=consent,
    )
    kinds = (facts.recipient_kind,) if facts.recipient_kind else (agreement.recipient_kind, ANOTHER)
    keys = sorted(facts.lookup_keys, key=lambda key: key not in table.lookup_keys)
    counts = (1, 2, agreement.batch_maximum + 1) if facts.batches else (1,)
    for kind, key, count in product(kinds, keys, dict.fromkeys(counts)):
        asked_so = replace(usual, recipient_kind=kind, lookup_key=key, item_count=count)
        supposed = {"recipient_kind": kind, "lookup_key": key, "item_count": str(count)}
        for fields in _asked(entry, table, asked_so, facts, decided):
            asked = "all" if fields is None else "some"
            yield Question(replace(asked_so, asked_fields=fields), {**supposed, "asked_fields": asked})


def named_fields(entry: Mapping[str, Any]) -> frozenset[str]:
    """Return the fields that an entry names as released or withheld."""
    return frozenset(name for pairs in (entry["released"], entry["withheld"]) for name, _ in pairs)


def may_be_absent(release: FieldRelease, entry: Mapping[str, Any], permitted: Mapping[str, Any]) -> bool:
    """Return whether a permitted field may be missing in a release: one of a group without any row.

    permitted: field → its release. Every other permitted field stands in an answer, empty or not.
    """
    if not release.group or is_over_rows(release.form):
        return False
    present = {permitted[name].group for name, _ in entry["released"] if _is_of_rows(permitted.get(name))}
    return release.group not in present


def _is_of_rows(release: FieldRelease | None) -> bool:
    return release is not None and bool(release.group) and not is_over_rows(release.form)


def _asked(
    entry: Mapping[str, Any],
    table: AgreementTable,
    request: DecisionRequest,
    facts: ActionFacts,
    decided: Decider,
) -> Iterator[frozenset[str] | None]:
    if facts.asks != "some":
        yield None
    if facts.asks == "all":
        return
    named = named_fields(entry)
    always = {name for name, one in table.permitted.items() if not may_be_absent(one, entry, table.permitted)}
    if facts.asks == "all_or_some" and named.issuperset(always):
        # Whoever sees all that is always there has asked for all.
        return
    if named or facts.asks == "some":
        yield named
    unnamed = _unnamed(entry, table, request, named, decided)
    if unnamed:
        yield named | unnamed


def _unnamed(
    entry: Mapping[str, Any],
    table: AgreementTable,
    request: DecisionRequest,
    named: frozenset[str],
    decided: Decider,
) -> frozenset[str]:
    """Return what may have been asked for besides, of which only a rule is left in the entry.

    Of a group without rows no field is named; of a refusal after the decision only what would have left is.
    """
    rules = set(entry["determining_rules"])
    pool = table.covered if request.consent is None else request.consent.fields
    found = set()
    for name in pool - named:
        alone = decided(replace(request, asked_fields=frozenset({name})))
        is_silent = not alone.permitted if entry["kind"] == "refusal" else False
        if alone.permitted and entry["kind"] == "release":
            is_silent = may_be_absent(alone.released[0], entry, table.permitted)
        if is_silent and alone.determining_rules and rules.issuperset(alone.determining_rules):
            found.add(name)
    return frozenset(found)
