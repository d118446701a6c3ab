"""From what a connector reads of persons to rows of a release (`broker.engines.mart`): numbers alone.

A person has a row for each month and sector in which a contribution is of that month; without any, one of
sector `_Z`. Benefits of a month stand in the row with the largest salary. Who was born after the period is
not in it yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.engines.mart import PERSON, RECORD_KEY, dimension_column, measure_column
from broker.statistics.coding import (
    age_code,
    benefit_code,
    facility_code,
    is_contributed_in,
    is_paid_in,
    payer_code,
    province_code,
    sector_code,
    sex_code,
)
from broker.statistics.collapsed import collapsed
from broker.statistics.dimension_making import NONE
from broker.statistics.periods import Quarter
from broker.statistics.registry import Registry
from connectors.national_insurance.statistics_rows import PersonFacts

Columns = Mapping[str, NDArray[np.int64] | NDArray[np.int16]]
"""Column → values, all of the same length, in the order of the mart's columns."""

DIMENSIONS: Final = ("period", "province", "sex", "age", "sector", "payer", "benefit", "facility")
MEASURES: Final = ("contributions", "salary", "benefits", "months")
COLUMNS: Final = (
    PERSON,
    RECORD_KEY,
    *map(dimension_column, DIMENSIONS),
    *map(measure_column, MEASURES),
)
_KEYS: Final = 2


class RowCoder:
    """Makes the rows of one release. secret_release: 32 bytes, under which persons are collapsed."""

    def __init__(self, quarter: Quarter, registry: Registry, secret_release: bytes) -> None:
        self._quarter = quarter
        self._secret = secret_release
        self._numbers = {
            name: {code: number for number, code in enumerate(registry.dimension(name).leaves)}
            for name in DIMENSIONS
        }

    def coded(self, persons: Sequence[PersonFacts]) -> tuple[Columns, int]:
        """Return the rows of persons, and how many persons they are of."""
        rows: list[tuple[int, ...]] = []
        counted = 0
        for one in persons:
            if one.birth_date is None or one.birth_date <= self._quarter.last_day:
                rows += self._rows(one)
                counted += 1
        return _columns(rows), counted

    def _rows(self, one: PersonFacts) -> list[tuple[int, ...]]:
        keys = collapsed(self._secret, str(one.person_key))
        card = one.card
        of_card = (
            (NONE, NONE, NONE)
            if card is None
            else (
                payer_code(card.payer_group),
                benefit_code(card.benefit_level),
                facility_code(card.primary_facility),
            )
        )
        of_person = (
            province_code(one.province), sex_code(one.sex), age_code(one.birth_date, self._quarter.last_day),
        )  # fmt: skip
        before = self._coded(("province", "sex", "age"), of_person)
        after = self._coded(("payer", "benefit", "facility"), of_card)
        return [
            (*keys, number, *before, sector, *after, *amounts)
            for number, month in enumerate(self._quarter.months)
            for sector, amounts in sorted(self._of_month(one, month).items())
        ]

    def _coded(self, names: Sequence[str], codes: Sequence[str]) -> tuple[int, ...]:
        return tuple(self._numbers[name][code] for name, code in zip(names, codes, strict=True))

    def _of_month(self, one: PersonFacts, month: date) -> dict[int, list[int]]:
        """Return the number of each sector in which a person has a row, and the row's measures."""
        sectors = self._numbers["sector"]
        found: dict[int, list[int]] = {}
        for line in one.contributions:
            if is_contributed_in(month, line.first, line.last):
                amounts = found.setdefault(sectors[sector_code(line.unit, line.industry)], [0, 0, 0, 1])
                amounts[0] += line.amount
                amounts[1] += line.salary
        paid = sum(
            line.amount for line in one.benefits if is_paid_in(month, line.kind, line.first, line.last)
        )
        if not found:
            return {sectors[NONE]: [0, 0, paid, 0]}
        found[max(found, key=lambda sector: (found[sector][1], -sector))][2] = paid
        return found


def _columns(rows: Sequence[tuple[int, ...]]) -> Columns:
    """Return rows as columns: dimensions of two bytes, all else of eight."""
    whole = np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))
    small = range(_KEYS, _KEYS + len(DIMENSIONS))
    return {
        name: whole[:, at].astype(np.int16) if at in small else whole[:, at].copy()
        for at, name in enumerate(COLUMNS)
    }
