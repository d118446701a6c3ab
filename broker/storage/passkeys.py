"""Citizens' passkeys in PostgreSQL: public keys and counts, nothing that could sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert

from broker.oauth.citizens import SessionOpening
from broker.oauth.passkeys import Passkey
from broker.storage.citizens import begin_session
from broker.storage.faults import store_answers
from broker.storage.tables import citizen_passkeys, citizens

_p: Final = citizen_passkeys.c


class PostgresPasskeys:
    """Implements `broker.oauth.passkeys.PasskeyStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    def list_passkeys(self, citizen_id: str) -> Sequence[Passkey]:
        """Return a citizen's passkeys, the oldest first. Raises StoreUnavailable."""
        statement = (
            select(citizen_passkeys)
            .where(_p.citizen_id == UUID(citizen_id))
            .order_by(_p.registered_at, _p.credential_id)
        )
        with store_answers(), self._autocommit.connect() as connection:
            return [_passkey(row) for row in connection.execute(statement)]

    def find_passkey(self, credential_id: bytes) -> Passkey | None:
        """Return one, whoever's it is. Raises StoreUnavailable."""
        statement = select(citizen_passkeys).where(_p.credential_id == credential_id)
        with store_answers(), self._autocommit.connect() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _passkey(row)

    def register_passkey(self, passkey: Passkey, most: int) -> bool:
        """Keep one; False if it is there already or this citizen has so many. Raises StoreUnavailable.

        The row of the account is locked, so that two who register at once are counted one after the other.
        """
        citizen_id = UUID(passkey.citizen_id)
        account = select(citizens.c.citizen_id).where(citizens.c.citizen_id == citizen_id).with_for_update()
        count = select(func.count()).where(_p.citizen_id == citizen_id)
        values = {**asdict(passkey), "citizen_id": citizen_id}
        statement = insert(citizen_passkeys).values(**values).on_conflict_do_nothing()
        with store_answers(), self._engine.begin() as connection:
            connection.execute(account)
            if connection.execute(count).scalar_one() >= most:
                return False
            return connection.execute(statement.returning(_p.credential_id)).one_or_none() is not None

    def rename_passkey(self, citizen_id: str, credential_id: bytes, label: str) -> bool:
        """Give one of this citizen's own another label; False if there is none. Raises StoreUnavailable."""
        statement = citizen_passkeys.update().where(*_own(citizen_id, credential_id)).values(label=label)
        with store_answers(), self._autocommit.connect() as connection:
            return connection.execute(statement).rowcount > 0

    def remove_passkey(self, citizen_id: str, credential_id: bytes) -> bool:
        """Forget one of this citizen's own; False if there is none. Raises StoreUnavailable."""
        statement = citizen_passkeys.delete().where(*_own(citizen_id, credential_id))
        with store_answers(), self._autocommit.connect() as connection:
            return connection.execute(statement).rowcount > 0

    def enter(self, passkey: Passkey, sign_count: int, opening: SessionOpening) -> bool:
        """Raise the count and begin the session, all or nothing; False where count or account forbid it.

        Of two answers with one count the second finds it used. Raises StoreUnavailable.
        """
        is_ahead = _p.sign_count < sign_count if sign_count else _p.sign_count == 0
        statement = (
            citizen_passkeys.update()
            .where(*_own(passkey.citizen_id, passkey.credential_id), is_ahead)
            .values(sign_count=sign_count, last_used_at=opening.authenticated_at)
        )
        with store_answers(), self._engine.connect() as connection:
            if not connection.execute(statement).rowcount or not begin_session(connection, opening):
                return False
            connection.commit()
            return True


def _own(citizen_id: str, credential_id: bytes) -> tuple[Any, Any]:
    return _p.citizen_id == UUID(citizen_id), _p.credential_id == credential_id


def _passkey(row: Any) -> Passkey:
    return Passkey(
        credential_id=bytes(row.credential_id),
        citizen_id=str(row.citizen_id),
        public_key=bytes(row.public_key),
        sign_count=row.sign_count,
        label=row.label,
        registered_at=row.registered_at,
        last_used_at=row.last_used_at,
    )
