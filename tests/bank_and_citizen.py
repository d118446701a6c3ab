"""A bank and a citizen at a real server, made by the commands of operators; and the citizen's browser."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pyotp
import urllib3
from click.testing import CliRunner

from broker.cli import main
from broker.cli.caller import Caller, ClientKey
from tests.adults import grown_ups
from tests.citizen_world import PASSWORD, Forms
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import free_port, wait_until

SCOPES = ("share_record", "openid", "grant_management_query", "grant_management_revoke")
_numbers = itertools.count(1)


def run_command(environ: Mapping[str, str], *words: str) -> Any:
    """Run `broker WORDS --json` as an operator of the server with this environment does; return the JSON."""
    done = CliRunner().invoke(main, [*words, "--json"], env=dict(environ))
    assert done.exit_code == 0, f"{words[:2]}: {done.output}"
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Bank:
    """A registered client that may ask citizens for proof of income. key_file: its private JWK."""

    client_id: str
    key_file: Path
    redirect_uri: str

    @property
    def jwk(self) -> dict[str, Any]:
        members: dict[str, Any] = json.loads(self.key_file.read_text(encoding="ascii"))
        return members

    @property
    def key(self) -> ClientKey:
        return ClientKey.read(self.key_file.read_text(encoding="ascii"))

    @contextmanager
    def calling(self, issuer: str, scope: str) -> Iterator[Caller]:
        """Give a caller for itself; its connections are closed at the end."""
        caller = Caller(issuer, self.client_id, self.key, scope)
        try:
            yield caller
        finally:
            caller.close()


def register_bank(environ: Mapping[str, str], directory: Path, *more: str) -> Bank:
    """Register a bank whose browser answers come to a free port of this machine. more: further options."""
    number, port = next(_numbers), free_port()
    bank = Bank(f"bank-app-{number}", directory / f"bank-{number}.jwk", f"http://127.0.0.1:{port}/callback")
    words = ["client", "register", "--kind", "bank", "--organisation-id", f"e2e-bank-{number}"]
    words += ["--name-vi", "Ngân hàng Thử Nghiệm", "--name-en", "Trial Bank", "--client-id", bank.client_id]
    words += [word for scope in SCOPES for word in ("--scope", scope)]
    for grant in ("authorization_code", "refresh_token", "client_credentials"):
        words += ["--grant-type", grant]
    words += ["--redirect-uri", bank.redirect_uri, "--agreement", "bank_income_proof"]
    words += ["--expires", "2027-12-31", "--generate-key", str(bank.key_file)]
    run_command(environ, *words, *more)
    return bank


@dataclass(frozen=True)
class Account:
    """A citizen with an account. totp_secret: of the app that shows one-time codes."""

    personal_id: str
    password: str
    totp_secret: str

    def code(self) -> str:
        return pyotp.TOTP(self.totp_secret).now()


def create_account(environ: Mapping[str, str], directory: Path, insurance: InsuranceDatabase) -> Account:
    """Create an account with one-time codes for the next grown-up person of the synthetic population.

    Who decides must be somebody whose age the source can tell (`broker.actions.people`).
    """
    personal_id, _ = next(grown_ups(insurance))
    password_file = directory / "password"
    password_file.write_text(PASSWORD + "\n", encoding="utf-8")
    words = ["citizen", "create", "--personal-id", personal_id, "--totp"]
    [row] = run_command(environ, *words, "--password-file", str(password_file))
    secret = parse_qs(urlsplit(row["otpauth_uri"]).query)["secret"][0]
    return Account(personal_id, PASSWORD, secret)


@dataclass
class Page:
    """What the browser shows. leaves_for: where it is sent, away from the broker, "" where it stays."""

    status: int
    url: str
    text: str
    leaves_for: str = ""


@dataclass
class HandBrowser:
    """What a browser without JavaScript does: keeps cookies, follows redirects of one site, posts forms."""

    site: str
    cookies: dict[str, str] = field(default_factory=dict)
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    def go(self, url: str, form: Mapping[str, Any] | None = None) -> Page:
        """Open a URL of the site, or post a form to it, and follow until a page or another site comes."""
        while True:
            assert url.startswith(self.site + "/"), f"the browser was led to {urlsplit(url).netloc}"
            answer = self._send(url, form)
            if answer.status != 303:
                return Page(answer.status, url, answer.data.decode())
            url, form = urljoin(url, answer.headers["Location"]), None
            if not url.startswith(self.site + "/"):
                return Page(303, url, "", leaves_for=url)

    def decide(
        self, url: str, account: Account, fields: Sequence[str] | None = None, choice: str = "give"
    ) -> str:
        """Sign in where asked, tick fields (all when not given), press a button; return where it leads."""
        page = self.go(url)
        if "/citizen/sign-in" in urlsplit(page.url).path:
            page = self.sign_in(page, account)
        assert page.status == 200, page.text
        form = Forms(page.text).forms[-1]
        # The value of a box is the field's name after the number of its purpose.
        ticked = [box for box in form.boxes if fields is None or box.split(".")[-1] in fields]
        answered = self.go(urljoin(page.url, form.action), {**form.fields, "field": ticked, "choice": choice})
        assert answered.leaves_for, answered.text
        return answered.leaves_for

    def sign_in(self, page: Page, account: Account) -> Page:
        form = Forms(page.text).forms[-1]
        typed = {"personal_id": account.personal_id, "password": account.password}
        more = {**typed, "one_time_code": account.code()}
        return self.go(urljoin(page.url, form.action), {**form.fields, **more})

    def _send(self, url: str, form: Mapping[str, Any] | None) -> urllib3.BaseHTTPResponse:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        method, body = "GET", None
        if form is not None:
            method, body = "POST", urlencode(form, doseq=True)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["Origin"] = self.site
        answer = self.pool.request(method, url, body=body, headers=headers, redirect=False, timeout=60)
        for given in answer.headers.getlist("Set-Cookie"):
            for name, morsel in SimpleCookie(given).items():
                if morsel.value:
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)
        return answer


@contextmanager
def asking(command: Sequence[str], directory: Path, seconds: float = 300) -> Iterator[tuple[Any, str]]:
    """Run a program that opens a browser; give its process, and the address at which it was opened."""
    address, opener = directory / "address", directory / "opener"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > {address}.part && mv {address}.part {address}\n')
    opener.chmod(0o755)
    with subprocess.Popen(
        command,
        env={**os.environ, "BROWSER": str(opener)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            wait_until(
                lambda: address.exists() or program.poll() is not None, "a browser was opened", seconds
            )
            assert address.exists(), program.communicate()[1]
            yield program, address.read_text()
        finally:
            program.kill()


def answer_of(location: str) -> dict[str, str]:
    """Return the parameters with which a browser came back, each once."""
    found = parse_qs(urlsplit(location).query)
    assert all(len(values) == 1 for values in found.values()), found
    return {name: values[0] for name, values in found.items()}
