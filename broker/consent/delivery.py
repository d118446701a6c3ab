"""When a notice that could not be delivered is tried again, and when no more. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

TRIES_MAX: Final = 34
FIRST_WAIT: Final = timedelta(seconds=10)
LONGEST_WAIT: Final = timedelta(hours=6)


def next_try_at(try_count: int, at: datetime, share: float) -> datetime | None:
    """Return when to try again after try_count tries (from 1), or None when it is dead.

    share: at random from 0 to 1, of a wait that doubles from 10 s up to six hours: recipients that come back
    are not met by everybody at once. 34 tries take three days in the mean. Raises ValueError for a share
    that is none.
    """
    if not 0 <= share <= 1:
        raise ValueError("a share lies from 0 to 1")
    if try_count >= TRIES_MAX:
        return None
    # Beyond the twelfth doubling nothing grows; the number stays small whatever the count.
    longest: timedelta = min(FIRST_WAIT * 2 ** min(max(try_count - 1, 0), 12), LONGEST_WAIT)
    # At least a second: a try that fails at once must not turn into a loop.
    return at + max(longest * share, timedelta(seconds=1))
