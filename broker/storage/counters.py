"""Usage counters whose windows have closed are swept away; they limit, they are no evidence."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from broker.storage.faults import store_answers
from broker.storage.tables import usage_counters

KEEP_COUNTERS: Final = timedelta(days=2)


def delete_closed_windows(engine: Engine, now: datetime) -> int:
    """Delete counters whose window began more than two days ago; return how many. Raises StoreUnavailable.

    No such window is longer than a day: those of consents' frequencies stand under the end of their period.
    """
    before = int((now - KEEP_COUNTERS).timestamp())
    statement = usage_counters.delete().where(usage_counters.c.window_start_seconds < before)
    with store_answers(), engine.begin() as connection:
        return connection.execute(statement).rowcount
