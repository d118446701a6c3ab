"""Which consents have something due: found by indexes over those that live, however many have ended.

The conditions on the state are written out: PostgreSQL uses a partial index where it can see that its
condition holds, which it cannot for a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Select, func, select, text, union_all

from broker.consent.standing import REFRESH_TIME
from broker.storage.faults import store_answers
from broker.storage.tables import agreements, consents, usage_counters

_UNDECIDED: Final = text("consents.state IN ('requested', 'pending_cosign')")
_LIVING: Final = text("consents.state IN ('active', 'paused', 'refresh_due')")
_NOT_ENDED: Final = text(
    "consents.state IN ('requested', 'pending_cosign', 'active', 'paused', 'refresh_due')"
)
_ACTIVE: Final = text("consents.state = 'active'")
_UNCONFIRMED: Final = text("consents.state = 'refresh_due'")


def due_ids(at: datetime, limit: int) -> Select[Any]:
    """Return the statement for the ids of consents that time alone has changed, each kind's oldest first.

    A consent may be due in two ways, and is then named twice.
    """
    kinds = (
        # A request may end before the others of its kind: on a birthday that changes who must sign.
        (_UNDECIDED, consents.c.request_expires_at, at),
        (_LIVING, consents.c.valid_to_at, at),
        (_ACTIVE, consents.c.refresh_due_at, at),
        (_UNCONFIRMED, consents.c.state_since_at, at - REFRESH_TIME),
    )
    found = union_all(*(_oldest(condition, column, until, limit) for condition, column, until in kinds))
    return select(found.subquery().c.consent_id)


def _oldest(condition: Any, column: ColumnElement[datetime], until: datetime, limit: int) -> Select[Any]:
    due = select(consents.c.consent_id).where(condition, column <= until).order_by(column).limit(limit)
    return select(due.subquery().c.consent_id)


class PostgresDueConsents:
    """Finds consents that something else than their own time has ended. All raise StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find_of_ended_agreements(self, on_date: date, limit: int) -> Sequence[str]:
        """Return ids of consents and requests that live on under an agreement whose last day is past.

        A suspended agreement, or one that waits for its review, may come back: it ends nothing.
        """
        ended = agreements.c.valid_to < on_date
        statement = (
            select(consents.c.consent_id)
            .join(agreements, agreements.c.agreement_id == consents.c.agreement_id)
            .where(ended, _NOT_ENDED)
            .limit(limit)
        )
        with store_answers(), self._engine.connect() as connection:
            return [str(one) for one in connection.execute(statement).scalars()]

    def find_full(self, at: datetime, limit: int) -> Sequence[tuple[str, bytes, int]]:
        """Return given consents that may have used up all their uses: id, key of a counter, its count.

        A counter of a consent's whole life stands under the consent's end (`broker.actions.consent_facts`),
        so consents are found by that second, and whose the counter is its key says.
        """
        counter = usage_counters.c
        ends_at = func.to_timestamp(counter.window_start_seconds)
        statement = (
            select(consents.c.consent_id, counter.counter_ref, counter.used_count)
            .where(counter.window_start_seconds > int(at.timestamp()))
            .where(counter.used_count >= counter.limit_count)
            .where(consents.c.valid_to_at >= ends_at)
            .where(consents.c.valid_to_at < func.to_timestamp(counter.window_start_seconds + 1))
            .where(_LIVING, consents.c.state != "refresh_due")
            .limit(limit)
        )
        with store_answers(), self._engine.connect() as connection:
            return [(str(row[0]), bytes(row[1]), row[2]) for row in connection.execute(statement)]
