"""Reads all persons of the insurance database for statistics: batch by batch, from one snapshot, read-only.

Any SQLAlchemy dialect. Four statements for each batch of persons; memory does not grow with their number. On
PostgreSQL a run sees the database as it was at its start (REPEATABLE READ), however long it takes: let it
read a replica. Elsewhere the state of the source is read again at the end, and a change is a refusal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from connectors.base import SourceAnswerRefused, SourceUnavailable
from connectors.national_insurance.decoding import instant
from connectors.national_insurance.statements import synchronised_at
from connectors.national_insurance.statistics_statements import (
    Statement,
    benefits_between,
    cards_between,
    contributions_between,
    count_persons,
    persons_after,
)

BATCH_PERSONS: Final = 5_000
_STATEMENT_SECONDS: Final = 120
_BEFORE_ALL: Final = -1
_OPTIONS: Final = (
    f"-c statement_timeout={1000 * _STATEMENT_SECONDS} -c default_transaction_read_only=on"
    # Between two batches parts are written to disk: the snapshot has to outlive that.
    " -c idle_in_transaction_session_timeout=0 -c TimeZone=UTC"
)


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What of a card statistics know; None where the source does not say."""

    payer_group: str | None
    benefit_level: str | None
    primary_facility: str | None


@dataclass(frozen=True, slots=True)
class ContributionFacts:
    """A contribution of each month from first to last (their first days; last None: it goes on).

    unit: code of the unit that pays, None for who pays alone; industry: of that unit. Amounts in VND a month.
    """

    first: date
    last: date | None
    unit: str | None
    industry: str | None
    salary: int
    amount: int


@dataclass(frozen=True, slots=True)
class BenefitFacts:
    """A benefit from a day to a day (None: it goes on). amount: VND, a month where it is paid monthly."""

    kind: str | None
    first: date
    last: date | None
    amount: int


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """One person, as far as statistics ask. card: the newest one that insures on the day; None without."""

    person_key: int
    birth_date: date | None
    sex: str | None
    province: str | None
    card: CardFacts | None
    contributions: Sequence[ContributionFacts] = field(default=())
    benefits: Sequence[BenefitFacts] = field(default=())


class StatisticsRun:
    """One run over the source, on one connection. Methods raise SourceUnavailable, SourceAnswerRefused."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._statements = (
            cards_between(), contributions_between(), benefits_between(),
        )  # fmt: skip
        self._persons = persons_after()

    def as_of(self) -> datetime:
        """Return when the source was last synchronised."""
        with _source_answers():
            return instant(self._connection.execute(synchronised_at()).scalar())

    def count_persons(self) -> int:
        """Return how many persons the source has."""
        with _source_answers():
            return int(self._connection.execute(count_persons()).scalar_one())

    def batches(
        self, first_day: date, last_day: date, after: int | None = None, most: int = BATCH_PERSONS
    ) -> Iterator[Sequence[PersonFacts]]:
        """Yield persons in the order of their keys, in batches of at most so many.

        first_day, last_day: of the period; the last one is the day for which cards are looked at. after: the
        person_key that a run before came to.
        """
        done = _BEFORE_ALL if after is None else after
        while batch := self._batch(done, most, first_day, last_day):
            yield batch
            done = batch[-1].person_key

    def _batch(self, after: int, most: int, first_day: date, last_day: date) -> Sequence[PersonFacts]:
        with _source_answers():
            rows = self._connection.execute(self._persons, {"after": after, "most": most}).all()
            if not rows:
                return []
            keys = [row[0] for row in rows]
            if keys != sorted(set(keys)) or keys[0] <= after:
                raise SourceAnswerRefused("several_persons", "a person_key stands twice, or out of order")
            within: dict[str, Any] = {"after": after, "last": keys[-1]}
            period = {**within, "first_day": first_day, "last_day": last_day}
            of_cards, of_contributions, of_benefits = self._statements
            cards = self._grouped(of_cards, {**within, "on_day": last_day})
            contributions = self._grouped(of_contributions, period)
            benefits = self._grouped(of_benefits, period)
            return [
                PersonFacts(
                    key,
                    _day(birth_date),
                    sex,
                    province,
                    CardFacts(*cards[key][0]) if key in cards else None,
                    tuple(map(_contribution, contributions.get(key, ()))),
                    tuple(map(_benefit, benefits.get(key, ()))),
                )
                for key, birth_date, sex, province in rows
            ]

    def _grouped(
        self, statement: Statement, parameters: Mapping[str, Any]
    ) -> Mapping[int, Sequence[Sequence[Any]]]:
        """Return person_key → the rest of each row."""
        found: dict[int, list[Sequence[Any]]] = defaultdict(list)
        for key, *others in self._connection.execute(statement, parameters):
            found[key].append(others)
        return found


class InsuranceStatistics:
    """The insurance database, for statistics. url: SQLAlchemy URL of a role that may only read."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)

    @contextmanager
    def open_run(self) -> Iterator[StatisticsRun]:
        """Yield a run over one snapshot. Raises SourceUnavailable."""
        with _source_answers():
            connection = self._engine.connect()
        try:
            yield StatisticsRun(connection)
        finally:
            connection.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _engine(url: str) -> Engine:
    made = make_url(url)
    if made.get_backend_name() != "postgresql":
        return create_engine(made, hide_parameters=True)
    return create_engine(
        made.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        isolation_level="REPEATABLE READ",
        pool_size=1,
        connect_args={"connect_timeout": 5, "options": _OPTIONS, "application_name": "broker-statistics"},
    )


def _contribution(row: Sequence[Any]) -> ContributionFacts:
    first, last, unit, industry, salary, amount = row
    return ContributionFacts(
        _needed_day(first), _day(last), unit or None, industry, _amount(salary), _amount(amount)
    )


def _benefit(row: Sequence[Any]) -> BenefitFacts:
    kind, first, last, amount = row
    return BenefitFacts(kind, _needed_day(first), _day(last), _amount(amount))


def _day(value: object) -> date | None:
    return None if value is None else _needed_day(value)


def _needed_day(value: object) -> date:
    if type(value) is not date:
        raise ValueError
    return value


def _amount(value: object) -> int:
    """Return an amount; what the source does not say is nothing. Raises ValueError for what is none."""
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise ValueError
    return value


@contextmanager
def _source_answers() -> Iterator[None]:
    """Turn what drivers say into facts without values."""
    try:
        yield
    except DBAPIError as fault:
        raise SourceUnavailable(f"the source failed ({type(fault.orig).__name__})") from None
    except SQLAlchemyError as fault:
        raise SourceUnavailable(f"the source failed ({type(fault).__name__})") from None
    except (ValueError, TypeError):
        raise SourceAnswerRefused("wrong_type") from None
