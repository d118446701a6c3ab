"""Each form: what it gives, that it is total on missing and malformed values, and that it never leaks one."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, date, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.catalogue import FIELD_TYPES, FieldType
from policies.form_context import as_day, months_before
from policies.forms import (
    FORMS,
    FormContext,
    FormRefused,
    build_rows_form,
    build_value_form,
    companions,
    is_over_rows,
)
from policies.minimise import minimise
from policies.model import Decision, FieldRelease, Form, Record, RowScope, Value

DAY = date(2026, 11, 2)
KEY = b"secret of the data owner"
CONTEXT = FormContext(DAY, "bank_1", KEY, {"26740": "79"})
SECRET = "Nguyễn-bí-mật"


def form(name: str, **parameters: Value) -> Form:
    return Form(name, tuple(parameters.items()))


def apply(
    made: Form, value: Value, row: dict[str, Value] | None = None, context: FormContext = CONTEXT
) -> Value:
    return build_value_form("the_field", made)(value, row or {}, context)


VALUE_FORMS = [
    form("value"),
    form("present"),
    form("predicate", operator=">=", threshold=10),
    form("predicate", operator="<=", threshold=date(2026, 1, 1)),
    form("predicate", operator="==", threshold="a"),
    form("predicate", operator="in_range", to_field="other"),
    form("year"),
    form("year_month", precision_field="other"),
    form("age_band", edges="18,60", precision_field="other"),
    form("amount_band", edges="5,10"),
    form("masked_keep_first", keep=3),
    form("masked_keep_last", keep=3),
    form("initials"),
    form("parent_code"),
    form("parent_code", digits=2),
    form("pairwise_pseudonym"),
    form("months_since"),
]
MALFORMED: list[Value] = [
    SECRET,
    "",
    "   ",
    "31/02/2020",
    "2020-13-45",
    -(10**18),
    True,
    date.min,
    date.max,
    0,
]


def test_the_list_is_closed_and_whole() -> None:
    names = (
        "value present predicate year year_month age_band amount_band masked_keep_first masked_keep_last "
        "initials parent_code pairwise_pseudonym count latest months_since aggregate"
    )
    assert set(FORMS) == set(names.split())
    assert frozenset(get_args(FieldType)) == FIELD_TYPES
    for kind in FORMS.values():
        assert kind.accepts <= FIELD_TYPES
        assert kind.gives in FIELD_TYPES | {"same"}
        assert kind.label_vi
        assert kind.label_en


@pytest.mark.parametrize("made", VALUE_FORMS, ids=str)
def test_a_missing_value_stays_missing(made: Form) -> None:
    answer = apply(made, None)
    assert answer is (False if made.name == "present" else None)


@pytest.mark.parametrize("made", VALUE_FORMS, ids=str)
@pytest.mark.parametrize("value", MALFORMED, ids=repr)
@pytest.mark.parametrize("other", [None, SECRET, 7, date(2026, 1, 1)], ids=repr)
def test_a_malformed_value_never_raises(made: Form, value: Value, other: Value) -> None:
    apply(made, value, {"other": other})


@given(
    st.none() | st.text() | st.integers() | st.booleans() | st.dates() | st.datetimes(),
    st.sampled_from(VALUE_FORMS),
)
def test_forms_are_total(value: Value, made: Form) -> None:
    answer = apply(made, value, {"other": value})
    assert answer is None or isinstance(answer, (str, int, bool, date))


@given(st.text(min_size=9, max_size=30), st.sampled_from(VALUE_FORMS))
def test_only_the_form_value_gives_the_whole_text(text: str, made: Form) -> None:
    answer = apply(made, text)
    assert made.name == "value" or answer != text


@pytest.mark.parametrize(
    ("made", "value", "expected"),
    [
        (form("value"), SECRET, SECRET),
        (form("present"), SECRET, True),
        (form("present"), "", False),
        (form("present"), 0, True),
        (form("present"), False, True),
        (form("predicate", operator=">=", threshold=10), 10, True),
        (form("predicate", operator=">=", threshold=10), 9, False),
        (form("predicate", operator="<=", threshold=10), 10, True),
        (form("predicate", operator="<=", threshold=10), 11, False),
        (form("predicate", operator="==", threshold=10), 10, True),
        (form("predicate", operator="==", threshold=10), 11, False),
        (form("predicate", operator=">=", threshold=date(2026, 1, 1)), date(2026, 1, 1), True),
        (form("predicate", operator="<=", threshold=date(2026, 1, 1)), "2026-01", True),
        (
            form("predicate", operator="==", threshold=date(2026, 1, 1)),
            datetime(2026, 1, 1, 5, tzinfo=UTC),
            True,
        ),
        (form("predicate", operator=">=", threshold=date(2026, 1, 1)), 5, None),
        (form("predicate", operator="==", threshold="01"), "01", True),
        (form("predicate", operator="==", threshold="01"), "02", False),
        (form("predicate", operator="==", threshold=True), True, True),
        (form("predicate", operator="==", threshold=True), 1, None),
        (form("predicate", operator=">=", threshold=0), True, None),
        (form("year"), date(1990, 5, 6), 1990),
        (form("year"), "1990-05-06", 1990),
        (form("year_month"), date(1990, 5, 6), "1990-05"),
        (form("amount_band", edges="5,10"), 4, "<5"),
        (form("amount_band", edges="5,10"), 5, "5-9"),
        (form("amount_band", edges="5,10"), 9, "5-9"),
        (form("amount_band", edges="5,10"), 10, ">=10"),
        (form("amount_band", edges="5"), True, None),
        (form("age_band", edges="18,60"), date(2008, 11, 2), "18-59"),
        (form("age_band", edges="18,60"), date(2008, 11, 3), "<18"),
        (form("age_band", edges="18,60"), date(1966, 11, 2), ">=60"),
        (form("age_band", edges="18,60"), date(2026, 11, 3), None),
        (form("masked_keep_last", keep=4), "079087012345", "****2345"),
        (form("masked_keep_first", keep=2), "DN4790123456789", "DN****"),
        (form("masked_keep_last", keep=4), "2345", "****"),
        (form("masked_keep_last", keep=4), "x", "****"),
        (form("initials"), "Nguyễn Thị Hoà", "N.T.H."),
        (form("initials"), "  y  bhiêng ", "Y.B."),
        (form("initials"), "đinh", "Đ."),
        (form("parent_code"), "26740", "79"),
        (form("parent_code"), "99999", None),
        (form("parent_code", digits=2), "79024", "79"),
        (form("parent_code", digits=2), "79", None),
        (form("months_since"), date(2025, 11, 2), 12),
        (form("months_since"), date(2025, 11, 3), 11),
        (form("months_since"), date(2027, 1, 1), 0),
    ],
    ids=str,
)
def test_a_form_gives_exactly_this(made: Form, value: Value, expected: Value) -> None:
    answer = apply(made, value)
    assert answer == expected
    assert type(answer) is type(expected)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (date(2026, 11, 2), date(2026, 11, 2), True),
        (date(2026, 11, 3), date(2027, 1, 1), False),
        (date(2026, 1, 1), date(2026, 11, 1), False),
        (date(2026, 1, 1), None, None),
        (None, date(2027, 1, 1), None),
    ],
)
def test_in_range_asks_about_the_day_of_release(
    first: date | None, last: date | None, expected: bool | None
) -> None:
    made = form("predicate", operator="in_range", to_field="valid_to")
    assert apply(made, first, {"valid_to": last}) is expected


@pytest.mark.parametrize(
    ("precision", "born", "expected"),
    [
        ("year", date(2008, 1, 1), "<18"),  # may be born on 31 December 2008: not yet 18 on 2 November 2026
        ("day", date(2008, 1, 1), ">=18"),
        (None, date(2008, 1, 1), ">=18"),
        ("month", date(2008, 11, 1), "<18"),  # may be born on 30 November
        ("month", date(2008, 10, 1), ">=18"),
        ("month", date(2008, 12, 1), "<18"),
        ("year", date(2007, 1, 1), ">=18"),
    ],
)
def test_an_inexact_birth_date_counts_as_the_youngest_it_can_mean(
    precision: str | None, born: date, expected: str
) -> None:
    """Domain CON-12."""
    made = form("age_band", edges="18", precision_field="birth_precision")
    assert apply(made, born, {"birth_precision": precision}) == expected


def test_a_year_only_birth_date_does_not_grow_a_month() -> None:
    made = form("year_month", precision_field="birth_precision")
    assert apply(made, date(1952, 1, 1), {"birth_precision": "year"}) == "1952"
    assert apply(made, date(1952, 3, 1), {"birth_precision": "month"}) == "1952-03"


def test_pseudonyms_differ_per_recipient_field_and_key_and_are_stable() -> None:
    made = form("pairwise_pseudonym")
    one = apply(made, "079087012345")
    assert one == apply(made, " 079087012345 ")
    other_key = FormContext(DAY, "bank_1", b"another key")
    assert one != apply(made, "079087012345", context=other_key)
    assert one != apply(made, "079087012345", context=FormContext(DAY, "bank_2", KEY))
    assert one != build_value_form("si_number", made)("079087012345", {}, CONTEXT)
    message = b"pairwise_pseudonym\x1fbank_1\x1fthe_field\x1f079087012345"
    assert one == hmac.new(KEY, message, hashlib.sha256).hexdigest()[:32]


@pytest.mark.parametrize(
    "context", [FormContext(DAY, "bank_1"), FormContext(DAY, "", KEY), FormContext(DAY, "b", b"")]
)
def test_a_pseudonym_without_its_secret_is_refused_without_the_value(context: FormContext) -> None:
    with pytest.raises(FormRefused) as caught:
        apply(form("pairwise_pseudonym"), SECRET, context=context)
    assert SECRET not in str(caught.value)
    assert caught.value.fact == "pseudonym_key_missing"


def test_the_secret_does_not_show_in_the_context() -> None:
    assert "secret" not in repr(CONTEXT)


@pytest.mark.parametrize(
    ("made", "fact"),
    [
        (form("raw"), "unknown_form"),
        (form("predicate"), "bad_parameters"),
        (form("predicate", operator="like", threshold=1), "bad_parameters"),
        (form("predicate", operator=">="), "bad_parameters"),
        (form("predicate", operator="in_range"), "bad_parameters"),
        (form("age_band"), "bad_parameters"),
        (form("amount_band", edges="a"), "bad_parameters"),
        (form("amount_band", edges="5,4"), "bad_parameters"),
        (form("masked_keep_last"), "bad_parameters"),
        (form("masked_keep_last", keep=0), "bad_parameters"),
        (form("masked_keep_first", keep="x"), "bad_parameters"),
        (form("parent_code", digits="x"), "bad_parameters"),
        (form("count"), "bad_parameters"),
        (form("aggregate"), "aggregate_only"),
    ],
    ids=str,
)
def test_an_impossible_form_is_refused_by_minimise(made: Form, fact: str) -> None:
    decision = Decision(True, "permitted", ("r",), released=(FieldRelease("full_name", made),))
    with pytest.raises(FormRefused) as caught:
        minimise(Record("x", datetime.now(UTC), {"full_name": SECRET}), decision, CONTEXT)
    assert (caught.value.field, caught.value.fact) == ("full_name", fact)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("made", [form("latest"), form("value")], ids=str)
def test_an_impossible_form_over_rows_is_refused(made: Form) -> None:
    with pytest.raises(FormRefused):
        build_rows_form("valid_from", made)


CARDS = (
    {"hi_card": "A", "valid_from": date(2024, 1, 1), "valid_to": date(2024, 12, 31)},
    {"hi_card": "B", "valid_from": date(2026, 1, 1), "valid_to": date(2026, 12, 31)},
    {"hi_card": None, "valid_from": None, "valid_to": date(2030, 1, 1)},
    {"hi_card": "C", "valid_from": date(2025, 1, 1), "valid_to": date(2025, 12, 31)},
)


@pytest.mark.parametrize(
    ("field", "made", "rows", "expected"),
    [
        ("hi_card", form("count"), CARDS, 3),
        ("hi_card", form("count"), (), 0),
        ("hi_card", form("latest", by="valid_from"), CARDS, "B"),
        ("hi_card", form("latest", by="valid_from"), (), None),
        ("hi_card", form("latest", by="valid_from"), CARDS[2:3], None),
        ("valid_from", form("predicate", operator="in_range", to_field="valid_to", over="any"), CARDS, True),
        (
            "valid_from",
            form("predicate", operator="in_range", to_field="valid_to", over="any"),
            CARDS[:1],
            False,
        ),
        (
            "valid_from",
            form("predicate", operator="in_range", to_field="valid_to", over="any"),
            CARDS[2:3],
            None,
        ),
        ("valid_from", form("predicate", operator="in_range", to_field="valid_to", over="any"), (), None),
    ],
)
def test_a_form_over_rows_gives_one_value(
    field: str, made: Form, rows: tuple[dict[str, Value], ...], expected: Value
) -> None:
    assert is_over_rows(made)
    released = (FieldRelease(field, made, "hi_cards"),)
    record = Record("x", datetime.now(UTC), {}, {"hi_cards": rows})
    answer = minimise(record, Decision(True, "permitted", ("r",), released=released), CONTEXT)
    assert answer.fields == {field: expected}
    assert answer.groups == {}


def test_a_form_says_which_other_fields_it_reads() -> None:
    assert companions(form("predicate", operator="in_range", to_field="valid_to")) == ("valid_to",)
    assert companions(form("latest", by="valid_from")) == ("valid_from",)
    assert companions(form("age_band", edges="5", precision_field="birth_precision")) == ("birth_precision",)
    assert companions(form("value")) == ()
    assert not is_over_rows(form("value"))
    assert not is_over_rows(form("raw"))


# Rows that may not leave at all


def _contributions(context: FormContext, scope: RowScope) -> list[Value]:
    rows = tuple(
        {"contribution_unit_code": unit, "contribution_from": day, "salary_base": base}
        for unit, day, base in (
            ("U1", date(2026, 10, 1), 1),
            ("U2", date(2026, 10, 1), 2),
            ("U1", date(2025, 11, 1), 3),
            ("U1", date(2025, 10, 1), 4),
            (None, None, 5),
            ("U1", date(2026, 12, 1), 6),
        )
    )
    released = (FieldRelease("salary_base", form("value"), "contributions"),)
    decision = Decision(True, "permitted", ("r",), released=released, row_scopes=(scope,))
    answer = minimise(Record("x", datetime.now(UTC), {}, {"contributions": rows}), decision, context)
    return [row["salary_base"] for row in answer.groups["contributions"]]


def test_an_employer_sees_rows_of_its_own_units_only() -> None:
    """Domain BAS-6."""
    scope = RowScope("contributions", "own_units", "contribution_unit_code")
    assert _contributions(FormContext(DAY, own_units=frozenset({"U1"})), scope) == [1, 3, 4, 6]
    assert _contributions(FormContext(DAY), scope) == [], "who has no unit sees no row"


def test_only_recent_rows_leave() -> None:
    scope = RowScope("contributions", "recent", "contribution_from", 12)
    assert _contributions(FormContext(DAY), scope) == [1, 2, 3]


@pytest.mark.parametrize(
    ("months", "expected"),
    [(0, date(2026, 11, 1)), (10, date(2026, 1, 1)), (11, date(2025, 12, 1)), (10**6, date.min)],
)
def test_months_are_counted_back(months: int, expected: date) -> None:
    assert months_before(DAY, months) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2026, 1, 2), date(2026, 1, 2)),
        (datetime(2026, 1, 2, 23, tzinfo=UTC), date(2026, 1, 2)),
        ("2026-01-02", date(2026, 1, 2)),
        ("2026-01", date(2026, 1, 1)),
        ("2026", None),
        ("02/01/2026", None),
        (20260102, None),
        (None, None),
    ],
)
def test_a_day_is_read_or_is_none(value: Value, expected: date | None) -> None:
    assert as_day(value) == expected
