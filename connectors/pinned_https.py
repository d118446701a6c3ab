"""One request over HTTPS to a host that somebody else chose: no detours, a small answer, in time.

The name is resolved once, every address is judged, and the connection goes to exactly a judged one, so that
no second answer of the DNS can lead elsewhere. TLS and the Host field keep the name. Redirects, proxies of
the environment and compressed bodies do not exist here.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from threading import Event, Thread
from time import monotonic
from typing import Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from connectors.reachable import Resolve, is_reachable

BODY_BYTES_MAX: Final = 65_536
ACCEPT: Final = "application/jwk-set+json, application/json"
CONNECT_SECONDS: Final = 0.7
ADDRESSES_MAX: Final = 4

# No user information, no fragment, a port in digits; the last label of a host is never a number, so that no
# spelling of an address (127.1, 0x7f.1) passes for a name.
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?P<target>/[!-\"$-\[\]-~]*)?",
    re.IGNORECASE,
)


class FetchRefused(Exception):
    """Nothing was fetched. The text is fixed words and holds nothing of what was received."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document. media_type: lower case, without parameters. cache_control, age: as received, or ""."""

    media_type: str
    cache_control: str
    age: str
    body: bytes = field(repr=False)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Sent:
    """What a POST carries. headers: besides Content-Type."""

    media_type: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class PinnedFetch:
    """One request. It runs in one thread, and another may end it.

    url: https only. context: verifies certificate and name. private_hosts: lower case; they may have inner
    addresses. until: instant of time.monotonic() after which nothing more is done. sent: None for a GET.
    statuses: of an answer that is one. unread: those whose body is left alone. plain_hosts: lower case; for
    them http will do, on the loopback only. body_bytes_max: of an answer. accept: the field Accept.
    """

    def __init__(
        self,
        url: str,
        *,
        context: ssl.SSLContext,
        resolve: Resolve,
        private_hosts: Collection[str],
        until: float,
        sent: Sent | None = None,
        statuses: Collection[int] = (200,),
        unread: Collection[int] = (),
        plain_hosts: Collection[str] = (),
        body_bytes_max: int = BODY_BYTES_MAX,
        accept: str = ACCEPT,
    ) -> None:
        self._url = url
        self._context = context
        self._resolve = resolve
        self._private_hosts = private_hosts
        self._until = until
        self._sent = sent
        self._statuses = statuses
        self._unread = unread
        self._plain_hosts = plain_hosts
        self._body_bytes_max = body_bytes_max
        self._accept = accept
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._aborted = Event()

    def run(self) -> Fetched:
        """Return the document. Raises FetchRefused."""
        parts = _URL.fullmatch(self._url)
        if parts is None:
            raise FetchRefused("the URL is not a plain https URL with the name of a host")
        host, is_plain = parts["host"].lower(), parts["scheme"].lower() == "http"
        usual = 80 if is_plain else 443
        port = int(parts["port"] or usual)
        if port > 65535 or (is_plain and host not in self._plain_hosts):
            raise FetchRefused("the URL is not a plain https URL with the name of a host")
        addresses = self._addresses(host, port, is_plain=is_plain)
        try:
            self._connection = self._connected(host, port, addresses, is_plain=is_plain)
            name = host if port == usual else f"{host}:{port}"
            return self._document(self._connection, name, parts["target"] or "/")
        except ssl.SSLCertVerificationError:
            raise FetchRefused("the certificate of the host is not valid for it") from None
        except (OSError, HTTPError, ValueError) as fault:
            certificate = isinstance(fault.__cause__ or fault.__context__, ssl.SSLCertVerificationError)
            raise FetchRefused(
                "the certificate of the host is not valid for it"
                if certificate
                else "the host does not answer"
            ) from None
        finally:
            if self._connection is not None:
                self._connection.close()

    def run_in_time(self) -> Fetched:
        """Return the document as run() does, and give up at `until` whatever resolver and host do.

        Raises FetchRefused, also where run() raises anything else.
        """
        # Values alone: an exception that is kept would keep frames and sockets of the thread with it.
        told: list[Fetched | str] = []
        done = Event()

        def run() -> None:
            try:
                told.append(self.run())
            except FetchRefused as refused:
                told.append(str(refused))
            except Exception as failed:
                told.append(f"the request failed: {type(failed).__name__}")
            done.set()

        # A thread of its own: no resolver can be told to stop, and a slow drip has no end of its own.
        try:
            Thread(target=run, name="fetch", daemon=True).start()
        except RuntimeError:
            raise FetchRefused("no thread could be started") from None
        if not done.wait(max(0.0, self._until - monotonic())):
            self.abort()
            raise FetchRefused("the host does not answer in time")
        answer = told.pop()
        if isinstance(answer, str):
            raise FetchRefused(answer)
        return answer

    def abort(self) -> None:
        """End what run() is waiting for, whatever the host does; safe at any time from any thread."""
        self._aborted.set()
        connection = self._connection
        # An answer without length takes the socket away from its connection: it was kept when it stood.
        sock = self._socket or (None if connection is None else connection.sock)
        if sock is not None:
            try:
                # Not SSLSocket's own, which takes the TLS state away under the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return

    def _addresses(self, host: str, port: int, *, is_plain: bool) -> Sequence[str]:
        """Return the addresses of a host if every one of them may be reached."""
        try:
            addresses = self._resolve(host, port)
        except OSError:
            raise FetchRefused("the name of the host is not known") from None
        except UnicodeError:
            raise FetchRefused("the name of the host is not known") from None
        private = is_plain or host in self._private_hosts
        if not addresses or not all(is_reachable(address, private=private) for address in addresses):
            raise FetchRefused("the host has an address that must not be reached")
        if is_plain and not all(ip_address(address).is_loopback for address in addresses):
            raise FetchRefused("the host has an address that must not be reached")
        return addresses[:ADDRESSES_MAX]

    def _connected(self, host: str, port: int, addresses: Sequence[str], *, is_plain: bool) -> HTTPConnection:
        """Return a verified connection to the first address that takes one."""
        fault: Exception | None = None
        for address in addresses:
            timeout = min(self._left(), CONNECT_SECONDS)
            connection = (
                HTTPConnection(address, port, timeout=timeout)
                if is_plain
                else HTTPSConnection(
                    address, port, timeout=timeout, server_hostname=host, ssl_context=self._context
                )
            )
            # Known to abort() before it waits for anything.
            self._connection = connection
            try:
                connection.connect()
            except (OSError, HTTPError) as refused:
                connection.close()
                fault = refused
                continue
            self._socket = connection.sock
            return connection
        raise fault or FetchRefused("the host does not answer")

    def _document(self, connection: HTTPConnection, name: str, target: str) -> Fetched:
        connection.timeout = self._left()
        sent = self._sent
        connection.request(
            "GET" if sent is None else "POST",
            target,
            body=None if sent is None else sent.body,
            headers={
                "Host": name,
                "Accept": self._accept,
                "Accept-Encoding": "identity",
                "User-Agent": "insurance-data-broker",
                **({} if sent is None else {**sent.headers, "Content-Type": sent.media_type}),
            },
            preload_content=False,
            decode_content=False,
        )
        connection.timeout = self._left()
        response = connection.getresponse()
        if response.status not in self._statuses:
            told = " or ".join(map(str, sorted(self._statuses)))
            raise FetchRefused(f"the host answers with another status than {told}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise FetchRefused("the host compresses what it sends")
        most = self._body_bytes_max
        body = b"" if response.status in self._unread else response.read(most + 1)
        self._left()
        if len(body) > most:
            raise FetchRefused(f"the document is larger than {most // 1024} KiB")
        return Fetched(
            media_type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            cache_control=response.headers.get("Cache-Control", ""),
            age=response.headers.get("Age", ""),
            body=body,
            status=response.status,
        )

    def _left(self) -> float:
        """Return the seconds that are left."""
        left = self._until - monotonic()
        if left <= 0 or self._aborted.is_set():
            raise FetchRefused("the host does not answer in time")
        return left
