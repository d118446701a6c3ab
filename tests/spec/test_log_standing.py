"""A log that stands still: what is ordinary stops with an answer of its own, what the law demands goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from click.testing import CliRunner
from flask import Flask

import broker.cli.evidence_replay
from broker.api.openapi import OPENAPI_PATH
from broker.cli import main
from broker.cli.caller import Answer, Caller
from broker.cli.embedded import EmbeddedCluster
from broker.cli.session import Session
from broker.evidence.entry import LOG_STOPPED_RULE, check_entry
from broker.evidence.history import HistoryFilter
from broker.storage.history import PostgresHistory
from tests.answers import problem_in, refusal_in
from tests.consent_world import ConsentWorld, Given, Reader
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import Server, post, running_app, wait_until
from tests.evidence_entries import decoded, release
from tests.history_world import reference_at
from tests.log_reader import all_faults
from tests.own_pages_world import HISTORY, RECORD, signed_in
from tests.release_world import BATCH, World
from tests.served_log import ServedLog, served_log


@dataclass(frozen=True)
class Place:
    """A real server whose releases need a log, the log beside it, and a bank's consents."""

    server: Server
    log: ServedLog
    consents: ConsentWorld

    @property
    def world(self) -> World:
        return self.consents.world

    def hospital(self) -> Caller:
        return self.server.caller(self.world.hospital)

    def bank(self) -> Reader:
        bank = self.consents.bank
        caller = Caller(self.server.issuer, bank.client_id, bank.key, "share_record")
        return Reader(caller)

    def read(self, given: Given) -> Answer:
        reader = self.bank()
        try:
            return reader.read(reader.token(given))
        finally:
            reader.caller.close()

    def tells(self, word: str) -> None:
        """Wait until /readyz says so of releases: what was found is told again for a second.

        A broker whose log stands is ready all the same.
        """

        def is_told() -> bool:
            told = self.server.get("/readyz").json()
            assert (told["status"], told["faults"]) == ("ready", {})
            return bool(told["releases"] == word)

        wait_until(is_told, f"releases are {word}", 60)

    def rules(self, reference: str) -> list[str]:
        """Return the determining rules of an entry, which is of its schema."""
        entry = self.world.evidence(reference).entry
        check_entry(entry)
        return list(entry["determining_rules"])

    def complete(self, minutes: float) -> None:
        """Say that the published log was complete so long ago."""
        self.world.execute(
            "UPDATE log_published SET complete_at = now() - make_interval(secs => :seconds)",
            seconds=minutes * 60,
        )

    def wait(self, minutes: float) -> str:
        """Record an entry so long ago, as a sequencer that is gone would have left it."""
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        reference = reference_at(at, 1)
        content = json.loads(release(1))
        content |= {"reference": reference, "at": at.isoformat(timespec="milliseconds")[:-6] + "Z"}
        self.world.execute(
            "INSERT INTO evidence_entries (reference, kind, entry, recorded_at)"
            " VALUES (CAST(:reference AS uuid), 'release', :entry, :at)",
            reference=reference,
            entry=json.dumps(content, separators=(",", ":"), sort_keys=True).encode(),
            at=at,
        )
        return reference


