"""A real nginx with the files of deploy/nginx, and a TLS client that can misbehave in front of it."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from broker.cli.caller import Answer
from tests.certificates import SERVER_AUTH, Credential, authority, make, server_names
from tests.doors import free_port, wait_until
from tests.house.project import ROOT

SHIPPED = ROOT / "deploy/nginx"
FILES = ("insurance-broker.conf", "insurance-broker-server.inc", "insurance-broker-log.inc")
FIRST, MUTUAL = "broker.example", "mtls.broker.example"
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def has_ipv6() -> bool:
    """Return whether this machine can listen on the IPv6 loopback."""
    try:
        with socket.socket(socket.AF_INET6) as listening:
            listening.bind(("::1", 0))
    except OSError:
        return False
    return True


class Nginx:
    """nginx in front of a broker (or an echo) on a port of 127.0.0.1, without root and without /etc.

    Only ports and paths of the shipped files are replaced; the names stay, and clients here know where
    they live. has_log: whether it serves the files of the log, which then lie in `directory / "log"`.
    """

    def __init__(self, directory: Path, upstream_port: int, *, has_log: bool = False) -> None:
        assert NGINX is not None
        self.directory, self._has_log = directory, has_log
        self.port = free_port()
        self.authority = authority("CN=Authority of the servers")
        self.log = directory / "insurance-broker.log"
        for name in (FIRST, MUTUAL):
            credential = make(
                f"CN={name}", issuer=self.authority, names=server_names(name), usages=(SERVER_AUTH,)
            )
            credential.write(directory, name)
        for name in FILES:
            (directory / name).write_text(self._placed((SHIPPED / name).read_text("utf-8"), upstream_port))
        self._configuration = directory / "nginx.conf"
        self._configuration.write_text(self._around())
        self.check = self._run("-t")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [str(NGINX), "-e", "stderr", "-c", str(self._configuration), "-g", "daemon off;"]
        with (self.directory / "nginx.err").open("wb") as errors:
            self._process = subprocess.Popen(command, stderr=errors)
        wait_until(self._listens, "nginx listens")

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)

    def client(self, shown: Credential | None = None, **options: ssl.TLSVersion) -> TlsClient:
        """Return a client that trusts these servers. shown: the certificate that it offers."""
        context = ssl.create_default_context(cadata=self.authority.pem)
        for name, value in options.items():
            setattr(context, name, value)
        if shown is not None:
            shown.load_into(context, self.directory)
        return TlsClient(self.port, context)

    def _placed(self, text: str, upstream_port: int) -> str:
        replaced = {
            "127.0.0.1:8000": f"127.0.0.1:{upstream_port}",
            "listen [::]:443 ssl;": f"listen [::1]:{self.port} ssl;" if has_ipv6() else "",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            **({"#include": "include"} if self._has_log else {}),
            "/var/lib/insurance-broker-log/": f"{self.directory}/log/",
            "/etc/nginx/tls/": f"{self.directory}/",
            "/etc/nginx/": f"{self.directory}/",
            "/var/log/nginx/": f"{self.directory}/",
        }
        for old, new in replaced.items():
            text = text.replace(old, new)
        return text

    def _around(self) -> str:
        """Return what stands around the shipped file where it is installed: process, temporary files."""
        user = "user root;" if os.geteuid() == 0 else ""
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "\n".join(f"{kind}_temp_path {self.directory}/{kind};" for kind in kinds)
        return (
            f"{user} worker_processes 1; pid {self.directory}/nginx.pid; error_log stderr warn;\n"
            f"events {{ worker_connections 256; }}\n"
            f"http {{\n{temporary}\naccess_log off;\ninclude {self.directory}/{FILES[0]};\n}}\n"
        )

    def _run(self, option: str) -> subprocess.CompletedProcess[str]:
        command = [str(NGINX), "-e", "stderr", "-c", str(self._configuration), option]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class TlsClient:
    """Sends single requests to names that all live on one port of the loopback."""

    port: int
    context: ssl.SSLContext

    def at_once(self, method: str, url: str, count: int, connections: int = 20) -> list[Answer]:
        """Send a request again and again over several connections, as quickly as it is answered."""
        shares = [count // connections] * connections
        with ThreadPoolExecutor(connections) as threads:
            found = threads.map(lambda share: self._one_after_another(method, url, share), shares)
            return [answer for answers in found for answer in answers]

    def _one_after_another(self, method: str, url: str, count: int) -> list[Answer]:
        parts = urlsplit(url)
        raw = socket.create_connection(("127.0.0.1", self.port), 60)
        connection = http.client.HTTPConnection(parts.hostname or "", timeout=60)
        connection.sock = self.context.wrap_socket(raw, server_hostname=parts.hostname)
        answers = []
        with closing(connection):
            for _ in range(count):
                connection.request(method, parts.path)
                response = connection.getresponse()
                fields = {field.lower(): value for field, value in response.getheaders()}
                answers.append(Answer(response.status, fields, response.read()))
        return answers

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        handshake_name: str | None = None,
    ) -> Answer:
        """Send a request over a connection of its own. handshake_name: instead of the URL's in TLS."""
        parts = urlsplit(url)
        name = parts.hostname or ""
        raw = socket.create_connection(("127.0.0.1", self.port), 60)
        connection = http.client.HTTPConnection(name, timeout=60)
        connection.sock = self.context.wrap_socket(raw, server_hostname=handshake_name or name)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, {**(headers or {}), "Connection": "close"})
            response = connection.getresponse()
            fields = {field.lower(): value for field, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        finally:
            connection.close()


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = "".join(f"{name}: {value}\n" for name, value in self.headers.items()).encode("latin-1")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 (http.server's)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512  # with the five that are usual, some of many who come at once wait for seconds


@contextmanager
def echoing() -> Iterator[int]:
    """Give the port of a server that answers with the header fields that it got, one per line."""
    server = _Threads(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
