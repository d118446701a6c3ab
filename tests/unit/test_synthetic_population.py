from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from datetime import date

import pytest

from connectors.national_insurance.schema import metadata
from connectors.national_insurance.synthetic import DEFAULT_AS_OF, Manifest, generate
from connectors.national_insurance.synthetic_load import rows_of_text
from connectors.national_insurance.synthetic_people import CASES
from connectors.national_insurance.synthetic_places import NEW_PROVINCES
from connectors.national_insurance.synthetic_subjects import SUBJECTS, benefit_digit
from policies.provinces import OLD_PROVINCES

PERSONS = 12_000
EXPECTED = "a375fba3965aaa92c8da65d75660ff68927e66d1f4ee2e74702e592bf869f5b9"
Rows = list[dict[str, object]]
Population = dict[str, Rows]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return Manifest(PERSONS, 5, DEFAULT_AS_OF)


@pytest.fixture(scope="module")
def population(manifest: Manifest) -> Population:
    tables: Population = defaultdict(list)
    for part in generate(manifest):
        rows = list(rows_of_text(metadata.tables[part.table], part.text))
        assert len(rows) == part.rows
        tables[part.table] += rows
    return tables


def _hash(persons: int, seed: int, as_of: date = DEFAULT_AS_OF) -> str:
    manifest = Manifest(persons, seed, as_of)
    for _ in generate(manifest):
        pass
    return manifest.sha256


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert _hash(500, 1) == _hash(500, 1)
    assert len({_hash(500, 1), _hash(500, 2), _hash(501, 1), _hash(500, 1, date(2026, 11, 2))}) == 4


def test_the_rows_of_seed_1_are_those_of_this_generation() -> None:
    assert _hash(500, 1) == EXPECTED, "rows changed: raise GENERATION in synthetic.py and renew this hash"


@pytest.mark.parametrize(("persons", "seed"), [(0, 1), (100_000_001, 1), (1, -1)])
def test_impossible_populations_are_refused(persons: int, seed: int) -> None:
    with pytest.raises(ValueError, match=r"between 1|not negative"):
        next(generate(Manifest(persons, seed, DEFAULT_AS_OF)))


def test_a_population_of_one_is_possible() -> None:
    assert len(_hash(1, 1)) == 64


def test_the_manifest_counts_what_was_generated(manifest: Manifest, population: Population) -> None:
    assert manifest.tables == Counter({name: len(rows) for name, rows in population.items()})
    assert sum(manifest.cases.values()) == PERSONS
    assert all(manifest.cases[name] > 0 for name in CASES)


FORMATS = {
    "personal_id": r"0\d{2}[0-3]\d{8}",
    "family_personal_id": r"0\d{2}[0-3]\d{8}",
    "old_id": r"\d{9}|\d{12}",
    "si_number": r"\d{10}",
    "tax_code": r"\d{10}",
    "hi_card": r"\d{10}|\d{12}|[A-Z]{2}[1-5]\d{12}",
    "hi_card_15": r"[A-Z]{2}[1-5]\d{12}",
    "previous_card": r"[A-Z]{2}[1-5]\d{12}",
    "ethnicity": r"\d{2}",
    "nationality": r"[A-Z]{2}",
    "birth_precision": r"day|month|year",
    "sex": r"male|female",
    "primary_facility": r"\d{5}",
    "subject_type": r"[A-Z]{2}",
    "benefit_level": r"[1-5]",
    "living_area": r"K[123]",
    "household_code": r"\d{10}",
    "si_office": r"\d{5}",
    "commune": r"\d{5}",
    "phone": r"0\d{9}",
    "email": r"[a-z0-9]+@example\.com",
    "unit_code": r"\d{10}[A-Z]{3}\d{2}|\d{7}[A-Z]{3}\d{2}|[A-Z]{2}\d{4}[A-Z]",
    "employer_unit_code": r"\d{10}[A-Z]{3}\d{2}|\d{7}[A-Z]{3}\d{2}|[A-Z]{2}\d{4}[A-Z]",
    "contribution_unit_code": r"\d{10}[A-Z]{3}\d{2}|\d{7}[A-Z]{3}\d{2}|[A-Z]{2}\d{4}[A-Z]",
    "contribution_plan": r"TM|DC|TT|AD|TS|OF|KL",
    "employer_tax_code": r"\d{10}",
    "employer_industry": r"\d{5}",
    "bank_account": r"\d{13}",
    "full_name": r"[^\s\d]+(?: [^\s\d]+)*",
    "family_name": r"[^\s\d]+(?: [^\s\d]+)*",
}


