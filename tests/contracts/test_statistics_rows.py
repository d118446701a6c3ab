"""What is read for a release, on SQLite and PostgreSQL: what the obvious way finds, in few statements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, insert, text, update
from sqlalchemy.exc import InternalError

from broker.cli.embedded import EmbeddedCluster
from broker.engines.release_rows import COLUMNS, DIMENSIONS, RowCoder
from broker.statistics.dimensions import registry_of
from broker.statistics.periods import parse_quarter
from broker.statistics.registry import Registry
from connectors.base import SourceAnswerRefused, SourceUnavailable
from connectors.national_insurance import schema
from connectors.national_insurance.statistics_rows import InsuranceStatistics, StatisticsRun
from tests.contracts.source_fixtures import InsuranceDatabase, fresh_database, load, sqlite_database
from tests.release_twin import Rows, rows_of

QUARTER = parse_quarter("2026-q3")
REGISTRY = registry_of(QUARTER, 1)
SECRET = bytes(range(32))


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def source(
    request: pytest.FixtureRequest, cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory
) -> InsuranceDatabase:
    """A small population with rows that no generator makes."""
    if request.param == "sqlite":
        made = sqlite_database(tmp_path_factory.mktemp("source"))
    else:
        made = load(*fresh_database(cluster, "statistics_source"), persons=600)
    engine = create_engine(made.owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        for statement in odd_rows():
            connection.execute(statement)
    engine.dispose()
    return made


def odd_rows() -> list[Any]:
    """Persons nobody would make up: without anything, unborn, of two sectors, with two pensions."""
    person, line, benefit = schema.person, schema.contribution, schema.benefit
    months = {"contribution_from": date(2026, 7, 1), "contribution_to": date(2026, 8, 1)}
    return [
        insert(person).values(
            [{"person_key": key, "sex": "female", "birth_date": date(1980, 2, 28)} for key in (1, 2, 3, 4)]
        ),
        insert(person).values(person_key=5, birth_date=date(2026, 10, 1)),
        insert(person).values(person_key=6, sex="other"),
        insert(schema.employer).values(
            [
                {"unit_code": "AA", "employer_industry": "10101"},
                {"unit_code": "BB", "employer_industry": "85310"},
                {"unit_code": "CC", "employer_industry": "34999"},
            ]
        ),
        insert(schema.contact).values(person_key=1, province="99"),
        insert(line).values(
            [
                # Two sectors with the same salary, one of them twice; a unit that nobody knows; none at all.
                {"person_key": 1, "line_number": 1, "contribution_unit_code": "BB", "salary_base": 7,
                 "contribution_amount": 2, **months},
                {"person_key": 1, "line_number": 2, "contribution_unit_code": "AA", "salary_base": 3,
                 "contribution_amount": 1, **months},
                {"person_key": 1, "line_number": 3, "contribution_unit_code": "AA", "salary_base": 4,
                 "contribution_amount": None, **months},
                {"person_key": 2, "line_number": 1, "contribution_unit_code": "ZZ", "salary_base": 7,
                 "contribution_amount": 2, "contribution_from": date(2020, 1, 1), "contribution_to": None},
                {"person_key": 3, "line_number": 1, "contribution_unit_code": None, "salary_base": 7,
                 "contribution_amount": 2, "contribution_from": date(2026, 9, 1),
                 "contribution_to": date(2026, 12, 1)},
                {"person_key": 4, "line_number": 1, "contribution_unit_code": "CC", "salary_base": 7,
                 "contribution_amount": 2, "contribution_from": date(2026, 5, 1),
                 "contribution_to": date(2026, 6, 1)},
            ]
        ),
        insert(benefit).values(
            [
                {"person_key": 1, "line_number": 1, "benefit_kind": "sickness",
                 "benefit_from": date(2026, 7, 31), "benefit_to": date(2026, 8, 3), "benefit_amount": 11},
                {"person_key": 4, "line_number": 1, "benefit_kind": "pension",
                 "benefit_from": date(2026, 8, 15), "benefit_to": None, "benefit_amount": 100},
                {"person_key": 4, "line_number": 2, "benefit_kind": "pension",
                 "benefit_from": date(2001, 8, 15), "benefit_to": date(2026, 7, 2), "benefit_amount": 1000},
            ]
        ),
        # Of nobody who is in the register.
        insert(line).values(
            person_key=7, line_number=1, salary_base=7, contribution_amount=2, **months
        ),
    ]  # fmt: skip


@pytest.fixture
def statistics(source: InsuranceDatabase) -> Iterator[InsuranceStatistics]:
    opened = InsuranceStatistics(source.reader_url)
    yield opened
    opened.close()


def read_rows(run: StatisticsRun, most: int, after: int | None = None) -> Rows:
    coder, found = RowCoder(QUARTER, REGISTRY, SECRET), Rows()
    for batch in run.batches(QUARTER.first_day, QUARTER.last_day, after, most):
        columns, _ = coder.coded(batch)
        assert list(columns) == list(COLUMNS)
        found |= {
            told(REGISTRY, row) for row in zip(*(one.tolist() for one in columns.values()), strict=True)
        }
    return found


def told(registry: Registry, row: tuple[int, ...]) -> tuple[int | str, ...]:
    """Return a row with its categories' codes."""
    numbers = row[2 : 2 + len(DIMENSIONS)]
    codes = [
        registry.dimension(name).leaves[number] for name, number in zip(DIMENSIONS, numbers, strict=True)
    ]
    return (*row[:2], *codes, *row[2 + len(DIMENSIONS) :])


