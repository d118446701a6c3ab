"""Introspection, plain and signed (RFC 7662, RFC 9701): a client learns what its own tokens are worth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.keys import PURPOSES
from broker.oauth.jose import encode_segment
from broker.storage.grants import PostgresGrants
from tests.certificates import Credential, make
from tests.oauth_flow import COMPLETED, Flow, agreed
from tests.oauth_world import Database, Party, World

SIGNED = "application/token-introspection+jwt"
INACTIVE = {"active": False}
MTLS_URL = "https://mtls.broker.example"
MTLS: Mapping[str, Any] = {"mtls_url": MTLS_URL, "trusted_proxies": (ip_network("127.0.0.0/8"),)}


@pytest.fixture
def flow(database: Database) -> Flow:
    return Flow(World(database))


def introspect(flow: Flow, token: Any, party: Party | None = None, **more: Any) -> TestResponse:
    """Ask about a token; a parameter that is ... is left out."""
    headers = {"Accept": more.pop("accept", "application/json")}
    return flow.post("/oauth/introspect", {"token": token, **more}, party, proof="", headers=headers)


def told(answer: TestResponse) -> dict[str, Any]:
    """Return what a plain answer says, with the headers that it must have."""
    assert answer.status_code == 200, answer.get_json()
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    return dict(answer.get_json())


def verified(flow: Flow, answer: TestResponse) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a signed answer, verified with the keys that the broker publishes."""
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.headers["Content-Type"] == SIGNED
    assert answer.headers["Cache-Control"] == "no-store"
    published = flow.world.http.get("/oauth/jwks", base_url=flow.world.issuer).get_json()
    read = jwt.decode(answer.text, KeySet.import_key_set(published), algorithms=["ES256"])
    return read.header, read.claims


def machine_token(flow: Flow, scope: str = "grant_management_query", party: Party | None = None) -> str:
    """Return a token that a client got for itself."""
    answer = flow.post("/oauth/token", {"grant_type": "client_credentials", "scope": scope}, party)
    assert answer.status_code == 200, answer.get_json()
    return str(answer.get_json()["access_token"])


class CertificateBank:
    """A bank that shows a certificate instead of signing, through a proxy that the broker trusts."""

    def __init__(self, flow: Flow, client_id: str = "bank-tls") -> None:
        self.flow, self.client_id = flow, client_id
        self.credential: Credential = make("CN=bank")
        flow.register_bank(
            client_id,
            jwks=json.loads(self.credential.jwks()),
            token_endpoint_auth_method="self_signed_tls_client_auth",
            tls_client_certificate_bound_access_tokens=True,
        )

    def send(self, path: str, method: str = "POST", shown: Credential | None = None, **given: Any) -> Any:
        credential = shown or self.credential
        headers = {
            "Client-Cert": credential.field,
            "X-Forwarded-For": "192.0.2.7",
            **given.pop("headers", {}),
        }
        data = {"client_id": self.client_id, **given} if method == "POST" else None
        return self.flow.world.http.open(path, method=method, data=data, headers=headers, base_url=MTLS_URL)

    def token(self, scope: str = "grant_management_query") -> str:
        answer = self.send("/oauth/token", grant_type="client_credentials", scope=scope)
        assert answer.status_code == 200, answer.get_json()
        return str(answer.get_json()["access_token"])


class TestAccessTokens:
    def test_rfc7662_2_2_a_token_of_a_citizens_grant_is_told_in_full(self, flow: Flow) -> None:
        body = flow.tokens()
        now = int(flow.world.clock().timestamp())
        answer = told(introspect(flow, body["access_token"]))
        assert isinstance(answer.pop("jti"), str)
        assert isinstance(answer.pop("sub"), str)
        assert agreed(answer.pop("authorization_details")) == [COMPLETED]
        assert answer == {
            "active": True,
            "iss": flow.world.issuer,
            "aud": flow.world.issuer,
            "client_id": "bank-a",
            "scope": "share_record",
            "iat": now,
            "exp": now + 120,
            "token_type": "DPoP",
            "cnf": {"jkt": flow.bank.kid},
            "grant_id": body["grant_id"],
            "acr": "level-2",
            "auth_time": now,
        }

    def test_rfc7662_2_2_a_token_of_the_client_itself_has_nothing_of_a_citizen(self, flow: Flow) -> None:
        answer = told(introspect(flow, machine_token(flow)))
        assert answer["active"] is True
        assert answer["sub"] == "client:bank-a"
        assert answer["scope"] == "grant_management_query"
        assert not answer.keys() & {"grant_id", "authorization_details", "acr", "auth_time", "username"}

    def test_rfc8705_3_2_a_token_bound_to_a_certificate_says_so(self, database: Database) -> None:
        flow = Flow(World(database, **MTLS))
        bank = CertificateBank(flow)
        answer = bank.send("/oauth/introspect", token=bank.token())
        assert told(answer)["cnf"] == {"x5t#S256": bank.credential.shown.thumbprint}
        assert answer.get_json()["token_type"] == "Bearer"

    def test_rfc9396_9_2_details_are_those_that_the_citizen_gave(self, flow: Flow) -> None:
        citizen = flow.citizen()
        attempt = flow.granted(citizen, fields=("0.salary_base",))
        answer = told(introspect(flow, flow.redeem(attempt).get_json()["access_token"]))
        assert answer["authorization_details"][0]["fields"] == ["salary_base"]


