"""broker evidence replay: real entries of real releases and refusals are decided again from what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import broker.cli.evidence_replay
from broker.app import new_reference
from broker.cli import main
from broker.cli.operator import operator_acting
from broker.cli.session import Session
from broker.consent.codec import instant_text
from broker.errors import ReleaseRefused, StoreUnavailable
from broker.evidence.canonical import canonical_bytes, commitment
from broker.evidence.history import HistoryFilter
from broker.evidence.kinds import check_any
from broker.storage.history import PostgresHistory
from tests.acting import entries, last_reference, told, without_entries
from tests.consent_world import ConsentWorld, Given, Reader, reader_of
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import InProcessCaller, post
from tests.reading_pages import Pages, asked, reading_pages
from tests.release_world import BATCH, World

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def consents(world: World, insurance: InsuranceDatabase) -> ConsentWorld:
    return ConsentWorld(world, insurance)


@pytest.fixture(scope="module")
def pages(consents: ConsentWorld) -> Iterator[Pages]:
    with reading_pages(consents) as pages:
        yield pages


@pytest.fixture
def reader(app: Flask, consents: ConsentWorld) -> Reader:
    return reader_of(app, consents.world.settings.issuer, consents.bank)


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    @contextmanager
    def open_session() -> Iterator[Session]:
        yield Session(world.settings, world.store)

    monkeypatch.setattr(broker.cli.evidence_replay, "open_session", open_session)

    def command(*arguments: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(main, ["evidence", *arguments])
        assert result.exit_code == expect, (result.output, result.exception)
        return result

    return command


def replayed(run: Run, reference: str, expect: int = 0) -> dict[str, Any]:
    return dict(json.loads(run("replay", reference, "--json", expect=expect).stdout))


def changed(world: World, reference: str, **members: Any) -> str:
    """Put the same entry with other members into the log; return its reference."""
    entry = {**world.evidence(reference).entry, **members, "reference": new_reference()}
    world.execute(
        "INSERT INTO evidence_entries (reference, kind, entry) VALUES (CAST(:ref AS uuid), :kind, :entry)",
        ref=entry["reference"],
        kind=entry["kind"],
        entry=canonical_bytes(entry),
    )
    return str(entry["reference"])


def checked(local: InProcessCaller, world: World, **changes: Any) -> str:
    answer = post(local, world.document(**changes))
    return str(answer.json()["evidence_reference"])


class TestChecks:
    def test_a_release_is_the_decision_of_then(self, local: InProcessCaller, world: World, run: Run) -> None:
        reference = checked(local, world)
        found = replayed(run, reference)
        assert found["result"] == "same"
        assert found["differences"] == []
        assert found["replayed"] == found["recorded"]
        assert found["recorded"]["released"] == world.evidence(reference).entry["released"]
        told = "\n".join(found["not_replayed"])
        assert "the values compared at matching (birth_date, full_name)" in told
        assert "by which number the person was looked up (the entry fits: " in told
        assert "the list of registered staff of then" in told
        assert "the counters of the agreement's limits" in told

    def test_people_read_the_decision_and_what_was_not_replayed(
        self, local: InProcessCaller, world: World, run: Run
    ) -> None:
        reference = checked(local, world)
        lines = run("replay", reference).stdout.splitlines()
        assert lines[0].startswith(f"{reference}  verify_entitlement  2")
        assert lines[1] == "result: same"
        assert any(line.startswith("  determining_rules   hospital_entitlement_check/") for line in lines)
        notes = [line for line in lines if line.startswith("not replayed: ")]
        assert notes == lines[lines.index("") + 1 :]

    def test_a_mismatch_and_a_stranger_are_decisions_too(
        self, local: InProcessCaller, world: World, run: Run
    ) -> None:
        for changes in ({"full_name": "Người Khác Hẳn"}, {"card_number": "9999999999"}):
            reference = checked(local, world, **changes)
            assert world.evidence(reference).entry["result"] == "answered_without_data"
            assert replayed(run, reference)["result"] == "same"

    def test_every_entry_of_a_batch_is_replayed_alone(
        self, local: InProcessCaller, world: World, run: Run
    ) -> None:
        items = [world.document(acting_person=...) for _ in range(2)]
        staff = world.hospital.staff[0].as_document()
        answer = post(local, {"acting_person": staff, "items": items}, BATCH)
        assert answer.status == 200, answer.body
        for item in answer.json()["items"]:
            assert replayed(run, item["evidence_reference"])["result"] == "same"

    def test_a_refusal_after_the_decision_names_its_reason_as_not_replayed(
        self, local: InProcessCaller, world: World, run: Run
    ) -> None:
        stranger = {"full_name": "Lê Văn Khác", "personal_id": "001090888888"}
        answer = post(local, world.document(acting_person=stranger))
        assert answer.status == 403, answer.body
        found = replayed(run, answer.json()["instance"].removeprefix("urn:uuid:"))
        assert (found["result"], found["recorded"]["reason"]) == ("same", "acting_person_unknown")
        assert any("acting_person_unknown: it came after" in note for note in found["not_replayed"])

    @pytest.mark.parametrize(
        ("members", "member"),
        [
            ({"released": [["hi_card", "value"], ["phone", "value"]]}, "released"),
            ({"reason": "agreement_expired"}, "reason"),
            ({"legal_basis": "CONSENT"}, "legal_basis"),
            ({"determining_rules": ["hospital_entitlement_check/other"]}, "determining_rules"),
            ({"at": "2040-01-01T00:00:00.000Z"}, "reason"),
        ],
    )
    def test_an_entry_that_was_changed_differs_and_both_sides_are_shown(
        self, local: InProcessCaller, world: World, run: Run, members: dict[str, Any], member: str
    ) -> None:
        reference = changed(world, checked(local, world), **members)
        found = replayed(run, reference, expect=1)
        assert found["result"] == "differs"
        [shown] = [one for one in found["differences"] if one["member"] == member]
        assert shown["recorded"] != shown["replayed"]
        told = run("replay", reference, expect=1).stdout
        assert "result: differs" in told
        assert f"\n{member}\n  recorded  " in told

    def test_an_entry_of_another_agreements_revision_differs(
        self, local: InProcessCaller, world: World, run: Run
    ) -> None:
        with world.engine.connect() as connection:
            other = connection.exec_driver_sql(
                "SELECT revision_hash FROM agreements WHERE agreement_id = 'bank_income_proof'"
            ).scalar_one()
        reference = changed(world, checked(local, world), agreement_revision=other)
        assert replayed(run, reference, expect=1)["result"] == "differs"


class TestConsentedReleases:
    def read(self, reader: Reader, given: Given) -> tuple[int, str]:
        answer = reader.read(reader.token(given))
        told = answer.json()
        reference = str(told.get("evidence_reference") or told["instance"])
        return answer.status, reference.removeprefix("urn:uuid:")

    def test_a_release_rests_on_the_version_of_the_consent(
        self, consents: ConsentWorld, reader: Reader, run: Run
    ) -> None:
        given = consents.give(given=("salary_base", "si_status"))
        status, reference = self.read(reader, given)
        assert status == 200
        found = replayed(run, reference)
        assert found["result"] == "same"
        assert any("how often the consent had been used" in note for note in found["not_replayed"])

    def test_it_is_the_same_after_the_consent_was_paused_and_withdrawn(
        self, consents: ConsentWorld, reader: Reader, run: Run
    ) -> None:
        given = consents.give()
        _, reference = self.read(reader, given)
        consents.pause(given)
        status, refused = self.read(reader, given)
        assert status == 403
        consents.withdraw(given)
        found = replayed(run, reference)
        assert found["result"] == "same"
        assert not any("days" in note for note in found["not_replayed"])
        paused = replayed(run, refused)
        assert (paused["result"], paused["recorded"]["reason"]) == ("same", "not_active_paused")

    def test_a_release_said_to_rest_on_a_version_that_was_paused_differs(
        self, consents: ConsentWorld, reader: Reader, run: Run
    ) -> None:
        given = consents.give()
        _, reference = self.read(reader, given)
        paused = consents.pause(given)
        found = replayed(run, changed(consents.world, reference, consent_version=paused.version), expect=1)
        assert found["replayed"]["reason"] == "not_active_paused"

    def test_a_field_that_was_not_given_differs(
        self, consents: ConsentWorld, reader: Reader, run: Run
    ) -> None:
        given = consents.give(given=("si_status",))
        _, reference = self.read(reader, given)
        entry = consents.world.evidence(reference).entry
        more = [*entry["released"], ["salary_base", "amount_band"]]
        found = replayed(run, changed(consents.world, reference, released=more), expect=1)
        assert "released" in {one["member"] for one in found["differences"]}

    def test_what_time_had_done_is_known_also_after_it_was_decided_anew(
        self, consents: ConsentWorld, reader: Reader, run: Run
    ) -> None:
        """A birthday makes a confirmation due; once confirmed, only the events know that it was."""
        due_at = datetime.now(UTC)
        given = consents.give(
            at=due_at - timedelta(days=2),
            changes={"refresh_due_at": due_at, "refresh_roles": ("data_subject",)},
        )
        status, refused = self.read(reader, given)
        assert status == 403
        assert replayed(run, refused)["recorded"]["reason"] == "not_active_refresh_due"
        consents.confirm(given)
        status, released = self.read(reader, given)
        assert status == 200
        for reference in (refused, released):
            assert replayed(run, reference)["result"] == "same"
        told = replayed(run, refused)["recorded"]
        assert told["reason"] == "not_active_refresh_due"

    def test_days_of_a_version_that_was_decided_anew_are_named_as_not_replayed(
        self, consents: ConsentWorld, reader: Reader, run: Run
    ) -> None:
        due_at = datetime.now(UTC) + timedelta(days=2)
        given = consents.give(changes={"refresh_due_at": due_at, "refresh_roles": ("data_subject",)})
        status, released = self.read(reader, given)
        assert status == 200
        consents.world.execute(
            "UPDATE consents SET refresh_due_at = now(),"
            " record = jsonb_set(record, '{refresh_due_at}', CAST(:now AS jsonb)) WHERE consent_id = :id",
            now=json.dumps(instant_text(datetime.now(UTC))),
            id=given.consent_id,
        )
        consents.confirm(given)
        found = replayed(run, released)
        assert found["result"] == "same"
        assert any("the days for which the consent was given" in note for note in found["not_replayed"])

    def test_events_or_a_row_that_were_changed_are_not_decided_with(
        self, consents: ConsentWorld, reader: Reader, run: Run
    ) -> None:
        given = consents.give()
        _, reference = self.read(reader, given)
        kept = given.consent.valid_to_at
        assert kept is not None
        until(consents, given, kept + timedelta(days=1))
        assert "not what its evidence says" in replayed(run, reference, expect=2)["reason"]
        until(consents, given, kept)
        assert replayed(run, reference)["result"] == "same"
        consents.pause(given)
        kind = "UPDATE consent_events SET type = :type WHERE consent_id = :id AND number = 1"
        consents.world.execute(kind, type="viewed", id=given.consent_id)
        assert "events are not as they were written" in replayed(run, reference, expect=2)["reason"]
        consents.world.execute(kind, type="requested", id=given.consent_id)
        assert replayed(run, reference)["result"] == "same"

    def test_a_version_whose_evidence_is_not_there_cannot_be_replayed(
        self, consents: ConsentWorld, reader: Reader, run: Run
    ) -> None:
        _, reference = self.read(reader, consents.give())
        unknown = changed(consents.world, reference, consent_version=77)
        found = replayed(run, unknown, expect=2)
        assert found["result"] == "not_replayable"
        assert found["reason"] == "the evidence of that version of the consent is not there, or was erased"


def until(consents: ConsentWorld, given: Given, day: datetime) -> None:
    """Let a consent's row say another end, as nobody but the owner can."""
    consents.world.execute(
        "UPDATE consents SET record = jsonb_set(record, '{valid_to_at}', CAST(:day AS jsonb))"
        " WHERE consent_id = :id",
        day=json.dumps(instant_text(day)),
        id=given.consent_id,
    )


