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


class TestCardsOfTheArmedForces:
    """BAS-9: of a card that the army or the police manage no field leaves."""

    @pytest.fixture(params=[("defence", "001"), ("public_security", "002")], ids=["defence", "police"])
    def army(self, request: pytest.FixtureRequest) -> tuple[str, EntitlementOutcome]:
        manager, code = request.param
        return manager, EntitlementOutcome("valid_manual", code)

    number = f"QN579{SI}"

    def test_the_best_card_in_force_is_checked_by_hand(self, army: tuple[str, EntitlementOutcome]) -> None:
        theirs = card(hi_card_15=self.number, benefit_level="5", managed_by=army[0])
        assert decided(theirs) == decided(theirs, asked=self.number) == army[1]
        for other in (card(), ended(), card(card_status="revoked")):
            assert decided(other, theirs) == decided(theirs, other) == army[1]
        assert decided(card(), theirs, asked=NUMBER) == army[1], "the higher entitlement, whoever manages it"

    def test_an_ended_one_does_not_hide_a_valid_card(self, army: tuple[str, EntitlementOutcome]) -> None:
        theirs, one = ended(hi_card_15=self.number, benefit_level="5", managed_by=army[0]), card()
        for asked in (SI, "001090123456", NUMBER):
            assert decided(theirs, one, asked=asked) == EntitlementOutcome("valid", "000", one)
        assert decided(theirs, one, asked=self.number) == army[1], "one half of the pair would be theirs"

    def test_one_that_is_not_in_force_is_told_without_its_fields(
        self, army: tuple[str, EntitlementOutcome]
    ) -> None:
        for theirs in (ended(managed_by=army[0]), coming(managed_by=army[0])):
            for cards in ([theirs], [theirs, ended(hi_card_15=self.number) | {"valid_to": date(2020, 1, 1)}]):
                assert decided(*cards) == EntitlementOutcome("not_in_force", "010")
                assert decided(*cards, asked=NUMBER) == EntitlementOutcome("not_in_force", "010")

    def test_one_half_of_a_pair_keeps_both(self, army: tuple[str, EntitlementOutcome]) -> None:
        old, new = card(), coming(hi_card_15=self.number, previous_card=NUMBER)
        for halves in ((old | {"managed_by": army[0]}, new), (old, new | {"managed_by": army[0]})):
            assert decided(*halves) == decided(*halves, asked=NUMBER) == army[1]
            assert decided(*halves, asked=self.number) == army[1]
        begun = card(hi_card_15=self.number, previous_card=NUMBER, managed_by=army[0])
        assert decided(ended(), begun, asked=NUMBER) == army[1]

    def test_taken_back_or_wrongly_numbered_stays_so(self, army: tuple[str, EntitlementOutcome]) -> None:
        assert decided(card(card_status="revoked", managed_by=army[0])).gateway_code == "110"
        assert decided(card(card_status="decreased", managed_by=army[0])).gateway_code == "120"
        assert decided(card(card_status="locked", managed_by=army[0])).gateway_code == "100"
        for asked, code in ((f"GD401{SI}", "052"), (f"GD179{SI}", "053"), (f"XX479{SI}", "051")):
            assert decided(card(managed_by=army[0]), asked=asked).gateway_code == code
            assert decided(card(managed_by=army[0]), ended(), asked=asked).gateway_code == code

    def test_the_card_that_counts_says_which_of_the_two(self) -> None:
        old = ended(managed_by="public_security")
        new = card(hi_card_15=self.number, previous_card=NUMBER, managed_by="defence")
        assert decided(old, new, asked=NUMBER).gateway_code == "001"
        held, later = card(managed_by="public_security"), new | {"valid_from": DAY + timedelta(days=1)}
        assert decided(held, later).gateway_code == "002"


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
        assert decided(first, second, asked=self.new) == both, "the one in force is not lost (HOS-6)"
        assert decided(second, first, asked=self.new) == both

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

    def test_the_new_one_keeps_the_number_and_is_printed_with_it_before_it_begins(self) -> None:
        first = card(valid_to=DAY + timedelta(days=20))
        second = coming(hi_card=NUMBER, previous_card=NUMBER)
        both = EntitlementOutcome("valid_with_successor", "004", first, second)
        assert decided(first, second, asked=NUMBER) == both

    def test_a_card_shown_before_it_begins_with_nothing_in_force(self) -> None:
        first, second = ended(hi_card_15=self.old), coming(hi_card_15=self.new, previous_card=self.old)
        for asked in (SI, self.new):
            assert decided(first, second, asked=asked) == EntitlementOutcome("not_in_force", "010", second)
        assert decided(first, second, asked=self.old) == EntitlementOutcome("not_in_force", "010", first)

    def test_a_correction_of_the_same_day_follows_the_card_it_names(self) -> None:
        first, second = card(hi_card_15=self.old), card(hi_card_15=self.new, previous_card=self.old)
        both = EntitlementOutcome("valid_with_successor", "004", first, second)
        assert decided(first, second) == decided(second, first) == both

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


