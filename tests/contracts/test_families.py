"""Whose parent the insurance database says somebody is, on the synthetic population as it was made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from connectors.national_insurance.children import InsuranceFamilies
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