@pytest.mark.parametrize("most", [7, 5_000])
def test_rows_are_what_the_obvious_way_finds(
    source: InsuranceDatabase, statistics: InsuranceStatistics, most: int
) -> None:
    engine = create_engine(source.owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
    expected = rows_of(engine, SECRET)
    engine.dispose()
    with statistics.open_run() as run:
        assert run.count_persons() == source.manifest.persons + 6
        assert read_rows(run, most) == expected
    assert len({row[0] for row in expected}) > source.manifest.persons // 2


def test_the_odd_ones_are_told_as_they_are(statistics: InsuranceStatistics) -> None:
    with statistics.open_run() as run:
        [batch, *_] = run.batches(QUARTER.first_day, QUARTER.last_day, most=6)
    by_key = {one.person_key: one for one in batch}
    assert sorted(by_key) == [1, 2, 3, 4, 5, 6]
    coder = RowCoder(QUARTER, REGISTRY, SECRET)

    def rows(key: int) -> list[tuple[Any, ...]]:
        columns, _ = coder.coded([by_key[key]])
        found = (told(REGISTRY, row) for row in zip(*(one.tolist() for one in columns.values()), strict=True))
        # Month, residence, sex, sector; contributions, salary, benefits, months.
        return [(row[2], row[3], row[4], row[6], *row[-4:]) for row in found]

    assert rows(1) == [
        ("2026-07", "_U", "F", "C", 1, 7, 11, 1),
        ("2026-07", "_U", "F", "P", 2, 7, 0, 1),
        ("2026-08", "_U", "F", "C", 1, 7, 0, 1),
        ("2026-08", "_U", "F", "P", 2, 7, 0, 1),
        ("2026-09", "_U", "F", "_Z", 0, 0, 0, 0),
    ]
    assert [row[3:] for row in rows(2)] == [("_U", 2, 7, 0, 1)] * 3
    assert [row[3:] for row in rows(3)] == [("_Z", 0, 0, 0, 0)] * 2 + [("_Z", 2, 7, 0, 1)]
    assert [row[3:] for row in rows(4)] == [
        ("_Z", 0, 0, 1000, 0),
        ("_Z", 0, 0, 100, 0),
        ("_Z", 0, 0, 100, 0),
    ]
    assert rows(5) == []
    assert [row[1:4] for row in rows(6)] == [("_U", "_U", "_Z")] * 3


def test_a_batch_takes_four_statements_whoever_is_in_it(statistics: InsuranceStatistics) -> None:
    seen: list[str] = []
    event.listen(statistics._engine, "before_cursor_execute", lambda *told: seen.append(told[2]))
    with statistics.open_run() as run:
        batches = len(list(run.batches(QUARTER.first_day, QUARTER.last_day, most=100)))
    # And one that finds nobody any more.
    assert len(seen) == 4 * batches + 1
    assert batches >= 4


def test_nothing_that_names_anybody_is_read(statistics: InsuranceStatistics) -> None:
    seen: list[str] = []
    event.listen(statistics._engine, "before_cursor_execute", lambda *told: seen.append(told[2]))
    with statistics.open_run() as run:
        list(run.batches(QUARTER.first_day, QUARTER.last_day))
    for column in (
        "name",
        "personal_id",
        "si_number",
        "old_id",
        "address",
        "phone",
        "hi_card",
        "bank",
        "tax",
    ):
        assert not any(column in statement for statement in seen), column


def test_a_run_goes_on_where_another_one_came_to(statistics: InsuranceStatistics) -> None:
    with statistics.open_run() as run:
        batches = run.batches(QUARTER.first_day, QUARTER.last_day, most=50)
        first = [person for batch in (next(batches), next(batches)) for person in batch]
        rest = run.batches(QUARTER.first_day, QUARTER.last_day, after=first[-1].person_key)
        everybody = [one for batch in run.batches(QUARTER.first_day, QUARTER.last_day) for one in batch]
        assert [*first, *(person for batch in rest for person in batch)] == everybody


def test_what_is_no_amount_is_refused_and_not_told(tmp_path: Path) -> None:
    made = sqlite_database(tmp_path)
    engine = create_engine(made.owner_url)
    with engine.begin() as connection:
        connection.execute(update(schema.contribution).values(salary_base=-7777))
    engine.dispose()
    statistics = InsuranceStatistics(made.reader_url)
    with statistics.open_run() as run, pytest.raises(SourceAnswerRefused) as refused:
        list(run.batches(QUARTER.first_day, QUARTER.last_day))
    assert refused.value.fact == "wrong_type"
    assert "7777" not in str(refused.value)
    statistics.close()


def test_a_source_that_is_away_is_told_without_its_address(tmp_path: Path) -> None:
    statistics = InsuranceStatistics(f"sqlite:///{tmp_path}/nowhere/insurance.db")
    with pytest.raises(SourceUnavailable, match="the source failed"), statistics.open_run() as run:
        run.as_of()


def test_a_run_on_postgresql_sees_one_instant_and_may_not_write(cluster: EmbeddedCluster) -> None:
    urls = fresh_database(cluster, "statistics_snapshot")
    made = load(*urls, persons=60)
    statistics = InsuranceStatistics(made.owner_url)
    engine = create_engine(made.owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
    with statistics.open_run() as run:
        assert run.count_persons() == 60
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM person"))
        assert run.count_persons() == 60
        assert sum(len(one) for one in run.batches(QUARTER.first_day, QUARTER.last_day, most=25)) == 60
        with pytest.raises(InternalError, match="read-only") as refused:
            run._connection.execute(text("DELETE FROM contact"))
        assert getattr(refused.value.orig, "sqlstate", None) == "25006"
    with statistics.open_run() as run:
        assert run.count_persons() == 0
    statistics.close()
    engine.dispose()