class TestRefreshTokens:
    def test_rfc7662_2_2_a_refresh_token_is_told_with_its_grant(self, flow: Flow) -> None:
        body = flow.tokens()
        with flow.world.engine.connect() as connection:
            expires_at: datetime = connection.execute(text("SELECT expires_at FROM grants")).scalar_one()
        answer = told(introspect(flow, body["refresh_token"]))
        subject = told(introspect(flow, body["access_token"]))["sub"]
        assert answer.pop("authorization_details") == body["authorization_details"]
        assert answer == {
            "active": True,
            "client_id": "bank-a",
            "sub": subject,
            "scope": "share_record",
            "exp": int(expires_at.timestamp()),
            "grant_id": body["grant_id"],
        }

    def test_rfc7662_2_2_it_ends_with_its_grant(self, flow: Flow) -> None:
        body = flow.tokens()
        flow.world.clock.move(31 * 86_400)
        assert told(introspect(flow, body["refresh_token"])) == INACTIVE

    def test_rfc7662_2_2_a_grant_of_openid_alone_has_no_details(self, flow: Flow) -> None:
        body = flow.tokens(scope="openid", authorization_details=...)
        answer = told(introspect(flow, body["refresh_token"]))
        assert answer["active"] is True
        assert answer["scope"] == "openid"
        assert "authorization_details" not in answer


class TestNoOracle:
    """Whatever a client may not know looks like a token that never was (RFC 7662, 2.2 and 4)."""

    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    def test_rfc7662_2_2_a_token_of_another_client_is_not_active(self, flow: Flow, kind: str) -> None:
        token = flow.tokens()[kind]
        other = flow.register_bank("bank-b", organisation_id="bank-2")
        answer = introspect(flow, token, other)
        assert told(answer) == INACTIVE
        assert answer.get_data() == introspect(flow, "unknown", other).get_data()
        assert told(introspect(flow, token))["active"] is True, "the asking has changed nothing"

    def test_rfc7662_2_2_a_token_of_another_client_of_the_same_organisation_too(self, flow: Flow) -> None:
        token = flow.tokens()["access_token"]
        assert told(introspect(flow, token, flow.register_bank("bank-a2"))) == INACTIVE

    @pytest.mark.parametrize(
        "token",
        ["x", "x.y.z", "a" * 43, "a" * 60_000, "..", "é", "\x00", " ", "1" * 129],
        ids=lambda token: repr(token[:3]),
    )
    def test_rfc7662_2_2_what_is_no_token_is_not_active(self, flow: Flow, token: str) -> None:
        assert told(introspect(flow, token)) == INACTIVE

    def test_rfc7662_2_2_a_token_signed_by_another_key_is_not_active(self, flow: Flow) -> None:
        header, claims, _ = machine_token(flow).split(".")
        forged = Party("bank-a").sign({}, b"").split(".")[2]
        assert told(introspect(flow, f"{header}.{claims}.{forged}")) == INACTIVE

    def test_rfc7662_2_2_a_token_whose_claims_were_changed_is_not_active(self, flow: Flow) -> None:
        token = machine_token(flow)
        header, _, signature = token.split(".")
        claims = told(introspect(flow, token))
        claims["scope"] = "manage_clients"
        changed = encode_segment(json.dumps(claims).encode()).decode()
        assert told(introspect(flow, f"{header}.{changed}.{signature}")) == INACTIVE

    def test_rfc7662_2_2_a_token_signed_by_us_that_was_never_handed_out_is_not_active(
        self, flow: Flow
    ) -> None:
        claims = told(introspect(flow, machine_token(flow)))
        never_stored = flow.world.ring.sign_access_token({**claims, "jti": "another"})
        assert told(introspect(flow, never_stored)) == INACTIVE

    def test_rfc7662_2_2_a_receipt_or_an_id_token_is_not_active(self, flow: Flow) -> None:
        body = flow.tokens(scope="openid")
        assert told(introspect(flow, body["id_token"])) == INACTIVE
        assert told(introspect(flow, flow.world.ring.sign_receipt({"client_id": "bank-a"}))) == INACTIVE

    def test_rfc7662_2_2_an_expired_token_is_not_active(self, flow: Flow) -> None:
        token = flow.tokens()["access_token"]
        flow.world.clock.move(119)
        assert told(introspect(flow, token))["active"] is True
        flow.world.clock.move(1)
        assert told(introspect(flow, token)) == INACTIVE

    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    @pytest.mark.parametrize("revoker", ["client", "data_subject", "operator"])
    def test_rfc7662_2_2_tokens_of_a_revoked_grant_are_not_active(
        self, flow: Flow, kind: str, revoker: Any
    ) -> None:
        body = flow.tokens()
        PostgresGrants(flow.world.engine).revoke_grant(body["grant_id"], revoker, datetime.now(UTC))
        assert told(introspect(flow, body[kind])) == INACTIVE

    def test_rfc7662_2_2_what_a_replayed_code_bought_is_not_active(self, flow: Flow) -> None:
        attempt = flow.granted()
        body = flow.redeem(attempt).get_json()
        assert flow.redeem(attempt).get_json()["error"] == "invalid_grant"
        assert told(introspect(flow, body["access_token"])) == INACTIVE
        assert told(introspect(flow, body["refresh_token"])) == INACTIVE


