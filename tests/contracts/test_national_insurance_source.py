from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import Table, create_engine, select, text

from broker.cli.embedded import EmbeddedCluster
from connectors.base import LookupKey, SourceAnswerRefused, SourceUnavailable
from connectors.national_insurance.cases import SyntheticPerson
from connectors.national_insurance.schema import FIELDS, metadata, social_insurance
from connectors.national_insurance.source import InsuranceSource
from connectors.national_insurance.synthetic import synchronised_at
from connectors.postgres import DatabaseRefused, PreparedStatement
from tests.contracts.source_fixtures import (
    AS_OF,
    CARD_CHECK,
    InsuranceDatabase,
    fresh_database,
    load,
    loaded_database,
    prepared,
    reading,
    sqlite_database,
)


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def database(
    request: pytest.FixtureRequest, cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory
) -> InsuranceDatabase:
    if request.param == "postgresql":
        return loaded_database(cluster)
    return sqlite_database(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def source(database: InsuranceDatabase) -> Iterator[InsuranceSource]:
    with reading(database.reader_url) as opened:
        yield opened


@pytest.fixture
def ordinary(database: InsuranceDatabase) -> SyntheticPerson:
    return database.cases["valid"][0]


def _key(field: str, value: object) -> LookupKey:
    return LookupKey(field, str(value))


def test_a_person_is_found_by_every_key_that_names_them(
    source: InsuranceSource, ordinary: SyntheticPerson
) -> None:
    keys = [
        _key("si_number", ordinary.si_number),
        _key("personal_id", ordinary.personal_id),
        _key("person_key", ordinary.person_key),
        _key("hi_card", ordinary.si_number),
        _key("hi_card", ordinary.personal_id),
        _key("hi_card", ordinary.cards[0].hi_card_15),
        _key("hi_card", "XX999" + ordinary.si_number),
    ]
    for key in keys:
        record = source.fetch(key, ("full_name",), 2.0)
        assert record is not None
        assert record.data_subject == str(ordinary.person_key)
        assert record.fields == {"full_name": ordinary.full_name}


def test_the_card_check_reads_typed_fields_and_every_card(
    source: InsuranceSource, database: InsuranceDatabase
) -> None:
    for case in ("valid", "pair_003", "pair_004", "two_valid_cards", "name_nfd", "year_only_birth"):
        for who in database.cases[case]:
            record = source.fetch(_key("personal_id", who.personal_id), CARD_CHECK, 2.0)
            assert record is not None
            assert record.fields["full_name"] == who.full_name
            assert record.fields["birth_date"] == who.birth_date
            assert record.fields["birth_precision"] == who.birth_precision
            cards = record.groups["hi_cards"]
            assert [card["hi_card_15"] for card in cards] == [card.hi_card_15 for card in who.cards]
            assert [card["valid_to"] for card in cards] == [card.valid_to for card in who.cards]
            assert all(isinstance(card["valid_from"], date) for card in cards)


def test_a_record_has_the_named_fields_and_no_other(
    source: InsuranceSource, ordinary: SyntheticPerson
) -> None:
    key = _key("person_key", ordinary.person_key)
    record = source.fetch(key, ("sex", "hi_card", "valid_to", "phone"), 2.0)
    assert record is not None
    assert set(record.fields) == {"sex", "phone"}
    assert {frozenset(row) for row in record.groups["hi_cards"]} == {frozenset({"hi_card", "valid_to"})}
    nothing = source.fetch(key, (), 2.0)
    assert nothing is not None
    assert (nothing.fields, nothing.groups) == ({}, {})


def test_every_field_at_once_is_what_the_tables_hold(
    source: InsuranceSource, database: InsuranceDatabase
) -> None:
    engine = create_engine(database.owner_url)
    with engine.connect() as connection:
        working = select(social_insurance.c.person_key).order_by(social_insurance.c.person_key).limit(8)
        for person_key in connection.execute(working).scalars().all():
            record = source.fetch(_key("person_key", person_key), tuple(FIELDS), 2.0)
            assert record is not None
            assert set(record.fields) == {name for name, field in FIELDS.items() if not field.repeats}
            for group in {field.group for field in FIELDS.values() if field.repeats}:
                names = [name for name, field in FIELDS.items() if field.group == group]
                table = FIELDS[names[0]].table
                rows = connection.execute(
                    select(*(table.c[name] for name in names))
                    .where(table.c.person_key == person_key)
                    .order_by(table.c.line_number)
                ).all()
                assert [tuple(row.values()) for row in record.groups[group]] == [tuple(row) for row in rows]
    engine.dispose()


def test_the_employer_is_that_of_the_current_unit(
    source: InsuranceSource, database: InsuranceDatabase
) -> None:
    engine = create_engine(database.owner_url)
    with engine.connect() as connection:
        row = connection.execute(
            text(
                "SELECT person_key, employer_name FROM social_insurance JOIN employer "
                "ON unit_code = employer_unit_code ORDER BY person_key LIMIT 1"
            )
        ).one()
    engine.dispose()
    record = source.fetch(_key("person_key", row[0]), ("employer_name", "unemployment_reserved_months"), 2.0)
    assert record is not None
    assert record.fields["employer_name"] == row[1]
    assert isinstance(record.fields["unemployment_reserved_months"], int)


def test_one_group_alone_and_among_others_gives_the_same_rows(
    source: InsuranceSource, database: InsuranceDatabase
) -> None:
    who = database.cases["pair_004"][0]
    key = _key("person_key", who.person_key)
    columns = tuple(name for name, field in FIELDS.items() if field.group == "hi_cards")
    alone = source.fetch(key, columns, 2.0)
    among = source.fetch(key, (*columns, "salary_base", "family_name"), 2.0)
    assert alone is not None
    assert among is not None
    assert alone.groups["hi_cards"] == among.groups["hi_cards"]
    assert len(alone.groups["hi_cards"]) == 2


def test_a_group_without_rows_is_there_and_empty(
    source: InsuranceSource, database: InsuranceDatabase
) -> None:
    child = database.cases["child_without_card"][0]
    for columns in (("salary_base",), ("salary_base", "benefit_kind")):
        record = source.fetch(_key("person_key", child.person_key), columns, 2.0)
        assert record is not None
        assert record.groups["contributions"] == ()


def test_the_record_says_when_the_source_was_synchronised(
    source: InsuranceSource, ordinary: SyntheticPerson
) -> None:
    record = source.fetch(_key("si_number", ordinary.si_number), ("sex",), 2.0)
    assert record is not None
    assert record.as_of == synchronised_at(AS_OF) == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert source.is_available()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("si_number", "9999999999"),
        ("personal_id", "099999999999"),
        ("person_key", "1"),
        ("person_key", "99999999999999999999"),
        ("person_key", "01000000001"),
        ("person_key", "-1"),
        ("hi_card", "DN4019999999999"),
        ("hi_card", "12345678901"),
        ("si_number", "12345\x006789"),
        ("si_number", "' OR 1=1 --"),
        ("si_number", "١٢٣٤٥٦٧٨٩٠"),
        ("hi_card", ""),
    ],
)
def test_a_key_of_nobody_finds_nobody(source: InsuranceSource, field: str, value: str) -> None:
    assert source.fetch(LookupKey(field, value), CARD_CHECK, 2.0) is None


