"""Every route that names something of somebody: own, another's and nobody's, and to whom it says what.

The matrix is compared with the application's own map of routes: a route that is not in it fails the test.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.cli.caller import Answer
from broker.cli.embedded import EmbeddedCluster
from broker.oauth.citizens import session_ref_of
from broker.oauth.passkeys import Passkey
from broker.oauth.session_list import session_handle_of
from broker.storage.citizens import PostgresCitizens
from broker.storage.passkeys import PostgresPasskeys
from tests.acting import ACTS
from tests.citizen_world import Citizen, Form
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.e2e.crawl import PLACES, endpoint_of, posted_forms, reachable_pages
from tests.e2e.pages import RECORD, REQUESTS, PagesBank, PagesBrowser, PagesWorld, pages_world
from tests.release_world import World
from tests.served_log import ServedLog, served_log

Kind = Literal[
    "public", "entry", "page", "thing", "child's thing", "form", "form on a thing", "held", "client's thing",
    "client's table",
]  # fmt: skip
ISSUER: Final = "https://idor.example"
MATRIX: Final[Mapping[str, Kind]] = {
    # Open to anybody, and the same for everybody.
    "citizen.font": "public",
    "citizen.style": "public",
    "citizen.script": "public",
    "citizen.help": "public",
    "citizen.hidden_reads": "public",
    "citizen.hidden_reads_file": "public",
    "citizen.check_page": "public",
    "citizen.check_receipt": "public",
    "citizen.verify_page": "public",
    "citizen.verify_script": "public",
    "citizen.verify_offline": "public",
    "operations.problem": "public",
    "log.checkpoint": "public",
    "log.witnessed": "public",
    "log.timestamped": "public",
    "log.stamped": "public",
    "log.token": "public",
    "log.vkey": "public",
    "log.tile": "public",
    "log.consistency": "public",
    # Ways in: nobody is signed in yet.
    "citizen.sign_in_page": "entry",
    "citizen.sign_in": "entry",
    "citizen.sign_in_with": "entry",
    "citizen.sign_in_callback": "entry",
    "citizen.passkey_sign_in": "entry",
    # Whoever holds the 256-bit handle of a pushed request decides it, for himself or herself.
    "citizen.decision": "held",
    "citizen.decide": "held",
    # Pages that name nothing: they show what is one's own.
    "citizen.home": "page",
    "citizen.sessions": "page",
    "citizen.passkeys": "page",
    "citizen.consents": "page",
    "citizen.receipts": "page",
    "citizen.who_saw": "page",
    "citizen.record": "page",
    "citizen.complaints": "page",
    "citizen.representation": "page",
    "citizen.complaint_form": "thing",
    "citizen.evidence": "thing",
    "citizen.evidence_file": "thing",
    # Pages and files that name something.
    "citizen.consent": "thing",
    "citizen.withdrawal": "thing",
    "citizen.extension": "thing",
    "citizen.change": "thing",
    "citizen.receipt_pdf": "thing",
    "citizen.receipt_jws": "thing",
    "citizen.receipt_iso": "thing",
    "citizen.receipt_kantara": "thing",
    # What a representative opens: what is a child's of one's own.
    "citizen.child_request": "child's thing",
    "citizen.decide_for_child": "form on a thing",
    "citizen.child_consent": "child's thing",
    "citizen.child_withdrawal": "child's thing",
    "citizen.act_for_child": "form on a thing",
    "citizen.child_extension": "child's thing",
    "citizen.extend_for_child": "form on a thing",
    # Forms; what they name stands in their fields.
    "citizen.act_on_consent": "form on a thing",
    "citizen.extend_consent": "form on a thing",
    "citizen.change_consent": "form on a thing",
    "citizen.pause_all": "form",
    "citizen.sign_out": "form",
    "citizen.read_record": "form",
    "citizen.file_complaint": "form",
    "citizen.end_sessions": "form",
    "citizen.change_passkey": "form",
    "citizen.add_passkey": "form",
    # What belongs to a client.
    "resources.evidence_proof_reference": "client's thing",
    "resources.oauth_grants_grant_id": "client's thing",
    "resources.oauth_grants_grant_id_delete": "client's thing",
    "resources.v1_consent_requests_request_id": "client's thing",
    "resources.v1_consent_requests_request_id_delete": "client's thing",
    # Asked for by clients that no citizen gave anything to: tried in test_statistics_exports.
    "resources.v1_statistics_exports_job_id": "client's table",
    "resources.v1_statistics_exports_job_id_delete": "client's table",
    "resources.v1_statistics_exports_job_id_result": "client's table",
}
"""Endpoint → what kind of door it is."""

QUERIES: Final[Mapping[str, str]] = {"citizen.complaint_form": "reference"}
"""Endpoint → parameter of its query that names what it is about."""
PAGES_OF_THINGS: Final = {
    *(
        "citizen.consent",
        "citizen.withdrawal",
        "citizen.change",
        "citizen.complaint_form",
        "citizen.evidence",
    ),
    *("citizen.child_request", "citizen.child_consent", "citizen.child_withdrawal"),
}
"""Pages that name something and to which the links of other pages lead."""
NAMELESS: Final = {"citizen.pause_all", "citizen.sign_out", "citizen.read_record", "citizen.add_passkey"}
"""Forms that name nothing: they are about whoever is signed in."""
CHILDS: Final[Mapping[str, str]] = {
    "citizen.child_request": "requested",
    "citizen.decide_for_child": "requested",
    "citizen.child_consent": "active",
    "citizen.child_withdrawal": "active",
    "citizen.act_for_child": "active",
    "citizen.child_extension": "active",
    "citizen.extend_for_child": "active",
}
"""Endpoint whose consent is a child's → the state that it must have."""
_TOKENS: Final = re.compile(r'(name="token" value=")[^"]*')


