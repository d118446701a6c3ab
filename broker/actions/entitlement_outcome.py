"""What a health-insurance check says: our outcome, the gateway's three-digit code, and the cards that count.

Codes follow the official list of the gateway (dispatch 1923/BHXH-CNTT, appendix 03, section 4). They are
strings: "000" is not 0. Which card is answered is told in docs/adr/0008.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeAlias

from broker.actions.card_numbers import CardNumber
from policies.model import Value

Card: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class EntitlementOutcome:
    """name: our word. gateway_code: the gateway's. card, new_card: rows whose permitted fields may leave."""

    name: str
    gateway_code: str
    card: Card | None = None
    new_card: Card | None = None


VALID: Final = ("valid", "000")
MANAGED_BY_DEFENCE: Final = EntitlementOutcome("valid_manual", "001")
MANAGED_BY_PUBLIC_SECURITY: Final = EntitlementOutcome("valid_manual", "002")
REPLACED: Final = ("replaced", "003")
VALID_WITH_SUCCESSOR: Final = ("valid_with_successor", "004")
NOT_IN_FORCE: Final = ("not_in_force", "010")
NOT_FOUND: Final = EntitlementOutcome("not_found", "050")
NUMBER_WRONG: Final = EntitlementOutcome("number_wrong", "051")
ISSUING_PROVINCE_WRONG: Final = EntitlementOutcome("issuing_province_wrong", "052")
BENEFIT_CODE_WRONG: Final = EntitlementOutcome("benefit_code_wrong", "053")
NAME_WRONG: Final = EntitlementOutcome("name_mismatch", "060")
NAME_NEAR: Final = EntitlementOutcome("name_near_mismatch", "061")
BIRTH_DATE_WRONG: Final = EntitlementOutcome("birth_date_mismatch", "070")
SOURCE_FAULT: Final = EntitlementOutcome("record_unreadable", "100")
CHILD_WITHOUT_CARD: Final = EntitlementOutcome("child_without_card", "130")

_MANUAL: Final[Mapping[Value, EntitlementOutcome]] = {
    "defence": MANAGED_BY_DEFENCE,
    "public_security": MANAGED_BY_PUBLIC_SECURITY,
}
_ENDED: Final[Mapping[str, tuple[str, str]]] = {
    "revoked": ("revoked", "110"),
    "decreased": ("stopped", "120"),
    "decreased_moved_province": ("stopped", "121"),
    "decreased_moved_within": ("stopped", "122"),
    "decreased_reincreased": ("stopped", "123"),
    "decreased_stopped": ("stopped", "124"),
}
# Benefit digit → rank, best first (Decision 1351/QD-BHXH): 5 = 100 % incl. outside the scope,
# 1 = 100 % without caps, 2 = 100 % with caps, 3 = 95 %, 4 = 80 %.
_BENEFIT_RANK: Final[Mapping[Value, int]] = {"5": 0, "1": 1, "2": 2, "3": 3, "4": 4}


def decide_entitlement(asked: CardNumber, cards: Sequence[Card], service_date: date) -> EntitlementOutcome:
    """Return the outcome for one person whose name and birth date have matched.

    cards: all cards of the person, old ones too. service_date: the day of the treatment.
    The shown card is the one whose 15-character form was asked for (first the one on which it is printed),
    else the best card. What is said of it:

    - a number that is no card of the person: 052, 053 or 051, whoever manages the cards;
    - revoked, decreased: that, without card data; a status outside the closed list: 100, without card data;
    - of several in force the highest counts, whichever number was shown (Decree 188/2025 art. 21);
    - in force and its successor issued, or not begun and its predecessor in force: 004 with both;
    - ended while another is in force: 003 with both; nothing in force: 010 (130 for a child without card);
    - no field leaves of a card that the army or the police manage (001, 002).
    """
    if not cards:
        return NOT_FOUND
    if len(cards) == 1:
        if asked.prefix and cards[0]["hi_card_15"] != asked.printed:
            return _wrong_number(asked.printed, cards)
        return _by_itself(cards[0], service_date)
    shown = _shown(asked, cards, service_date)
    if shown is None:
        return _wrong_number(asked.printed, cards)
    in_force = [card for card in cards if _in_force(card, service_date)]
    if not in_force or shown["card_status"] not in ("active", "child_without_card"):
        return _by_itself(shown, service_date)
    if not asked.prefix or shown["card_status"] == "child_without_card":
        return _best_of_person(cards, in_force, service_date)
    return _by_number(shown, cards, in_force, service_date)


def _shown(asked: CardNumber, cards: Sequence[Card], service_date: date) -> Card | None:
    if not asked.prefix:
        return _best(cards, service_date)
    # A renewed card keeps its long number, though a shorter one may be printed on it now.
    same = [card for card in cards if card["hi_card_15"] == asked.printed]
    in_hand = [card for card in same if card.get("hi_card") == asked.printed]
    return _best(in_hand or same, service_date) if same else None


def _by_itself(card: Card, service_date: date) -> EntitlementOutcome:
    """A card beside which no other counts."""
    status = card["card_status"]
    if status == "active":
        if _in_force(card, service_date):
            return _managed(card) or EntitlementOutcome(*VALID, card)
        return EntitlementOutcome(*NOT_IN_FORCE, None if _managed(card) else card)
    if status == "child_without_card":
        return CHILD_WITHOUT_CARD
    ended = _ENDED.get(str(status))
    return EntitlementOutcome(*ended) if ended else SOURCE_FAULT


