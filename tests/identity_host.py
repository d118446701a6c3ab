"""A provider of electronic identities on the loopback that does whatever it is told, wrongly too."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

HOST = "sso.identity.example"
CLIENT_ID = "insurance-broker"
NUMBER = "001099012345"


@dataclass
class Behaviour:
    """What the provider says next. claims: laid over the right ones; None takes one away."""

    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    response: dict[str, Any] = field(default_factory=dict)
    key: Any = None
    sign: Callable[[dict[str, Any], dict[str, Any], Any], str] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    answer: Callable[[BaseHTTPRequestHandler, str], bool] = lambda _handler, _path: False
    userinfo: dict[str, Any] = field(default_factory=dict)


class IdentityHost:
    """The provider. `behaviour` may be changed at any time; `asked` holds path and form of each request."""

    def __init__(self, port: int, now: Callable[[], float]) -> None:
        self.port = port
        self.issuer = f"https://{HOST}:{port}"
        self.now = now
        self.key = ECKey.generate_key("P-256", {"kid": "key-1", "use": "sig"}, private=True)
        self.behaviour = Behaviour()
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.headers: list[dict[str, str]] = []

    def resolve(self, host: str, port: int) -> Sequence[str]:
        """Stand in for the DNS."""
        assert (host, port) == (HOST, self.port)
        return ["127.0.0.1"]

    def sign_in(self, address: str) -> dict[str, str]:
        """Do what a person does at the provider's pages; return the parameters that go back."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        code = secrets.token_urlsafe(24)
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    def metadata(self) -> dict[str, Any]:
        right = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
            "authorization_response_iss_parameter_supported": True,
        }
        return laid_over(right, self.behaviour.metadata)

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or asked["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now, access_token = int(self.now()), secrets.token_urlsafe(24)
        right = {
            "iss": self.issuer,
            "sub": "person-1",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "auth_time": now,
            "nonce": asked["nonce"],
            "acr": "loa2",
            "SoDinhDanh": NUMBER,
            "name": "NGUYỄN THỊ THỬ",
        }
        claims = laid_over(right, self.behaviour.claims)
        header = laid_over({"alg": "ES256", "kid": "key-1"}, self.behaviour.header)
        key = self.behaviour.key or self.key
        id_token = (self.behaviour.sign or signed)(header, claims, key)
        response = {"access_token": access_token, "token_type": "Bearer", "id_token": id_token}
        return 200, laid_over(response, self.behaviour.response)

    def answer(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        path = urlsplit(handler.path).path
        self.asked.append((path, form))
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        if self.behaviour.answer(handler, path):
            return
        if path == "/.well-known/openid-configuration":
            send(handler, 200, self.metadata())
        elif path == "/jwks":
            send(handler, 200, {"keys": [self.key.as_dict(private=False)]})
        elif path == "/token":
            send(handler, *self.token(form))
        elif path == "/userinfo":
            send(handler, 200, laid_over({"sub": "person-1", "citizenId": NUMBER}, self.behaviour.userinfo))
        else:
            send(handler, 404, {})


def laid_over(right: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**right, **changes}.items() if value is not None}


def signed(header: dict[str, Any], claims: dict[str, Any], key: ECKey | RSAKey) -> str:
    registry = jws.JWSRegistry(algorithms=["ES256", "RS256", "PS256", "HS256"], strict_check_header=False)
    return jws.serialize_compact(header, json.dumps(claims).encode(), key, registry=registry)


def unsigned(_header: dict[str, Any], claims: dict[str, Any], _key: Any) -> str:
    """Return what an attacker without a key would send (RFC 7518, 3.6)."""
    parts = [json.dumps({"alg": "none"}).encode(), json.dumps(claims).encode(), b""]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def send(
    handler: BaseHTTPRequestHandler,
    status: int,
    document: Any,
    media_type: str = "application/json",
    cache_control: str = "no-store",
) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", media_type)
    handler.send_header("Cache-Control", cache_control)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def slowly(handler: BaseHTTPRequestHandler, seconds: float) -> None:
    """Send one byte now and then, for longer than anybody should wait."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        return


@contextmanager
def identity_host(context: ssl.SSLContext, now: Callable[[], float]) -> Iterator[IdentityHost]:
    """Serve on a free port of the loopback, over TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.answer(self, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            host.answer(self, {name: values[0] for name, values in parse_qs(body).items()})

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that break off are what the tests are about."""

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            try:
                request = context.wrap_socket(request, server_side=True)
            except OSError:
                request.close()
                return
            super().process_request_thread(request, client_address)

    server = Quiet(("127.0.0.1", 0), Handler)
    host = IdentityHost(server.server_address[1], now)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
