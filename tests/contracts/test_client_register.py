"""The register on PostgreSQL: organisations, clients, staff."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from broker.errors import StoreUnavailable
from broker.oauth.registration import ClientRegistration, JwksRefused, read_jwks
from broker.storage.cleaning import delete_expired
from broker.storage.client_registrations import PreparedClients
from broker.storage.clients import (
    AlreadyRegistered,
    ClientRecord,
    NotRegistered,
    Organisation,
    PostgresClients,
)
from broker.storage.register import PreparedRegister
from broker.storage.signing_keys import PostgresSigningKeys
from broker.storage.staff import PostgresStaff, StaffRecord
from connectors.postgres import PreparedConnections, conninfo_of_url
from tests.acting import ACTS
from tests.oauth_world import Database, Party, World

HOSPITAL = Organisation(
    organisation_id="79001", kind="hospital", name_vi="Bệnh viện A", name_en="A", facility_code="79001"
)


@pytest.fixture
def clients(database: Database) -> PostgresClients:
    database.empty()
    clients = PostgresClients(database.application, ACTS)
    assert clients.register_organisation(HOSPITAL)
    return clients


def record(client_id: str = "hospital-a", organisation_id: str = "79001") -> ClientRecord:
    return ClientRecord(
        client_id=client_id,
        organisation_id=organisation_id,
        name="Bệnh viện A",
        scopes=("verify_entitlement",),
        agreement_ids=("hospital_entitlement_check",),
        client_metadata={"grant_types": ["client_credentials"], "jwks": {"keys": [Party("x").public_jwk]}},
        expires_at=datetime(2027, 6, 30, 17, tzinfo=UTC),
    )


def test_an_organisation_is_registered_once(clients: PostgresClients) -> None:
    assert not clients.register_organisation(HOSPITAL)


def test_an_organisation_with_other_particulars_is_refused(clients: PostgresClients) -> None:
    changed = Organisation(organisation_id="79001", kind="bank", name_vi="B", name_en="B")
    with pytest.raises(AlreadyRegistered):
        clients.register_organisation(changed)


def test_a_client_comes_back_as_registered(clients: PostgresClients, database: Database) -> None:
    wanted = record()
    clients.register_client(wanted)
    assert clients.list_clients() == clients.list_clients("hospital-a") == [wanted]
    registration = clients.find_registration("hospital-a")
    assert registration is not None
    assert registration.is_active
    assert registration.scopes == {"verify_entitlement"}
    assert registration.check_grant_type("client_credentials")
    assert not registration.check_grant_type("authorization_code")
    assert [key.algorithm for key in read_jwks(registration.jwks)] == ["ES256"]
    facts = register(database).find_client("hospital-a")
    assert facts is not None
    assert (facts.organisation_id, facts.organisation_kind, facts.facility_code) == (
        "79001",
        "hospital",
        "79001",
    )
    assert facts.agreement_ids == ("hospital_entitlement_check",)


def register(database: Database) -> PreparedRegister:
    return PreparedRegister(PreparedConnections(conninfo_of_url(database.application_url)), 2.0)


def test_a_client_is_registered_once_and_only_for_a_known_organisation(
    clients: PostgresClients, database: Database
) -> None:
    clients.register_client(record())
    with pytest.raises(AlreadyRegistered):
        clients.register_client(record())
    with pytest.raises(NotRegistered):
        clients.register_client(record("other", "99999"))
    assert clients.find_registration("other") is None
    assert register(database).find_client("other") is None


FULL = {
    "grant_types": ["authorization_code", "client_credentials"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "tls_client_auth",
    "tls_client_auth_san_dns": "gateway.bank.example",
    "tls_client_certificate_bound_access_tokens": True,
    "redirect_uris": ["https://bank.example/back"],
    "jwks_uri": "https://keys.bank.example/jwks",
    "authorization_details_types": ["insurance_record"],
}


def both(database: Database) -> list[PostgresClients | PreparedClients]:
    """Return the register as commands read it and as the server does."""
    connections = PreparedConnections(conninfo_of_url(database.application_url))
    return [PostgresClients(database.application, ACTS), PreparedClients(connections, 2.0)]


def test_the_server_and_the_commands_read_the_same_registration_in_full(
    clients: PostgresClients, database: Database
) -> None:
    networks = (ip_network("10.20.0.0/16"), ip_network("2001:db8::/32"))
    expires_at = datetime(2027, 6, 30, 17, 0, 0, 123457, tzinfo=UTC)
    wanted = replace(record(), client_metadata=FULL, source_networks=networks, expires_at=expires_at)
    clients.register_client(wanted)
    assert clients.list_clients() == [wanted]
    found = [store.find_registration("hospital-a") for store in both(database)]
    assert (
        found
        == [
            ClientRegistration(
                client_id="hospital-a",
                organisation_id="79001",
                is_active=True,
                scopes=frozenset({"verify_entitlement"}),
                grant_types=frozenset({"authorization_code", "client_credentials"}),
                expires_at=expires_at,
                jwks_uri="https://keys.bank.example/jwks",
                name="Bệnh viện A",
                organisation_kind="hospital",
                organisation_name_vi="Bệnh viện A",
                organisation_name_en="A",
                agreement_ids=("hospital_entitlement_check",),
                redirect_uris=("https://bank.example/back",),
                authentication_method="tls_client_auth",
                tls_name=("tls_client_auth_san_dns", "gateway.bank.example"),
                is_certificate_bound=True,
                detail_types=frozenset({"insurance_record"}),
                source_networks=networks,
            )
        ]
        * 2
    )


def test_a_row_written_before_there_was_more_than_keys_is_one_of_private_key_jwt(
    clients: PostgresClients, database: Database
) -> None:
    clients.register_client(record())
    for store in both(database):
        found = store.find_registration("hospital-a")
        assert found is not None
        assert found.authentication_method == "private_key_jwt"
        assert (found.jwks_uri, found.redirect_uris, found.tls_name) == ("", (), None)
        assert (found.detail_types, found.source_networks) == (None, ())


def test_metadata_that_somebody_wrote_by_hand_opens_nothing(
    clients: PostgresClients, database: Database
) -> None:
    spoiled = {
        "grant_types": "client_credentials",
        "redirect_uris": [1, None],
        "dpop_bound_access_tokens": "yes",
        "authorization_details_types": {},
        "tls_client_auth_san_dns": "a.example",
        "tls_client_auth_san_ip": "10.0.0.1",
    }
    clients.register_client(replace(record(), client_metadata=spoiled))
    for store in both(database):
        found = store.find_registration("hospital-a")
        assert found is not None
        assert (found.grant_types, found.redirect_uris, found.jwks) == (frozenset(), (), "")
        assert (found.is_dpop_bound, found.tls_name, found.detail_types) == (False, None, frozenset())


def test_what_changes_in_the_register_is_seen_by_the_next_look(
    clients: PostgresClients, database: Database
) -> None:
    clients.register_client(record())
    _, server = both(database)
    first = server.find_registration("hospital-a")
    assert first is not None
    assert server.find_registration("hospital-a") is first
    clients.suspend_client("hospital-a", datetime.now(UTC))
    suspended = server.find_registration("hospital-a")
    assert suspended == replace(first, is_active=False)
    later = first.expires_at + timedelta(days=1)
    clients.extend_client("hospital-a", later)
    assert server.find_registration("hospital-a") == replace(first, is_active=False, expires_at=later)
    assert server.find_registration("nobody") is None
    with pytest.raises(NotRegistered):
        clients.extend_client("nobody", later)


def test_a_statement_of_the_register_that_finds_no_server_is_one_kind_of_error() -> None:
    away = PreparedClients(PreparedConnections("host=127.0.0.1 port=1 user=nobody dbname=none"), 1.0)
    with pytest.raises(StoreUnavailable):
        away.find_registration("x")


def key_set(*parties: Party) -> dict[str, Any]:
    return {"keys": [{**party.public_jwk, "alg": "ES256", "use": "sig"} for party in parties]}


def kids(clients: PostgresClients) -> list[str | None]:
    found = clients.find_registration("hospital-a")
    assert found is not None
    return [key.kid for key in read_jwks(found.jwks)]


def test_keys_are_exchanged_without_a_moment_in_which_neither_works(clients: PostgresClients) -> None:
    old, new = Party("x"), Party("x")
    clients.register_client(replace(record(), client_metadata={**FULL, "jwks": key_set(old), "jwks_uri": ""}))
    clients.replace_keys("hospital-a", jwks=key_set(new), keep_old=True)
    assert kids(clients) == [old.kid, new.kid]
    changed = clients.replace_keys("hospital-a", retire=[old.kid])
    assert kids(clients) == [new.kid]
    assert clients.list_clients() == [changed]
    assert changed.client_metadata["redirect_uris"] == FULL["redirect_uris"]
    clients.replace_keys("hospital-a", jwks=key_set(old))
    assert kids(clients) == [old.kid]
    clients.replace_keys("hospital-a", jwks=key_set(new), retire=[old.kid])
    assert kids(clients) == [new.kid]
    clients.replace_keys("hospital-a", jwks=key_set(new), keep_old=True)
    assert kids(clients) == [new.kid]


def test_a_change_of_keys_that_cannot_be_right_changes_nothing(clients: PostgresClients) -> None:
    old, new = Party("x"), Party("x")
    renamed = {"keys": [{**key_set(new)["keys"][0], "kid": old.kid}]}
    clients.register_client(replace(record(), client_metadata={**FULL, "jwks": key_set(old), "jwks_uri": ""}))
    many = [Party("x") for _ in range(8)]
    for change in (
        {"retire": [old.kid]},
        {"retire": ["unknown"]},
        {"jwks": renamed, "keep_old": True},
        {"jwks": key_set(*many), "keep_old": True},
    ):
        with pytest.raises(JwksRefused):
            clients.replace_keys("hospital-a", **change)
        assert kids(clients) == [old.kid]
    with pytest.raises(NotRegistered):
        clients.replace_keys("nobody", jwks=key_set(new))


def test_keys_move_to_an_address_of_the_client_and_back(clients: PostgresClients) -> None:
    old, new = Party("x"), Party("x")
    clients.register_client(replace(record(), client_metadata={"jwks": key_set(old)}))
    clients.replace_keys("hospital-a", jwks_uri="https://keys.bank.example/jwks")
    found = clients.find_registration("hospital-a")
    assert found is not None
    assert (found.jwks, found.jwks_uri) == ("", "https://keys.bank.example/jwks")
    with pytest.raises(JwksRefused):
        clients.replace_keys("hospital-a", jwks=key_set(new), keep_old=True)
    clients.replace_keys("hospital-a", jwks=key_set(new))
    assert kids(clients) == [new.kid]


def test_suspending_and_resuming_name_unknown_clients(clients: PostgresClients) -> None:
    with pytest.raises(NotRegistered):
        clients.suspend_client("nobody", datetime.now(UTC))
    with pytest.raises(NotRegistered):
        clients.resume_client("nobody")


def test_staff_are_registered_revoked_and_renewed(clients: PostgresClients, database: Database) -> None:
    staff = PostgresStaff(database.application, ACTS)
    person = StaffRecord(
        staff_ref=b"\1" * 32, organisation_id="79001", full_name="Trần Thị B", assignment_reference="12/QĐ-BV"
    )
    staff.register_staff(person)
    assert [found.full_name for found in staff.list_staff("79001")] == ["Trần Thị B"]
    with pytest.raises(AlreadyRegistered):
        staff.register_staff(person)
    staff.revoke_staff(person.staff_ref)
    assert [found.status for found in staff.list_staff("79001")] == ["revoked"]
    staff.register_staff(person)
    assert staff.list_staff() == staff.list_staff("79001") == [person]
    assert staff.list_staff("99999") == []


def test_staff_of_unknown_organisations_are_refused(clients: PostgresClients, database: Database) -> None:
    staff = PostgresStaff(database.application, ACTS)
    with pytest.raises(NotRegistered):
        staff.revoke_staff(b"\2" * 32)
    with pytest.raises(NotRegistered):
        staff.register_staff(
            StaffRecord(staff_ref=b"\2" * 32, organisation_id="0", full_name="x", assignment_reference="x")
        )


def test_what_has_expired_is_deleted_and_what_lives_is_not(database: Database) -> None:
    world = World(database)
    # What other tests have left in this database goes first.
    delete_expired(database.application, world.clock() + timedelta(days=1))
    world.token()

    def deleted(seconds: float) -> dict[str, int]:
        """Return the rows deleted so much later, of the tables in which there was anything."""
        found = delete_expired(database.application, world.clock() + timedelta(seconds=seconds))
        return {table: rows for table, rows in found.items() if rows}

    assert deleted(0) == {}
    assert deleted(299) == {"used_assertions": 1}
    assert deleted(3600) == {"access_tokens": 1, "used_proofs": 1}


def test_a_store_that_is_away_is_one_kind_of_error() -> None:
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1")
    for ask in (
        lambda: PostgresClients(engine, ACTS).find_registration("x"),
        lambda: PostgresStaff(engine, ACTS).list_staff(),
        lambda: PostgresSigningKeys(engine, ACTS).find_keys(),
        lambda: delete_expired(engine, datetime.now(UTC)),
    ):
        with pytest.raises(StoreUnavailable):
            ask()


def test_a_connection_that_the_server_ends_is_one_kind_of_error(database: Database) -> None:
    engine = create_engine(database.application_url)
    clients = PostgresClients(engine, ACTS)
    with engine.connect() as kept:
        pid = kept.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with database.application.connect() as other:
        ended = other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})  # waits for it
        assert ended.scalar_one() is True
    with pytest.raises(StoreUnavailable):
        clients.find_registration("x")
    assert clients.find_registration("x") is None
    engine.dispose()
