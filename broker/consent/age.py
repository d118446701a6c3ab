"""Who must sign, by the age that the source's birth date gives; ages are never typed by anybody.

Under 7 the representative decides, from 7 to 17 both sign, from 18 the person alone (Law 91/2025 art. 24,
and the stricter Decree 13/2023 art. 20 for all sharing). On the 7th and 18th birthday, by Viet Nam's civil
time, a consent rests until it is confirmed: our choice, no law names it. An inexact birth date is read as the
youngest that it can mean.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Final, Literal, TypeAlias

from broker.consent.record import SignerRole, Signing
from policies.civil_time import VIET_NAM, civil_date
from policies.form_context import latest_birth

Precision: TypeAlias = Literal["day", "month", "year"]
BOTH_SIGN_FROM: Final = 7
ALONE_FROM: Final = 18


def signing_of(birth: date, precision: str, at: datetime) -> Signing:
    """Return who must sign at an instant, until when, and who from then on.

    birth, precision: of the source; a precision that is not known counts as "year". at: aware.
    """
    due_at = refresh_due_at(birth, precision, at)
    return Signing(
        required_roles=required_roles(birth, precision, civil_date(at)),
        refresh_due_at=due_at,
        refresh_roles=() if due_at is None else required_roles(birth, precision, civil_date(due_at)),
    )


def required_roles(birth: date, precision: str, on_date: date) -> tuple[SignerRole, ...]:
    """Return whose signatures a consent needs on a civil day of Viet Nam."""
    born = youngest_birth(birth, precision)
    if on_date < birthday(born, BOTH_SIGN_FROM):
        return ("representative",)
    if on_date < birthday(born, ALONE_FROM):
        return ("data_subject", "representative")
    return ("data_subject",)


def refresh_due_at(birth: date, precision: str, after: datetime) -> datetime | None:
    """Return the start of the next birthday that changes who signs, as a UTC instant later than `after`."""
    born = youngest_birth(birth, precision)
    for age in (BOTH_SIGN_FROM, ALONE_FROM):
        due_at = datetime.combine(birthday(born, age), time.min, VIET_NAM).astimezone(UTC)
        if due_at > after:
            return due_at
    return None


def youngest_birth(birth: date, precision: str) -> date:
    """Return the last day that an inexact birth date can mean."""
    return latest_birth(birth, precision if precision in ("day", "month") else "year")


def birthday(born: date, age: int) -> date:
    """Return the civil day on which somebody reaches an age: 1 March where there is no 29 February."""
    year = born.year + age
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, 3, 1)
