"""How the text of a setting becomes a value: each reader raises ValueError that says what is wanted."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.x509 import load_pem_x509_certificates

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_HOST: Final = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z]([a-z0-9-]*[a-z0-9])?")


class Secret:
    """Bytes that must never be printed: repr and str say nothing of them."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes, to the code that computes with them."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"


def read_secret_from_file(text: str) -> Secret:
    """Read a 32-byte secret from a file that holds it in base64url (44 characters)."""
    path = Path(text)
    try:
        if path.stat().st_mode & 0o077:
            raise ValueError("a file that nobody else may read (chmod 600)")
        value = base64.urlsafe_b64decode(path.read_text(encoding="ascii").strip())
    except (OSError, binascii.Error, UnicodeDecodeError) as unreadable:
        raise ValueError("a readable file with 32 bytes in base64url") from unreadable
    if len(value) != 32:
        raise ValueError("32 bytes, no more and no fewer")
    return Secret(value)


def read_issuer(text: str) -> str:
    """Return a URL of this broker without a slash at its end. Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme == "http" and parts.hostname in LOOPBACK and not parts.query and not parts.fragment:
        return text.rstrip("/")
    if parts.scheme != "https" or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("an https URL without query or fragment (http only on the loopback)")
    return text.rstrip("/")


def read_postgresql_url(text: str) -> str:
    """Return the URL of a PostgreSQL with the driver that is used. Raises ValueError."""
    if not text.startswith(("postgresql://", "postgresql+psycopg://")):
        raise ValueError("a postgresql:// URL; PostgreSQL is the only store of the broker's own state")
    return "postgresql+psycopg://" + text.split("://", 1)[1]


def read_source_url(text: str) -> str:
    """Return the URL of any database that SQLAlchemy knows. Raises ValueError."""
    if not re.fullmatch(r"[a-z0-9]+(\+[a-z0-9_]+)?://.*", text):
        raise ValueError("a SQLAlchemy URL, such as postgresql://reader@host/insurance")
    return read_postgresql_url(text) if text.startswith("postgresql") else text


def read_engine(text: str) -> str:
    """Return "duckdb", or the URLs of databases that count, with a space between. Raises ValueError."""
    if text == "duckdb":
        return text
    try:
        urls = [read_source_url(part) for part in text.split()]
    except ValueError:
        urls = []
    if not urls or len(set(urls)) != len(urls):
        raise ValueError(
            "duckdb, or SQLAlchemy URLs with spaces between, such as hive://thrift:10000/default"
        )
    return " ".join(urls)


def read_bind(text: str) -> str:
    """Return an address and a port. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("an address and a port, such as 127.0.0.1:8000")
    return text


def read_or_empty(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a reader that takes nothing for ""."""
    return lambda text: read(text) if text else ""


def read_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read networks that are separated by commas; the whole Internet is none."""
    try:
        networks = tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("a comma-separated list of networks, such as 10.0.8.0/28, ::1/128") from None
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("a list of the proxies' own networks, never of all addresses")
    return networks


def read_hosts(text: str) -> tuple[str, ...]:
    """Read names of hosts that are separated by commas; addresses and wildcards are none."""
    hosts = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("a comma-separated list of host names, such as keys.agency.internal; no addresses")
    return hosts


def read_authorities(text: str) -> str:
    """Read the certificates of authorities from a PEM file; return them as they stand there."""
    try:
        pem = Path(text).read_text(encoding="utf-8")
        load_pem_x509_certificates(pem.encode("utf-8"))
    except (OSError, ValueError):
        raise ValueError("a readable PEM file with the certificate of at least one authority") from None
    return pem


def read_oid(text: str) -> str:
    """Read an object identifier in dotted decimal."""
    if not re.fullmatch(r"[0-2](\.(0|[1-9][0-9]*)){1,32}", text, re.ASCII):
        raise ValueError("an object identifier: numbers with dots between them")
    return text


def read_readable_file(text: str) -> str:
    """Check that a file can be read; return its path."""
    try:
        Path(text).read_bytes()
    except OSError:
        raise ValueError("a readable file") from None
    return text


def read_positive(kind: type[int] | type[float], highest: float) -> Callable[[str], Any]:
    """Return a reader of numbers above 0, up to the highest."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError("a number") from None
        if not 0 < value <= highest:
            raise ValueError(f"above 0 and at most {highest:g}")
        return value

    return read


def read_count(most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from 0, up to the most."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) <= most):
            raise ValueError(f"a whole number from 0 to {most}")
        return int(text)

    return read


def read_epoch(text: str) -> str:
    """Return a name of a database cluster, or "". Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,64}", text):
        raise ValueError("at most 64 letters, digits, dots, hyphens and underscores, such as 2026-11-moved")
    return text


def read_word(*allowed: str) -> Callable[[str], str]:
    """Return a reader of one of these words."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text

    return read
