from __future__ import annotations

import re
from itertools import combinations

import pytest
from sqlalchemy import create_engine

from connectors.base import LookupKey, SourceAnswerRefused
from connectors.national_insurance.decoding import from_json, from_python, from_text, instant
from connectors.national_insurance.schema import FIELDS, metadata
from connectors.national_insurance.source import InsuranceSource
from connectors.national_insurance.statements import named_fields, reading
from policies.load import load_registers

POSTGRESQL, SQLITE = create_engine("postgresql+psycopg://").dialect, create_engine("sqlite://").dialect
STRUCTURE = {"person_key", "line_number", "synchronised_at", "source"}


def _columns_read(text: str) -> set[str]:
    """All columns that a statement mentions anywhere."""
    names = {column.name for table in metadata.tables.values() for column in table.columns}
    return {name for name in re.findall(r"\.(\w+)", text) if name in names}


def _sql(key: str, columns: tuple[str, ...]) -> str:
    return str(reading(key, *named_fields(columns)).statement.compile(dialect=POSTGRESQL))


def test_the_source_holds_every_field_that_the_catalogue_says_it_holds() -> None:
    catalogue, _ = load_registers()
    held = {name: (f.group, f.repeats) for name, f in catalogue.fields.items() if f.held}
    assert held == {name: (f.group, f.repeats) for name, f in FIELDS.items()}


def test_types_of_columns_are_those_of_the_catalogue() -> None:
    kinds = {
        "date": "DATE", "month": "DATE", "boolean": "BOOLEAN", "amount": "BIGINT", "integer": "INTEGER",
        "text": "VARCHAR", "code": "VARCHAR",
    }  # fmt: skip
    for name, field in load_registers()[0].fields.items():
        if field.held:
            assert str(FIELDS[name].type).split("(")[0] == kinds[field.type], name


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_statement_for_one_field_reads_that_field_and_what_holds_the_answer_together(name: str) -> None:
    allowed = STRUCTURE | {name, "si_number"}
    if FIELDS[name].group == "employer":
        allowed |= {"employer_unit_code", "unit_code"}
    assert _columns_read(_sql("si_number", (name,))) <= allowed


def test_statements_for_several_groups_read_only_the_named_fields() -> None:
    names = ("full_name", "hi_card", "salary_base", "benefit_kind", "unemployment_from", "family_name")
    for size in (2, 3, 6):
        for chosen in combinations(names, size):
            assert _columns_read(_sql("personal_id", chosen)) <= STRUCTURE | {*chosen, "personal_id"}


def test_the_hospital_case_is_one_join_without_json() -> None:
    text = _sql("si_number", ("full_name", "birth_date", "hi_card", "valid_to"))
    assert text.count("JOIN") == 1
    assert "json" not in text
    assert text.count("SELECT") == 2  # the statement, and when the source was last synchronised


def test_a_table_without_named_fields_is_not_touched() -> None:
    text = _sql("si_number", ("full_name",))
    assert "JOIN" not in text
    assert set(re.findall(r"FROM (\w+)", text)) == {"person", "source_state"}


def test_values_travel_as_parameters_only() -> None:
    read = reading("si_number", *named_fields(("full_name",)))
    for dialect in (POSTGRESQL, SQLITE):
        assert list(read.statement.compile(dialect=dialect).params) == ["looked_up"]


def test_a_field_that_the_source_does_not_hold_is_refused_before_asking() -> None:
    with pytest.raises(SourceAnswerRefused) as refused:
        named_fields(("full_name", "religion"))
    assert refused.value.fact == "unexpected_column"


def test_nobody_is_looked_up_by_a_field_that_is_no_key() -> None:
    source = InsuranceSource("sqlite://")
    with pytest.raises(SourceAnswerRefused, match="nobody can be looked up by phone"):
        source.fetch(LookupKey("phone", "0901234567"), ("full_name",), 1.0)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("birth_date", b"31/12/1980"),
        ("birth_date", b"infinity"),
        ("salary_base", b"12.5"),
        ("salary_base", b"much"),
        ("primary_facility_specialised", b"maybe"),
        ("full_name", b"\xff\xfe"),
    ],
)
def test_text_of_a_wrong_type_is_no_value(name: str, raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any ValueError is turned into a refusal
        from_text(FIELDS[name])(raw)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("birth_date", 19801231),
        ("salary_base", True),
        ("salary_base", "1"),
        ("full_name", 7),
        ("valid_to", True),
    ],
)
def test_python_and_json_values_of_a_wrong_type_are_no_values(name: str, value: object) -> None:
    for decoder in (from_python(FIELDS[name]), from_json(FIELDS[name])):
        with pytest.raises(ValueError):  # noqa: PT011 - any ValueError is turned into a refusal
            decoder(value)


def test_a_source_that_does_not_say_when_it_was_synchronised_is_refused() -> None:
    for nothing in (None, b"yesterday", 5):
        with pytest.raises(SourceAnswerRefused):
            instant(nothing)