class TestAChain:
    """A card that was renewed more than once."""

    numbers = (f"GD479{SI}", f"DN479{SI}", f"HC479{SI}")

    def rows(self, *periods: tuple[int, int]) -> list[dict[str, Any]]:
        return [
            card(
                hi_card_15=self.numbers[place],
                previous_card=self.numbers[place - 1] if place else None,
                valid_from=DAY + timedelta(days=start),
                valid_to=DAY + timedelta(days=end),
            )
            for place, (start, end) in enumerate(periods)
        ]

    def test_two_renewals_ago_is_followed_to_the_card_in_force(self) -> None:
        oldest, middle, newest = cards = self.rows((-900, -500), (-499, -101), (-100, 200))
        for order in (cards, cards[::-1]):
            for shown in (oldest, middle):
                replaced = EntitlementOutcome("replaced", "003", shown, newest)
                assert decided(*order, asked=shown["hi_card_15"]) == replaced
            assert decided(*order) == EntitlementOutcome("valid", "000", newest)
            assert decided(*order, asked=newest["hi_card_15"]) == EntitlementOutcome("valid", "000", newest)

    def test_a_link_that_was_taken_back_does_not_break_it(self) -> None:
        oldest, middle, newest = self.rows((-100, 50), (-50, 300), (51, 400))
        middle["card_status"] = "decreased_reincreased"
        both = EntitlementOutcome("valid_with_successor", "004", oldest, newest)
        assert decided(oldest, middle, newest) == both

    def test_whose_end_has_not_begun_is_answered_by_the_card_in_force(self) -> None:
        oldest, middle, newest = cards = self.rows((-900, -500), (-499, 100), (101, 200))
        replaced = EntitlementOutcome("replaced", "003", oldest, middle)
        assert decided(*cards, asked=oldest["hi_card_15"]) == replaced
        both = EntitlementOutcome("valid_with_successor", "004", middle, newest)
        for asked in (SI, middle["hi_card_15"], newest["hi_card_15"]):
            assert decided(*cards, asked=asked) == both

    def test_a_card_two_steps_back_that_is_still_in_force_is_kept(self) -> None:
        oldest, _, newest = cards = self.rows((-100, 300), (-90, -50), (50, 400))
        both = EntitlementOutcome("valid_with_successor", "004", oldest, newest)
        for asked in (SI, oldest["hi_card_15"], newest["hi_card_15"]):
            assert decided(*cards, asked=asked) == both

    def test_a_successor_that_has_ended_again_is_none(self) -> None:
        first, second = self.rows((-100, 300), (-90, -50))
        assert decided(first, second) == EntitlementOutcome("valid", "000", first)

    def test_a_number_that_comes_back_is_not_its_own_successor(self) -> None:
        oldest, middle, newest = cards = self.rows((-900, -500), (-499, -101), (-100, 200))
        newest["hi_card_15"] = oldest["hi_card_15"]
        assert decided(*cards) == EntitlementOutcome("valid", "000", newest)
        replaced = EntitlementOutcome("replaced", "003", middle, newest)
        assert decided(*cards, asked=middle["hi_card_15"]) == replaced

    def test_rows_that_name_each_other_end_somewhere(self) -> None:
        one, other, third = (card(hi_card_15=number) for number in self.numbers)
        one["previous_card"], other["previous_card"] = self.numbers[2], self.numbers[0]
        third["previous_card"] = self.numbers[1]
        for shown in (one, other, third):
            said = decided(one, other, third, asked=shown["hi_card_15"])
            assert said.gateway_code == "004"
            assert said.card is shown
            assert said.new_card is not shown


