"""One call as the faces see it, without a web framework; and the step from it to an `AccessContext`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.clock import Clock, countdown
from broker.evidence.recording import AccessContext
from broker.oauth.caller_facts import CallerFacts
from broker.oauth.protector import Protector, VerifiedToken

REQUEST_SECONDS: Final = 2.95
"""What one request may take, so that an answer is there within 3 s: hospitals do not wait longer."""
_NOT_WANTED: Final = re.compile(r"q *= *0(\.0{0,3})?")
# Random or ordered by time (RFC 9562, versions 4 and 7), lower case: no words of one's own in the logs.
_REQUEST_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Call:
    """Method, path and the header fields that matter; body as received.

    route: the rule that the path fits, "" where it is the path itself: what logs may name. query: as
    received, without the question mark; most resources take none and do not look. user_id: X-Road-UserId,
    which one resource reads. ranged, if_range, if_none_match: Range and conditions, for what is fetched.
    reference: fresh UUIDv7 under which the evidence of this call will stand; request_id: the caller's own,
    or the same.
    """

    method: str
    path: str
    authorization: str | None
    dpop: str | None
    accept: str
    accept_language: str
    request_id: str
    reference: str
    body: bytes
    caller: CallerFacts
    route: str = ""
    query: str = ""
    user_id: str = ""
    ranged: str = ""
    if_range: str = ""
    if_none_match: str = ""

    @property
    def vietnamese(self) -> bool:
        """Whether the answer's words are Vietnamese: they are, unless English is asked for first."""
        language = self.accept_language.strip().lower()
        return not language.startswith("en")


@dataclass(frozen=True, slots=True)
class Caller:
    """Builds the access context: who asks, by the token and its proof or certificate.

    issuer: public URL of this broker. mtls_url: public URL of the host that asks for certificates, or "".
    """

    issuer: str
    protector: Protector
    clock: Clock
    mtls_url: str = ""

    def verify(self, call: Call, at: datetime) -> VerifiedToken:
        """Return what the access token of a call says. Raises TokenInvalid or ProofInvalid."""
        bases = (self.issuer, self.mtls_url) if self.mtls_url else (self.issuer,)
        return self.protector.verify(
            call.authorization,
            call.dpop,
            call.method,
            [base + call.path for base in bases],
            at,
            call.caller.certificate,
        )

    def context(self, call: Call) -> AccessContext:
        """Return the access context of a call. Raises TokenInvalid or ProofInvalid."""
        at, left_seconds = self.clock(), countdown(REQUEST_SECONDS)
        token = self.verify(call, at)
        return AccessContext(
            client_id=token.client_id,
            scopes=token.scopes,
            token_hash=token.token_hash,
            proof_hash=token.proof_hash,
            proof_issued_at_seconds=token.proof_issued_at_seconds,
            at=at,
            reference=call.reference,
            request_id=call.reference,
            left_seconds=left_seconds,
            source_address=call.caller.source_address,
            authorization_details=token.authorization_details,
        )


def request_id_of(given: str | None, fresh: str) -> str:
    """Return the caller's own request id if it is a UUID of version 4 or 7, else fresh.

    It stands in logs and answers only; the evidence knows the broker's own id.
    """
    return given if given is not None and _REQUEST_ID.fullmatch(given) else fresh


def receipt_wanted(accept: str) -> bool:
    """Whether the Accept field asks for a signed receipt: application/jwt, not q=0 (RFC 9110, 12.5.1)."""
    return is_wanted(accept, "application/jwt")


def is_wanted(accept: str, wanted: str) -> bool:
    """Whether the Accept field names a media type, and not with q=0 (RFC 9110, 12.5.1)."""
    for part in accept.split(","):
        media_type, *parameters = [word.strip().lower() for word in part.split(";")]
        if media_type == wanted:
            return not any(_NOT_WANTED.fullmatch(parameter) for parameter in parameters)
    return False
