"""Theorems of minimisation, checked against the slow reference in tests/reference/minimise.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compile import compile_policies
from policies.decide import decide
from policies.forms import FormContext
from policies.minimise import minimise
from policies.model import Agreement, Decision, DecisionRequest, Form, Record, Released, Value
from tests.properties.policy_questions import CATALOGUE, REGISTERS, agreements
from tests.reference.minimise import minimise as minimise_slowly

AS_OF = datetime(2026, 11, 2, tzinfo=UTC)
DAY = date(2026, 11, 2)
CONTEXT = FormContext(DAY, "r1", b"k" * 32, {"26740": "79"}, frozenset({"U1"}))

_days = st.dates(date(1930, 1, 1), DAY + timedelta(days=400))
_VALUES: dict[str, st.SearchStrategy[Value]] = {
    "date": _days,
    "month": _days.map(lambda day: day.replace(day=1)),
    "amount": st.integers(0, 5000),
    "integer": st.integers(-5, 500),
    "boolean": st.booleans(),
    "text": st.sampled_from(["Nguyễn Thị Hoà", "H'Mai", "079087012345", "", "26740", "U1"]),
    "code": st.sampled_from(["01", "26740", "79024", "U1", "year", "month", "day"]),
}


@st.composite
def rows(draw: st.DrawFn, group: str) -> dict[str, Value]:
    """A row of a group; any field may be missing, or be None."""
    return {
        field.name: draw(st.none() | _VALUES[field.type])
        for field in CATALOGUE.fields_of(group)
        if field.type in _VALUES and draw(st.integers(0, 5))
    }


@st.composite
def records(draw: st.DrawFn) -> Record:
    once: dict[str, Value] = {}
    for group in ("person", "contact", "bank"):
        once |= draw(rows(group))
    repeating = ("hi_cards", "contributions", "benefits", "family")
    many = {
        group: tuple(draw(st.lists(rows(group), max_size=3))) for group in repeating if draw(st.booleans())
    }
    return Record("opaque", AS_OF, once, many)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """The whole permission of some agreement, as its own decision."""
    drawn: Agreement = draw(agreements())
    agreement = replace(
        drawn, legal_basis="L19_1_c", conditions=frozenset(), denies=(), must_match=(), must_supply=(),
        obligations=frozenset(), recipients=frozenset(),
        valid_to=date(2030, 1, 1), review_date=date(2030, 1, 1),
    )  # fmt: skip
    request = DecisionRequest(
        agreement.action, agreement.id, "r1", agreement.recipient_kind, agreement.purpose,
        min(agreement.lookup_keys, default=""), DAY, frozenset(), frozenset(),
    )  # fmt: skip
    return decide(request, compile_policies([agreement], CATALOGUE, REGISTERS))


@settings(max_examples=300, deadline=None)
@given(records(), decisions())
def test_minimise_agrees_with_the_slow_reference(record: Record, decision: Decision) -> None:
    assert minimise(record, decision, CONTEXT) == minimise_slowly(record, decision, CONTEXT)


@given(records(), decisions())
def test_only_permitted_names_leave(record: Record, decision: Decision) -> None:
    released = minimise(record, decision, CONTEXT)
    names = set(released.fields) | {name for many in released.groups.values() for row in many for name in row}
    permitted = {release.field for release in decision.released}
    assert names <= permitted
    assert set(released.fields) <= permitted
    assert set(released.groups) <= {release.group for release in decision.released}


@given(records(), decisions())
def test_the_shape_tells_nothing(record: Record, decision: Decision) -> None:
    """Every permitted field stands in the answer, whether the record has a value or not."""
    released = minimise(record, decision, CONTEXT)
    empty = minimise(Record("opaque", AS_OF), decision, CONTEXT)
    assert set(released.fields) == set(empty.fields)
    assert set(released.groups) == set(empty.groups)
    for many in released.groups.values():
        assert len({frozenset(row) for row in many}) <= 1


def _as_values(decision: Decision) -> Decision:
    return replace(decision, released=tuple(replace(r, form=Form("value")) for r in decision.released))


@given(records(), decisions())
def test_minimise_is_idempotent(record: Record, decision: Decision) -> None:
    """Minimising what is left once more changes nothing (for values: other forms are not values any more)."""
    plain = replace(_as_values(decision), row_scopes=())
    once: Released = minimise(record, plain, CONTEXT)
    again = minimise(Record("opaque", AS_OF, once.fields, once.groups), plain, CONTEXT)
    assert again == once


@given(records(), decisions())
def test_the_same_record_gives_the_same_answer(record: Record, decision: Decision) -> None:
    assert minimise(record, decision, CONTEXT) == minimise(record, replace(decision), CONTEXT)


@given(records(), decisions())
def test_what_is_not_permitted_has_no_influence(record: Record, decision: Decision) -> None:
    """A field that the source may not be asked for cannot change the answer."""
    wanted = set(decision.source_columns)
    fewer = Record(
        record.data_subject,
        record.as_of,
        {name: value for name, value in record.fields.items() if name in wanted},
        {
            group: tuple({name: value for name, value in row.items() if name in wanted} for row in many)
            for group, many in record.groups.items()
        },
    )
    assert minimise(fewer, decision, CONTEXT) == minimise(record, decision, CONTEXT)


@given(records(), st.sampled_from(["no_agreement", "policy_error"]))
def test_a_refusal_releases_nothing(record: Record, reason: str) -> None:
    assert minimise(record, Decision(False, reason, ("default_deny",)), CONTEXT) == Released({}, {})
