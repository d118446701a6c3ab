"""What the entitlement resources refuse, with which problem document, and that refusals are on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from broker.cli.caller import Caller
from tests.answers import problem_in, refusal_in
from tests.doors import Server, post
from tests.release_world import BATCH, CHECKS, Hospital, StaffMember, World


class TestParametersInBadForm:
    """Gateway code 205: where the fault is, how to mend it, and never the value."""

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"card_number": "12345"}, "/card_number"),
            ({"card_number": "GD9792711234567"}, "/card_number"),
            ({"card_number": "1" * 513}, "/card_number"),
            ({"card_number": "001090123456|x"}, "/card_number"),
            ({"card_number": "x|||||||"}, "/card_number"),
            ({"card_number": ...}, "/card_number"),
            ({"personal_id": "001090123456"}, "/card_number"),
            ({"card_number": ..., "personal_id": "00109012345a"}, "/personal_id"),
            ({"birth_date": "31/02/1990"}, "/birth_date"),
            ({"birth_date": "01/01/2999"}, "/birth_date"),
            ({"birth_date": "1889"}, "/birth_date"),
            ({"birth_date": "13/1990"}, "/birth_date"),
            ({"birth_date": "19900101"}, "/birth_date"),
            ({"birth_date": ...}, "/birth_date"),
        ],
    )
    def test_number_and_birth_date_are_checked(
        self, caller: Caller, world: World, changes: dict[str, Any], pointer: str
    ) -> None:
        answer = post(caller, world.document(**changes))
        document = problem_in(answer, "request-malformed")
        assert document["gateway_code"] == "205"
        assert [fault["pointer"] for fault in document["faults"]] == [pointer]
        for value in changes.values():
            assert value is ... or value not in answer.body.decode()

    @pytest.mark.parametrize(
        ("changes", "pointers"),
        [
            ({"service_date": "01/11/1999"}, ["/service_date"]),
            ({"service_date": "2026-02-30"}, ["/service_date"]),
            ({"service_date": "111/2026"}, ["/service_date"]),
            ({"encounter_reference": "có dấu"}, ["/encounter_reference"]),
            ({"encounter_reference": "x" * 65}, ["/encounter_reference"]),
            ({"full_name": ""}, ["/full_name"]),
            ({"full_name": 5}, ["/full_name"]),
            ({"full_name": "x" * 121}, ["/full_name"]),
            ({"full_name": None}, ["/full_name"]),
            ({"surname": "x"}, ["/surname"]),
            ({"số thẻ": "x"}, ["/(unknown name)"]),
            ({"acting_person": "x"}, ["/acting_person"]),
            ({"acting_person": {"full_name": "A"}}, ["/acting_person/personal_id"]),
            (
                {"acting_person": {"full_name": "A", "personal_id": "1", "password": "x"}},
                ["/acting_person/password", "/acting_person/personal_id"],
            ),
            (
                {"surname": "x", "full_name": ..., "service_date": 1},
                ["/full_name", "/service_date", "/surname"],
            ),
        ],
    )
    def test_the_rest_is_checked_against_a_closed_schema(
        self, caller: Caller, world: World, changes: dict[str, Any], pointers: list[str]
    ) -> None:
        document = problem_in(post(caller, world.document(**changes)), "request-malformed")
        assert sorted(fault["pointer"] for fault in document["faults"]) == pointers
        assert all(fault["remedy"] for fault in document["faults"])

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b'"text"',
            b"{",
            b'{"a":1,"a":2}',
            b'{"card_number":"1","card_number":"2"}',
            b'{"acting_person":{"a":1,"a":1}}',
            b'{"a":NaN}',
            b'{"a":-Infinity}',
            b'{"a":"\xff"}',
            b'{"a":"\\ud800"}',
            b'{"\\udfff":1}',
            b'{"a":[{"b":"\\u0000"}]}',
            b'{"a":"\x01"}',
            b'{"a":' * 40_000,
        ],
    )
    def test_a_body_that_is_not_one_plain_json_object_is_unreadable(
        self, caller: Caller, body: bytes
    ) -> None:
        problem_in(post(caller, body), "body-unreadable")

    def test_nothing_of_a_malformed_request_is_recorded(self, caller: Caller, world: World) -> None:
        before = world.count("evidence_entries")
        post(caller, world.document(birth_date="31/02/1990"))
        post(caller, b"{")
        assert world.count("evidence_entries") == before


class TestTheStaffMember:
    @pytest.fixture
    def hospital(self, world: World) -> Hospital:
        return world.register_hospital(staff=3)

    @pytest.fixture
    def asking(self, server: Server, hospital: Hospital) -> Iterator[Caller]:
        caller = server.caller(hospital)
        yield caller
        caller.close()

    def refused(self, asking: Caller, world: World, member: dict[str, str], code: str) -> None:
        reason = {"054": "acting_person_unknown", "055": "acting_person_mismatch"}[code]
        person = world.person()
        answer = post(asking, world.document(person, acting_person=member))
        document = refusal_in(answer, "acting-person-refused", reason, world)
        assert document["gateway_code"] == code
        evidence = world.evidence(document["instance"])
        found = world.pseudonyms.data_subject_ref(str(person.person_key))
        assert evidence.data_subject_ref == found, "the person sees the attempt"

    def test_who_is_not_on_the_facilitys_list_is_refused(
        self, asking: Caller, world: World, hospital: Hospital
    ) -> None:
        stranger = {**hospital.staff[0].as_document(), "personal_id": "001090999999"}
        self.refused(asking, world, stranger, "054")
        self.refused(asking, world, world.hospital.staff[0].as_document(), "054")

    def test_who_gives_another_name_is_refused(
        self, asking: Caller, world: World, hospital: Hospital
    ) -> None:
        self.refused(asking, world, {**hospital.staff[0].as_document(), "full_name": "Lê Văn Khác"}, "055")
        crossed = {**hospital.staff[0].as_document(), "full_name": hospital.staff[1].full_name}
        self.refused(asking, world, crossed, "055")

    def test_a_name_is_not_cut_off_at_a_nul(self, asking: Caller, world: World, hospital: Hospital) -> None:
        named = hospital.staff[0].as_document()
        named["full_name"] += "\0 Lê Văn Khác"
        problem_in(post(asking, world.document(acting_person=named)), "body-unreadable")

    def test_another_spelling_of_the_same_name_will_do(
        self, asking: Caller, world: World, hospital: Hospital
    ) -> None:
        named = hospital.staff[0].as_document()
        named["full_name"] = "  " + named["full_name"].upper().replace(" ", "  ")
        assert post(asking, world.document(acting_person=named)).status == 200

    def test_who_has_left_is_refused_at_the_next_request(
        self, asking: Caller, world: World, hospital: Hospital
    ) -> None:
        leaver = StaffMember("Phạm Thị Nghỉ Việc", "001091777777")
        world.register_staff(hospital.organisation_id, leaver)
        named = leaver.as_document()
        assert post(asking, world.document(acting_person=named)).status == 200
        world.staff.revoke_staff(world.pseudonyms.staff_ref(hospital.organisation_id, leaver.personal_id))
        self.refused(asking, world, named, "054")

    def test_a_request_that_names_nobody_is_refused(self, asking: Caller, world: World) -> None:
        answer = post(asking, world.document(acting_person=...))
        document = refusal_in(answer, "release-refused", "supplied_fact_missing", world)
        assert document["determining_rules"] == ["hospital_entitlement_check/must_supply"]


class TestWhatTheAgreementDoesNotOpen:
    def test_a_hospital_without_an_agreement_gets_nothing(self, server: Server, world: World) -> None:
        asking = server.caller(world.register_hospital(agreements=(), staff=1))
        answer = post(asking, world.document())
        assert refusal_in(answer, "release-refused", "no_agreement", world)["determining_rules"] == []

    def test_two_agreements_for_one_action_are_nobodys_to_choose(self, server: Server, world: World) -> None:
        both = ("hospital_entitlement_check", "hospital_without_batch")
        asking = server.caller(world.register_hospital(agreements=both, staff=1))
        refusal_in(post(asking, world.document()), "release-refused", "no_agreement", world)

    def test_an_agreement_without_batches_refuses_one(self, server: Server, world: World) -> None:
        hospital = world.register_hospital(agreements=("hospital_without_batch",), staff=1)
        asking = server.caller(hospital)
        single = world.document(hospital=hospital)
        assert post(asking, single).status == 200
        acting_person = single.pop("acting_person")
        answer = post(asking, {"acting_person": acting_person, "items": [single] * 2}, BATCH)
        refusal_in(answer, "release-refused", "batch_not_permitted", world)
        assert len(world.entries_of(hospital)) == 1

    def test_a_record_of_several_persons_is_refused_and_recorded_as_an_error(
        self, caller: Caller, world: World
    ) -> None:
        person = world.cases["duplicate_si_number"][0]
        answer = post(caller, world.document(person))
        document = refusal_in(answer, "source-answer-refused", "source_several_persons", world)
        assert document["gateway_code"] == "100"
        assert world.evidence(document["instance"]).entry["result"] == "error"
        assert post(caller, world.document(person, card_number=person.personal_id)).status == 200


class TestTheProtocol:
    def test_only_json_is_read(self, caller: Caller, world: World) -> None:
        for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/jwt", "x"):
            answer = post(caller, world.document(), Content_Type=media_type)
            problem_in(answer, "media-type-unsupported")

    def test_a_body_beyond_the_bound_is_not_read(self, caller: Caller) -> None:
        problem_in(post(caller, b'{"a":"' + b"x" * 270_000 + b'"}'), "body-too-large")

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
    @pytest.mark.parametrize("path", [CHECKS, BATCH])
    def test_other_methods_are_told_the_right_one(self, caller: Caller, method: str, path: str) -> None:
        answer = caller.request(method, path)
        problem_in(answer, "method-not-allowed")
        assert "POST" in answer.headers["allow"].split(", ")

    def test_other_paths_are_told_that_there_is_nothing(self, caller: Caller) -> None:
        for path in ("/v1/nothing", f"{CHECKS}/", f"{CHECKS}/1", "/v1"):
            problem_in(caller.request("POST", path, b"{}"), "not-found")

    def test_without_a_token_the_way_in_is_told(self, caller: Caller, server: Server) -> None:
        answer = caller.exchange("POST", server.issuer + CHECKS, b"{}", {"Content-Type": "application/json"})
        problem_in(answer, "token-invalid")
        assert answer.headers["www-authenticate"] == 'DPoP algs="ES256 EdDSA PS256"'

    def test_a_proof_is_good_for_one_request(self, caller: Caller, world: World) -> None:
        body = json.dumps(world.document()).encode()
        assert caller.request("POST", CHECKS, body).status == 200
        again = caller.request("POST", CHECKS, body, proof=caller.last_proof)
        refusal_in(again, "proof-invalid", "proof_replayed", world)
        assert 'error="invalid_dpop_proof"' in again.headers["www-authenticate"]

    def test_titles_are_vietnamese_unless_english_is_asked_for(self, caller: Caller, world: World) -> None:
        bad = world.document(birth_date="x")
        for asked, title in (
            ("en", "The request does not fit its schema"),
            ("en-GB,vi;q=0.5", "The request does not fit its schema"),
            ("vi", "Yêu cầu không đúng mẫu"),
            ("fr", "Yêu cầu không đúng mẫu"),
        ):
            for path in (CHECKS, f"{CHECKS}?by=flask"):
                assert post(caller, bad, path, Accept_Language=asked).json()["title"] == title

    def test_a_harmless_request_id_is_kept_and_a_number_of_a_person_is_not(
        self, caller: Caller, world: World
    ) -> None:
        given = "0f8fad5b-d9cb-469f-a165-70867728950e"
        answer = post(caller, world.document(), X_Request_Id=given)
        assert answer.headers["x-request-id"] == given
        reference = answer.json()["evidence_reference"]
        assert world.evidence(reference).entry["request_id"] == reference, "evidence knows our own id only"
        person = world.person()
        for given in (
            person.personal_id,
            person.si_number,
            f"bn-{person.personal_id}",
            "desk-4.2026-11-22_07",
            "a b",
            "x" * 65,
            "short",
        ):
            answer = post(caller, world.document(person), X_Request_Id=given)
            fresh = answer.headers["x-request-id"]
            assert UUID(fresh).version == 7
            assert world.evidence(answer.json()["evidence_reference"]).entry["request_id"] == fresh
