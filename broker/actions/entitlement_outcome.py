"""What a health-insurance check says: our outcome, the gateway's three-digit code, and the cards that count.

Codes follow the official list of the gateway (dispatch 1923/BHXH-CNTT, appendix 03, section 4). They are
strings: "000" is not 0.
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
    The presented card is the one whose 15-character form was asked for (first the one on which it is
    printed), else the best card in force on the day, else the latest (Decree 188/2025 art. 21: of several
    entitlements the highest counts).
    """
    if not cards:
        return NOT_FOUND
    managers = [card["managed_by"] for card in cards]
    if "defence" in managers:
        return MANAGED_BY_DEFENCE
    if "public_security" in managers:
        return MANAGED_BY_PUBLIC_SECURITY
    presented = _presented(asked, cards, service_date)
    if isinstance(presented, EntitlementOutcome):
        return presented
    if _in_force(presented, service_date):
        successor = _successor(presented, cards)
        if successor is not None:
            return EntitlementOutcome(*VALID_WITH_SUCCESSOR, presented, successor)
        return EntitlementOutcome(*VALID, presented)
    return _not_in_force(presented, cards, service_date)


def _presented(asked: CardNumber, cards: Sequence[Card], service_date: date) -> Card | EntitlementOutcome:
    if asked.prefix:
        # A renewed card keeps its long number, though a shorter one may be printed on it now.
        same = [card for card in cards if card["hi_card_15"] == asked.printed]
        in_hand = [card for card in same if card.get("hi_card") == asked.printed]
        return _best(in_hand or same, service_date) if same else _wrong_number(asked.printed, cards)
    if len(cards) == 1:
        return cards[0]
    # One card replaces another: of a pair still both in force, the one in the holder's hand is the old one.
    in_force = [card for card in cards if _in_force(card, service_date)]
    held = [card for card in in_force if _successor(card, cards) is not None]
    return _best(held or in_force or cards, service_date)


def _best(cards: Sequence[Card], service_date: date) -> Card:
    """Of several cards: one in force before one that is not, then the highest benefit, then the latest."""
    return min(
        cards,
        key=lambda card: (
            not _in_force(card, service_date),
            _BENEFIT_RANK.get(card["benefit_level"], 9) if _in_force(card, service_date) else 0,
            -_ordinal(card["valid_to"]),
            str(card["hi_card_15"]),
        ),
    )


def _wrong_number(printed: str, cards: Sequence[Card]) -> EntitlementOutcome:
    numbers = [str(card["hi_card_15"]) for card in cards]
    if any(number[:3] == printed[:3] and number[3:5] != printed[3:5] for number in numbers):
        return ISSUING_PROVINCE_WRONG
    if any(number[:2] + number[3:5] == printed[:2] + printed[3:5] for number in numbers):
        return BENEFIT_CODE_WRONG
    return NUMBER_WRONG


def _successor(card: Card, cards: Sequence[Card]) -> Card | None:
    """The latest active card that names this one as its predecessor and begins after it.

    A renewed card may keep the number of the one before: without the second condition it would follow itself.
    """
    if len(cards) == 1:
        return None
    number, begin = card["hi_card_15"], _ordinal(card["valid_from"])
    found = [
        other
        for other in cards
        if other["previous_card"] == number and _is_active(other) and _ordinal(other["valid_from"]) > begin
    ]
    return max(found, key=lambda other: _ordinal(other["valid_from"])) if found else None


def _not_in_force(presented: Card, cards: Sequence[Card], service_date: date) -> EntitlementOutcome:
    if presented["card_status"] == "child_without_card":
        return CHILD_WITHOUT_CARD
    new = _successor(presented, cards)
    if new is not None and _in_force(new, service_date) and presented["card_status"] == "active":
        return EntitlementOutcome(*REPLACED, presented, new)
    if ended := _ENDED.get(str(presented["card_status"])):
        return EntitlementOutcome(*ended)
    return EntitlementOutcome(*NOT_IN_FORCE, presented)


def _is_active(card: Card) -> bool:
    return card["card_status"] == "active"


def _in_force(card: Card, service_date: date) -> bool:
    start, end = card["valid_from"], card["valid_to"]
    if not _is_active(card) or not isinstance(start, date):
        return False
    return start <= service_date and (end is None or (isinstance(end, date) and service_date <= end))


def _ordinal(value: Value) -> int:
    return value.toordinal() if isinstance(value, date) else date.max.toordinal()