class TestRequests:
    def test_rfc7662_2_1_the_token_is_needed(self, flow: Flow) -> None:
        for token in (..., ""):
            answer = introspect(flow, token)
            assert answer.status_code == 400
            assert answer.get_json() == {"error": "invalid_request", "error_description": "token is missing"}

    @pytest.mark.parametrize("hint", ["access_token", "refresh_token", "id_token", "x y", ...])
    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    def test_rfc7662_2_1_a_hint_right_wrong_or_unknown_changes_nothing(
        self, flow: Flow, kind: str, hint: Any
    ) -> None:
        token = flow.tokens()[kind]
        assert told(introspect(flow, token, token_type_hint=hint)) == told(introspect(flow, token))

    def test_rfc7662_2_1_the_client_must_authenticate(self, flow: Flow) -> None:
        token = machine_token(flow)
        for changes in ({"client_assertion": ...}, {"client_assertion": "x.y.z"}):
            answer = introspect(flow, token, **changes)
            assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_client")
            assert "active" not in answer.get_json()

    def test_rfc7662_4_an_access_token_does_not_authenticate_anybody(self, flow: Flow) -> None:
        token = machine_token(flow)
        answer = flow.world.http.post(
            "/oauth/introspect", data={"token": token}, headers={"Authorization": f"DPoP {token}"}
        )
        assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_client")

    def test_rfc7523_3_an_assertion_asks_once(self, flow: Flow) -> None:
        token, assertion = machine_token(flow), flow.bank.assertion(flow.world.clock())
        assert told(introspect(flow, token, client_assertion=assertion))["active"] is True
        again = introspect(flow, token, client_assertion=assertion)
        assert (again.status_code, again.get_json()["error"]) == (400, "invalid_client")
        assert again.get_json()["error_description"] == "jti of the client assertion was used before"

    def test_rfc7523_3_an_assertion_that_bought_a_token_does_not_ask(self, flow: Flow) -> None:
        assertion = flow.bank.assertion(flow.world.clock())
        form = {"grant_type": "client_credentials", "scope": "grant_management_query"}
        bought = flow.post("/oauth/token", {**form, "client_assertion": assertion})
        assert bought.status_code == 200
        answer = introspect(flow, bought.get_json()["access_token"], client_assertion=assertion)
        assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_client")

    def test_rfc7662_2_1_a_query_and_other_methods_are_refused(self, flow: Flow) -> None:
        token = machine_token(flow)
        asked = flow.post(f"/oauth/introspect?token={token}", {"token": token}, proof="")
        assert (asked.status_code, asked.get_json()["error"]) == (400, "invalid_request")
        assert flow.world.http.get("/oauth/introspect").status_code == 405

    def test_rfc7662_2_1_a_proof_may_be_sent_and_changes_nothing(self, flow: Flow) -> None:
        token = machine_token(flow)
        answer = flow.post("/oauth/introspect", {"token": token}, proof="no.proof.atall")
        assert told(answer)["active"] is True