def of_kind(*kinds: Kind) -> list[str]:
    return [endpoint for endpoint, kind in MATRIX.items() if kind in kinds]


@dataclass
class Somebody:
    """A citizen with one of everything, in a browser that is signed in, and the bank that asked.

    child: the account of the citizen's child.
    """

    citizen: Citizen
    child: Citizen
    browser: PagesBrowser
    bank: PagesBank
    tokens: Mapping[str, Any]
    reference: str
    asked: Mapping[str, Any]
    passkey: Passkey

    @property
    def world(self) -> PagesWorld:
        return self.browser.world

    def rows(self, statement: str, whose: Citizen | None = None) -> list[str]:
        with self.world.world.owner.connect() as connection:
            found = connection.execute(text(statement), {"me": (whose or self.citizen).citizen_id})
            return [str(row[0]) for row in found]

    def consents(self, state: str, whose: Citizen | None = None) -> list[str]:
        return self.rows(
            f"SELECT consent_id FROM consents WHERE citizen_id = :me AND state = '{state}'",  # noqa: S608
            whose,
        )

    def ids(self, endpoint: str = "") -> dict[str, str]:
        """Return argument of a route → what of this person's, or of the child's, it may name."""
        of_child = CHILDS.get(endpoint)
        found = {
            "receipt_id": self.rows("SELECT receipt_id FROM consent_receipts WHERE citizen_id = :me"),
            "consent_id": self.consents(of_child, self.child) if of_child else self.consents("active"),
            "grant_id": [str(self.tokens["grant_id"])],
            "request_id": [str(self.asked["request_id"])],
            "reference": [self.reference],
        }
        return {name: values[0] for name, values in found.items()}

    def secrets(self) -> list[str]:
        """Return whatever names something of this person's: none of it may stand on another's page."""
        cookie = self.browser.http.get_cookie("__Host-broker-citizen", "idor.example")
        assert cookie is not None
        both = (self.citizen, self.child)
        named = "SELECT consent_id FROM consents WHERE citizen_id = :me ORDER BY state"
        pending = [consent for one in both for consent in self.rows(named, one)]
        handle = session_handle_of(session_ref_of(cookie.value))
        ways_in = [handle, self.passkey.handle]
        numbers = [number for one in both for number in (one.personal_id, one.citizen_id)]
        return [*self.ids().values(), *pending, *ways_in, *numbers]

    def state(self) -> list[list[str]]:
        """Return every row of this person's and the child's, in whatever table.

        When a session was last seen is left aside.
        """
        named = (
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'citizen_id' ORDER BY 1"
        )
        row = "to_jsonb(one) - 'last_seen_at'"
        return [
            self.rows(f"SELECT ({row})::text FROM {table} one WHERE citizen_id = :me ORDER BY 1", whose)  # noqa: S608
            for whose in (self.citizen, self.child)
            for table in self.rows(named)
        ]


