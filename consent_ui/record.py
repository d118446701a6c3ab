"""My record, in words: values as people in Viet Nam write them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from broker.actions.extract_own_record import OwnField, OwnGroup, OwnRecord
from consent_ui.words import WORDS, Words
from policies.catalogue import Catalogue
from policies.model import Value

_MONTH: Final = "month"
_MONEY: Final = "amount"


@dataclass(frozen=True, slots=True)
class FieldView:
    """One value with its label; value "" where the database holds none."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """Fields that belong together. rows: one, or one per line of the database where the group repeats."""

    name: str
    label: str
    repeats: bool
    rows: tuple[tuple[FieldView, ...], ...]


def group_views(record: OwnRecord, catalogue: Catalogue, words: Words) -> tuple[GroupView, ...]:
    """Return a record's groups in words, in the catalogue's order."""
    return tuple(_group(group, catalogue, words) for group in record.groups)


def value_in_words(field: OwnField, catalogue: Catalogue, words: Words, precision: str = "") -> str:
    """Return one value: dates dd/MM/yyyy, months MM/yyyy, amounts 1.234.567 ₫, codes with their labels.

    precision: of an inexact date: day, month or year; what is not known is not shown.
    """
    value: Value = field.value
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return words("record_yes" if value else "record_no")
    kind = catalogue.fields[field.name].type
    if isinstance(value, datetime):
        return words.moment(value)
    if isinstance(value, date):
        return (
            _day(value, precision) if precision else f"{value:%m/%Y}" if kind == _MONTH else words.day(value)
        )
    if isinstance(value, int):
        return words.money(value) if kind == _MONEY else words.number(value)
    key = f"value_{field.name}_{value}"
    return words(key) if key in WORDS else str(value)


def _day(value: date, precision: str) -> str:
    return {"month": f"{value:%m/%Y}", "year": f"{value:%Y}"}.get(precision, f"{value:%d/%m/%Y}")


def _group(group: OwnGroup, catalogue: Catalogue, words: Words) -> GroupView:
    rows = tuple(tuple(_fields(row, catalogue, words)) for row in group.rows)
    return GroupView(group.name, (group.label_vi, group.label_en)[words.index], group.repeats, rows)


def _fields(row: Sequence[OwnField], catalogue: Catalogue, words: Words) -> Iterator[FieldView]:
    values = {field.name: field.value for field in row}
    for field in row:
        # Of an inexact date another field of the row says how exact it is.
        precision = str(values.get(catalogue.fields[field.name].precision_field) or "")
        label = (field.label_vi, field.label_en)[words.index]
        yield FieldView(label, value_in_words(field, catalogue, words, precision))
