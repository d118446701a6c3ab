"""The register: organisations and their clients, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Text, bindparam, cast, select
from sqlalchemy.dialects.postgresql import insert

from broker.oauth.registration import ClientRegistration
from broker.storage.faults import store_answers
from broker.storage.tables import access_tokens, clients, organisations


class AlreadyRegistered(ValueError):
    """The identifier is taken, with other particulars."""


class NotRegistered(LookupError):
    """There is no such organisation, client or person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """An organisation. kind: a word of the policies' recipient kinds. facility_code: text, never a number."""

    organisation_id: str
    kind: str
    name_vi: str
    name_en: str
    facility_code: str | None = None
    contact_officer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client as registered. client_metadata: RFC 7591 members, public keys under "jwks". Instants aware."""

    client_id: str
    organisation_id: str
    name: str
    scopes: tuple[str, ...]
    agreement_ids: tuple[str, ...]
    client_metadata: Mapping[str, Any]
    expires_at: datetime
    status: str = "active"


# Two tables in one statement; the JWK set as text, so that parsed keys can be kept by it.
_REGISTRATION: Final = (
    select(
        clients.c.client_id,
        clients.c.organisation_id,
        (clients.c.status == "active").label("is_active"),
        clients.c.scopes,
        clients.c.client_metadata["grant_types"].label("grant_types"),
        cast(clients.c.client_metadata["jwks"], Text).label("jwks"),
        clients.c.expires_at,
    )
    .join_from(clients, organisations)
    .where(clients.c.client_id == bindparam("wanted"))
)


class PostgresClients:
    """Implements `broker.oauth.registration.ClientStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    def find_registration(self, client_id: str) -> ClientRegistration | None:
        """Return the registration of a client, suspended and expired ones included.

        Raises StoreUnavailable.
        """
        with store_answers(), self._autocommit.connect() as connection:
            row = connection.execute(_REGISTRATION, {"wanted": client_id}).one_or_none()
        if row is None:
            return None
        return ClientRegistration(
            client_id=row.client_id,
            organisation_id=row.organisation_id,
            is_active=row.is_active,
            scopes=frozenset(row.scopes),
            grant_types=frozenset(row.grant_types or ()),
            jwks=row.jwks or "",
            expires_at=row.expires_at,
        )

    def register_organisation(self, organisation: Organisation) -> bool:
        """Register an organisation; return False if it already stands there with the same particulars.

        Raises AlreadyRegistered when it stands there with others, StoreUnavailable.
        """
        values = asdict(organisation)
        with store_answers(), self._engine.begin() as connection:
            statement = insert(organisations).values(**values).on_conflict_do_nothing()
            if connection.execute(statement.returning(organisations.c.organisation_id)).one_or_none():
                return True
            found = connection.execute(
                select(*[organisations.c[name] for name in values]).where(
                    organisations.c.organisation_id == organisation.organisation_id
                )
            ).one()
        if dict(found._mapping) != values:
            raise AlreadyRegistered(f"organisation {organisation.organisation_id} stands there with others")
        return False

    def register_client(self, record: ClientRecord) -> None:
        """Register a client of a registered organisation.

        Raises AlreadyRegistered, NotRegistered (no such organisation), StoreUnavailable.
        """
        values = {**asdict(record), "client_metadata": dict(record.client_metadata)}
        values |= {"scopes": list(record.scopes), "agreement_ids": list(record.agreement_ids)}
        with store_answers(), self._engine.begin() as connection:
            known = select(organisations.c.organisation_id).where(
                organisations.c.organisation_id == record.organisation_id
            )
            if connection.execute(known).one_or_none() is None:
                raise NotRegistered(f"there is no organisation {record.organisation_id}")
            statement = insert(clients).values(**values).on_conflict_do_nothing()
            if connection.execute(statement.returning(clients.c.client_id)).one_or_none() is None:
                raise AlreadyRegistered(f"client {record.client_id} is already registered")

    def list_clients(self, client_id: str | None = None) -> Sequence[ClientRecord]:
        """Return all clients by id, or the one with client_id. Raises StoreUnavailable."""
        columns = [clients.c[name] for name in ClientRecord.__dataclass_fields__]
        statement = select(*columns).order_by(clients.c.client_id)
        if client_id is not None:
            statement = statement.where(clients.c.client_id == client_id)
        with store_answers(), self._engine.connect() as connection:
            rows = connection.execute(statement).mappings().all()
        return [
            ClientRecord(
                **{**row, "scopes": tuple(row["scopes"]), "agreement_ids": tuple(row["agreement_ids"])}
            )
            for row in rows
        ]

    def suspend_client(self, client_id: str, now: datetime) -> int:
        """Suspend a client and revoke its live tokens, in one transaction; return how many tokens.

        The next release of this client on any worker is refused. Raises NotRegistered, StoreUnavailable.
        """
        revoke = (
            access_tokens.update()
            .where(access_tokens.c.client_id == client_id, access_tokens.c.revoked_at.is_(None))
            .where(access_tokens.c.expires_at > now)
            .values(revoked_at=now)
        )
        with store_answers(), self._engine.begin() as connection:
            self._set_status(connection, client_id, "suspended")
            return connection.execute(revoke).rowcount

    def resume_client(self, client_id: str) -> None:
        """Let a suspended client ask for tokens again. Raises NotRegistered, StoreUnavailable."""
        with store_answers(), self._engine.begin() as connection:
            self._set_status(connection, client_id, "active")

    @staticmethod
    def _set_status(connection: Connection, client_id: str, status: str) -> None:
        statement = clients.update().where(clients.c.client_id == client_id).values(status=status)
        if not connection.execute(statement).rowcount:
            raise NotRegistered(f"there is no client {client_id}")
