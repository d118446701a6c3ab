"""The caller and `broker call` over real HTTP: discovery, token, proof, replay, exit codes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from broker.cli import main
from broker.cli.caller import ASSERTION_TYPE, Caller, ClientKey, KeyUnreadable, TokenRefused
from broker.cli.embedded import EmbeddedCluster
from tests.oauth_world import Party, World, oauth_database
from tests.serving import SilentKeepAlive, serving


@contextmanager
def listening(cluster: EmbeddedCluster, **settings: Any) -> Iterator[World]:
    """Give an authorization server listening on the loopback, with the system's time."""
    with oauth_database(cluster) as database, serving(handler=SilentKeepAlive) as place:
        world = World(database, place.url, real_time=True, **settings)
        place.put(world.app)
        yield world


@pytest.fixture(scope="module")
def world(cluster: EmbeddedCluster) -> Iterator[World]:
    with listening(cluster) as world:
        yield world


@pytest.fixture
def caller(world: World) -> Iterator[Caller]:
    caller = Caller(world.issuer, "hospital-a", key_of(world.party), "verify_entitlement")
    yield caller
    caller.close()


def private_jwk(party: Party, **members: str) -> str:
    return json.dumps({**party.key.as_dict(private=True), "kid": party.kid, **members})


def key_of(party: Party) -> ClientKey:
    return ClientKey.read(private_jwk(party))


def test_a_call_finds_its_way_from_the_issuer_alone(caller: Caller) -> None:
    answer = caller.request("POST", "/v1/things", b"{}")
    assert answer.status == 200
    assert answer.json() == {"client_id": "hospital-a", "scopes": ["verify_entitlement"]}


def test_a_token_and_a_connection_serve_many_calls(caller: Caller, world: World) -> None:
    before = world.count("access_tokens")
    first = caller.token()
    for _ in range(5):
        assert caller.request("POST", "/v1/things").status == 200
    assert caller.token() == first
    assert world.count("access_tokens") == before + 1
    caller.forget_token()
    assert caller.token() != first


def test_the_last_proof_can_be_sent_again(caller: Caller) -> None:
    caller.request("POST", "/v1/things")
    proof = caller.last_proof
    assert proof is not None
    # The protector leaves the replay to the statement that records; elsewhere the proof fits nothing.
    assert caller.request("POST", "/v1/things", proof=proof).status == 200
    assert caller.last_proof == proof
    assert (
        caller.request("POST", "/v1/things?again=1", proof=caller.proof("GET", caller.issuer)).status == 401
    )


def test_a_foreign_scope_is_told_as_the_server_tells_it(caller: Caller) -> None:
    caller.scope = "export_statistics"
    with pytest.raises(TokenRefused) as refused:
        caller.token()
    assert (refused.value.status, refused.value.error) == (400, "invalid_scope")


def test_an_issuer_that_is_not_described_is_refused(caller: Caller, world: World) -> None:
    caller.issuer = world.issuer + "/elsewhere"
    with pytest.raises(TokenRefused, match="does not describe"):
        caller.token()


def claims_of(proof: str) -> dict[str, Any]:
    payload = proof.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


class TestSign:
    @pytest.fixture
    def key_file(self, world: World, tmp_path: Path) -> str:
        path = tmp_path / "key.jwk"
        path.write_text(private_jwk(world.party, client_id="hospital-a"))
        return str(path)

    def sign(self, *arguments: str, typed: str | None = None) -> str:
        result = CliRunner().invoke(main, ["sign", *arguments], input=typed)
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    def test_what_it_signs_buys_a_token_that_opens_a_resource(self, world: World, key_file: str) -> None:
        url = world.issuer + "/oauth/token"
        form = {
            "grant_type": "client_credentials",
            "scope": "verify_entitlement",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.sign("assertion", "--key", key_file, "--issuer", world.issuer),
        }
        proof = self.sign("proof", "post", url, "--key", key_file)
        answer = world.http.post(
            "/oauth/token", data=form, headers={"DPoP": proof}, base_url=world.issuer
        ).get_json()
        resource, token = world.issuer + "/v1/things", answer["access_token"]
        typed = self.sign("proof", "POST", resource, "--key", key_file, "--token-file", "-", typed=token)
        given = self.sign("proof", "POST", resource, "--key", key_file, "--token", token)
        assert claims_of(typed)["ath"] == claims_of(given)["ath"]
        headers = {"Authorization": f"DPoP {token}", "DPoP": typed, "Content-Type": "application/json"}
        assert (
            world.http.post("/v1/things", data="{}", headers=headers, base_url=world.issuer).status_code
            == 200
        )

    def test_a_proof_carries_the_nonce_and_no_query(self, world: World, key_file: str) -> None:
        claims = claims_of(
            self.sign("proof", "GET", f"{world.issuer}/v1/x?y=1#z", "--key", key_file, "--nonce", "n-1")
        )
        assert (claims["htu"], claims["htm"], claims["nonce"]) == (f"{world.issuer}/v1/x", "GET", "n-1")

    @pytest.mark.parametrize(
        "arguments",
        [("proof", "GET", "/v1/x"), ("proof", "GET", "http://x/", "--token", "t", "--token-file", "-")],
    )
    def test_wrong_usage_is_refused(self, arguments: tuple[str, ...], key_file: str) -> None:
        result = CliRunner().invoke(main, ["sign", *arguments, "--key", key_file])
        assert result.exit_code == 2


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"kty":"EC"}', '{"kty":"oct","k":"AAAA"}', "public"])
def test_what_is_no_private_key_is_refused(text: str) -> None:
    with pytest.raises(KeyUnreadable):
        ClientKey.read(json.dumps(Party("x").public_jwk) if text == "public" else text)


