"""What the connection of a request says about its caller: an address, and perhaps a certificate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

from broker.oauth.jose import encode_segment


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate whose private key the caller has proved to hold, to a proxy that we trust.

    der: as it was sent (X.509). thumbprint: base64url SHA-256 of it, the x5t#S256 of RFC 8705, 3.1.
    """

    der: bytes
    thumbprint: str

    @classmethod
    def of(cls, der: bytes) -> ClientCertificate:
        """Return the certificate that these bytes are; they are not parsed here."""
        return cls(der, encode_segment(hashlib.sha256(der).digest()).decode("ascii"))


@dataclass(frozen=True, slots=True)
class CallerFacts:
    """source_address: of the caller, as text, "" when it cannot be known. certificate: None without one."""

    source_address: str
    certificate: ClientCertificate | None = None


class CallerReader(Protocol):
    """Reads these facts from a WSGI environ; `broker.oauth.proxies.TrustedProxies` is one."""

    def read(self, environ: Any) -> CallerFacts:
        """Return the facts. Never raises: what cannot be read is not there."""
        ...
