"""Recipients fetch what became of consents (RFC 8936), and attest what they did: over HTTP, tokens bound."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from werkzeug.test import TestResponse

from broker.api.events import EVENTS_MAX
from tests.oauth_world import Database, World
from tests.outbox_world import OutboxWorld, receiver, refusing

POLL = "/v1/events"
ACKNOWLEDGE = "/v1/events/acknowledgements"


class Clinic:
    """A recipient that polls, with a token of its own."""

    def __init__(self, told: OutboxWorld, client_id: str, events_uri: str | None = None) -> None:
        self.told = told
        self.world = told.world
        self.party = told.recipient(client_id, events_uri)
        self.token = self.world.token(self.party, "consent_events")

    def post(
        self, path: str, document: Any, token: str | None = None, content_type: str = "application/json"
    ) -> TestResponse:
        token = self.token if token is None else token
        proof = self.party.proof(self.world.clock(), "POST", self.world.issuer + path, token)
        answer: TestResponse = self.world.http.post(
            path,
            data=document if isinstance(document, bytes) else json.dumps(document).encode(),
            content_type=content_type,
            headers={"Authorization": f"DPoP {token}", "DPoP": proof},
            base_url=self.world.issuer,
        )
        return answer

    def poll(self, **asked: Any) -> tuple[dict[str, str], bool]:
        answer = self.post(POLL, asked)
        assert answer.status_code == 200, answer.text
        document = answer.get_json()
        assert set(document) == {"sets", "moreAvailable"}
        return document["sets"], document["moreAvailable"]

    def acknowledge(self, message_id: str, deletion_attested: bool = False) -> TestResponse:
        document = {"message_id": message_id, "deletion_attested": deletion_attested}
        return self.post(ACKNOWLEDGE, document)

    def queue(self) -> str:
        return self.told.queue(self.party.client_id).message_id


@pytest.fixture
def told(database: Database) -> OutboxWorld:
    return OutboxWorld(World(database))


@pytest.fixture
def clinic(told: OutboxWorld) -> Clinic:
    return Clinic(told, "clinic")


def faults_of(answer: TestResponse) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    assert answer.content_type == "application/problem+json"
    return {fault["pointer"]: fault["remedy"] for fault in answer.get_json()["faults"]}


class TestPolling:
    def test_rfc8936_2_3_an_empty_list_is_answered_at_once(self, clinic: Clinic) -> None:
        answer = clinic.post(POLL, {"returnImmediately": True})
        assert (answer.status_code, answer.get_json()) == (200, {"sets": {}, "moreAvailable": False})
        assert answer.content_type == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"

    def test_rfc8936_2_3_tokens_stand_under_their_jti_and_verify(self, clinic: Clinic) -> None:
        message_id = clinic.queue()
        sets, more = clinic.poll()
        assert (list(sets), more) == ([message_id], False)
        claims = clinic.told.claims(sets[message_id], "clinic")
        assert claims["jti"] == message_id
        assert claims["sub_id"] == {"format": "opaque", "id": "pairwise-clinic"}

    def test_rfc8936_2_2_only_a_posted_json_document_is_a_poll(self, clinic: Clinic) -> None:
        kept = clinic.queue()
        for method in ("GET", "PUT", "DELETE"):
            answer = clinic.world.http.open(POLL, method=method, base_url=clinic.world.issuer)
            assert (answer.status_code, answer.headers["Allow"]) == (405, "OPTIONS, POST"), method
        other = clinic.post(POLL, b'{"maxEvents":1}', content_type="application/x-www-form-urlencoded")
        assert other.status_code == 415
        assert other.get_json()["type"].endswith("/problems/media-type-unsupported")
        assert set(clinic.poll()[0]) == {kept}

    def test_rfc8936_2_4_1_a_poll_alone_settles_nothing(self, clinic: Clinic) -> None:
        notice = clinic.told.queue("clinic")
        polls: list[dict[str, Any]] = [{}, {"maxEvents": 1}, {"returnImmediately": True}]
        for asked in (*polls, {"ack": [], "setErrs": {}}):
            sets, more = clinic.poll(**asked)
            assert (list(sets), more) == ([notice.message_id], False)
            assert clinic.told.row(notice)["delivered_at"] is None, asked

    def test_rfc8936_2_4_2_an_acknowledgement_alone_is_answered_with_no_token(self, clinic: Clinic) -> None:
        first, second, third = clinic.queue(), clinic.queue(), clinic.queue()
        assert clinic.poll(maxEvents=0) == ({}, True)
        assert clinic.poll(maxEvents=0, ack=[first, second]) == ({}, True)
        assert set(clinic.poll()[0]) == {third}
        assert clinic.poll(maxEvents=0, ack=[third]) == ({}, False)

    def test_rfc8936_2_4_3_acknowledged_and_next_ones_fetched_in_one_request(self, clinic: Clinic) -> None:
        first = clinic.queue()
        clinic.world.clock.move(1)
        second = clinic.queue()
        assert clinic.poll(maxEvents=1)[0].keys() == {first}
        sets, more = clinic.poll(ack=[first], maxEvents=1)
        assert (list(sets), more) == ([second], False)

    def test_rfc8936_2_4_4_acknowledged_refused_and_next_ones_fetched_in_one_request(
        self, clinic: Clinic
    ) -> None:
        good, bad, kept = clinic.queue(), clinic.queue(), clinic.queue()
        errors = {bad: {"err": "authentication_failed", "description": "No key of yours fits."}}
        sets, more = clinic.poll(ack=[good], setErrs=errors)
        assert (list(sets), more) == ([kept], False)
        [dead] = clinic.told.outbox.list_dead(10)
        assert dead.message_id == bad, "what is acknowledged is no matter for an operator"

    def test_rfc9493_3_2_a_person_is_an_opaque_number_of_the_recipients_own(self, clinic: Clinic) -> None:
        other = Clinic(clinic.told, "other-clinic")
        told = []
        for one in (clinic, other):
            message_id = one.queue()
            told.append(clinic.told.claims(one.poll()[0][message_id], one.party.client_id)["sub_id"])
        assert told == [{"format": "opaque", "id": f"pairwise-{name}"} for name in ("clinic", "other-clinic")]

    def test_rfc8936_2_4_a_token_stays_until_it_is_acknowledged(self, clinic: Clinic) -> None:
        first, second = clinic.queue(), clinic.queue()
        assert set(clinic.poll()[0]) == {first, second}
        assert set(clinic.poll()[0]) == {first, second}
        assert set(clinic.poll(ack=[first])[0]) == {second}
        assert clinic.poll(ack=[second], maxEvents=0) == ({}, False)
        assert clinic.poll() == ({}, False)

    def test_an_acknowledged_token_is_told_and_not_yet_obeyed(self, clinic: Clinic) -> None:
        notice = clinic.told.queue("clinic")
        clinic.poll(ack=[notice.message_id])
        row = clinic.told.row(notice)
        assert (row["delivered_at"], row["acknowledged_at"]) == (clinic.world.clock(), None)

    def test_rfc8936_2_4_at_most_as_many_as_wanted_oldest_first(self, clinic: Clinic) -> None:
        queued = []
        for _ in range(3):
            queued.append(clinic.queue())
            clinic.world.clock.move(1)
        sets, more = clinic.poll(maxEvents=2)
        assert (list(sets), more) == (queued[:2], True)
        assert clinic.poll(maxEvents=3)[1] is False

    def test_one_answer_is_bounded_whatever_is_wanted(self, clinic: Clinic) -> None:
        consent = clinic.told.consent("clinic")
        for _ in range(EVENTS_MAX + 1):
            clinic.told.queue("clinic", consent=consent)
        sets, more = clinic.poll(maxEvents=10_000)
        assert (len(sets), more) == (EVENTS_MAX, True)

    def test_rfc8936_2_4_a_refused_token_leaves_the_list_and_becomes_an_operators_matter(
        self, clinic: Clinic
    ) -> None:
        refused, kept = clinic.queue(), clinic.queue()
        errors = {refused: {"err": "invalid_audience", "description": "of somebody else"}}
        assert set(clinic.poll(setErrs=errors)[0]) == {kept}
        [dead] = clinic.told.outbox.list_dead(10)
        assert (dead.message_id, dead.last_fault) == (refused, "the recipient refuses it: invalid_audience")

    def test_a_refused_token_comes_back_when_an_operator_says_so(self, clinic: Clinic) -> None:
        refused = clinic.queue()
        clinic.poll(setErrs={refused: {"err": "invalid_key"}})
        assert clinic.told.outbox.retry_dead(clinic.world.clock()) == 1
        assert set(clinic.poll()[0]) == {refused}

    def test_rfc8936_2_4_ids_that_nobody_knows_are_passed_over(self, clinic: Clinic) -> None:
        kept = clinic.queue()
        odd = [str(uuid4()), "x", kept.upper(), f"{{{kept}}}", "0" * 32]
        assert set(clinic.poll(ack=odd, setErrs={"y": {"err": "invalid_key"}})[0]) == {kept}


class TestOthers:
    def test_a_client_sees_and_settles_its_own_alone(self, clinic: Clinic) -> None:
        other = Clinic(clinic.told, "other-clinic")
        mine, theirs = clinic.queue(), other.queue()
        assert set(clinic.poll()[0]) == {mine}
        assert set(clinic.poll(ack=[theirs], setErrs={theirs: {"err": "invalid_key"}})[0]) == {mine}
        assert set(other.poll()[0]) == {theirs}

    def test_what_is_pushed_is_not_polled_too(self, told: OutboxWorld, tmp_path: Any) -> None:
        with receiver(tmp_path) as host:
            bank = Clinic(told, "bank-a", host.url)
            bank.queue()
            assert bank.poll() == ({}, False), "it waits to be pushed"
            job = told.job(host.pusher())
            assert job.run() == {"taken": 1, "delivered": 1}
            assert bank.poll() == ({}, False), "it was pushed"
            bank.queue()
            host.host.answer = refusing("invalid_key")
            assert job.run() == {"taken": 1, "dead": 1}
            assert bank.poll() == ({}, False), "it was refused"

    @pytest.mark.parametrize("path", [POLL, ACKNOWLEDGE])
    def test_rfc8936_3_nobody_polls_without_a_token_and_the_key_that_it_is_bound_to(
        self, clinic: Clinic, path: str
    ) -> None:
        kept, url = clinic.queue(), clinic.world.issuer + path
        bare = clinic.world.http.post(path, json={}, base_url=clinic.world.issuer)
        assert bare.status_code == 401
        assert bare.headers["WWW-Authenticate"].startswith("DPoP")
        other = Clinic(clinic.told, "other-clinic")
        foreign = other.party.proof(clinic.world.clock(), "POST", url, clinic.token)
        stolen = clinic.world.http.post(
            path,
            json={"ack": [kept]},
            headers={"Authorization": f"DPoP {clinic.token}", "DPoP": foreign},
            base_url=clinic.world.issuer,
        )
        assert stolen.status_code == 401
        assert set(clinic.poll()[0]) == {kept}

    @pytest.mark.parametrize("path", [POLL, ACKNOWLEDGE])
    def test_the_scope_opens_the_door_and_no_other(self, clinic: Clinic, path: str) -> None:
        token = clinic.world.token(clinic.party, "share_record")
        answer = clinic.post(path, {}, token)
        assert answer.status_code == 403
        assert answer.get_json()["type"].endswith("/problems/scope-insufficient")
        assert 'scope="consent_events"' in answer.headers["WWW-Authenticate"]

    def test_a_suspended_client_gets_nothing(self, clinic: Clinic) -> None:
        clinic.queue()
        clinic.world.clients.suspend_client("clinic", clinic.world.clock())
        answer = clinic.post(POLL, {})
        assert answer.status_code == 401
        assert answer.get_json()["type"].endswith("/problems/token-invalid")


class TestAcknowledgement:
    def test_a_recipients_word_is_kept_and_told_to_the_citizen(self, clinic: Clinic) -> None:
        consent = clinic.told.consent("clinic")
        notice = clinic.told.queue("clinic", consent=consent)
        clinic.poll(ack=[notice.message_id])
        clinic.world.clock.move(60)
        answer = clinic.acknowledge(notice.message_id, True)
        at = clinic.world.clock()
        told = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        assert (answer.status_code, answer.get_json()) == (
            200,
            {"message_id": notice.message_id, "acknowledged_at": told, "deletion_attested_at": told},
        )
        [state] = clinic.told.outbox.list_of_consent(consent.consent_id)
        assert (state.acknowledged_at, state.deletion_attested_at) == (at, at)
        assert state.told_at is not None
        assert (at - state.told_at).total_seconds() == 60

    def test_said_again_it_keeps_the_first_instant_and_deletion_may_follow(self, clinic: Clinic) -> None:
        message_id = clinic.queue()
        first = clinic.acknowledge(message_id).get_json()
        assert set(first) == {"message_id", "acknowledged_at"}
        clinic.world.clock.move(90)
        second = clinic.acknowledge(message_id, True).get_json()
        assert second["acknowledged_at"] == first["acknowledged_at"]
        assert second["deletion_attested_at"] == f"{clinic.world.clock():%Y-%m-%dT%H:%M:%SZ}"
        clinic.world.clock.move(60)
        assert clinic.acknowledge(message_id, False).get_json() == second

    def test_whoever_has_obeyed_is_not_told_again(self, told: OutboxWorld, tmp_path: Any) -> None:
        with receiver(tmp_path) as host:
            bank = Clinic(told, "bank-a", host.url)
            message_id = bank.queue()
            assert bank.acknowledge(message_id).status_code == 200
            assert told.job(host.pusher()).run() == {"taken": 0}
            assert host.tokens == []

    def test_another_clients_notice_is_as_if_unknown(self, clinic: Clinic) -> None:
        other = Clinic(clinic.told, "other-clinic")
        notice = clinic.told.queue("other-clinic")
        answers = [clinic.acknowledge(one) for one in (notice.message_id, str(uuid4()))]
        for answer in answers:
            assert answer.status_code == 404
            document = answer.get_json()
            assert document["type"] == "https://broker.example/problems/not-found"
            assert set(document) == {"type", "title", "status", "instance", "request_id"}
        assert clinic.told.row(notice)["acknowledged_at"] is None
        assert other.acknowledge(notice.message_id).status_code == 200


class TestMalformed:
    @pytest.mark.parametrize(
        ("document", "pointer"),
        [
            ({"maxEvents": -1}, "/maxEvents"),
            ({"maxEvents": "2"}, "/maxEvents"),
            ({"maxEvents": True}, "/maxEvents"),
            ({"ack": "x"}, "/ack"),
            ({"ack": [""]}, "/ack/0"),
            ({"ack": ["x" * 65]}, "/ack/0"),
            ({"ack": ["x"] * 1001}, "/ack"),
            ({"setErrs": {"x": {}}}, "/setErrs/x/value/err"),
            ({"setErrs": []}, "/setErrs"),
            ({"events": 1}, "/events"),
        ],
    )
    def test_a_poll_that_does_not_fit_is_refused_by_its_place(
        self, clinic: Clinic, document: dict[str, Any], pointer: str
    ) -> None:
        kept = clinic.queue()
        assert set(faults_of(clinic.post(POLL, document))) == {pointer}
        assert set(clinic.poll()[0]) == {kept}

    @pytest.mark.parametrize("value", [False, "true", 1])
    def test_long_polling_is_not_offered_and_says_so(self, clinic: Clinic, value: object) -> None:
        assert set(faults_of(clinic.post(POLL, {"returnImmediately": value}))) == {"/returnImmediately"}

    def test_the_remedy_for_long_polling_is_named(self, clinic: Clinic) -> None:
        told = faults_of(clinic.post(POLL, {"returnImmediately": False}))
        assert told == {"/returnImmediately": "Answers come at once here: true, or leave it out."}

    @pytest.mark.parametrize(
        ("document", "pointers"),
        [
            ({}, {"/message_id", "/deletion_attested"}),
            ({"message_id": "x", "deletion_attested": True}, {"/message_id"}),
            ({"message_id": str(uuid4()), "deletion_attested": "yes"}, {"/deletion_attested"}),
            ({"message_id": str(uuid4()), "deletion_attested": True, "by": "me"}, {"/by"}),
        ],
    )
    def test_an_acknowledgement_that_does_not_fit_is_refused_by_its_place(
        self, clinic: Clinic, document: dict[str, Any], pointers: set[str]
    ) -> None:
        assert set(faults_of(clinic.post(ACKNOWLEDGE, document))) == pointers

    @pytest.mark.parametrize("path", [POLL, ACKNOWLEDGE])
    def test_what_is_no_json_object_is_unreadable(self, clinic: Clinic, path: str) -> None:
        for body in (b"", b"[]", b'{"a":1,"a":2}', b"\xff"):
            answer = clinic.post(path, body)
            assert answer.status_code == 400
            assert answer.get_json()["type"].endswith("/problems/body-unreadable")
