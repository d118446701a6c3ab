"""The only reader of the environment. `Settings` is frozen and read once; half a configuration is refused.

Every setting is declared in one place, below, with its meaning; `docs/settings.md` is held to it by a test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

from broker.errors import SettingsInvalid
from broker.setting_readers import (
    LOOPBACK,
    Secret,
    read_authorities,
    read_bind,
    read_count,
    read_engine,
    read_epoch,
    read_hosts,
    read_issuer,
    read_networks,
    read_or_empty,
    read_positive,
    read_postgresql_url,
    read_readable_file,
    read_secret_from_file,
    read_source_url,
    read_word,
)

__all__ = [
    "COMPANIONS",
    "LOOPBACK",
    "PREFIX",
    "Secret",
    "Settings",
    "companion",
    "read_settings",
    "variable_of",
]

PREFIX: Final = "BROKER_"


def _setting(read: Callable[[str], Any], meaning: str, default: Any = MISSING) -> Any:
    metadata = {"read": read, "meaning": meaning}
    return field(metadata=metadata) if default is MISSING else field(metadata=metadata, default=default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the broker is told from outside. Field `x` is read from the variable `BROKER_X`."""

    issuer: str = _setting(
        read_issuer, "URL of this broker: issuer of its tokens and audience of its resources."
    )
    database_url: str = _setting(
        read_postgresql_url,
        "The broker's own PostgreSQL, as the application role; without it `broker serve` starts its own.",
    )
    source_url: str = _setting(
        read_source_url, "The insurance database (any SQLAlchemy dialect), as a role that may only read."
    )
    key_encryption_key_file: Secret = _setting(
        read_secret_from_file,
        "File with 32 bytes in base64url: encrypts all other keys, and what is kept of citizens.",
    )
    pseudonym_key_file: Secret = _setting(
        read_secret_from_file,
        "File with 32 bytes in base64url: keys every pseudonym and reference to a person.",
    )
    data_owner: str = _setting(str, "Organisation that owns the data and is named in every receipt.", "vss")
    data_owner_address: str = _setting(str, "Postal address of that organisation, for receipts.", "")
    data_owner_email: str = _setting(str, "E-mail address of that organisation, for receipts.", "")
    data_owner_phone: str = _setting(str, "Telephone number of that organisation, for receipts.", "")
    policy_directory: str = _setting(str, "Directory of policies; empty means the ones shipped.", "")
    bind: str = _setting(read_bind, "Address and port that `broker serve` listens on.", "127.0.0.1:8000")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = _setting(
        read_networks, "Networks of the proxies whose X-Forwarded-For and Client-Cert are believed.", ()
    )
    mtls_url: str = _setting(
        read_or_empty(read_issuer),
        "URL of the host where client certificates are asked for; empty: no mutual TLS.",
        "",
    )
    tls_client_ca_file: str = _setting(
        read_or_empty(read_authorities),
        "PEM file of the authorities whose certificates clients may use; empty: no tls_client_auth.",
        "",
    )
    client_keys_ca_file: str = _setting(
        read_or_empty(read_authorities),
        "PEM file of the authorities trusted where clients publish keys (jwks_uri); empty: the system's.",
        "",
    )
    client_keys_private_hosts: tuple[str, ...] = _setting(
        read_hosts, "Hosts of a jwks_uri that may have private addresses: an agency's inner network.", ()
    )
    identity_providers_file: str = _setting(
        read_or_empty(read_readable_file),
        "TOML file of the e-ID providers that citizens may sign in with; empty: none.",
        "",
    )
    workers: int = _setting(read_positive(int, 256), "Worker processes of `broker serve`.", 2)
    threads: int = _setting(
        read_positive(int, 64), "Threads per worker: requests in flight, slow source or not.", 4
    )
    source_concurrency: int = _setting(
        read_positive(int, 64),
        "Requests of one worker that may wait on the source at once; more are refused.",
        3,
    )
    source_deadline_seconds: float = _setting(
        read_positive(float, 2.5), "How long the source may take for one look-up.", 2.0
    )
    store_deadline_seconds: float = _setting(
        read_positive(float, 2.5), "How long the broker's own store may take for one statement.", 0.8
    )
    access_token_seconds: int = _setting(read_positive(int, 300), "Lifetime of an access token.", 300)
    consent_token_seconds: int = _setting(
        read_positive(int, 120), "Lifetime of an access token that rests on a citizen's consent.", 120
    )
    dpop_nonce_seconds: int = _setting(
        read_count(300), "How long a DPoP nonce of this server is good; 0: proofs need no nonce.", 0
    )
    proof_age_seconds: int = _setting(read_positive(int, 300), "Oldest DPoP proof that is accepted.", 60)
    clock_skew_seconds: float = _setting(
        read_positive(float, 60),
        "Greatest difference between this clock and the store's before all is refused.",
        5.0,
    )
    facts_seconds: float = _setting(
        read_positive(float, 300), "How long facts about clients may be cached for early refusal.", 300.0
    )
    log_directory: str = _setting(
        str, "Directory of the log's published files, below it HOST/YEAR; empty: no log here.", ""
    )
    log_epoch: str = _setting(
        read_epoch,
        "Name of the present database cluster, where its role may not ask PostgreSQL for one; empty: it may.",
        "",
    )
    log_required: str = _setting(
        read_word("yes", "no"),
        "Whether ordinary releases stop while the log stands, or where none was made.",
        "yes",
    )
    evidence_retention_years: int = _setting(
        read_positive(int, 100),
        "Years after the end of a calendar year for which the law keeps its evidence from erasure.",
        10,
    )
    statistics_directory: str = _setting(
        str, "Directory of the frozen releases of statistics; empty: no tables are served.", ""
    )
    statistics_engine: str = _setting(
        read_engine,
        "What counts releases: duckdb, or URLs of databases that hold them, apart by spaces.",
        "duckdb",
    )
    statistics_job_seconds: float = _setting(
        read_positive(float, 86_400), "How long one statistical export may take in `broker worker`.", 900.0
    )
    statistics_memory_mb: int = _setting(
        read_positive(int, 65_536), "Memory for data of one statistical export there, in MiB.", 2048
    )
    metrics_directory: str = _setting(
        str, "Directory of the workers' shared metrics; empty: one process.", ""
    )
    log_level: str = _setting(
        read_word("debug", "info", "warning", "error"), "Least severe log line.", "info"
    )


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
    {
        "BROKER_LOG_HEAD_OWNER_URL",
        "BROKER_LOG_HEAD_URL",
        "BROKER_LOG_TIMESTAMP_CA_FILE",
        "BROKER_LOG_TIMESTAMP_POLICY",
        "BROKER_LOG_TIMESTAMP_ROOTS_FILE",
        "BROKER_LOG_TIMESTAMP_SECONDS",
        "BROKER_LOG_TIMESTAMP_URL",
        "BROKER_LOG_WITNESSES_FILE",
        "BROKER_OPERATOR",
        "BROKER_OWNER_DATABASE_URL",
        "BROKER_SEQUENCER_DATABASE_URL",
        "BROKER_SOURCE_OWNER_URL",
        "BROKER_STATE_DIRECTORY",
    }
)
"""Variables that only commands read (who acts, migrations, the log, the embedded database)."""


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
