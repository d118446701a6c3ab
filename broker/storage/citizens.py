"""Citizens' accounts and sessions in PostgreSQL: references, hashes and ciphertexts, never a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from broker.oauth.citizens import AttemptCounter, CitizenAccount, CitizenSession, SessionOpening
from broker.storage.acts import Acts, acting_in
from broker.storage.clients import AlreadyRegistered, NotRegistered
from broker.storage.faults import store_answers
from broker.storage.tables import citizen_passkeys, citizen_sessions, citizens, usage_counters

_WITHIN_LIMIT: Final = "ck_usage_counters_within_limit"
SEEN_EVERY: Final = timedelta(minutes=1)
"""How exactly it is known when a session was last used: reading it seldom costs a write."""

# A full counter violates its check and undoes the whole statement: no attempt is counted by halves.
_COUNT: Final = text("""
INSERT INTO usage_counters AS u (window_start_seconds, counter_ref, used_count, limit_count)
SELECT s.window_start_seconds, s.counter_ref, 1, s.limit_count
FROM unnest(CAST(:windows AS bigint[]), CAST(:refs AS bytea[]), CAST(:limits AS int[])) WITH ORDINALITY
  AS s (window_start_seconds, counter_ref, limit_count, position)
ORDER BY s.position
ON CONFLICT (window_start_seconds, counter_ref) DO UPDATE
  SET used_count = u.used_count + 1, limit_count = EXCLUDED.limit_count
""")

# The row lock makes one of two sign-ins with the same code wait and then find the step used; a suspension
# that comes at the same moment is either seen here, or deletes the session that is inserted next.
_ENTER: Final = text("""
UPDATE citizens SET totp_last_step = coalesce(CAST(:step AS bigint), totp_last_step),
  password_hash = coalesce(CAST(:renewed_hash AS text), password_hash)
WHERE citizen_id = :citizen_id AND status = 'active'
  AND (CAST(:verified_hash AS text) IS NULL OR password_hash = CAST(:verified_hash AS text))
  AND (:level = 2 OR totp_secret_encrypted IS NULL)
  AND (CAST(:step AS bigint) IS NULL OR totp_last_step IS NULL OR totp_last_step < CAST(:step AS bigint))
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class CitizenRecord:
    """An account to be registered. personal_id_ref: keyed hash (32 bytes).

    password_hash: PHC string, None for an account that no password opens.
    """

    citizen_id: str
    personal_id_ref: bytes
    personal_id_encrypted: bytes
    password_hash: str | None
    totp_secret_encrypted: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CitizenSummary:
    """What operators see of an account: nothing that says who it is. level: of a sign-in to it."""

    citizen_id: str
    status: str
    level: int
    registered_at: datetime


