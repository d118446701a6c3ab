"""X.509 certificates of clients: read, judged by the operator's authorities, found in a client's key set."""

from __future__ import annotations

import binascii
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.oauth.jose import decode_object
from broker.oauth.jose_keys import import_public_jwk
from broker.oauth.registration import JwksRefused, read_jwks

MAX_INTERMEDIATES: Final = 0
"""Proxies send the client's own certificate alone: whoever issues those stands in the operator's file."""
_MIN_RSA_BITS: Final = 2048
_MIN_CURVE_BITS: Final = 224
_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def read_certificate(der: bytes) -> x509.Certificate | None:
    """Return the certificate that bytes hold, with extensions that can be read, or None."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        # Both are parsed on first use only; what cannot be read must not surprise anybody later.
        _ = certificate.extensions, certificate.subject
    except _UNREADABLE:
        return None
    return certificate


class Authorities:
    """The authorities whose client certificates count: those of the operator's file and no others."""

    def __init__(self, pem: str) -> None:
        """Read the PEM text of one or more certificates, roots or intermediates. Raises ValueError."""
        self._store = Store(x509.load_pem_x509_certificates(pem.encode("utf-8")))

    def has_issued(self, certificate: x509.Certificate, at: datetime) -> bool:
        """Return whether one of them issued a client certificate that is good at an instant (RFC 5280, 6).

        Signature, dates of both, key usage and basic constraints, no critical extension unknown; extended
        key usage, where there is one, must name clientAuth. The certificate is a client's own: one of an
        authority is refused. So are keys that are too short (FAPI 2.0, 5.4.1), and SHA-1 by the library.
        """
        if not _is_key_strong(certificate):  # the library asks this of authorities' keys only
            return False
        verifier = (
            PolicyBuilder()
            .store(self._store)
            .time(at)
            .max_chain_depth(MAX_INTERMEDIATES)
            .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=_CLIENT_POLICY)
            .build_client_verifier()
        )
        try:
            verifier.verify(certificate, [])
        except (VerificationError, *_UNREADABLE):
            return False
        return True


def _is_key_strong(certificate: x509.Certificate) -> bool:
    """Return whether a certificate's key is long enough, or Ed25519 (FAPI 2.0, 5.4.1)."""
    try:
        key = certificate.public_key()
    except _UNREADABLE:
        return False
    if isinstance(key, RSAPublicKey):
        return key.key_size >= _MIN_RSA_BITS
    if isinstance(key, EllipticCurvePublicKey):
        return key.curve.key_size >= _MIN_CURVE_BITS
    return isinstance(key, Ed25519PublicKey)


def _client_policy() -> ExtensionPolicy:
    """Return the library's rules for web servers, less the two that ask for what clients need not have."""
    policy = ExtensionPolicy.webpki_defaults_ee()
    policy = policy.may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    return policy.may_be_present(x509.AuthorityKeyIdentifier, Criticality.NON_CRITICAL, None)


_CLIENT_POLICY: Final = _client_policy()


def is_within_dates(certificate: x509.Certificate, at: datetime) -> bool:
    """Return whether an aware instant lies within the dates of a certificate, both included."""
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


@lru_cache(maxsize=1024)
def certificates_in_jwks(jwks: str) -> frozenset[bytes]:
    """Return the DER of the certificates in a client's JWK set: the first x5c of each key (RFC 8705, 2.2.2).

    Parsed once per distinct text. Their keys are of the kinds that FAPI 2.0 allows (5.4.1): RSA from 2048
    bits, P-256, Ed25519. Raises JwksRefused: as read_jwks does, and when an x5c is not the certificate of its
    key (RFC 7517, 4.7).
    """
    read_jwks(jwks)
    listed: list[dict[str, Any]] = decode_object(jwks.encode("utf-8"))["keys"]
    return frozenset(_certificate_of(jwk) for jwk in listed if "x5c" in jwk)


def self_signed_fault(jwks: str) -> str | None:
    """Return why a JWK set cannot be registered for self_signed_tls_client_auth, or None. Holds no input."""
    try:
        certificates = certificates_in_jwks(jwks)
    except JwksRefused as refused:
        return str(refused)
    return None if certificates else "no key of the set has a certificate (x5c)"


def _certificate_of(jwk: dict[str, Any]) -> bytes:
    chain = jwk["x5c"]
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str) or not chain[0].isascii():
        raise JwksRefused("x5c must be a list of certificates in base64")
    try:
        der = binascii.a2b_base64(chain[0], strict_mode=True)
    except binascii.Error:
        raise JwksRefused("x5c must be a list of certificates in base64") from None
    certificate = read_certificate(der)
    if certificate is None or _thumbprint(certificate) != import_public_jwk(jwk).thumbprint:
        raise JwksRefused("x5c is not the certificate of its key")
    return der


def _thumbprint(certificate: x509.Certificate) -> str | None:
    """Return the RFC 7638 thumbprint of a certificate's key, None for one that no client may have."""
    if not _is_key_strong(certificate):
        return None
    try:
        key = certificate.public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if isinstance(key, EllipticCurvePublicKey):
            return ECKey.import_key(der).thumbprint()
        kind = RSAKey if isinstance(key, RSAPublicKey) else OKPKey
        return kind.import_key(der).thumbprint()
    except (JoseError, *_UNREADABLE):
        return None
