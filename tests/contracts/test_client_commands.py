"""broker client, staff, keys: what they register, print and refuse."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import broker.cli.client
import broker.cli.client_register
import broker.cli.client_rotate
import broker.cli.keys
import broker.cli.staff
from broker.cli import main
from broker.cli.caller import ClientKey
from broker.cli.embedded import EmbeddedCluster
from broker.cli.session import Session
from broker.settings import Settings
from broker.storage.session import open_store
from tests.oauth_world import Database, Party, oauth_database

PERSONAL_ID = "001090123456"
REGISTER = [
    "client", "register", "--organisation-id", "79001", "--kind", "hospital", "--name-vi", "Bệnh viện A",
    "--name-en", "Hospital A", "--facility-code", "79001", "--client-id", "hospital-a",
    "--scope", "verify_entitlement", "--agreement", "hospital_entitlement_check", "--expires", "2027-06-30",
]  # fmt: skip


@pytest.fixture(scope="module")
def database(cluster: EmbeddedCluster) -> Iterator[Database]:
    with oauth_database(cluster) as database:
        yield database


@pytest.fixture
def run(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that runs one command on the emptied database."""
    database.empty()
    chosen = replace(settings, database_url=database.application_url)

    @contextmanager
    def open_session() -> Iterator[Session]:
        store = open_store(chosen.database_url, deadline_seconds=5)
        try:
            yield Session(chosen, store)
        finally:
            store.close()

    modules = (broker.cli.client, broker.cli.client_register, broker.cli.client_rotate)
    for module in (*modules, broker.cli.staff, broker.cli.keys):
        monkeypatch.setattr(module, "open_session", open_session)

    def command(*arguments: str, expect: int = 0, typed: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=typed)
        assert result.exit_code == expect, (result.output, result.exception)
        return result

    return command


def jwks_file(directory: Path, *jwks: object) -> str:
    path = directory / "keys.json"
    path.write_text(json.dumps({"keys": list(jwks)}), encoding="utf-8")
    return str(path)


def test_a_generated_key_is_private_to_its_owner_and_unknown_to_the_broker(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "hospital-a.jwk"
    printed = json.loads(run(*REGISTER, "--generate-key", str(path), "--json").stdout)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    private = json.loads(path.read_text())
    assert private["client_id"] == "hospital-a"
    assert ClientKey.read(path.read_text()).jkt == private["kid"]
    assert printed[0]["key_ids"] == [private["kid"]]
    assert printed[0]["expires_at"] == "2027-07-01T00:00:00+07:00"
    shown = run("client", "show", "hospital-a", "--json").stdout
    assert private["d"] not in shown
    assert private["x"] in shown


def test_a_public_key_set_is_registered_with_kid_alg_and_use(run: Any, tmp_path: Path) -> None:
    jwk = {name: value for name, value in Party("x", "EdDSA").public_jwk.items() if name != "kid"}
    run(*REGISTER, "--jwks", jwks_file(tmp_path, jwk))
    [row] = json.loads(run("client", "show", "hospital-a", "--json").stdout)
    [key] = row["jwks"]["keys"]
    assert (key["alg"], key["use"]) == ("EdDSA", "sig")
    assert key["kid"] == row["key_ids"][0]


@pytest.mark.parametrize(
    "keys",
    [
        [Party("x").key.as_dict(private=True)],
        [Party("x").public_jwk, Party("x").key.as_dict(private=True)],
        [{**Party("x").public_jwk, "kid": "same"}, {**Party("x").public_jwk, "kid": "same"}],
        [{"kty": "oct", "k": "c2VjcmV0"}],
        [],
        ["x"],
        [Party("x").public_jwk] * 9,
    ],
    ids=["private", "one private", "one kid twice", "symmetric", "none", "no key", "too many"],
)
def test_a_key_set_that_must_not_be_registered_is_refused(run: Any, tmp_path: Path, keys: list[Any]) -> None:
    result = run(*REGISTER, "--jwks", jwks_file(tmp_path, *keys), expect=2)
    assert (
        "d" not in (keys[0] if keys and isinstance(keys[0], dict) else {})
        or keys[0]["d"] not in result.output
    )
    run("client", "show", "hospital-a", expect=4)


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("--kind", "hospitall", "hospital"),
        ("--scope", "verify", "verify_entitlement"),
        ("--agreement", "unknown", "hospital_entitlement_check"),
        ("--client-id", "a b", "letters, digits"),
        ("--client-id", "-a", "letters, digits"),
        ("--expires", "soon", "%Y-%m-%d"),
    ],
)
def test_a_typing_error_is_refused_with_the_words_that_would_do(
    run: Any, tmp_path: Path, option: str, value: str, remedy: str
) -> None:
    arguments = [*REGISTER, "--generate-key", str(tmp_path / "k")]
    arguments[arguments.index(option) + 1] = value
    assert remedy in run(*arguments, expect=2).output
    assert not (tmp_path / "k").exists()


