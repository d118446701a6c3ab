"""A client of the broker in one class, on the standard library's HTTP: for people, demos and tests."""

from __future__ import annotations

import hashlib
import json
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import import_key

from broker.clock import Clock, system_clock
from broker.oauth.jose import encode_segment
from broker.oauth.jose_keys import ALGORITHMS, AsymmetricKey, SigningKey
from broker.oauth.metadata import well_known_path

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS: Final = 60
FORM: Final = "application/x-www-form-urlencoded"
_RENEW_BEFORE: Final = timedelta(seconds=30)


class TokenRefused(Exception):
    """The authorization server gave no token. status: of HTTP; error, description: RFC 6749, 5.2."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.status = status
        self.error = error
        self.description = description


class KeyUnreadable(ValueError):
    """The key file does not hold one private JWK for ES256, EdDSA or PS256."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, read as JSON. Raises ValueError."""
        return json.loads(self.body)


class ClientKey:
    """A client's private key and what it signs."""

    def __init__(self, key: AsymmetricKey, algorithm: str, kid: str) -> None:
        public = {name: value for name, value in key.as_dict(private=False).items() if name in _PUBLIC}
        self.jkt = key.thumbprint()
        self._assertions = SigningKey(key, algorithm, {"kid": kid})
        self._proofs = SigningKey(key, algorithm, {"jwk": public})

    @classmethod
    def read(cls, text: str) -> ClientKey:
        """Return the key that the JSON text of a private JWK holds. Raises KeyUnreadable."""
        try:
            members = json.loads(text)
            algorithm = members.get("alg") or _USUAL[members["kty"]]
            key = import_key(members)
        except (ValueError, KeyError, AttributeError, TypeError, JoseError):
            raise KeyUnreadable("the key file must hold one private JWK") from None
        if algorithm not in ALGORITHMS or not isinstance(key, AsymmetricKey) or not key.is_private:
            raise KeyUnreadable("the key file must hold one private JWK for ES256, EdDSA or PS256")
        return cls(key, algorithm, str(members.get("kid") or key.thumbprint()))

    def assertion(self, client_id: str, issuer: str, at: datetime) -> str:
        """Return a client assertion that lives for a minute (RFC 7523, 3; FAPI 2.0, 5.3.2.1-8)."""
        now = int(at.timestamp())
        claims = {"iss": client_id, "sub": client_id, "aud": issuer, "jti": secrets.token_urlsafe(16)}
        return self._assertions.sign("JWT", _json({**claims, "iat": now, "exp": now + ASSERTION_SECONDS}))

    def proof(
        self, method: str, url: str, at: datetime, token: str | None = None, nonce: str | None = None
    ) -> str:
        """Return a DPoP proof for one request (RFC 9449, 4.2).

        token: the access token it goes with. nonce: the server's last one, where it asks for them.
        """
        claims: dict[str, object] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": url.split("?")[0],
        }
        claims["iat"] = int(at.timestamp())
        if token is not None:
            claims["ath"] = encode_segment(hashlib.sha256(token.encode("utf-8")).digest()).decode("ascii")
        if nonce is not None:
            claims["nonce"] = nonce
        return self._proofs.sign("dpop+jwt", _json(claims))


_PUBLIC: Final = frozenset({"kty", "crv", "x", "y", "n", "e"})
_USUAL: Final = {"EC": "ES256", "OKP": "EdDSA", "RSA": "PS256"}


