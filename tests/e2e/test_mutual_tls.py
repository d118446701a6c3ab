"""Mutual TLS from end to end: real nginx, gunicorn and database; tokens that are bound to certificates."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from broker.cli.caller import ASSERTION_TYPE, Answer
from tests.certificates import Credential, authority, make, server_names
from tests.doors import Server
from tests.log_reader import all_faults
from tests.nginx import FIRST, MUTUAL, NGINX, Nginx, TlsClient
from tests.release_world import CHECKS, SCOPE, Hospital, World

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed and could not be"),
    pytest.mark.xdist_group("nginx"),
]

ISSUER, MTLS = f"https://{FIRST}", f"https://{MUTUAL}"
TOKEN, INFO = "/oauth/token", "/v1/token-info"
ROOT = authority()
SUBJECT = "CN=gateway,O=Bệnh viện A,C=VN"
GATEWAY = make(SUBJECT, issuer=ROOT)
OTHER = make("CN=other,C=VN", issuer=ROOT, names=server_names("other.example"))
OWN = make("CN=anything")
REFUSED = {
    "error": "invalid_client",
    "error_description": "no active registration of a client fits this certificate",
}


@pytest.fixture(scope="module")
def server(
    world: World, release_environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A real server that believes 127.0.0.1, and 127.0.0.2 no more than anybody."""
    directory = tmp_path_factory.mktemp("mutual")
    authorities = directory / "authorities.pem"
    authorities.write_text(ROOT.pem)
    more = {
        "BROKER_ISSUER": ISSUER,
        "BROKER_MTLS_URL": MTLS,
        "BROKER_TRUSTED_PROXIES": "127.0.0.1/32",
        "BROKER_TLS_CLIENT_CA_FILE": str(authorities),
    }
    server = Server(release_environ, directory, more)
    yield server
    server.stop()
    assert all_faults(server.log, world) == []


@pytest.fixture
def nginx(server: Server, tmp_path: Path) -> Iterator[Nginx]:
    """nginx in front of it, with the shipped files; a new one each time, since it counts token requests."""
    nginx = Nginx(tmp_path, urlsplit(server.issuer).port or 0)
    nginx.start()
    yield nginx
    nginx.stop()


def hospital_with(world: World, networks: tuple[str, ...] = (), **metadata: Any) -> Hospital:
    """Register a hospital whose client has other metadata than a key."""
    hospital = world.register_hospital()
    members = {
        "grant_types": ["client_credentials"],
        "tls_client_certificate_bound_access_tokens": True,
        **metadata,
    }
    world.execute(
        "UPDATE clients SET client_metadata = CAST(:members AS jsonb), source_networks = :networks"
        " WHERE client_id = :client_id",
        members=json.dumps(members),
        networks=list(networks),
        client_id=hospital.client_id,
    )
    return hospital


def of_authority(world: World, **changes: Any) -> Hospital:
    method = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": SUBJECT}
    return hospital_with(world, **{**method, **changes})


def of_itself(world: World, **changes: Any) -> Hospital:
    jwks = json.loads(OWN.jwks())
    return hospital_with(
        world, token_endpoint_auth_method="self_signed_tls_client_auth", jwks=jwks, **changes
    )


METHODS = pytest.mark.parametrize(
    ("register", "shown"),
    [(of_authority, GATEWAY), (of_itself, OWN)],
    ids=["tls_client_auth", "self_signed_tls_client_auth"],
)


def ask(client: TlsClient, hospital: Hospital, base: str = MTLS, **changes: str) -> Answer:
    """Ask for a token."""
    form = {"grant_type": "client_credentials", "client_id": hospital.client_id, "scope": SCOPE, **changes}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return client.request("POST", base + TOKEN, urlencode(form).encode(), headers)


