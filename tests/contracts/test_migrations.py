"""The migrations make what `tables` says, back and forth; the application role may do only what it needs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import CheckConstraint, Connection, Engine, create_engine, inspect
from sqlalchemy.exc import DBAPIError

from broker.cli.embedded import EmbeddedCluster, url_of
from broker.storage.migrate import alembic_config, current_revision, migrate, newest_revision
from broker.storage.privileges import APPLICATION_GRANTS
from broker.storage.readiness import find_fault
from broker.storage.tables import metadata
from tests.doors import at_once
from tests.release_world import World

DATABASE = "broker_migrations"
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
INSUFFICIENT_PRIVILEGE = "42501"
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


def test_an_empty_database_is_not_ready(urls: tuple[str, str], application: Engine) -> None:
    assert find_fault(application) == "revision"
    migrate(urls[0])
    assert find_fault(application) is None


def test_the_application_role_has_exactly_the_granted_privileges(
    urls: tuple[str, str], application: Engine
) -> None:
    migrate(urls[0])
    assert APPLICATION_GRANTS.keys() == metadata.tables.keys()
    with application.connect() as connection:
        for table, granted in APPLICATION_GRANTS.items():
            held = {
                one
                for one in PRIVILEGES
                if connection.exec_driver_sql("SELECT has_table_privilege(%s, %s)", (table, one)).scalar_one()
            }
            assert held == set(granted.split(", ")), table


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE evidence_entries SET entry = ''",
        "DELETE FROM evidence_entries",
        "TRUNCATE evidence_entries",
        "UPDATE evidence_annex SET payload_salt = NULL",
        "DELETE FROM evidence_annex",
        "TRUNCATE evidence_annex",
        "UPDATE evidence_openings SET sealed_salts = NULL",
        "DELETE FROM evidence_openings",
        "TRUNCATE evidence_openings",
        "UPDATE evidence_keys SET key_encrypted = ''",
        "DELETE FROM evidence_keys",
        "UPDATE evidence_entries SET recorded_at = now()",
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
