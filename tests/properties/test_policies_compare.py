"""Theorem of the comparison: what releases more under B than under A is reported as widening.

Whether one form tells more than another is found out here by trying both on rows, not by the order that
`policies.compare_cells` knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date
from functools import cache
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from policies.catalogue import FIELD_CLASSES, TOPICS, Catalogue
from policies.compare import compare_policies
from policies.compare_cells import is_at_most
from policies.compile import PolicySet, compile_policies
from policies.decide import decide
from policies.forms import FormContext, build_rows_form, build_value_form, is_over_rows
from policies.load import Policies
from policies.model import Agreement, Decision, DecisionRequest, Form, PolicyError, Value
from policies.registers import Prohibition, Registers
from tests.properties.policy_questions import (
    BASES,
    CATALOGUE,
    DAYS,
    FIELDS,
    FORMS_OF,
    KINDS,
    PURPOSES,
    REGISTERS,
    agreements,
    requests,
    some,
)

CONTEXT = FormContext(date(2026, 6, 15), "r1", b"k" * 32, {"00101": "01", "00102": "01", "00201": "02"})
DATES = [None, *(date(year, month, 3) for year in (1990, 2026) for month in (1, 3, 8))]
AMOUNTS = [None, 0, 50, 100, 500, 501, 1000, 2000, 2001]
SAMPLES: dict[str, list[Value]] = {
    "full_name": [None, "An Binh", "An Bac", "Chi"],
    "birth_date": [*DATES],
    "personal_id": [None, "012", "013", "0123", "0124", "1123", "012345", "112345", "012346"],
    "ethnicity": [None, "01", "02", "03"],
    "commune": [None, "00101", "00102", "00201"],
    "valid_from": [*DATES],
    "primary_facility": [None, "01001", "01002", "02001"],
    "copay_ytd": [*AMOUNTS],
    "salary_base": [*AMOUNTS],
    "contribution_from": [*DATES],
}
BESIDE: list[dict[str, Value]] = [
    {"valid_to": date(2026, 7, 1), "birth_precision": "day"},
    {"valid_to": date(2026, 2, 1), "birth_precision": "day"},
]


def rows_of(name: str) -> list[dict[str, Value]]:
    """Rows of every sample, with other fields beside it; a birth date is as exact as its month says."""
    rows = []
    for number, (value, beside) in enumerate(product(SAMPLES.get(name, [None, "x", "y"]), BESIDE)):
        row = {
            "contribution_from": DAYS[number % 8],
            "valid_from": DAYS[number * 3 % 8],
            **beside,
            name: value,
        }
        if isinstance(value, date) and value.month == 1 and name == "birth_date":
            row["birth_precision"] = "year"
        rows.append(row)
    return rows


def told(name: str, form: Form, rows: Sequence[dict[str, Value]]) -> object:
    """Return what the recipient sees of these rows."""
    if is_over_rows(form):
        return build_rows_form(name, form)(rows, CONTEXT)
    build = build_value_form(name, form)
    return tuple(build(row.get(name), row, CONTEXT) for row in rows)


@cache
def tells_more(name: str, form: Form, other: Form) -> bool:
    """Return whether some two answers are told apart by `form` and not by `other`."""
    rows = rows_of(name)
    seen: dict[object, object] = {}
    for pair in [*((row,) for row in rows), *product(rows, repeat=2)]:
        mine, theirs = told(name, form, pair), told(name, other, pair)
        if seen.setdefault((type(theirs), theirs), mine) != mine:
            return True
    return False


def releases_more(old: Decision, new: Decision) -> bool:
    """Return whether the new decision lets anything out, or drops any guard, that the old one does not."""
    if not new.permitted or not old.permitted:
        return new.permitted
    before = {release.field: release for release in old.released}
    for release in new.released:
        was = before.get(release.field)
        if was is None or was.group != release.group:
            return True
        if was.form != release.form and tells_more(release.field, release.form, was.form):
            return True
    limits = {limit.scope: limit.count for limit in new.limits}
    return (
        not {scope for scope in old.row_scopes if scope.group in {r.group for r in new.released}}
        <= set(new.row_scopes)
        or not old.obligations <= new.obligations
        or not set(old.must_match) <= set(new.must_match)
        or new.retention_days > old.retention_days
        or any(limits.get(limit.scope, limit.count + 1) > limit.count for limit in old.limits)
    )


MORE_FORMS = {
    "personal_id": [Form("masked_keep_last", (("keep", 3),)), Form("initials"), Form("pairwise_pseudonym")],
    "birth_date": [Form("age_band", (("edges", "18"),)), Form("months_since"), Form("present")],
    "valid_from": [Form("year"), Form("present"), Form("latest", (("by", "contribution_from"),))],
    "salary_base": [Form("amount_band", (("edges", "500"),)), Form("present"), Form("count")],
    "commune": [Form("present"), Form("masked_keep_first", (("keep", 2),))],
    "full_name": [Form("masked_keep_first", (("keep", 1),))],
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_form_that_is_called_narrower_tells_nothing_more(name: str) -> None:
    forms = [*FORMS_OF[name], *MORE_FORMS.get(name, [])]
    ordered = [(one, other) for one, other in product(forms, repeat=2) if is_at_most(one, other)]
    assert len(ordered) >= len(forms), "each tells as much as itself"
    assert [(one, other) for one, other in ordered if tells_more(name, one, other)] == []


World = tuple[Agreement, Catalogue, Registers]


def prohibit(catalogue: Catalogue, kinds: frozenset[str], topics: frozenset[str]) -> tuple[Prohibition, ...]:
    """One prohibition by topics, as the catalogue makes fields of them."""
    names = frozenset(name for name, field in catalogue.fields.items() if field.reveals & topics)
    return (Prohibition("p", kinds, names, "because"),)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[World, World]:
    """A world, and the same with one single thing changed: in the agreement, a register or the catalogue."""
    kinds, topics = draw(some(KINDS, least=1)), draw(some(sorted(TOPICS)))
    bases = dict(REGISTERS.legal_bases)
    for code in BASES:
        bases[code] = replace(bases[code], valid_to=draw(st.sampled_from([date.max, *DAYS[3:]])))
    agreement, catalogue = draw(agreements()), CATALOGUE
    registers = replace(REGISTERS, legal_bases=bases, prohibitions=prohibit(catalogue, kinds, topics))
    old = (agreement, catalogue, registers)
    what = draw(
        st.sampled_from(["agreement", "agreement", "basis", "kind", "prohibition", "field", "purpose"])
    )
    if what == "agreement":
        member = draw(st.sampled_from([f.name for f in fields(Agreement) if f.name != "id"]))
        changes: dict[str, Any] = {member: getattr(draw(agreements()), member)}
        agreement = replace(agreement, **changes)
    elif what == "basis":
        code = agreement.legal_basis
        bases = {**bases, code: draw(changed_basis(bases[code]))}
        registers = replace(registers, legal_bases=bases)
    elif what == "kind":
        code = draw(st.sampled_from(KINDS))
        kind = replace(registers.recipient_kinds[code], legal_bases=draw(some(BASES)))
        registers = replace(registers, recipient_kinds={**registers.recipient_kinds, code: kind})
    elif what == "prohibition":
        rules = prohibit(catalogue, draw(some(KINDS, least=1)), draw(some(sorted(TOPICS))))
        registers = replace(registers, prohibitions=rules)
    elif what == "purpose":
        code = draw(st.sampled_from(PURPOSES))
        purpose = replace(registers.purposes[code], dpv=("https://w3id.org/dpv#Marketing",))
        registers = replace(registers, purposes={**registers.purposes, code: purpose})
    else:
        catalogue = draw(changed_field(catalogue))
        registers = replace(registers, prohibitions=prohibit(catalogue, kinds, topics))
    return old, (agreement, catalogue, registers)


@st.composite
def changed_basis(draw: st.DrawFn, basis: Any) -> Any:
    known: dict[str, list[Any]] = {
        "valid_from": [date.min, *DAYS],
        "valid_to": [*DAYS, date.max],
        "needs": ["nothing", "procedure", "consent"],
    }
    member = draw(st.sampled_from(list(known)))
    return replace(basis, **{member: draw(st.sampled_from(known[member]))})


@st.composite
def changed_field(draw: st.DrawFn, catalogue: Catalogue) -> Catalogue:
    name = draw(st.sampled_from([*FIELDS, "birth_date", "copay_ytd", "ethnicity"]))
    member, values = draw(
        st.sampled_from(
            [
                ("reveals", some(sorted(TOPICS))),
                ("field_class", st.sampled_from(sorted(FIELD_CLASSES))),
                ("group", st.sampled_from(sorted(catalogue.groups))),
                ("repeats", st.booleans()),
                ("precision_field", st.just("")),
                ("held", st.booleans()),
            ]
        )
    )
    changes: dict[str, Any] = {member: draw(values)}
    return replace(catalogue, fields={**catalogue.fields, name: replace(catalogue.fields[name], **changes)})


def read(world: World) -> tuple[Policies, PolicySet]:
    agreement, catalogue, registers = world
    compiled = compile_policies([agreement], catalogue, registers)
    return Policies((agreement,), (), catalogue, registers), compiled


@st.composite
def asked(draw: st.DrawFn, pair: tuple[World, World]) -> list[DecisionRequest]:
    """Questions that fit the one agreement or the other, on every day."""
    questions = [draw(requests(world[0])) for world in (*pair, pair[1])]
    everything = [replace(questions[-1], asked_fields=None), *questions]
    return [replace(question, on_date=day) for question in everything for day in DAYS]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_releases_more_is_reported_as_widening(data: st.DataObject) -> None:
    pair = data.draw(worlds())
    try:
        (old, before), (new, after) = map(read, pair)
    except PolicyError:
        assume(False)
    questions = data.draw(asked(pair))
    more = [q for q in questions if releases_more(decide(q, before), decide(q, after))]
    found = compare_policies(old, new)
    assert not more or any(change.direction == "widens" for change in found), (more[0], found)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_nothing_differs_from_itself(pair: tuple[World, World]) -> None:
    for world in pair:
        try:
            policies, _ = read(world)
        except PolicyError:
            continue
        assert compare_policies(policies, policies) == ()