def test_a_number_that_two_persons_share_is_refused(
    source: InsuranceSource, database: InsuranceDatabase
) -> None:
    for columns in (CARD_CHECK, ("full_name",), ("hi_card", "salary_base")):
        for twin in database.cases["duplicate_si_number"]:
            with pytest.raises(SourceAnswerRefused) as refused:
                source.fetch(_key("si_number", twin.si_number), columns, 2.0)
            assert refused.value.fact == "several_persons"
            assert twin.si_number not in str(refused.value)
            assert source.fetch(_key("personal_id", twin.personal_id), columns, 2.0) is not None


def test_an_unknown_field_is_refused(source: InsuranceSource, ordinary: SyntheticPerson) -> None:
    with pytest.raises(SourceAnswerRefused) as refused:
        source.fetch(_key("si_number", ordinary.si_number), ("full_name", "person_key"), 2.0)
    assert refused.value.fact == "unexpected_column"


def test_the_sql_that_runs_names_only_what_was_asked_for(source: InsuranceSource) -> None:
    statement = source.sql("si_number", ("full_name", "hi_card", "valid_to"))
    for name, field in FIELDS.items():
        if name not in {"full_name", "hi_card", "valid_to", "si_number"}:
            assert f".{name} " not in f"{statement.replace(',', ' ')} ", field


@pytest.fixture
def crooked(
    request: pytest.FixtureRequest, cluster: EmbeddedCluster
) -> Iterator[tuple[InsuranceDatabase, InsuranceSource]]:
    """A PostgreSQL source that its owner changed in the way that the test says."""
    made = load(*fresh_database(cluster, "source_crooked"), persons=300)
    engine = create_engine(made.owner_url)
    with engine.begin() as connection:
        for change in request.param:
            connection.execute(text(change))
    engine.dispose()
    with reading(made.reader_url) as opened:
        yield made, opened


@pytest.mark.parametrize(
    "crooked",
    [
        [
            "ALTER TABLE person ALTER birth_date TYPE text",
            "UPDATE person SET birth_date = '31/12/1980'",
        ]
    ],
    indirect=True,
)
def test_a_value_of_another_type_is_refused_naming_the_field_alone(
    crooked: tuple[InsuranceDatabase, InsuranceSource],
) -> None:
    database, source = crooked
    with pytest.raises(SourceAnswerRefused) as refused:
        source.fetch(_key("personal_id", database.cases["valid"][0].personal_id), CARD_CHECK, 2.0)
    assert refused.value.fact == "wrong_type"
    assert str(refused.value) == "birth_date has the wrong type"
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("crooked", [["ALTER TABLE person ALTER si_number TYPE char(14)"]], indirect=True)
def test_an_answer_about_another_key_is_refused(
    crooked: tuple[InsuranceDatabase, InsuranceSource],
) -> None:
    database, source = crooked
    with pytest.raises(SourceAnswerRefused) as refused:
        source.fetch(_key("si_number", database.cases["valid"][0].si_number), CARD_CHECK, 2.0)
    assert refused.value.fact == "unexpected_person"


