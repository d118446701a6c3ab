"""In which form a field leaves, and what of it would leave now, in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from broker.actions.extract_own_record import OwnField
from consent_ui.record import value_in_words
from consent_ui.words import Words
from policies.catalogue import Catalogue
from policies.compile import AgreementTable
from policies.forms import FORMS
from policies.model import FieldRelease, Value

_MONTH = re.compile(r"(\d{4})-(\d{2})")
_LONG_NUMBER = re.compile(r"\d{4,}")


def form_name(name: str, words: Words) -> str:
    """Return what a form is called; a name that is no longer of the list is told as it is."""
    kind = FORMS.get(name)
    return name if kind is None else (kind.label_vi, kind.label_en)[words.index]


def form_in_words(release: FieldRelease, table: AgreementTable, catalogue: Catalogue, words: Words) -> str:
    """Return in which form a field would leave, with all that the form is given, and of which rows."""
    scopes = [
        words("rows_recent", months=scope.months) if scope.keep == "recent" else words("rows_own_units")
        for scope in table.row_scopes
        if release.group and scope.group == release.group
    ]
    return "; ".join([_with_parameters(release, catalogue, words), *scopes])


def released_in_words(name: str, form: str, value: Value, catalogue: Catalogue, words: Words) -> str:
    """Return a value as it would leave in its form, written as people here write it; "" for none.

    name: of the field in the catalogue. No digit is added or lost: only separators and the order of month
    and year are those of the language.
    """
    if form in ("value", "latest"):
        return value_in_words(OwnField(name, "", "", form, value), catalogue, words)
    if value is None:
        return ""
    if isinstance(value, bool):
        return words("record_yes" if value else "record_no")
    if form == "year_month" and (month := _MONTH.fullmatch(str(value))):
        return f"{month[2]}/{month[1]}"
    if form == "amount_band":
        return _LONG_NUMBER.sub(lambda digits: words.number(int(digits[0])), str(value))
    return str(value)


def _with_parameters(release: FieldRelease, catalogue: Catalogue, words: Words) -> str:
    parameters, label = dict(release.form.parameters), form_name(release.form.name, words)

    def called(key: str) -> str:
        field = catalogue.fields[str(parameters[key])]
        return (field.label_vi, field.label_en)[words.index]

    if "edges" in parameters:
        return words("edges", label=label, bands=_bands([int(one) for one in _listed(parameters)], words))
    if "keep" in parameters:
        return words("keep", label=label, count=parameters["keep"])
    if "threshold" in parameters:
        return f"{label} ({parameters['operator']} {parameters['threshold']})"
    if "to_field" in parameters:
        return words("form_until", label=label, field=called("to_field"))
    if "by" in parameters:
        return words("form_by", label=label, field=called("by"))
    if "digits" in parameters:
        return words("form_digits", label=label, count=parameters["digits"])
    return label


def _listed(parameters: dict[str, Value]) -> Sequence[str]:
    return str(parameters["edges"]).split(",")


def _bands(edges: Sequence[int], words: Words) -> str:
    numbers = [words.number(edge) for edge in edges]
    between = [words("edges_between", low=low, high=high) for low, high in pairwise(numbers)]
    ends = words("edges_below", edge=numbers[0]), words("edges_above", edge=numbers[-1])
    return ", ".join([ends[0], *between, ends[1]])
