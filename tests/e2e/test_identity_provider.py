"""Citizens sign in at a provider that nobody here wrote (idpyoidc), with the real server and real sockets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest
from joserfc.jwk import ECKey
from urllib3 import BaseHTTPResponse, PoolManager

from broker.cli.caller import Caller
from consent_ui.words import WORDS
from tests.adults import next_adult
from tests.citizen_world import Form, Forms
from tests.consent_world import ConsentWorld
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import Server, free_port, wait_until
from tests.e2e.pages import PagesBank
from tests.identity_provider_process import FAULTS, PASSWORD
from tests.log_reader import all_faults
from tests.release_world import World

PERSON = "diana"
SECRET = "of-many-characters-0123456789abcdef"
ACR = "urn:oasis:names:tc:SAML:2.0:ac:classes:InternetProtocolPassword"

pytestmark = pytest.mark.slow


class Walker:
    """A browser of the plainest kind: keeps cookies by host, follows redirects when told to."""

    def __init__(self) -> None:
        self.cookies: dict[str, dict[str, str]] = {}
        self.url = ""

    def open(self, url: str, form: dict[str, str] | None = None) -> BaseHTTPResponse:
        self.url = urljoin(self.url, url)
        jar = self.cookies.setdefault(urlsplit(self.url).netloc, {})
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in jar.items()),
            "Connection": "close",
        }
        body = None
        if form is not None:
            body, headers["Content-Type"] = urlencode(form), "application/x-www-form-urlencoded"
        method = "GET" if form is None else "POST"
        with PoolManager() as http:
            answer = http.request(method, self.url, body=body, headers=headers, redirect=False, retries=False)
        for cookie in answer.headers.getlist("Set-Cookie"):
            name, _, value = cookie.split(";")[0].partition("=")
            jar[name] = value
        return answer

    def follow(self, answer: BaseHTTPResponse) -> BaseHTTPResponse:
        assert answer.status == 303, answer.data
        return self.open(answer.headers["Location"])

    def send(self, answer: BaseHTTPResponse, mark: str, **typed: str) -> BaseHTTPResponse:
        """Fill in and send the form of a page whose action ends in mark."""
        form: Form = next(one for one in Forms(answer.data.decode()).forms if one.action.endswith(mark))
        return self.open(form.action, {**form.fields, **typed})


@contextmanager
def provider(told: dict[str, Any], directory: Path) -> Iterator[None]:
    """Run the provider as long as it is needed."""
    path = directory / "told.json"
    path.write_text(json.dumps(told))
    command = [sys.executable, "-W", "ignore", "-m", "tests.identity_provider_process", str(path)]
    with (directory / "provider.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            said = directory / "provider.log"
            wait_until(lambda: said.read_text().startswith("ready"), "the provider is ready")
            yield
        finally:
            process.terminate()
            process.wait(60)


def served(method: str, number: str, release_environ: dict[str, str], directory: Path) -> Iterator[Server]:
    """Give a broker whose one provider knows it by a secret or a key, and says the number here or there."""
    issuer = f"http://localhost:{free_port()}"
    key = ECKey.generate_key("P-256", {"kid": "ours", "use": "sig"}, private=True)
    entry = {"issuer": issuer, "client_id": "insurance-broker", "label_vi": "Thử", "label_en": "Trial"}
    told: dict[str, Any] = {
        "issuer": issuer,
        "client_id": "insurance-broker",
        "person": PERSON,
        "number": number,
    }
    if method == "private_key_jwt":
        (directory / "ours.pem").write_bytes(key.as_pem(private=True))
        entry |= {"private_key_file": "ours.pem", "key_id": "ours", "assertion_audience": "token_endpoint"}
        entry |= {"personal_id_claim": "citizenId", "personal_id_from": "userinfo"}
        told["jwks"] = {"keys": [key.as_dict(private=False)]}
    else:
        (directory / "ours.secret").write_text(SECRET)
        entry |= {"client_secret_file": "ours.secret", "personal_id_claim": "SoDinhDanh"}
        told["client_secret"] = SECRET
    for path in directory.iterdir():
        path.chmod(0o600)
    lines = [f"{name} = {json.dumps(value)}" for name, value in entry.items()]
    text = "\n".join(
        ["[providers.trial]", *lines, "plain_loopback = true", f'acr_levels = {{ "{ACR}" = 2 }}']
    )
    (directory / "providers.toml").write_text(text)
    more = {"BROKER_IDENTITY_PROVIDERS_FILE": str(directory / "providers.toml")}
    server = Server(release_environ, directory, more)
    callback = f"{server.issuer}/citizen/sign-in/callback/trial"
    (directory / "provider").mkdir()
    try:
        with provider({**told, "method": method, "redirect_uris": [callback]}, directory / "provider"):
            yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def number(insurance: InsuranceDatabase) -> str:
    """The number that the provider says of its person: of somebody whom the insurance knows."""
    return next_adult(insurance)


@pytest.fixture(scope="module", params=["client_secret_basic", "private_key_jwt"])
def broker(
    request: pytest.FixtureRequest,
    release_environ: dict[str, str],
    world: World,
    number: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    with world.owner.begin() as connection:
        connection.exec_driver_sql("TRUNCATE citizens CASCADE")
    yield from served(request.param, number, release_environ, tmp_path_factory.mktemp("identity"))


def test_somebody_signs_in_there_and_is_signed_in_here(broker: Server, world: World, number: str) -> None:
    walker = Walker()
    page = walker.follow(walker.open(f"{broker.issuer}/citizen/sessions"))
    there = walker.follow(walker.send(page, "/with/trial"))
    assert b"sign in elsewhere" in there.data
    back = walker.send(there, "/verify/user", username=PERSON, password=PASSWORD)
    assert back.headers["Location"].startswith(f"{broker.issuer}/citizen/sign-in/callback/trial?")
    sessions = walker.follow(walker.follow(back))
    assert sessions.status == 200
    assert WORDS["method_identity_provider"][0] in sessions.data.decode()
    again = walker.open(back.headers["Location"])
    assert (again.status, WORDS["sign_in_unknown"][0] in again.data.decode()) == (403, True)
    world.identifiers.add(number)
    assert all_faults(broker.log, world) == []
    log = broker.log.read_text()
    assert not any(value in log for value in (number, PERSON, SECRET, "eyJ", "code="))
    assert "a sign-in through a provider is refused" in log


def come_back(walker: Walker, broker: Server) -> str:
    """Leave for the provider and sign in there; return the address that leads back."""
    page = walker.follow(walker.open(f"{broker.issuer}/citizen/sessions"))
    there = walker.follow(walker.send(page, "/with/trial"))
    return str(walker.send(there, "/verify/user", username=PERSON, password=PASSWORD).headers["Location"])


def directory_of(broker: Server) -> Path:
    """Return where the broker's provider is told how to behave."""
    return broker.log.parent / "provider"