@pytest.mark.parametrize("crooked", [["REVOKE SELECT ON person FROM insurance_reader"]], indirect=True)
def test_a_source_that_refuses_the_statement_is_unavailable(
    crooked: tuple[InsuranceDatabase, InsuranceSource],
) -> None:
    database, source = crooked
    with pytest.raises(SourceUnavailable, match="42501") as refused:
        source.fetch(_key("si_number", database.cases["valid"][0].si_number), ("sex",), 2.0)
    assert refused.value.retry_after_seconds == 60


@pytest.mark.parametrize("crooked", [["DELETE FROM source_state"]], indirect=True)
def test_a_source_that_never_says_when_it_was_synchronised_is_refused(
    crooked: tuple[InsuranceDatabase, InsuranceSource],
) -> None:
    database, source = crooked
    with pytest.raises(SourceAnswerRefused):
        source.fetch(_key("si_number", database.cases["valid"][0].si_number), ("sex",), 2.0)
    assert not source.is_available()


def test_a_wrong_type_in_another_dialect_is_refused_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    database = sqlite_database(tmp_path_factory.mktemp("crooked"))
    engine = create_engine(database.owner_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE person SET birth_date = '31/12/1980'"))
        connection.execute(text("UPDATE health_insurance_card SET copay_ytd = 'much'"))
    engine.dispose()
    with reading(database.reader_url) as source:
        for column in ("birth_date", "copay_ytd"):
            with pytest.raises(SourceAnswerRefused) as refused:
                source.fetch(_key("personal_id", database.cases["valid"][0].personal_id), (column,), 2.0)
            assert refused.value.fact == "wrong_type"
            assert refused.value.__cause__ is None


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: str(table.name))
def test_the_readers_role_cannot_write(cluster: EmbeddedCluster, table: Table) -> None:
    database = loaded_database(cluster)
    with prepared(database.reader_url) as connections:
        for verb in ("DELETE FROM", "TRUNCATE"):
            statement = PreparedStatement(verb, f"{verb} {table.name}")
            with pytest.raises(DatabaseRefused) as refused:
                connections.execute(statement, [], 2.0)
            assert refused.value.sqlstate in {"42501", "25006"}


def test_the_connections_of_the_source_are_read_only_by_themselves(cluster: EmbeddedCluster) -> None:
    database = loaded_database(cluster)
    with prepared(database.owner_url, default_transaction_read_only="on") as connections:
        with pytest.raises(DatabaseRefused) as refused:
            connections.execute(PreparedStatement("delete", "DELETE FROM person"), [], 2.0)
        assert refused.value.sqlstate == "25006"


@pytest.mark.parametrize("others", [(), ("hi_card", "benefit_kind")], ids=["one group", "several groups"])
def test_rows_from_before_a_day_are_not_read(
    source: InsuranceSource, database: InsuranceDatabase, others: tuple[str, ...]
) -> None:
    columns = ("full_name", "contribution_from", "salary_base", *others)
    engine, tried = create_engine(database.owner_url), 0
    with engine.connect() as connection:
        working = select(social_insurance.c.person_key).order_by(social_insurance.c.person_key).limit(12)
        for person_key in connection.execute(working).scalars().all():
            key = _key("person_key", person_key)
            whole = source.fetch(key, columns, 2.0)
            assert whole is not None
            days = sorted(str(row["contribution_from"]) for row in whole.groups["contributions"])
            if not days:
                continue
            since = date.fromisoformat(days[len(days) // 2])
            record = source.fetch(key, columns, 2.0, (("contribution_from", since),))
            later = source.fetch(key, columns, 2.0, (("contribution_from", date(2200, 1, 1)),))
            assert record is not None
            assert later is not None
            assert record.fields == later.fields == whole.fields
            kept = tuple(
                row for row in whole.groups["contributions"] if str(row["contribution_from"]) >= str(since)
            )
            assert record.groups == {**whole.groups, "contributions": kept}
            assert later.groups == {**whole.groups, "contributions": ()}
            tried += len(kept) < len(days)
    engine.dispose()
    assert tried > 0


def test_a_day_of_a_field_that_is_not_held_is_refused(
    source: InsuranceSource, ordinary: SyntheticPerson
) -> None:
    key = _key("person_key", ordinary.person_key)
    with pytest.raises(SourceAnswerRefused) as refusal:
        source.fetch(key, ("full_name", "hi_card"), 2.0, (("religion", date(2026, 1, 1)),))
    assert refusal.value.fact == "unexpected_column"