def _best_of_person(
    cards: Sequence[Card], in_force: Sequence[Card], service_date: date
) -> EntitlementOutcome:
    """The best card in force; if it replaces one that is in force too, the holder still has the old one."""
    best = _best(in_force, service_date)
    new = _newest(best, cards, service_date)
    old = _predecessor_in_force(best, cards, service_date)
    if old is not None:
        return _with_successor(old, new or best)
    return _with_successor(best, new) if new is not None else _by_itself(best, service_date)


def _by_number(
    shown: Card, cards: Sequence[Card], in_force: Sequence[Card], service_date: date
) -> EntitlementOutcome:
    """An active card shown by its own number; something is in force on the day."""
    best, new = _best(in_force, service_date), _newest(shown, cards, service_date)
    held: Card | None = shown
    if not _in_force(shown, service_date):
        if _has_ended(shown, service_date):
            return _replaced(shown, new if new is not None and _in_force(new, service_date) else best)
        held, new = _predecessor_in_force(shown, cards, service_date), new or shown
    if held is None or (_rank(best) < _rank(held) and not _are_linked(best, shown, cards)):
        return _best_of_person(cards, in_force, service_date)
    return _with_successor(held, new) if new is not None else _by_itself(held, service_date)


def _with_successor(card: Card, new: Card) -> EntitlementOutcome:
    return _managed(card) or _managed(new) or EntitlementOutcome(*VALID_WITH_SUCCESSOR, card, new)


def _replaced(card: Card, new: Card) -> EntitlementOutcome:
    return _managed(new) or _managed(card) or EntitlementOutcome(*REPLACED, card, new)


def _managed(card: Card) -> EntitlementOutcome | None:
    return _MANUAL.get(card["managed_by"])


def _best(cards: Sequence[Card], service_date: date) -> Card:
    """Of several cards: one in force before one that is not, then the highest benefit, then the latest.

    A benefit that is not in force is none: of ended cards the latest.
    """
    return min(
        cards,
        key=lambda card: (
            not _in_force(card, service_date),
            _rank(card) if _in_force(card, service_date) else 0,
            -_ordinal(card["valid_to"]),
            str(card["hi_card_15"]),
        ),
    )


def _rank(card: Card) -> int:
    return _BENEFIT_RANK.get(card["benefit_level"], 9)


def _wrong_number(printed: str, cards: Sequence[Card]) -> EntitlementOutcome:
    numbers = [str(card["hi_card_15"]) for card in cards]
    if any(number[:3] == printed[:3] and number[3:5] != printed[3:5] for number in numbers):
        return ISSUING_PROVINCE_WRONG
    if any(number[:2] + number[3:5] == printed[:2] + printed[3:5] for number in numbers):
        return BENEFIT_CODE_WRONG
    return NUMBER_WRONG


def _newest(card: Card, cards: Sequence[Card], service_date: date) -> Card | None:
    """The end of the chain that starts at a card: the active one, not yet ended, that begins last."""
    after = _after(card, cards)
    later = [
        one
        for one in cards
        if one["card_status"] == "active" and not _has_ended(one, service_date) and _holds(after, one)
    ]
    return max(later, key=_age) if later else None


def _predecessor_in_force(card: Card, cards: Sequence[Card], service_date: date) -> Card | None:
    """The oldest card before this one in its chain that is still in force."""
    after = _after(card, cards)
    earlier = [
        one
        for one in cards
        if _in_force(one, service_date)
        and one is not card
        and not _holds(after, one)
        and _holds(_after(one, cards), card)
    ]
    return min(earlier, key=_age) if earlier else None


def _are_linked(one: Card, other: Card, cards: Sequence[Card]) -> bool:
    return one is other or _holds(_after(one, cards), other) or _holds(_after(other, cards), one)


def _after(card: Card, cards: Sequence[Card]) -> list[Card]:
    """All rows that follow a card in its chain of renewals; each is visited once, so a ring ends."""
    chain = [card]
    for here in chain:
        chain += [other for other in cards if _follows(other, here) and not _holds(chain, other)]
    return chain[1:]


def _follows(new: Card, old: Card) -> bool:
    """Whether a row names another as its predecessor; one that keeps the number must begin later."""
    if new is old or new["previous_card"] is None or new["previous_card"] != old["hi_card_15"]:
        return False
    begins, began = _ordinal(new["valid_from"]), _ordinal(old["valid_from"])
    return begins > began or (begins == began and new["hi_card_15"] != old["hi_card_15"])


def _holds(cards: Sequence[Card], card: Card) -> bool:
    return any(one is card for one in cards)


def _age(card: Card) -> tuple[int, int, str]:
    return _ordinal(card["valid_from"]), _ordinal(card["valid_to"]), str(card["hi_card_15"])


def _in_force(card: Card, service_date: date) -> bool:
    start, end = card["valid_from"], card["valid_to"]
    if card["card_status"] != "active" or not isinstance(start, date):
        return False
    return start <= service_date and (end is None or (isinstance(end, date) and service_date <= end))


def _has_ended(card: Card, service_date: date) -> bool:
    end = card["valid_to"]
    return isinstance(end, date) and end < service_date


def _ordinal(value: Value) -> int:
    return value.toordinal() if isinstance(value, date) else date.max.toordinal()