@pytest.mark.parametrize("fault", FAULTS)
def test_an_identity_token_that_is_not_right_lets_nobody_in(broker: Server, world: World, fault: str) -> None:
    walker, wanted = Walker(), directory_of(broker) / "fault"
    wanted.write_text(fault)
    try:
        refused = walker.open(come_back(walker, broker))
    finally:
        wanted.unlink()
    assert (refused.status, WORDS["provider_refused"][0] in refused.data.decode()) == (403, True)
    assert walker.open(f"{broker.issuer}/citizen/sessions").status == 303
    told = json.loads((directory_of(broker) / "token.json").read_text())["id_token"]
    assert told.endswith(".") is (fault == "unsigned"), "it was this token that was told"
    right = walker.follow(walker.open(come_back(walker, broker)))
    assert right.status == 200, "without the fault the same person gets in"


def test_a_code_that_was_used_lets_nobody_in_under_a_fresh_state(broker: Server) -> None:
    first, second = Walker(), Walker()
    used = come_back(first, broker)
    assert first.follow(first.open(used)).status == 200
    fresh = come_back(second, broker)
    code, state = (parse_qs(urlsplit(one).query)[name][0] for one, name in ((used, "code"), (fresh, "state")))
    query = {**{name: values[0] for name, values in parse_qs(urlsplit(fresh).query).items()}, "code": code}
    assert query["state"] == state
    refused = second.open(f"{urlsplit(fresh)._replace(query='').geturl()}?{urlencode(query)}")
    assert refused.status == 403, refused.data
    assert second.open(f"{broker.issuer}/citizen/sessions").status == 303


