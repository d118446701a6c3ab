"""Which consents have something due: found by indexes over those that live, however many have ended.

The conditions on the state are written out: PostgreSQL uses a partial index where it can see that its
condition holds, which it cannot for a parameter.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, select, text, union_all

from broker.consent.standing import REFRESH_TIME
from broker.storage.tables import consents

_UNDECIDED: Final = text("consents.state IN ('requested', 'pending_cosign')")
_LIVING: Final = text("consents.state IN ('active', 'paused', 'refresh_due')")
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