def test_exactly_one_source_of_keys_is_wanted(run: Any, tmp_path: Path) -> None:
    run(*REGISTER, expect=2)
    both = ["--jwks", jwks_file(tmp_path), "--generate-key", str(tmp_path / "k")]
    run(*REGISTER, *both, expect=2)


def test_a_second_registration_says_so_and_leaves_no_key_behind(run: Any, tmp_path: Path) -> None:
    run(*REGISTER, "--generate-key", str(tmp_path / "first"))
    run(*REGISTER, "--generate-key", str(tmp_path / "second"), expect=3)
    assert (tmp_path / "first").exists()
    assert not (tmp_path / "second").exists()


def test_an_existing_file_is_never_overwritten(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("x")
    run(*REGISTER, "--generate-key", str(path), expect=2)
    assert path.read_text() == "x"


def test_a_client_is_listed_suspended_and_resumed(run: Any, tmp_path: Path) -> None:
    run(*REGISTER, "--generate-key", str(tmp_path / "k"))
    assert "Bệnh viện A" in run("client", "list").stdout
    assert "live tokens revoked: 0" in run("client", "suspend", "hospital-a").stdout
    assert json.loads(run("client", "list", "--json").stdout)[0]["status"] == "suspended"
    run("client", "resume", "hospital-a")
    assert json.loads(run("client", "list", "--json").stdout)[0]["status"] == "active"
    run("client", "suspend", "nobody", expect=4)


def test_staff_are_known_by_a_keyed_hash_only(run: Any, tmp_path: Path, database: Database) -> None:
    run(*REGISTER, "--generate-key", str(tmp_path / "k"))
    common = ["--organisation-id", "79001"]
    named = [*common, "--full-name", "Trần Thị B", "--assignment", "12/QĐ-BV"]
    result = run("staff", "register", *named, "--json", typed=f"{PERSONAL_ID}\n")
    assert PERSONAL_ID not in result.output
    run("staff", "register", *named, "--personal-id", PERSONAL_ID, expect=3)
    [row] = json.loads(run("staff", "list", "--json").stdout)
    assert len(bytes.fromhex(row["staff_ref"])) == 32
    assert row["status"] == "active"
    run("staff", "revoke", *common, "--personal-id", PERSONAL_ID)
    assert json.loads(run("staff", "list", *common, "--json").stdout)[0]["status"] == "revoked"
    run("staff", "revoke", *common, "--personal-id", "001090123457", expect=4)
    run("staff", "revoke", *common, "--personal-id", "12", expect=2)
    run("staff", "register", "--organisation-id", "0", *named[2:], "--personal-id", PERSONAL_ID, expect=4)


def test_keys_are_made_rotated_and_listed_without_secrets(run: Any) -> None:
    [first] = json.loads(run("keys", "rotate", "access_token", "--json").stdout)
    [second] = json.loads(run("keys", "rotate", "access_token", "--algorithm", "PS256", "--json").stdout)
    listed = {row["kid"]: row for row in json.loads(run("keys", "list", "--json").stdout)}
    assert set(listed) == {first["kid"], second["kid"]}
    assert listed[first["kid"]]["signs_until"] is not None
    assert listed[second["kid"]]["algorithm"] == "PS256"
    assert set(first) == {"kid", "purpose", "algorithm", "created_at", "signs_until", "published_until"}
    run("keys", "rotate", "access_token", "--compromised")
    run("keys", "rotate", "nothing", expect=2)


@pytest.mark.parametrize(
    "words", [["client"], ["client", "register"], ["staff", "register"], ["keys", "rotate"], ["call"]]
)
def test_every_command_explains_itself(words: list[str]) -> None:
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 8
