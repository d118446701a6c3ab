"""X.509 certificates for tests: an authority, what it issues, and what vouches for itself."""

from __future__ import annotations

import base64
import ipaddress
import json
import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.oauth.caller_facts import ClientCertificate
from broker.oauth.jose_keys import AsymmetricKey

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@dataclass(frozen=True)
class Credential:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def shown(self) -> ClientCertificate:
        """Return it as a proxy tells it."""
        return ClientCertificate.of(self.der)

    @property
    def field(self) -> str:
        """Return the value of Client-Cert (RFC 9440)."""
        return f":{base64.b64encode(self.der).decode()}:"

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Return the public key as a JWK with the certificate (RFC 7517, 4.7); a change to ... leaves out."""
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            public: AsymmetricKey = ECKey.import_key(der)
        elif isinstance(self.key, rsa.RSAPrivateKey):
            with warnings.catch_warnings(category=SecurityWarning, action="ignore"):  # short keys on purpose
                public = RSAKey.import_key(der)
        else:
            public = OKPKey.import_key(der)
        x5c = [base64.b64encode(self.der).decode()]
        full = {**public.as_dict(private=False), "x5c": x5c, **changes}
        return {name: value for name, value in full.items() if value is not ...}

    def jwks(self, **changes: Any) -> str:
        return json.dumps({"keys": [self.jwk(**changes)]})

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write certificate and key as PEM files; return their paths."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_text(self.pem)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, key

    def load_into(self, context: ssl.SSLContext, directory: Path) -> None:
        """Let a TLS client show it."""
        context.load_cert_chain(*self.write(directory, f"shown-{self.certificate.serial_number:x}"))


def make(
    subject: str,
    key: PrivateKey | None = None,
    *,
    issuer: Credential | None = None,
    names: Sequence[x509.GeneralName] = (),
    usages: Sequence[ObjectIdentifier] | None = (CLIENT_AUTH,),
    is_authority: bool = False,
    start: datetime | None = None,
    days: float = 30,
    bulk: int = 0,
    serial: int | None = None,
) -> Credential:
    """Return a certificate for a subject (RFC 4514); without an issuer it vouches for itself.

    start: first instant, a day ago when not given. bulk: bytes of an extension that only makes it longer.
    """
    key = key or ec_key()
    first = start or datetime.now(UTC) - timedelta(days=1)
    name = x509.Name.from_rfc4514_string(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(first + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if is_authority:
        usage = dict.fromkeys(_KEY_USAGES, False) | {"key_cert_sign": True, "crl_sign": True}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    elif usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if bulk:
        more = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"\x04" * bulk)
        builder = builder.add_extension(more, critical=False)
    signer = issuer.key if issuer else key
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Credential(builder.sign(signer, algorithm), key)


_KEY_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def authority(subject: str = "CN=Authority for tests,C=VN") -> Credential:
    """Return a new authority."""
    return make(subject, is_authority=True, days=3650)


def server_names(*names: str) -> list[x509.GeneralName]:
    """Return DNS names and IP addresses as alternative names."""
    return [
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
        for name in names
    ]
