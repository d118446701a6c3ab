"""The stage of the release bench: databases, hospitals, people to ask about, and the servers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psycopg
from rich.console import Console
from sqlalchemy import create_engine, text

from broker.cli.embedded import EmbeddedCluster, embedded_cluster, url_of
from broker.cli.prepare import prepare
from broker.cli.session import embedded_environment, settings_of
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.settings import Settings
from connectors.national_insurance.schema import grant_reader
from connectors.national_insurance.synthetic import Manifest
from connectors.national_insurance.synthetic_load import load_population
from connectors.postgres import conninfo_of_url
from policies.civil_time import civil_date
from policies.load import SHIPPED
from tests.bench.callers import Hospital, register_hospitals
from tests.bench.floors import AUDIT

SMALL_PERSONS = 10_000
MANY_AGREEMENTS = 1_000
HOSPITALS = 40
SEED = 20261122
FIRST_PORT = 18_000
ALL_SERVERS = ("broker", "small", "many", "ordinary", "lean")
UNRECORDED = "unrecorded"
"""A broker that writes no evidence (`tests.bench.unrecorded`), where somebody asks for it."""

console = Console(stderr=True)

_PEOPLE = """
SELECT min(p.si_number), min(p.full_name), min(p.birth_date)::text
FROM person p JOIN health_insurance_card c USING (person_key)
WHERE p.birth_precision = 'day' AND p.birth_date > '1900-01-01' AND c.managed_by = 'insurance_agency'
GROUP BY p.person_key
HAVING count(*) = 1
  AND bool_and(c.card_status = 'active' AND %(day)s BETWEEN c.valid_from AND c.valid_to)
  AND (SELECT count(*) FROM person q WHERE q.si_number = min(p.si_number)) = 1
ORDER BY hashtext(p.person_key::text) LIMIT %(limit)s
"""
_PUBLISHED = """
INSERT INTO log_published (shard, tree_size, complete_at)
VALUES (extract(year FROM now())::smallint, 0, now())
ON CONFLICT (shard) DO UPDATE SET complete_at = now()
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it listens, its process, and which people it knows."""

    name: str
    port: int
    pid: int
    people: list[tuple[str, str, str]]

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that the measurements need. environ: of the broker, without where it listens."""

    cluster: EmbeddedCluster
    servers: Mapping[str, Server]
    hospitals: list[Hospital]
    persons: int
    settings: Settings
    environ: Mapping[str, str]


@contextmanager
def staged(
    state: Path, persons: int, workers: int, threads: int, only: tuple[str, ...] = ALL_SERVERS
) -> Iterator[Stage]:
    """Set the stage under a directory, with the named servers, and tear them down at the end."""
    with ExitStack() as stack:
        cluster = stack.enter_context(embedded_cluster(state))
        environ = embedded_environment(cluster, state, _clean_environ(workers, threads))
        environ["BROKER_LOG_LEVEL"] = "info"
        # As in production: each release is judged by how long ago the log was published.
        environ["BROKER_LOG_REQUIRED"] = "yes"
        small_url = _insurance(cluster, "insurance_small", SMALL_PERSONS) if "small" in only else ""
        large_url = _insurance(cluster, "insurance", persons)
        settings = settings_of(environ)
        prepare(cluster.owner_url, settings)
        many = state / "policies"
        if "many" in only:
            _many_agreements(many)
            prepare(cluster.owner_url, settings_of({**environ, "BROKER_POLICY_DIRECTORY": str(many)}))
        with create_engine(cluster.owner_url).connect() as connection, connection.begin():
            connection.execute(
                text("TRUNCATE facility_staff, access_tokens, clients, organisations, usage_counters CASCADE")
            )
        stack.enter_context(_published(conninfo_of_url(cluster.owner_url)))
        pseudonyms = KeyedPseudonyms(settings.pseudonym_key_file.reveal())
        hospitals = register_hospitals(create_engine(cluster.owner_url), pseudonyms, HOSPITALS)
        people = _people(large_url, 60_000)
        variants = {
            "broker": (people, {}),
            "small": (
                _people(small_url, 60_000) if small_url else [],
                {"BROKER_SOURCE_URL": _reader(cluster, "insurance_small")},
            ),
            "many": (people, {"BROKER_POLICY_DIRECTORY": str(many)}),
            UNRECORDED: (people, {}),
        }
        servers: dict[str, Server] = {}
        for number, (name, (known, extra)) in enumerate(variants.items()):
            if name not in only:
                continue
            port = FIRST_PORT + number
            own = {**environ, **extra, "BROKER_BIND": f"127.0.0.1:{port}"}
            own["BROKER_ISSUER"] = f"http://127.0.0.1:{port}"
            target = "tests.bench.unrecorded:app()" if name == UNRECORDED else "broker.app:create_app()"
            servers[name] = stack.enter_context(_serving(name, port, target, own, known))
        for number, name in enumerate(("ordinary", "lean")):
            if name not in only:
                continue
            port = FIRST_PORT + 10 + number
            own = {
                **environ,
                "BROKER_BIND": f"127.0.0.1:{port}",
                "FLOOR_DATABASE_URL": cluster.source_owner_url,
                "FLOOR_CONNINFO": conninfo_of_url(cluster.source_owner_url),
            }
            target = f"tests.bench.floors:{name}()"
            servers[name] = stack.enter_context(_serving(name, port, target, own, people))
        yield Stage(cluster, servers, hospitals, persons, settings, environ)