def token_of(client: TlsClient, hospital: Hospital) -> str:
    answer = ask(client, hospital)
    assert answer.status == 200, answer.body
    told = answer.json()
    assert told["token_type"] == "Bearer"
    return str(told["access_token"])


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def directly(server: Server, source: str, path: str, headers: Mapping[str, str]) -> Answer:
    """Ask gunicorn itself, past the proxy, from an address of the loopback."""
    port = urlsplit(server.issuer).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(source, 0))
    try:
        connection.request("GET", path, headers={**headers, "Connection": "close"})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def test_the_metadata_say_where_certificates_are_asked_for(nginx: Nginx) -> None:
    answer = nginx.client().request("GET", f"{ISSUER}/.well-known/oauth-authorization-server")
    metadata = answer.json()
    assert metadata["token_endpoint"] == ISSUER + TOKEN
    assert metadata["mtls_endpoint_aliases"]["token_endpoint"] == MTLS + TOKEN
    assert metadata["tls_client_certificate_bound_access_tokens"] is True
    methods = set(metadata["token_endpoint_auth_methods_supported"])
    assert methods == {"private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"}


@METHODS
def test_a_token_is_bound_to_the_certificate_and_works_with_it_alone(
    nginx: Nginx, world: World, register: Any, shown: Credential
) -> None:
    hospital = register(world)
    client = nginx.client(shown)
    token = token_of(client, hospital)
    claims = claims_of(token)
    assert claims["cnf"] == {"x5t#S256": shown.shown.thumbprint}
    assert claims["client_id"] == hospital.client_id
    good = client.request("GET", MTLS + INFO, headers=bearer(token))
    assert (good.status, good.json()["constraint"]) == (200, "mtls")
    for caller, base in (
        (nginx.client(OTHER), MTLS),
        (nginx.client(make("CN=anything", OWN.key)), MTLS),
        (nginx.client(), MTLS),
        (client, ISSUER),
        (nginx.client(), ISSUER),
    ):
        answer = caller.request("GET", base + INFO, headers=bearer(token))
        assert (answer.status, answer.json()["type"].rpartition("/")[2]) == (401, "token-invalid")
        assert answer.headers["www-authenticate"].startswith("DPoP ")


@METHODS
def test_a_hospital_with_a_certificate_checks_entitlements(
    nginx: Nginx, world: World, register: Any, shown: Credential
) -> None:
    hospital = register(world)
    client = nginx.client(shown)
    token = token_of(client, hospital)
    document = json.dumps(world.document(hospital=hospital)).encode()
    headers = bearer(token, **{"Content-Type": "application/json"})
    for _ in range(2):  # with no proof to burn, the token may be used again
        answer = client.request("POST", MTLS + CHECKS, document, headers)
        assert answer.status == 200, answer.body
    assert len(world.entries_of(hospital)) == 2
    stolen = nginx.client(OTHER).request("POST", MTLS + CHECKS, document, headers)
    assert stolen.status == 401
    assert len(world.entries_of(hospital)) == 2


@METHODS
def test_no_token_without_the_very_certificate(
    nginx: Nginx, world: World, register: Any, shown: Credential
) -> None:
    hospital = register(world)
    another = make(SUBJECT, issuer=make("CN=Authority for tests,C=VN", is_authority=True))
    for credential in (OTHER, another, make(SUBJECT), make("CN=anything", OWN.key)):
        answer = ask(nginx.client(credential), hospital)
        assert (answer.status, answer.json()) == (400, REFUSED)
    unknown = ask(nginx.client(shown), hospital, client_id="hospital-of-nobody")
    assert (unknown.status, unknown.json()) == (400, REFUSED)
    for client, base in ((nginx.client(), MTLS), (nginx.client(shown), ISSUER)):
        answer = ask(client, hospital, base)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_client")
    assert ask(nginx.client(shown), hospital).status == 200


@METHODS
def test_a_certificate_in_a_header_is_worth_nothing(
    nginx: Nginx, server: Server, world: World, register: Any, shown: Credential
) -> None:
    token = token_of(nginx.client(shown), register(world))
    smuggled = bearer(token, **{"Client-Cert": shown.field, "X-Forwarded-For": "127.0.0.1"})
    for base in (ISSUER, MTLS):
        for client in (nginx.client(), nginx.client(OTHER)):
            assert client.request("GET", base + INFO, headers=smuggled).status == 401
    assert directly(server, "127.0.0.2", INFO, smuggled).status == 401
    # Only the proxy's own address makes the difference: that is what must be guarded.
    assert directly(server, "127.0.0.1", INFO, smuggled).status == 200
    for field in ("", shown.field[1:], f"{shown.field}, {shown.field}", OTHER.field):
        told = {**smuggled, "Client-Cert": field}
        assert directly(server, "127.0.0.1", INFO, told).status == 401