class PostgresCitizens:
    """Implements `broker.oauth.citizens.CitizenStore`, and the register behind `broker citizen`.

    acts: of whoever opens, renews and closes accounts; None for those who only sign in.
    """

    def __init__(self, engine: Engine, acts: Acts | None = None) -> None:
        self._engine = engine
        self._acts = acts
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    def count_attempt(self, counters: Sequence[AttemptCounter]) -> bool:
        """Raise all counters by one, or none and return False when one is full. Raises StoreUnavailable."""
        parameters = {
            "windows": [counter.window_start_seconds for counter in counters],
            "refs": [counter.counter_ref for counter in counters],
            "limits": [counter.limit_count for counter in counters],
        }
        try:
            with store_answers(), self._autocommit.connect() as connection:
                connection.execute(_COUNT, parameters)
        except IntegrityError as fault:
            if getattr(getattr(fault.orig, "diag", None), "constraint_name", "") != _WITHIN_LIMIT:
                raise
            return False
        return True

    def give_back(self, counters: Sequence[AttemptCounter]) -> None:
        """Lower counters by one. Raises StoreUnavailable."""
        with store_answers(), self._autocommit.connect() as connection:
            for counter in counters:
                connection.execute(_lowered(counter))

    def find_account(self, personal_id_ref: bytes) -> CitizenAccount | None:
        """Return an account, suspended ones included. Raises StoreUnavailable."""
        statement = select(
            citizens.c.citizen_id,
            citizens.c.status,
            citizens.c.password_hash,
            citizens.c.totp_secret_encrypted,
        ).where(citizens.c.personal_id_ref == personal_id_ref)
        with store_answers(), self._autocommit.connect() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        return CitizenAccount(
            citizen_id=str(row.citizen_id),
            is_active=row.status == "active",
            password_hash=row.password_hash,
            totp_secret_encrypted=row.totp_secret_encrypted,
        )

    def open_session(self, opening: SessionOpening) -> bool:
        """Begin a session, all or nothing; False when the code was used or the account changed meanwhile.

        Raises StoreUnavailable; whether the session then exists is unknown, but nobody holds its value.
        """
        with store_answers(), self._engine.begin() as connection:
            return begin_session(connection, opening)

    def find_session(self, session_ref: bytes, at: datetime) -> CitizenSession | None:
        """Return a session that has not ended, of an active account. Raises StoreUnavailable."""
        statement = (
            select(
                citizen_sessions.c.citizen_id,
                citizen_sessions.c.level,
                citizen_sessions.c.authenticated_at,
                citizen_sessions.c.expires_at,
                citizens.c.personal_id_encrypted,
                citizen_sessions.c.last_seen_at,
            )
            .join_from(citizen_sessions, citizens)
            .where(citizen_sessions.c.session_ref == session_ref, citizen_sessions.c.expires_at > at)
            .where(citizens.c.status == "active")
        )
        with store_answers(), self._autocommit.connect() as connection:
            row = connection.execute(statement).one_or_none()
            if row is None:
                return None
            if at - row.last_seen_at >= SEEN_EVERY:
                connection.execute(
                    citizen_sessions.update()
                    .where(citizen_sessions.c.session_ref == session_ref)
                    .values(last_seen_at=at)
                )
        return CitizenSession(
            citizen_id=str(row.citizen_id),
            level=row.level,
            authenticated_at=row.authenticated_at,
            expires_at=row.expires_at,
            personal_id_encrypted=row.personal_id_encrypted,
        )

    def end_session(self, session_ref: bytes) -> None:
        """End a session; one that is not there has ended already. Raises StoreUnavailable."""
        with store_answers(), self._autocommit.connect() as connection:
            connection.execute(_session(session_ref))

    def register_citizen(self, record: CitizenRecord) -> None:
        """Register an account. Raises AlreadyRegistered (this personal id has one), StoreUnavailable."""
        values, acts = {**asdict(record), "citizen_id": UUID(record.citizen_id)}, acting_in(self._acts)
        statement = insert(citizens).values(**values).on_conflict_do_nothing()
        with store_answers(), self._engine.begin() as connection:
            if connection.execute(statement.returning(citizens.c.citizen_id)).one_or_none() is None:
                raise AlreadyRegistered("this person already has an account")
            acts.administration(connection, "citizen_created", citizen_id=record.citizen_id)

    def renew_citizen(
        self, personal_id_ref: bytes, password_hash: str, totp_secret_encrypted: bytes | None
    ) -> int:
        """Give an account another password and other codes, and end its sessions; return how many ended.

        totp_secret_encrypted: None for an account without one-time codes from now on. Its passkeys go too: a
        lost phone has some. One transaction; a sign-in under way with the old password finds it changed.
        Raises NotRegistered, StoreUnavailable.
        """
        renewed = {"password_hash": password_hash, "totp_secret_encrypted": totp_secret_encrypted}
        with store_answers(), self._engine.begin() as connection:
            values = {**renewed, "totp_last_step": None}
            citizen_id = self._change(connection, "citizen_renewed", personal_id_ref, values)
            connection.execute(citizen_passkeys.delete().where(citizen_passkeys.c.citizen_id == citizen_id))
            return end_sessions(connection, citizen_id)

    def suspend_citizen(self, personal_id_ref: bytes) -> int:
        """Close an account and end its sessions, in one transaction; return how many sessions.

        Raises NotRegistered, StoreUnavailable.
        """
        with store_answers(), self._engine.begin() as connection:
            closed = {"status": "suspended"}
            return end_sessions(
                connection, self._change(connection, "citizen_suspended", personal_id_ref, closed)
            )

    def resume_citizen(self, personal_id_ref: bytes) -> None:
        """Open a closed account again. Raises NotRegistered, StoreUnavailable."""
        with store_answers(), self._engine.begin() as connection:
            self._change(connection, "citizen_resumed", personal_id_ref, {"status": "active"})

    def _change(
        self, connection: Connection, act: str, personal_id_ref: bytes, values: Mapping[str, Any]
    ) -> UUID:
        acts = acting_in(self._acts)
        statement = citizens.update().where(citizens.c.personal_id_ref == personal_id_ref).values(**values)
        row = connection.execute(statement.returning(citizens.c.citizen_id)).one_or_none()
        if row is None:
            raise NotRegistered("this person has no account")
        citizen_id: UUID = row.citizen_id
        acts.administration(connection, act, citizen_id=str(citizen_id))
        return citizen_id

    def list_citizens(self) -> Sequence[CitizenSummary]:
        """Return all accounts, oldest first. Raises StoreUnavailable."""
        has_codes = citizens.c.totp_secret_encrypted.is_not(None).label("has_codes")
        columns = (citizens.c.citizen_id, citizens.c.status, has_codes, citizens.c.registered_at)
        statement = select(*columns).order_by(citizens.c.registered_at, citizens.c.citizen_id)
        with store_answers(), self._engine.connect() as connection:
            return [
                CitizenSummary(
                    citizen_id=str(row.citizen_id),
                    status=row.status,
                    level=2 if row.has_codes else 1,
                    registered_at=row.registered_at,
                )
                for row in connection.execute(statement)
            ]