@contextmanager
def _published(owner: str) -> Iterator[None]:
    """Tell the store every minute that the log is published, as a sequencer would."""
    over = Event()

    def tell() -> None:
        with psycopg.connect(owner, autocommit=True) as connection:
            while True:
                connection.execute(_PUBLISHED)
                told.set()
                if over.wait(60.0):
                    return

    told = Event()
    telling = Thread(target=tell, name="published", daemon=True)
    telling.start()
    if not told.wait(60.0):
        raise RuntimeError("the store takes no word of the log")
    try:
        yield
    finally:
        over.set()
        telling.join(60.0)


def _clean_environ(workers: int, threads: int) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
    return {
        **others,
        "BROKER_WORKERS": str(workers),
        "BROKER_THREADS": str(threads),
        "BROKER_SOURCE_CONCURRENCY": str(max(1, threads - 1)),
    }


def _reader(cluster: EmbeddedCluster, database: str) -> str:
    return url_of(cluster.administrator_url, "insurance_reader", database)


def _insurance(cluster: EmbeddedCluster, database: str, persons: int) -> str:
    """Make and load an insurance database if it does not hold so many persons yet; return its owner's URL."""
    with psycopg.connect(cluster.administrator_url, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if known is None:
            connection.execute(f"CREATE DATABASE {database} OWNER insurance_owner")
    url = url_of(cluster.administrator_url, "insurance_owner", database)
    engine = create_engine(url)
    with engine.connect() as connection:
        loaded = connection.execute(text("SELECT to_regclass('person') IS NOT NULL")).scalar_one()
        count = connection.execute(text("SELECT count(*) FROM person")).scalar_one() if loaded else 0
    if count != persons:
        console.print(f"loading {persons:,} persons into {database} ...")
        from broker.clock import system_clock

        load_population(url, Manifest(persons, SEED, civil_date(system_clock())), replace=bool(loaded))
    grant_reader(engine, "insurance_reader")
    AUDIT.metadata.create_all(engine)
    engine.dispose()
    return url


def _people(url: str, limit: int) -> list[tuple[str, str, str]]:
    with psycopg.connect(conninfo_of_url(url)) as connection:
        day = connection.execute("SELECT (now() AT TIME ZONE 'Asia/Ho_Chi_Minh')::date").fetchone()
        found = connection.execute(_PEOPLE, {"day": day[0] if day else None, "limit": limit})
        return [(str(row[0]), str(row[1]), str(row[2])) for row in found]


def _many_agreements(directory: Path) -> None:
    """Copy the shipped policies and add agreements like the hospital's under other names."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(SHIPPED, directory, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    hospital = (directory / "agreements" / "hospital_entitlement_check.toml").read_text(encoding="utf-8")
    present = len(list((directory / "agreements").glob("*.toml")))
    for number in range(MANY_AGREEMENTS - present):
        name = f"bench_{number:04d}"
        changed = hospital.replace('id = "hospital_entitlement_check"', f'id = "{name}"', 1)
        (directory / "agreements" / f"{name}.toml").write_text(changed, encoding="utf-8")


@contextmanager
def _serving(
    name: str, port: int, target: str, environ: Mapping[str, str], people: list[tuple[str, str, str]]
) -> Iterator[Server]:
    """Run gunicorn with the broker's own configuration, whatever the application."""
    state = Path(environ["BROKER_KEY_ENCRYPTION_KEY_FILE"]).parent / f"bench-{name}"
    metrics = state / "metrics"
    shutil.rmtree(state, ignore_errors=True)
    metrics.mkdir(parents=True)
    own = {**environ, "BROKER_METRICS_DIRECTORY": str(metrics), "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    _refuse_taken(port)
    command = [sys.executable, "-m", "gunicorn", "--config", "python:broker.gunicorn_config", target]
    with (state / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=own, stderr=log, stdout=log)
        try:
            _wait(port, process, state / "server.log")
            yield Server(name, port, process.pid, people)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _refuse_taken(port: int) -> None:
    """Raise RuntimeError where somebody listens already: his server would be measured in place of ours."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise RuntimeError(f"port {port} is taken, perhaps by another bench: wait for its end")


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"a server ended early: {log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2)
        except urllib.error.HTTPError:
            return  # a floor has no such path, but it answers
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("a server did not answer within a minute")
