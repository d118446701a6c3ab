"""Client metadata: what is understood, what is refused, and that a refusal says what to mend."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey

from broker.oauth.client_authentication import CLIENT_ID
from broker.oauth.client_jwks import rotated_jwks, usable_jwks
from broker.oauth.client_metadata import (
    MEMBERS,
    MetadataRefused,
    check_agreements,
    check_keys,
    check_kind,
    client_metadata,
    new_client_id,
)
from broker.oauth.client_metadata_schema import CIBA, ClientMetadataSchema
from broker.oauth.registration import JwksRefused
from broker.oauth.tls_clients import SUBJECT_NAMES
from tests.oauth_world import Party, policy_set

PARTY = Party("bank-a")
BANK: dict[str, Any] = {
    "client_id": "bank-a",
    "client_name": "Ngân hàng A",
    "scope": "share_record openid",
    "redirect_uris": ["https://bank.example/back", "http://127.0.0.1/back"],
    "grant_types": ["authorization_code", "refresh_token"],
    "jwks": {"keys": [PARTY.public_jwk]},
}
HOSPITAL: dict[str, Any] = {
    "scope": "verify_entitlement",
    "grant_types": ["client_credentials"],
    "jwks_uri": "https://keys.hospital.example/jwks",
}
TLS: dict[str, Any] = {
    "scope": "verify_entitlement",
    "grant_types": ["client_credentials"],
    "token_endpoint_auth_method": "tls_client_auth",
    "tls_client_auth_san_dns": "gateway.hospital.example",
    "tls_client_certificate_bound_access_tokens": True,
}


def changed(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a document with changes; ... leaves a member out."""
    return {name: value for name, value in {**document, **changes}.items() if value is not ...}


def pointers(document: dict[str, Any]) -> list[str]:
    """Return where a document is at fault; nothing of its values may stand in the refusal."""
    with pytest.raises(MetadataRefused) as caught:
        client_metadata(document)
    assert "SECRET" not in caught.value.detail
    assert all(fault.remedy for fault in caught.value.faults)
    return [fault.pointer for fault in caught.value.faults]


