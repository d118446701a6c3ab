"""The evidence door on real PostgreSQL: exact limits, proofs used once, all or nothing, entries that open."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from sqlalchemy import text

from broker.actions.limits import counter_steps
from broker.app import new_reference, new_salt
from broker.errors import EvidenceUnavailable
from broker.evidence.canonical import canonical_bytes, commitment
from broker.evidence.entry import Circumstances, Outcome, check_entry, entry_bytes
from broker.evidence.recording import AccessContext, EvidenceRow, Judgement, ReleaseRecord
from broker.storage.ledger import PostgresLedger
from broker.storage.session import open_store
from connectors.postgres import PreparedStatement
from policies.model import Decision, Limit, LimitScope
from tests.doors import Server, at_once, post
from tests.release_world import AGREEMENT, BATCH, CHECKS, Hospital, World, numbers_in

_numbers = itertools.count()


class Desk:
    """A hospital at the evidence door: makes records that would be accepted, and variations of them."""

    def __init__(self, world: World, hospital: Hospital) -> None:
        self.world = world
        self.hospital = hospital
        self.token_hash = hashlib.sha256(hospital.client_id.encode()).digest()
        with world.engine.connect() as connection:
            self.revision = connection.execute(
                text("SELECT revision_hash FROM agreements WHERE agreement_id = :id"), {"id": AGREEMENT}
            ).scalar_one()
        world.execute(
            "INSERT INTO access_tokens (token_hash, client_id, scope, issued_at, expires_at)"
            " VALUES (:hash, :client, 'verify_entitlement', now(), now() + interval '300 s')",
            hash=self.token_hash,
            client=hospital.client_id,
        )

    def record(
        self,
        *,
        limits: dict[LimitScope, int] | None = None,
        persons: Sequence[str | None] = ("person-1",),
        proof: bytes | None = None,
    ) -> ReleaseRecord:
        at = datetime.now(UTC)
        staff_ref = self.world.pseudonyms.staff_ref(
            self.hospital.organisation_id, self.hospital.staff[0].personal_id
        )
        decision = Decision(
            True,
            "permitted",
            (),
            agreement_id=AGREEMENT,
            revision_hash=self.revision,
            limits=tuple(Limit(scope, count) for scope, count in (limits or {}).items()),
        )
        context = AccessContext(
            client_id=self.hospital.client_id,
            scopes=frozenset({"verify_entitlement"}),
            token_hash=self.token_hash,
            proof_hash=proof or hashlib.sha256(b"proof-%d" % next(_numbers)).digest(),
            proof_issued_at_seconds=int(at.timestamp()) if proof is None else 1_795_000_000,
            at=at,
            reference=new_reference(),
            request_id=new_reference(),
        )
        rows = [self.row(new_reference(), person) for person in persons]
        steps = counter_steps(
            decision.limits,
            now_seconds=int(at.timestamp()),
            agreement_id=self.hospital.client_id,  # counters of this desk alone
            client_id=self.hospital.client_id,
            staff_ref=staff_ref,
            data_subject_refs=[row.data_subject_ref for row in rows],
        )
        with self.world.engine.connect() as connection:
            name_key = connection.execute(
                text("SELECT name_key FROM facility_staff WHERE staff_ref = :ref"), {"ref": staff_ref}
            ).scalar_one()
        return ReleaseRecord(context, decision, staff_ref, name_key, steps, rows)

    def row(self, reference: str, person: str | None) -> EvidenceRow:
        circumstances = Circumstances(
            reference, new_reference(), datetime.now(UTC), self.hospital.client_id, "r", None, None,
            "verify_entitlement", "", "", AGREEMENT, self.revision,
        )  # fmt: skip
        return EvidenceRow(
            reference=reference,
            kind="release",
            entry=entry_bytes(circumstances, Outcome("release", "released", "")),
            data_subject_ref=None if person is None else self.world.pseudonyms.data_subject_ref(person),
            data_subject_salt=new_salt(),
            payload_salt=new_salt(),
        )

    def state(self) -> tuple[int, int, int, int]:
        """Return how many entries, annexes, proofs and counted uses the store holds."""
        world = self.world
        with world.engine.connect() as connection:
            uses = connection.exec_driver_sql("SELECT coalesce(sum(used_count), 0) FROM usage_counters")
            return (
                world.count("evidence_entries"),
                world.count("evidence_annex"),
                world.count("used_proofs"),
                int(uses.scalar_one()),
            )


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world, world.register_hospital(staff=1))


@pytest.fixture(scope="module")
def ledger(world: World) -> Iterator[PostgresLedger]:
    store = open_store(world.settings.database_url, deadline_seconds=5.0, pool_size=2)
    yield PostgresLedger(store.prepared, deadline_seconds=5.0, clock_skew_seconds=5.0)
    store.close()


def added(desk: Desk, before: tuple[int, int, int, int]) -> tuple[int, ...]:
    return tuple(now - then for now, then in zip(desk.state(), before, strict=True))


class TestLimits:
    @pytest.mark.parametrize("scope", ["client_day", "acting_person_hour", "data_subject_day"])
    def test_sixteen_at_once_are_counted_exactly(
        self, desk: Desk, ledger: PostgresLedger, scope: LimitScope
    ) -> None:
        before = desk.state()
        records = [desk.record(limits={scope: 10}) for _ in range(16)]
        judgements = at_once(ledger.record_release, records)
        assert Counter(judgements) == {
            Judgement("recorded"): 10,
            Judgement("limit_reached", (scope,)): 6,
        }
        assert added(desk, before) == (10, 10, 10, 10), (
            "who was refused has burned, counted and entered nothing"
        )

    def test_the_tightest_of_three_limits_decides_and_the_others_count_what_was_recorded(
        self, desk: Desk, ledger: PostgresLedger
    ) -> None:
        before = desk.state()
        limits: dict[LimitScope, int] = {"client_day": 9, "acting_person_hour": 5, "data_subject_day": 7}
        judgements = at_once(ledger.record_release, [desk.record(limits=limits) for _ in range(16)])
        assert Counter(one.verdict for one in judgements) == {"recorded": 5, "limit_reached": 11}
        assert {one.limits_reached for one in judgements} == {(), ("acting_person_hour",)}
        assert added(desk, before) == (5, 5, 5, 15)

    def test_every_full_limit_is_named(self, desk: Desk, ledger: PostgresLedger) -> None:
        limits: dict[LimitScope, int] = {"client_day": 1, "data_subject_day": 1}
        assert ledger.record_release(desk.record(limits=limits)).verdict == "recorded"
        full = ledger.record_release(desk.record(limits=limits))
        assert full == Judgement("limit_reached", ("client_day", "data_subject_day"))

    def test_a_batch_that_does_not_fit_is_refused_whole_and_a_smaller_one_still_fits(
        self, desk: Desk, ledger: PostgresLedger
    ) -> None:
        limits: dict[LimitScope, int] = {"client_day": 5}
        before = desk.state()
        persons = [f"person-{at}" for at in range(6)]
        assert ledger.record_release(desk.record(limits=limits, persons=persons)).verdict == "limit_reached"
        assert added(desk, before) == (0, 0, 0, 0)
        assert ledger.record_release(desk.record(limits=limits, persons=persons[:5])).verdict == "recorded"
        assert added(desk, before) == (5, 5, 1, 5)

    def test_a_limit_that_was_lowered_holds_at_once(self, desk: Desk, ledger: PostgresLedger) -> None:
        for _ in range(3):
            ledger.record_release(desk.record(limits={"client_day": 5}))
        assert ledger.record_release(desk.record(limits={"client_day": 2})).verdict == "limit_reached"
        assert ledger.record_release(desk.record(limits={"client_day": 5})).verdict == "recorded"

    def test_nobody_found_counts_for_client_and_staff_only(self, desk: Desk, ledger: PostgresLedger) -> None:
        limits: dict[LimitScope, int] = {"client_day": 9, "acting_person_hour": 9, "data_subject_day": 1}
        before = desk.state()
        for _ in range(3):
            assert ledger.record_release(desk.record(limits=limits, persons=[None])).verdict == "recorded"
        assert added(desk, before) == (3, 3, 3, 6)

    def test_batches_about_the_same_persons_in_any_order_never_wait_in_a_circle(
        self, desk: Desk, ledger: PostgresLedger
    ) -> None:
        dice = random.Random(7)
        limits: dict[LimitScope, int] = {
            "client_day": 10_000,
            "acting_person_hour": 10_000,
            "data_subject_day": 1_000,
        }
        persons = [f"person-{at}" for at in range(8)]
        orders = [dice.sample(persons, dice.choice((1, 8))) for _ in range(48)]
        records = [desk.record(limits=limits, persons=order) for order in orders]
        before = desk.state()

        def one_after_another(mine: Sequence[ReleaseRecord]) -> list[str]:
            return [ledger.record_release(record).verdict for record in mine]

        verdicts = at_once(one_after_another, [records[at::8] for at in range(8)])
        assert set(itertools.chain(*verdicts)) == {"recorded"}
        count = sum(map(len, orders))
        assert added(desk, before) == (count, count, 48, 3 * count)


class TestAllOrNothing:
    def test_a_used_proof_undoes_everything(self, desk: Desk, ledger: PostgresLedger) -> None:
        proof = hashlib.sha256(desk.token_hash).digest()
        limits: dict[LimitScope, int] = {"client_day": 100}
        before = desk.state()
        records = [desk.record(limits=limits, proof=proof) for _ in range(16)]
        judgements = at_once(ledger.record_release, records)
        assert Counter(one.verdict for one in judgements) == {"recorded": 1, "proof_replayed": 15}
        assert added(desk, before) == (1, 1, 1, 1)

    def test_a_refusal_uses_the_proof_up_as_well(self, desk: Desk, ledger: PostgresLedger) -> None:
        proof = hashlib.sha256(b"refused" + desk.token_hash).digest()
        record = desk.record(proof=proof)
        refusal = replace(desk.row(new_reference(), None), kind="refusal")
        assert ledger.record_refusal(record.context, refusal) is True
        assert ledger.record_refusal(record.context, replace(refusal, reference=new_reference())) is False
        assert ledger.record_release(record).verdict == "proof_replayed"

    def test_a_reference_is_taken_once(self, desk: Desk, ledger: PostgresLedger) -> None:
        record = desk.record()
        assert ledger.record_release(record).verdict == "recorded"
        before = desk.state()
        limits: dict[LimitScope, int] = {"client_day": 9, "data_subject_day": 9}
        for rows in (record.rows, [desk.row(new_reference(), "b"), *record.rows]):
            with pytest.raises(EvidenceUnavailable, match="23505"):
                ledger.record_release(replace(desk.record(limits=limits), rows=rows))
        assert added(desk, before) == (0, 0, 0, 0), "no proof burned, nothing counted, no other row entered"

    @pytest.mark.parametrize(
        ("verdict", "vary"),
        [
            ("client_not_active", lambda r: replace(r, context=replace(r.context, client_id="nobody"))),
            ("token_not_active", lambda r: replace(r, context=replace(r.context, token_hash=b"x" * 32))),
            (
                "agreement_not_active",
                lambda r: replace(r, decision=replace(r.decision, revision_hash="0" * 64)),
            ),
            (
                "agreement_not_active",
                lambda r: replace(r, decision=replace(r.decision, agreement_id="bank_income_proof")),
            ),
            ("acting_person_unknown", lambda r: replace(r, staff_ref=b"y" * 32)),
            ("acting_person_mismatch", lambda r: replace(r, staff_name_key="somebody else")),
            ("acting_person_mismatch", lambda r: replace(r, staff_name_key=None)),
            (
                "clock_skewed",
                lambda r: replace(r, context=replace(r.context, at=datetime(2026, 1, 2, tzinfo=UTC))),
            ),
        ],
    )
    def test_each_fact_is_judged_by_the_statement_itself(
        self, desk: Desk, ledger: PostgresLedger, verdict: str, vary: Callable[[Any], Any]
    ) -> None:
        before = desk.state()
        limits: dict[LimitScope, int] = {"client_day": 9, "acting_person_hour": 9, "data_subject_day": 9}
        for persons in (["a"], ["a", "b"]):
            record = vary(desk.record(limits=limits, persons=persons))
            assert ledger.record_release(record) == Judgement(verdict)  # type: ignore[arg-type]
        assert added(desk, before) == (0, 0, 0, 0)

    def test_every_connection_that_records_waits_for_the_disk(self, world: World) -> None:
        for setting, value in (("synchronous_commit", b"on"), ("fsync", b"on"), ("full_page_writes", b"on")):
            shown = PreparedStatement(f"show_{setting}", f"SELECT current_setting('{setting}')")
            assert world.store.prepared.execute(shown, (), 2.0) == [(value,)]


class TestThroughTheServer:
    """Two processes, sixteen connections: the database counts, not the processes."""

    @contextmanager
    def sixteen(self, server: Server, hospitals: Sequence[Hospital]) -> Iterator[list[Any]]:
        callers = [server.caller(hospitals[at % len(hospitals)]) for at in range(16)]
        at_once(lambda caller: caller.token(), callers)
        yield callers
        for caller in callers:
            caller.close()

    @pytest.mark.parametrize("agreement", ["hospital_ten_a_day", "hospital_ten_an_hour"])
    def test_ten_of_sixteen_checks_are_answered(self, server: Server, world: World, agreement: str) -> None:
        hospital = world.register_hospital(agreements=(agreement,), staff=1)
        documents = [world.document(hospital=hospital) for _ in range(16)]
        with self.sixteen(server, [hospital]) as callers:
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

    def test_a_person_is_asked_about_twenty_times_a_day_whoever_asks(
        self, server: Server, world: World
    ) -> None:
        person = world.of_case("valid_card_15")
        hospitals = [world.register_hospital(staff=1) for _ in range(4)]
        with self.sixteen(server, hospitals) as callers:

            def ask(at: int) -> int:
                mine = hospitals[at % 4]
                return sum(post(callers[at], world.document(person, mine)).status == 200 for _ in range(2))

            counted = world.count("evidence_annex", "data_subject_ref = :ref", ref=self.ref(world, person))
            answered = sum(at_once(ask, range(16)))
        released = [len(world.entries_of(hospital)) for hospital in hospitals]
        assert sum(released) == answered <= 20
        assert world.count("usage_counters", "used_count = 20 AND limit_count = 20") >= 1
        now = world.count("evidence_annex", "data_subject_ref = :ref", ref=self.ref(world, person))
        assert now - counted == 32, "refusals, too, stand under the person"

    @staticmethod
    def ref(world: World, person: Any) -> bytes:
        return world.pseudonyms.data_subject_ref(str(person.person_key))

    def test_one_proof_sent_sixteen_times_at_once_is_answered_once(
        self, server: Server, world: World
    ) -> None:
        hospital = world.register_hospital(staff=1)
        body = json.dumps(world.document(hospital=hospital)).encode()
        with self.sixteen(server, [hospital]) as callers:
            token = callers[0].token()
            proof = callers[0].proof("POST", server.issuer + CHECKS, token)
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
            check_entry(entry)
            assert rfc8785.dumps(entry) == content
            told = content.decode()
            assert told.isascii(), "an entry holds codes only"
            assert numbers_in(told).isdisjoint(world.identifiers)
            assert not any(name in told for name in plain_names)
