"""`POST /v1/entitlement-checks` through a real server: what is answered, and that nothing else is."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from broker.cli.caller import Caller
from connectors.national_insurance.cases import SyntheticCard, SyntheticPerson
from policies.civil_time import VIET_NAM
from policies.load import load_directory
from tests.consent_world import ConsentWorld
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import post
from tests.release_world import AGENCY, AGREEMENT, SERVICE_DATE, World, birth_date_text

ALWAYS = {"as_of", "evidence_reference", "gateway_code", "outcome", "valid_until"}
ADMISSIBLE = {
    "hi_card", "valid_from", "valid_to", "benefit_level", "primary_facility", "five_year_date", "living_area",
}  # fmt: skip
"""No hospital learns more of a card than this, whatever an agreement says."""
AGREED = load_directory().find_agreement(AGREEMENT)
PERMITTED = {field for rule in (AGREED.rules if AGREED else ()) for field in rule.fields}
"""What the hospitals' agreement says may leave: that, and all of that, is what a card holds."""


def answer_to(caller: Caller, document: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a check that is answered, whose members are those of the closed set."""
    answer = post(caller, document)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    content: dict[str, Any] = answer.json()
    assert ALWAYS <= content.keys() <= ALWAYS | {"card", "new_card"}, content.keys()
    for name in content.keys() & {"card", "new_card"}:
        assert content[name].keys() == PERMITTED
    return content


def said(content: dict[str, Any]) -> tuple[str, str, set[str]]:
    """Return outcome, gateway code, and which cards came along."""
    return content["outcome"], content["gateway_code"], content.keys() & {"card", "new_card"}


def is_card(shown: dict[str, Any], card: SyntheticCard) -> bool:
    """Return whether a card in an answer is this one of the source."""
    return (shown["hi_card"], shown["valid_from"], shown["valid_to"], shown["primary_facility"]) == (
        card.hi_card,
        card.valid_from.isoformat(),
        card.valid_to.isoformat(),
        card.primary_facility,
    )


def is_in_force(card: SyntheticCard) -> bool:
    """Return whether a card of the source holds on the day that is asked about."""
    return card.card_status == "active" and card.valid_from <= SERVICE_DATE <= card.valid_to


def changed(number: str, *, letters: str = "", benefit: str = "", province: str = "") -> str:
    """Return a 15-character number with other letters, benefit digit or province."""
    return (letters or number[:2]) + (benefit or number[2]) + (province or number[3:5]) + number[5:]


def another(*taken: str, among: str) -> str:
    return next(letter for letter in among if letter not in taken)


def test_the_agreement_permits_no_more_of_a_card_than_care_needs() -> None:
    assert {"hi_card", "valid_from", "valid_to"} <= PERMITTED <= ADMISSIBLE


class TestAPersonWhoIsInsured:
    def test_gets_the_card_that_is_in_force_and_nothing_besides(self, caller: Caller, world: World) -> None:
        person = world.person()
        content = answer_to(caller, world.document(person))
        assert said(content) == ("valid", "000", {"card"})
        assert is_card(content["card"], person.cards[0])

    def test_the_answer_says_how_old_it_is_and_until_when_it_holds(
        self, caller: Caller, world: World
    ) -> None:
        content = answer_to(caller, world.document())
        assert content["as_of"] == "2026-10-31T23:00:00.000Z", "the instant of the source, not of the answer"
        today = datetime.now(VIET_NAM).date()
        until = datetime.fromisoformat(content["valid_until"]).astimezone(VIET_NAM)
        assert (until.date(), until.time()) == (today + timedelta(days=1), time())

    def test_is_found_by_every_number_that_names_the_person(self, caller: Caller, world: World) -> None:
        for case in ("valid_card_10", "valid_card_12", "valid_card_15"):
            person = world.cases[case][7]
            [card] = person.cards
            qr = f"{person.personal_id}|012345678|{person.full_name}|01011990|Nam|Số 1, Hà Nội|01012021"
            for number in (
                person.si_number,
                person.personal_id,
                card.hi_card,
                card.hi_card_15,
                card.hi_card_15.lower(),
                f" {card.hi_card_15[:5]} {card.hi_card_15[5:]} ",
                qr,
            ):
                content = answer_to(caller, world.document(person, card_number=number))
                assert said(content) == ("valid", "000", {"card"}), (case, len(number))
                assert is_card(content["card"], card)
            by_id = world.document(person, card_number=..., personal_id=person.personal_id)
            assert said(answer_to(caller, by_id)) == ("valid", "000", {"card"})

    @pytest.mark.parametrize("form", ["%d/%m/%Y", "%d%m%Y", "%Y-%m-%d"])
    def test_is_known_by_a_birth_date_in_every_form(self, caller: Caller, world: World, form: str) -> None:
        person = world.person()
        content = answer_to(caller, world.document(person, birth_date=person.birth_date.strftime(form)))
        assert content["outcome"] == "valid"

    def test_is_known_by_every_spelling_of_the_same_name(self, caller: Caller, world: World) -> None:
        for case in ("name_with_diacritics", "name_nfd"):
            person = next(one for one in world.cases[case] if one.cards[0].managed_by == AGENCY)
            composed = unicodedata.normalize("NFC", person.full_name)
            for spelling in (
                composed.upper(),
                composed.lower(),
                unicodedata.normalize("NFD", composed),
                "  " + composed.replace(" ", "   ") + " ",
            ):
                content = answer_to(caller, world.document(person, full_name=spelling))
                assert content["gateway_code"] not in {"060", "061"}, case

    def test_a_record_that_knows_only_the_year_is_matched_by_the_year_or_a_day_of_it(
        self, caller: Caller, world: World
    ) -> None:
        person = world.of_case("year_only_birth")
        year = person.birth_date.year
        for text in (str(year), f"17/08/{year}", f"08/{year}"):
            assert answer_to(caller, world.document(person, birth_date=text))["gateway_code"] != "070", text
        wrong = answer_to(caller, world.document(person, birth_date=str(year - 1)))
        assert said(wrong) == ("birth_date_mismatch", "070", set())

    def test_a_record_that_knows_the_day_is_not_matched_by_less(self, caller: Caller, world: World) -> None:
        person = world.person()
        for form in ("%Y", "%m/%Y"):
            content = answer_to(caller, world.document(person, birth_date=person.birth_date.strftime(form)))
            assert said(content) == ("birth_date_mismatch", "070", set())


def test_what_the_law_gives_is_asked_as_before_whatever_the_person_refused_paused_or_took_back(
    caller: Caller, world: World, insurance: InsuranceDatabase
) -> None:
    consents, person = ConsentWorld(world, insurance), world.unseen_person()
    account = consents.register_person(person.personal_id, str(person.person_key))

    def answered() -> dict[str, Any]:
        content = answer_to(caller, world.document(person))
        moving = {"as_of", "evidence_reference", "valid_until"}
        return {name: value for name, value in content.items() if name not in moving}

    before = answered()
    assert (before["outcome"], before["gateway_code"]) == ("valid", "000")
    given, paused = consents.give(account), consents.give(account)
    refused = consents.give(account, given=())
    assert answered() == before
    consents.withdraw(given)
    consents.pause(paused)
    states = [consents.consent(one).state for one in (given, paused, refused)]
    assert states == ["withdrawn", "paused", "refused"]
    assert answered() == before
    mine = bytes(world.pseudonyms.data_subject_ref(str(person.person_key)))
    kept = world.count_about(mine)
    assert kept == 3, "each check is on record as any other"


class TestTwoCards:
    def test_an_old_card_that_has_ended_is_answered_with_its_successor(
        self, caller: Caller, world: World
    ) -> None:
        person = world.of_case("pair_003")
        old, new = person.cards
        content = answer_to(caller, world.document(person, card_number=old.hi_card_15))
        assert said(content)[:2] == ("replaced", "003")
        assert is_card(content["card"], old)
        assert is_card(content["new_card"], new)
        for number in (new.hi_card, person.si_number, person.personal_id):
            content = answer_to(caller, world.document(person, card_number=number))
            assert said(content) == ("valid", "000", {"card"}), "a renewed card does not follow itself"
            assert is_card(content["card"], new)

    def test_an_old_card_still_in_force_keeps_its_holder_and_both_are_shown(
        self, caller: Caller, world: World
    ) -> None:
        person = world.of_case("pair_004")
        old, new = person.cards
        for number in (old.hi_card_15, person.si_number, person.personal_id):
            content = answer_to(caller, world.document(person, card_number=number))
            assert said(content)[:2] == ("valid_with_successor", "004")
            assert is_card(content["card"], old), "the pre-issued card must not hide the valid one"
            assert is_card(content["new_card"], new)

    def test_of_two_entitlements_the_higher_one_counts(self, caller: Caller, world: World) -> None:
        rank = {"5": 0, "1": 1, "2": 2, "3": 3, "4": 4}
        for person in world.cases["two_valid_cards"]:
            if any(card.managed_by != AGENCY for card in person.cards):
                continue
            content = answer_to(caller, world.document(person))
            highest = min(person.cards, key=lambda card: rank[card.hi_card_15[2]])
            assert said(content) == ("valid", "000", {"card"})
            assert content["card"]["benefit_level"] == highest.hi_card_15[2]


@pytest.mark.parametrize(
    ("case", "outcome", "code", "shown"),
    [
        ("expired", "not_in_force", "010", {"card"}),
        ("revoked", "revoked", "110", set()),
        ("decreased", "stopped", "120", set()),
        ("decreased_moved_province", "stopped", "121", set()),
        ("decreased_moved_within", "stopped", "122", set()),
        ("decreased_reincreased", "stopped", "123", set()),
        ("decreased_stopped", "stopped", "124", set()),
        ("child_without_card", "child_without_card", "130", set()),
    ],
)
def test_a_card_that_does_not_hold_is_answered_by_its_code(
    caller: Caller, world: World, case: str, outcome: str, code: str, shown: set[str]
) -> None:
    person = world.of_case(case)
    presented = person.cards[0].hi_card_15
    assert said(answer_to(caller, world.document(person, card_number=presented))) == (outcome, code, shown)


@pytest.mark.parametrize(("case", "code"), [("defence", "001"), ("public_security", "002")])
def test_of_the_armed_forces_only_who_manages_the_card_is_said(
    caller: Caller, world: World, case: str, code: str
) -> None:
    person = next(one for one in world.cases[case] if is_in_force(one.cards[0]))
    for number in (person.si_number, person.cards[0].hi_card_15):
        content = answer_to(caller, world.document(person, card_number=number))
        assert said(content) == ("valid_manual", code, set())


@pytest.mark.parametrize("case", ["defence", "public_security"])
def test_of_a_card_of_the_armed_forces_that_does_not_hold_no_field_leaves(
    caller: Caller, world: World, case: str
) -> None:
    twins = {one.si_number for one in world.cases["duplicate_si_number"]}
    persons = [one for one in world.cases[case] if len(one.cards) == 1 and one.si_number not in twins]
    active = [one for one in persons if one.cards[0].card_status == "active"]
    last_year = datetime.now(UTC).year + 2  # a day of service may be so far away
    ending = [one for one in active if one.cards[0].valid_to.year < last_year]
    assert ending
    for person in ending[:3]:
        after = (person.cards[0].valid_to + timedelta(days=1)).isoformat()
        for number in (person.si_number, person.cards[0].hi_card_15):
            document = world.document(person, card_number=number, service_date=after)
            content = answer_to(caller, document)
            assert said(content) == ("not_in_force", "010", set())


class TestAMismatch:
    """Says what does not fit, and carries no card."""

    @pytest.fixture
    def person(self, world: World) -> SyntheticPerson:
        return world.person()

    def test_nobody_has_this_number(self, caller: Caller, world: World) -> None:
        for number in ("0000000000", "000000000000", "GD4010000000000"):
            content = answer_to(caller, world.document(card_number=number))
            assert said(content) == ("not_found", "050", set())
            assert datetime.now(UTC) - datetime.fromisoformat(content["as_of"]) < timedelta(minutes=1)

    def test_the_whole_number_is_wrong(self, caller: Caller, world: World, person: SyntheticPerson) -> None:
        number = changed(person.cards[0].hi_card_15, letters="ZZ", benefit="5", province="00")
        content = answer_to(caller, world.document(person, card_number=number))
        assert said(content) == ("number_wrong", "051", set())

    def test_the_issuing_province_is_wrong(
        self, caller: Caller, world: World, person: SyntheticPerson
    ) -> None:
        number = changed(person.cards[0].hi_card_15, province="00")
        content = answer_to(caller, world.document(person, card_number=number))
        assert said(content) == ("issuing_province_wrong", "052", set())

    def test_the_benefit_code_is_wrong(self, caller: Caller, world: World, person: SyntheticPerson) -> None:
        number = person.cards[0].hi_card_15
        wrong = changed(number, benefit=another(number[2], among="12345"))
        content = answer_to(caller, world.document(person, card_number=wrong))
        assert said(content) == ("benefit_code_wrong", "053", set())

    def test_the_name_is_wrong(self, caller: Caller, world: World, person: SyntheticPerson) -> None:
        for name in ("Ông Ích Khiêm Xy", person.full_name + " Xy", person.full_name.split()[0]):
            content = answer_to(caller, world.document(person, full_name=name))
            assert said(content) == ("name_mismatch", "060", set())

    def test_only_the_first_letters_of_the_name_fit(
        self, caller: Caller, world: World, person: SyntheticPerson
    ) -> None:
        near = " ".join(word[0] + "xy" for word in unicodedata.normalize("NFC", person.full_name).split())
        content = answer_to(caller, world.document(person, full_name=near))
        assert said(content) == ("name_near_mismatch", "061", set())

    def test_the_birth_date_is_wrong(self, caller: Caller, world: World, person: SyntheticPerson) -> None:
        day_before = (person.birth_date - timedelta(days=1)).strftime("%d/%m/%Y")
        content = answer_to(caller, world.document(person, birth_date=day_before))
        assert said(content) == ("birth_date_mismatch", "070", set())

    def test_name_comes_before_birth_date_and_both_before_the_card(
        self, caller: Caller, world: World
    ) -> None:
        person = world.of_case("revoked")
        both = world.document(person, full_name="Ông Ích Khiêm Xy", birth_date="01/01/1950")
        assert answer_to(caller, both)["gateway_code"] == "060"
        assert birth_date_text(person) != "01/01/1950"
        one = world.document(person, birth_date="01/01/1950")
        assert answer_to(caller, one)["gateway_code"] == "070", "a revoked card is no stranger's business"
