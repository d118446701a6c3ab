"""Reading a form from an agreement: which parameters it takes, and whether it fits the field at all."""

from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise

from policies.catalogue import Catalogue, FieldDefinition
from policies.forms import FORMS, FormKind
from policies.model import Form, Value
from policies.reading import Table

_DAYS = frozenset({"date", "month", "datetime"})
_NUMBERS = frozenset({"integer", "amount"})
_OPERATORS = frozenset({">=", "<=", "==", "in_range"})


def _threshold_fits(value: object, definition: FieldDefinition) -> bool:
    if definition.type in _DAYS:
        return isinstance(value, date) and not isinstance(value, datetime)
    if definition.type in _NUMBERS:
        return isinstance(value, int) and not isinstance(value, bool)
    if definition.type == "boolean":
        return isinstance(value, bool)
    return isinstance(value, str) and bool(value.strip())


def _read_threshold(entry: Table, operator: str, fields: tuple[FieldDefinition, ...]) -> Value:
    for definition in fields:
        if operator != "==" and definition.type not in _DAYS | _NUMBERS:
            raise entry.refusal("operator", f'"{operator}" does not fit {definition.name}; only "==" does')
        if not _threshold_fits(entry.value("threshold"), definition):
            raise entry.refusal("threshold", f"must be a {definition.type}, as {definition.name} is")
    value = entry.value("threshold")
    return value if isinstance(value, (str, int, date)) else None


def _read_companion(
    entry: Table, key: str, fields: tuple[FieldDefinition, ...], catalogue: Catalogue
) -> tuple[str, Value]:
    group = fields[0].group
    days = [name for name, field in catalogue.fields.items() if field.group == group and field.type in _DAYS]
    return key, entry.word(key, days)


def _read_predicate(
    entry: Table, fields: tuple[FieldDefinition, ...], catalogue: Catalogue
) -> list[tuple[str, Value]]:
    operator = entry.word("operator", _OPERATORS)
    parameters: list[tuple[str, Value]] = [("operator", operator)]
    if operator == "in_range":
        if any(definition.type not in _DAYS for definition in fields):
            raise entry.refusal("operator", '"in_range" needs a field that is a day or a month')
        parameters.append(_read_companion(entry, "to_field", fields, catalogue))
    else:
        parameters.append(("threshold", _read_threshold(entry, operator, fields)))
    if entry.has("over"):
        parameters.append(("over", entry.word("over", {"any"})))
        if not all(definition.repeats for definition in fields):
            raise entry.refusal("over", "is for fields of a repeating group only")
    return parameters


def _read_edges(entry: Table) -> str:
    edges = entry.value("edges")
    if not isinstance(edges, list) or not edges:
        raise entry.refusal("edges", "must be a list of rising whole numbers, for example [18, 60]")
    if not all(isinstance(edge, int) and not isinstance(edge, bool) for edge in edges):
        raise entry.refusal("edges", "must be a list of rising whole numbers, for example [18, 60]")
    if any(low >= high for low, high in pairwise(edges)):
        raise entry.refusal("edges", "must rise from each number to the next")
    return ",".join(str(edge) for edge in edges)


def _read_parameters(
    entry: Table, kind: FormKind, fields: tuple[FieldDefinition, ...], catalogue: Catalogue
) -> list[tuple[str, Value]]:
    if kind.name == "predicate":
        return _read_predicate(entry, fields, catalogue)
    parameters: list[tuple[str, Value]] = []
    if "edges" in kind.parameters:
        parameters.append(("edges", _read_edges(entry)))
    if "keep" in kind.parameters:
        parameters.append(("keep", entry.integer("keep", minimum=1, maximum=8)))
    if "digits" in kind.parameters and entry.has("digits"):
        parameters.append(("digits", entry.integer("digits", minimum=1, maximum=12)))
    if "by" in kind.parameters:
        parameters.append(_read_companion(entry, "by", fields, catalogue))
    return parameters


def read_form(entry: Table, names: tuple[str, ...], catalogue: Catalogue) -> Form:
    """Read `form` and its parameters for the named fields (at least one), and check that it fits each.

    Raises PolicyError when the form is unknown, does not accept a field's type, wants a repeating group
    that the field is not in, or a parameter is missing or does not fit.
    """
    kind = FORMS[entry.word("form", FORMS)]
    fields = tuple(catalogue.fields[name] for name in names)
    for definition in fields:
        if definition.type not in kind.accepts:
            fits = ", ".join(sorted(kind.accepts))
            raise entry.refusal(
                "form", f"{kind.name} does not take {definition.name} ({definition.type}); it takes {fits}"
            )
        if kind.rows == "always" and not definition.repeats:
            raise entry.refusal(
                "form", f"{kind.name} is for fields of a repeating group; {definition.name} is not"
            )
    if len({definition.group for definition in fields}) > 1 and ({"by", "to_field"} & set(entry.keys)):
        raise entry.refusal("fields", "must be of one group when a form reads another field of it")
    parameters = _read_parameters(entry, kind, fields, catalogue)
    return Form(kind.name, tuple(parameters))
