"""Every route says how its caller is authenticated, and means it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import Client

import broker.app
from broker.api.route_authentication import AUTHENTICATION
from broker.settings import read_settings

PUBLIC = {"/healthz", "/readyz", "/metrics", "/problems/<slug>", "/oauth/jwks"}
PUBLIC |= {"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}
PUBLIC |= {"/receipts/check", "/citizen/help", "/citizen/hidden-reads", "/citizen/hidden-reads.json"}
PUBLIC |= {"/citizen/verify", "/citizen/verify.js", "/citizen/verify.html"}
PUBLIC |= {"/evidence/<year>/checkpoint", "/evidence/<year>/vkey", "/evidence/<year>/tile/<path:place>"}
PUBLIC |= {"/evidence/<year>/consistency/<old>/<new>", "/evidence/<year>/witnessed-checkpoint"}
PUBLIC |= {"/evidence/<year>/timestamped-checkpoint"}
PUBLIC |= {"/evidence/<year>/timestamp/<size>.checkpoint", "/evidence/<year>/timestamp/<size>.tsr"}
PUBLIC |= {"/openapi.json", "/citizen/style.css", "/citizen/passkey.js", "/citizen/fonts/<name>"}
RESOURCE = "dpop or client certificate"
CLIENT = "private_key_jwt, tls_client_auth or self_signed_tls_client_auth"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The whole broker, wired; its databases are nowhere, and nothing here comes as far as them."""
    directory = tmp_path_factory.mktemp("secrets")
    settings = read_settings(
        {
            "BROKER_ISSUER": "https://broker.example",
            "BROKER_DATABASE_URL": f"postgresql://broker_app@/broker?host={directory}",
            "BROKER_SOURCE_URL": f"postgresql://insurance_reader@/insurance?host={directory}",
            "BROKER_KEY_ENCRYPTION_KEY_FILE": secret(directory / "a", b"a"),
            "BROKER_PSEUDONYM_KEY_FILE": secret(directory / "b", b"b"),
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        # The log of this process belongs to the tests that read it.
        patch.setattr(broker.app, "start_logging", lambda _level: None)
        yield broker.app.create_app(settings)


def secret(path: Path, byte: bytes) -> str:
    path.write_bytes(base64.urlsafe_b64encode(byte * 32))
    path.chmod(0o600)
    return str(path)


def test_every_endpoint_names_its_authentication_and_every_name_is_an_endpoint(app: Flask) -> None:
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == set(AUTHENTICATION)


def test_what_is_open_to_anybody_is_known_here_and_only_read(app: Flask) -> None:
    opened = [rule for rule in app.url_map.iter_rules() if AUTHENTICATION[rule.endpoint].startswith("none")]
    assert {rule.rule for rule in opened} == PUBLIC
    assert {rule.rule for rule in opened if (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}} == set()


def test_an_open_route_says_why(app: Flask) -> None:
    reasons = [words for words in AUTHENTICATION.values() if words.startswith("none")]
    assert [words for words in reasons if not words.startswith("none: ")] == []
    others = set(AUTHENTICATION.values()) - set(reasons)
    assert {words for words in others if not words.startswith("browser: ")} == {RESOURCE, CLIENT}


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_a_protected_route_refuses_whoever_shows_nothing(app: Flask, content_type: str) -> None:
    """The first content type is answered by the hot face where there is one, the second by Flask."""
    protected = [rule for rule in app.url_map.iter_rules() if AUTHENTICATION[rule.endpoint] == RESOURCE]
    assert protected
    for rule in protected:
        path = re.sub("<[^>]*>", "x", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = Client(app).open(path, method=method, data=b"{}", content_type=content_type)
            document = answer.get_json(force=True)
            assert (answer.status_code, document["type"]) == (
                401,
                "https://broker.example/problems/token-invalid",
            )
            assert answer.headers["WWW-Authenticate"].startswith("DPoP ")


def test_every_endpoint_of_clients_refuses_whoever_shows_nothing(app: Flask) -> None:
    paths = [rule.rule for rule in app.url_map.iter_rules() if AUTHENTICATION[rule.endpoint] == CLIENT]
    assert "/oauth/token" in paths
    for path in paths:
        form = {"grant_type": "client_credentials", "scope": "x", "token": "x", "response_type": "code"}
        answer = Client(app).post(path, data=form)
        document = answer.get_json(force=True)
        assert (answer.status_code, document["error"]) == (400, "invalid_client"), path
