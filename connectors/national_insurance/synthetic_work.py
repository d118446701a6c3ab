"""Work of the synthetic population: contributions, unemployment, benefits, bank accounts, employers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connectors.national_insurance.synthetic_dice import (
    Cell,
    Dice,
    Flags,
    Ints,
    constant,
    days,
    digits,
    month_start,
    texts,
    unless,
    weighted,
)
from connectors.national_insurance.synthetic_numbers import enterprise_numbers, money, unit_codes
from connectors.national_insurance.synthetic_people import Crowd
from connectors.national_insurance.synthetic_places import URBAN, address, draw_provinces, old_code
from connectors.national_insurance.synthetic_subjects import SUBJECT, SUBJECTS

PERSONS_PER_EMPLOYER = 90
COMPULSORY_RATE, VOLUNTARY_RATE = 32, 22
"""Percent of the salary base, employer and worker together."""
_MONTHS_PER_LINE = 6
_REGIONAL_MINIMUM = 4_960_000
_CAP = 46_800_000
_INSURED = np.array([subject.insured for subject in SUBJECTS])
_IS_EMPLOYED = np.array([subject.payer_group == "employer" for subject in SUBJECTS])
_WAGES = money(median=7_400_000, sigma=0.5, lowest=1_500_000, highest=_CAP)
_PENSIONS = money(median=5_200_000, sigma=0.4, lowest=2_000_000, highest=30_000_000)
_SICK_PAY = money(median=900_000, sigma=0.9, lowest=50_000, highest=20_000_000)
_YEARS_BACK_PER_MILLE: Ints = np.array([int(1000 / 1.06**years) for years in range(80)])
_PLANS = texts(["TM", "DC", "TT", "AD", "TS", "OF", "KL"])
_TM, _DC = 0, 1
_TS, _OF, _KL = 4, 5, 6
_PLAN_TABLE = weighted([0, 93, 1.5, 1.5, 1.5, 1.2, 1.3])
_KINDS = texts(["compulsory", "voluntary"])
_STATES = texts(["contributing", "paused", "pension", "unemployment"])
_BENEFITS = texts(["sickness", "maternity", "work_accident"])
_BENEFIT_TABLE = weighted([78, 18, 4])
_FIRMS = texts(
    [f"Công ty TNHH {a} {b} " for a in ("Minh", "An", "Đại", "Tân") for b in ("Phát", "Khang", "Việt")]
)
_INDUSTRIES = texts(
    ["10101", "14100", "41000", "46900", "56101", "62010", "85310", "84110", "86101", "01110"]
)


@dataclass(frozen=True, slots=True)
class Workers:
    """Those who pay or paid contributions: their position in the crowd, and their working life.

    start, end: first and last month contributed. wage: monthly, in VND, at the end. employer: number of the
    current one, before: number of the one earlier. active: paying in the month of the population's day.
    """

    holder: Ints
    employed: Flags
    start: Ints
    end: Ints
    wage: Ints
    employer: Ints
    before: Ints
    active: Flags


def draw_workers(dice: Dice, crowd: Crowd, this_month: int, employers: int) -> Workers:
    """Draw about 21 % of all persons: employees, voluntary members, and those now unemployed."""
    chosen = dice.steps(len(crowd)) < (_INSURED[crowd.subject] * 65536).astype(np.int64)
    jobless = crowd.subject == SUBJECT["TN"]
    holder = np.flatnonzero((chosen & (crowd.age >= 18) & (crowd.age <= 62)) | jobless)
    count = len(holder)
    employed = _IS_EMPLOYED[crowd.subject[holder]] | jobless[holder] | dice.chance(0.3, count)
    longest = (crowd.age[holder] - 17) * 12
    months = np.maximum(6, longest * (19_000 + dice.steps(count).astype(np.int64) * 46_000 // 65536) >> 16)
    active = ~jobless[holder] & ~dice.chance(0.06, count)
    end = this_month - np.where(active, dice.below(2, count), 2 + dice.below(10, count))
    wage = _WAGES[dice.steps(count)] * np.where(crowd.woman[holder], 87, 112) // 100
    wage = wage * np.where(URBAN[crowd.place[holder]], 118, 94) // 100
    wage = np.where(dice.chance(0.11, count), _REGIONAL_MINIMUM, np.minimum(wage, _CAP) // 1000 * 1000)
    return Workers(
        holder,
        employed,
        end - months + 1,
        end,
        wage,
        _draw_employers(dice, count, employers),
        _draw_employers(dice, count, employers),
        active,
    )


def _draw_employers(dice: Dice, count: int, employers: int) -> Ints:
    """Draw employers of very unequal size."""
    share = dice.below(1 << 20, count)
    return np.asarray((share * share >> 20) * employers >> 20)


def contribution_cells(dice: Dice, crowd: Crowd, workers: Workers) -> list[Cell]:
    """Return the columns of `contribution`: one line per half year, about 25 per worker."""
    lines = -(-(workers.end - workers.start + 1) // _MONTHS_PER_LINE)
    row = np.repeat(np.arange(len(lines)), lines)
    number = np.arange(len(row)) - np.repeat(np.cumsum(lines) - lines, lines)
    count = len(row)
    begins = workers.start[row] + number * _MONTHS_PER_LINE
    ends = np.minimum(begins + _MONTHS_PER_LINE - 1, workers.end[row])
    plan = np.where(number == 0, _TM, dice.pick(_PLAN_TABLE, count))
    plan = np.where((plan == _TS) & ~crowd.woman[workers.holder][row], _DC, plan)
    changed_at = dice.below(20, len(lines))[row]
    unit = unit_codes(np.where(number < changed_at, workers.before[row], workers.employer[row]))
    base = workers.wage[row] * _YEARS_BACK_PER_MILLE[(workers.end[row] - ends) // 12] // 1_000_000 * 1000
    base = np.maximum(base, 1_000_000)
    employed = workers.employed[row]
    rate = np.where(employed, COMPULSORY_RATE, VOLUNTARY_RATE)
    pays = ~np.isin(plan, (_TS, _OF, _KL))
    return [
        [digits(crowd.keys[workers.holder][row], 10)],
        [digits(number + 1, 3)],
        [days(month_start(begins))],
        [days(month_start(ends))],
        [_PLANS[plan]],
        unless(~employed, unit),
        [digits(base, 8)],
        [digits(rate, 2)],
        [digits(base * rate // 100 * pays, 8)],
    ]


def social_insurance_cells(crowd: Crowd, workers: Workers, this_month: int) -> list[Cell]:
    """Return the columns of `social_insurance`: the workers, then those who draw a pension."""
    pensioners = np.flatnonzero(crowd.subject == SUBJECT["HT"])
    holder = np.concatenate([workers.holder, pensioners])
    retired = np.arange(len(holder)) >= len(workers.holder)
    jobless = crowd.subject[holder] == SUBJECT["TN"]
    rest = np.zeros(len(pensioners), dtype=np.int64)
    employed = np.concatenate([workers.employed, rest > 0])
    active = np.concatenate([workers.active, rest > 0])
    employer = np.concatenate([workers.employer, rest])
    months = np.concatenate([workers.end - workers.start + 1, rest])
    started = np.concatenate([workers.start, this_month - crowd.age[pensioners] * 12 + 264])
    status = np.where(retired, 2, np.where(jobless, 3, np.where(active, 0, 1)))
    office: Cell = [*old_code(crowd.place[holder]), digits(100 + holder % 30, 3)]
    return [
        [digits(crowd.keys[holder], 10)],
        [_KINDS[np.where(employed | retired, 0, 1)]],
        office,
        unless(~(employed & active), unit_codes(employer)),
        [_STATES[status]],
        [days(month_start(started))],
        unless(retired | ~employed, [digits(np.minimum(months, 144) % 144, 3)]),
    ]


def unemployment_cells(dice: Dice, crowd: Crowd, workers: Workers) -> list[Cell]:
    """Return the columns of `unemployment_period`: those jobless now, and four workers in a hundred once."""
    now = crowd.subject[workers.holder] == SUBJECT["TN"]
    once = np.flatnonzero(now | (dice.chance(0.04, len(now)) & (workers.end - workers.start > 48)))
    is_now, holder, count = now[once], workers.holder[once], len(once)
    begins = np.where(is_now, workers.end[once] + 1, workers.end[once] - 24 - dice.below(20, count))
    ends = begins + 2 + dice.below(9, count)
    return [
        [digits(crowd.keys[holder], 10)],
        [digits(np.ones(count, dtype=np.int64), 1)],
        [days(month_start(begins))],
        [days(month_start(ends))],
        [digits(workers.wage[once] * 60 // 100, 8)],
        [np.where(is_now, np.bytes_(b"receiving"), np.bytes_(b"ended"))],
    ]


def benefit_cells(dice: Dice, crowd: Crowd, workers: Workers, today: int) -> list[Cell]:
    """Return the columns of `benefit`: pensions that run on, and short benefits of the last year."""
    pensioners = np.flatnonzero(crowd.subject == SUBJECT["HT"])
    short = workers.holder[dice.chance(0.3, len(workers.holder))]
    kind = dice.pick(_BENEFIT_TABLE, len(short))
    kind = np.where((kind == 1) & ~crowd.woman[short], 0, kind)
    begins = today - dice.below(360, len(short))
    pensioned = crowd.born[pensioners] + 55 * 1461 // 4 + dice.below(60, len(pensioners))
    holder = np.concatenate([pensioners, short])
    count, runs_on = len(holder), np.arange(len(holder)) < len(pensioners)
    kind_text = np.concatenate([constant("pension", len(pensioners)), _BENEFITS[kind]])
    end = np.concatenate([pensioned, begins + 2 + dice.below(12, len(short)) + 170 * (kind == 1)])
    amount = np.where(runs_on, _PENSIONS[dice.steps(count)], _SICK_PAY[dice.steps(count)])
    return [
        [digits(crowd.keys[holder], 10)],
        [digits(np.ones(count, dtype=np.int64), 1)],
        [kind_text],
        [days(np.minimum(np.concatenate([pensioned, begins]), today))],
        unless(runs_on, [days(end)]),
        [digits(amount, 8)],
    ]


def bank_cells(dice: Dice, crowd: Crowd, workers: Workers) -> list[Cell]:
    """Return the columns of `bank_account`: most pensioners, and some workers."""
    pensioners = np.flatnonzero((crowd.subject == SUBJECT["HT"]) & dice.chance(0.85, len(crowd)))
    holder = np.concatenate([pensioners, workers.holder[dice.chance(0.15, len(workers.holder))]])
    return [
        [digits(crowd.keys[holder], 10)],
        [constant("9704", len(holder)), digits(dice.below(10**9, len(holder)), 9)],
    ]


def employer_cells(dice: Dice, first: int, count: int) -> list[Cell]:
    """Return the columns of `employer` for the employers numbered first, first + 1 ..."""
    number = np.arange(first, first + count, dtype=np.int64)
    return [
        unit_codes(number),
        [_FIRMS[dice.below(len(_FIRMS), count)], digits(number, 7)],
        enterprise_numbers(number),
        address(dice, draw_provinces(dice, count)),
        [_INDUSTRIES[dice.below(len(_INDUSTRIES), count)]],
    ]
