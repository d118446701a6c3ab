"""The migrations make what `tables` says, back and forth; the application role may do only what it needs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import CheckConstraint, Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from broker.cli.embedded import EmbeddedCluster, url_of
from broker.storage.migrate import alembic_config, current_revision, migrate, newest_revision
from broker.storage.privileges import APPLICATION_GRANTS, SEQUENCER_GRANTS
from broker.storage.readiness import find_fault
from broker.storage.tables import metadata
from tests.doors import at_once
from tests.release_world import World

DATABASE = "broker_migrations"
INSUFFICIENT_PRIVILEGE = "42501"
_INSERT = (
    "INSERT INTO evidence_entries (reference, kind, entry, {column})"
    " VALUES (gen_random_uuid(), 'x', '', {value})"
)
_UPSERT = (
    "INSERT INTO evidence_entries (reference, kind, entry) VALUES (gen_random_uuid(), 'x', '')"
    " ON CONFLICT (reference) DO UPDATE SET kind = 'y'"
)


@pytest.fixture
def urls(cluster: EmbeddedCluster) -> Iterator[tuple[str, str]]:
    """Give the owner's and the application's URL of an empty database."""
    with psycopg.connect(cluster.administrator_url, autocommit=True) as connection:
        name = sql.Identifier(DATABASE)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER broker_owner").format(name))
        yield tuple(  # type: ignore[misc]
            url_of(cluster.administrator_url, role, DATABASE) for role in ("broker_owner", "broker_app")
        )
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def owner(urls: tuple[str, str]) -> Iterator[Engine]:
    engine = create_engine(urls[0])
    yield engine
    engine.dispose()


@pytest.fixture
def application(urls: tuple[str, str]) -> Iterator[Engine]:
    engine = create_engine(urls[1])
    yield engine
    engine.dispose()


def test_there_is_one_head() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert script.get_heads() == [newest_revision()]
    revisions = list(script.walk_revisions())
    assert len(script.get_bases()) == 1
    assert [one.revision for one in revisions] == sorted((one.revision for one in revisions), reverse=True)


def test_a_migrated_database_is_what_the_tables_say(urls: tuple[str, str], owner: Engine) -> None:
    assert migrate(urls[0]) == newest_revision()
    with owner.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
        # Autogenerate does not look at check constraints.
        found = inspect(connection)
        for table in metadata.sorted_tables:
            declared = {
                owner.dialect.identifier_preparer.format_constraint(one)
                for one in table.constraints
                if isinstance(one, CheckConstraint)
            }
            assert {one["name"] for one in found.get_check_constraints(table.name)} == declared, table.name


def test_down_and_up_again_gives_the_same_database(urls: tuple[str, str], owner: Engine) -> None:
    migrate(urls[0])
    with owner.connect() as connection, connection.begin():
        command.downgrade(alembic_config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        assert current_revision(connection) is None
    migrate(urls[0])
    with owner.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_each_revision_takes_back_exactly_what_it_made(urls: tuple[str, str], owner: Engine) -> None:
    """One step up, one down, one up: an operator who goes back one release finds that release's tables."""
    script = ScriptDirectory.from_config(alembic_config())
    names = [one.revision for one in reversed(list(script.walk_revisions()))]
    with owner.connect() as connection, connection.begin():
        config = alembic_config(connection)
        for before, name in itertools.pairwise(["base", *names]):
            shape = shape_of(connection)
            command.upgrade(config, name)
            upgraded = shape_of(connection)
            command.downgrade(config, before)
            assert shape_of(connection) == shape, f"down from {name}"
            command.upgrade(config, name)
            assert shape_of(connection) == upgraded, f"up to {name} again"
            assert upgraded != shape, name
        assert current_revision(connection) == newest_revision()


