"""Which account an identity provider's person has, in PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects.postgresql import insert

from broker.oauth.identity_sign_in import IdentityEntry
from broker.storage.acts import Acts
from broker.storage.citizens import begin_session
from broker.storage.faults import store_answers
from broker.storage.tables import citizen_identities, citizens

OTHER_PERSON: Final = "the provider's person has another personal id than before"
NO_NUMBER: Final = "the provider's person is new here and comes without a personal id"
NOT_LET_IN: Final = "the account is closed, or has one-time codes and the sign-in is of level 1"


class PostgresIdentities:
    """Implements `broker.oauth.identity_sign_in.IdentityStore`. acts: of the broker, which opens accounts."""

    def __init__(self, engine: Engine, acts: Acts) -> None:
        self._engine = engine
        self._acts = acts

    def enter(self, entry: IdentityEntry) -> str | None:
        """Find or open the account and begin the session, all or nothing; return why not, in fixed words.

        One transaction. Two entries of one new person at once open one account: the second waits at the
        unique personal id and then finds it. Raises StoreUnavailable.
        """
        with store_answers(), self._engine.connect() as connection:
            refused, citizen_id = self._account(connection, entry)
            if refused is None:
                opening = replace(entry.opening, citizen_id=str(citizen_id))
                refused = None if begin_session(connection, opening) else NOT_LET_IN
            if refused is None:
                connection.commit()
            return refused

    def _account(self, connection: Connection, entry: IdentityEntry) -> tuple[str | None, UUID | None]:
        """Return why there is none, or the account of an identity, linked and opened as needed."""
        known = connection.execute(
            select(citizens.c.citizen_id, citizens.c.personal_id_ref)
            .join_from(citizen_identities, citizens)
            .where(citizen_identities.c.identity_ref == entry.identity_ref)
        ).one_or_none()
        if known is not None:
            is_same = entry.personal_id_ref in (None, bytes(known.personal_id_ref))
            return (None, known.citizen_id) if is_same else (OTHER_PERSON, None)
        if entry.personal_id_ref is None:
            return NO_NUMBER, None
        account = {
            "citizen_id": UUID(entry.opening.citizen_id),
            "personal_id_ref": entry.personal_id_ref,
            "personal_id_encrypted": entry.personal_id_encrypted,
            "password_hash": None,
        }
        opened = insert(citizens).values(**account).on_conflict_do_nothing().returning(citizens.c.citizen_id)
        if connection.execute(opened).one_or_none() is not None:
            self._acts.administration(connection, "citizen_created", citizen_id=entry.opening.citizen_id)
        citizen_id: UUID = connection.execute(
            select(citizens.c.citizen_id).where(citizens.c.personal_id_ref == entry.personal_id_ref)
        ).scalar_one()
        link = {
            "identity_ref": entry.identity_ref,
            "issuer": entry.issuer,
            "citizen_id": citizen_id,
            "linked_at": entry.opening.authenticated_at,
        }
        connection.execute(insert(citizen_identities).values(**link).on_conflict_do_nothing())
        return None, citizen_id
