"""The closed list of forms in which a field may be released: total, typed, deterministic.

A form has only the row it works on and a frozen `FormContext`; date and secret come in with it. The list is
closed: a name outside it is refused at load, and again when a record is minimised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from policies.catalogue import FIELD_TYPES
from policies.form_context import FormContext, FormRefused, Parameters, Row, RowsForm, ValueForm, as_day
from policies.form_functions import (
    build_age_band,
    build_aggregate,
    build_amount_band,
    build_initials,
    build_masked_keep_first,
    build_masked_keep_last,
    build_months_since,
    build_of_rows,
    build_pairwise_pseudonym,
    build_parent_code,
    build_predicate,
    build_present,
    build_value,
    build_year,
    build_year_month,
)
from policies.model import Form, Value

__all__ = [
    "FORMS",
    "FormContext",
    "FormKind",
    "FormRefused",
    "build_rows_form",
    "build_value_form",
    "companions",
    "is_over_rows",
]


@dataclass(frozen=True, slots=True)
class FormKind:
    """One entry of the closed list.

    accepts: field types it takes. gives: field type of the result, or "same". rows: "never" works on
    one value; "always" on all rows of a repeating group. parameters: name → whether it is required.
    """

    name: str
    label_vi: str
    label_en: str
    accepts: frozenset[str]
    gives: str
    build: Callable[[str, Parameters], ValueForm]
    rows: Literal["never", "always"] = "never"
    parameters: Mapping[str, bool] = field(default_factory=dict)


_TEXTS = frozenset({"text", "code"})
_DAYS = frozenset({"date", "month", "datetime"})
_NUMBERS = frozenset({"integer", "amount"})
_EDGES = {"edges": True}

FORMS: Mapping[str, FormKind] = {
    kind.name: kind
    for kind in (
        FormKind("value", "giá trị", "the value itself", FIELD_TYPES, "same", build_value),
        FormKind("present", "có hay không có", "whether there is one", FIELD_TYPES, "boolean", build_present),
        FormKind(
            "predicate",
            "đúng hay sai",
            "yes or no to one question",
            FIELD_TYPES,
            "boolean",
            build_predicate,
            parameters={"operator": True, "threshold": False, "to_field": False, "over": False},
        ),
        FormKind("year", "năm", "the year", _DAYS, "integer", build_year),
        FormKind(
            "year_month",
            "tháng và năm",
            "year and month",
            _DAYS,
            "text",
            build_year_month,
            parameters={"precision_field": False},
        ),
        FormKind(
            "age_band",
            "nhóm tuổi",
            "an age band",
            frozenset({"date"}),
            "text",
            build_age_band,
            parameters={"edges": True, "precision_field": False},
        ),
        FormKind(
            "amount_band",
            "khoảng số tiền",
            "a band of amounts",
            _NUMBERS,
            "text",
            build_amount_band,
            parameters=_EDGES,
        ),
        FormKind(
            "masked_keep_first",
            "che, giữ phần đầu",
            "masked but for the first characters",
            _TEXTS,
            "text",
            build_masked_keep_first,
            parameters={"keep": True},
        ),
        FormKind(
            "masked_keep_last",
            "che, giữ phần cuối",
            "masked but for the last characters",
            _TEXTS,
            "text",
            build_masked_keep_last,
            parameters={"keep": True},
        ),
        FormKind("initials", "chữ cái đầu", "initials", frozenset({"text"}), "text", build_initials),
        FormKind(
            "parent_code",
            "mã cấp trên",
            "the code of what it lies in",
            _TEXTS,
            "code",
            build_parent_code,
            parameters={"digits": False},
        ),
        FormKind(
            "pairwise_pseudonym",
            "bí danh riêng cho từng bên nhận",
            "a pseudonym that differs per recipient",
            _TEXTS,
            "text",
            build_pairwise_pseudonym,
        ),
        FormKind(
            "count",
            "số lượng dòng",
            "the number of rows",
            FIELD_TYPES,
            "integer",
            build_of_rows,
            rows="always",
        ),
        FormKind(
            "latest",
            "giá trị mới nhất",
            "the newest row's value",
            FIELD_TYPES,
            "same",
            build_of_rows,
            rows="always",
            parameters={"by": True},
        ),
        FormKind(
            "months_since",
            "số tháng kể từ đó",
            "whole months since then",
            _DAYS,
            "integer",
            build_months_since,
        ),
        FormKind(
            "aggregate",
            "chỉ trong bảng tổng hợp",
            "only inside a table of aggregates, never about one person",
            FIELD_TYPES,
            "same",
            build_aggregate,
        ),
    )
}
"""Name → kind. The list is closed: a name outside it is refused at load, and again by minimise."""


def is_over_rows(form: Form) -> bool:
    """Return whether the form makes one value of all rows of a repeating group."""
    kind = FORMS.get(form.name)
    return kind is not None and (kind.rows == "always" or dict(form.parameters).get("over") == "any")


def companions(form: Form) -> tuple[str, ...]:
    """Return the other fields of the same group that the form must read (never released by it)."""
    names = dict(form.parameters)
    return tuple(str(names[key]) for key in ("to_field", "by", "precision_field") if names.get(key))


def build_value_form(field_name: str, form: Form) -> ValueForm:
    """Return the function for one value. Raises FormRefused for an unknown form or bad parameters."""
    kind = FORMS.get(form.name)
    if kind is None:
        raise FormRefused(form.name, field_name, "unknown_form")
    try:
        return kind.build(field_name, dict(form.parameters))
    except (KeyError, ValueError):
        raise FormRefused(form.name, field_name, "bad_parameters") from None


def build_rows_form(field_name: str, form: Form) -> RowsForm:
    """Return the function over all rows of the field's group. Raises FormRefused as build_value_form does."""
    parameters = dict(form.parameters)
    if form.name == "count":
        return lambda rows, _context: sum(row.get(field_name) is not None for row in rows)
    if form.name == "latest" and parameters.get("by"):
        return _latest(field_name, str(parameters["by"]))
    if form.name != "predicate":
        raise FormRefused(form.name, field_name, "bad_parameters")
    holds = build_value_form(field_name, form)

    def any_row(rows: Sequence[Row], context: FormContext) -> Value:
        answers = [holds(row.get(field_name), row, context) for row in rows]
        return None if all(answer is None for answer in answers) else any(answers)

    return any_row


def _latest(field_name: str, by: str) -> RowsForm:
    def latest(rows: Sequence[Row], _context: FormContext) -> Value:
        newest, found = None, None
        for row in rows:
            day = as_day(row.get(by))
            if day is not None and (newest is None or day > newest):
                newest, found = day, row.get(field_name)
        return found

    return latest
