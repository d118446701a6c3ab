"""Adults of the synthetic population who pay contributions. Nobody is given twice, whoever asks and how."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import create_engine, text
from sqlalchemy.sql.elements import TextClause

from tests.contracts.source_fixtures import InsuranceDatabase

_PERSONS = text(
    """SELECT p.personal_id, p.person_key FROM person p
       WHERE EXISTS (SELECT FROM contribution c WHERE c.person_key = p.person_key
                       AND c.contribution_to >= date '2026-06-01')
         AND (SELECT count(*) FROM person q WHERE q.personal_id = p.personal_id) = 1
         AND p.birth_date < date '2005-01-01'
       ORDER BY p.person_key"""
)
# From the end of the population: tests of consented records take theirs from its beginning.
_ADULTS = text(
    """SELECT p.personal_id, p.person_key FROM person p
       WHERE p.birth_precision = 'day' AND p.birth_date BETWEEN :born_from AND :born_by
         AND EXISTS (SELECT FROM contribution c WHERE c.person_key = p.person_key
                       AND c.contribution_to >= :paid_until)
         AND (SELECT count(*) FROM person q WHERE q.personal_id = p.personal_id) = 1
       ORDER BY p.person_key DESC LIMIT 400"""
)
# A parent of a child that is not seven yet, as the source proves it; one row for each two.
_PARENTS = text(
    """SELECT p.personal_id, c.personal_id FROM person p
       JOIN household_member mine ON mine.person_key = p.person_key
       JOIN family_member f ON f.family_personal_id = p.personal_id
       JOIN household_member theirs
         ON theirs.person_key = f.person_key AND theirs.household_code = mine.household_code
       JOIN person c ON c.person_key = f.person_key
       WHERE f.family_relation IN ('mother', 'father')
         AND p.birth_precision = 'day' AND p.birth_date BETWEEN :born_from AND :born_by
         AND c.birth_precision = 'day' AND c.birth_date > :child_born_after
         AND EXISTS (SELECT FROM contribution o WHERE o.person_key = p.person_key
                       AND o.contribution_to >= :paid_until)
         AND (SELECT count(*) FROM person q WHERE q.personal_id IN (p.personal_id, c.personal_id)) = 2
       ORDER BY p.person_key DESC, c.person_key"""
)
_taken: defaultdict[str, set[str]] = defaultdict(set)
_grown_ups: dict[str, Iterator[tuple[str, str]]] = {}
_adults: dict[str, Iterator[tuple[str, str]]] = {}
_parents: dict[str, Iterator[tuple[str, str]]] = {}


def take(insurance: InsuranceDatabase, personal_id: str) -> bool:
    """Reserve a person of a population; return False where somebody else has."""
    taken = _taken[insurance.owner_url]
    if personal_id in taken:
        return False
    taken.add(personal_id)
    return True


def grown_ups(insurance: InsuranceDatabase) -> Iterator[tuple[str, str]]:
    """Return personal id and key of grown-ups who pay contributions: each of them once, whoever asks."""
    if insurance.owner_url not in _grown_ups:
        _grown_ups[insurance.owner_url] = _found(insurance, _PERSONS, {})
    return _grown_ups[insurance.owner_url]


def next_adult(insurance: InsuranceDatabase) -> str:
    """Return the number of the next person who is of age and pays contributions now, each of them once."""
    if insurance.owner_url not in _adults:
        _adults[insurance.owner_url] = _found(insurance, _ADULTS, _of_age())
    return next(_adults[insurance.owner_url])[0]


def next_parent(insurance: InsuranceDatabase) -> tuple[str, str]:
    """Return the numbers of the next person as above and of a child under six, each of them once."""
    if insurance.owner_url not in _parents:
        young = {"child_born_after": datetime.now(UTC).date() - timedelta(days=365 * 6)}
        _parents[insurance.owner_url] = _found(insurance, _PARENTS, {**_of_age(), **young})
    found = _parents[insurance.owner_url]
    return next((parent, child) for parent, child in found if take(insurance, child))


def _of_age() -> dict[str, object]:
    today = datetime.now(UTC).date()
    return {
        "born_from": today - timedelta(days=365 * 60),
        "born_by": today - timedelta(days=365 * 20),
        "paid_until": today - timedelta(days=150),
    }


def _found(
    insurance: InsuranceDatabase, statement: TextClause, given: Mapping[str, object]
) -> Iterator[tuple[str, str]]:
    engine = create_engine(insurance.owner_url)
    with engine.connect() as connection:
        found = [(str(row[0]), str(row[1])) for row in connection.execute(statement, given)]
    engine.dispose()
    return filter(lambda person: take(insurance, person[0]), found)
