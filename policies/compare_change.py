"""One difference between two policies, and how amounts and sets are put in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, TypeAlias

Direction: TypeAlias = Literal["widens", "narrows", "changes", "rewords"]
"""changes: something that decides nothing (an order, a name). What nobody can put in order widens."""

WIDENS: Final[Direction] = "widens"
NARROWS: Final[Direction] = "narrows"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. agreement: its id, or the register. where: the cell or clause.

    before, after: "" = absent.
    """

    direction: Direction
    agreement: str
    where: str
    before: str
    after: str


def direction_of(*, wider: bool) -> Direction:
    """Return "widens" or "narrows"."""
    return WIDENS if wider else NARROWS


def compare_amount(
    agreement: str, clause: str, before: float | date, after: float | date, *, more_is_wider: bool
) -> Iterator[Change]:
    """Compare two numbers or two days."""
    if before != after:
        wider = (after > before) == more_is_wider  # type: ignore[operator]
        yield Change(direction_of(wider=wider), agreement, clause, str(before), str(after))


def compare_members(
    agreement: str, clause: str, before: Iterable[str], after: Iterable[str], *, more_is_wider: bool
) -> Iterator[Change]:
    """Compare two sets, member by member."""
    old, new = set(before), set(after)
    for member in sorted(new - old):
        yield Change(direction_of(wider=more_is_wider), agreement, clause, "", member)
    for member in sorted(old - new):
        yield Change(direction_of(wider=not more_is_wider), agreement, clause, member, "")
