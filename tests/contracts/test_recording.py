"""No row inserted, no data: whatever is no longer so at the moment of recording refuses the release.

Each test lets a hospital in first, so that token, client and agreement are known to every cache; then one
thing changes in the database, and the very next request must find out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import broker.app
from broker.cli.caller import Answer
from connectors.national_insurance.cases import SyntheticPerson
from tests.answers import problem_in, refusal_in
from tests.doors import InProcessCaller, in_process_caller, post, running_app
from tests.release_world import CHECKS, Hospital, StaffMember, World

AGREEMENT = "hospital_without_batch"
"""An agreement that no other test of this process uses meanwhile: it is changed here, and changed back."""

_ANOTHER_REVISION = "SELECT revision_hash FROM agreements a WHERE a.agreement_id = 'hospital_ten_a_day'"


@pytest.fixture
def hospital(world: World) -> Hospital:
    return world.register_hospital(agreements=(AGREEMENT,), staff=2)


@pytest.fixture
def known(app: Flask, world: World, hospital: Hospital) -> InProcessCaller:
    """The hospital's caller, after a first answer."""
    caller = in_process_caller(app, world.settings.issuer, hospital)
    assert post(caller, world.document(hospital=hospital)).status == 200
    return caller


@contextmanager
def changed(world: World, statement: str, **values: object) -> Iterator[None]:
    """Change the agreement, and give it back as it was published."""
    with world.engine.connect() as connection:
        row = connection.exec_driver_sql(
            f"SELECT * FROM agreements WHERE agreement_id = '{AGREEMENT}'"  # noqa: S608
        ).mappings()
        before = dict(row.one())
    world.execute(f"{statement} WHERE agreement_id = '{AGREEMENT}'", **values)
    try:
        yield
    finally:
        columns = ", ".join(f"{name} = :{name}" for name in before)
        world.execute(f"UPDATE agreements SET {columns} WHERE agreement_id = :agreement_id", **before)  # noqa: S608


def counted(world: World) -> list[tuple[Any, ...]]:
    with world.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT counter_ref, used_count FROM usage_counters ORDER BY 1, 2")
        return [tuple(row) for row in rows]


def assert_refused(
    world: World, caller: InProcessCaller, hospital: Hospital, slug: str, reason: str, **changes: Any
) -> Answer:
    """Ask once more: refused for this reason, on record with the person, and nothing else has happened."""
    person: SyntheticPerson = world.person()
    counters, releases = counted(world), len(world.entries_of(hospital))
    answer = post(caller, world.document(person, hospital, **changes))
    document = refusal_in(answer, slug, reason, world)
    assert "card" not in document
    evidence = world.evidence(document["instance"])
    assert evidence.data_subject_ref == world.pseudonyms.data_subject_ref(str(person.person_key))
    assert evidence.entry["agreement"] == AGREEMENT
    assert {why for _, why in evidence.entry["withheld"]} == {reason}, "what stayed is named, and why"
    assert len(world.entries_of(hospital)) == releases
    assert counted(world) == counters, "a refused request counts for nothing"
    return answer


class TestTheClient:
    def test_suspended(self, world: World, known: InProcessCaller, hospital: Hospital) -> None:
        world.clients.suspend_client(hospital.client_id, datetime.now(UTC))
        answer = assert_refused(world, known, hospital, "token-invalid", "client_not_active")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]

    def test_resumed_its_old_tokens_stay_dead(
        self, world: World, known: InProcessCaller, hospital: Hospital
    ) -> None:
        world.clients.suspend_client(hospital.client_id, datetime.now(UTC))
        world.clients.resume_client(hospital.client_id)
        assert_refused(world, known, hospital, "token-invalid", "token_not_active")
        known.forget_token()
        assert post(known, world.document(hospital=hospital)).status == 200

    def test_expired(self, world: World, known: InProcessCaller, hospital: Hospital) -> None:
        world.execute(
            "UPDATE clients SET expires_at = now() - interval '1 s' WHERE client_id = :id",
            id=hospital.client_id,
        )
        assert_refused(world, known, hospital, "token-invalid", "client_not_active")

    def test_no_longer_bound_to_the_agreement(
        self, world: World, known: InProcessCaller, hospital: Hospital
    ) -> None:
        world.execute("UPDATE clients SET agreement_ids = '{}' WHERE client_id = :id", id=hospital.client_id)
        assert_refused(world, known, hospital, "release-refused", "agreement_not_active")


class TestTheToken:
    def test_revoked(self, world: World, known: InProcessCaller, hospital: Hospital) -> None:
        world.execute(
            "UPDATE access_tokens SET revoked_at = now() WHERE client_id = :id", id=hospital.client_id
        )
        assert_refused(world, known, hospital, "token-invalid", "token_not_active")

    def test_unknown(self, world: World, known: InProcessCaller, hospital: Hospital) -> None:
        world.execute("DELETE FROM access_tokens WHERE client_id = :id", id=hospital.client_id)
        assert_refused(world, known, hospital, "token-invalid", "token_not_active")

    def test_expired_by_the_stores_clock(
        self, world: World, known: InProcessCaller, hospital: Hospital
    ) -> None:
        world.execute(
            "UPDATE access_tokens SET expires_at = now() WHERE client_id = :id", id=hospital.client_id
        )
        assert_refused(world, known, hospital, "token-invalid", "token_not_active")

    def test_issued_to_another_client(self, world: World, known: InProcessCaller, hospital: Hospital) -> None:
        world.execute(
            "UPDATE access_tokens SET client_id = :other WHERE client_id = :id",
            id=hospital.client_id,
            other=world.hospital.client_id,
        )
        assert_refused(world, known, hospital, "token-invalid", "token_not_active")


