"""The evidence cannot be written: nothing leaves, everybody is told so plainly, what only reads goes on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from broker.cli.caller import Answer
from broker.cli.embedded import EmbeddedCluster
from tests.answers import problem_in
from tests.consent_world import ConsentWorld, Given, Reader, reader_of
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import InProcessCaller, in_process_caller, post, running_app, wait_until
from tests.log_reader import all_faults
from tests.own_pages_world import HISTORY, RECORD, Visitor, signed_in
from tests.release_world import World

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """A broker in this process that gives its store little time, a hospital and a bank."""

    app: Flask
    cluster: EmbeddedCluster
    consents: ConsentWorld

    @property
    def world(self) -> World:
        return self.consents.world

    @property
    def hospital(self) -> InProcessCaller:
        return in_process_caller(self.app, self.world.settings.issuer, self.world.hospital)

    @property
    def bank(self) -> Reader:
        return reader_of(self.app, self.world.settings.issuer, self.consents.bank)

    def visitor(self, given: Given) -> Visitor:
        person = given.person
        return signed_in(self.app, self.world, person.personal_id, citizen_id=person.citizen_id)

    def ready(self) -> dict[str, str]:
        with self.app.test_client() as nobody:
            return dict(nobody.get("/readyz").get_json()["faults"])


@pytest.fixture(scope="module")
def place(
    world: World, cluster: EmbeddedCluster, insurance: InsuranceDatabase, app_log: Path
) -> Iterator[Place]:
    with running_app(replace(world.settings, store_deadline_seconds=1.0)) as app:
        yield Place(app, cluster, ConsentWorld(world, insurance))
    assert all_faults(app_log, world) == []


@contextmanager
def full_disk(place: Place) -> Iterator[None]:
    """Let whoever adds to the evidence find no space left (SQLSTATE 53100)."""
    name = f"full_disk_{next(_numbers)}"
    place.world.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE disk_full USING MESSAGE = 'no space left on device'; END $$"
    )
    place.world.execute(f"CREATE TRIGGER {name} BEFORE INSERT ON evidence_entries EXECUTE FUNCTION {name}()")
    try:
        yield
    finally:
        place.world.execute(f"DROP TRIGGER {name} ON evidence_entries")
        place.world.execute(f"DROP FUNCTION {name}")


@contextmanager
def read_only(place: Place) -> Iterator[None]:
    """Make the store read-only for the application (SQLSTATE 25006), as a standby is."""
    url = place.cluster.administrator_url
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'broker_app'"
    with psycopg.connect(url, autocommit=True) as connection:
        role = "ALTER ROLE broker_app IN DATABASE broker"
        connection.execute(f"{role} SET default_transaction_read_only = on")
        connection.execute(end)
        try:
            yield
        finally:
            connection.execute(f"{role} RESET default_transaction_read_only")
            connection.execute(end)
    # Who finds a dead connection makes a new one; whose statement was not only a look says so first.
    wait_until(lambda: place.ready() == {}, "the broker is ready again", 60)


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Let every statement that adds to the evidence wait until its time is over (SQLSTATE 57014)."""
    with place.world.owner.begin() as owner:
        owner.execute(text("LOCK TABLE evidence_entries IN SHARE MODE"))
        yield


FAULTS: dict[str, Callable[[Place], AbstractContextManager[None]]] = {
    "disk full": full_disk,
    "read-only": read_only,
    "too slow": locked,
}


@pytest.fixture(params=list(FAULTS))
def fault(request: pytest.FixtureRequest) -> Callable[[Place], AbstractContextManager[None]]:
    return FAULTS[request.param]


def check_nothing_left(answer: Answer) -> None:
    """Find a plain problem with a reference id, and nothing else."""
    document = problem_in(answer, "evidence-unavailable")
    assert document.keys() == {"type", "title", "status", "instance", "request_id"}
    assert document["instance"] == f"urn:uuid:{document['request_id']}"
    assert int(answer.headers["retry-after"]) >= 1


Fault = Callable[[Place], AbstractContextManager[None]]


def test_no_check_is_answered_and_nothing_is_counted(place: Place, fault: Fault) -> None:
    world, caller = place.world, place.hospital
    assert post(caller, world.document()).status == 200
    counts = {
        table: world.count(table) for table in ("evidence_entries", "evidence_openings", "usage_counters")
    }
    with fault(place):
        check_nothing_left(post(caller, world.document()))
        # Neither is a refusal that cannot be recorded.
        stranger = {"full_name": "Lê Văn Khác", "personal_id": "001090555555"}
        check_nothing_left(post(caller, world.document(acting_person=stranger)))
    assert {table: world.count(table) for table in counts} == counts
    assert post(caller, world.document()).status == 200


def test_no_record_is_read_by_consent(place: Place, fault: Fault) -> None:
    given = place.consents.give()
    token = place.bank.token(given)
    before = place.world.count("evidence_entries")
    with fault(place):
        answer = place.bank.read(token)
        check_nothing_left(answer)
    assert place.world.count("evidence_entries") == before
    assert place.bank.read(token).status == 200


def test_a_withdrawal_is_not_half_done_and_is_done_when_it_can_be(place: Place, fault: Fault) -> None:
    given = place.consents.give()
    visitor = place.visitor(given)
    path = f"/citizen/consents/{given.consent_id}"
    form = visitor.form(path, path)
    with fault(place):
        answer = visitor.post(form.action, {**form.fields, "choice": "withdraw"})
        assert answer.status_code == 503, answer.text
        assert answer.mimetype == "text/html"
        assert "Location" not in answer.headers
    assert place.consents.consent(given).state == "active"
    assert place.bank.read(place.bank.token(given)).status == 200
    done = visitor.post(form.action, {**form.fields, "choice": "withdraw"})
    assert done.status_code == 303, done.text
    assert place.consents.consent(given).state == "withdrawn"


def test_the_history_is_not_shown_without_the_entry_of_the_look(place: Place, fault: Fault) -> None:
    given = place.consents.give()
    reference = place.bank.read(place.bank.token(given)).json()["evidence_reference"]
    visitor = place.visitor(given)
    with fault(place):
        page = visitor.get(HISTORY)
        assert page.status_code == 503, page.text
        assert reference not in page.text
    assert reference in visitor.get(HISTORY).text


def test_what_leaves_no_entry_goes_on(place: Place, fault: Fault) -> None:
    given = place.consents.give()
    visitor = place.visitor(given)
    with fault(place):
        for path in ("/citizen/", "/citizen/consents", f"/citizen/consents/{given.consent_id}"):
            page = visitor.get(path)
            assert page.status_code == 200, (path, page.text)
        assert given.consent_id in visitor.get("/citizen/consents").text


def test_the_own_record_is_not_shown_without_its_entry(place: Place, fault: Fault) -> None:
    given = place.consents.give()
    visitor = place.visitor(given)
    form = visitor.form(RECORD, RECORD)
    with fault(place):
        answer = visitor.post(RECORD, form.fields)
        assert answer.status_code == 503, answer.text
        assert given.person.personal_id not in answer.text
    assert given.person.personal_id in visitor.post(RECORD, form.fields).text


def test_a_store_that_takes_no_writes_is_not_ready(place: Place) -> None:
    with read_only(place):
        wait_until(lambda: place.ready() == {"ledger": "read_only"}, "it is told", 60)
    assert place.ready() == {}