@pytest.mark.parametrize("field", sorted(FORMATS))
def test_every_value_has_the_format_of_its_field(population: Population, field: str) -> None:
    pattern = re.compile(FORMATS[field])
    values = [row[field] for rows in population.values() for row in rows if row.get(field) is not None]
    assert values
    assert [value for value in values if not pattern.fullmatch(str(value))] == []


def test_no_number_is_given_twice_except_the_duplicate_si_numbers(
    population: Population, manifest: Manifest
) -> None:
    people = population["person"]
    assert len({row["personal_id"] for row in people}) == PERSONS
    twice = [number for number, count in Counter(row["si_number"] for row in people).items() if count > 1]
    assert 0 < len(twice) <= manifest.cases["duplicate_si_number"]
    assert len({row["unit_code"] for row in population["employer"]}) == len(population["employer"])


def test_identity_numbers_agree_with_sex_and_birth_but_for_the_injected_errors(
    population: Population, manifest: Manifest
) -> None:
    wrong_sex = wrong_year = 0
    for row in population["person"]:
        number, born = str(row["personal_id"]), row["birth_date"]
        assert isinstance(born, date)
        wrong_sex += (int(number[3]) % 2 == 1) != (row["sex"] == "female")
        wrong_year += 1900 + int(number[3]) // 2 * 100 + int(number[4:6]) != born.year
        assert number[1:3] in OLD_PROVINCES
    assert wrong_sex == manifest.cases["swapped_sex"]
    assert wrong_year == manifest.cases["fabricated_birth_1752"] + manifest.cases["fabricated_birth_2020"]


def test_benefit_digits_follow_the_object_code(population: Population) -> None:
    for card in population["health_insurance_card"]:
        code, digit = str(card["subject_type"]), benefit_digit(str(card["subject_type"]), DEFAULT_AS_OF)
        assert card["benefit_level"] == str(digit)
        assert str(card["hi_card_15"]).startswith(f"{code}{digit}{card['issued_province']}")


def test_the_digit_of_near_poor_households_rose_in_2026() -> None:
    assert (benefit_digit("CN", date(2025, 12, 31)), benefit_digit("CN", date(2026, 1, 1))) == (3, 2)


def test_cards_end_in_the_si_number_and_are_printed_in_three_ways(population: Population) -> None:
    people = {row["person_key"]: row for row in population["person"]}
    forms: Counter[int] = Counter()
    for card in population["health_insurance_card"]:
        holder, printed = people[card["person_key"]], card["hi_card"]
        assert str(card["hi_card_15"])[5:] == holder["si_number"]
        assert printed in (card["hi_card_15"], holder["si_number"], holder["personal_id"])
        forms[len(str(printed))] += 1
    assert min(forms[10], forms[12], forms[15]) > PERSONS * 0.04


def test_cards_keep_old_provinces_and_residence_has_new_ones(population: Population) -> None:
    cards = population["health_insurance_card"]
    assert {str(card["issued_province"]) for card in cards} == set(OLD_PROVINCES)
    assert {str(card["primary_facility"])[:2] for card in cards} == set(OLD_PROVINCES)
    assert {str(row["province"]) for row in population["contact"]} == set(NEW_PROVINCES)
    assert sorted(old for new in NEW_PROVINCES.values() for old in new.made_of) == sorted(OLD_PROVINCES)


def test_payer_groups_have_the_shares_of_2023(population: Population) -> None:
    first = [card for card in population["health_insurance_card"] if card["line_number"] == 1]
    shares = Counter(str(card["payer_group"]) for card in first)
    expected = {
        "employer": 16.5, "si_fund": 3.6, "state_budget": 29.5, "state_supported": 23.8, "household": 26.6,
    }  # fmt: skip
    for group, share in expected.items():
        assert 100 * shares[group] / PERSONS == pytest.approx(share, abs=1.5), group


def test_frequent_surnames_are_frequent(population: Population) -> None:
    kinh = [row for row in population["person"] if row["ethnicity"] == "01"]
    surnames = Counter(unicodedata.normalize("NFC", str(row["full_name"])).split()[0].title() for row in kinh)
    assert surnames["Nguyễn"] / len(kinh) == pytest.approx(0.42, abs=0.04)
    assert surnames["Trần"] / len(kinh) == pytest.approx(0.12, abs=0.03)


def test_one_person_in_five_works_with_about_25_contribution_lines(population: Population) -> None:
    lines = Counter(row["person_key"] for row in population["contribution"])
    assert len(lines) / PERSONS == pytest.approx(0.21, abs=0.015)
    assert sum(lines.values()) / len(lines) == pytest.approx(25, abs=2)


