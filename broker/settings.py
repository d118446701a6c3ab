"""The only reader of the environment. `Settings` is frozen and read once; half a configuration is refused.

Every setting is declared in one place, below, with its meaning; `docs/settings.md` is held to it by a test.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.x509 import load_pem_x509_certificates

from broker.errors import SettingsInvalid

PREFIX: Final = "BROKER_"
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


def _secret_from_file(text: str) -> Secret:
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


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme == "http" and parts.hostname in LOOPBACK and not parts.query and not parts.fragment:
        return text.rstrip("/")
    if parts.scheme != "https" or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("an https URL without query or fragment (http only on the loopback)")
    return text.rstrip("/")


def _postgresql_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgresql+psycopg://")):
        raise ValueError("a postgresql:// URL; PostgreSQL is the only store of the broker's own state")
    return "postgresql+psycopg://" + text.split("://", 1)[1]


def _source_url(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(\+[a-z0-9_]+)?://.*", text):
        raise ValueError("a SQLAlchemy URL, such as postgresql://reader@host/insurance")
    return _postgresql_url(text) if text.startswith("postgresql") else text


def _bind(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("an address and a port, such as 127.0.0.1:8000")
    return text


def _or_empty(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: read(text) if text else ""


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read networks that are separated by commas; the whole Internet is none."""
    try:
        networks = tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("a comma-separated list of networks, such as 10.0.8.0/28, ::1/128") from None
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("a list of the proxies' own networks, never of all addresses")
    return networks


def _hosts(text: str) -> tuple[str, ...]:
    """Read names of hosts that are separated by commas; addresses and wildcards are none."""
    hosts = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("a comma-separated list of host names, such as keys.agency.internal; no addresses")
    return hosts


def _authorities(text: str) -> str:
    """Read the certificates of authorities from a PEM file; return them as they stand there."""
    try:
        pem = Path(text).read_text(encoding="utf-8")
        load_pem_x509_certificates(pem.encode("utf-8"))
    except (OSError, ValueError):
        raise ValueError("a readable PEM file with the certificate of at least one authority") from None
    return pem


def _readable_file(text: str) -> str:
    """Check that a file can be read; return its path."""
    try:
        Path(text).read_bytes()
    except OSError:
        raise ValueError("a readable file") from None
    return text


def _positive(kind: type[int] | type[float], highest: float) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError("a number") from None
        if not 0 < value <= highest:
            raise ValueError(f"above 0 and at most {highest:g}")
        return value

    return read


def _count(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) <= most):
            raise ValueError(f"a whole number from 0 to {most}")
        return int(text)

    return read


