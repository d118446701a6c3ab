"""Clients with certificates, by RFC 8705, 2: whose certificate it is, and who is refused without a reason."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from authlib.oauth2.rfc6749 import InvalidClientError  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.authenticate_client import (  # type: ignore[import-untyped]
    ClientAuthentication,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from flask import Flask, request

from broker.oauth.caller_facts import CallerFacts, ClientCertificate
from broker.oauth.certificates import Authorities, self_signed_fault
from broker.oauth.form_request import FormRequest
from broker.oauth.registration import (
    AUTHENTICATION_METHODS,
    SELF_SIGNED_TLS_CLIENT_AUTH,
    TLS_CLIENT_AUTH,
    ClientRegistration,
)
from broker.oauth.tls_clients import (
    SUBJECT_NAMES,
    UNKNOWN_CERTIFICATE,
    SelfSignedTlsClientAuth,
    TlsClientAuth,
    subject_names_fault,
)
from tests.certificates import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Credential,
    authority,
    ec_key,
    make,
    rsa_key,
    server_names,
)

NOW = datetime.now(UTC)
ROOT = authority()
STRANGER = authority("CN=Somebody else,C=VN")
SUBJECT = "CN=gateway,O=Bệnh viện A,C=VN"
NAMES = [
    *server_names("gateway.hospital.example", "192.0.2.1", "2001:db8::1"),
    x509.UniformResourceIdentifier("urn:hospital:79001"),
    x509.RFC822Name("Gateway@hospital.example"),
]
GOOD = make(SUBJECT, issuer=ROOT, names=NAMES)
OWN = make("CN=anything")
X5U_REFUSED = "the JWK set is refused: x5u is not allowed: a certificate itself stands in x5c"
DN = ("tls_client_auth_subject_dn", SUBJECT)


def client(method: str = TLS_CLIENT_AUTH, **changes: Any) -> ClientRegistration:
    fitting: dict[str, Any] = {"tls_name": DN} if method == TLS_CLIENT_AUTH else {"jwks": OWN.jwks()}
    full = {
        "client_id": "hospital-a",
        "organisation_id": "79001",
        "is_active": True,
        "scopes": frozenset({"verify_entitlement"}),
        "grant_types": frozenset({"client_credentials"}),
        "expires_at": NOW + timedelta(days=1),
        "authentication_method": method,
        **fitting,
    }
    return ClientRegistration(**{**full, **changes})


def self_signed(**changes: Any) -> ClientRegistration:
    return client(SELF_SIGNED_TLS_CLIENT_AUTH, **changes)


class Published:
    """Key sets as they are published, and what is kept of them until somebody asks anew."""

    def __init__(self, kept: str | None, published: str | None) -> None:
        self.kept, self.published = kept, published
        self.asked: list[tuple[str, bool]] = []

    def find_jwks(self, jwks_uri: str, *, renew: bool = False) -> str | None:
        self.asked.append((jwks_uri, renew))
        return self.published if renew else self.kept


def authenticate(
    registered: ClientRegistration | None,
    shown: Credential | ClientCertificate | None,
    *,
    published: Published | None = None,
    address: str = "192.0.2.7",
    at: datetime = NOW,
    authorities: str = ROOT.pem,
    methods: tuple[str, ...] = AUTHENTICATION_METHODS,
    **form: Any,
) -> FormRequest:
    """Authenticate a request as Authlib does with our methods; return it, with the client that it is of."""
    certificate = shown.shown if isinstance(shown, Credential) else shown
    sent = {"grant_type": "client_credentials", "client_id": "hospital-a", **form}
    data = {name: value for name, value in sent.items() if value is not ...}
    with Flask("t").test_request_context("/oauth/token", method="POST", data=data):
        asked = FormRequest(
            request._get_current_object(),  # type: ignore[attr-defined]
            ["https://mtls.broker.example/oauth/token"],
            at,
            CallerFacts(address, certificate),
        )
    known = {registered.client_id: registered} if registered else {}
    looked_up: list[str] = []

    def find(client_id: str) -> ClientRegistration | None:
        looked_up.append(client_id)
        return known.get(client_id)

    authentication = ClientAuthentication(find)
    authentication.register("private_key_jwt", lambda _query, _request: None)
    authentication.register(TLS_CLIENT_AUTH, TlsClientAuth(Authorities(authorities)))
    authentication.register(SELF_SIGNED_TLS_CLIENT_AUTH, SelfSignedTlsClientAuth(published))
    found = authentication(asked, list(methods), "token")
    assert asked.client is found
    assert len(looked_up) == 1, "one reading of the register, whichever method it is"
    return asked


def refused(*given: Any, **changes: Any) -> str:
    """Return the description with which a request is refused."""
    with pytest.raises(InvalidClientError) as fault:
        authenticate(*given, **changes)
    assert fault.value.status_code == 400
    return str(fault.value.description)


@pytest.mark.parametrize(
    "name",
    [
        DN,
        ("tls_client_auth_subject_dn", "CN=gateway, O=Bệnh viện A, C=VN".replace(", ", ",")),
        ("tls_client_auth_subject_dn", r"2.5.4.3=gateway,O=B\E1\BB\87nh vi\E1\BB\87n A,C=VN"),
        ("tls_client_auth_san_dns", "gateway.hospital.example"),
        ("tls_client_auth_san_dns", "Gateway.Hospital.EXAMPLE"),
        ("tls_client_auth_san_uri", "urn:hospital:79001"),
        ("tls_client_auth_san_ip", "192.0.2.1"),
        ("tls_client_auth_san_ip", "2001:db8::1"),
        ("tls_client_auth_san_email", "Gateway@HOSPITAL.example"),
    ],
)
def test_a_client_is_told_by_the_one_name_it_registered(name: tuple[str, str]) -> None:
    asked = authenticate(client(tls_name=name), GOOD)
    assert asked.client is not None
    assert asked.client.client_id == "hospital-a"
    assert asked.auth_method == TLS_CLIENT_AUTH
    assert asked.assertion is None


@pytest.mark.parametrize(
    "name",
    [
        None,
        ("tls_client_auth_subject_dn", "CN=gateway,O=Bệnh viện B,C=VN"),
        ("tls_client_auth_subject_dn", "C=VN,O=Bệnh viện A,CN=gateway"),
        ("tls_client_auth_subject_dn", "CN=gateway"),
        ("tls_client_auth_subject_dn", SUBJECT + ",DC=more"),
        ("tls_client_auth_subject_dn", "nonsense"),
        ("tls_client_auth_san_dns", "hospital.example"),
        ("tls_client_auth_san_dns", "*.hospital.example"),
        ("tls_client_auth_san_dns", "urn:hospital:79001"),
        ("tls_client_auth_san_uri", "urn:hospital:79002"),
        ("tls_client_auth_san_uri", "urn:HOSPITAL:79001"),
        ("tls_client_auth_san_ip", "192.0.2.2"),
        ("tls_client_auth_san_ip", "gateway.hospital.example"),
        ("tls_client_auth_san_email", "gateway@hospital.example"),
        ("tls_client_auth_issuer_dn", "CN=Authority for tests,C=VN"),
    ],
)
def test_another_name_fits_nobody(name: tuple[str, str] | None) -> None:
    assert refused(client(tls_name=name), GOOD) == UNKNOWN_CERTIFICATE


def test_a_wildcard_in_a_certificate_names_nobody() -> None:
    wild = make(SUBJECT, issuer=ROOT, names=[x509.DNSName("*.hospital.example")])
    registered = client(tls_name=("tls_client_auth_san_dns", "gateway.hospital.example"))
    assert refused(registered, wild) == UNKNOWN_CERTIFICATE


def test_a_certificate_without_alternative_names_will_do() -> None:
    assert authenticate(client(), make(SUBJECT, issuer=ROOT)).client is not None
    registered = client(tls_name=("tls_client_auth_san_dns", "gateway.hospital.example"))
    assert refused(registered, make(SUBJECT, issuer=ROOT)) == UNKNOWN_CERTIFICATE


@pytest.mark.parametrize(
    "make_key",
    [lambda: rsa_key(2048), lambda: ec_key(ec.SECP384R1())],
    ids=["RSA-2048", "P-384"],
)
def test_any_key_that_is_long_enough_will_do_below_an_authority(make_key: Any) -> None:
    assert authenticate(client(), make(SUBJECT, make_key(), issuer=ROOT)).client is not None


@pytest.mark.parametrize(
    "usages",
    [(CLIENT_AUTH,), (SERVER_AUTH, CLIENT_AUTH), None],
    ids=["client", "both", "nothing said"],
)
def test_a_certificate_for_clients_will_do(usages: tuple[Any, ...] | None) -> None:
    assert authenticate(client(), make(SUBJECT, issuer=ROOT, usages=usages)).client is not None


@pytest.mark.parametrize(
    "shown",
    [
        make(SUBJECT, issuer=STRANGER),
        make(SUBJECT),
        make(SUBJECT, issuer=make("CN=Authority for tests,C=VN", is_authority=True)),
        make(SUBJECT, issuer=GOOD),
        make(SUBJECT, issuer=ROOT, usages=(SERVER_AUTH,)),
        make(SUBJECT, issuer=ROOT, is_authority=True),
        make(SUBJECT, issuer=ROOT, start=NOW + timedelta(minutes=1)),
        make(SUBJECT, issuer=ROOT, start=NOW - timedelta(days=2), days=1),
        make(SUBJECT, rsa_key(1024), issuer=ROOT),
        make(SUBJECT, ec_key(ec.SECP192R1()), issuer=ROOT),
    ],
    ids=[
        "of a stranger", "of nobody", "of one with the same name", "of a client", "for servers",
        "of an authority below", "too early", "too late", "a short key", "a short curve",
    ],
)  # fmt: skip
def test_a_certificate_that_does_not_count_is_refused(shown: Credential) -> None:
    assert refused(client(), shown) == UNKNOWN_CERTIFICATE


def test_dates_are_judged_at_the_instant_of_the_request() -> None:
    late = GOOD.certificate.not_valid_after_utc
    registered = client(expires_at=late + timedelta(days=9))
    assert authenticate(registered, GOOD, at=late).client is not None
    assert refused(registered, GOOD, at=late + timedelta(seconds=1)) == UNKNOWN_CERTIFICATE


def test_an_authority_below_another_counts_when_it_is_named_itself() -> None:
    below = make("CN=Issuing authority,C=VN", issuer=ROOT, is_authority=True)
    shown = make(SUBJECT, issuer=below)
    assert refused(client(), shown) == UNKNOWN_CERTIFICATE
    assert authenticate(client(), shown, authorities=below.pem).client is not None
    assert authenticate(client(), shown, authorities=ROOT.pem + below.pem).client is not None


@pytest.mark.parametrize(
    "make_key",
    [ec_key, lambda: rsa_key(2048), ed25519.Ed25519PrivateKey.generate],
    ids=["P-256", "RSA-2048", "Ed25519"],
)
def test_a_client_may_vouch_for_itself_with_a_registered_certificate(make_key: Any) -> None:
    own = make("CN=anything", make_key())
    asked = authenticate(self_signed(jwks=own.jwks()), own)
    assert asked.client is not None
    assert asked.auth_method == SELF_SIGNED_TLS_CLIENT_AUTH
    assert asked.assertion is None


def test_several_certificates_may_be_registered_while_one_replaces_another() -> None:
    other = make("CN=next")
    jwks = json.dumps({"keys": [OWN.jwk(kid="1"), other.jwk(kid="2"), make("CN=x").jwk(x5c=...)]})
    for shown in (OWN, other):
        assert authenticate(self_signed(jwks=jwks), shown).client is not None


@pytest.mark.parametrize(
    ("registered", "shown"),
    [
        (self_signed(), make("CN=anything", OWN.key)),
        (self_signed(), make("CN=anything")),
        (self_signed(jwks=OWN.jwks(x5c=...)), OWN),
        (self_signed(jwks=""), OWN),
        (self_signed(jwks="{}"), OWN),
        (self_signed(jwks=make("CN=anything").jwks(x5c=OWN.jwk()["x5c"])), OWN),
        (self_signed(jwks=make("CN=a").jwks(x5c=[make("CN=b").jwk()["x5c"][0], OWN.jwk()["x5c"][0]])), OWN),
        (self_signed(jwks_uri="https://hospital.example/jwks", jwks=""), OWN),
    ],
    ids=[
        "its key in another certificate", "another key", "no certificate", "no set", "an empty set",
        "of another key", "second in the chain", "published, and nobody reads it",
    ],
)  # fmt: skip
def test_a_certificate_that_is_not_registered_is_refused(
    registered: ClientRegistration, shown: Credential
) -> None:
    assert refused(registered, shown) == UNKNOWN_CERTIFICATE


@pytest.mark.parametrize(
    "own",
    [
        make("CN=anything", start=NOW + timedelta(minutes=1)),
        make("CN=anything", start=NOW - timedelta(days=2), days=1),
        make("CN=anything", ec_key(ec.SECP384R1())),
        make("CN=anything", rsa_key(1024)),
    ],
    ids=["too early", "too late", "P-384", "RSA-1024"],
)
def test_a_registered_certificate_must_be_good_itself(own: Credential) -> None:
    assert refused(self_signed(jwks=own.jwks()), own) == UNKNOWN_CERTIFICATE


def test_a_published_certificate_is_taken_as_kept_and_asked_for_anew_when_it_does_not_fit() -> None:
    registered = self_signed(jwks="", jwks_uri="https://hospital.example/jwks")
    other = make("CN=next")
    same = Published(OWN.jwks(), None)
    assert authenticate(registered, OWN, published=same).client is not None
    assert same.asked == [("https://hospital.example/jwks", False)]
    for kept in (other.jwks(), None, "broken"):
        renewed = Published(kept, OWN.jwks())
        assert authenticate(registered, OWN, published=renewed).client is not None
        assert [again for _, again in renewed.asked] == [False, True]
    assert refused(registered, OWN, published=Published(None, None)) == UNKNOWN_CERTIFICATE
    assert refused(registered, OWN, published=Published(other.jwks(), other.jwks())) == UNKNOWN_CERTIFICATE


@pytest.mark.parametrize(("registered", "shown"), [(client(), GOOD), (self_signed(), OWN)])
def test_who_is_suspended_or_expired_or_elsewhere_hears_nothing_of_it(
    registered: ClientRegistration, shown: Credential
) -> None:
    networks = (ip_network("192.0.2.0/29"),)
    assert authenticate(replace(registered, source_networks=networks), shown).client is not None
    for one in (
        replace(registered, is_active=False),
        replace(registered, expires_at=NOW),
        replace(registered, source_networks=(ip_network("198.51.100.0/24"),)),
    ):
        assert refused(one, shown) == UNKNOWN_CERTIFICATE
    for address in ("192.0.2.8", ""):
        elsewhere = replace(registered, source_networks=networks)
        assert refused(elsewhere, shown, address=address) == UNKNOWN_CERTIFICATE


@pytest.mark.parametrize("client_id", ["hospital-b", "HOSPITAL-A", "hospital-a\x00", "x" * 65, "-", "é"])
@pytest.mark.parametrize("shown", [GOOD, OWN])
def test_an_unknown_client_hears_the_same_as_a_wrong_certificate(shown: Credential, client_id: str) -> None:
    assert refused(client(), shown, client_id=client_id) == UNKNOWN_CERTIFICATE


@pytest.mark.parametrize("der", [b"", b"0", b"not a certificate", GOOD.der[:-1], GOOD.der + b"\0"])
def test_what_is_no_certificate_proves_nothing(der: bytes) -> None:
    for registered in (client(), self_signed()):
        assert refused(registered, ClientCertificate.of(der)) == UNKNOWN_CERTIFICATE


@pytest.mark.parametrize(("registered", "shown"), [(client(), OWN), (self_signed(), GOOD)])
def test_neither_method_takes_the_others_certificates(
    registered: ClientRegistration, shown: Credential
) -> None:
    assert refused(registered, shown) == UNKNOWN_CERTIFICATE


def test_a_client_that_signs_assertions_does_not_get_in_by_a_certificate() -> None:
    registered = client("private_key_jwt", tls_name=DN, jwks=GOOD.jwks())
    assert refused(registered, GOOD) == UNKNOWN_CERTIFICATE


def test_where_self_signed_is_the_only_method_the_other_ones_clients_are_refused() -> None:
    assert refused(client(), GOOD, methods=(SELF_SIGNED_TLS_CLIENT_AUTH,)) == UNKNOWN_CERTIFICATE


@pytest.mark.parametrize(("registered", "shown"), [(client(), GOOD), (self_signed(), OWN)])
def test_without_certificate_or_client_id_or_with_an_assertion_it_is_another_method(
    registered: ClientRegistration, shown: Credential
) -> None:
    for given, form in (
        (None, {}),
        (shown, {"client_id": ...}),
        (shown, {"client_id": ""}),
        (shown, {"client_assertion": "x"}),
    ):
        described = refused(registered, given, **form)
        assert described.startswith("The client cannot authenticate with methods")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        DN,
        ("tls_client_auth_subject_dn", "2.5.4.5=0101,UID=MST:0100109106,CN=a+OU=b"),
        ("tls_client_auth_san_dns", "xn--bnh-vin-ueb.example"),
        ("tls_client_auth_san_uri", "spiffe://hospital.example/gateway"),
        ("tls_client_auth_san_ip", "2001:db8::1"),
        ("tls_client_auth_san_email", "it+gateway@hospital.example"),
    ],
)
def test_a_name_that_can_stand_in_a_certificate_can_be_registered(name: str, value: str) -> None:
    assert subject_names_fault(name, value) is None


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("tls_client_auth_issuer_dn", "CN=a", "the name must be one of tls_client_auth_subject_dn, "),
        ("", "CN=a", "the name must be one of "),
        *((name, "", f"{name} must have 1 to 1024 printable characters") for name in SUBJECT_NAMES),
        *((name, "a" * 1025, f"{name} must have 1 to 1024 printable") for name in SUBJECT_NAMES),
        *((name, "a\n", f"{name} must have 1 to 1024 printable") for name in SUBJECT_NAMES),
        ("tls_client_auth_subject_dn", "gateway", "tls_client_auth_subject_dn must be a distinguished name"),
        ("tls_client_auth_subject_dn", "serialNumber=1", "tls_client_auth_subject_dn must be a dist"),
        ("tls_client_auth_san_dns", "*.hospital.example", "tls_client_auth_san_dns must be a DNS name"),
        ("tls_client_auth_san_dns", "bệnh-viện.example", "tls_client_auth_san_dns must be a DNS name"),
        ("tls_client_auth_san_dns", "a..b", "tls_client_auth_san_dns must be a DNS name without wildcard"),
        ("tls_client_auth_san_uri", "hospital", "tls_client_auth_san_uri must be an absolute URI"),
        ("tls_client_auth_san_uri", "https://[", "tls_client_auth_san_uri must be an absolute URI"),
        ("tls_client_auth_san_uri", "urn: x", "tls_client_auth_san_uri must be an absolute URI"),
        ("tls_client_auth_san_ip", "192.0.2.0/24", "tls_client_auth_san_ip must be an IP address in its"),
        ("tls_client_auth_san_ip", "2001:DB8::1", "tls_client_auth_san_ip must be an IP address in its"),
        ("tls_client_auth_san_ip", "fe80::1%eth0", "tls_client_auth_san_ip must be an IP address in its"),
        ("tls_client_auth_san_email", "hospital.example", "tls_client_auth_san_email must be an e-mail"),
        ("tls_client_auth_san_email", "a b@x.example", "tls_client_auth_san_email must be an e-mail"),
    ],
)  # fmt: skip
def test_another_name_cannot_be_registered(name: str, value: str, fault: str) -> None:
    told = subject_names_fault(name, value)
    assert told is not None
    assert told.startswith(fault)


@pytest.mark.parametrize(
    ("jwks", "fault"),
    [
        (OWN.jwks(), None),
        (OWN.jwks(x5c=...), "no key of the set has a certificate (x5c)"),
        (OWN.jwks(x5c=[]), "x5c must be a list of certificates in base64"),
        (OWN.jwks(x5c="MIIB"), "x5c must be a list of certificates in base64"),
        (OWN.jwks(x5c=["MII-"]), "x5c must be a list of certificates in base64"),
        (OWN.jwks(x5c=["é"]), "x5c must be a list of certificates in base64"),
        (OWN.jwks(x5c=[7]), "x5c must be a list of certificates in base64"),
        (OWN.jwks(x5c=["MIIB"]), "x5c is not the certificate of its key"),
        (OWN.jwks(x5c=GOOD.jwk()["x5c"]), "x5c is not the certificate of its key"),
        (OWN.jwks(x5u="https://a"), X5U_REFUSED),
        ("{}", "a JWK set needs a list named keys with 1 to 8 keys"),
    ],
)  # fmt: skip
def test_a_set_without_a_certificate_of_its_key_cannot_be_registered(jwks: str, fault: str | None) -> None:
    assert self_signed_fault(jwks) == fault


def test_a_key_that_nobody_can_read_proves_nothing() -> None:
    # P-256 by a number that means no curve (SEC 1, C.2).
    der = GOOD.der.replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030163"))
    assert der != GOOD.der
    assert refused(client(), ClientCertificate.of(der)) == UNKNOWN_CERTIFICATE
    x5c = [base64.b64encode(der).decode()]
    assert self_signed_fault(GOOD.jwks(x5c=x5c)) == "x5c is not the certificate of its key"
