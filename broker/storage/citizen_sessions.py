"""A citizen's own sessions in PostgreSQL: listed, and ended by the citizen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, func, select

from broker.oauth.session_list import SessionSummary, session_handle_of
from broker.storage.citizens import end_sessions
from broker.storage.faults import store_answers
from broker.storage.tables import citizen_sessions

_s = citizen_sessions.c


class PostgresSessions:
    """Implements `broker.oauth.session_list.SessionStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    def list_sessions(self, citizen_id: str, at: datetime) -> Sequence[SessionSummary]:
        """Return the sessions of a citizen that have not ended, the newest first. Raises StoreUnavailable."""
        statement = (
            select(_s.session_ref, _s.level, _s.authenticated_at, _s.last_seen_at, _s.method, _s.browser)
            .where(_s.citizen_id == UUID(citizen_id), _s.expires_at > at)
            .order_by(_s.authenticated_at.desc(), _s.session_ref)
        )
        with store_answers(), self._autocommit.connect() as connection:
            return [
                SessionSummary(
                    handle=session_handle_of(bytes(row.session_ref)),
                    level=row.level,
                    authenticated_at=row.authenticated_at,
                    last_seen_at=row.last_seen_at,
                    method=row.method,
                    browser=row.browser,
                )
                for row in connection.execute(statement)
            ]

    def end_one(self, citizen_id: str, handle: str) -> bool:
        """End one session of this citizen's own; return whether there was one. Raises StoreUnavailable."""
        statement = citizen_sessions.delete().where(
            _s.citizen_id == UUID(citizen_id),
            func.encode(func.sha256(_s.session_ref), "hex") == handle,
        )
        with store_answers(), self._autocommit.connect() as connection:
            return connection.execute(statement).rowcount > 0

    def end_all(self, citizen_id: str) -> int:
        """End all sessions of a citizen at one instant; return how many. Raises StoreUnavailable."""
        with store_answers(), self._engine.begin() as connection:
            return end_sessions(connection, UUID(citizen_id))
