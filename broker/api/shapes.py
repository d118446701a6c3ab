"""Tells at one look whether a plain object already has the shape that a marshmallow schema asks for.

Most requests are well formed. For those the schema would hand the same strings back, so its closed, flat
part is compiled to one look per member. Whatever does not pass here goes to the schema, which finds the
faults and has the last word; what passes here, the schema accepts unchanged (a property test holds this).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from marshmallow import Schema, fields, validate


@dataclass(frozen=True, slots=True)
class _Text:
    lowest: int
    highest: int
    pattern: re.Pattern[str] | None


class Shape:
    """The shape of a schema that holds strings and objects of strings; closed and exact."""

    __slots__ = ("_nested", "_required", "_texts")

    def __init__(self, schema: Schema) -> None:
        """Compile a schema. Raises TypeError for a schema with anything but strings and nested schemas."""
        self._texts: dict[str, _Text] = {}
        self._nested: dict[str, Shape] = {}
        for name, declared in schema.fields.items():
            if isinstance(declared, fields.Nested):
                self._nested[name] = Shape(declared.schema)
            elif type(declared) is fields.String:
                self._texts[name] = _text(declared)
            else:
                raise TypeError(f"{name} is neither a string nor an object of strings")
        self._required = frozenset(name for name, one in schema.fields.items() if one.required)

    def fits(self, value: Mapping[str, object]) -> bool:
        """Return whether the schema would accept this object and hand it back unchanged."""
        texts = self._texts
        for name, member in value.items():
            text = texts.get(name)
            if text is None:
                shape = self._nested.get(name)
                if shape is None or not isinstance(member, dict) or not shape.fits(member):
                    return False
            elif (
                not isinstance(member, str)
                or not text.lowest <= len(member) <= text.highest
                or (text.pattern is not None and text.pattern.match(member) is None)
            ):
                return False
        return self._required <= value.keys()


def _text(declared: fields.String) -> _Text:
    lowest, highest = 0, 1 << 30
    pattern: re.Pattern[str] | None = None
    for validator in declared.validators:
        if isinstance(validator, validate.Length) and validator.equal is None:
            lowest = max(lowest, validator.min or 0)
            highest = min(highest, 1 << 30 if validator.max is None else validator.max)
        elif isinstance(validator, validate.Regexp) and pattern is None:
            pattern = re.compile(str(validator.regex.pattern), validator.regex.flags)
        else:
            raise TypeError(f"{type(validator).__name__} is not understood here")
    return _Text(lowest, highest, pattern)
