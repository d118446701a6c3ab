"""Evidence behind a real server: limits and proofs over two processes, and entries as the store has them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import rfc8785

from broker.actions.limits import counter_ref
from broker.evidence.canonical import canonical_bytes, commitment
from broker.evidence.kinds import parse_entry
from tests.doors import Server, at_once, post
from tests.log_reader import all_faults
from tests.release_world import AGREEMENT, BATCH, CHECKS, Hospital, World, numbers_in


@pytest.fixture(scope="module")
def patient(
    world: World, release_environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose store has longer: sixteen who count at the same row wait for each other."""
    longer = {"BROKER_STORE_DEADLINE_SECONDS": "1.9", "BROKER_SOURCE_DEADLINE_SECONDS": "1.0"}
    server = Server(release_environ, tmp_path_factory.mktemp("patient"), longer)
    try:
        yield server
    finally:
        server.stop()
    assert all_faults(server.log, world) == []


@pytest.fixture
def within_an_hour() -> None:
    """Wait for the next hour, and day, where this one is about to end: limits start anew with it."""
    left = 3600 - time.time() % 3600
    if left < 30:
        time.sleep(left + 0.1)


@pytest.mark.usefixtures("within_an_hour")
class TestThroughTheServer:
    """Two processes, sixteen connections: the database counts, not the processes."""

    @contextmanager
    def sixteen(self, server: Server, hospitals: Sequence[Hospital]) -> Iterator[list[Any]]:
        callers = [server.caller(hospitals[at % len(hospitals)]) for at in range(16)]
        try:
            at_once(lambda caller: caller.token(), callers)
            yield callers
        finally:
            for caller in callers:
                caller.close()

    @pytest.mark.parametrize("agreement", ["hospital_ten_a_day", "hospital_ten_an_hour"])
    def test_ten_of_sixteen_checks_are_answered(self, patient: Server, world: World, agreement: str) -> None:
        hospital = world.register_hospital(agreements=(agreement,), staff=1)
        documents = [world.document(hospital=hospital) for _ in range(16)]
        with self.sixteen(patient, [hospital]) as callers:
            answers = at_once(lambda at: post(callers[at], documents[at]), range(16))
        assert Counter(answer.status for answer in answers) == {200: 10, 429: 6}
        assert len(world.entries_of(hospital)) == 10
        refusals = world.entries_of(hospital, "refusal")
        assert [entry["reason"] for entry in refusals] == ["limit_reached"] * 6
        longest = 3_600 if agreement == "hospital_ten_an_hour" else 86_400
        for answer in answers:
            if answer.status == 429:
                assert 1 <= int(answer.headers["retry-after"]) <= longest
                assert answer.json()["reason"] == "limit_reached"

    def test_each_hospital_asks_about_a_person_twenty_times_a_day_and_keeps_nobody_else_out(
        self, patient: Server, world: World
    ) -> None:
        person = world.of_case("valid_card_15")
        eager, other = (world.register_hospital(staff=1) for _ in range(2))
        with self.sixteen(patient, [eager]) as callers:

            def ask(at: int) -> int:
                document = world.document(person, eager)
                return sum(post(callers[at], document).status == 200 for _ in range(2))

            counted = world.count_about(self.ref(world, person))
            answered = sum(at_once(ask, range(16)))
        assert len(world.entries_of(eager)) == answered == 20
        who = eager.client_id.encode() + b"\x1f" + self.ref(world, person)
        mine = counter_ref(b"data_subject_day", AGREEMENT.encode(), who)
        counters = "counter_ref = :ref AND used_count = 20 AND limit_count = 20"
        assert world.count("usage_counters", counters, ref=mine) == 1
        now = world.count_about(self.ref(world, person))
        assert now - counted == 32, "refusals, too, stand under the person"
        with self.sixteen(patient, [other]) as callers:
            assert post(callers[0], world.document(person, other)).status == 200

    @staticmethod
    def ref(world: World, person: Any) -> bytes:
        return world.pseudonyms.data_subject_ref(str(person.person_key))

    def test_one_proof_sent_sixteen_times_at_once_is_answered_once(
        self, patient: Server, world: World
    ) -> None:
        hospital = world.register_hospital(staff=1)
        body = json.dumps(world.document(hospital=hospital)).encode()
        with self.sixteen(patient, [hospital]) as callers:
            token = callers[0].token()
            proof = callers[0].proof("POST", patient.issuer + CHECKS, token)
            answers = at_once(
                lambda caller: caller.request("POST", CHECKS, body, proof=proof, token=token), callers
            )
        assert Counter(answer.status for answer in answers) == {200: 1, 401: 15}
        assert {answer.json().get("reason") for answer in answers} == {None, "proof_replayed"}
        assert len(world.entries_of(hospital)) == 1
        assert len(world.entries_of(hospital, "refusal")) == 15


