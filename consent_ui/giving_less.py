"""Less than was asked for: fewer days, a shorter range. What may be chosen, and what was. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

from broker.consent.ranges import is_range_within
from broker.consent.record import Consent, DataRange
from consent_ui.words import Words

AS_ASKED: Final = ""
"""What a form says where nothing less was chosen."""
USUAL: Final = (1, 7, 30, 90, 180)
"""Lengths that are offered where they are less than what was asked for."""
_RANGE: Final = ("first_day", "last_day")


class NotOffered(Exception):
    """What a form names could not be chosen on its page. key: of the words that say so."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


@dataclass(frozen=True, slots=True)
class Shorter:
    """One length to choose. days: as the form names it."""

    days: int
    label: str


@dataclass(frozen=True, slots=True)
class RangeView:
    """The range that was asked for, as the inputs of days need it: ISO 8601, "" for an open end."""

    first_day: str
    last_day: str

    @classmethod
    def of(cls, asked: DataRange | None) -> RangeView | None:
        """Return it, or None where no range was asked for: then the agreement's own holds."""
        if asked is None:
            return None
        first, last = ("" if day is None else day.isoformat() for day in (asked.first_day, asked.last_day))
        return cls(first, last)

    def range(self) -> DataRange:
        """Return the range that it is of."""
        first, last = (date.fromisoformat(day) if day else None for day in (self.first_day, self.last_day))
        return DataRange(first, last)


@dataclass(frozen=True, slots=True)
class LessOffered:
    """What less may be chosen of a request; nothing by default."""

    lengths: tuple[Shorter, ...] = ()
    asked_range: RangeView | None = None

    def content(self) -> dict[str, Any]:
        """Return it as members of what a page shows, which can be hashed."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Less:
    """What was chosen: None for as asked."""

    valid_days: int | None = None
    data_range: DataRange | None = None


def shorter_than(most: int, words: Words) -> tuple[Shorter, ...]:
    """Return the lengths that are less than so many days, the longest first."""
    return tuple(Shorter(days, words.days(days)) for days in reversed(USUAL) if days < most)


def less_offered(consent: Consent, words: Words) -> LessOffered:
    """Return what less may be given of a request, nothing where somebody has signed it already."""
    if consent.state != "requested":
        return LessOffered()
    terms = consent.terms
    return LessOffered(shorter_than(terms.valid_days, words), RangeView.of(terms.data_range))


def less_of(form: Mapping[str, str], lengths: Sequence[Shorter], asked_range: RangeView | None) -> Less:
    """Return what a form chose of what was offered. Raises NotOffered."""
    asked = None if asked_range is None else asked_range.range()
    return Less(days_chosen(form.get("valid_days", AS_ASKED), lengths), range_chosen(form, asked, asked))


def days_chosen(chosen: str, lengths: Sequence[Shorter]) -> int | None:
    """Return how many days were chosen of those offered, None for as asked. Raises NotOffered."""
    offered = {str(one.days): one.days for one in lengths}
    if chosen != AS_ASKED and chosen not in offered:
        raise NotOffered("less_days_choose")
    return offered.get(chosen)


def range_chosen(
    form: Mapping[str, str], asked: DataRange | None, present: DataRange | None
) -> DataRange | None:
    """Return the range that was chosen, None where it is the present one or none was asked for.

    asked: the widest that may be chosen. A form that names no days leaves it as it is. Raises NotOffered.
    """
    if asked is None or not any(name in form for name in _RANGE):
        return None
    try:
        first, last = (
            date.fromisoformat(day) if day else None
            for day in (form.get(name, "").strip() for name in _RANGE)
        )
    except ValueError:
        raise NotOffered("less_range_choose") from None
    chosen = DataRange(first, last)
    if not is_range_within(chosen, asked):
        raise NotOffered("less_range_choose")
    return None if chosen == present else chosen