@pytest.fixture(scope="module")
def module_place(
    cluster: EmbeddedCluster,
    world: World,
    insurance: InsuranceDatabase,
    release_environ: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("standing")
    more = {"BROKER_LOG_REQUIRED": "yes", "BROKER_LOG_DIRECTORY": str(directory / "log")}
    server = Server(release_environ, directory, more)
    try:
        log = served_log(cluster, world, directory / "log", server.issuer)
        place = Place(server, log, ConsentWorld(world, insurance))
        # A log is made of the years of which there are entries.
        assert post(place.hospital(), world.document()).status == 200
        yield place
    finally:
        server.stop()
    assert all_faults(server.log, world) == []


@pytest.fixture
def place(module_place: Place) -> Place:
    """All that was recorded is published a moment ago."""
    module_place.log.order()
    return module_place


@pytest.fixture
def standing(place: Place) -> Place:
    """An entry has waited for sixteen minutes."""
    place.complete(20)
    place.wait(16)
    return place


@contextmanager
def never_made(place: Place) -> Iterator[None]:
    """Have a database in which no log was ever made."""
    place.world.execute("CREATE TABLE log_published_kept AS TABLE log_published")
    place.world.execute("DELETE FROM log_published")
    try:
        yield
    finally:
        place.world.execute("INSERT INTO log_published SELECT * FROM log_published_kept")
        place.world.execute("DROP TABLE log_published_kept")


def check_stopped(place: Place, given: Given) -> None:
    """Ask for a record, and find that nothing left, that it was recorded, and when to come again."""
    answer = place.read(given)
    document = refusal_in(answer, "log-stopped", "log_stopped", place.world)
    assert answer.headers["retry-after"] == "60"
    assert document.keys() == {
        "type", "title", "status", "instance", "request_id", "reason", "determining_rules",
    }  # fmt: skip
    assert "fields" not in answer.body.decode()
    entry = place.world.evidence(document["instance"]).entry
    assert (entry["consent"], entry["action"]) == (given.consent_id, "share_record")
    assert LOG_STOPPED_RULE not in entry["determining_rules"]


class TestWhatIsOrdinary:
    def test_it_leaves_while_the_log_is_at_work(self, place: Place) -> None:
        given = place.consents.give()
        answer = place.read(given)
        assert answer.status == 200, answer.body
        assert LOG_STOPPED_RULE not in place.rules(answer.json()["evidence_reference"])
        place.tells("available")

    def test_it_leaves_while_the_oldest_entry_has_waited_for_less_than_a_quarter_of_an_hour(
        self, place: Place
    ) -> None:
        place.complete(14)
        place.wait(13)
        assert place.read(place.consents.give()).status == 200
        place.tells("available")

    def test_it_stops_when_an_entry_has_waited_for_longer(self, standing: Place) -> None:
        check_stopped(standing, standing.consents.give())
        standing.tells("log_stopped")

    def test_it_is_said_in_a_line_when_it_begins_and_when_it_is_over(self, standing: Place) -> None:
        begun = standing.server.log.stat().st_size

        def is_said(sentence: str) -> bool:
            """Ask again and again: each worker says it for itself."""
            standing.server.get("/readyz")
            return sentence in standing.server.log.read_text(encoding="utf-8")[begun:]

        wait_until(lambda: is_said("ordinary releases stop: the log stands"), "it is said", 90)
        standing.log.order()
        wait_until(lambda: is_said("ordinary releases go on"), "that it is over is said", 90)

    def test_it_stops_where_no_log_was_ever_made(self, place: Place) -> None:
        with never_made(place):
            check_stopped(place, place.consents.give())
            place.tells("log_stopped")

    def test_it_leaves_again_by_itself_when_the_sequencer_is_back(self, standing: Place) -> None:
        given = standing.consents.give()
        check_stopped(standing, given)
        standing.log.order()
        assert standing.read(given).status == 200
        standing.tells("available")

    def test_what_is_wrong_besides_is_told_first(self, standing: Place) -> None:
        given, reader = standing.consents.give(), standing.bank()
        token = reader.token(given)
        standing.world.execute(
            "UPDATE agreements SET status = 'suspended' WHERE agreement_id = 'bank_income_proof'"
        )
        try:
            assert problem_in(reader.read(token), "release-refused")["reason"] == "agreement_not_active"
        finally:
            standing.world.execute(
                "UPDATE agreements SET status = 'active' WHERE agreement_id = 'bank_income_proof'"
            )
            reader.caller.close()

    def test_the_answer_is_described(self, place: Place) -> None:
        paths = place.server.get(OPENAPI_PATH).json()["paths"]
        told = json.dumps(paths["/v1/consented-record"]["get"]["responses"]["503"])
        assert "log-stopped" in told
        assert "log-stopped" not in json.dumps(paths["/v1/entitlement-checks"])


class TestWhatTheLawDemands:
    def test_a_hospitals_check_goes_on_and_its_entry_says_that_the_log_stood(self, standing: Place) -> None:
        world = standing.world
        answer = post(standing.hospital(), world.document())
        assert answer.status == 200, answer.body
        told = answer.json()
        assert (told["outcome"], told["gateway_code"]) == ("valid", "000")
        rules = standing.rules(told["evidence_reference"])
        assert rules[-1] == LOG_STOPPED_RULE
        assert len(rules) > 1, "those of the agreement stand before it"
        evidence = world.evidence(told["evidence_reference"])
        assert evidence.entry["result"] == "released"
        assert evidence.data_subject_ref is not None

    def test_each_item_of_a_batch_says_so(self, standing: Place) -> None:
        world = standing.world
        whole = [world.document(acting_person=...) for _ in range(3)]
        body = {"items": whole, "acting_person": world.hospital.staff[0].as_document()}
        answer = standing.hospital().request("POST", BATCH, json.dumps(body).encode())
        assert answer.status == 200, answer.body
        references = [one["evidence_reference"] for one in answer.json()["items"]]
        assert len(references) == 3
        assert {standing.rules(one)[-1] for one in references} == {LOG_STOPPED_RULE}

    def test_it_says_nothing_of_it_before_and_after(self, place: Place) -> None:
        first = post(place.hospital(), place.world.document()).json()["evidence_reference"]
        place.complete(20)
        place.wait(16)
        assert place.rules(post(place.hospital(), place.world.document()).json()["evidence_reference"])[
            -1
        ] == (LOG_STOPPED_RULE)
        place.log.order()
        last = post(place.hospital(), place.world.document()).json()["evidence_reference"]
        for one in (first, last):
            assert LOG_STOPPED_RULE not in place.rules(one)

    def test_limits_count_and_a_used_proof_stays_used(self, standing: Place) -> None:
        world = standing.world
        hospital = world.register_hospital(agreements=("hospital_ten_an_hour",), staff=1)
        caller = standing.server.caller(hospital)
        for _ in range(10):
            assert post(caller, world.document(hospital=hospital)).status == 200
        assert problem_in(post(caller, world.document(hospital=hospital)), "limit-reached")
        assert len(world.entries_of(hospital)) == 10

    def test_where_no_log_was_ever_made_it_goes_on_too(self, place: Place) -> None:
        with never_made(place):
            told = post(place.hospital(), place.world.document()).json()
        assert place.rules(told["evidence_reference"])[-1] == LOG_STOPPED_RULE

    def test_its_decision_can_be_made_again(self, standing: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        world = standing.world
        reference = post(standing.hospital(), world.document()).json()["evidence_reference"]

        @contextmanager
        def open_session() -> Iterator[Session]:
            yield Session(world.settings, world.store)

        monkeypatch.setattr(broker.cli.evidence_replay, "open_session", open_session)
        result = CliRunner().invoke(main, ["evidence", "replay", reference, "--json"])
        assert result.exit_code == 0, result.output
        told = json.loads(result.stdout)
        assert (told["result"], told["differences"]) == ("same", [])
        assert told["recorded"]["determining_rules"] == standing.rules(reference)
        assert told["replayed"] == told["recorded"]
        assert told["not_replayed"][0] == (
            "whether the log stood still then, as the entry says: no decision depends on it"
        )

    def test_it_comes_into_the_log_as_any_other_entry(self, standing: Place) -> None:
        reference = post(standing.hospital(), standing.world.document()).json()["evidence_reference"]
        standing.log.order()
        answer = standing.hospital().request(
            "GET", f"/evidence/proof/{reference}", headers={"Accept": "application/json"}
        )
        assert answer.status == 200, answer.body
        entry = decoded(answer.json()["entry"].encode())
        assert entry["determining_rules"][-1] == LOG_STOPPED_RULE


class TestWhatIsThePersonsOwn:
    @pytest.fixture
    def app(self, standing: Place) -> Iterator[Flask]:
        """A broker in this process, on the same databases: for pages in a browser."""
        with running_app(replace(standing.world.settings, log_required="yes")) as app:
            yield app

    def test_withdrawing_works_and_ends_what_the_consent_opened(self, standing: Place, app: Flask) -> None:
        given = standing.consents.give()
        person = given.person
        visitor = signed_in(app, standing.world, person.personal_id, citizen_id=person.citizen_id)
        path = f"/citizen/consents/{given.consent_id}"
        form = visitor.form(path, path)
        answer = visitor.post(form.action, {**form.fields, "choice": "withdraw"})
        assert answer.status_code == 303, answer.text
        assert standing.consents.consent(given).state == "withdrawn"
        standing.log.order()
        reader = standing.bank()
        refused = reader.caller.post_form(
            "token_endpoint", {"grant_type": "refresh_token", "refresh_token": given.refresh_token}
        )
        assert (refused.status, refused.json()["error"]) == (400, "invalid_grant")
        reader.caller.close()

    def test_the_history_is_read_and_holds_what_was_refused(self, standing: Place, app: Flask) -> None:
        given = standing.consents.give()
        check_stopped(standing, given)
        person = given.person
        visitor = signed_in(app, standing.world, person.personal_id, citizen_id=person.citizen_id)
        page = visitor.page(HISTORY)
        assert "lúc đó nhật ký bằng chứng đang dừng, nên không chia sẻ" in page.words
        history = PostgresHistory(standing.world.engine, standing.world.openings)
        ref = standing.world.pseudonyms.data_subject_ref(person.person_key)
        found = history.find_entries([ref], HistoryFilter(), date.max)
        assert [one.reason for one in found] == ["log_stopped"]

    def test_the_own_record_is_shown_and_the_look_says_that_the_log_stood(
        self, standing: Place, app: Flask
    ) -> None:
        person = standing.consents.person()
        visitor = signed_in(app, standing.world, person.personal_id, citizen_id=person.citizen_id)
        shown = visitor.post(RECORD, visitor.form(RECORD, RECORD).fields)
        assert shown.status_code == 200
        assert person.personal_id in shown.text
        history = PostgresHistory(standing.world.engine, standing.world.openings)
        ref = standing.world.pseudonyms.data_subject_ref(person.person_key)
        [entry] = history.find_entries([ref], HistoryFilter(), date.max)
        assert standing.rules(entry.reference)[-1] == LOG_STOPPED_RULE
        assert entry.in_emergency
        stood = "Lúc đó nhật ký đang dừng; mục này vẫn được ghi ngay và vào nhật ký sau"
        assert stood in visitor.page(HISTORY).words
        standing.log.order()
        again = visitor.post(RECORD, visitor.form(RECORD, RECORD).fields)
        assert again.status_code == 200
        newest, _ = history.find_entries([ref], HistoryFilter(), date.max)
        assert not newest.in_emergency
        assert visitor.page(HISTORY).words.count(stood) == 1


def test_where_it_is_not_required_nothing_is_asked_of_the_log(standing: Place, server: Server) -> None:
    """The shared server of the tests is such a one, as first steps are."""
    bank = standing.consents.bank
    caller = Caller(server.issuer, bank.client_id, bank.key, "share_record")
    reader = Reader(caller)
    answer = reader.read(reader.token(standing.consents.give()))
    assert answer.status == 200, answer.body
    assert LOG_STOPPED_RULE not in standing.rules(answer.json()["evidence_reference"])
    assert server.get("/readyz").json()["releases"] == "log_not_required"
    caller.close()