def begin_session(connection: Connection, opening: SessionOpening) -> bool:
    """Begin a session within a transaction of the caller's; False when the account does not let it in.

    An account with one-time codes is not entered below level 2, whichever way somebody comes.
    """
    entry = {
        "step": opening.totp_step,
        "verified_hash": opening.verified_hash,
        "renewed_hash": opening.renewed_hash,
        "citizen_id": UUID(opening.citizen_id),
        "level": opening.level,
    }
    session = {
        "session_ref": opening.session_ref,
        "citizen_id": UUID(opening.citizen_id),
        "level": opening.level,
        "authenticated_at": opening.authenticated_at,
        "expires_at": opening.expires_at,
        "last_seen_at": opening.authenticated_at,
        "method": opening.method,
        "browser": opening.browser,
    }
    if not connection.execute(_ENTER, entry).rowcount:
        return False
    if opening.replaced_ref is not None:
        connection.execute(_session(opening.replaced_ref))
    connection.execute(citizen_sessions.insert().values(**session))
    for counter in opening.counted:
        connection.execute(_lowered(counter))
    return True


def _session(session_ref: bytes) -> Any:
    return citizen_sessions.delete().where(citizen_sessions.c.session_ref == session_ref)


def _lowered(counter: AttemptCounter) -> Any:
    return (
        usage_counters.update()
        .where(usage_counters.c.window_start_seconds == counter.window_start_seconds)
        .where(usage_counters.c.counter_ref == counter.counter_ref, usage_counters.c.used_count > 0)
        .values(used_count=usage_counters.c.used_count - 1)
    )


def end_sessions(connection: Connection, citizen_id: UUID) -> int:
    """End all sessions of a citizen within a transaction of the caller's; return how many."""
    ended = citizen_sessions.delete().where(citizen_sessions.c.citizen_id == citizen_id)
    return connection.execute(ended).rowcount