def test_wages_of_today_have_the_published_mean(population: Population) -> None:
    last: dict[object, int] = {}
    for row in population["contribution"]:
        last[row["person_key"]] = int(str(row["salary_base"]))
    assert sum(last.values()) / len(last) == pytest.approx(8_400_000, rel=0.08)
    assert max(last.values()) <= 46_800_000


def test_contribution_lines_follow_each_other_and_end_by_the_day(population: Population) -> None:
    previous: dict[object, dict[str, object]] = {}
    for row in population["contribution"]:
        before = previous.get(row["person_key"])
        begins, ends = row["contribution_from"], row["contribution_to"]
        assert isinstance(begins, date)
        assert isinstance(ends, date)
        assert begins <= ends <= DEFAULT_AS_OF
        assert begins.day == ends.day == 1
        if before is not None:
            earlier = before["contribution_to"]
            assert isinstance(earlier, date)
            assert earlier < begins
            assert row["line_number"] == int(str(before["line_number"])) + 1
        previous[row["person_key"]] = row


def test_about_one_in_twenty_of_the_elderly_has_only_a_year_of_birth(population: Population) -> None:
    cutoff = DEFAULT_AS_OF.replace(year=DEFAULT_AS_OF.year - 60)
    elderly = [row for row in population["person"] if str(row["birth_date"]) < str(cutoff)]
    year_only = [row for row in elderly if row["birth_precision"] == "year"]
    assert len(year_only) / len(elderly) == pytest.approx(0.05, abs=0.015)
    assert {str(row["birth_date"])[5:] for row in year_only} == {"01-01"}


def test_ages_fit_the_object_codes(population: Population) -> None:
    people = {row["person_key"]: row for row in population["person"]}
    for card in population["health_insurance_card"]:
        born = people[card["person_key"]]["birth_date"]
        assert isinstance(born, date)
        if card["subject_type"] == "TE":
            assert (DEFAULT_AS_OF - born).days < 6 * 366
        if card["subject_type"] == "HT" and born.year > 1800:
            assert (DEFAULT_AS_OF - born).days > 54 * 365


def test_army_and_police_manage_their_own_cards(population: Population) -> None:
    managers = {"QN": "defence", "TQ": "defence", "CY": "defence", "TY": "defence", "CA": "public_security"}
    managers["TA"] = "public_security"
    for card in population["health_insurance_card"]:
        assert card["managed_by"] == managers.get(str(card["subject_type"]), "insurance_agency")


def test_decomposed_names_are_injected_and_all_others_are_composed(
    population: Population, manifest: Manifest
) -> None:
    names = [str(row["full_name"]) for row in population["person"]]
    decomposed = [name for name in names if unicodedata.normalize("NFC", name) != name]
    assert 0 < len(decomposed) <= manifest.cases["name_nfd"]
    assert sum("'" in name for name in names) >= manifest.cases["name_with_apostrophe"]
    assert min(map(len, names)) <= 5


def test_an_employer_stands_behind_every_unit_code(population: Population) -> None:
    units = {row["unit_code"] for row in population["employer"]}
    assert {row["contribution_unit_code"] for row in population["contribution"]} - {None} <= units
    assert {row["employer_unit_code"] for row in population["social_insurance"]} - {None} <= units


def test_every_object_code_with_a_share_worth_seeing_is_seen(population: Population) -> None:
    seen = {card["subject_type"] for card in population["health_insurance_card"]}
    assert {subject.code for subject in SUBJECTS if subject.share > 0.001} <= seen


def test_parents_are_grown_ups_of_the_household_where_one_fits(population: Population) -> None:
    persons = {row["personal_id"]: row for row in population["person"]}
    born = {row["person_key"]: row["birth_date"] for row in population["person"]}
    home = {row["person_key"]: row["household_code"] for row in population["household_member"]}
    parents = [row for row in population["family_member"] if row["family_relation"] in ("mother", "father")]
    found = [row for row in parents if row["family_personal_id"] in persons]
    assert 0.3 < len(found) / len(parents) < 0.5
    for row in found:
        parent = persons[row["family_personal_id"]]
        assert home[parent["person_key"]] == home[row["person_key"]]
        assert row["family_name"] == parent["full_name"]
        assert parent["sex"] == ("female" if row["family_relation"] == "mother" else "male")
        older = born[row["person_key"]] - parent["birth_date"]  # type: ignore[operator]
        assert 17 * 365 < older.days < 47 * 366