class TestReplayingIsEvidenceItself:
    def test_who_asks_for_a_decision_again_is_recorded_and_the_entry_named(
        self, local: InProcessCaller, world: World, run: Run
    ) -> None:
        reference, begun = checked(local, world), last_reference(world.engine)
        replayed(run, reference)
        [look] = entries(world.engine, "log_read", begun)
        check_any(look)
        names = ("reader", "what", "legal_basis", "entry", "data_subject_commit", "period_begin")
        assert told(look, *names) == ("auditor", "decision", "L19_1_c", reference, None, "")
        assert look["acting_person"] == operator_acting(world.settings).acting_person

    def test_of_a_consent_it_stands_in_the_history_of_whose_it_is(
        self, consents: ConsentWorld, reader: Reader, run: Run
    ) -> None:
        world, given = consents.world, consents.give()
        reference = str(reader.read(reader.token(given)).json()["evidence_reference"])
        begun = last_reference(world.engine)
        replayed(run, reference)
        [look] = entries(world.engine, "log_read", begun)
        name = f"citizen:{given.consent.citizen_id}"
        opened = world.openings.find_opening([world.pseudonyms.data_subject_ref(name)], look["reference"])
        assert opened is not None
        assert commitment(opened.data_subject_salt or b"", name.encode()) == look["data_subject_commit"]
        history = PostgresHistory(world.engine, world.openings)
        [shown, *_] = history.find_entries(
            [world.pseudonyms.data_subject_ref(name)], HistoryFilter(is_everything=True), date.max
        )
        assert (shown.reference, shown.kind, shown.event) == (
            look["reference"],
            "log_read",
            "auditor_decision",
        )

    @pytest.mark.usefixtures("run")
    def test_nothing_of_an_entry_is_told_where_the_look_cannot_be_recorded(
        self, local: InProcessCaller, world: World
    ) -> None:
        reference = checked(local, world)
        with without_entries(world.owner):
            refused = CliRunner().invoke(main, ["evidence", "replay", reference])
        assert isinstance(refused.exception, DBAPIError)
        assert refused.output == ""

    def test_where_nothing_stands_nothing_was_looked_at(self, world: World, run: Run) -> None:
        begun = last_reference(world.engine)
        replayed(run, new_reference(), expect=2)
        assert entries(world.engine, "log_read", begun) == []


