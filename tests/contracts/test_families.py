"""Whose parent the insurance database says somebody is, on the synthetic population as it was made."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from sqlalchemy import create_engine, text

from connectors.base import SourceTooSlow, SourceUnavailable
from connectors.national_insurance.children import InsuranceFamilies
from connectors.postgres import DatabaseError, PreparedConnections
from tests.contracts.source_fixtures import InsuranceDatabase

_PARENTS = text(
    """SELECT p.personal_id, array_agg(f.person_key ORDER BY f.person_key)
       FROM person p
       JOIN household_member mine ON mine.person_key = p.person_key
       JOIN family_member f ON f.family_personal_id = p.personal_id
       JOIN household_member theirs
         ON theirs.person_key = f.person_key AND theirs.household_code = mine.household_code
       WHERE f.family_relation IN ('mother', 'father')
       GROUP BY p.personal_id ORDER BY count(*) DESC, p.personal_id LIMIT 20"""
)
_CHILDLESS = text(
    """SELECT personal_id FROM person
       WHERE personal_id NOT IN (SELECT family_personal_id FROM family_member
                                 WHERE family_personal_id IS NOT NULL)
       ORDER BY person_key LIMIT 5"""
)


@pytest.fixture
def families(insurance: InsuranceDatabase) -> Iterator[InsuranceFamilies]:
    families = InsuranceFamilies(insurance.reader_url)
    yield families
    families.close()


def test_parents_of_the_population_are_told_their_children_and_no_others(
    insurance: InsuranceDatabase, families: InsuranceFamilies
) -> None:
    engine = create_engine(insurance.owner_url)
    with engine.connect() as connection:
        parents = connection.execute(_PARENTS).all()
        childless = connection.execute(_CHILDLESS).scalars().all()
    engine.dispose()
    assert len(parents) == 20
    assert len(parents[0][1]) >= 2, "somebody has two children"
    for personal_id, keys in parents:
        children = families.find_children(personal_id, 5.0)
        assert sorted(child.child_key for child in children) == [str(key) for key in keys]
        assert {child.relation for child in children} <= {"mother", "father"}
    for personal_id in childless:
        assert families.find_children(personal_id, 5.0) == []


@pytest.mark.parametrize("column", ["personal_id", "birth_date", "full_name"])
def test_a_child_whose_row_is_not_whole_takes_no_sibling_along(
    insurance: InsuranceDatabase, families: InsuranceFamilies, column: str
) -> None:
    engine = create_engine(insurance.owner_url)
    with engine.connect() as connection:
        personal_id, keys = connection.execute(_PARENTS).all()[0]
    with engine.connect() as connection:
        before = families.find_children(personal_id, 5.0)
        look = text(f"SELECT {column} FROM person WHERE person_key = :key")  # noqa: S608
        kept = connection.execute(look, {"key": keys[0]}).scalar_one()
        forget = text(f"UPDATE person SET {column} = NULL WHERE person_key = :key")  # noqa: S608
        connection.execute(forget, {"key": keys[0]})
        connection.commit()
        try:
            found = families.find_children(personal_id, 5.0)
        finally:
            renew = text(f"UPDATE person SET {column} = :kept WHERE person_key = :key")  # noqa: S608
            connection.execute(renew, {"kept": kept, "key": keys[0]})
            connection.commit()
    engine.dispose()
    assert len(before) == len(keys) >= 2
    assert [child.child_key for child in found] == [
        child.child_key for child in before if child.child_key != str(keys[0])
    ]


@pytest.mark.parametrize("nobody", ["", "1", "00109020000x", "0010902000011", "٠٠١٠٩٠٢٠٠٠٠١"])
def test_what_is_no_personal_id_names_nobody(families: InsuranceFamilies, nobody: str) -> None:
    assert families.find_children(nobody, 5.0) == []


def test_a_source_that_fails_repeatedly_is_left_alone_for_a_while(
    families: InsuranceFamilies, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def away(_connections: object, _statement: object, _values: object, deadline: float) -> None:
        asked.append(deadline)
        raise DatabaseError("away")

    monkeypatch.setattr(PreparedConnections, "execute", away)
    for _ in range(5):
        with pytest.raises(SourceUnavailable, match="the source is away"):
            families.find_children("001090200001", 60.0)
    with pytest.raises(SourceUnavailable, match="is left alone") as refused:
        families.find_children("001090200001", 60.0)
    assert refused.value.retry_after_seconds in (4, 5)
    assert asked == [2.0] * 5, "no look may take longer than the source's own deadline"
    with pytest.raises(SourceTooSlow):
        families.find_children("001090200001", 0.0)


def test_a_source_that_drags_holds_no_more_than_its_places(
    insurance: InsuranceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    families, entered, go_on = InsuranceFamilies(insurance.reader_url, concurrency=1), Event(), Event()

    def drags(*_given: object) -> list[object]:
        entered.set()
        assert go_on.wait(60)
        return []

    monkeypatch.setattr(PreparedConnections, "execute", drags)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(families.find_children, "001090200001", 5.0)
        assert entered.wait(60)
        with pytest.raises(SourceUnavailable, match="too many requests wait"):
            families.find_children("001090200001", 5.0)
        go_on.set()
        assert first.result(60) == []
    assert families.find_children("001090200001", 5.0) == []
    families.close()
