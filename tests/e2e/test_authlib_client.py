"""A client that others wrote, Authlib's own, goes the whole way over real HTTP, by discovery alone.

What FAPI 2.0 needs on top of Authlib's client is here in two small classes: assertions that live for a
minute, each with a jti of its own, and DPoP proofs. Authlib's OpenID Connect classes check the ID token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from authlib.common.security import generate_token  # type: ignore[import-untyped]
from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]
from authlib.oauth2.rfc7523 import PrivateKeyJWT  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from authlib.oidc.discovery import OpenIDProviderMetadata  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.bank_and_citizen import (
    Account,
    Bank,
    HandBrowser,
    answer_of,
    create_account,
    register_bank,
)
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import Server
from tests.oauth_flow import INCOME

ALGORITHM = "ES256"


def proof(key: ECKey, method: str, url: str, token: str | None = None) -> str:
    """Return a DPoP proof (RFC 9449, 4.2)."""
    claims = {"jti": generate_token(24), "htm": method, "htu": url, "iat": int(time.time())}
    if token is not None:
        digest = hashlib.sha256(token.encode()).digest()
        claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    public = {name: value for name, value in key.as_dict(private=False).items() if name in "kty crv x y"}
    return jwt.encode({"typ": "dpop+jwt", "alg": ALGORITHM, "jwk": public}, claims, key)


class ProvenPrivateKeyJwt(PrivateKeyJWT):  # type: ignore[misc]
    """Authlib's private_key_jwt with fresh claims for each request, and the proof that goes with it."""

    alg = ALGORITHM

    def __call__(
        self, auth: Any, method: str, uri: str, headers: MutableMapping[str, str], body: Any
    ) -> tuple[str, MutableMapping[str, str], Any]:
        # Authlib keeps the claims it was given, jti included, and lets an assertion live for an hour.
        self.claims = {"exp": int(time.time()) + 60}
        headers["DPoP"] = proof(auth.client_secret, method, uri)
        result: tuple[str, MutableMapping[str, str], Any] = super().__call__(auth, method, uri, headers, body)
        return result


class BoundToken(requests.auth.AuthBase):
    """Sends an access token with its proof (RFC 9449, 7.1)."""

    def __init__(self, key: ECKey, token: str) -> None:
        self.key, self.token = key, token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        assert request.method is not None
        assert request.url is not None
        request.headers["Authorization"] = f"DPoP {self.token}"
        request.headers["DPoP"] = proof(self.key, request.method, request.url, self.token)
        return request


class AuthlibBank:
    """A bank's program: an issuer, a key, and Authlib."""

    def __init__(self, issuer: str, bank: Bank) -> None:
        self.bank = bank
        self.key = ECKey.import_key(bank.jwk)
        url = issuer + "/.well-known/oauth-authorization-server"
        self.metadata = AuthorizationServerMetadata(requests.get(url, timeout=60).json())
        self.metadata.validate()
        self.session = OAuth2Session(
            bank.client_id,
            self.key,
            token_endpoint_auth_method="private_key_jwt",
            revocation_endpoint_auth_method="private_key_jwt",
            redirect_uri=bank.redirect_uri,
            default_timeout=60,
        )
        self.session.register_client_auth_method(ProvenPrivateKeyJwt(self.metadata["issuer"]))

    def push(self, **parameters: str) -> str:
        """Push a request (RFC 9126) and return the address for the browser."""
        asked = {"response_type": "code", "redirect_uri": self.bank.redirect_uri, **parameters}
        auth = self.session.client_auth("private_key_jwt")
        answer = self.session.post(
            self.metadata["pushed_authorization_request_endpoint"], data=asked, auth=auth
        )
        assert answer.status_code == 201, answer.text
        query = {"client_id": self.bank.client_id, "request_uri": answer.json()["request_uri"]}
        return f"{self.metadata['authorization_endpoint']}?{urlencode(query)}"

    def use(self, url: str, token: str, method: str = "GET") -> requests.Response:
        answer: requests.Response = self.session.request(method, url, auth=BoundToken(self.key, token))
        return answer

    def introspect(self, token: str) -> dict[str, Any]:
        answer = self.session.introspect_token(self.metadata["introspection_endpoint"], token=token)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


@pytest.fixture(scope="module")
def bank(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthlibBank]:
    directory = tmp_path_factory.mktemp("authlib")
    bank = AuthlibBank(server.issuer, register_bank(server.environ, directory))
    yield bank
    bank.session.close()