@pytest.fixture(scope="module")
def log(cluster: EmbeddedCluster, world: World, tmp_path_factory: pytest.TempPathFactory) -> ServedLog:
    return served_log(cluster, world, tmp_path_factory.mktemp("log"), ISSUER)


@pytest.fixture(scope="module")
def pages(world: World, insurance: InsuranceDatabase, log: ServedLog) -> Iterator[PagesWorld]:
    with pages_world(world, insurance, ISSUER, log.settings.log_directory) as made:
        yield made


def somebody(pages: PagesWorld) -> Somebody:
    (citizen, child), browser, bank = pages.parent(), pages.browser(), pages.bank()
    page = browser.sign_in(citizen, bank.push())
    location = browser.decide(page).headers["Location"]
    tokens = bank.redeem(parse_qs(urlsplit(location).query)["code"][0]).json()
    read, asked = bank.read(tokens["access_token"]), bank.ask(citizen.personal_id)
    assert (read.status, asked.status) == (200, 201)
    passkey = Passkey(
        credential_id=secrets.token_bytes(32),
        citizen_id=citizen.citizen_id,
        public_key=b"key",
        sign_count=0,
        label="khóa",
        registered_at=datetime.now(UTC),
    )
    assert PostgresPasskeys(pages.world.engine).register_passkey(passkey, 10)
    reference = read.json()["evidence_reference"]
    browser.represent(child, bank, pages.bank())
    account = PostgresCitizens(pages.world.engine, ACTS).find_account(
        pages.world.pseudonyms.citizen_ref(child)
    )
    assert account is not None
    childs = Citizen(account.citizen_id, child, "", "")
    return Somebody(citizen, childs, browser, bank, tokens, reference, asked.json(), passkey)


@pytest.fixture(scope="module")
def both(pages: PagesWorld, log: ServedLog) -> tuple[Somebody, Somebody]:
    """Two persons; what has happened to them is in the log."""
    found = somebody(pages), somebody(pages)
    log.order()
    return found


@pytest.fixture(scope="module")
def victim(both: tuple[Somebody, Somebody]) -> Somebody:
    return both[0]


@pytest.fixture(scope="module")
def thief(both: tuple[Somebody, Somebody]) -> Somebody:
    return both[1]


def rules_of(pages: PagesWorld, endpoint: str) -> tuple[str, set[str], set[str]]:
    """Return path, names in it and methods of an endpoint."""
    [rule] = pages.app.url_map.iter_rules(endpoint)
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
    if endpoint in QUERIES:
        name = QUERIES[endpoint]
        return f"{path}?{name}={{{name}}}", {name}, {"GET"}
    return path, set(rule.arguments), set(rule.methods or ()) - {"HEAD", "OPTIONS"}


def plain(answer: TestResponse, *names: str) -> tuple[int, str, str]:
    """Return what an answer says, without what is new at each answer and without the name that was asked."""
    told = _TOKENS.sub(r"\1", answer.text)
    where = answer.headers.get("Location", "")
    for name in names:
        told, where = told.replace(name, "<name>"), where.replace(name, "<name>")
    return answer.status_code, told, where


def is_led_to_sign_in(answer: TestResponse) -> bool:
    return answer.status_code == 303 and answer.headers["Location"].startswith("/citizen/sign-in?")


def test_every_route_of_citizens_and_every_route_with_a_name_in_it_is_in_the_matrix(
    pages: PagesWorld,
) -> None:
    concerned = {
        rule.endpoint
        for rule in pages.app.url_map.iter_rules()
        if rule.arguments or f"{rule.rule}/".startswith(PLACES)
    }
    assert concerned == set(MATRIX)


