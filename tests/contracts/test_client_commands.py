"""broker client, staff, keys: what they register, print and refuse."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

import broker.cli.client
import broker.cli.client_register
import broker.cli.client_rotate
import broker.cli.keys
import broker.cli.staff
from broker.cli import client_files, main
from broker.cli.caller import ClientKey
from broker.cli.session import Session
from broker.oauth.client_metadata_schema import CIBA
from broker.settings import Settings
from broker.storage.session import open_store
from tests.key_host import Authority, KeyHost, key_host, plain
from tests.oauth_world import Database, Party, on_that_database

PERSONAL_ID = "001090123456"
REGISTER = [
    "client", "register", "--organisation-id", "79001", "--kind", "hospital", "--name-vi", "Bệnh viện A",
    "--name-en", "Hospital A", "--facility-code", "79001", "--client-id", "hospital-a",
    "--scope", "verify_entitlement", "--agreement", "hospital_entitlement_check", "--expires", "2027-06-30",
]  # fmt: skip


@pytest.fixture
def run(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that runs one command on the emptied database."""
    database.empty()
    chosen = on_that_database(settings, database)

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


@pytest.mark.parametrize("code", ["", "7900", "79 001", "79001x", "79001\n", "٧٩٠٠١", "1" * 14, "79-001"])
def test_what_is_no_facility_code_is_refused_in_a_plain_sentence_and_nothing_is_written(
    run: Any, tmp_path: Path, code: str
) -> None:
    path = tmp_path / "hospital-a.jwk"
    result = run(*REGISTER, "--facility-code", code, "--generate-key", str(path), expect=2)
    assert "--facility-code" in result.output
    assert "5 to 13 digits or capital letters are needed, such as 79001." in result.output
    assert not path.exists()
    run("client", "show", "hospital-a", expect=4)


@pytest.mark.parametrize("code", ["01000", "7900100000001", "TE179"])
def test_a_facility_code_is_kept_as_it_was_given(
    run: Any, tmp_path: Path, database: Database, code: str
) -> None:
    run(*REGISTER, "--facility-code", code, "--generate-key", str(tmp_path / "hospital-a.jwk"))
    with database.owner.connect() as connection:
        kept = connection.execute(text("SELECT facility_code FROM organisations")).scalars().all()
    assert kept == [code]


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


BANK = [
    "client", "register", "--organisation-id", "bank-a", "--kind", "bank", "--name-vi", "Ngân hàng A",
    "--name-en", "Bank A", "--agreement", "bank_income_proof", "--expires", "2027-06-30", "--json",
]  # fmt: skip


def metadata_file(directory: Path, **changes: Any) -> str:
    """Write a bank's client metadata as a server exports it; a change to ... leaves a member out."""
    full = {
        "client_id": "bank-a",
        "client_name": "Vay nhanh",
        "scope": "share_record openid",
        "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": ["https://bank.example/back"],
        "jwks": {"keys": [Party("x").public_jwk]},
        **changes,
    }
    path = directory / "metadata.json"
    path.write_text(json.dumps({name: value for name, value in full.items() if value is not ...}))
    return str(path)


def shown(run: Any, client_id: str) -> dict[str, Any]:
    [row] = json.loads(run("client", "show", client_id, "--json").stdout)
    return dict(row)


def test_a_client_comes_in_with_the_metadata_of_a_file_and_options_take_precedence(
    run: Any, tmp_path: Path
) -> None:
    file = metadata_file(tmp_path)
    networks = ["--source-network", "203.0.113.0/24", "--source-network", "2001:db8::/32"]
    run(*BANK, "--metadata", file, "--scope", "share_record", "--detail-type", "insurance_record", *networks)
    row = shown(run, "bank-a")
    assert (row["name"], row["scopes"]) == ("Vay nhanh", ["share_record"])
    assert row["grant_types"] == ["authorization_code", "refresh_token"]
    assert row["source_networks"] == ["203.0.113.0/24", "2001:db8::/32"]
    assert row["metadata"]["authorization_details_types"] == ["insurance_record"]
    assert row["metadata"]["dpop_bound_access_tokens"] is True


def test_members_of_a_file_that_nobody_knows_are_refused_or_left_out_and_listed(
    run: Any, tmp_path: Path
) -> None:
    file = metadata_file(tmp_path, client_id_issued_at=1, backchannel_logout_uri="https://bank.example/out")
    refused = run(*BANK, "--metadata", file, expect=2)
    assert "/backchannel_logout_uri" in refused.output
    told = run(*BANK, "--metadata", file, "--ignore-unknown")
    assert "left out: 'backchannel_logout_uri', 'client_id_issued_at'" in told.stderr
    assert set(shown(run, "bank-a")["metadata"]) & {"client_id_issued_at", "backchannel_logout_uri"} == set()