class TestSeveralEntitlements:
    """HOS-6: of several in force the highest counts, whichever number was shown."""

    low, high = f"GD479{SI}", f"HT279{SI}"

    def better(self, **changes: Any) -> dict[str, Any]:
        return card(hi_card_15=self.high, benefit_level="2", **changes)

    def test_a_pending_renewal_of_one_does_not_hide_the_better_one(self) -> None:
        held = card(valid_to=DAY + timedelta(days=20))
        pending = coming(hi_card_15=f"DN479{SI}", previous_card=self.low)
        best = self.better()
        for asked in (SI, self.low, f"DN479{SI}", self.high):
            said = decided(held, pending, best, asked=asked)
            assert said == EntitlementOutcome("valid", "000", best), asked

    def test_the_better_one_keeps_its_own_pending_renewal(self) -> None:
        best, later = self.better(), coming(hi_card_15=f"CK279{SI}", previous_card=self.high)
        both = EntitlementOutcome("valid_with_successor", "004", best, later)
        for asked in (SI, self.low, self.high):
            assert decided(card(), best, later, asked=asked) == both

    def test_of_equal_ones_the_one_shown_counts(self) -> None:
        one, longer = card(), card(hi_card_15=f"HT479{SI}", valid_to=None)
        assert decided(one, longer, asked=self.low) == EntitlementOutcome("valid", "000", one)
        assert decided(one, longer) == EntitlementOutcome("valid", "000", longer)

    def test_the_newest_of_its_chain_shown_by_its_number_counts_before_the_one_it_replaces(self) -> None:
        old, new = self.better(), card(previous_card=self.high, valid_from=DAY)
        assert decided(old, new, asked=self.low) == EntitlementOutcome("valid", "000", new)
        assert decided(old, new) == EntitlementOutcome("valid_with_successor", "004", old, new)

    def test_an_ended_card_shown_is_replaced_by_an_unlinked_one(self) -> None:
        shown = ended()
        for best in (self.better(), card(hi_card_15=self.high)):
            assert decided(shown, best, asked=self.low) == EntitlementOutcome("replaced", "003", shown, best)
            assert decided(shown, best) == EntitlementOutcome("valid", "000", best)

    def test_an_ended_card_shown_is_replaced_by_its_own_successor_first(self) -> None:
        shown, own = ended(), card(hi_card_15=f"DN479{SI}", previous_card=self.low)
        said = decided(shown, self.better(), own, asked=self.low)
        assert said == EntitlementOutcome("replaced", "003", shown, own)

    def test_a_card_not_begun_without_a_predecessor_does_not_hide_the_one_in_force(self) -> None:
        holding = card(hi_card_15=self.high)
        said = decided(coming(), holding, asked=self.low)
        assert said == EntitlementOutcome("valid", "000", holding), (
            "nothing has ended, so nothing is replaced"
        )

    def test_a_child_without_a_card_is_asked_about_only_if_nothing_is_in_force(self) -> None:
        child, holding = card(card_status="child_without_card"), card(hi_card_15=self.high)
        assert decided(child, holding, asked=self.low) == EntitlementOutcome("valid", "000", holding)
        gone = ended(hi_card_15=self.high)
        assert decided(child, gone, asked=self.low) == EntitlementOutcome("child_without_card", "130")

    @pytest.mark.parametrize("status", ["revoked", "decreased", "decreased_reincreased", "locked"])
    def test_a_card_taken_back_is_not_saved_by_another_if_its_number_is_shown(self, status: str) -> None:
        shown = card(card_status=status)
        said = decided(shown, self.better(), asked=self.low)
        assert said.gateway_code in {"110", "120", "123", "100"}
        assert (said.card, said.new_card) == (None, None)


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


@pytest.mark.parametrize("status", ["locked", "something_new", "", None])
def test_a_status_nobody_knows_is_a_fault_of_the_record(status: str | None) -> None:
    fault = EntitlementOutcome("record_unreadable", "100")
    for one in (card(card_status=status), ended(card_status=status)):
        assert decided(one) == decided(one, asked=NUMBER) == fault
        assert decided(one, ended(hi_card_15=f"HT379{SI}") | {"valid_to": date(2020, 1, 1)}) == fault
        holding = card(hi_card_15=f"HT379{SI}")
        assert decided(one, holding) == EntitlementOutcome("valid", "000", holding)


def test_of_several_entitlements_the_highest_counts() -> None:
    ranked = ["5", "1", "2", "3", "4"]
    cards = [card(benefit_level=level, hi_card_15=f"GD{level}79{SI}") for level in ranked]
    for best in range(len(cards)):
        for order in (cards[best:], cards[best:][::-1]):
            assert decided(*order) == EntitlementOutcome("valid", "000", cards[best])
    for shown in cards:
        assert decided(*cards, asked=shown["hi_card_15"]).card == cards[0], "whichever number was shown"


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
        assert decided(*cards, asked=f"HT379{SI}").gateway_code == "003"