def shape_of(connection: Connection) -> dict[str, set[str]]:
    """Return table → its columns, with type and whether they may be NULL, its indexes and constraints."""
    found = inspect(connection)
    return {
        table: {
            *(f"{one['name']} {one['type']} {one['nullable']}" for one in found.get_columns(table)),
            *(str(one["name"]) for one in found.get_indexes(table)),
            *(f"{one['name']} {one['sqltext']}" for one in found.get_check_constraints(table)),
            *(str(one["name"]) for one in found.get_foreign_keys(table)),
            *(str(one["name"]) for one in found.get_unique_constraints(table)),
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def test_migrating_again_and_two_at_once_change_nothing(urls: tuple[str, str], owner: Engine) -> None:
    assert at_once(migrate, [urls[0]] * 3) == [newest_revision()] * 3
    assert migrate(urls[0]) == newest_revision()
    with owner.connect() as connection:
        assert current_revision(connection) == newest_revision()


def test_a_database_with_a_log_is_given_a_quarter_of_an_hour_and_one_without_none(
    urls: tuple[str, str], owner: Engine
) -> None:
    migrate(urls[0])
    with owner.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM log_published").scalar_one() == 0
        command.downgrade(alembic_config(connection), "0008")
        connection.exec_driver_sql("INSERT INTO log_horizon VALUES (true, 'x', 0, gen_random_uuid())")
    migrate(urls[0])
    with owner.connect() as connection:
        row = connection.exec_driver_sql(
            "SELECT shard, tree_size, now() - complete_at < interval '10 min' AS is_fresh FROM log_published"
        ).one()
        this_year = connection.exec_driver_sql("SELECT extract(year FROM now() AT TIME ZONE 'UTC')::int")
        assert tuple(row) == (this_year.scalar_one(), 0, True)


def test_an_empty_database_is_not_ready(urls: tuple[str, str], application: Engine) -> None:
    assert find_fault(application) == "revision"
    migrate(urls[0])
    assert find_fault(application) is None


_HELD = """
SELECT c.relname, x.privilege_type, NULL FROM pg_class c CROSS JOIN aclexplode(c.relacl) x
  WHERE c.relnamespace = 'public'::regnamespace AND x.grantee = CAST(:role AS regrole)
UNION ALL
SELECT c.relname, x.privilege_type, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
  CROSS JOIN aclexplode(a.attacl) x
  WHERE c.relnamespace = 'public'::regnamespace AND x.grantee = CAST(:role AS regrole)
"""
_OF_EVERYBODY = """
SELECT count(*) FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND (
  EXISTS (SELECT FROM aclexplode(c.relacl) x WHERE x.grantee = 0)
  OR EXISTS (SELECT FROM pg_attribute a CROSS JOIN aclexplode(a.attacl) x
             WHERE a.attrelid = c.oid AND x.grantee = 0))
"""


def granted(grants: Mapping[str, str]) -> set[tuple[str, str, str | None]]:
    """Return (table, privilege, column or None for all) of what is granted, as PostgreSQL keeps it."""
    found: set[tuple[str, str, str | None]] = {("alembic_version", "SELECT", None)}
    for table, privileges in grants.items():
        for one in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", privileges):
            columns = one[1].split(", ") if one[1] else [None]
            found |= {(table, one[0], column) for column in columns}
    return found


@pytest.mark.parametrize(
    ("role", "grants"), [("broker_app", APPLICATION_GRANTS), ("broker_sequencer", SEQUENCER_GRANTS)]
)
def test_a_role_has_exactly_the_privileges_that_are_listed(
    urls: tuple[str, str], owner: Engine, role: str, grants: Mapping[str, str]
) -> None:
    """Also after migrating a second time, and where somebody gave more by hand in between."""
    migrate(urls[0])
    assert APPLICATION_GRANTS.keys() == metadata.tables.keys()
    with owner.begin() as connection:
        connection.exec_driver_sql(f"GRANT INSERT (recorded_at), UPDATE ON evidence_entries TO {role}")
    migrate(urls[0])
    with owner.connect() as connection:
        held = connection.execute(text(_HELD), {"role": role}).all()
        assert {tuple(row) for row in held} == granted(grants)
        assert connection.execute(text(_OF_EVERYBODY)).scalar_one() == 0


def test_the_application_role_only_adds_to_evidence_and_says_neither_when_nor_in_which_transaction() -> None:
    """The words of the list itself: whoever makes it longer sees this test."""
    told = {name: APPLICATION_GRANTS[name] for name in APPLICATION_GRANTS if name.startswith("evidence_")}
    assert told == {
        "evidence_entries": "SELECT, INSERT (reference, kind, entry)",
        "evidence_openings": "SELECT, INSERT",
        "evidence_keys": "SELECT, INSERT (key_name, key_year, path, key_encrypted)",
    }
    assert {name: APPLICATION_GRANTS[name] for name in APPLICATION_GRANTS if name.startswith("log_")} == {
        "log_positions": "SELECT", "log_horizon": "SELECT", "log_published": "SELECT",
    }  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE evidence_entries SET entry = ''",
        "DELETE FROM evidence_entries",
        "TRUNCATE evidence_entries",
        "UPDATE evidence_openings SET sealed_salts = NULL",
        "DELETE FROM evidence_openings",
        "TRUNCATE evidence_openings",
        "UPDATE evidence_keys SET key_encrypted = ''",
        "DELETE FROM evidence_keys",
        "UPDATE evidence_entries SET recorded_at = now()",
        "TRUNCATE evidence_keys",
        _INSERT.format(column="recorded_at", value="now() - interval '1 year'"),
        _INSERT.format(column="recorded_at", value="DEFAULT"),
        _INSERT.format(column="entered_transaction", value="1"),
        _INSERT.format(column="entered_transaction", value="DEFAULT"),
        "COPY evidence_entries FROM STDIN",
        "INSERT INTO evidence_keys VALUES ('2026/', 2026, '', '', now() - interval '1 year')",
        "UPDATE log_published SET complete_at = now()",
        "INSERT INTO log_published VALUES (2026, 1, now())",
        "DELETE FROM log_positions",
        "INSERT INTO log_positions VALUES (2026, 0, gen_random_uuid())",
        _UPSERT,
        "SELECT * FROM evidence_entries FOR UPDATE",
        "ALTER TABLE evidence_entries ADD COLUMN note text",
        "DROP TABLE evidence_entries",
        "CREATE TABLE hidden (x int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TRIGGER t BEFORE INSERT ON evidence_entries EXECUTE FUNCTION tsvector_update_trigger()",
        "CREATE RULE r AS ON INSERT TO evidence_entries DO INSTEAD NOTHING",
        "CREATE INDEX i ON evidence_entries (kind)",
        "COMMENT ON TABLE evidence_entries IS 'x'",
        "SET SESSION AUTHORIZATION broker_owner",
        "SET ROLE broker_owner",
        "UPDATE statistics_releases SET table_secret_encrypted = ''",
        "UPDATE statistics_releases SET period = '2026-q1'",
        "DELETE FROM statistics_releases",
        "UPDATE alembic_version SET version_num = 'x'",
        "DELETE FROM agreement_revisions",
        "UPDATE agreement_revisions SET text = ''",
        "DELETE FROM clients",
        "DELETE FROM organisations",
        "DELETE FROM facility_staff",
        "DELETE FROM agreements",
        "ALTER SYSTEM SET fsync = off",
        "COPY evidence_entries TO PROGRAM 'cat'",
    ],
)
def test_postgresql_itself_refuses_the_application_role(world: World, statement: str) -> None:
    with (
        pytest.raises(DBAPIError) as refused,
        world.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection,
    ):
        connection.exec_driver_sql(statement)
    assert getattr(refused.value.orig, "sqlstate", None) == INSUFFICIENT_PRIVILEGE, refused.value.orig


def test_the_application_role_is_nobody_special(world: World) -> None:
    with world.engine.connect() as connection:
        row = connection.exec_driver_sql(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication"
            " FROM pg_roles WHERE rolname = current_user"
        ).one()
        assert not any(row)
        member_of = "SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole"
        assert connection.exec_driver_sql(member_of).scalar_one() == 0
