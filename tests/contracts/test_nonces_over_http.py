"""Servers that ask for nonces in DPoP proofs (RFC 9449, 8 and 9), and the caller that copes with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker.cli.caller import Caller
from broker.cli.embedded import EmbeddedCluster
from tests.contracts.test_call_over_http import claims_of, key_of, listening
from tests.oauth_world import World


@pytest.fixture(scope="module")
def world(cluster: EmbeddedCluster) -> Iterator[World]:
    """A server whose proofs need nonces."""
    with listening(cluster, dpop_nonce_seconds=60) as world:
        yield world


@pytest.fixture
def caller(world: World) -> Iterator[Caller]:
    caller = Caller(world.issuer, "hospital-a", key_of(world.party), "verify_entitlement")
    yield caller
    caller.close()


def test_a_nonce_is_learnt_from_the_refusal_and_then_kept(caller: Caller, world: World) -> None:
    first = caller.proof("POST", caller.issuer + "/oauth/token")
    assert "nonce" not in claims_of(first)
    assert caller.request("POST", "/v1/things").status == 200
    assert claims_of(str(caller.last_proof))["nonce"]
    before = world.count("access_tokens")
    assert caller.request("POST", "/v1/things").status == 200
    assert world.count("access_tokens") == before


def test_a_resource_tells_the_nonce_that_it_wants(caller: Caller) -> None:
    proof = caller.key.proof("POST", caller.issuer + "/v1/things", caller.clock(), caller.token())
    refused = caller.request("POST", "/v1/things", proof=proof)
    assert refused.status == 401
    assert 'DPoP error="use_dpop_nonce"' in refused.headers["www-authenticate"]
    nonce = refused.headers["dpop-nonce"]
    good = caller.key.proof("POST", caller.issuer + "/v1/things", caller.clock(), caller.token(), nonce)
    assert caller.request("POST", "/v1/things", proof=good).status == 200


def test_a_nonce_that_is_too_old_is_exchanged(caller: Caller) -> None:
    caller._nonce = "yesterday"
    assert caller.request("POST", "/v1/things").status == 200
    assert claims_of(str(caller.last_proof))["nonce"] != "yesterday"


def test_a_form_is_posted_authenticated(caller: Caller) -> None:
    answer = caller.post_form("token_endpoint", {"grant_type": "client_credentials"})
    assert (answer.status, answer.json()["error"]) == (400, "invalid_scope")
