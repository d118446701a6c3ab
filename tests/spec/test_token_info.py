"""`GET /v1/token-info`: an integrator sees what its token may do; any living token of ours opens it."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.storage.access import PostgresAccess
from connectors.postgres import DatabaseError
from tests.certificates import make
from tests.doors import at_once
from tests.oauth_flow import COMPLETED, Flow, agreed
from tests.oauth_world import Database, Party, World
from tests.spec.test_oauth_introspection import MTLS, MTLS_URL, CertificateBank, machine_token

PATH = "/v1/token-info"


@pytest.fixture
def flow(database: Database) -> Flow:
    return Flow(World(database))


def refused(answer: TestResponse, slug: str, error: str) -> None:
    """Check a refusal: 401, a problem document, a challenge with the error, and nothing of the token."""
    assert answer.status_code == 401, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    document = answer.get_json()
    assert document["type"].endswith(f"/problems/{slug}")
    assert set(document) == {"type", "title", "status", "instance", "request_id"}
    assert f'error="{error}"' in answer.headers["WWW-Authenticate"]


class TestWhatIsTold:
    def test_of_a_token_that_rests_on_a_citizens_grant(self, flow: Flow) -> None:
        body = flow.tokens()
        answer = flow.get(PATH, body["access_token"])
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        now = int(flow.world.clock().timestamp())
        told = answer.get_json()
        assert isinstance(told.pop("sub"), str)
        assert agreed(told["authorization_details"]) == [COMPLETED]
        assert told == {
            "client_id": "bank-a",
            "scope": "share_record",
            "authorization_details": body["authorization_details"],
            "grant_id": body["grant_id"],
            "acr": "level-2",
            "auth_time": now,
            "issued_at_seconds": now,
            "expires_at_seconds": now + 120,
            "constraint": "dpop",
            "cnf": {"jkt": flow.bank.kid},
        }

    def test_of_a_token_of_the_client_itself(self, flow: Flow) -> None:
        answer = flow.get(PATH, machine_token(flow))
        now = int(flow.world.clock().timestamp())
        assert answer.get_json() == {
            "client_id": "bank-a",
            "sub": "client:bank-a",
            "scope": "grant_management_query",
            "issued_at_seconds": now,
            "expires_at_seconds": now + 300,
            "constraint": "dpop",
            "cnf": {"jkt": flow.bank.kid},
        }

    def test_rfc8705_3_of_a_token_bound_to_a_certificate(self, database: Database) -> None:
        flow = Flow(World(database, **MTLS))
        bank = CertificateBank(flow)
        answer = bank.send(PATH, "GET", headers={"Authorization": f"Bearer {bank.token()}"})
        assert answer.status_code == 200
        assert answer.get_json()["constraint"] == "mtls"
        assert answer.get_json()["cnf"] == {"x5t#S256": bank.credential.shown.thumbprint}

    def test_no_scope_is_needed(self, flow: Flow) -> None:
        for scope in ("grant_management_query", "grant_management_revoke"):
            assert flow.get(PATH, machine_token(flow, scope)).get_json()["scope"] == scope

    def test_nobody_is_named_and_no_pseudonym_is_shared_by_two_banks(self, flow: Flow) -> None:
        citizen = flow.citizen()
        other = flow.register_bank("bank-b", organisation_id="bank-2")
        answers = [
            flow.get(PATH, flow.tokens(citizen, party=party)["access_token"], party)
            for party in (flow.bank, other)
        ]
        for answer in answers:
            assert citizen.personal_id not in answer.text
            assert citizen.citizen_id not in answer.text
        assert len({answer.get_json()["sub"] for answer in answers}) == 2


class TestWhoIsRefused:
    def test_rfc6750_3_1_without_a_token_the_challenge_names_no_error(self, flow: Flow) -> None:
        answer = flow.world.http.get(PATH, base_url=flow.world.issuer)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'DPoP algs="ES256 EdDSA PS256"'

    def test_fapi_5_3_4_2_a_token_in_the_query_is_no_token(self, flow: Flow) -> None:
        token = machine_token(flow)
        answer = flow.world.http.get(f"{PATH}?access_token={token}", base_url=flow.world.issuer)
        assert answer.status_code == 401
        assert token not in answer.text

    def test_rfc9449_7_2_a_bound_token_does_not_go_as_bearer(self, flow: Flow) -> None:
        token = machine_token(flow)
        refused(flow.get(PATH, token, scheme="Bearer"), "token-invalid", "invalid_token")
        refused(flow.get(PATH, token, scheme="Bearer", proof=""), "token-invalid", "invalid_token")

    def test_rfc9449_7_1_without_a_proof(self, flow: Flow) -> None:
        refused(flow.get(PATH, machine_token(flow), proof=""), "proof-invalid", "invalid_dpop_proof")

    @pytest.mark.parametrize("change", [{"htm": "POST"}, {"htu": "https://x.example/"}, {"ath": "x"}])
    def test_rfc9449_4_3_with_a_proof_for_something_else(self, flow: Flow, change: dict[str, Any]) -> None:
        token = machine_token(flow)
        url = flow.world.issuer + PATH
        proof = flow.bank.proof(flow.world.clock(), "GET", url, token, **change)
        refused(flow.get(PATH, token, proof=proof), "proof-invalid", "invalid_dpop_proof")

    def test_rfc9449_11_1_with_a_proof_used_before(self, flow: Flow) -> None:
        token = machine_token(flow)
        proof = flow.bank.proof(flow.world.clock(), "GET", flow.world.issuer + PATH, token)
        assert flow.get(PATH, token, proof=proof).status_code == 200
        refused(flow.get(PATH, token, proof=proof), "proof-invalid", "invalid_dpop_proof")

    def test_rfc9449_11_1_of_eight_uses_of_a_proof_at_once_one_is_answered(self, flow: Flow) -> None:
        token, world = machine_token(flow), flow.world
        proof = flow.bank.proof(world.clock(), "GET", world.issuer + PATH, token)
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}

        def ask(_: int) -> int:
            answer = world.app.test_client().get(PATH, headers=headers, base_url=world.issuer)
            return int(answer.status_code)

        assert sorted(at_once(ask, range(8))) == [200] + [401] * 7

    def test_with_anothers_key(self, flow: Flow) -> None:
        token = machine_token(flow)
        refused(flow.get(PATH, token, Party("bank-a")), "proof-invalid", "invalid_dpop_proof")

    def test_rfc9068_4_after_its_end(self, flow: Flow) -> None:
        token = machine_token(flow)
        flow.world.clock.move(299)
        assert flow.is_good(token)
        flow.world.clock.move(1)
        refused(flow.get(PATH, token), "token-invalid", "invalid_token")

    @pytest.mark.parametrize(
        "row", ["DELETE FROM access_tokens", "UPDATE access_tokens SET revoked_at = now()"]
    )
    def test_when_the_store_knows_it_no_longer(self, flow: Flow, row: str) -> None:
        token = machine_token(flow)
        assert flow.is_good(token), "its claims are now kept by the worker"
        with flow.world.engine.begin() as connection:
            connection.execute(text(row))
        refused(flow.get(PATH, token), "token-invalid", "invalid_token")

    def test_a_refused_request_burns_no_proof(self, flow: Flow) -> None:
        token = machine_token(flow)
        flow.world.clients.suspend_client("bank-a", flow.world.clock())
        used = flow.world.count("used_proofs")
        refused(flow.get(PATH, token), "token-invalid", "invalid_token")
        assert flow.world.count("used_proofs") == used

    def test_rfc8705_3_with_another_certificate_or_none(self, database: Database) -> None:
        flow = Flow(World(database, **MTLS))
        bank = CertificateBank(flow)
        headers = {"Authorization": f"Bearer {bank.token()}"}
        other = bank.send(PATH, "GET", make("CN=bank"), headers=headers)
        refused(other, "token-invalid", "invalid_token")
        bare = flow.world.http.get(PATH, headers=headers, base_url=MTLS_URL)
        refused(bare, "token-invalid", "invalid_token")

    def test_rfc9440_a_certificate_that_no_trusted_proxy_tells_of_is_none(self, database: Database) -> None:
        flow = Flow(World(database, **MTLS))
        bank = CertificateBank(flow)
        headers = {"Authorization": f"Bearer {bank.token()}", "Client-Cert": bank.credential.field}
        answer = flow.world.http.get(
            PATH, headers=headers, base_url=MTLS_URL, environ_base={"REMOTE_ADDR": "192.0.2.1"}
        )
        refused(answer, "token-invalid", "invalid_token")

    def test_from_another_network_than_the_one_registered(self, database: Database) -> None:
        flow = Flow(World(database, trusted_proxies=MTLS["trusted_proxies"]))
        token, request_id = machine_token(flow), str(uuid4())
        with flow.world.engine.begin() as connection:
            networks = {"networks": [str(ip_network("203.0.113.0/24"))]}
            statement = "UPDATE clients SET source_networks = CAST(:networks AS cidr[])"
            connection.execute(text(statement), networks)

        def ask(address: str) -> TestResponse:
            proof = flow.bank.proof(flow.world.clock(), "GET", flow.world.issuer + PATH, token)
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof, "X-Forwarded-For": address}
            headers["X-Request-Id"] = request_id
            answer: TestResponse = flow.world.http.get(PATH, headers=headers, base_url=flow.world.issuer)
            return answer

        assert ask("203.0.113.9").status_code == 200
        for address in ("192.0.2.7", "", "nonsense"):
            answer = ask(address)
            assert answer.status_code == 403, answer.text
            document = answer.get_json()
            assert document["reason"] == "source_address_refused"
            assert document["instance"] == f"urn:uuid:{request_id}", "nothing is recorded"

    def test_another_method_is_not_offered(self, flow: Flow) -> None:
        answer = flow.get(PATH, machine_token(flow), method="POST")
        assert answer.status_code == 405
        assert answer.get_json()["type"].endswith("/problems/method-not-allowed")


def test_when_the_store_does_not_answer_nothing_is_told(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    token = machine_token(flow)

    def fail(*_: Any) -> None:
        raise DatabaseError("secret-host")

    store = flow.world.wiring.store.prepared
    monkeypatch.setattr(type(store), "execute", fail)
    answer = flow.get(PATH, token)
    assert answer.status_code == 503
    assert answer.get_json()["type"].endswith("/problems/evidence-unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert "secret-host" not in answer.text


def test_a_token_that_was_never_issued_is_not_alive(database: Database) -> None:
    access = PostgresAccess(database.store.prepared, 5.0)
    assert access.is_alive(bytes(32)) is False
