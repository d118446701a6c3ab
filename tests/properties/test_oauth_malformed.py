"""Whatever is sent: never accepted, never an unforeseen error."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from broker.cli.embedded import EmbeddedCluster
from broker.errors import ProofInvalid, TokenInvalid
from broker.oauth.dpop import ProofVerifier, is_same_target
from broker.oauth.jose import (
    JoseRefused,
    check_window,
    decode_object,
    decode_segment,
    encode_segment,
    split_compact,
)
from broker.oauth.jose_keys import import_public_jwk
from broker.oauth.protector import Protector
from broker.oauth.registration import JwksRefused, read_jwks, registrable_jwks
from tests.oauth_world import ASSERTION_TYPE, ISSUER, Database, Party, World, oauth_database

URL = f"{ISSUER}/v1/things"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
PARTY = Party("hospital-a")
JWK = PARTY.key.as_dict(private=False)
PROOF = PARTY.proof(NOW, url=URL)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
segments = st.text(alphabet=string.ascii_letters + string.digits + "-_=+/ .ế\n", max_size=80)


class Nobody:
    """No keys are published."""

    def find_key(self, kid: str) -> None:
        assert isinstance(kid, str)


def compact(header: Any, payload: Any, signature: bytes = b"\1" * 64) -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(encode_segment(part).decode() for part in parts)


names = st.sampled_from(
    ["typ", "alg", "jwk", "kid", "crit", "jti", "htm", "htu", "iat", "nbf", "exp", "ath", "sub"]
)
objects = st.dictionaries(names, json_values, max_size=8)


@given(st.text(max_size=200) | st.tuples(segments, segments, segments).map(".".join))
@example("DPoP " + "a" * 30_000)
def test_no_text_is_a_token_or_a_proof(value: str) -> None:
    protector = Protector(ISSUER, ISSUER, Nobody())
    with pytest.raises(TokenInvalid):
        protector.verify(f"DPoP {value}", value, "POST", URL, NOW)
    with pytest.raises(ProofInvalid):
        ProofVerifier().verify(value, "POST", URL, NOW.timestamp())


@given(objects, json_values)
def test_no_invented_jws_is_a_token_or_a_proof(header: dict[str, Any], payload: Any) -> None:
    near = {"typ": "dpop+jwt", "alg": "ES256", "jwk": JWK, **header}
    with pytest.raises(ProofInvalid):
        ProofVerifier().verify(compact(near, payload), "POST", URL, NOW.timestamp())
    near = {"typ": "at+jwt", "alg": "ES256", "kid": "k", **header}
    with pytest.raises(TokenInvalid):
        Protector(ISSUER, ISSUER, Nobody()).verify(f"DPoP {compact(near, payload)}", "x", "POST", URL, NOW)


@given(objects, objects)
def test_a_signed_proof_with_odd_members_is_a_proof_or_refused(
    header: dict[str, Any], claims: dict[str, Any]
) -> None:
    full = {"jti": "1", "htm": "POST", "htu": URL, "iat": int(NOW.timestamp()), **claims}
    proof = PARTY.sign({"typ": "dpop+jwt", "jwk": JWK, **header}, full)
    try:
        verified = ProofVerifier().verify(proof, "POST", URL, NOW.timestamp())
    except ProofInvalid:
        return
    assert full["htm"] == "POST"
    assert isinstance(full["jti"], str)
    assert verified.jkt == PARTY.kid


@given(st.data())
def test_any_changed_character_spoils_a_proof(data: st.DataObject) -> None:
    proof = PROOF
    position = data.draw(st.integers(0, len(proof) - 1))
    other = data.draw(
        st.sampled_from(string.ascii_letters + string.digits + "-_=.+ ").filter(
            lambda character: character != proof[position]
        )
    )
    changed = proof[:position] + other + proof[position + 1 :]
    with pytest.raises(ProofInvalid):
        ProofVerifier().verify(changed, "POST", URL, NOW.timestamp())


@given(st.binary(max_size=100))
def test_base64url_has_one_spelling(content: bytes) -> None:
    segment = encode_segment(content)
    assert decode_segment(segment) == content
    for spoilt in (segment + b"=", segment + b"\n", b" " + segment, segment + b"+"):
        with pytest.raises(JoseRefused):
            decode_segment(spoilt)


@given(st.binary(max_size=40))
def test_what_decodes_encodes_to_the_same(segment: bytes) -> None:
    try:
        content = decode_segment(segment)
    except JoseRefused:
        return
    assert encode_segment(content) == segment


@given(st.binary(max_size=60))
@example(b"[" * 5000)
@example(b'{"a":' * 5000)
@example(b'{"a":1,"a":1}')
@example(b'{"a":NaN}')
@example(b'{"a":' + b"9" * 5000 + b"}")
@example('{"a":1}'.encode("utf-16"))
@example(b"\xef\xbb\xbf{}")
def test_json_is_an_object_or_refused(content: bytes) -> None:
    try:
        members = decode_object(content)
    except JoseRefused:
        return
    assert isinstance(members, dict)


@given(json_values)
def test_no_value_breaks_a_key_or_a_key_set(value: Any) -> None:
    for algorithm in (None, "ES256", "EdDSA", "PS256", "none"):
        with pytest.raises(JoseRefused):
            import_public_jwk(value, algorithm)
    for text in (json.dumps(value), json.dumps({"keys": value}), json.dumps({"keys": [value]})):
        with pytest.raises(JwksRefused):
            read_jwks(text)
        with pytest.raises(JwksRefused):
            registrable_jwks(text)


@given(st.sampled_from(sorted({*JWK, "use", "alg", "kid", "key_ops", "d"})), json_values)
def test_one_odd_member_of_a_key_is_harmless(name: str, value: Any) -> None:
    try:
        key = import_public_jwk({**JWK, name: value}, "ES256")
    except JoseRefused:
        return
    assert name != "d"
    assert key.thumbprint == PARTY.kid


@given(objects, st.floats(0, 1e11))
def test_a_window_is_checked_or_refused(claims: dict[str, Any], now: float) -> None:
    try:
        check_window(claims, now, 10)
    except JoseRefused:
        return
    for name in ("iat", "nbf"):
        assert name not in claims or claims[name] <= now + 10


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_breaks_the_comparison_of_targets(one: str, other: str) -> None:
    assert isinstance(is_same_target(one, other), bool)
    assert not is_same_target(one, URL) or one.lower().startswith("https://")


@given(st.text(max_size=300))
def test_splitting_gives_three_parts_or_refuses(value: str) -> None:
    try:
        parts = split_compact(value)
    except JoseRefused:
        return
    assert len(parts) == 3
    assert all(parts)


@pytest.fixture(scope="module")
def world(cluster: EmbeddedCluster) -> Iterator[World]:
    with oauth_database(cluster) as database:
        assert isinstance(database, Database)
        yield World(database)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.dictionaries(
        st.sampled_from(
            ["grant_type", "scope", "client_assertion", "client_assertion_type", "client_id", "resource"]
        ),
        st.text(max_size=40),
        max_size=6,
    ),
    header=objects,
    claims=objects,
    proof=st.none() | st.text(alphabet=string.printable.strip() + " ", max_size=40),
)
def test_no_token_request_is_an_unforeseen_error(
    world: World, form: dict[str, str], header: dict[str, Any], claims: dict[str, Any], proof: str | None
) -> None:
    assertion = world.party.assertion(world.clock(), header, **{"nbf": 1, **claims})
    full = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
        "scope": "verify_entitlement",
        **form,
    }
    answer = world.ask(full, proof and proof.strip())
    assert answer.status_code in (200, 400, 401, 413), answer.data
    if answer.status_code != 200:
        assert set(answer.json) == {"error", "error_description"}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200), query=st.text(max_size=20))
def test_no_body_is_an_unforeseen_error(world: World, body: bytes, query: str) -> None:
    answer = world.http.post(
        "/oauth/token",
        data=body,
        query_string={"q": query} if query else {},
        content_type="application/x-www-form-urlencoded",
        base_url=ISSUER,
    )
    assert answer.status_code == 400
    assert set(answer.get_json()) == {"error", "error_description"}