def _json(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode("utf-8")


@dataclass(slots=True)
class Caller:
    """Discovers the token endpoint, keeps a token while it lives, signs a proof for every request.

    issuer: URL of the broker. scope: space-separated. Keeps one connection open per server; use one Caller
    per thread. last_proof: the proof that went with the last request, to send it again on purpose. Where the
    server asks for nonces in proofs, a request that was refused for want of one is sent again with it.
    """

    issuer: str
    client_id: str
    key: ClientKey
    scope: str
    timeout_seconds: float = 10.0
    clock: Clock = system_clock
    tls: ssl.SSLContext | None = None
    last_proof: str | None = field(default=None, init=False)
    _metadata: dict[str, Any] | None = field(default=None, init=False)
    _token: tuple[str, datetime] | None = field(default=None, init=False)
    _nonce: str | None = field(default=None, init=False)
    _connections: dict[tuple[str, str], HTTPConnection] = field(default_factory=dict, init=False)

    def metadata(self) -> dict[str, Any]:
        """Return the server's metadata (RFC 8414), asked for once. Raises as token() does."""
        if self._metadata is None:
            parts = urlsplit(self.issuer)
            url = f"{parts.scheme}://{parts.netloc}{well_known_path(self.issuer)}"
            answer = self.exchange("GET", url, None, {"Accept": "application/json"})
            metadata = _object(answer)
            if answer.status != 200 or metadata.get("issuer") != self.issuer:
                raise TokenRefused(
                    answer.status, "invalid_metadata", f"{url} does not describe {self.issuer}"
                )
            self._metadata = metadata
        return self._metadata

    def token(self) -> str:
        """Return an access token, a new one when the last has less than 30 seconds left.

        Raises TokenRefused, OSError, HTTPException.
        """
        if self._token is None or self._token[1] - _RENEW_BEFORE <= self.clock():
            self._token = self._new_token()
        return self._token[0]

    def forget_token(self) -> None:
        """Let the next request fetch a new token."""
        self._token = None

    def proof(self, method: str, url: str, token: str | None = None) -> str:
        """Return a fresh DPoP proof for a request."""
        return self.key.proof(method, url, self.clock(), token, self._nonce)

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        proof: str | None = None,
        token: str | None = None,
    ) -> Answer:
        """Send one authenticated request and return the answer, whatever its status.

        target: absolute URL, or a path below the issuer. proof, token: instead of fresh ones, for instance a
        replayed proof. Raises TokenRefused, OSError, HTTPException.
        """
        url = target if "://" in target else self.issuer + target
        token = token or self.token()

        def send() -> Answer:
            self.last_proof = proof or self.proof(method, url, token)
            own = {"Authorization": f"DPoP {token}", "DPoP": self.last_proof, "Accept": "application/json"}
            if body is not None:
                own["Content-Type"] = "application/json"
            return self.exchange(method, url, body, {**own, **(headers or {})})

        return send() if proof is not None else self._again_with_nonce(send)

    def post_form(self, endpoint: str, form: Mapping[str, str], accept: str = "application/json") -> Answer:
        """Post a form to an endpoint of the authorization server, authenticated, with a proof.

        endpoint: its name in the metadata, such as token_endpoint, or its URL. Raises as metadata() does.
        """
        url = endpoint if "://" in endpoint else str(self.metadata()[endpoint])

        def send() -> Answer:
            assertion = self.key.assertion(self.client_id, self.issuer, self.clock())
            own = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
            headers = {"Content-Type": FORM, "Accept": accept, "DPoP": self.proof("POST", url)}
            return self.exchange("POST", url, urlencode({**form, **own}).encode("ascii"), headers)

        return self._again_with_nonce(send)

    def _again_with_nonce(self, send: Callable[[], Answer]) -> Answer:
        """Send; once more if the first answer told a nonce and refused for want of it (RFC 9449, 8 and 9)."""
        answer = send()
        self._nonce = answer.headers.get("dpop-nonce", self._nonce)
        if answer.status in (400, 401) and "dpop-nonce" in answer.headers and _wants_nonce(answer):
            answer = send()
            self._nonce = answer.headers.get("dpop-nonce", self._nonce)
        return answer

    def exchange(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send one request as it is, over a kept connection. Raises OSError, HTTPException."""
        parts = urlsplit(url)
        where = (parts.scheme, parts.netloc)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        kept = self._connections.pop(where, None)
        if kept is not None:
            try:
                return self._send(where, kept, method, target, body, headers)
            except (ConnectionError, HTTPException):
                pass  # the server closed it while idle; should it have read us, the proof is burned
        return self._send(where, self._connect(*where), method, target, body, headers)

    def close(self) -> None:
        """Close all connections."""
        while self._connections:
            self._connections.popitem()[1].close()

    def _connect(self, scheme: str, netloc: str) -> HTTPConnection:
        if scheme == "https":
            context = self.tls or ssl.create_default_context()
            return HTTPSConnection(netloc, timeout=self.timeout_seconds, context=context)
        return HTTPConnection(netloc, timeout=self.timeout_seconds)

    def _send(
        self,
        where: tuple[str, str],
        connection: HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            content = response.read()
        except BaseException:  # Ctrl-C too: nobody reads the rest of this answer
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._connections[where] = connection
        return Answer(
            response.status, {name.lower(): value for name, value in response.getheaders()}, content
        )

    def _new_token(self) -> tuple[str, datetime]:
        at = self.clock()
        answer = self.post_form("token_endpoint", {"grant_type": "client_credentials", "scope": self.scope})
        members = _object(answer)
        if answer.status != 200:
            description = str(members.get("error_description", "the server gave no token"))
            raise TokenRefused(answer.status, str(members.get("error", "unknown")), description)
        return str(members["access_token"]), at + timedelta(seconds=int(members["expires_in"]))


def _object(answer: Answer) -> dict[str, Any]:
    try:
        members = answer.json()
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def _wants_nonce(answer: Answer) -> bool:
    told = answer.headers.get("www-authenticate", "") or str(_object(answer).get("error", ""))
    return "use_dpop_nonce" in told
