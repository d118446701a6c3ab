"""A bank with a certificate and no signature goes all ways by the addresses of the metadata (RFC 8705)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from broker.oauth.client_metadata_schema import CIBA
from tests.certificates import Credential, make
from tests.citizen_world import Citizen
from tests.inbox_flow import InboxFlow
from tests.oauth_flow import CALLBACK, COMPLETED, INCOME, Attempt, agreed, challenge_of, parts_of
from tests.oauth_world import Database
from tests.spec.test_oauth_introspection import MTLS, MTLS_URL, CertificateBank

STRANGER = make("CN=bank")
"""The same name, another key."""
DETAILS = json.dumps([INCOME])


class AliasBank(CertificateBank):
    """Finds every endpoint in the metadata, as RFC 8705, 5 has it."""

    def at(self, name: str) -> str:
        path = "/.well-known/oauth-authorization-server"
        document = self.flow.world.http.get(path, base_url=MTLS_URL).get_json()
        url = str(document["mtls_endpoint_aliases"][name])
        assert url.startswith(f"{MTLS_URL}/")
        return urlsplit(url).path

    def push(self, attempt: Attempt, shown: Credential | None = None) -> Any:
        answer = self.send(
            self.at("pushed_authorization_request_endpoint"),
            shown=shown,
            response_type="code",
            redirect_uri=CALLBACK,
            state=attempt.state,
            code_challenge=challenge_of(attempt.verifier),
            code_challenge_method="S256",
            authorization_details=DETAILS,
        )
        if answer.status_code == 201:
            attempt.request_uri = str(answer.get_json()["request_uri"])
        return answer

    def redeem(self, attempt: Attempt, shown: Credential | None = None) -> Any:
        return self.send(
            self.at("token_endpoint"),
            shown=shown,
            grant_type="authorization_code",
            code=attempt.code,
            redirect_uri=CALLBACK,
            code_verifier=attempt.verifier,
        )

    def refresh(self, refresh_token: str, shown: Credential | None = None) -> Any:
        return self.send(
            self.at("token_endpoint"), shown=shown, grant_type="refresh_token", refresh_token=refresh_token
        )

    def ask(self, citizen: Citizen, shown: Credential | None = None) -> Any:
        return self.send(
            self.at("backchannel_authentication_endpoint"),
            shown=shown,
            scope="openid",
            login_hint=citizen.personal_id,
            authorization_details=DETAILS,
        )

    def poll(self, auth_req_id: str, shown: Credential | None = None) -> Any:
        return self.send(self.at("token_endpoint"), shown=shown, grant_type=CIBA, auth_req_id=auth_req_id)

    def bearer(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def is_good(self, token: str, shown: Credential | None = None) -> bool:
        answer = self.send("/v1/token-info", "GET", shown, headers=self.bearer(token))
        return bool(answer.status_code == 200)


@pytest.fixture
def flow(database: Database) -> InboxFlow:
    return InboxFlow(database, **MTLS)


@pytest.fixture
def bank(flow: InboxFlow) -> AliasBank:
    return AliasBank(flow)


def bound(bank: AliasBank, answer: Any) -> dict[str, Any]:
    """Return a token response whose access token works with the bank's certificate alone."""
    assert answer.status_code == 200, answer.get_json()
    body: dict[str, Any] = answer.get_json()
    assert body["token_type"] == "Bearer"
    claims = parts_of(body["access_token"])[1]
    assert claims["cnf"] == {"x5t#S256": bank.credential.shown.thumbprint}
    assert agreed(body["authorization_details"]) == [COMPLETED]
    assert bank.is_good(body["access_token"])
    assert not bank.is_good(body["access_token"], STRANGER)
    return body


def turned_away(answer: Any) -> None:
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "invalid_client"


def granted(flow: InboxFlow, bank: AliasBank) -> Attempt:
    attempt = Attempt()
    turned_away(bank.push(attempt, STRANGER))
    assert bank.push(attempt).status_code == 201
    assert flow.decide(flow.citizen(), attempt, client_id=bank.client_id).status_code == 303
    return attempt


def test_rfc8705_5_every_endpoint_that_a_certificate_counts_at_has_an_alias(bank: AliasBank) -> None:
    path = "/.well-known/oauth-authorization-server"
    document = bank.flow.world.http.get(path, base_url=MTLS_URL).get_json()
    names = {
        *("token_endpoint", "pushed_authorization_request_endpoint", "introspection_endpoint"),
        *("revocation_endpoint", "backchannel_authentication_endpoint", "grant_management_endpoint"),
    }
    assert document["mtls_endpoint_aliases"].keys() == names
    for name, url in document["mtls_endpoint_aliases"].items():
        assert urlsplit(url).path == urlsplit(document[name]).path
    assert document["tls_client_certificate_bound_access_tokens"] is True


def test_fapi_5_3_2_1_5_and_6_a_certificate_pushes_redeems_and_refreshes(
    flow: InboxFlow, bank: AliasBank
) -> None:
    attempt = granted(flow, bank)
    turned_away(bank.redeem(attempt, STRANGER))
    body = bound(bank, bank.redeem(attempt))
    turned_away(bank.refresh(body["refresh_token"], STRANGER))
    renewed = bound(bank, bank.refresh(body["refresh_token"]))
    assert renewed["grant_id"] == body["grant_id"]
    again = bank.redeem(attempt)
    assert (again.status_code, again.get_json()["error"]) == (400, "invalid_grant")


def test_fapi_5_3_2_1_5_and_6_a_certificate_asks_by_the_backchannel(flow: InboxFlow, bank: AliasBank) -> None:
    person = flow.citizen()
    turned_away(bank.ask(person, STRANGER))
    asked = bank.ask(person)
    assert asked.status_code == 200, asked.get_json()
    auth_req_id = asked.get_json()["auth_req_id"]
    [waiting] = flow.waiting(person)
    flow.answer(person, waiting)
    turned_away(bank.poll(auth_req_id, STRANGER))
    bound(bank, bank.poll(auth_req_id))


def test_rfc8705_5_a_client_that_goes_by_the_metadata_sees_and_ends_its_grant(
    flow: InboxFlow, bank: AliasBank
) -> None:
    body = bound(bank, bank.redeem(granted(flow, bank)))
    url = f"{bank.at('grant_management_endpoint')}/{body['grant_id']}"
    looking = bank.send(url, "GET", headers=bank.bearer(bank.token("grant_management_query")))
    assert looking.status_code == 200, looking.get_json()
    assert agreed(looking.get_json()["authorization_details"]) == [COMPLETED]
    ended = bank.send(url, "DELETE", headers=bank.bearer(bank.token("grant_management_revoke")))
    assert ended.status_code == 204
    assert not bank.is_good(body["access_token"])