@pytest.fixture
def bank(broker: Server, world: World, insurance: InsuranceDatabase) -> Iterator[PagesBank]:
    scopes = ("share_record", "openid", "consent_events")
    registered = ConsentWorld(world, insurance).register_bank(scopes=scopes)
    caller = Caller(broker.issuer, registered.client_id, registered.key, "consent_events")
    yield PagesBank(caller, registered.organisation_id, "https://bank.example/callback")
    caller.close()


def opened(*texts: str) -> str:
    """Return texts, with what is written in each signed token that stands in them."""
    tokens = [token for text in texts for token in re.findall(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*", text)]
    parts = [urlsafe_b64decode(part + "==").decode() for token in tokens for part in token.split(".")[:2]]
    assert len(tokens) >= 4, "access token, identity token, event and receipt"
    return "\n".join([*texts, *parts])


def test_nothing_that_the_provider_told_reaches_a_bank_or_a_receipt(
    broker: Server, world: World, bank: PagesBank
) -> None:
    walker = Walker()
    page = walker.open(bank.push(scope="openid share_record", nonce="banks-own"))
    while page.status == 303:
        page = walker.follow(page)
    there = walker.follow(walker.send(page, "/with/trial"))
    page = walker.send(there, "/verify/user", username=PERSON, password=PASSWORD)
    while page.status == 303:
        page = walker.follow(page)
    upstream = json.loads((directory_of(broker) / "token.json").read_text())
    form = next(one for one in Forms(page.data.decode()).forms if ("choice", "give") in one.buttons)
    box = next(one for one in form.boxes if one.endswith("salary_base"))
    given = walker.open(form.action, {**form.fields, "field": box, "choice": "give"})
    told = bank.redeem(parse_qs(urlsplit(given.headers["Location"]).query)["code"][0])
    token = told.json()["access_token"]
    assert told.json()["id_token"].startswith("eyJ")
    answers = [
        told,
        bank.read(token),
        bank.caller.request("GET", "/v1/token-info", token=token),
        bank.caller.post_form("introspection_endpoint", {"token": token}),
        bank.caller.request("POST", "/v1/events", b"{}"),
    ]
    assert [one.status for one in answers] == [200] * 5, answers
    assert len(answers[-1].json()["sets"]) == 1
    receipts = walker.open(f"{broker.issuer}/citizen/receipts").data.decode()
    files = [path for path in re.findall('href="([^"]+)"', receipts) if ".jws" in path or ".json" in path]
    assert len(files) == 3, receipts
    kept = [walker.open(broker.issuer + path).data.decode() for path in files]
    everything = opened(*(one.body.decode() for one in answers), *kept)
    _, payload, signature = upstream["id_token"].split(".")
    claims = json.loads(urlsafe_b64decode(payload + "=="))
    assert claims["acr"] == ACR
    for secret in (
        *(payload, signature, upstream["access_token"]),
        *(claims[name] for name in ("iss", "sub", "acr", "nonce", "SoDinhDanh")),
        PERSON,
    ):
        assert secret not in everything, secret


def test_a_wrong_password_there_brings_nobody_back(broker: Server) -> None:
    walker = Walker()
    page = walker.follow(walker.open(f"{broker.issuer}/citizen/sessions"))
    there = walker.follow(walker.send(page, "/with/trial"))
    assert walker.send(there, "/verify/user", username=PERSON, password="something else").status == 403
    assert walker.open(f"{broker.issuer}/citizen/sessions").status == 303


def test_the_same_person_has_the_same_account_next_time(broker: Server, world: World) -> None:
    for _ in range(2):
        walker = Walker()
        page = walker.follow(walker.open(f"{broker.issuer}/citizen/sessions"))
        there = walker.follow(walker.send(page, "/with/trial"))
        walker.follow(walker.send(there, "/verify/user", username=PERSON, password=PASSWORD))
    with world.owner.connect() as connection:
        counts = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM citizens), (SELECT count(*) FROM citizen_identities)"
        ).one()
    assert tuple(counts) == (1, 1)
