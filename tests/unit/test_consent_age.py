"""CON-11 and CON-12: ages from the source's birth date, read as the youngest that it can mean."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.consent.age import birthday, refresh_due_at, required_roles, signing_of, youngest_birth
from broker.consent.record import SignerRole, Signing
from policies.civil_time import VIET_NAM

PARENT: tuple[SignerRole, ...] = ("representative",)
BOTH: tuple[SignerRole, ...] = ("data_subject", "representative")
ALONE: tuple[SignerRole, ...] = ("data_subject",)


def midnight(day: date) -> datetime:
    """Return when a civil day begins in Viet Nam."""
    return datetime(day.year, day.month, day.day, tzinfo=VIET_NAM).astimezone(UTC)


@pytest.mark.parametrize(
    ("birth", "precision", "on_date", "roles"),
    [
        (date(2019, 11, 23), "day", date(2026, 11, 22), PARENT),
        (date(2019, 11, 22), "day", date(2026, 11, 22), BOTH),
        (date(2008, 11, 23), "day", date(2026, 11, 22), BOTH),
        (date(2008, 11, 22), "day", date(2026, 11, 22), ALONE),
        (date(1952, 1, 1), "year", date(2026, 11, 22), ALONE),
        # Born in 2008, nobody knows when: a child until the end of 2026.
        (date(2008, 1, 1), "year", date(2026, 12, 30), BOTH),
        (date(2008, 1, 1), "year", date(2026, 12, 31), ALONE),
        (date(2019, 1, 1), "year", date(2026, 12, 30), PARENT),
        (date(2019, 1, 1), "year", date(2026, 12, 31), BOTH),
        (date(2008, 11, 1), "month", date(2026, 11, 29), BOTH),
        (date(2008, 11, 1), "month", date(2026, 11, 30), ALONE),
        (date(2008, 2, 1), "month", date(2026, 2, 28), BOTH),
        (date(2008, 2, 1), "month", date(2026, 3, 1), ALONE),
        # Born on 29 February: of age on 1 March, in leap years on the day itself.
        (date(2008, 2, 29), "day", date(2026, 2, 28), BOTH),
        (date(2008, 2, 29), "day", date(2026, 3, 1), ALONE),
        (date(2020, 2, 29), "day", date(2027, 2, 28), PARENT),
        (date(2020, 2, 29), "day", date(2027, 3, 1), BOTH),
        # What the source should not say is read as the youngest too.
        (date(2008, 1, 1), "decade", date(2026, 12, 30), BOTH),
        (date(2008, 1, 1), "", date(2026, 12, 31), ALONE),
        (date(2027, 1, 1), "day", date(2026, 11, 22), PARENT),
    ],
)
def test_con_12_who_signs_follows_from_the_birth_date(
    birth: date, precision: str, on_date: date, roles: tuple[SignerRole, ...]
) -> None:
    assert required_roles(birth, precision, on_date) == roles


def test_con_12_a_birthday_of_29_february_is_kept_in_leap_years() -> None:
    assert birthday(date(2008, 2, 29), 20) == date(2028, 2, 29)
    assert birthday(date(2008, 2, 29), 18) == date(2026, 3, 1)
    assert birthday(date(2008, 2, 28), 18) == date(2026, 2, 28)


@pytest.mark.parametrize(
    ("birth", "precision", "after", "due_at"),
    [
        (date(2019, 11, 23), "day", midnight(date(2026, 11, 22)), midnight(date(2026, 11, 23))),
        # The day begins at midnight in Viet Nam, which is 17:00 of the day before in UTC.
        (
            date(2019, 11, 23),
            "day",
            datetime(2026, 11, 22, 16, 59, 59, tzinfo=UTC),
            datetime(2026, 11, 22, 17, tzinfo=UTC),
        ),
        (
            date(2019, 11, 23),
            "day",
            datetime(2026, 11, 22, 17, tzinfo=UTC),
            datetime(2037, 11, 22, 17, tzinfo=UTC),
        ),
        (date(2008, 1, 1), "year", midnight(date(2026, 6, 1)), midnight(date(2026, 12, 31))),
        (date(2008, 2, 29), "day", midnight(date(2026, 2, 1)), midnight(date(2026, 3, 1))),
        (date(1990, 5, 5), "day", midnight(date(2026, 6, 1)), None),
    ],
)
def test_con_11_a_consent_is_due_on_the_next_birthday_that_changes_who_signs(
    birth: date, precision: str, after: datetime, due_at: datetime | None
) -> None:
    assert refresh_due_at(birth, precision, after) == due_at


def test_con_11_who_signs_now_until_when_and_who_then() -> None:
    at = midnight(date(2026, 11, 22))
    assert signing_of(date(2020, 3, 1), "day", at) == Signing(
        required_roles=PARENT, refresh_due_at=midnight(date(2027, 3, 1)), refresh_roles=BOTH
    )
    assert signing_of(date(2010, 3, 1), "day", at) == Signing(
        required_roles=BOTH, refresh_due_at=midnight(date(2028, 3, 1)), refresh_roles=ALONE
    )
    assert signing_of(date(1990, 3, 1), "day", at) == Signing()


births = st.dates(date(1900, 1, 1), date(2030, 12, 31))
precisions = st.sampled_from(["day", "month", "year"])


@given(births, precisions, st.integers(0, 110 * 365 * 24))
def test_who_signs_never_changes_between_now_and_the_day_on_which_it_falls_due(
    birth: date, precision: str, hours: int
) -> None:
    at = midnight(date(1950, 1, 1)) + timedelta(hours=hours)
    signing = signing_of(birth, precision, at)
    until = signing.refresh_due_at
    assert (until is None) == (signing.required_roles == ALONE)
    if until is not None:
        assert until > at
        assert signing_of(birth, precision, until - timedelta(microseconds=1)) == signing
        assert signing_of(birth, precision, until).required_roles == signing.refresh_roles
        assert signing.refresh_roles != signing.required_roles


@given(births, precisions, st.dates(date(1950, 1, 1), date(2060, 1, 1)))
def test_an_inexact_birth_date_never_makes_anybody_older(birth: date, precision: str, day: date) -> None:
    order = [PARENT, BOTH, ALONE]
    inexact = order.index(required_roles(birth, precision, day))
    assert inexact <= order.index(required_roles(birth, "day", day))
    assert youngest_birth(birth, precision) >= birth