class TestTheAgreement:
    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE agreements SET status = 'suspended'",
            "UPDATE agreements SET valid_to = date '2026-01-02'",
            "UPDATE agreements SET valid_from = date '2100-01-01', valid_to = date '2101-01-01'",
            "UPDATE agreements SET review_date = date '2026-01-02'",
            f"UPDATE agreements SET revision_hash = ({_ANOTHER_REVISION})",  # noqa: S608
        ],
        ids=["suspended", "ended", "not yet begun", "review overdue", "another revision"],
    )
    def test_no_longer_in_force(
        self, world: World, known: InProcessCaller, hospital: Hospital, change: str
    ) -> None:
        with changed(world, change):
            assert_refused(world, known, hospital, "release-refused", "agreement_not_active")
        assert post(known, world.document(hospital=hospital)).status == 200


class TestTheStaffMember:
    def test_revoked(self, world: World, known: InProcessCaller, hospital: Hospital) -> None:
        member = hospital.staff[0]
        world.staff.revoke_staff(world.pseudonyms.staff_ref(hospital.organisation_id, member.personal_id))
        answer = assert_refused(
            world,
            known,
            hospital,
            "acting-person-refused",
            "acting_person_unknown",
            acting_person=member.as_document(),
        )
        assert answer.json()["gateway_code"] == "054"

    def test_named_differently(self, world: World, known: InProcessCaller, hospital: Hospital) -> None:
        named = StaffMember("Đỗ Thị Khác Tên", hospital.staff[0].personal_id)
        answer = assert_refused(
            world,
            known,
            hospital,
            "acting-person-refused",
            "acting_person_mismatch",
            acting_person=named.as_document(),
        )
        assert answer.json()["gateway_code"] == "055"

    def test_moved_to_another_facility(
        self, world: World, known: InProcessCaller, hospital: Hospital
    ) -> None:
        member = hospital.staff[0]
        world.execute(
            "UPDATE facility_staff SET organisation_id = :other WHERE staff_ref = :ref",
            other=world.hospital.organisation_id,
            ref=world.pseudonyms.staff_ref(hospital.organisation_id, member.personal_id),
        )
        assert_refused(
            world,
            known,
            hospital,
            "acting-person-refused",
            "acting_person_unknown",
            acting_person=member.as_document(),
        )


def test_a_proof_that_was_used_is_the_reason_and_burns_nothing_again(
    world: World, known: InProcessCaller, hospital: Hospital
) -> None:
    body = json.dumps(world.document(hospital=hospital)).encode()
    assert known.request("POST", CHECKS, body).status == 200
    counters, proofs = counted(world), world.count("used_proofs")
    refused = known.request("POST", CHECKS, body, proof=known.last_proof)
    refusal_in(refused, "proof-invalid", "proof_replayed", world)
    assert (counted(world), world.count("used_proofs")) == (counters, proofs)
    assert len(world.entries_of(hospital, "refusal")) == 1


def test_a_refused_request_has_used_its_proof(
    world: World, known: InProcessCaller, hospital: Hospital
) -> None:
    stranger = {"full_name": "Lê Văn Khác", "personal_id": "001090666666"}
    body = json.dumps(world.document(hospital=hospital, acting_person=stranger)).encode()
    refusal_in(known.request("POST", CHECKS, body), "acting-person-refused", "acting_person_unknown", world)
    again = known.request("POST", CHECKS, body, proof=known.last_proof)
    document = problem_in(again, "proof-invalid")
    assert document["reason"] == "proof_replayed"
    # What was wrong besides stands in the evidence.
    assert world.evidence(document["instance"]).entry["reason"] == "acting_person_unknown"


@pytest.mark.parametrize("ahead_seconds", [8, -30])
def test_a_clock_that_went_astray_stops_everything(
    world: World, hospital: Hospital, app_log: Path, monkeypatch: pytest.MonkeyPatch, ahead_seconds: int
) -> None:
    def astray() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=ahead_seconds)

    monkeypatch.setattr(broker.app, "system_clock", astray)
    with running_app(world.settings) as app:
        caller = in_process_caller(app, world.settings.issuer, hospital)
        caller.clock = astray
        answer = assert_refused(world, caller, hospital, "clock-skewed", "clock_skewed")
        assert answer.headers["retry-after"] == "5"


def test_a_signed_token_that_was_never_issued_opens_nothing(
    world: World, known: InProcessCaller, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever got hold of the signing key would still have to write into the store."""
    known.forget_token()
    world.execute("ALTER TABLE access_tokens RENAME TO access_tokens_away")
    world.execute("CREATE TABLE access_tokens (LIKE access_tokens_away INCLUDING DEFAULTS)")
    world.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON access_tokens TO broker_app")
    try:
        token = known.token()
    finally:
        world.execute("DROP TABLE access_tokens")
        world.execute("ALTER TABLE access_tokens_away RENAME TO access_tokens")
    body = json.dumps(world.document(hospital=hospital)).encode()
    refused = known.request("POST", CHECKS, body, token=token)
    refusal_in(refused, "token-invalid", "token_not_active", world)
