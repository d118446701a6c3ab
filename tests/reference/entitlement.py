"""A slow, obvious twin of `decide_entitlement`: it writes out every case as the gateway's list words it.

It works on plain day numbers, writes down who follows whom as a table of positions, and first says what the
gateway would, then takes away what the army and the police keep. Nothing is shared with the original but the
words of the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product

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
MANAGERS = {"defence": "001", "public_security": "002"}
OPEN = 10**9
NOBODY = -1


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
    of_number = [at for at in range(len(cards)) if cards[at]["hi_card_15"] == asked]
    if len(asked) == 15 and not of_number:
        return _number_that_fits_no_card(asked, cards)
    printed = [at for at in of_number if cards[at]["hi_card"] == asked]
    everything = list(range(len(cards)))
    shown = _Wallet(cards, day).best(printed or of_number or everything)
    return _without_managed(_by_the_list(shown, len(asked) == 15, _Wallet(cards, day)))


def _by_the_list(shown: int, by_number: bool, wallet: _Wallet) -> Said:
    """What the gateway's list says when nobody's cards are kept back."""
    card, status = wallet.cards[shown], str(wallet.cards[shown]["card_status"])
    if status not in ("active", *STOPPED):
        return Said("record_unreadable", "100")
    if status in STOPPED and not (status == "child_without_card" and wallet.holding):
        return Said(*STOPPED[status])
    if not wallet.holding:
        return Said("not_in_force", "010", card)
    # From here on something is in force.
    best = wallet.best(wallet.holding)
    if status == "child_without_card":
        return _of_the_person(best, wallet)
    if not by_number:
        return _of_the_person(shown, wallet)
    if shown not in wallet.holding and _days(card["valid_to"], OPEN) < wallet.today:
        end = wallet.end_of_chain(shown)
        return Said("replaced", "003", card, wallet.cards[end if end in wallet.holding else best])
    in_hand = shown if shown in wallet.holding else wallet.first_still_holding(shown)
    if in_hand == NOBODY:
        return _of_the_person(best, wallet)
    same_chain = best == shown or wallet.after[shown][best] or wallet.after[best][shown]
    if wallet.benefit(best) < wallet.benefit(in_hand) and not same_chain:
        return _of_the_person(best, wallet)
    return _old_and_new(in_hand, wallet.end_of_chain(shown) if wallet.has_end(shown) else shown, wallet)


def _of_the_person(best: int, wallet: _Wallet) -> Said:
    new = wallet.end_of_chain(best) if wallet.has_end(best) else best
    old = wallet.first_still_holding(best)
    return _old_and_new(best if old == NOBODY else old, new, wallet)


def _old_and_new(old: int, new: int, wallet: _Wallet) -> Said:
    if old == new:
        return Said("valid", "000", wallet.cards[old])
    return Said("valid_with_successor", "004", wallet.cards[old], wallet.cards[new])


def _without_managed(said: Said) -> Said:
    """No field leaves of a card of the army or the police; the card that counts speaks first."""
    by_weight = (said.new_card, said.card) if said.code == "003" else (said.card, said.new_card)
    managers = [str(card["managed_by"]) for card in by_weight if card is not None]
    kept_back = [MANAGERS[manager] for manager in managers if manager in MANAGERS]
    if not kept_back:
        return said
    if said.code == "010":
        return Said("not_in_force", "010")
    return Said("valid_manual", kept_back[0])


class _Wallet:
    """All cards of a person on one day, by position. after[a][b]: b follows a, over however many renewals."""

    def __init__(self, cards: Sequence[Row], day: date) -> None:
        self.cards = cards
        self.today = day.toordinal()
        self.holding = [at for at, card in enumerate(cards) if _holds(card, self.today)]
        places = range(len(cards))
        self.after = [[_names(cards[b], cards[a], a == b) for b in places] for a in places]
        for through, a, b in product(places, places, places):
            if self.after[a][through] and self.after[through][b]:
                self.after[a][b] = True

    def benefit(self, at: int) -> int:
        """0 is the best."""
        return BEST_FIRST.index(level) if (level := str(self.cards[at]["benefit_level"])) in BEST_FIRST else 5

    def best(self, places: Sequence[int]) -> int:
        """Those that hold, of these the best benefit; the last to end; the smaller number; the first row."""
        left = [at for at in places if at in self.holding]
        if left:
            highest = min(self.benefit(at) for at in left)
            left = [at for at in left if self.benefit(at) == highest]
        else:
            left = list(places)
        last = max(_days(self.cards[at]["valid_to"], OPEN) for at in left)
        left = [at for at in left if _days(self.cards[at]["valid_to"], OPEN) == last]
        smallest = min(str(self.cards[at]["hi_card_15"]) for at in left)
        return next(at for at in left if str(self.cards[at]["hi_card_15"]) == smallest)

    def end_of_chain(self, at: int) -> int:
        """The last to begin of the active cards after this one that have not run out."""
        later = [
            other
            for other, card in enumerate(self.cards)
            if other != at
            and self.after[at][other]
            and card["card_status"] == "active"
            and _days(card["valid_to"], OPEN) >= self.today
        ]
        return sorted(later, key=self._age, reverse=True)[0] if later else NOBODY

    def has_end(self, at: int) -> bool:
        """Whether anything follows."""
        return self.end_of_chain(at) != NOBODY

    def first_still_holding(self, at: int) -> int:
        """The oldest card before this one that holds. In a ring nobody comes before anybody."""
        earlier = [
            other
            for other in self.holding
            if other != at and self.after[other][at] and not self.after[at][other]
        ]
        return sorted(earlier, key=self._age)[0] if earlier else NOBODY

    def _age(self, at: int) -> tuple[int, int, str]:
        card = self.cards[at]
        return _days(card["valid_from"], OPEN), _days(card["valid_to"], OPEN), str(card["hi_card_15"])


def _days(value: object, without: int) -> int:
    return value.toordinal() if isinstance(value, date) else without


def _holds(card: Row, today: int) -> bool:
    if card["card_status"] != "active" or card["valid_from"] is None:
        return False
    return _days(card["valid_from"], OPEN) <= today <= _days(card["valid_to"], OPEN)


def _names(new: Row, old: Row, same_row: bool) -> bool:
    """Whether one row says that it came after another. Rows of one number differ by their beginning."""
    if same_row or new["previous_card"] is None or new["previous_card"] != old["hi_card_15"]:
        return False
    if new["hi_card_15"] == old["hi_card_15"]:
        return _days(new["valid_from"], OPEN) > _days(old["valid_from"], OPEN)
    return _days(new["valid_from"], OPEN) >= _days(old["valid_from"], OPEN)


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
