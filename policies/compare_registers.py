"""What a change of registers and catalogue widens or narrows, whether or not an agreement uses it today.

Every member of every entry is compared. One that is not listed here, or has no order, counts as widening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import date
from typing import Final, TypeAlias

from policies.catalogue import Catalogue
from policies.compare_change import (
    NARROWS,
    WIDENS,
    Change,
    Direction,
    compare_amount,
    compare_members,
    direction_of,
)
from policies.registers import Registers

Compare: TypeAlias = Callable[[str, str, object, object], Iterable[Change]]
"""Register, place in it, before, after (they differ) → changes."""


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _always(direction: Direction) -> Compare:
    def compare(register: str, where: str, before: object, after: object) -> Iterator[Change]:
        yield Change(direction, register, where, _text(before), _text(after))

    return compare


def _days(*, later_is_wider: bool) -> Compare:
    def compare(register: str, where: str, before: object, after: object) -> Iterable[Change]:
        if not isinstance(before, date) or not isinstance(after, date):
            return _widens(register, where, before, after)
        return compare_amount(register, where, before, after, more_is_wider=later_is_wider)

    return compare


def _more_is_wider(register: str, where: str, before: object, after: object) -> Iterable[Change]:
    if not isinstance(before, int) or not isinstance(after, int):
        return _widens(register, where, before, after)
    return compare_amount(register, where, before, after, more_is_wider=True)


def _set(*, more_is_wider: bool) -> Compare:
    def compare(register: str, where: str, before: object, after: object) -> Iterable[Change]:
        if not isinstance(before, frozenset) or not isinstance(after, frozenset):
            return _widens(register, where, before, after)
        return compare_members(register, where, before, after, more_is_wider=more_is_wider)

    return compare


def _narrowing_steps(*steps: tuple[object, object]) -> Compare:
    """Only the listed steps (before, after) narrow; every other one widens."""

    def compare(register: str, where: str, before: object, after: object) -> Iterator[Change]:
        direction = direction_of(wider=(before, after) not in steps)
        yield Change(direction, register, where, _text(before), _text(after))

    return compare


def _compare_precision(register: str, where: str, before: object, after: object) -> Iterator[Change]:
    """A date that nobody called inexact now leaves as inexact as it is: narrower. Anything else widens."""
    yield Change(direction_of(wider=before != ""), register, where, _text(before), _text(after))


_widens = _always(WIDENS)
_words = _always("rewords")
_LABELS: Final[Mapping[str, Compare]] = {"label_vi": _words, "label_en": _words}
_DAYS: Final[Mapping[str, Compare]] = {
    "valid_from": _days(later_is_wider=False),
    "valid_to": _days(later_is_wider=True),
}
_CERTAINTY: Final = _narrowing_steps(("S-full", "S"), ("S-full", "U"), ("S", "U"))

MEMBERS: Final[Mapping[str, Mapping[str, Compare]]] = {
    "legal_bases": {
        **_LABELS,
        **_DAYS,
        "certainty": _CERTAINTY,
        # From procedure to consent the duties of art. 19.2 fall away: that has no order.
        "needs": _narrowing_steps(("nothing", "procedure"), ("nothing", "consent")),
    },
    "instruments": {**_DAYS, "title_vi": _words, "title_en": _words, "certainty": _CERTAINTY},
    # A purpose is what its words say, and citizens consented to them: another label has no order.
    "purposes": {},
    "recipient_kinds": {**_LABELS, "legal_bases": _set(more_is_wider=True)},
    "hidden_reads": {
        "certainty": _CERTAINTY,
        "days_maximum": _more_is_wider,
        "extended_days_maximum": _more_is_wider,
        "why": _words,
    },
    "groups": _LABELS,
    "fields": {
        **_LABELS,
        "reveals": _set(more_is_wider=False),
        "field_class": _narrowing_steps(
            ("basic", "sensitive"),
            ("basic", "sensitive_by_inference"),
            ("sensitive_by_inference", "sensitive"),
            ("organisation", "basic"),
            ("organisation", "sensitive"),
            ("organisation", "sensitive_by_inference"),
        ),
        "held": _narrowing_steps((True, False)),
        "precision_field": _compare_precision,
        "position": lambda _register, _where, _before, _after: (),  # the order is compared as a whole
    },
}
"""Register → member of an entry → how it is compared; a member that is not listed widens."""


def _compare_entries(register: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[Change]:
    known = MEMBERS[register]
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before is None or after is None:
            # What an agreement may refer to from now on widens, what it no longer may narrows.
            direction = WIDENS if before is None else NARROWS
            yield Change(
                direction, register, key, "" if before is None else key, "" if after is None else key
            )
            continue
        for member in fields(before):  # type: ignore[arg-type]
            one, other = getattr(before, member.name), getattr(after, member.name)
            if one != other:
                yield from known.get(member.name, _widens)(register, f"{key}.{member.name}", one, other)


def _compare_prohibitions(old: Registers, new: Registers) -> Iterator[Change]:
    before, after = (
        {
            f"{kind} x {name}"
            for rule in side.prohibitions
            for kind in rule.recipient_kinds
            for name in rule.fields
        }
        for side in (old, new)
    )
    for pair in sorted(before - after):
        yield Change("widens", "prohibitions", pair, "prohibited", "")
    for pair in sorted(after - before):
        yield Change("narrows", "prohibitions", pair, "", "prohibited")
    if before == after:
        yield from _compare_prohibition_words(old, new)


def _compare_prohibition_words(old: Registers, new: Registers) -> Iterator[Change]:
    words = {rule.id: rule.why for rule in old.prohibitions}
    others = {rule.id: rule.why for rule in new.prohibitions}
    for rule_id in sorted(words.keys() ^ others.keys()):
        gone = rule_id in words
        yield Change("changes", "prohibitions", rule_id, rule_id if gone else "", "" if gone else rule_id)
    for rule_id in sorted(words.keys() & others.keys()):
        if words[rule_id] != others[rule_id]:
            yield Change("rewords", "prohibitions", rule_id, "(before)", "(changed)")


def _compare_order(old: Catalogue, new: Catalogue) -> Iterator[Change]:
    common = old.fields.keys() & new.fields.keys()
    if old.in_order(set(common)) != new.in_order(set(common)):
        yield Change("changes", "fields", "(order)", "(before)", "(changed)")


def compare_registers(
    old: tuple[Catalogue, Registers], new: tuple[Catalogue, Registers]
) -> tuple[Change, ...]:
    """Return every difference between two catalogues and sets of registers."""
    (old_catalogue, old_registers), (new_catalogue, new_registers) = old, new
    changes = list(_compare_prohibitions(old_registers, new_registers))
    for register in ("legal_bases", "instruments", "purposes", "recipient_kinds", "hidden_reads"):
        changes.extend(
            _compare_entries(register, getattr(old_registers, register), getattr(new_registers, register))
        )
    for part in ("groups", "fields"):
        changes.extend(_compare_entries(part, getattr(old_catalogue, part), getattr(new_catalogue, part)))
    changes.extend(_compare_order(old_catalogue, new_catalogue))
    return tuple(changes)