def test_a_secret_in_a_file_is_refused_however_much_may_be_left_out(run: Any, tmp_path: Path) -> None:
    file = metadata_file(tmp_path, client_secret="hush-hush", token_endpoint_auth_method="client_secret_post")
    refused = run(*BANK, "--metadata", file, "--ignore-unknown", expect=2)
    assert "hush-hush" not in refused.output
    assert "shares no secret" in refused.output
    run("client", "show", "bank-a", expect=4)


def test_a_file_that_is_no_object_or_too_large_is_refused(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in ("[]", "{", '{"a": 1, "a": 2}', " " * 70_000 + "{}"):
        path.write_text(content)
        run(*BANK, "--metadata", str(path), expect=2)
        run(*REGISTER, "--jwks", str(path), expect=2)


def test_a_client_whose_agreement_needs_consent_must_be_able_to_ask_for_it(run: Any, tmp_path: Path) -> None:
    file = metadata_file(
        tmp_path, grant_types=["client_credentials"], redirect_uris=..., scope="share_record"
    )
    assert "authorization_code" in run(*BANK, "--metadata", file, expect=2).output


def test_a_client_that_asks_absent_people_only_needs_no_redirect(run: Any, tmp_path: Path) -> None:
    grants = ["client_credentials", "refresh_token", CIBA]
    words = [word for grant in grants for word in ("--grant-type", grant)]
    scopes = ["--scope", "share_record", "--scope", "openid", "--scope", "request_consent"]
    key = ["--generate-key", str(tmp_path / "k")]
    [row] = json.loads(run(*BANK, "--client-id", "desk-a", *words, *scopes, *key).stdout)
    assert row["grant_types"] == grants
    assert row["scopes"] == ["share_record", "openid", "request_consent"]
    assert row["agreement_ids"] == ["bank_income_proof"]
    assert row["redirect_uris"] == []
    kept = shown(run, "desk-a")["metadata"]
    assert (kept["response_types"], kept["grant_types"]) == ([], grants)


def test_a_client_without_file_says_with_options_what_it_is(run: Any, tmp_path: Path) -> None:
    key = ["--generate-key", str(tmp_path / "k")]
    redirect = ["--redirect-uri", "https://bank.example/back", "--redirect-uri", "http://localhost/back"]
    [row] = json.loads(run(*BANK, "--scope", "share_record", *redirect, *key).stdout)
    assert row["client_id"].startswith("client-")
    assert row["grant_types"] == ["authorization_code"]
    assert row["redirect_uris"] == ["https://bank.example/back", "http://localhost/back"]
    assert json.loads((tmp_path / "k").read_text())["client_id"] == row["client_id"]
    assert row["name"] == "Ngân hàng A"


def test_a_client_says_where_it_is_told_of_consents(run: Any, tmp_path: Path) -> None:
    words = [*REGISTER, "--generate-key", str(tmp_path / "k.jwk"), "--scope", "consent_events"]
    run(*words, "--events-uri", "https://hospital.example/events", "--json")
    [shown] = json.loads(run("client", "show", "hospital-a", "--json").stdout)
    assert shown["metadata"]["events_uri"] == "https://hospital.example/events"
    assert shown["scopes"] == ["verify_entitlement", "consent_events"]


@pytest.mark.parametrize(
    "uri", ["http://hospital.example/events", "https://10.0.0.1/", "https://a.example/#x"]
)
def test_a_place_that_nobody_may_be_told_at_is_refused(run: Any, tmp_path: Path, uri: str) -> None:
    refused = run(*REGISTER, "--generate-key", str(tmp_path / "k.jwk"), "--events-uri", uri, expect=2)
    assert "/events_uri: An https URL with the name of a host is needed" in refused.output
    assert not (tmp_path / "k.jwk").exists()


def test_a_client_with_a_certificate_of_an_authority_needs_no_key(run: Any) -> None:
    by_certificate = ["--auth-method", "tls_client_auth", "--certificate-bound"]
    run(*REGISTER, *by_certificate, "--tls-name", "san_dns=gateway.hospital.example")
    metadata = shown(run, "hospital-a")["metadata"]
    assert metadata["tls_client_auth_san_dns"] == "gateway.hospital.example"
    assert metadata["tls_client_certificate_bound_access_tokens"] is True
    assert "dpop_bound_access_tokens" not in metadata
    for wrong in ("dns=a.example", "san_dns", "san_dns=*.example"):
        run(*REGISTER, *by_certificate, "--tls-name", wrong, expect=2)


@pytest.mark.parametrize("network", ["203.0.113.1/24", "0.0.0.0/0", "here"])
def test_a_network_that_is_none_is_refused(run: Any, tmp_path: Path, network: str) -> None:
    result = run(*REGISTER, "--generate-key", str(tmp_path / "k"), "--source-network", network, expect=2)
    assert "--source-network" in result.output
    assert not (tmp_path / "k").exists()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyHost]:
    """A client's own host for its keys, which the commands may reach."""
    authority = Authority()
    with key_host(authority.context(tmp_path, "localhost"), "localhost") as host:
        look = client_files.look_at_published_keys

        def told(settings: Settings, jwks_uri: str) -> None:
            trusting = replace(
                settings, client_keys_ca_file=authority.pem, client_keys_private_hosts=("localhost",)
            )
            look(trusting, jwks_uri)

        for module in (broker.cli.client_register, broker.cli.client_rotate):
            monkeypatch.setattr(module, "look_at_published_keys", told)
        yield host


