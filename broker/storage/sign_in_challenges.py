"""Sign-ins under way in PostgreSQL, good once on all workers together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from broker.oauth.sign_in_challenges import Challenge, ChallengeKind
from broker.storage.faults import store_answers
from broker.storage.tables import sign_in_challenges


class PostgresChallenges:
    """Implements `broker.oauth.sign_in_challenges.ChallengeStore`."""

    def __init__(self, engine: Engine) -> None:
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    def keep_challenge(self, challenge: Challenge) -> None:
        """Keep one. Raises StoreUnavailable."""
        values = {
            "challenge_ref": challenge.challenge_ref,
            "kind": challenge.kind,
            "expected": dict(challenge.expected),
            "expires_at": challenge.expires_at,
        }
        with store_answers(), self._autocommit.connect() as connection:
            connection.execute(sign_in_challenges.insert().values(**values))

    def take_challenge(
        self, challenge_ref: bytes, kind: ChallengeKind, at: datetime
    ) -> Mapping[str, Any] | None:
        """Return what was expected and delete it; None if not there, of another kind, or late.

        One DELETE: of two workers that ask at once, one gets the row. Raises StoreUnavailable.
        """
        statement = (
            sign_in_challenges.delete()
            .where(sign_in_challenges.c.challenge_ref == challenge_ref, sign_in_challenges.c.kind == kind)
            .returning(sign_in_challenges.c.expected, sign_in_challenges.c.expires_at)
        )
        with store_answers(), self._autocommit.connect() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None or row.expires_at <= at else dict(row.expected)
