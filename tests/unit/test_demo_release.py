"""Which quarter the demo's release is of: one that is over at the source."""

from __future__ import annotations

from datetime import date

import pytest

from broker.cli.demo_release import last_quarter


@pytest.mark.parametrize(
    ("day", "code"),
    [
        (date(2026, 11, 22), "2026-q3"),
        (date(2026, 10, 1), "2026-q3"),
        (date(2026, 9, 30), "2026-q2"),
        (date(2027, 1, 1), "2026-q4"),
        (date(2026, 12, 31), "2026-q3"),
        (date(2026, 3, 31), "2025-q4"),
    ],
)
def test_it_is_the_last_one_that_ended_before_the_day(day: date, code: str) -> None:
    quarter = last_quarter(day)
    assert quarter.code == code
    assert quarter.last_day < day