def test_the_matrix_says_of_each_route_what_the_map_says(pages: PagesWorld) -> None:
    for endpoint, kind in MATRIX.items():
        _, names, methods = rules_of(pages, endpoint)
        if kind in ("page", "form"):
            assert not names, endpoint
        if kind in ("thing", "child's thing", "form on a thing", "client's thing"):
            assert names or endpoint in QUERIES, endpoint
        if kind in ("page", "thing", "child's thing"):
            assert methods == {"GET"}, endpoint
        if kind in ("form", "form on a thing"):
            assert methods == {"POST"}, endpoint


@pytest.mark.parametrize("endpoint", of_kind("page"))
def test_a_page_opens_to_whoever_is_signed_in_and_to_nobody_else(thief: Somebody, endpoint: str) -> None:
    path, _, _ = rules_of(thief.world, endpoint)
    assert thief.browser.get(path).status_code == 200
    assert is_led_to_sign_in(thief.world.browser().get(path))


@pytest.mark.parametrize("endpoint", of_kind("thing", "child's thing"))
def test_a_thing_of_another_is_as_one_that_is_not_there(
    thief: Somebody, victim: Somebody, endpoint: str
) -> None:
    path, names, _ = rules_of(thief.world, endpoint)
    nobodys = {name: str(uuid4()) for name in names}
    own, theirs = thief.ids(endpoint), victim.ids(endpoint)
    assert thief.browser.get(path.format(**own)).status_code == 200
    assert victim.browser.get(path.format(**theirs)).status_code == 200
    told = plain(thief.browser.get(path.format(**theirs)), *(theirs[name] for name in names))
    assert told == plain(thief.browser.get(path.format(**nobodys)), *nobodys.values())
    assert told[0] == 404


@pytest.mark.parametrize("endpoint", of_kind("thing", "child's thing", "form on a thing"))
def test_whoever_is_not_signed_in_learns_nothing_of_a_thing(
    pages: PagesWorld, victim: Somebody, endpoint: str
) -> None:
    path, names, methods = rules_of(pages, endpoint)
    nobodys, theirs = {name: str(uuid4()) for name in names}, victim.ids(endpoint)
    before = victim.state()
    [method] = methods
    told = [
        plain(pages.browser().open(path.format(**named), method, {}), *named.values())
        for named in ({name: theirs[name] for name in names}, nobodys)
    ]
    assert told[0] == told[1]
    assert told[0][0] == 303
    assert told[0][2].startswith("/citizen/sign-in?")
    assert victim.state() == before


@pytest.mark.parametrize("endpoint", of_kind("form", "form on a thing"))
def test_a_form_of_nobody_changes_nothing(pages: PagesWorld, victim: Somebody, endpoint: str) -> None:
    path, _, _ = rules_of(pages, endpoint)
    before = victim.state()
    theirs = victim.ids(endpoint)
    answer = pages.browser().post(path.format(**theirs), {**theirs, "choice": "give"})
    assert answer.status_code in (303, 403), answer.text
    assert victim.state() == before


def test_no_page_of_mine_names_anything_of_anybody_else(thief: Somebody, victim: Somebody) -> None:
    reached = reachable_pages(thief.browser)
    assert {*of_kind("page"), *PAGES_OF_THINGS} <= set(reached)
    for endpoint, path in reached.items():
        shown = thief.browser.get(path).text
        assert [secret for secret in victim.secrets() if secret in shown] == [], endpoint


def forms_of(somebody: Somebody) -> Iterator[tuple[str, Form]]:
    """Yield every form on every page that somebody can reach, with the endpoint of the page."""
    for endpoint, path in reachable_pages(somebody.browser).items():
        for form in posted_forms(somebody.browser.get(path).text):
            yield endpoint, form