@METHODS
def test_a_client_of_another_network_is_refused_whatever_it_forwards(
    nginx: Nginx, world: World, register: Any, shown: Credential
) -> None:
    here, elsewhere = register(world, networks=("127.0.0.0/8",)), register(world, networks=("192.0.2.0/24",))
    client = nginx.client(shown)
    assert ask(client, here).status == 200
    form = urlencode(
        {"grant_type": "client_credentials", "client_id": elsewhere.client_id, "scope": SCOPE}
    ).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": "192.0.2.1"}
    answer = client.request("POST", MTLS + TOKEN, form, headers)
    assert (answer.status, answer.json()) == (400, REFUSED)


def test_a_client_that_moved_to_another_network_is_refused_at_the_resource(
    nginx: Nginx, world: World
) -> None:
    hospital = of_authority(world, networks=("127.0.0.0/8",))
    client = nginx.client(GATEWAY)
    token = token_of(client, hospital)
    assert client.request("GET", MTLS + INFO, headers=bearer(token)).status == 200
    world.execute(
        "UPDATE clients SET source_networks = '{192.0.2.0/24}' WHERE client_id = :client_id",
        client_id=hospital.client_id,
    )
    answer = client.request("GET", MTLS + INFO, headers=bearer(token, **{"X-Forwarded-For": "192.0.2.1"}))
    told = answer.json()
    assert (answer.status, told["reason"]) == (403, "source_address_refused")
    assert told["type"].rpartition("/")[2] == "release-refused"


def test_a_suspended_client_is_refused_with_its_certificate_and_its_token(nginx: Nginx, world: World) -> None:
    hospital = of_authority(world)
    client = nginx.client(GATEWAY)
    token = token_of(client, hospital)
    world.execute("UPDATE clients SET status = 'suspended' WHERE client_id = :it", it=hospital.client_id)
    assert (ask(client, hospital).status, ask(client, hospital).json()) == (400, REFUSED)
    assert client.request("GET", MTLS + INFO, headers=bearer(token)).status == 401


@pytest.mark.parametrize("base", [ISSUER, MTLS])
def test_signed_assertions_and_proofs_work_by_either_name(nginx: Nginx, world: World, base: str) -> None:
    hospital = world.register_hospital()
    client, at = nginx.client(), datetime.now(UTC)
    form = {
        "grant_type": "client_credentials",
        "scope": SCOPE,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": hospital.key.assertion(hospital.client_id, ISSUER, at),
    }
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "DPoP": hospital.key.proof("POST", base + TOKEN, at),
    }
    answer = client.request("POST", base + TOKEN, urlencode(form).encode(), headers)
    assert answer.status == 200, answer.body
    told = answer.json()
    assert told["token_type"] == "DPoP"
    proof = hospital.key.proof("GET", base + INFO, at, told["access_token"])
    shown = client.request(
        "GET", base + INFO, headers={"Authorization": f"DPoP {told['access_token']}", "DPoP": proof}
    )
    assert (shown.status, shown.json()["constraint"]) == (200, "dpop")
    stolen = client.request("GET", base + INFO, headers=bearer(told["access_token"]))
    assert stolen.status == 401


def test_an_assertion_may_buy_a_token_that_is_bound_to_a_certificate(nginx: Nginx, world: World) -> None:
    hospital = world.register_hospital()
    world.execute(
        "UPDATE clients SET client_metadata = client_metadata ||"
        " '{\"tls_client_certificate_bound_access_tokens\": true}' WHERE client_id = :it",
        it=hospital.client_id,
    )
    client = nginx.client(OTHER)
    assertion = hospital.key.assertion(hospital.client_id, ISSUER, datetime.now(UTC))
    answer = ask(client, hospital, client_assertion_type=ASSERTION_TYPE, client_assertion=assertion)
    assert answer.status == 200, answer.body
    token = answer.json()["access_token"]
    assert claims_of(token)["cnf"] == {"x5t#S256": OTHER.shown.thumbprint}
    assert client.request("GET", MTLS + INFO, headers=bearer(token)).status == 200
    assert nginx.client(GATEWAY).request("GET", MTLS + INFO, headers=bearer(token)).status == 401