class TestTheEntries:
    def test_commitments_open_with_the_salts_in_the_annex(self, server: Server, world: World) -> None:
        person = world.person()
        answer = post(server.caller(world.hospital), world.document(person))
        evidence = world.evidence(answer.json()["evidence_reference"])
        assert evidence.payload_salt is not None
        assert evidence.data_subject_salt is not None
        assert len({evidence.payload_salt, evidence.data_subject_salt}) == 2
        assert evidence.entry["payload_commit"] == commitment(evidence.payload_salt, answer.body)
        opaque = str(person.person_key).encode()
        assert evidence.entry["data_subject_commit"] == commitment(evidence.data_subject_salt, opaque)
        assert evidence.data_subject_ref == world.pseudonyms.data_subject_ref(str(person.person_key))

    def test_of_a_batch_every_item_is_committed_to_by_itself(self, server: Server, world: World) -> None:
        items = [world.document(acting_person=...) for _ in range(3)]
        staff = world.hospital.staff[0].as_document()
        body = post(server.caller(world.hospital), {"acting_person": staff, "items": items}, BATCH)
        salts = set()
        for item in body.json()["items"]:
            evidence = world.evidence(item["evidence_reference"])
            assert evidence.payload_salt is not None
            assert canonical_bytes(item) in body.body
            assert evidence.entry["payload_commit"] == commitment(
                evidence.payload_salt, canonical_bytes(item)
            )
            salts |= {evidence.payload_salt, evidence.data_subject_salt}
        assert len(salts) == 6

    def test_who_was_not_found_is_not_committed_to(self, server: Server, world: World) -> None:
        answer = post(server.caller(world.hospital), world.document(card_number="0000000000"))
        evidence = world.evidence(answer.json()["evidence_reference"])
        assert evidence.entry["data_subject_commit"] is None
        assert (evidence.data_subject_ref, evidence.data_subject_salt) == (None, None)
        assert (evidence.entry["result"], evidence.entry["reason"]) == ("answered_without_data", "not_found")
        assert evidence.entry["released"] == []

    def test_a_status_of_a_person_is_not_told_in_the_entry(self, server: Server, world: World) -> None:
        for case, reason in (("revoked", "status_only"), ("defence", "status_only")):
            answer = post(server.caller(world.hospital), world.document(world.cases[case][0]))
            entry = world.evidence(answer.json()["evidence_reference"]).entry
            assert (entry["result"], entry["reason"]) == ("answered_without_data", reason)
            assert case not in json.dumps(entry)

    def test_released_names_the_fields_that_left_and_the_rules_that_let_them(
        self, server: Server, world: World
    ) -> None:
        answer = post(server.caller(world.hospital), world.document()).json()
        entry = world.evidence(answer["evidence_reference"]).entry
        assert {field for field, _ in entry["released"]} == answer["card"].keys()
        assert {form for _, form in entry["released"]} == {"value"}
        assert entry["determining_rules"] == [f"{AGREEMENT}/card", f"{AGREEMENT}/entitlement"]
        assert (entry["legal_basis"], entry["purpose"]) == ("L19_1_c", "check_health_insurance_entitlement")
        assert (entry["consent"], entry["consent_version"]) == (None, None)

    def test_look_ups_of_one_visit_are_grouped_without_naming_it(self, server: Server, world: World) -> None:
        caller, other = server.caller(world.hospital), server.caller(world.register_hospital(staff=1))

        def encounter(asking: Any, reference: str, **given: Any) -> str:
            answer = post(asking, world.document(encounter_reference=reference, **given))
            value: str = world.evidence(answer.json()["evidence_reference"]).entry["encounter"]
            assert reference not in value
            return value

        first, again, second = (encounter(caller, one) for one in ("KB-1", "KB-1", "KB-2"))
        assert first == again != second
        assert first.isalnum()
        elsewhere = world.document()["acting_person"]
        assert other.client_id != caller.client_id
        assert encounter(caller, "KB-1", acting_person=elsewhere) == first

    def test_every_entry_of_this_run_is_canonical_closed_and_names_no_number(self, world: World) -> None:
        with world.engine.connect() as connection:
            entries = [
                bytes(row[0]) for row in connection.exec_driver_sql("SELECT entry FROM evidence_entries")
            ]
        assert entries
        plain_names = {one for one in world.identifiers if " " in one and one.isascii()}
        for content in entries:
            entry = json.loads(content)
            assert parse_entry(content) == entry, "of a kind that the log knows, and closed"
            assert rfc8785.dumps(entry) == content
            told = content.decode()
            assert told.isascii(), "an entry holds codes only"
            assert numbers_in(told).isdisjoint(world.identifiers)
            assert not any(name in told for name in plain_names)