class TestOwnRecord:
    def test_a_look_at_the_own_record_is_decided_again(self, pages: Pages, world: World, run: Run) -> None:
        record = pages.wiring.own_record().read(pages.sign_in(), datetime.now(UTC))
        assert replayed(run, record.reference)["result"] == "same"
        released = [list(one) for one in world.evidence(record.reference).entry["released"]]
        other = [[name, "present" if name == "sex" else form] for name, form in released]
        found = replayed(run, changed(world, record.reference, released=other), expect=1)
        assert [one["member"] for one in found["differences"]] == ["released"]

    def test_a_look_at_level_1_was_refused_before_anything_was_looked_at(
        self, pages: Pages, run: Run
    ) -> None:
        with pytest.raises(ReleaseRefused) as refusal:
            pages.wiring.own_record().read(pages.sign_in(level=1), datetime.now(UTC))
        assert replayed(run, refusal.value.reference)["recorded"]["reason"] == "level_too_low"

    def test_a_preview_is_a_look_in_forms_of_another_agreement_and_says_so(
        self, pages: Pages, world: World, run: Run
    ) -> None:
        reader = pages.sign_in()
        assert pages.wiring.preview().preview(reader, asked(pages), datetime.now(UTC)) is not None
        found = replayed(run, latest(world, "extract_own_record"))
        assert found["result"] == "same"
        [note] = [one for one in found["not_replayed"] if one.startswith("the forms of another agreement")]
        assert "salary_base" in note

    def test_a_parents_look_at_a_childs_record_is_under_its_own_agreement(
        self, pages: Pages, world: World, run: Run
    ) -> None:
        child = pages.consents.person()
        reader = replace(pages.sign_in(), child_id=child.citizen_id, personal_id=child.personal_id)
        assert pages.wiring.preview().preview(reader, asked(pages), datetime.now(UTC)) is not None
        reference = latest(world, "extract_own_record")
        assert world.evidence(reference).entry["recipient"] == "representative"
        assert replayed(run, reference)["result"] == "same"
        own = changed(world, reference, recipient="data_subject")
        found = replayed(run, own, expect=1)
        assert found["replayed"]["reason"] == "data_subject_not_in_scope"