def _word(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text

    return read


def _setting(read: Callable[[str], Any], meaning: str, default: Any = MISSING) -> Any:
    metadata = {"read": read, "meaning": meaning}
    return field(metadata=metadata) if default is MISSING else field(metadata=metadata, default=default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the broker is told from outside. Field `x` is read from the variable `BROKER_X`."""

    issuer: str = _setting(_issuer, "URL of this broker: issuer of its tokens and audience of its resources.")
    database_url: str = _setting(
        _postgresql_url,
        "The broker's own PostgreSQL, as the application role; without it `broker serve` starts its own.",
    )
    source_url: str = _setting(
        _source_url, "The insurance database (any SQLAlchemy dialect), as a role that may only read."
    )
    key_encryption_key_file: Secret = _setting(
        _secret_from_file, "File with 32 bytes in base64url: encrypts private signing keys at rest."
    )
    pseudonym_key_file: Secret = _setting(
        _secret_from_file, "File with 32 bytes in base64url: keys every pseudonym and reference to a person."
    )
    data_owner: str = _setting(str, "Organisation that owns the data and is named in every receipt.", "vss")
    policy_directory: str = _setting(str, "Directory of policies; empty means the ones shipped.", "")
    bind: str = _setting(_bind, "Address and port that `broker serve` listens on.", "127.0.0.1:8000")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = _setting(
        _networks, "Networks of the proxies whose X-Forwarded-For and Client-Cert are believed.", ()
    )
    mtls_url: str = _setting(
        _or_empty(_issuer),
        "URL of the host where client certificates are asked for; empty: no mutual TLS.",
        "",
    )
    tls_client_ca_file: str = _setting(
        _or_empty(_authorities),
        "PEM file of the authorities whose certificates clients may use; empty: no tls_client_auth.",
        "",
    )
    client_keys_ca_file: str = _setting(
        _or_empty(_authorities),
        "PEM file of the authorities trusted where clients publish keys (jwks_uri); empty: the system's.",
        "",
    )
    client_keys_private_hosts: tuple[str, ...] = _setting(
        _hosts, "Hosts of a jwks_uri that may have private addresses: an agency's inner network.", ()
    )
    identity_providers_file: str = _setting(
        _or_empty(_readable_file),
        "TOML file of the e-ID providers that citizens may sign in with; empty: none.",
        "",
    )
    workers: int = _setting(_positive(int, 256), "Worker processes of `broker serve`.", 2)
    threads: int = _setting(
        _positive(int, 64), "Threads per worker: requests in flight, slow source or not.", 4
    )
    source_concurrency: int = _setting(
        _positive(int, 64), "Requests of one worker that may wait on the source at once; more are refused.", 3
    )
    source_deadline_seconds: float = _setting(
        _positive(float, 2.5), "How long the source may take for one look-up.", 2.0
    )
    store_deadline_seconds: float = _setting(
        _positive(float, 2.5), "How long the broker's own store may take for one statement.", 0.8
    )
    access_token_seconds: int = _setting(_positive(int, 300), "Lifetime of an access token.", 300)
    consent_token_seconds: int = _setting(
        _positive(int, 120), "Lifetime of an access token that rests on a citizen's consent.", 120
    )
    dpop_nonce_seconds: int = _setting(
        _count(300), "How long a DPoP nonce of this server is good; 0: proofs need no nonce.", 0
    )
    proof_age_seconds: int = _setting(_positive(int, 300), "Oldest DPoP proof that is accepted.", 60)
    clock_skew_seconds: float = _setting(
        _positive(float, 60),
        "Greatest difference between this clock and the store's before all is refused.",
        5.0,
    )
    facts_seconds: float = _setting(
        _positive(float, 300), "How long facts about clients may be cached for early refusal.", 300.0
    )
    metrics_directory: str = _setting(
        str, "Directory of the workers' shared metrics; empty: one process.", ""
    )
    log_level: str = _setting(_word("debug", "info", "warning", "error"), "Least severe log line.", "info")


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from the environment (or the given mapping).

    Raises SettingsInvalid naming every variable that is missing, unknown or unusable, and never its value.
    """
    given = {k: v for k, v in (os.environ if environ is None else environ).items() if k.startswith(PREFIX)}
    faults: list[str] = []
    values: dict[str, Any] = {}
    for declared in fields(Settings):
        text = given.pop(variable_of(declared), None)
        if text is None:
            if declared.default is MISSING:
                faults.append(f"{variable_of(declared)} is missing: {declared.metadata['meaning']}")
            continue
        try:
            values[declared.name] = declared.metadata["read"](text)
        except ValueError as fault:
            faults.append(f"{variable_of(declared)} cannot be used: it must be {fault}")
    faults += [f"{name} is no setting of the broker" for name in sorted(given) if name not in COMPANIONS]
    if faults:
        raise SettingsInvalid("; ".join(faults))
    settings = Settings(**values)
    _check_together(settings)
    return settings


COMPANIONS: Final = frozenset(
    {"BROKER_OWNER_DATABASE_URL", "BROKER_SOURCE_OWNER_URL", "BROKER_STATE_DIRECTORY"}
)
"""Variables that only commands read (migrations, synthesis, the embedded database), never the server."""


def companion(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return one of the COMPANIONS, or None if it is not set."""
    if name not in COMPANIONS:
        raise KeyError(name)
    return (os.environ if environ is None else environ).get(name)


def variable_of(declared: Field[Any]) -> str:
    """Return the environment variable of one declared setting."""
    return PREFIX + declared.name.upper()


def _check_together(settings: Settings) -> None:
    if settings.source_deadline_seconds + settings.store_deadline_seconds > 2.9:
        raise SettingsInvalid(
            "BROKER_SOURCE_DEADLINE_SECONDS and BROKER_STORE_DEADLINE_SECONDS together must leave an answer "
            "within 3 seconds: at most 2.9"
        )
    if settings.source_concurrency >= settings.threads and settings.threads > 1:
        raise SettingsInvalid(
            "BROKER_SOURCE_CONCURRENCY must be below BROKER_THREADS, or a slow source stops the whole worker"
        )
    if settings.key_encryption_key_file.reveal() == settings.pseudonym_key_file.reveal():
        raise SettingsInvalid("BROKER_KEY_ENCRYPTION_KEY_FILE and BROKER_PSEUDONYM_KEY_FILE hold one secret")
    if settings.mtls_url and not settings.trusted_proxies:
        raise SettingsInvalid(
            "BROKER_MTLS_URL needs BROKER_TRUSTED_PROXIES: only a trusted proxy knows a caller's certificate"
        )
    if settings.tls_client_ca_file and not settings.mtls_url:
        raise SettingsInvalid(
            "BROKER_TLS_CLIENT_CA_FILE needs BROKER_MTLS_URL, where certificates are asked for"
        )
