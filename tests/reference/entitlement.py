"""A slow, obvious twin of `decide_entitlement`: it writes out every case as the gateway's list words it.

It works on plain day numbers and looks at every pair of cards anew. Nothing is shared with the original but
the words of the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

Row = Mapping[str, object]

STOPPED = {
    "revoked": ("revoked", "110"),
    "decreased": ("stopped", "120"),
    "decreased_moved_province": ("stopped", "121"),
    "decreased_moved_within": ("stopped", "122"),
    "decreased_reincreased": ("stopped", "123"),
    "decreased_stopped": ("stopped", "124"),
    "child_without_card": ("child_without_card", "130"),
}
BEST_FIRST = "51234"


@dataclass(frozen=True)
class Said:
    """Outcome, gateway code, and the cards that are shown."""

    name: str
    code: str
    card: Row | None = None
    new_card: Row | None = None


def reference_entitlement(asked: str, cards: Sequence[Row], day: date) -> Said:
    """Say what a check of `asked` (10, 12 or 15 characters) answers about a person with these cards."""
    if len(cards) == 0:
        return Said("not_found", "050")
    for manager, code in (("defence", "001"), ("public_security", "002")):
        for card in cards:
            if card["managed_by"] == manager:
                return Said("valid_manual", code)
    if len(asked) == 15:
        candidates = [card for card in cards if card["hi_card_15"] == asked]
        if not candidates:
            return _number_that_fits_no_card(asked, cards)
        printed = [card for card in candidates if card["hi_card"] == asked]
        shown = _choose(printed if printed else candidates, day)
    else:
        holding = [card for card in cards if _holds(card, day)]
        followed = [card for card in holding if _followers(card, cards)]
        if followed:
            shown = _choose(followed, day)
        elif holding:
            shown = _choose(holding, day)
        else:
            shown = _choose(list(cards), day)
    return _about(shown, cards, day)


def _about(shown: Row, cards: Sequence[Row], day: date) -> Said:
    followers = _followers(shown, cards)
    last = followers[-1] if followers else None
    if _holds(shown, day):
        if last is None:
            return Said("valid", "000", shown)
        return Said("valid_with_successor", "004", shown, last)
    status = str(shown["card_status"])
    if status == "active" and last is not None and _holds(last, day):
        return Said("replaced", "003", shown, last)
    if status in STOPPED:
        return Said(*STOPPED[status])
    return Said("not_in_force", "010", shown)


def _days(value: object, without: int) -> int:
    return value.toordinal() if isinstance(value, date) else without


def _holds(card: Row, day: date) -> bool:
    if card["card_status"] != "active" or card["valid_from"] is None:
        return False
    first, last = _days(card["valid_from"], 0), _days(card["valid_to"], 10**9)
    return first <= day.toordinal() <= last


def _followers(card: Row, cards: Sequence[Row]) -> list[Row]:
    """The active cards that name this one as the previous one and begin later, the last of them last."""
    found = []
    for other in cards:
        names_it = other["previous_card"] == card["hi_card_15"]
        begins_later = _days(other["valid_from"], 10**9) > _days(card["valid_from"], 10**9)
        if names_it and begins_later and other["card_status"] == "active":
            found.append(other)
    latest_first = sorted(found, key=lambda other: -_days(other["valid_from"], 10**9))
    return latest_first[::-1]


def _choose(cards: list[Row], day: date) -> Row:
    """Holding before not holding, the higher benefit, the later end, the smaller number, the earlier row."""
    best = cards[0]
    for card in cards[1:]:
        if _is_better(card, best, day):
            best = card
    return best


def _is_better(card: Row, than: Row, day: date) -> bool:
    if _holds(card, day) != _holds(than, day):
        return _holds(card, day)
    if _holds(card, day):
        ours, theirs = (BEST_FIRST.find(str(one["benefit_level"])) for one in (card, than))
        if ours != theirs:
            return theirs == -1 or (ours != -1 and ours < theirs)
    ours, theirs = (_days(one["valid_to"], 10**9) for one in (card, than))
    if ours != theirs:
        return ours > theirs
    return str(card["hi_card_15"]) < str(than["hi_card_15"])


def _number_that_fits_no_card(asked: str, cards: Sequence[Row]) -> Said:
    letters, benefit, province = asked[0:2], asked[2:3], asked[3:5]
    wrong_province = wrong_benefit = False
    for card in cards:
        number = str(card["hi_card_15"])
        if number[0:2] == letters and number[2:3] == benefit and number[3:5] != province:
            wrong_province = True
        if number[0:2] == letters and number[3:5] == province:
            wrong_benefit = True
    if wrong_province:
        return Said("issuing_province_wrong", "052")
    if wrong_benefit:
        return Said("benefit_code_wrong", "053")
    return Said("number_wrong", "051")
