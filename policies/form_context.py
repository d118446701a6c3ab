"""What a form may know, how it refuses, and how it reads a value that may be missing or malformed."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import TypeAlias

from policies.model import Value

Row: TypeAlias = Mapping[str, Value]
Parameters: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class FormContext:
    """What a form may know besides the record. Nothing here is global.

    on_date: civil day of release. recipient: who receives (pseudonyms differ per recipient).
    pseudonym_key: secret of the data owner. parent_codes: code → code of what it lies in (commune →
    province). own_units: the recipient's own employer unit codes; empty = no row is its own.
    """

    on_date: date
    recipient: str = ""
    pseudonym_key: bytes | None = field(default=None, repr=False)
    parent_codes: Mapping[str, str] = field(default_factory=dict)
    own_units: frozenset[str] = frozenset()


class FormRefused(Exception):
    """A field cannot be put into its form: the form is unknown, or the context lacks what it needs.

    form, field: names only. fact: unknown_form | bad_parameters | pseudonym_key_missing | aggregate_only.
    """

    def __init__(self, form: str, field: str, fact: str) -> None:
        super().__init__(f"{field}: form {form}: {fact}")
        self.form = form
        self.field = field
        self.fact = fact


ValueForm: TypeAlias = Callable[[Value, Row, FormContext], Value]
RowsForm: TypeAlias = Callable[[Sequence[Row], FormContext], Value]


def as_day(value: Value) -> date | None:
    """Return the day a value names (date, datetime, "YYYY-MM-DD" or "YYYY-MM"), or None."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value if len(value) == len("2026-01-31") else f"{value}-01")
        except ValueError:
            return None
    return None


def as_number(value: Value) -> int | None:
    """Return a whole number that is no flag, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_text(value: Value) -> str | None:
    """Return text in NFC without outer blanks, or None when nothing is left."""
    return unicodedata.normalize("NFC", value.strip()) or None if isinstance(value, str) else None


def months_before(day: date, months: int) -> date:
    """Return the first day of the calendar month that lies `months` months before day's month."""
    index = max(day.year * 12 + day.month - 1 - months, 12)
    return date(index // 12, index % 12 + 1, 1)


def latest_birth(day: date, precision: Value) -> date:
    """Return the youngest reading of an inexact birth date: the last day it can mean."""
    if precision == "year":
        return date(day.year, 12, 31)
    if precision == "month":
        return date(day.year, day.month, monthrange(day.year, day.month)[1])
    return day


def band(number: int, edges: Sequence[int]) -> str:
    """Return the name of the band a number falls into: "<18", "18-59" or ">=60" for edges (18, 60)."""
    place = bisect_right(edges, number)
    if place == 0:
        return f"<{edges[0]}"
    if place == len(edges):
        return f">={edges[-1]}"
    return f"{edges[place - 1]}-{edges[place] - 1}"


def read_edges(parameters: Parameters) -> tuple[int, ...]:
    """Return the band edges, kept in a form as text "18,60"; strictly rising, at least one."""
    edges = tuple(int(part) for part in str(parameters["edges"]).split(","))
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError("edges")
    return edges
