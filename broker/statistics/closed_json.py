"""Reads decoded JSON of a closed form: every member there, none that is not known, each of its type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from broker.statistics.reasons import Reason, StatisticsRefused

_Made = TypeVar("_Made")


class ClosedObject:
    """One object of a document. where: how refusals name it. Raises StatisticsRefused(reason)."""

    def __init__(self, where: str, value: object, members: tuple[str, ...], reason: Reason) -> None:
        self._where, self._reason = where, reason
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise self._refused("is an object")
        if unknown := sorted(set(value) - set(members)):
            raise self._refused(f"has no member {unknown[0][:40]!r}")
        if missing := sorted(set(members) - set(value)):
            raise self._refused(f"lacks {', '.join(missing)}")
        self._value: Mapping[str, object] = value

    def raw(self, name: str) -> object:
        """Return a member as it is."""
        return self._value[name]

    def text(self, name: str) -> str:
        """Return a text."""
        return self._typed(name, str, "a text")

    def whole(self, name: str) -> int:
        """Return a whole number, 0 or more."""
        found = self._typed(name, int, "a whole number")
        if found < 0:
            raise self._refused(f"{name} is 0 or more")
        return found

    def flag(self, name: str) -> bool:
        """Return true or false."""
        return self._typed(name, bool, "true or false")

    def number(self, name: str) -> float:
        """Return a number, whole where it is written so."""
        value = self._value[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refused(f"{name} is a number")
        return value

    def many(self, name: str, make: Callable[[str, object], _Made]) -> tuple[_Made, ...]:
        """Return what is made of each member of a list. make: given where it stands, and it."""
        found: list[Any] = self._typed(name, list, "a list")
        return tuple(make(f"{self._where}.{name}[{at}]", one) for at, one in enumerate(found))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return self.many(name, self._text)

    def wholes(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        return self.many(name, self._whole)

    def text_of_text(self, name: str) -> dict[str, str]:
        """Return an object whose members are texts of any name."""
        found: dict[str, object] = self._typed(name, dict, "an object")
        return {key: self._text(f"{self._where}.{name}", one) for key, one in found.items()}

    def _text(self, where: str, value: object) -> str:
        if not isinstance(value, str):
            raise StatisticsRefused(self._reason, f"{where} is a text")
        return value

    def _whole(self, where: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise StatisticsRefused(self._reason, f"{where} is a whole number")
        return value

    def _typed(self, name: str, kind: type[_Made], said: str) -> _Made:
        value = self._value[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._refused(f"{name} is {said}")
        return value

    def _refused(self, detail: str) -> StatisticsRefused:
        return StatisticsRefused(self._reason, f"{self._where} {detail}")
