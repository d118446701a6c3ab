"""Signing keys in PostgreSQL; their private halves arrive and leave encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, or_, select

from broker.evidence.key_entry import KeyEvent
from broker.oauth.stored_keys import StoredKey
from broker.storage.acts import Acts, acting_in
from broker.storage.faults import store_answers
from broker.storage.tables import signing_keys


class PostgresSigningKeys:
    """Implements `broker.keys.SigningKeyStore`. acts: of whoever makes and ends keys; None is for reading."""

    def __init__(self, engine: Engine, acts: Acts | None = None) -> None:
        self._engine = engine
        self._acts = acts

    def find_keys(self) -> Sequence[StoredKey]:
        """Return every key kept, oldest first. Raises StoreUnavailable."""
        columns = [signing_keys.c[name] for name in StoredKey.__dataclass_fields__]
        statement = select(*columns).order_by(signing_keys.c.created_at, signing_keys.c.kid)
        with store_answers(), self._engine.connect() as connection:
            return [StoredKey(**row) for row in connection.execute(statement).mappings()]

    def replace_key(self, successor: StoredKey, signs_until: datetime, published_until: datetime) -> None:
        """Insert successor; in the same transaction end the keys of its purpose that would sign longer.

        Each of them, and the successor, leaves its entries of evidence there. Raises StoreUnavailable.
        """
        acts = acting_in(self._acts)
        predecessors = (
            signing_keys.update()
            .where(signing_keys.c.purpose == successor.purpose, signing_keys.c.kid != successor.kid)
            .where(or_(signing_keys.c.signs_until.is_(None), signing_keys.c.signs_until > signs_until))
            .values(signs_until=signs_until, published_until=published_until)
            .returning(signing_keys.c.kid)
        )
        values = {name: getattr(successor, name) for name in StoredKey.__dataclass_fields__}
        values["public_jwk"] = dict(successor.public_jwk)
        with store_answers(), self._engine.begin() as connection:
            ended = sorted(connection.execute(predecessors).scalars())
            connection.execute(signing_keys.insert().values(**values))
            acts.key_event(connection, successor.purpose, successor.kid, "created", successor.created_at)
            for kid in ended:
                # Whoever rotates a key that leaked lets it be published no longer than it signs.
                how: KeyEvent = "revoked" if published_until == signs_until else "retired"
                acts.key_event(connection, successor.purpose, kid, how, signs_until)
            begins_at = max(signs_until, successor.created_at) if ended else successor.created_at
            acts.key_event(connection, successor.purpose, successor.kid, "activated", begins_at)

    def delete_unpublished(self, now: datetime) -> int:
        """Delete keys whose publication has ended; return how many. Raises StoreUnavailable.

        Their private halves are gone with them, and each leaves an entry.
        """
        acts = acting_in(self._acts)
        ended = signing_keys.delete().where(signing_keys.c.published_until <= now)
        with store_answers(), self._engine.begin() as connection:
            gone = connection.execute(ended.returning(signing_keys.c.purpose, signing_keys.c.kid)).all()
            for one in sorted(gone, key=lambda row: row.kid):
                acts.key_event(connection, one.purpose, one.kid, "destroyed", now)
        return len(gone)
