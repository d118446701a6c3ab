"""Keys are exchanged while clients go on: real server, two workers, several threads, not one failed request.

Half a minute is two seconds here, in the workers as in the command; all else is as it is served.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from joserfc.util import urlsafe_b64decode

import broker.oauth.key_periods
import tests.doors
from broker.cli.caller import Caller, ClientKey
from broker.keys import KeyRing, Purpose
from broker.oauth.jose import encode_segment
from tests.bank_and_citizen import (
    Account,
    Bank,
    HandBrowser,
    answer_of,
    create_account,
    register_bank,
    run_command,
)
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import Server, wait_until
from tests.log_reader import all_faults
from tests.oauth_flow import INCOME
from tests.release_world import World

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("key_rotation")]

REFRESH_SECONDS, TOKEN_SECONDS = 2, 12
PUBLISHED = timedelta(seconds=TOKEN_SECONDS + 1)
ROTATED: tuple[Purpose, ...] = ("id_token", "introspection", "access_token")
# gunicorn as `broker serve` starts it, but for the one number.
PROGRAM = f"""
from broker.keys import KeyRing
from gunicorn.app.wsgiapp import run
KeyRing.__init__.__kwdefaults__["refresh_seconds"] = {REFRESH_SECONDS}
run()
"""


@pytest.fixture(scope="module")
def hurried() -> Iterator[None]:
    """Let keys wait for two seconds before they sign, and stay published as long as these tokens live."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KeyRing.__init__.__kwdefaults__ or {}, "refresh_seconds", REFRESH_SECONDS)
        for purpose in ROTATED:
            patch.setitem(broker.oauth.key_periods.PUBLISHED_FOR, purpose, PUBLISHED)
        command = [sys.executable, "-c", PROGRAM, "--config", "python:broker.gunicorn_config"]
        patch.setattr(tests.doors, "server_command", lambda *_: [*command, "broker.app:create_app()"])
        yield