def test_published_keys_are_looked_at_when_they_are_named(run: Any, host: KeyHost) -> None:
    party = Party("x")
    host.answer = plain({"keys": [party.public_jwk]})
    result = run(*REGISTER, "--jwks-uri", host.url)
    assert f"usable keys at its jwks_uri: {party.kid}" in result.stderr
    row = shown(run, "hospital-a")
    assert (row["jwks_uri"], row["key_ids"], row["jwks"]) == (host.url, [], None)


def test_keys_that_are_not_published_yet_are_no_obstacle_and_told(run: Any, host: KeyHost) -> None:
    host.answer = plain({}, status=404)
    result = run(*REGISTER, "--jwks-uri", host.url)
    assert "cannot be read now: the host answers with another status than 200" in result.stderr
    run("client", "rotate", "hospital-a", "--jwks-uri", "http://keys.example/", expect=2)
    assert "cannot be read now" in run("client", "rotate", "hospital-a", "--jwks-uri", host.url).stderr


def test_a_clients_key_is_exchanged_in_two_steps(run: Any, tmp_path: Path) -> None:
    run(*REGISTER, "--generate-key", str(tmp_path / "old"))
    [old] = shown(run, "hospital-a")["key_ids"]
    more = ["--generate-key", str(tmp_path / "new"), "--algorithm", "EdDSA"]
    [row] = json.loads(run("client", "rotate", "hospital-a", "--keep-old", *more, "--json").stdout)
    new = json.loads((tmp_path / "new").read_text())["kid"]
    assert row["key_ids"] == [old, new]
    run("client", "rotate", "hospital-a", "--retire", old)
    assert shown(run, "hospital-a")["key_ids"] == [new]
    third = Party("x")
    run("client", "rotate", "hospital-a", "--jwks", jwks_file(tmp_path, third.public_jwk))
    assert shown(run, "hospital-a")["key_ids"] == [third.kid]


def test_a_change_of_keys_that_cannot_be_is_refused_and_leaves_no_file(run: Any, tmp_path: Path) -> None:
    run(*REGISTER, "--generate-key", str(tmp_path / "old"))
    before = shown(run, "hospital-a")
    private = jwks_file(tmp_path, Party("x").key.as_dict(private=True))
    key = ["--generate-key", str(tmp_path / "new")]
    for arguments, code in (
        ([], 2),
        (["--keep-old"], 2),
        (["--retire", "unknown"], 2),
        (["--retire", before["key_ids"][0]], 2),
        (["--retire", "unknown", *key], 2),
        (["--jwks", private], 2),
        (["--jwks", private, *key], 2),
        (["--jwks-uri", "https://keys.example/", "--keep-old"], 2),
    ):
        run("client", "rotate", "hospital-a", *arguments, expect=code)
    run("client", "rotate", "nobody", *key, expect=4)
    assert not (tmp_path / "new").exists()
    assert shown(run, "hospital-a") == before


def test_a_registration_is_extended_and_cut_short(run: Any, tmp_path: Path) -> None:
    run(*REGISTER, "--generate-key", str(tmp_path / "k"))
    for day, instant in (
        ("2029-12-31", "2030-01-01T00:00:00+07:00"),
        ("2026-11-30", "2026-12-01T00:00:00+07:00"),
    ):
        assert day in run("client", "extend", "hospital-a", "--expires", day).stdout
        told = datetime.fromisoformat(shown(run, "hospital-a")["expires_at"])
        assert told == datetime.fromisoformat(instant)
    run("client", "extend", "nobody", "--expires", "2029-12-31", expect=4)


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


def test_who_rotates_to_another_algorithm_is_told_which_clients_expect_the_old_one(
    run: Any, tmp_path: Path
) -> None:
    signed = {"id_token_signed_response_alg": "ES256", "introspection_signed_response_alg": "ES256"}
    run(*BANK, "--metadata", metadata_file(tmp_path, **signed))
    run(*REGISTER, "--generate-key", str(tmp_path / "k"))
    warning = "warning: registered for another algorithm than PS256: bank-a\n"
    for purpose in ("id_token", "introspection"):
        assert run("keys", "rotate", purpose, "--algorithm", "PS256").stderr == warning
        assert run("keys", "rotate", purpose).stderr == ""
    assert run("keys", "rotate", "access_token", "--algorithm", "PS256").stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ["client"],
        ["client", "register"],
        ["client", "rotate"],
        ["staff", "register"],
        ["keys", "rotate"],
        ["call"],
    ],
)
def test_every_command_explains_itself(words: list[str]) -> None:
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 8
