"""The register: organisations and their clients, in PostgreSQL. How they come in and are changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time, timedelta
from ipaddress import ip_network
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.dialects.postgresql import insert

from broker.evidence.administration_entry import Given
from broker.oauth.client_jwks import rotated_jwks
from broker.oauth.client_metadata import ClientMetadata, check_keys
from broker.oauth.registration import ClientRegistration, JwksRefused, Network
from broker.storage.acts import Acts, acting_in
from broker.storage.client_registrations import REGISTRATION_SQL, read_registration
from broker.storage.faults import store_answers
from broker.storage.tables import access_tokens, authorization_codes, clients, organisations
from policies.civil_time import VIET_NAM, civil_date

_Given: TypeAlias = tuple[tuple[Given, str], ...]


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
    """A client as registered. Instants aware.

    client_metadata: RFC 7591 members less client_id, client_name and scope; public keys under "jwks".
    source_networks: where its requests may come from, empty for anywhere.
    """

    client_id: str
    organisation_id: str
    name: str
    scopes: tuple[str, ...]
    agreement_ids: tuple[str, ...]
    client_metadata: Mapping[str, Any]
    expires_at: datetime
    status: str = "active"
    source_networks: tuple[Network, ...] = ()


_REGISTRATION: Final = text(REGISTRATION_SQL.replace("$1::text", ":wanted"))


def expiry_of(last_day: date) -> datetime:
    """Return the instant at which a registration ends whose last day, in Viet Nam, this is."""
    return datetime.combine(last_day + timedelta(days=1), time(), VIET_NAM)


def client_record(
    metadata: ClientMetadata,
    organisation: Organisation,
    *,
    agreement_ids: Sequence[str],
    source_networks: Sequence[Network],
    last_day: date,
) -> ClientRecord:
    """Return the record of a client of an organisation; without a name it has the organisation's."""
    return ClientRecord(
        client_id=metadata.client_id,
        organisation_id=organisation.organisation_id,
        name=metadata.client_name or organisation.name_vi,
        scopes=metadata.scopes,
        agreement_ids=tuple(dict.fromkeys(agreement_ids)),
        client_metadata=metadata.members,
        expires_at=expiry_of(last_day),
        source_networks=tuple(source_networks),
    )


