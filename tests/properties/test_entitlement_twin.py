"""`decide_entitlement` against its slow twin, over card sets as messy as a register can get."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.actions.card_numbers import parse_card_number
from broker.actions.entitlement_outcome import decide_entitlement
from tests.reference.entitlement import STOPPED, Row, reference_entitlement

DAY = date(2026, 11, 2)
SI = "7912345678"
NUMBERS = [
    f"{letters}{level}{province}{SI}"
    for letters in ("GD", "HT")
    for level in "45"
    for province in ("79", "01")
]
DAYS = [DAY + timedelta(days=offset) for offset in (-400, -101, -100, -1, 0, 1, 100, 101, 400)]

cards_drawn = st.fixed_dictionaries(
    {
        "hi_card_15": st.sampled_from(NUMBERS),
        "hi_card": st.sampled_from([SI, "001090123456", *NUMBERS[:3]]),
        "benefit_level": st.sampled_from([*"12345", None]),
        "card_status": st.sampled_from(["active"] * 8 + [*STOPPED, "unheard_of"]),
        "managed_by": st.sampled_from(["insurance_agency"] * 6 + ["defence", "public_security"]),
        "valid_from": st.sampled_from([*DAYS, *DAYS, None]),
        "valid_to": st.sampled_from([*DAYS, *DAYS, None]),
        "previous_card": st.sampled_from([None, None, *NUMBERS]),
    }
)
asked_drawn = st.sampled_from([SI, "001090123456", *NUMBERS, f"XX179{SI}", f"GD431{SI}", f"GD379{SI}"])


@settings(max_examples=2500)
@given(asked=asked_drawn, cards=st.lists(cards_drawn, max_size=5), day=st.sampled_from(DAYS))
def test_both_say_the_same_of_any_set_of_cards(asked: str, cards: list[Row], day: date) -> None:
    theirs = reference_entitlement(asked, cards, day)
    ours = decide_entitlement(parse_card_number(asked), _typed(cards), day)
    assert (ours.name, ours.gateway_code) == (theirs.name, theirs.code)
    assert ours.card is theirs.card
    assert ours.new_card is theirs.new_card


@settings(max_examples=500)
@given(asked=asked_drawn, cards=st.lists(cards_drawn, min_size=1, max_size=5), day=st.sampled_from(DAYS))
def test_no_field_leaves_of_a_card_of_the_armed_forces(asked: str, cards: list[Row], day: date) -> None:
    outcome = decide_entitlement(parse_card_number(asked), _typed(cards), day)
    for card in (outcome.card, outcome.new_card):
        assert card is None or card["managed_by"] == "insurance_agency"
    assert outcome.card is not None or outcome.new_card is None


renewals_drawn = st.lists(
    st.tuples(st.sampled_from(NUMBERS[:3]), st.sampled_from([None, *NUMBERS[:3]]), cards_drawn),
    min_size=2,
    max_size=6,
).map(
    lambda rows: [
        {**card, "hi_card_15": number, "previous_card": before, "managed_by": "insurance_agency"}
        for number, before, card in rows
    ]
)


@settings(max_examples=1500)
@given(asked=st.sampled_from([SI, *NUMBERS[:3]]), cards=renewals_drawn, day=st.sampled_from(DAYS))
def test_both_say_the_same_of_long_and_tangled_renewals(asked: str, cards: list[Row], day: date) -> None:
    theirs = reference_entitlement(asked, cards, day)
    ours = decide_entitlement(parse_card_number(asked), _typed(cards), day)
    assert (ours.name, ours.gateway_code) == (theirs.name, theirs.code)
    assert ours.card is theirs.card
    assert ours.new_card is theirs.new_card


def test_both_say_the_same_of_every_code() -> None:
    reached = set()
    for asked in (SI, *NUMBERS, f"XX179{SI}", f"GD431{SI}", f"GD379{SI}"):
        for cards in _walked():
            theirs = reference_entitlement(asked, cards, DAY)
            ours = decide_entitlement(parse_card_number(asked), _typed(cards), DAY)
            assert (ours.name, ours.gateway_code) == (theirs.name, theirs.code)
            reached.add(ours.gateway_code)
    assert reached == {
        "000", "001", "002", "003", "004", "010", "050", "051", "052", "053", "100",
        *(code for _, code in STOPPED.values()),
    }  # fmt: skip


def _walked() -> list[list[Row]]:
    plain: dict[str, object] = {
        "hi_card_15": NUMBERS[0], "hi_card": SI, "benefit_level": "4", "card_status": "active",
        "managed_by": "insurance_agency", "valid_from": DAYS[1], "valid_to": DAYS[6], "previous_card": None,
    }  # fmt: skip
    ended = {**plain, "valid_from": DAYS[0], "valid_to": DAYS[2]}
    after = {**plain, "hi_card_15": NUMBERS[4], "previous_card": NUMBERS[0], "valid_from": DAYS[3]}
    single: list[list[Row]] = [
        [{**plain, "card_status": status}] for status in ("active", "unheard_of", *STOPPED)
    ]
    managed: list[list[Row]] = [[{**plain, "managed_by": one}] for one in ("defence", "public_security")]
    return [[], [ended], [plain, after], [ended, after], *single, *managed]


@settings(max_examples=300)
@given(asked=asked_drawn, cards=st.lists(cards_drawn, min_size=1, max_size=4), data=st.data())
def test_the_order_of_different_cards_does_not_matter(asked: str, cards: list[Row], data: Any) -> None:
    ranked = {(card["hi_card_15"], card["valid_to"]): card for card in cards}
    following = {(card["previous_card"], card["valid_from"]): card for card in ranked.values()}
    distinct = list(following.values())  # of cards that are equal in all that ranks them, the first is taken
    number = parse_card_number(asked)
    shuffled = data.draw(st.permutations(distinct))
    ours, theirs = (decide_entitlement(number, _typed(one), DAY) for one in (distinct, shuffled))
    assert (ours.name, ours.gateway_code) == (theirs.name, theirs.gateway_code)
    assert ours.card is theirs.card
    assert ours.new_card is theirs.new_card


def _typed(cards: list[Row]) -> Any:
    return cards
