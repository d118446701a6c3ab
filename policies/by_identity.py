"""What is worked out of a decision once: decisions are shared and frozen, so their identity is a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from policies.model import Decision

_T = TypeVar("_T")
_KEPT: Final = 1024


class ByIdentity(Generic[_T]):
    """A function of a decision that remembers what it returned, for so many decisions at a time.

    make: any function of the decision alone. What is kept holds its decision, so an identity cannot pass to
    another one while it is kept. Safe in threads: at worst something is made twice.
    """

    def __init__(self, make: Callable[[Decision], _T]) -> None:
        self._make = make
        self._kept: dict[int, tuple[Decision, _T]] = {}

    def __call__(self, decision: Decision) -> _T:
        """Return what make returns; raises what it raises."""
        known = self._kept.get(id(decision))
        if known is not None and known[0] is decision:
            return known[1]
        made = self._make(decision)
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[id(decision)] = (decision, made)
        return made