class TestSignedAnswers:
    def test_rfc9701_5_the_answer_is_a_jwt_for_the_client_that_asked(self, flow: Flow) -> None:
        token = flow.tokens()["access_token"]
        header, claims = verified(flow, introspect(flow, token, accept=SIGNED))
        assert header["typ"] == "token-introspection+jwt"
        assert set(header) == {"alg", "kid", "typ"}
        assert claims == {
            "iss": flow.world.issuer,
            "aud": "bank-a",
            "iat": int(flow.world.clock().timestamp()),
            "token_introspection": told(introspect(flow, token)),
        }, "no sub and no exp: nobody takes it for an access token"

    def test_rfc9701_5_of_a_token_that_is_not_active_nothing_is_told(self, flow: Flow) -> None:
        _, claims = verified(flow, introspect(flow, "unknown", accept=SIGNED))
        assert claims["token_introspection"] == INACTIVE

    def test_rfc9701_8_1_the_answer_is_no_access_token(self, flow: Flow) -> None:
        answer = introspect(flow, machine_token(flow), accept=SIGNED)
        assert told(introspect(flow, answer.text)) == INACTIVE
        assert not flow.is_good(answer.text)

    @pytest.mark.parametrize(
        ("accept", "is_signed"),
        [
            (SIGNED, True),
            (SIGNED.upper(), True),
            (f"{SIGNED};q=0.5", True),
            (f"text/html, {SIGNED};q=0.9, application/json;q=0.8", True),
            (f"application/json, {SIGNED}", True),
            (f"application/json, {SIGNED};q=0.5", False),
            (f"{SIGNED};q=0", False),
            ("application/jwt", False),
            ("*/*", False),
            ("application/*", False),
            ("", False),
            (";;=,", False),
        ],
    )
    def test_rfc9701_4_the_accept_field_decides(self, flow: Flow, accept: str, is_signed: bool) -> None:
        answer = introspect(flow, machine_token(flow), accept=accept)
        assert (answer.headers["Content-Type"] == SIGNED) is is_signed

    @pytest.mark.parametrize("accept", [SIGNED, "application/json", "*/*"])
    def test_rfc9701_6_a_client_registered_for_it_always_gets_it_signed(
        self, flow: Flow, accept: str
    ) -> None:
        bank = flow.register_bank("bank-signed", introspection_signed_response_alg="ES256")
        token = machine_token(flow, party=bank)
        header, claims = verified(flow, introspect(flow, token, bank, accept=accept))
        assert header["alg"] == "ES256"
        assert claims["aud"] == "bank-signed"
        assert claims["token_introspection"]["active"] is True

    def test_rfc9701_5_errors_stay_json(self, flow: Flow) -> None:
        answer = introspect(flow, ..., accept=SIGNED)
        assert answer.status_code == 400
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.get_json()["error"] == "invalid_request"

    def test_rfc9701_7_metadata_tells_the_algorithm_that_signs(self, flow: Flow) -> None:
        path = "/.well-known/oauth-authorization-server"
        metadata = flow.world.http.get(path, base_url=flow.world.issuer).get_json()
        assert metadata["introspection_endpoint"] == f"{flow.world.issuer}/oauth/introspect"
        header, _ = verified(flow, introspect(flow, "unknown", accept=SIGNED))
        assert header["alg"] in metadata["introspection_signing_alg_values_supported"]
        assert "private_key_jwt" in metadata["introspection_endpoint_auth_methods_supported"]

    def test_its_key_signs_nothing_else(self, flow: Flow) -> None:
        header, _ = verified(flow, introspect(flow, "unknown", accept=SIGNED))
        kids = {key.purpose: key.kid for key in flow.world.ring.stored_keys()}
        assert header["kid"] == kids["introspection"]
        assert len(set(kids.values())) == len(PURPOSES)
