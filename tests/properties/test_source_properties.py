from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.cli.embedded import EmbeddedCluster
from connectors.base import LookupKey
from connectors.national_insurance.schema import FIELDS
from connectors.national_insurance.source import InsuranceSource
from tests.contracts.source_fixtures import InsuranceDatabase, loaded_database, reading, sqlite_database

KEYS = ("si_number", "personal_id", "hi_card", "person_key")
_SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def database(
    request: pytest.FixtureRequest, cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory
) -> InsuranceDatabase:
    if request.param == "postgresql":
        return loaded_database(cluster)
    return sqlite_database(tmp_path_factory.mktemp("properties"))


@pytest.fixture(scope="module")
def source(database: InsuranceDatabase) -> Iterator[InsuranceSource]:
    with reading(database.reader_url) as opened:
        yield opened


@_SETTINGS
@given(field=st.sampled_from(KEYS), value=st.text(max_size=24) | st.from_regex(r"\d{9,20}", fullmatch=True))
def test_whatever_is_looked_up_finds_that_person_or_nobody(
    source: InsuranceSource, field: str, value: str
) -> None:
    record = source.fetch(LookupKey(field, value), ("si_number", "personal_id"), 2.0)
    if record is not None:
        held = {record.data_subject, record.fields["si_number"], record.fields["personal_id"]}
        assert {value, value[-10:]} & held


@_SETTINGS
@given(columns=st.lists(st.sampled_from(sorted(FIELDS)), max_size=12), case=st.integers(0, 10**6))
def test_any_choice_of_fields_gives_exactly_those_fields(
    source: InsuranceSource, database: InsuranceDatabase, columns: list[str], case: int
) -> None:
    persons = [person for found in database.cases.values() for person in found]
    who = persons[case % len(persons)]
    record = source.fetch(LookupKey("personal_id", who.personal_id), columns, 2.0)
    assert record is not None
    assert record.data_subject == str(who.person_key)
    assert set(record.fields) == {name for name in columns if not FIELDS[name].repeats}
    assert set(record.groups) == {FIELDS[name].group for name in columns if FIELDS[name].repeats}
    for group, rows in record.groups.items():
        for row in rows:
            assert set(row) == {name for name in columns if FIELDS[name].group == group}
