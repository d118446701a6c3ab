"""private_key_jwt: a client proves itself with a short-lived assertion signed by its key (RFC 7523)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from authlib.oauth2.rfc7523.client import ASSERTION_TYPE  # type: ignore[import-untyped]

from broker.oauth.form_request import Assertion, FormRequest
from broker.oauth.jose import (
    JoseRefused,
    check_window,
    decode_header,
    decode_object,
    decode_segment,
    is_number,
    split_compact,
)
from broker.oauth.jose_keys import VerifyingKey
from broker.oauth.registration import (
    ClientRegistration,
    JwksRefused,
    PublishedClientKeys,
    read_jwks,
)
from broker.oauth.token_errors import client_refused

MAX_LIFETIME_SECONDS: Final = 300
CLOCK_SKEW_SECONDS: Final = 10
MAX_JTI_CHARACTERS: Final = 256
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
# A person's number has twelve digits, and ids stand in evidence for ever: nothing new is called like one.
NEW_ID: Final = rf"(?![0-9]{{12}}\Z){CLIENT_ID.pattern}"
# "JWT" by SMART App Launch 2.2, Backend Services, and most libraries, "client-authentication+jwt" by
# RFC 7523bis; it may also be absent.
_TYPES: Final = frozenset({"jwt", "application/jwt", "client-authentication+jwt"})

FindRegistration = Callable[[str], ClientRegistration | None]


class PrivateKeyJwt:
    """Client authentication by JWT as Authlib calls it, with the rules of FAPI 2.0 (5.3.2.1-8, -13, 5.4.1).

    Authlib's own class of that kind reads the assertion by rules of its own, so it is no base of this one.
    """

    def __init__(self, issuer: str, published_keys: PublishedClientKeys | None = None) -> None:
        """issuer: the only audience. published_keys: reads the key sets of clients with a jwks_uri."""
        self._issuer = issuer
        self._published_keys = published_keys

    def __call__(self, query_client: FindRegistration, request: FormRequest) -> ClientRegistration | None:
        """Return the client that the assertion of a request authenticates; None when there is none.

        Leaves the one-time value in request.assertion: it is burned by the statement that stores the token,
        so that a request that buys nothing costs the client nothing. Raises InvalidClientError.
        """
        parameters = request.form
        assertion = parameters.get("client_assertion")
        if not assertion or parameters.get("client_assertion_type") != ASSERTION_TYPE:
            return None
        try:
            client, claims = self._authenticated(assertion, query_client)
            request.assertion = self._checked(claims, client.client_id, request.at)
        except JoseRefused as refused:
            raise client_refused(f"the client assertion is not acceptable: {refused}") from None
        if parameters.get("client_id", client.client_id) != client.client_id:
            raise client_refused("client_id is not the subject of the client assertion")
        if not client.is_active or client.expires_at <= request.at:
            raise client_refused("the client is suspended or its registration has expired")
        if not client.is_source(request.caller.source_address):
            raise client_refused("requests of this client may not come from this network address")
        request.client = client
        return client

    def _authenticated(
        self, assertion: str, query_client: FindRegistration
    ) -> tuple[ClientRegistration, dict[str, Any]]:
        """Return the client and the claims that one of its registered keys has signed (RFC 7523, 3-9)."""
        header_segment, payload_segment, signature_segment = split_compact(assertion)
        header = decode_header(header_segment, _TYPES, typ_required=False)
        claims = decode_object(decode_segment(payload_segment))
        signature = decode_segment(signature_segment)
        client_id = claims.get("sub")
        if not isinstance(client_id, str) or not CLIENT_ID.fullmatch(client_id):
            raise client_refused("sub of the client assertion must be the client_id")
        client = query_client(client_id)
        if client is None:
            raise client_refused()
        content = header_segment + b"." + payload_segment
        kid = header.get("kid")
        for keys in self._key_sets(client):
            # FAPI 2.0, 5.4.3: by kid and algorithm together; kid is the client's word and may be missing.
            fitting = [key for key in keys if key.algorithm == header["alg"] and kid in (None, key.kid)]
            if any(key.is_signature(content, signature) for key in fitting):
                return client, claims
            if kid is not None and fitting:
                break  # the key that was named is there and did not sign this
        raise client_refused()

    def _key_sets(self, client: ClientRegistration) -> Iterator[tuple[VerifyingKey, ...]]:
        """Give the client's keys; where it publishes them, once more after a look for new ones."""
        texts: Iterable[str | None] = [client.jwks]
        if client.jwks_uri and self._published_keys is not None:
            find = self._published_keys.find_jwks
            texts = (find(client.jwks_uri, renew=renew) for renew in (False, True))
        for text in texts:
            if not text:
                continue
            try:
                yield read_jwks(text)
            except JwksRefused:
                return

    def _checked(self, claims: dict[str, Any], client_id: str, at: datetime) -> Assertion:
        """Check the claims of a signed assertion (RFC 7523, 3; FAPI 2.0, 5.3.2.1)."""
        if claims.get("iss") != client_id:
            raise client_refused("iss and sub of the client assertion must both be the client_id")
        if claims.get("aud") != self._issuer:
            raise client_refused("aud of the client assertion must be the issuer, as a string")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_CHARACTERS or not jti.isprintable():
            raise client_refused("jti of the client assertion must be a string of 1 to 256 characters")
        now_seconds = at.timestamp()
        check_window(claims, now_seconds, CLOCK_SKEW_SECONDS)
        expires, issued = claims.get("exp"), claims.get("iat", now_seconds)
        longest = MAX_LIFETIME_SECONDS + CLOCK_SKEW_SECONDS
        if not is_number(expires) or expires > now_seconds + longest:
            raise client_refused("exp of the client assertion must be at most 300 seconds ahead")
        if issued < now_seconds - longest:
            raise client_refused("the client assertion was issued too long ago")
        digest = hashlib.sha256(client_id.encode() + b"\x1f" + jti.encode("utf-8", "surrogatepass"))
        # Kept a little longer than it can be used, so that no clock difference revives it.
        until = datetime.fromtimestamp(expires + CLOCK_SKEW_SECONDS, UTC)
        return Assertion(assertion_hash=digest.digest(), expires_at=until)