@pytest.fixture
def citizen(server: Server, tmp_path: Path, insurance: InsuranceDatabase) -> Account:
    return create_account(server.environ, tmp_path, insurance)


def test_authlibs_client_goes_the_whole_way(server: Server, bank: AuthlibBank, citizen: Account) -> None:
    session, metadata = bank.session, bank.metadata
    verifier, state, nonce = secrets.token_urlsafe(32), generate_token(30), generate_token(30)
    address = bank.push(
        scope="openid",
        authorization_details=json.dumps([INCOME]),
        state=state,
        nonce=nonce,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
    )
    came = HandBrowser(server.issuer).decide(address, citizen)
    assert answer_of(came)["iss"] == metadata["issuer"]
    tokens = session.fetch_token(
        metadata["token_endpoint"], authorization_response=came, state=state, code_verifier=verifier
    )
    assert tokens["token_type"] == "DPoP"
    [detail] = tokens["authorization_details"]
    assert detail["fields"] == INCOME["fields"]
    assert 0 < tokens["expires_in"] <= 120

    claims = id_claims(bank, tokens["id_token"], nonce)
    assert claims["acr"] == "level-2"

    info = bank.use(server.issuer + "/v1/token-info", tokens["access_token"])
    assert info.status_code == 200
    assert info.json()["sub"] == claims["sub"]

    renewed = session.refresh_token(metadata["token_endpoint"])
    assert renewed["access_token"] != tokens["access_token"]
    assert renewed["refresh_token"] == tokens["refresh_token"]  # not rotated, so kept by Authlib

    told = bank.introspect(renewed["access_token"])
    assert told["active"] is True
    assert told["cnf"] == {"jkt": bank.key.thumbprint()}

    granted = session.fetch_token(
        metadata["token_endpoint"],
        grant_type="client_credentials",
        scope="grant_management_query",
    )
    url = f"{metadata['grant_management_endpoint']}/{tokens['grant_id']}"
    assert bank.use(url, granted["access_token"]).json()["authorization_details"] == [detail]

    for token in (renewed["refresh_token"], renewed["refresh_token"]):  # a second time is no error
        answer = session.revoke_token(metadata["revocation_endpoint"], token=token)
        assert answer.status_code == 200
    assert bank.introspect(renewed["access_token"]) == {"active": False}
    assert bank.use(server.issuer + "/v1/token-info", renewed["access_token"]).status_code == 401
    assert bank.use(url, granted["access_token"]).status_code == 404


def test_authlib_misses_but_rs256_in_the_discovery_document(server: Server, bank: AuthlibBank) -> None:
    url = server.issuer + "/.well-known/openid-configuration"
    document = OpenIDProviderMetadata(requests.get(url, timeout=60).json())
    assert document == bank.metadata
    complaints = []
    for name in document.REGISTRY_KEYS:
        try:
            getattr(document, f"validate_{name}")()
        except ValueError as complaint:
            complaints.append(str(complaint))
    # OpenID Connect Discovery wants RS256 offered; FAPI 2.0 (5.4.1) forbids it, and is obeyed.
    assert complaints == ['"RS256" MUST be included in "id_token_signing_alg_values_supported"']


def test_authlib_refuses_an_answer_with_another_state(
    server: Server, bank: AuthlibBank, citizen: Account
) -> None:
    address = bank.push(
        authorization_details=json.dumps([INCOME]),
        state="state-of-this-session",
        code_challenge=create_s256_code_challenge(secrets.token_urlsafe(32)),
        code_challenge_method="S256",
    )
    came = HandBrowser(server.issuer).decide(address, citizen)
    with pytest.raises(Exception, match="mismatching_state"):
        bank.session.fetch_token(
            bank.metadata["token_endpoint"], authorization_response=came, state="another session"
        )


def id_claims(bank: AuthlibBank, id_token: str, nonce: str) -> CodeIDToken:
    """Return the claims of an ID token, verified (OpenID Connect Core, 3.1.3.7)."""
    keys = KeySet.import_key_set(requests.get(bank.metadata["jwks_uri"], timeout=60).json())
    token = jwt.decode(id_token, keys, algorithms=[ALGORITHM])
    claims = CodeIDToken(
        token.claims,
        token.header,
        {
            "iss": {"essential": True, "value": bank.metadata["issuer"]},
            "aud": {"essential": True, "value": bank.bank.client_id},
        },
        {"nonce": nonce, "client_id": bank.bank.client_id},
    )
    claims.validate()
    return claims