def latest(world: World, action: str) -> str:
    statement = text(
        "SELECT reference::text FROM evidence_entries"
        " WHERE convert_from(entry, 'UTF8')::json ->> 'action' = :action ORDER BY reference DESC LIMIT 1"
    )
    with world.engine.connect() as connection:
        return str(connection.execute(statement, {"action": action}).scalar_one())


class TestWhatCannotBeReplayed:
    @pytest.mark.parametrize(
        ("members", "reason"),
        [
            ({"agreement_revision": "0" * 64}, "was never published here"),
            ({"agreement": "", "reason": "no_agreement"}, "refused before any agreement was found"),
            ({"action": "dance"}, "this program knows no action dance"),
            ({"at": "2020-01-01T00:00:00.000Z"}, "were not kept"),
        ],
    )
    def test_the_reason_is_told(
        self, local: InProcessCaller, world: World, run: Run, members: dict[str, Any], reason: str
    ) -> None:
        reference = changed(world, checked(local, world), **members)
        assert reason in replayed(run, reference, expect=2)["reason"]
        assert reason in run("replay", reference, expect=2).stderr

    def test_an_event_of_a_consent_is_no_decision(self, consents: ConsentWorld, run: Run) -> None:
        given = consents.give()
        with consents.world.engine.connect() as connection:
            statement = text(
                "SELECT reference::text FROM evidence_entries WHERE kind = 'consent'"
                " AND convert_from(entry, 'UTF8')::json ->> 'consent' = :consent"
            )
            reference = connection.execute(statement, {"consent": given.consent_id}).scalar_one()
        assert "an entry of kind consent" in replayed(run, reference, expect=2)["reason"]

    @pytest.mark.parametrize(
        ("content", "reason"), [(b"\xff{", "is no JSON"), (b"[]", "is no entry"), (b"{}", "of kind None")]
    )
    def test_bytes_that_are_no_entry(self, world: World, run: Run, content: bytes, reason: str) -> None:
        reference = new_reference()
        world.execute(
            "INSERT INTO evidence_entries (reference, kind, entry) VALUES (CAST(:ref AS uuid), 'x', :entry)",
            ref=reference,
            entry=content,
        )
        try:
            assert reason in replayed(run, reference, expect=2)["reason"]
        finally:
            # Others read the whole log.
            statement = "DELETE FROM evidence_entries WHERE reference = CAST(:ref AS uuid)"
            world.execute(statement, ref=reference)

    def test_a_reference_that_nothing_stands_under(self, run: Run) -> None:
        assert replayed(run, new_reference(), expect=2)["reason"] == "there is no entry under this reference"
        run("replay", "no-uuid", expect=2)

    def test_a_store_that_does_not_answer(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def closed() -> None:
            raise StoreUnavailable("the store does not answer: OperationalError")

        monkeypatch.setattr(broker.cli.evidence_replay, "open_session", closed)
        assert "store_unavailable" in run("replay", new_reference(), expect=2).stderr


def test_the_instant_of_these_tests_is_one_for_which_registers_are_kept(world: World) -> None:
    assert world.count("agreement_registers", "published_at <= :at", at=datetime.now(UTC)) > 0