class TestCommand:
    @pytest.fixture
    def key_file(self, world: World, tmp_path: Path) -> Path:
        path = tmp_path / "key.jwk"
        path.write_text(private_jwk(world.party, client_id="hospital-a"))
        return path

    def call(self, *arguments: str, typed: str | None = None) -> Any:
        return CliRunner().invoke(main, ["call", *arguments], input=typed)

    def test_it_prints_the_answer_readably(self, world: World, key_file: Path) -> None:
        url = f"{world.issuer}/v1/things"
        result = self.call(
            "post", url, "--key", str(key_file), "--scope", "verify_entitlement", "--json", "-", typed="{}"
        )
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["client_id"] == "hospital-a"
        assert result.stdout.startswith("{\n  ")
        assert "HTTP 200" in result.stderr

    def test_raw_is_byte_for_byte(self, world: World, key_file: Path) -> None:
        url = f"{world.issuer}/v1/things"
        result = self.call("POST", url, "--key", str(key_file), "--scope", "verify_entitlement", "--raw")
        assert result.stdout_bytes == b'{"client_id":"hospital-a","scopes":["verify_entitlement"]}\n'

    def test_the_exit_code_is_the_class_of_the_status(self, world: World, key_file: Path) -> None:
        common = ["--key", str(key_file), "--scope", "verify_entitlement"]
        assert self.call("GET", f"{world.issuer}/v1/things", *common).exit_code == 4
        assert self.call("GET", f"{world.issuer}/nothing", *common).exit_code == 4
        assert self.call("POST", "http://127.0.0.1:1/x", *common).exit_code == 1
        assert self.call("POST", "/v1/things", *common).exit_code == 2

    def test_a_refused_token_is_explained(self, world: World, key_file: Path) -> None:
        result = self.call("POST", f"{world.issuer}/v1/things", "--key", str(key_file), "--scope", "admin")
        assert result.exit_code == 4
        assert "invalid_scope" in result.stderr

    def test_a_token_in_a_file_is_used_instead_of_a_fresh_one(
        self, world: World, key_file: Path, caller: Caller, tmp_path: Path
    ) -> None:
        common = ["POST", f"{world.issuer}/v1/things", "--key", str(key_file)]
        token_file = tmp_path / "token"
        token_file.write_text(caller.token() + "\n")
        before = world.count("access_tokens")
        assert self.call(*common, "--token-file", str(token_file)).exit_code == 0
        assert world.count("access_tokens") == before
        assert self.call(*common).exit_code == 2
        both = [*common, "--token-file", str(token_file), "--scope", "verify_entitlement"]
        assert self.call(*both).exit_code == 2

    def test_a_key_that_names_no_client_needs_one_named(self, world: World, key_file: Path) -> None:
        key_file.write_text(private_jwk(world.party))
        common = [
            "POST",
            f"{world.issuer}/v1/things",
            "--key",
            str(key_file),
            "--scope",
            "verify_entitlement",
        ]
        assert self.call(*common).exit_code == 2
        assert self.call(*common, "--client-id", "hospital-a").exit_code == 0

    def test_a_file_without_a_key_is_refused(self, world: World, tmp_path: Path) -> None:
        path = tmp_path / "no.jwk"
        path.write_bytes(b"\xff\xfe")
        result = self.call("POST", f"{world.issuer}/v1/things", "--key", str(path), "--scope", "x")
        assert result.exit_code == 2
