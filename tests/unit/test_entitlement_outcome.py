"""The gateway's codes and the cards that count, case by case."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from broker.actions.card_numbers import parse_card_number
from broker.actions.entitlement_outcome import EntitlementOutcome, decide_entitlement

DAY = date(2026, 11, 2)
SI = "7912345678"
NUMBER = f"GD479{SI}"


def card(**changes: Any) -> dict[str, Any]:
    """Return a card in force on the day."""
    return {
        "hi_card": SI,
        "hi_card_15": NUMBER,
        "benefit_level": "4",
        "card_status": "active",
        "managed_by": "insurance_agency",
        "valid_from": DAY - timedelta(days=100),
        "valid_to": DAY + timedelta(days=100),
        "previous_card": None,
        **changes,
    }


def ended(**changes: Any) -> dict[str, Any]:
    return card(valid_from=DAY - timedelta(days=400), valid_to=DAY - timedelta(days=101), **changes)


def coming(**changes: Any) -> dict[str, Any]:
    return card(valid_from=DAY + timedelta(days=101), valid_to=DAY + timedelta(days=400), **changes)


def decided(*cards: dict[str, Any], asked: str = SI, day: date = DAY) -> EntitlementOutcome:
    return decide_entitlement(parse_card_number(asked), cards, day)


def test_a_card_holds_from_its_first_day_to_its_last() -> None:
    one = card(valid_from=DAY, valid_to=DAY)
    assert decided(one) == EntitlementOutcome("valid", "000", one)
    for day in (DAY - timedelta(days=1), DAY + timedelta(days=1)):
        assert decided(one, day=day) == EntitlementOutcome("not_in_force", "010", one)


def test_a_card_without_an_end_holds_on() -> None:
    one = card(valid_to=None)
    assert decided(one, day=date(2099, 1, 1)) == EntitlementOutcome("valid", "000", one)


def test_a_card_without_a_beginning_does_not_hold() -> None:
    assert decided(card(valid_from=None)).gateway_code == "010"


def test_who_has_no_card_is_not_found() -> None:
    assert decided() == EntitlementOutcome("not_found", "050")


@pytest.mark.parametrize(("manager", "code"), [("defence", "001"), ("public_security", "002")])
def test_cards_of_the_armed_forces_are_checked_by_hand_whatever_else_is_so(manager: str, code: str) -> None:
    for other in (card(), ended(), card(card_status="revoked"), card(hi_card_15="XX179" + SI)):
        outcome = EntitlementOutcome("valid_manual", code)
        assert decided(other, card(managed_by=manager)) == outcome
        assert decided(card(managed_by=manager), other, asked=NUMBER) == outcome
    assert decided(card(managed_by="public_security"), card(managed_by="defence")).gateway_code == "001"


class TestAPair:
    old = f"GD479{SI}"
    new = f"DN479{SI}"

    def test_the_old_one_has_ended(self) -> None:
        first = ended(hi_card_15=self.old)
        second = card(hi_card_15=self.new, previous_card=self.old)
        replaced = EntitlementOutcome("replaced", "003", first, second)
        assert decided(first, second, asked=self.old) == replaced
        assert decided(second, first, asked=self.old) == replaced
        assert decided(first, second) == EntitlementOutcome("valid", "000", second)
        assert decided(first, second, asked=self.new) == EntitlementOutcome("valid", "000", second)

    def test_the_new_one_has_not_begun(self) -> None:
        first = card(hi_card_15=self.old)
        second = coming(hi_card_15=self.new, previous_card=self.old)
        both = EntitlementOutcome("valid_with_successor", "004", first, second)
        assert decided(first, second, asked=self.old) == both
        assert decided(second, first) == both
        assert decided(first, second, asked=self.new) == EntitlementOutcome("not_in_force", "010", second)

    def test_both_are_in_force(self) -> None:
        first = card(hi_card_15=self.old, benefit_level="4")
        second = card(
            hi_card_15=self.new, previous_card=self.old, benefit_level="1", valid_from=DAY - timedelta(days=1)
        )
        assert decided(first, second) == EntitlementOutcome("valid_with_successor", "004", first, second)
        assert decided(first, second, asked=self.new) == EntitlementOutcome("valid", "000", second)

    def test_the_new_one_keeps_the_number(self) -> None:
        first = ended(hi_card=NUMBER)
        second = card(previous_card=NUMBER)
        assert decided(first, second, asked=NUMBER) == EntitlementOutcome("replaced", "003", first, second)
        assert decided(first, second) == EntitlementOutcome("valid", "000", second)
        assert decided(second, asked=NUMBER) == EntitlementOutcome("valid", "000", second)
        valid, later = card(hi_card=NUMBER), coming(previous_card=NUMBER)
        both = EntitlementOutcome("valid_with_successor", "004", valid, later)
        for asked in (NUMBER, SI, "001090123456"):
            assert decided(valid, later, asked=asked) == both

    def test_three_in_a_row_are_not_taken_for_one_another(self) -> None:
        first, second = ended(hi_card=NUMBER), card(previous_card=NUMBER)
        third = coming(previous_card=NUMBER)
        both = EntitlementOutcome("valid_with_successor", "004", second, third)
        assert decided(first, second, third) == both

    @pytest.mark.parametrize("status", ["revoked", "decreased_stopped"])
    def test_a_new_one_that_was_revoked_replaces_nothing(self, status: str) -> None:
        second = card(hi_card_15=self.new, previous_card=self.old, card_status=status)
        first = ended(hi_card_15=self.old)
        assert decided(first, second, asked=self.old) == EntitlementOutcome("not_in_force", "010", first)
        held = card(hi_card_15=self.old)
        assert decided(held, second) == EntitlementOutcome("valid", "000", held)

    def test_an_old_one_that_was_revoked_stays_revoked(self) -> None:
        first = card(hi_card_15=self.old, card_status="revoked")
        second = card(hi_card_15=self.new, previous_card=self.old, valid_from=DAY)
        assert decided(first, second, asked=self.old) == EntitlementOutcome("revoked", "110")


@pytest.mark.parametrize(
    ("status", "name", "code"),
    [
        ("revoked", "revoked", "110"),
        ("decreased", "stopped", "120"),
        ("decreased_moved_province", "stopped", "121"),
        ("decreased_moved_within", "stopped", "122"),
        ("decreased_reincreased", "stopped", "123"),
        ("decreased_stopped", "stopped", "124"),
        ("child_without_card", "child_without_card", "130"),
    ],
)
def test_a_card_that_was_taken_back_is_not_shown(status: str, name: str, code: str) -> None:
    for one in (card(card_status=status), ended(card_status=status)):
        assert decided(one) == EntitlementOutcome(name, code)
        assert decided(one, asked=NUMBER) == EntitlementOutcome(name, code)
    holding = card(hi_card_15=f"HT379{SI}")
    assert decided(card(card_status=status), holding) == EntitlementOutcome("valid", "000", holding)


def test_a_status_nobody_knows_is_not_in_force() -> None:
    one = card(card_status="something_new")
    assert decided(one) == EntitlementOutcome("not_in_force", "010", one)


def test_of_several_entitlements_the_highest_counts() -> None:
    ranked = ["5", "1", "2", "3", "4"]
    cards = [card(benefit_level=level, hi_card_15=f"GD{level}79{SI}") for level in ranked]
    for best in range(len(cards)):
        for order in (cards[best:], cards[best:][::-1]):
            assert decided(*order) == EntitlementOutcome("valid", "000", cards[best])
    assert decided(*cards, asked=f"GD379{SI}").card == cards[3], "but who shows one is asked about that one"


def test_of_equal_entitlements_the_one_that_lasts_longer_counts() -> None:
    short, long = card(), card(valid_to=DAY + timedelta(days=200))
    assert decided(short, long).card == long
    assert decided(ended(), short).card == short
    newest, older = ended(), ended(benefit_level="1") | {"valid_to": date(2020, 1, 1)}
    for order in ((older, newest), (newest, older)):
        assert decided(*order).card == newest, "of ended cards the latest, whatever it gave"


class TestANumberThatFitsNoCard:
    @pytest.mark.parametrize(
        ("asked", "code"),
        [
            (f"GD401{SI}", "052"),
            (f"GD179{SI}", "053"),
            (f"XX479{SI}", "051"),
            (f"GD101{SI}", "051"),
            (f"XX101{SI}", "051"),
        ],
    )
    def test_is_told_where_it_is_wrong(self, asked: str, code: str) -> None:
        assert decided(card(), asked=asked).gateway_code == code
        assert decided(ended(), asked=asked).card is None

    def test_any_card_of_the_person_may_fit(self) -> None:
        cards = (card(), ended(hi_card_15=f"HT379{SI}"))
        assert decided(*cards, asked=f"HT301{SI}").gateway_code == "052"
        assert decided(*cards, asked=f"HT379{SI}").gateway_code == "010"
