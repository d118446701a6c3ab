"""What is read for a consented release: no column and no row that what was given does not need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pytest

from broker.actions.consented_fields import read_record
from broker.consent.record import DataRange
from connectors.base import LookupKey, Since
from policies.model import Decision, FieldRelease, Form, Record, RowScope

TODAY = date(2026, 11, 22)
VALUE = Form("value")
RECENT = RowScope("contributions", "recent", "contribution_from", 12)
RELEASED = (
    FieldRelease("si_status", VALUE),
    FieldRelease("salary_base", VALUE, "contributions"),
    FieldRelease("benefit_amount", VALUE, "benefits"),
)


class AskedSource:
    """A source that remembers what it was asked, and knows nobody."""

    def fetch(
        self, key: LookupKey, columns: Sequence[str], deadline_seconds: float, since: Since = ()
    ) -> Record | None:
        self.columns, self.since = tuple(columns), dict(since)
        assert len(self.since) == len(since), "each field once"
        assert (key.value, deadline_seconds) == ("079190000001", 1.0)
        return None

    def is_available(self) -> bool:
        return True


def asked(days: DataRange | None, *scopes: RowScope) -> AskedSource:
    source = AskedSource()
    decision = Decision(True, "permitted", (), released=RELEASED, row_scopes=scopes)
    assert read_record(source, LookupKey("personal_id", "079190000001"), decision, days, TODAY, 1.0) is None
    return source


def test_without_a_range_only_the_agreements_months_bound_the_rows() -> None:
    assert asked(None).since == {}
    assert asked(None, RECENT).since == {"contribution_from": date(2025, 11, 1)}


@pytest.mark.parametrize("last_day", [None, date(2026, 9, 30)])
def test_rows_from_before_the_first_day_that_was_given_are_not_read(last_day: date | None) -> None:
    first_day = date(2026, 3, 1)
    source = asked(DataRange(first_day, last_day))
    assert source.since == {"contribution_from": first_day, "benefit_from": first_day}
    assert {"contribution_from", "contribution_to", "benefit_from", "benefit_to"} <= set(source.columns)


@pytest.mark.parametrize(
    ("first_day", "since"),
    [(date(2026, 3, 1), date(2026, 3, 1)), (date(2020, 1, 1), date(2025, 11, 1))],
    ids=["the range is narrower", "the agreement is narrower"],
)
def test_of_two_bounds_the_later_one_counts(first_day: date, since: date) -> None:
    assert asked(DataRange(first_day, None), RECENT).since["contribution_from"] == since


def test_a_range_without_a_first_day_bounds_nothing() -> None:
    assert asked(DataRange(None, date(2026, 9, 30))).since == {}
