"""Signing keys in PostgreSQL; their private halves arrive and leave encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, or_, select

from broker.oauth.stored_keys import StoredKey
from broker.storage.faults import store_answers
from broker.storage.tables import signing_keys


class PostgresSigningKeys:
    """Implements `broker.keys.SigningKeyStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find_keys(self) -> Sequence[StoredKey]:
        """Return every key kept, oldest first. Raises StoreUnavailable."""
        columns = [signing_keys.c[name] for name in StoredKey.__dataclass_fields__]
        statement = select(*columns).order_by(signing_keys.c.created_at, signing_keys.c.kid)
        with store_answers(), self._engine.connect() as connection:
            return [StoredKey(**row) for row in connection.execute(statement).mappings()]

    def replace_key(self, successor: StoredKey, signs_until: datetime, published_until: datetime) -> None:
        """Insert successor; in the same transaction end the keys of its purpose that would sign longer.

        Raises StoreUnavailable.
        """
        predecessors = (
            signing_keys.update()
            .where(signing_keys.c.purpose == successor.purpose, signing_keys.c.kid != successor.kid)
            .where(or_(signing_keys.c.signs_until.is_(None), signing_keys.c.signs_until > signs_until))
            .values(signs_until=signs_until, published_until=published_until)
        )
        values = {name: getattr(successor, name) for name in StoredKey.__dataclass_fields__}
        values["public_jwk"] = dict(successor.public_jwk)
        with store_answers(), self._engine.begin() as connection:
            connection.execute(predecessors)
            connection.execute(signing_keys.insert().values(**values))

    def delete_unpublished(self, now: datetime) -> int:
        """Delete keys whose publication has ended; return how many. Raises StoreUnavailable."""
        ended = signing_keys.c.published_until <= now
        with store_answers(), self._engine.begin() as connection:
            return connection.execute(signing_keys.delete().where(ended)).rowcount
