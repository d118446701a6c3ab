"""A client's own HTTPS host on the loopback with an authority of its own: publishes keys, badly too."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOST = "keys.agency.example"

Answer: TypeAlias = Callable[[BaseHTTPRequestHandler], None]


class Authority:
    """A certificate authority of the tests."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._certificate("CN=Authority of the tests", self.key.public_key(), None)
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    def context(self, directory: Path, host: str, *, valid: bool = True) -> ssl.SSLContext:
        """Return a server's TLS context with a certificate for host; valid: not yet expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate("CN=Host", key.public_key(), host, valid=valid)
        path = directory / f"{host}-{valid}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _certificate(self, name: str, key: Any, host: str | None, *, valid: bool = True) -> x509.Certificate:
        now = datetime.now(UTC)
        authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_rfc4514_string(name))
            .issuer_name(authority)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=1 if valid else -1))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if host is None:
            usage = {name: name in ("key_cert_sign", "crl_sign") for name in _USAGES}
            builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        else:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())


_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


class KeyHost:
    """The host: what it answers is put into `answer`; `asked` holds path and Host field of each request.

    posted: content type and body of each POST.
    """

    def __init__(self, port: int, name: str) -> None:
        self.port = port
        self.url = f"https://{name}:{port}/jwks"
        self.asked: list[tuple[str, str]] = []
        self.posted: list[tuple[str, bytes]] = []
        self.answer: Answer = plain({"keys": []})
        self.names: list[str | None] = []

    def resolve(self, host: str, port: int) -> Sequence[str]:
        """Stand in for the DNS."""
        assert (host, port) == (HOST, self.port)
        return ["127.0.0.1"]


def plain(
    document: object,
    *,
    cache_control: str | None = "max-age=60",
    media_type: str = "application/jwk-set+json",
    status: int = 200,
    **headers: str,
) -> Answer:
    """Return an answer that sends a document (bytes as they are, else JSON)."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", media_type)
        if cache_control is not None:
            request.send_header("Cache-Control", cache_control)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@contextmanager
def key_host(context: ssl.SSLContext | None, name: str = HOST) -> Iterator[KeyHost]:
    """Serve on a free port of the loopback. context: None speaks plain HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append((self.path, self.headers["Host"]))
            host.answer(self)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            host.posted.append((self.headers["Content-Type"], body))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64  # many may come at the same moment

        def handle_error(self, *_: object) -> None:
            """Clients that break off are what the tests are about."""

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            # The handshake belongs into the request's thread: a client may never finish it.
            if context is not None:
                try:
                    request = context.wrap_socket(request, server_side=True)
                except OSError:
                    request.close()
                    return
            super().process_request_thread(request, client_address)

    server = Quiet(("127.0.0.1", 0), Handler)
    host = KeyHost(server.server_address[1], name)
    if context is not None:
        context.sni_callback = lambda _socket, name, _context: host.names.append(name)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
