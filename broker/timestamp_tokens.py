"""Time-stamp tokens (RFC 3161): requests for them, and whether one is what an authority may give.

A token counts if its imprint is of the very bytes, if it repeats the nonce and names the policy that were
asked for, and if a certificate for time stamps, good at the time that it tells and issued under a trusted
root, has signed it. Whether a certificate was revoked is not asked: that needs a network, and years later
nobody answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography.x509 import Certificate, load_der_x509_certificate, load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerifierBuilder,
    decode_timestamp_response,
)
from rfc3161_client.tsp import PKIStatus, TimeStampTokenInfo

from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.timestamps import OpenToken, Stamped

TOKEN_BYTES_MAX: Final = 65_536
CLOCK_SECONDS: Final = 300.0
"""How far a fresh token's time and the clock here may lie apart."""
_HASHES: Final = {
    "2.16.840.1.101.3.4.2.1": hashlib.sha256,
    "2.16.840.1.101.3.4.2.2": hashlib.sha384,
    "2.16.840.1.101.3.4.2.3": hashlib.sha512,
}


@dataclass(frozen=True, slots=True)
class StampTrust:
    """Whose tokens count. roots: certificates, at least one. policy: dotted number, "" for any."""

    roots: Sequence[Certificate]
    policy: str = ""

    @classmethod
    def of(cls, pem: str, policy: str = "") -> StampTrust:
        """Return the trust in the certificates of a PEM text. Raises ValueError."""
        return cls(tuple(load_pem_x509_certificates(pem.encode())), policy)


@dataclass(frozen=True, slots=True)
class StampRequest:
    """A request for a token over bytes. query: what is sent (application/timestamp-query)."""

    query: bytes = field(repr=False)
    nonce: int


def new_request(content: bytes) -> StampRequest:
    """Return a request for a token over bytes: SHA-256, a fresh nonce, certificates wanted."""
    made = TimestampRequestBuilder().data(content).hash_algorithm(HashAlgorithm.SHA256).build()
    if made.nonce is None:
        raise AssertionError("a request without a nonce could be answered with an old token")
    return StampRequest(made.as_bytes(), made.nonce)


def opener(token: bytes, trust: StampTrust) -> OpenToken:
    """Return what opens a token that was kept: nobody knows its nonce any more."""
    return lambda content: opened_token(token, content, trust)


def fresh_token(
    token: bytes, content: bytes, trust: StampTrust, request: StampRequest, now: datetime
) -> Stamped:
    """Return what an authority's answer to a request says, which came now.

    Raises EvidenceInvalid: as opened_token, timestamp_nonce, timestamp_time.
    """
    stamped = opened_token(token, content, trust, request.nonce)
    if abs((stamped.at - now).total_seconds()) > CLOCK_SECONDS:
        raise EvidenceInvalid("timestamp_time")
    return stamped


def opened_token(token: bytes, content: bytes, trust: StampTrust, nonce: int | None = None) -> Stamped:
    """Return what a token says of bytes. token: an authority's answer, DER. nonce: of the request, if known.

    Raises EvidenceInvalid: timestamp_malformed, timestamp_refused, timestamp_differs, timestamp_nonce,
    timestamp_policy, timestamp_untrusted.
    """
    answer = _decoded(token)
    told = _told(answer)
    digest = _HASHES.get(told.message_imprint.hash_algorithm.dotted_string)
    if digest is None or digest(content).digest() != told.message_imprint.message:
        raise EvidenceInvalid("timestamp_differs")
    if nonce is not None and told.nonce != nonce:
        raise EvidenceInvalid("timestamp_nonce")
    policy = told.policy.dotted_string
    if trust.policy and policy != trust.policy:
        raise EvidenceInvalid("timestamp_policy", policy)
    return Stamped(told.gen_time.astimezone(UTC), policy, _signer(answer, content, trust))


def _decoded(token: bytes) -> TimeStampResponse:
    if len(token) > TOKEN_BYTES_MAX:
        raise EvidenceInvalid("timestamp_malformed", f"longer than {TOKEN_BYTES_MAX:,} bytes")
    try:
        return decode_timestamp_response(token)
    except Exception:  # whatever the library makes of bytes from outside
        raise EvidenceInvalid("timestamp_malformed") from None


def _told(answer: TimeStampResponse) -> TimeStampTokenInfo:
    """Return what a granted token says, nothing of it verified yet."""
    if answer.status != PKIStatus.GRANTED:
        raise EvidenceInvalid("timestamp_refused", f"status {answer.status}")
    try:
        told = answer.tst_info
        # Each of these is parsed only now.
        _ = (told.gen_time, told.policy.dotted_string, told.nonce, told.message_imprint.message)
    except Exception:
        raise EvidenceInvalid("timestamp_malformed") from None
    return told


def _signer(answer: TimeStampResponse, content: bytes, trust: StampTrust) -> str:
    """Return the name in the certificate that signed a token, once all of it holds."""
    try:
        certificates = [load_der_x509_certificate(one) for one in answer.signed_data.certificates]
        [signer] = answer.signed_data.signer_infos
        # One alone: of two with this name and number one might sign, and the other be for time stamps.
        [own] = [
            one
            for one in certificates
            if (one.issuer, one.serial_number) == (signer.issuer, signer.serial_number)
        ]
        VerifierBuilder(roots=list(trust.roots)).build().verify_message(answer, content)
        return own.subject.rfc4514_string()
    except Exception as failed:
        expired = "its certificate had expired" if "certificate has expired" in str(failed) else ""
        raise EvidenceInvalid("timestamp_untrusted", expired) from None
