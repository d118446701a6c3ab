"""What each form does to one value. `policies.forms` holds the closed list and is what others import.

Every builder is called once per plan and returns the function that is called per value. A missing or
malformed value gives None; no form puts a value into an exception.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import date

from policies.form_context import (
    FormContext,
    FormRefused,
    Parameters,
    Row,
    ValueForm,
    as_day,
    as_number,
    as_text,
    band,
    latest_birth,
    read_edges,
)
from policies.model import Value


def build_value(_field: str, _parameters: Parameters) -> ValueForm:
    """The value itself, unchanged."""
    return lambda value, _row, _context: value


def build_present(_field: str, _parameters: Parameters) -> ValueForm:
    """Whether there is a value."""
    return lambda value, _row, _context: value is not None and value != ""


def _ordinal(value: Value, threshold: Value) -> int | None:
    """Return value as a whole number on the threshold's scale (days for dates), or None."""
    if isinstance(threshold, date):
        day = as_day(value)
        return None if day is None else day.toordinal()
    return as_number(value)


def _compare(operator: Value, threshold: Value) -> Callable[[Value], bool | None]:
    bound = _ordinal(threshold, threshold)
    if bound is None:
        # Codes and flags know equality only.
        return lambda value: None if type(value) is not type(threshold) else value == threshold

    def compare(value: Value) -> bool | None:
        number = _ordinal(value, threshold)
        if number is None:
            return None
        if operator == "==":
            return number == bound
        return number >= bound if operator == ">=" else number <= bound

    return compare


def build_predicate(name: str, parameters: Parameters) -> ValueForm:
    """Yes or no to one question; "in_range" asks whether the day of release lies between two fields."""
    operator = parameters["operator"]
    if operator == "in_range":
        to_field = str(parameters["to_field"])

        def holds_today(value: Value, row: Row, context: FormContext) -> Value:
            first, last = as_day(value), as_day(row.get(to_field))
            return None if first is None or last is None else first <= context.on_date <= last

        return holds_today
    threshold = parameters["threshold"]
    if operator not in (">=", "<=", "=="):
        raise ValueError(name)
    compare = _compare(operator, threshold)
    return lambda value, _row, _context: compare(value)


def build_year(_field: str, _parameters: Parameters) -> ValueForm:
    """The year."""

    def year(value: Value, _row: Row, _context: FormContext) -> Value:
        day = as_day(value)
        return None if day is None else day.year

    return year


def build_year_month(_field: str, parameters: Parameters) -> ValueForm:
    """Year and month, "2026-01"; only the year when no month is known."""
    precision_field = str(parameters.get("precision_field", ""))

    def year_month(value: Value, row: Row, _context: FormContext) -> Value:
        day = as_day(value)
        if day is None:
            return None
        # A birth date known only to the year must not grow a month on its way out.
        return f"{day.year:04d}" if row.get(precision_field) == "year" else f"{day.year:04d}-{day.month:02d}"

    return year_month


def build_age_band(_field: str, parameters: Parameters) -> ValueForm:
    """The band of completed years; an inexact birth date counts as the youngest it can mean."""
    edges = read_edges(parameters)
    precision_field = str(parameters.get("precision_field", ""))

    def age_band(value: Value, row: Row, context: FormContext) -> Value:
        day = as_day(value)
        if day is None:
            return None
        born, today = latest_birth(day, row.get(precision_field)), context.on_date
        age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
        return band(max(age, 0), edges) if day <= today else None

    return age_band


def build_amount_band(_field: str, parameters: Parameters) -> ValueForm:
    """The band of an amount."""
    edges = read_edges(parameters)

    def amount_band(value: Value, _row: Row, _context: FormContext) -> Value:
        number = as_number(value)
        return None if number is None else band(number, edges)

    return amount_band


def _masked(_field: str, parameters: Parameters, *, first: bool) -> ValueForm:
    keep = int(str(parameters["keep"]))
    if keep < 1:
        raise ValueError("keep")

    def masked(value: Value, _row: Row, _context: FormContext) -> Value:
        text = as_text(value)
        if text is None:
            return None
        # Four stars always: their number must not tell the length. A short value is hidden whole.
        if len(text) <= keep:
            return "****"
        return f"{text[:keep]}****" if first else f"****{text[-keep:]}"

    return masked


def build_masked_keep_first(name: str, parameters: Parameters) -> ValueForm:
    """The first characters and four stars."""
    return _masked(name, parameters, first=True)


def build_masked_keep_last(name: str, parameters: Parameters) -> ValueForm:
    """Four stars and the last characters."""
    return _masked(name, parameters, first=False)


def build_initials(_field: str, _parameters: Parameters) -> ValueForm:
    """The first letter of each word."""

    def initials(value: Value, _row: Row, _context: FormContext) -> Value:
        text = as_text(value)
        return None if text is None else "".join(f"{word[0].upper()}." for word in text.split())

    return initials


def build_parent_code(_field: str, parameters: Parameters) -> ValueForm:
    """The code of what this code lies in: its first digits, or by the table of the context."""
    digits = parameters.get("digits")
    length = None if digits is None else int(str(digits))

    def parent_code(value: Value, _row: Row, context: FormContext) -> Value:
        text = as_text(value)
        if text is None:
            return None
        if length is None:
            return context.parent_codes.get(text)
        return text[:length] if len(text) > length else None

    return parent_code


def build_pairwise_pseudonym(name: str, _parameters: Parameters) -> ValueForm:
    """HMAC-SHA-256 over recipient, field and value; 32 hexadecimal digits."""

    def pairwise_pseudonym(value: Value, _row: Row, context: FormContext) -> Value:
        if not context.pseudonym_key or not context.recipient:
            raise FormRefused("pairwise_pseudonym", name, "pseudonym_key_missing")
        text = as_text(value)
        if text is None:
            return None
        message = "\x1f".join(("pairwise_pseudonym", context.recipient, name, text)).encode()
        return hmac.digest(context.pseudonym_key, message, "sha256").hex()[:32]

    return pairwise_pseudonym


def build_months_since(_field: str, _parameters: Parameters) -> ValueForm:
    """Whole months from then to the day of release; 0 for a later day."""

    def months_since(value: Value, _row: Row, context: FormContext) -> Value:
        day, today = as_day(value), context.on_date
        if day is None:
            return None
        return max(0, (today.year - day.year) * 12 + today.month - day.month - (today.day < day.day))

    return months_since


def build_aggregate(name: str, _parameters: Parameters) -> ValueForm:
    """Never about one person: refuses."""
    raise FormRefused("aggregate", name, "aggregate_only")


def build_of_rows(name: str, _parameters: Parameters) -> ValueForm:
    """Forms over rows have no form for one value: refuses."""
    raise FormRefused("rows", name, "bad_parameters")
