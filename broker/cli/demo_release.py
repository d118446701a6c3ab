"""The demo's statistical release, and the worker that counts it: real ones, of synthetic persons."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date
from time import perf_counter
from typing import Final

from broker.cli.session import Session
from broker.statistics.periods import Quarter
from connectors.national_insurance.statistics_rows import InsuranceStatistics

RELEASES: Final = "releases"
"""The directory of releases, below the demo's own."""
_MONTHS: Final = 3


def worker_command() -> Sequence[str]:
    """Return how the worker is called, by a process that looks for leftovers too."""
    return [sys.executable, "-m", "broker.cli", "worker", "--json"]


def last_quarter(day: date) -> Quarter:
    """Return the quarter that ended last before a day."""
    quarters = 4 * day.year + (day.month - 1) // _MONTHS - 1
    return Quarter(quarters // 4, quarters % 4 + 1)


def freeze_release(session: Session, say: Callable[..., None]) -> None:
    """Freeze a release of the last quarter that the source knows whole, unless an earlier run has done so.

    One that is there stays, even if the population was made anew since: that is what frozen means. Raises
    CommandRefused, BrokerError.
    """
    from broker.cli.statistics_release import looking
    from broker.cli.statistics_release_make import made_release

    started = perf_counter()
    # A population may have been made in an earlier quarter than this one.
    with closing(InsuranceStatistics(session.settings.source_url)) as source, source.open_run() as run:
        quarter = last_quarter(run.as_of().date())
    for one in looking(session).list_all(quarter.code):
        if one.state == "frozen":
            say("found", release=one.release)
            return
    made = made_release(session, session.acts, quarter, supersede=False, is_shown=False)
    say("frozen", release=made.release, seconds=perf_counter() - started)
