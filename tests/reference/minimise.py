"""Minimisation field by field, nothing cached, and every form written out once more in its plainest words."""

from __future__ import annotations

import calendar
import hashlib
import hmac
from collections.abc import Mapping
from datetime import date
from itertools import pairwise

from policies.forms import FormContext
from policies.model import Decision, FieldRelease, Record, Released, RowScope, Value


def to_day(value: Value) -> date | None:
    """Return the day of a date (the domain of these tests; text and datetimes have their own unit tests)."""
    return value if isinstance(value, date) else None


def _band(number: int, edges: str) -> str:
    steps = [int(edge) for edge in edges.split(",")]
    if number < steps[0]:
        return f"<{steps[0]}"
    for low, high in pairwise(steps):
        if low <= number < high:
            return f"{low}-{high - 1}"
    return f">={steps[-1]}"


def _age(born: date, precision: Value, today: date) -> int:
    if precision == "year":
        born = born.replace(month=12, day=31)
    if precision == "month":
        born = born.replace(day=calendar.monthrange(born.year, born.month)[1])
    age = today.year - born.year
    if (born.month, born.day) > (today.month, today.day):
        age -= 1
    return max(age, 0)


def _of_text(
    name: str, text: str, field: str, parameters: Mapping[str, Value], context: FormContext
) -> Value:
    text = text.strip()
    if not text:
        return None
    if name == "initials":
        return "".join(word[0].upper() + "." for word in text.split())
    if name == "pairwise_pseudonym":
        message = "\x1f".join(["pairwise_pseudonym", context.recipient, field, text])
        return hmac.new(context.pseudonym_key or b"", message.encode(), hashlib.sha256).hexdigest()[:32]
    if name == "parent_code":
        digits = parameters.get("digits")
        if digits is None:
            return context.parent_codes.get(text)
        return text[: int(str(digits))] if len(text) > int(str(digits)) else None
    keep = int(str(parameters["keep"]))
    if len(text) <= keep:
        return "****"
    return text[:keep] + "****" if name == "masked_keep_first" else "****" + text[len(text) - keep :]


def _predicate(value: Value, row: Mapping[str, Value], parameters: Mapping[str, Value], today: date) -> Value:
    if parameters["operator"] == "in_range":
        first, last = to_day(value), to_day(row.get(str(parameters["to_field"])))
        return None if first is None or last is None else first <= today <= last
    threshold = parameters["threshold"]
    if type(value) is not type(threshold):
        return None
    if parameters["operator"] == "==":
        return value == threshold
    above, below = value >= threshold, value <= threshold  # type: ignore[operator]
    return above if parameters["operator"] == ">=" else below


def _of_day(name: str, day: date, precision: Value, edges: str, today: date) -> Value:
    if name == "year":
        return day.year
    if name == "year_month":
        return day.isoformat()[:4] if precision == "year" else day.isoformat()[:7]
    if name == "age_band":
        return None if day > today else _band(_age(day, precision, today), edges)
    months = (today.year - day.year) * 12 + (today.month - day.month)
    return max(months - (1 if today.day < day.day else 0), 0)


def apply_form(release: FieldRelease, row: Mapping[str, Value], context: FormContext) -> Value:
    """Return one field of one row in its form."""
    name, value, today = release.form.name, row.get(release.field), context.on_date
    parameters = dict(release.form.parameters)
    if name == "value":
        return value
    if name == "present":
        return value is not None and value != ""
    if name == "predicate":
        return None if value is None else _predicate(value, row, parameters, today)
    if name == "amount_band":
        return _band(value, str(parameters["edges"])) if type(value) is int else None
    if name in ("year", "year_month", "age_band", "months_since"):
        precision = row.get(str(parameters.get("precision_field", "")))
        day = to_day(value)
        return None if day is None else _of_day(name, day, precision, str(parameters.get("edges")), today)
    return _of_text(name, value, release.field, parameters, context) if isinstance(value, str) else None


def _keeps(scope: RowScope, row: Mapping[str, Value], context: FormContext) -> bool:
    if scope.keep == "own_units":
        return row.get(scope.field) in context.own_units
    day = to_day(row.get(scope.field))
    if day is None or day > context.on_date:
        return False
    months = (context.on_date.year - day.year) * 12 + context.on_date.month - day.month
    return months <= scope.months


def _over_rows(release: FieldRelease, rows: list[Mapping[str, Value]], context: FormContext) -> Value:
    parameters = dict(release.form.parameters)
    if release.form.name == "count":
        return len([row for row in rows if row.get(release.field) is not None])
    if release.form.name == "latest":
        dated = [row for row in rows if to_day(row.get(str(parameters["by"]))) is not None]
        if not dated:
            return None
        newest = max(str(row[str(parameters["by"])]) for row in dated)
        return next(row.get(release.field) for row in dated if str(row[str(parameters["by"])]) == newest)
    answers = [apply_form(release, row, context) for row in rows]
    if True in answers:
        return True
    return False if False in answers else None


def minimise(record: Record, decision: Decision, context: FormContext) -> Released:
    """Return what policies.minimise must return."""
    if not decision.permitted:
        return Released({}, {})
    fields: dict[str, Value] = {}
    groups: dict[str, tuple[dict[str, Value], ...]] = {}
    for release in decision.released:
        if not release.group:
            fields[release.field] = apply_form(release, record.fields, context)
            continue
        rows = [
            row
            for row in record.groups.get(release.group, ())
            if all(
                _keeps(scope, row, context) for scope in decision.row_scopes if scope.group == release.group
            )
        ]
        over = dict(release.form.parameters).get("over") == "any" or release.form.name in ("count", "latest")
        if over:
            fields[release.field] = _over_rows(release, rows, context)
            continue
        known = groups.get(release.group) or tuple({} for _ in rows)
        groups[release.group] = tuple(
            {**made, release.field: apply_form(release, row, context)}
            for made, row in zip(known, rows, strict=True)
        )
    return Released(fields, groups)