class PostgresClients:
    """Implements `broker.oauth.registration.ClientStore`. acts: of whoever changes it; None is for reading.

    Every change leaves its entry of evidence in its own transaction.
    """

    def __init__(self, engine: Engine, acts: Acts | None = None) -> None:
        self._engine = engine
        self._acts = acts
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    def find_registration(self, client_id: str) -> ClientRegistration | None:
        """Return the registration of a client, suspended and expired ones included.

        Raises StoreUnavailable.
        """
        with store_answers(), self._autocommit.connect() as connection:
            row = connection.execute(_REGISTRATION, {"wanted": client_id}).one_or_none()
        return None if row is None else read_registration(*row)

    def register_organisation(self, organisation: Organisation) -> bool:
        """Register an organisation; return False if it already stands there with the same particulars.

        Raises AlreadyRegistered when it stands there with others, StoreUnavailable.
        """
        values, acts = asdict(organisation), acting_in(self._acts)
        with store_answers(), self._engine.begin() as connection:
            statement = insert(organisations).values(**values).on_conflict_do_nothing()
            if connection.execute(statement.returning(organisations.c.organisation_id)).one_or_none():
                name, kind = organisation.organisation_id, organisation.kind
                acts.administration(connection, "organisation_registered", name, given=(("kind", kind),))
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
        values["source_networks"] = list(map(str, record.source_networks))
        acts = acting_in(self._acts)
        with store_answers(), self._engine.begin() as connection:
            known = select(organisations.c.organisation_id).where(
                organisations.c.organisation_id == record.organisation_id
            )
            if connection.execute(known).one_or_none() is None:
                raise NotRegistered(f"there is no organisation {record.organisation_id}")
            statement = insert(clients).values(**values).on_conflict_do_nothing()
            if connection.execute(statement.returning(clients.c.client_id)).one_or_none() is None:
                raise AlreadyRegistered(f"client {record.client_id} is already registered")
            acts.administration(connection, "client_registered", record.client_id, given=_given(record))

    def list_clients(self, client_id: str | None = None) -> Sequence[ClientRecord]:
        """Return all clients by id, or the one with client_id. Raises StoreUnavailable."""
        statement = select(*_COLUMNS).order_by(clients.c.client_id)
        if client_id is not None:
            statement = statement.where(clients.c.client_id == client_id)
        with store_answers(), self._engine.connect() as connection:
            return [_record(row._asdict()) for row in connection.execute(statement)]

    def replace_keys(
        self,
        client_id: str,
        *,
        jwks: Mapping[str, Any] | None = None,
        jwks_uri: str = "",
        keep_old: bool = False,
        retire: Collection[str] = (),
    ) -> ClientRecord:
        """Change a client's keys in one transaction; return the client as it is then.

        jwks: a registered set (`registrable_jwks`) that takes the place of the old keys, or comes beside them
        with keep_old. retire: kids to take out; all others stay. jwks_uri: from now on keys are published
        there, and none are kept here. Counts from the next token request on; tokens that live end by
        themselves. Raises NotRegistered, JwksRefused (see `rotated_jwks`; keys behind a jwks_uri can only be
        replaced), MetadataRefused (keys that do not fit how the client proves itself), StoreUnavailable.
        """
        acts = acting_in(self._acts)
        wanted = select(*_COLUMNS).where(clients.c.client_id == client_id).with_for_update()
        with store_answers(), self._engine.begin() as connection:
            row = connection.execute(wanted).one_or_none()
            if row is None:
                raise NotRegistered(f"there is no client {client_id}")
            record = _record(row._asdict())
            metadata = dict(record.client_metadata)
            old = metadata.pop("jwks", {})
            if metadata.pop("jwks_uri", "") and (keep_old or retire):
                raise JwksRefused("its keys are published by the client itself; they can only be replaced")
            if jwks_uri:
                metadata["jwks_uri"] = jwks_uri
            else:
                metadata["jwks"] = rotated_jwks(old, jwks, keep_old=keep_old, retire=retire)
            check_keys(metadata)
            statement = clients.update().where(clients.c.client_id == client_id)
            connection.execute(statement.values(client_metadata=metadata))
            acts.administration(connection, "client_keys_exchanged", client_id)
        return replace(record, client_metadata=metadata)

    def extend_client(self, client_id: str, expires_at: datetime) -> None:
        """Set until when a client is registered. Raises NotRegistered, StoreUnavailable."""
        until = _last_day(expires_at)
        with store_answers(), self._engine.begin() as connection:
            self._update(connection, client_id, "client_extended", until, expires_at=expires_at)

    def suspend_client(self, client_id: str, now: datetime) -> int:
        """Suspend a client, revoke its live access tokens and void its codes, in one transaction.

        Return how many tokens. The next release of this client on any worker is refused, and nothing of this
        comes back when it is resumed; its refresh tokens rest meanwhile, because consents are for citizens
        to end. Raises NotRegistered, StoreUnavailable.
        """
        revoke = (
            access_tokens.update()
            .where(access_tokens.c.client_id == client_id, access_tokens.c.revoked_at.is_(None))
            .where(access_tokens.c.expires_at > now)
            .values(revoked_at=now)
        )
        void = authorization_codes.delete().where(
            authorization_codes.c.client_id == client_id, authorization_codes.c.consumed_at.is_(None)
        )
        with store_answers(), self._engine.begin() as connection:
            self._update(connection, client_id, "client_suspended", status="suspended")
            connection.execute(void)
            return connection.execute(revoke).rowcount

    def resume_client(self, client_id: str) -> None:
        """Let a suspended client ask for tokens again. Raises NotRegistered, StoreUnavailable."""
        with store_answers(), self._engine.begin() as connection:
            self._update(connection, client_id, "client_resumed", status="active")

    def _update(
        self, connection: Connection, client_id: str, act: str, given: _Given = (), **values: object
    ) -> None:
        acts = acting_in(self._acts)
        statement = clients.update().where(clients.c.client_id == client_id).values(**values)
        if not connection.execute(statement).rowcount:
            raise NotRegistered(f"there is no client {client_id}")
        acts.administration(connection, act, client_id, given=given)


def _given(record: ClientRecord) -> _Given:
    """Return what a client has from now on, as its entry tells."""
    grant_types = record.client_metadata.get("grant_types", ())
    return (
        ("organisation", record.organisation_id),
        *(("scope", name) for name in record.scopes),
        *(("agreement", name) for name in record.agreement_ids),
        *(("grant_type", str(name)) for name in grant_types),
        *_last_day(record.expires_at),
    )


def _last_day(expires_at: datetime) -> _Given:
    """Return the last civil day of Viet Nam before an instant, as an entry tells it."""
    return (("until", civil_date(expires_at - timedelta(microseconds=1)).isoformat()),)


_COLUMNS: Final = [clients.c[name] for name in ClientRecord.__dataclass_fields__]


def _record(row: Mapping[str, Any]) -> ClientRecord:
    listed = {name: tuple(row[name]) for name in ("scopes", "agreement_ids")}
    networks = tuple(ip_network(str(one)) for one in row["source_networks"])
    return ClientRecord(**{**row, **listed, "source_networks": networks})