def test_a_client_that_asks_citizens_is_read_with_its_defaults() -> None:
    read = client_metadata(BANK)
    assert (read.client_id, read.client_name, read.scopes) == (
        "bank-a",
        "Ngân hàng A",
        ("share_record", "openid"),
    )
    assert read.grant_types == ("authorization_code", "refresh_token")
    key = {**PARTY.public_jwk, "alg": "ES256", "use": "sig"}
    assert read.members == {
        "token_endpoint_auth_method": "private_key_jwt",
        "dpop_bound_access_tokens": True,
        "redirect_uris": BANK["redirect_uris"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "jwks": {"keys": [key]},
    }


def test_without_grant_types_a_client_has_the_one_of_rfc_7591() -> None:
    assert client_metadata(changed(BANK, grant_types=...)).grant_types == ("authorization_code",)


def test_a_client_without_citizens_has_no_response_types() -> None:
    read = client_metadata(HOSPITAL)
    assert (read.client_id, read.client_name, read.members["response_types"]) == ("", "", [])
    assert read.members["jwks_uri"] == HOSPITAL["jwks_uri"]


def test_a_binding_that_is_named_is_the_only_one() -> None:
    assert "dpop_bound_access_tokens" not in client_metadata(TLS).members
    both = client_metadata(changed(TLS, dpop_bound_access_tokens=True)).members
    assert both["dpop_bound_access_tokens"] is both["tls_client_certificate_bound_access_tokens"] is True


def test_everything_that_is_understood_is_kept() -> None:
    more = {
        "client_uri": "https://bank.example/",
        "policy_uri": "https://bank.example/privacy",
        "tos_uri": "https://bank.example/terms",
        "contacts": ["security@bank.example"],
        "software_id": "core-bank",
        "software_version": "7.1",
        "token_endpoint_auth_signing_alg": "ES256",
        "id_token_signed_response_alg": "ES256",
        "introspection_signed_response_alg": "ES256",
        "require_pushed_authorization_requests": True,
        "authorization_details_types": ["insurance_record"],
    }
    members = client_metadata({**BANK, **more}).members
    assert {name: members[name] for name in more} == more


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (changed(BANK, scope=...), ["/scope"]),
        (changed(BANK, scope="share_record  openid"), ["/scope"]),
        (changed(BANK, scope="share_record SECRET"), ["/scope"]),
        (changed(BANK, scope="verify_entitlement"), ["/scope"]),
        (changed(HOSPITAL, scope="openid"), ["/scope"]),
        (changed(BANK, client_id="a b"), ["/client_id"]),
        (changed(BANK, client_id="bank-a\n"), ["/client_id"]),
        (changed(BANK, client_id=7), ["/client_id"]),
        (changed(BANK, client_name="SECRET\u202eknaB"), ["/client_name"]),
        (changed(BANK, client_name=" "), ["/client_name"]),
        (changed(BANK, client_name=None), ["/client_name"]),
        (changed(BANK, client_uri="http://bank.example/"), ["/client_uri"]),
        (changed(BANK, contacts=[]), ["/contacts"]),
        (changed(BANK, contacts=["a", "a"]), ["/contacts"]),
        (changed(BANK, logo_uri="https://bank.example/SECRET.png"), ["/logo_uri"]),
        (changed(BANK, client_secret="SECRET"), ["/client_secret"]),
        (changed(BANK, redirect_uri="https://SECRET.example/"), ["/redirect_uri"]),
        (changed(BANK, **{"a SECRET b": 1}), ["/(unknown name)"]),
        (changed(BANK, redirect_uris=...), ["/redirect_uris"]),
        (changed(BANK, redirect_uris=[]), ["/redirect_uris"]),
        (changed(BANK, redirect_uris=["https://a.example/"] * 2), ["/redirect_uris"]),
        (changed(HOSPITAL, redirect_uris=["https://a.example/"]), ["/redirect_uris"]),
        (changed(HOSPITAL, grant_types=["client_credentials", "refresh_token"]), ["/grant_types"]),
        (changed(HOSPITAL, grant_types=["password"]), ["/grant_types/0"]),
        (changed(HOSPITAL, grant_types=[]), ["/grant_types"]),
        (changed(HOSPITAL, response_types=["code"]), ["/response_types"]),
        (changed(BANK, response_types=[]), ["/response_types"]),
        (changed(BANK, response_types=["token"]), ["/response_types/0"]),
        (changed(BANK, token_endpoint_auth_method="client_secret_basic"), ["/token_endpoint_auth_method"]),
        (changed(BANK, token_endpoint_auth_method="none"), ["/token_endpoint_auth_method"]),
        (changed(BANK, token_endpoint_auth_signing_alg="RS256"), ["/token_endpoint_auth_signing_alg"]),
        (changed(BANK, token_endpoint_auth_signing_alg="PS256"), ["/jwks"]),
        (changed(HOSPITAL, token_endpoint_auth_signing_alg="ES256"), ["/token_endpoint_auth_signing_alg"]),
        (changed(TLS, token_endpoint_auth_signing_alg="ES256"), ["/token_endpoint_auth_signing_alg"]),
        (changed(BANK, jwks_uri="https://a.example/"), ["/jwks"]),
        (changed(BANK, jwks=...), ["/jwks"]),
        (changed(BANK, jwks={"keys": []}), ["/jwks"]),
        (changed(BANK, jwks={"keys": [{**PARTY.public_jwk, "d": "SECRET"}]}), ["/jwks"]),
        (changed(BANK, jwks="SECRET"), ["/jwks"]),
        (changed(HOSPITAL, jwks_uri="http://a.example/"), ["/jwks_uri"]),
        (changed(HOSPITAL, jwks_uri="https://10.0.0.1/"), ["/jwks_uri"]),
        (changed(HOSPITAL, dpop_bound_access_tokens=False), ["/dpop_bound_access_tokens"]),
        (changed(HOSPITAL, dpop_bound_access_tokens="true"), ["/dpop_bound_access_tokens"]),
        (changed(HOSPITAL, dpop_bound_access_tokens=1), ["/dpop_bound_access_tokens"]),
        (
            changed(BANK, require_pushed_authorization_requests=False),
            ["/require_pushed_authorization_requests"],
        ),
        (changed(BANK, authorization_details_types=["SECRET"]), ["/authorization_details_types/0"]),
        (
            changed(BANK, authorization_details_types=["entitlement_check"]),
            ["/authorization_details_types/0"],
        ),
        (changed(TLS, tls_client_auth_san_dns=...), ["/tls_client_auth_subject_dn"]),
        (changed(TLS, tls_client_auth_san_ip="10.0.0.1"), ["/tls_client_auth_subject_dn"]),
        (changed(TLS, tls_client_auth_san_dns="*.SECRET.example"), ["/tls_client_auth_san_dns"]),
        (changed(BANK, tls_client_auth_san_dns="a.example"), ["/tls_client_auth_san_dns"]),
        (changed(BANK, token_endpoint_auth_method="self_signed_tls_client_auth"), ["/jwks"]),
        (
            changed(BANK, client_secret="SECRET", scope=7, contacts="x"),
            ["/client_secret", "/contacts", "/scope"],
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else " ".join(value),
)
def test_what_cannot_be_right_is_refused_where_it_stands(
    document: dict[str, Any], expected: list[str]
) -> None:
    assert sorted(pointers(document)) == sorted(expected)


@pytest.mark.parametrize(
    "uri",
    [
        "http://bank.example/back",
        "http://127.0.0.1.example/back",
        "http://127.0.0.2/back",
        "http://localhost.example/",
        "https://bank.example/back#part",
        "https://*.bank.example/back",
        "https://bank.example/*",
        "https://user@bank.example/",
        "https://bank.example:65536/",
        "https://bank.example\\@evil.example/",
        "https://bank.example?x=1",
        "https://bank.example/a b",
        "https://bank.example/\n",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://bánk.example/",
        "https://",
        "com.bank.app:/back",
        "javascript:alert(1)",
        "urn:ietf:wg:oauth:2.0:oob",
        "/back",
        "",
        "https://bank.example/" + "a" * 2000,
    ],
)
def test_a_redirect_uri_that_could_be_read_in_two_ways_is_refused(uri: str) -> None:
    with pytest.raises(MetadataRefused) as caught:
        client_metadata(changed(BANK, redirect_uris=["https://bank.example/good", uri]))
    assert caught.value.error == "invalid_redirect_uri"
    assert {fault.pointer for fault in caught.value.faults} == {"/redirect_uris/1"}


@pytest.mark.parametrize(
    "uri",
    [
        "https://bank.example",
        "https://bank.example/back?to=%2Fa&b=(1)",
        "https://bank.example:8443/back",
        "http://127.0.0.1:49152/back",
        "http://[::1]/back",
        "http://localhost/back",
    ],
)
def test_redirect_uris_of_web_and_native_apps_are_kept_as_they_are(uri: str) -> None:
    assert client_metadata(changed(BANK, redirect_uris=[uri])).members["redirect_uris"] == [uri]


def test_a_fault_beside_a_redirect_uri_is_one_of_the_metadata() -> None:
    with pytest.raises(MetadataRefused) as caught:
        client_metadata(changed(BANK, redirect_uris=["x"], scope=""))
    assert caught.value.error == "invalid_client_metadata"


def test_the_schema_refuses_unknown_names_and_has_a_member_for_each_name_of_a_certificate() -> None:
    assert ClientMetadataSchema().unknown == "raise"
    assert set(SUBJECT_NAMES) <= set(ClientMetadataSchema().fields) <= MEMBERS


def test_a_client_id_that_is_made_is_new_and_one_that_may_be_given() -> None:
    made = {new_client_id() for _ in range(100)}
    assert len(made) == 100
    assert all(CLIENT_ID.fullmatch(one) for one in made)


def test_an_agreement_that_needs_consent_needs_a_client_that_can_ask_for_it() -> None:
    hospital, bank = client_metadata(HOSPITAL), client_metadata(BANK)
    check_agreements(hospital, ["hospital_entitlement_check"], policy_set())
    check_agreements(bank, ["bank_income_proof"], policy_set())
    desk = client_metadata(changed(BANK, grant_types=[CIBA], redirect_uris=..., scope="share_record openid"))
    check_agreements(desk, ["bank_income_proof"], policy_set())
    with pytest.raises(MetadataRefused, match="authorization_code or the grant of CIBA") as caught:
        check_agreements(hospital, ["bank_income_proof"], policy_set())
    assert [fault.pointer for fault in caught.value.faults] == ["/grant_types"]
    with pytest.raises(MetadataRefused, match="hospital_entitlement_check"):
        check_agreements(bank, ["bank_income_proof", "unknown"], policy_set())


def test_a_kind_that_no_policy_knows_is_refused_with_the_words_that_would_do() -> None:
    check_kind("bank", {"bank", "hospital"})
    with pytest.raises(MetadataRefused, match="bank, hospital"):
        check_kind("banc", {"hospital", "bank"})


def certified_jwk() -> dict[str, Any]:
    """Return a public JWK that carries its self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name.from_rfc4514_string("CN=gateway"), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    public = ECKey.import_key(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ).as_dict(private=False)
    return {**public, "x5c": [der]}


def test_a_self_signed_certificate_stands_in_its_key() -> None:
    method = {"token_endpoint_auth_method": "self_signed_tls_client_auth"}
    document = changed(HOSPITAL, jwks_uri=..., jwks={"keys": [certified_jwk()]}, **method)
    [key] = client_metadata(document).members["jwks"]["keys"]
    assert key["x5c"]
    stolen = {**certified_jwk(), "x5c": key["x5c"]}
    assert pointers(changed(document, jwks={"keys": [stolen]})) == ["/jwks"]


def test_keys_that_do_not_fit_how_the_client_proves_itself_are_refused_after_a_change_too() -> None:
    check_keys({"jwks": {"keys": [PARTY.public_jwk]}})
    check_keys({"jwks_uri": "https://keys.bank.example/"})
    for members in (
        {"jwks_uri": "http://keys.bank.example/"},
        {"jwks_uri": "https://keys.bank.example/", "token_endpoint_auth_signing_alg": "ES256"},
        {"jwks": {"keys": [PARTY.public_jwk]}, "token_endpoint_auth_signing_alg": "PS256"},
        {
            "jwks": {"keys": [PARTY.public_jwk]},
            "token_endpoint_auth_method": "self_signed_tls_client_auth",
        },
    ):
        with pytest.raises(MetadataRefused):
            check_keys(members)


def test_a_set_that_many_read_is_cut_down_to_what_is_used_here() -> None:
    others = [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {**PARTY.public_jwk, "alg": "ES384"}]
    assert json.loads(usable_jwks(json.dumps({"keys": [*others, PARTY.public_jwk]}))) == {
        "keys": [PARTY.public_jwk]
    }
    for refused in ({"keys": others}, {"keys": [*others] * 40}, {"keys": 1}, {}):
        with pytest.raises(JwksRefused):
            usable_jwks(json.dumps(refused))


def test_keys_are_added_and_retired_by_kid() -> None:
    first, second = ({"keys": [Party("x").public_jwk]} for _ in range(2))
    together = rotated_jwks(first, second, keep_old=True, retire=[])
    assert together["keys"] == [*first["keys"], *second["keys"]]
    kid = first["keys"][0]["kid"]
    assert rotated_jwks(together, None, keep_old=False, retire=[kid]) == second
    assert rotated_jwks(first, second, keep_old=False, retire=[]) == second
    assert rotated_jwks({}, second, keep_old=True, retire=[]) == second
    with pytest.raises(JwksRefused, match="not among"):
        rotated_jwks(first, second, keep_old=False, retire=["SECRET"])
    with pytest.raises(JwksRefused, match="suspend"):
        rotated_jwks(first, None, keep_old=False, retire=[kid])