@pytest.fixture(scope="module")
def server(
    world: World,
    release_environ: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    hurried: None,
) -> Iterator[Server]:
    more = {"BROKER_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS)}
    server = Server(release_environ, tmp_path_factory.mktemp("rotation"), more)
    yield server
    server.stop()
    assert all_faults(server.log, world) == []


@pytest.fixture
def bank(server: Server, tmp_path: Path) -> Bank:
    return register_bank(server.environ, tmp_path)


@pytest.fixture
def programs(server: Server, bank: Bank, insurance: InsuranceDatabase) -> Iterator[Callable[..., Program]]:
    """Makes threads' programs of the bank; their connections are closed at the end."""
    made: list[Program] = []

    def make(load: Load, key: ClientKey | None = None) -> Program:
        account = create_account(server.environ, bank.key_file.parent, insurance)
        made.append(Program(server, bank, load, account, key))
        return made[-1]

    yield make
    for program in made:
        program.caller.close()
        program.browser.pool.clear()


@dataclass
class Load:
    """What threads do over and over until told to stop, what went wrong, and which keys were seen to sign."""

    stopped: threading.Event = field(default_factory=threading.Event)
    faults: list[str] = field(default_factory=list)
    rounds: dict[str, int] = field(default_factory=dict)
    kids: dict[str, list[str]] = field(default_factory=dict)

    def seen(self, purpose: str, signed: str) -> None:
        kid = kid_of(signed)
        if kid not in self.kids.setdefault(purpose, []):
            self.kids[purpose].append(kid)

    def go_on(self) -> None:
        """Wait until each action was done three times more, or something went wrong."""
        before = dict(self.rounds)

        def is_done() -> bool:
            return bool(self.faults) or all(self.rounds[name] >= before[name] + 3 for name in before)

        wait_until(is_done, "all are done three times more")

    @contextmanager
    def running(self, *actions: Callable[[], None]) -> Iterator[None]:
        """Do each action again and again in a thread of its own."""

        def repeat(name: str, action: Callable[[], None]) -> None:
            while not self.stopped.is_set():
                try:
                    action()
                    self.rounds[name] += 1
                except Exception as fault:
                    self.faults.append(f"{name}: {type(fault).__name__}: {fault}")
                time.sleep(0.02)

        named = {f"{number} {action.__name__}": action for number, action in enumerate(actions)}
        self.rounds |= dict.fromkeys(named, 0)
        threads = [threading.Thread(target=repeat, args=each) for each in named.items()]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join(30)


class CachingVerifier:
    """Verifies signatures as clients do: with the published keys, kept for as long as the server allows."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.keys, self.until = KeySet([]), 0.0

    def verify(self, signed: str) -> dict[str, Any]:
        if time.monotonic() >= self.until:
            answer = self.server.get("/oauth/jwks")
            assert answer.status == 200
            assert f"max-age={REFRESH_SECONDS}" in answer.headers["cache-control"]
            self.until = time.monotonic() + REFRESH_SECONDS
            self.keys = KeySet.import_key_set(answer.json())
        return dict(jwt.decode(signed, self.keys, algorithms=["ES256"]).claims)


class Program:
    """What one thread of the bank's program does; each has its own connections, tokens and cached keys."""

    def __init__(
        self, server: Server, bank: Bank, load: Load, account: Account, key: ClientKey | None = None
    ) -> None:
        self.server, self.bank, self.load, self.account = server, bank, load, account
        self.caller = Caller(server.issuer, bank.client_id, key or bank.key, "grant_management_query")
        self.keys = CachingVerifier(server)
        self.browser = HandBrowser(server.issuer)

    def fetch_and_use(self) -> None:
        """A fresh token each time, used at once."""
        self.caller.forget_token()
        token = self.caller.token()
        self.load.seen("access_token", token)
        assert self.keys.verify(token)["client_id"] == self.bank.client_id
        self.use(token)

    def keep_and_use(self) -> None:
        """A token used for half of its life: on a busy machine the rest passes between a look and a use."""
        until, token = time.monotonic() + TOKEN_SECONDS / 2, self.fresh()
        while time.monotonic() < until and not self.load.stopped.is_set():
            self.use(token)
            time.sleep(0.1)

    def ask_and_introspect(self) -> None:
        """The whole code flow with an ID token, then a signed introspection."""
        tokens = self.code_flow()
        self.load.seen("access_token", tokens["access_token"])
        self.load.seen("id_token", tokens["id_token"])
        assert self.keys.verify(tokens["id_token"])["aud"] == self.bank.client_id
        self.use(tokens["access_token"])
        accept = "application/token-introspection+jwt"
        answer = self.caller.post_form("introspection_endpoint", {"token": tokens["access_token"]}, accept)
        assert answer.status == 200, answer.body
        self.load.seen("introspection", answer.body.decode())
        assert self.keys.verify(answer.body.decode())["token_introspection"]["active"] is True

    def fresh(self) -> str:
        self.caller.forget_token()
        return self.caller.token()

    def use(self, token: str) -> None:
        answer = self.caller.request("GET", "/v1/token-info", token=token)
        assert answer.status == 200, answer.body

    def code_flow(self) -> dict[str, Any]:
        verifier = secrets.token_urlsafe(32)
        asked = {
            "response_type": "code",
            "redirect_uri": self.bank.redirect_uri,
            "scope": "openid",
            "authorization_details": json.dumps([INCOME]),
            "code_challenge": encode_segment(hashlib.sha256(verifier.encode()).digest()).decode(),
            "code_challenge_method": "S256",
        }
        pushed = self.caller.post_form("pushed_authorization_request_endpoint", asked)
        assert pushed.status == 201, pushed.body
        query = f"client_id={self.bank.client_id}&request_uri={quote(pushed.json()['request_uri'])}"
        location = self.browser.decide(f"{self.server.issuer}/oauth/authorize?{query}", self.account)
        form = {
            "grant_type": "authorization_code",
            "code": answer_of(location)["code"],
            "redirect_uri": self.bank.redirect_uri,
            "code_verifier": verifier,
        }
        answer = self.caller.post_form("token_endpoint", form)
        assert answer.status == 200, answer.body
        tokens: dict[str, Any] = answer.json()
        return tokens


def published(server: Server) -> set[str]:
    return {key["kid"] for key in server.get("/oauth/jwks").json()["keys"]}


def last_signed_with(late: str, program: Program) -> str:
    """Take tokens until another key signs; return the last one of the key that signed the token late."""
    kid, until = kid_of(late), time.monotonic() + 60
    while kid_of(token := program.fresh()) == kid and time.monotonic() < until:
        late = token
        time.sleep(0.05)
    return late


def kid_of(signed: str) -> str:
    return str(json.loads(urlsafe_b64decode(signed.split(".")[0].encode()))["kid"])


def test_the_brokers_keys_change_and_no_request_fails(
    server: Server, programs: Callable[..., Program]
) -> None:
    load = Load()
    one, other, keeping, asking, onlooker = (programs(load) for _ in range(5))
    with load.running(
        one.fetch_and_use, other.fetch_and_use, keeping.keep_and_use, asking.ask_and_introspect
    ):
        wait_until(lambda: len(load.kids) == len(ROTATED), "every purpose has signed")
        old = {purpose: load.kids[purpose][-1] for purpose in ROTATED}
        late = onlooker.fresh()
        assert kid_of(late) == old["access_token"]
        made = {purpose: run_command(server.environ, "keys", "rotate", purpose) for purpose in ROTATED}
        new = {purpose: str(rows[0]["kid"]) for purpose, rows in made.items()}
        # What the old key signed at the last is as good as anything, and can be verified.
        onlooker.use(last_signed_with(late, onlooker))
        assert set(old.values()) | set(new.values()) <= published(server)
        wait_until(lambda: all(new[one] in load.kids[one] for one in ROTATED), "the new keys sign")
        ends = {row["kid"]: row for row in run_command(server.environ, "keys", "list")}
        for kid in old.values():
            signs_until, published_until = (
                datetime.fromisoformat(ends[kid][name]) for name in ("signs_until", "published_until")
            )
            assert published_until - signs_until >= timedelta(seconds=TOKEN_SECONDS)
        wait_until(lambda: not published(server) & set(old.values()), "the old keys are published no more")
    assert load.faults == []
    assert all(count >= 3 for count in load.rounds.values()), load.rounds
    assert {purpose: set(kids) for purpose, kids in load.kids.items()} == {
        purpose: {old[purpose], new[purpose]} for purpose in ROTATED
    }


def test_a_client_exchanges_its_key_and_no_request_fails(
    server: Server, bank: Bank, programs: Callable[..., Program], tmp_path: Path
) -> None:
    words, path = ["client", "rotate", bank.client_id], tmp_path / "new.jwk"
    load = Load()
    old, another = programs(load), programs(load)
    with load.running(old.fetch_and_use, another.fetch_and_use):
        run_command(server.environ, *words, "--generate-key", str(path), "--keep-old")
        load.go_on()
    new_key = ClientKey.read(path.read_text(encoding="ascii"))
    beside = Load()
    new = programs(beside, new_key)
    with beside.running(old.fetch_and_use, new.fetch_and_use):
        beside.go_on()
    kept = old.fresh()
    alone = Load()
    with alone.running(new.fetch_and_use):
        run_command(server.environ, *words, "--retire", bank.jwk["kid"])
        alone.go_on()
    for each in (load, beside, alone):
        assert each.faults == []
        assert all(count >= 3 for count in each.rounds.values()), each.rounds
    answer = old.caller.post_form("token_endpoint", {"grant_type": "client_credentials"})
    assert (answer.status, answer.json()["error"]) == (400, "invalid_client")
    # What the old key has bought is good until its end: a leak is another matter, and another command.
    old.use(kept)