def test_a_form_of_mine_that_names_what_is_anothers_does_nothing(thief: Somebody, victim: Somebody) -> None:
    """Each form is taken from a page of one's own, with a good token, and everything it names exchanged."""
    for somebodys in (victim, thief):
        reachable_pages(somebodys.browser)  # to look at what waits opens it, and gives it a name
    victims, own = victim.secrets(), thief.secrets()
    before, tried = victim.state(), set()
    for endpoint, form in list(forms_of(thief)):
        for name, value in form.buttons or [("", "")]:
            written = repr((form.action, form.fields, value))
            if not any(secret in written for secret in own):
                continue
            answers = []
            for others in (victims, [str(uuid4()) for _ in victims]):
                named = dict(zip(own, others, strict=True))

                def exchanged(given: str, named: Mapping[str, str] = named) -> str:
                    for mine, theirs in named.items():
                        given = given.replace(mine, theirs)
                    return given

                data = {key: exchanged(given) for key, given in form.fields.items()}
                data |= {name: exchanged(value)} if name else {}
                answer = thief.browser.post(exchanged(form.action), data)
                answers.append(plain(answer, *others))
            assert answers[0] == answers[1], (endpoint, form.action)
            assert answers[0][0] in (303, 403, 404, 409, 422), (endpoint, form.action)
            tried.add(endpoint_of(thief.world.app, form.action, "POST"))
    assert tried == set(of_kind("form", "form on a thing")) - NAMELESS
    assert victim.state() == before


def problem(answer: Answer) -> tuple[int, str]:
    """Return status and kind of a refusal; whatever else it tells is the same for all of that kind."""
    document = answer.json()
    assert set(document) <= {"type", "title", "status", "instance", "request_id", "detail"}, document
    return answer.status, document["type"]


CLIENTS_THINGS: Final = {
    "resources.evidence_proof_reference": ("GET", "/evidence/proof/{}", "reference"),
    "resources.oauth_grants_grant_id": ("GET", "/oauth/grants/{}", "grant_id"),
    "resources.oauth_grants_grant_id_delete": ("DELETE", "/oauth/grants/{}", "grant_id"),
    "resources.v1_consent_requests_request_id": ("GET", REQUESTS + "/{}", "request_id"),
    "resources.v1_consent_requests_request_id_delete": ("DELETE", REQUESTS + "/{}", "request_id"),
}


def test_every_thing_of_clients_is_tried() -> None:
    assert set(CLIENTS_THINGS) == set(of_kind("client's thing"))


@pytest.mark.parametrize("endpoint", of_kind("client's thing"))
def test_a_thing_of_another_client_is_as_one_that_is_not_there(
    pages: PagesWorld, thief: Somebody, victim: Somebody, endpoint: str
) -> None:
    method, path, name = CLIENTS_THINGS[endpoint]
    owner, theirs = victim, victim.ids()[name]
    before = victim.state()
    missing = "A" * len(theirs) if name == "grant_id" else str(uuid4())
    told = [problem(thief.bank.caller.request(method, path.format(one))) for one in (theirs, missing)]
    assert told[0] == told[1]
    assert told[0][0] == 404
    anonymous = pages.browser().open(path.format(theirs), method)
    assert anonymous.status_code == 401
    assert victim.state() == before
    if method == "DELETE":
        owner = somebody(pages)  # what is ended here is not needed by other tests
    done = owner.bank.caller.request(method, path.format(owner.ids()[name]))
    assert done.status == (204 if method == "DELETE" else 200), done.body


def test_a_token_reads_only_the_consents_of_its_own_grant(thief: Somebody, victim: Somebody) -> None:
    token, path = thief.tokens["access_token"], f"{RECORD}?consent_id="
    own = thief.bank.caller.request("GET", path + thief.ids()["consent_id"], token=token)
    assert own.status == 200, own.body
    theirs = thief.bank.caller.request("GET", path + victim.ids()["consent_id"], token=token)
    missing = thief.bank.caller.request("GET", path + str(uuid4()), token=token)
    told = [
        {name: value for name, value in one.json().items() if name not in ("instance", "request_id")}
        for one in (theirs, missing)
    ]
    assert told[0] == told[1]
    assert theirs.status == missing.status == 403


def test_what_waits_in_an_inbox_gives_tokens_to_the_client_that_asked_alone(
    thief: Somebody, victim: Somebody
) -> None:
    auth_req_id = str(victim.asked["auth_req_id"])
    told = [thief.bank.poll(one) for one in (auth_req_id, "A" * len(auth_req_id))]
    assert [(one.status, one.json()["error"]) for one in told] == [(400, "invalid_grant")] * 2
    own = victim.bank.poll(auth_req_id)
    assert (own.status, own.json()["error"]) == (400, "authorization_pending")
