"""The evidence door on real PostgreSQL: exact limits, proofs used once, all or nothing, entries that open."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from broker.actions.limits import counter_steps
from broker.app import new_reference, new_salt
from broker.errors import EvidenceUnavailable
from broker.evidence.entry import Circumstances, Outcome, entry_bytes
from broker.evidence.person_keys import key_year
from broker.evidence.recording import AccessContext, EvidenceRow, Judgement, ReleaseRecord
from broker.storage.ledger import PostgresLedger
from broker.storage.session import open_store
from connectors.postgres import PreparedStatement
from policies.model import Decision, Limit, LimitScope
from tests.doors import at_once
from tests.release_world import AGREEMENT, Hospital, World

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
            year=key_year(circumstances.at),
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
                world.count("evidence_openings"),
                world.count("used_proofs"),
                int(uses.scalar_one()),
            )


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world, world.register_hospital(staff=1))


@pytest.fixture(scope="module")
def ledger(world: World) -> Iterator[PostgresLedger]:
    store = open_store(world.settings.database_url, deadline_seconds=5.0, pool_size=2)
    yield PostgresLedger(
        store.prepared, world.openings, deadline_seconds=5.0, clock_skew_seconds=5.0, needs_log=False
    )
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
