"""OpenID Connect CIBA Core 1.0, poll mode: a client asks about an absent person and polls for its token."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from broker.consent.record import Consent
from broker.errors import ConsentTransitionRefused
from broker.oauth.backchannel import EXPIRES_SECONDS, INTERVAL_SECONDS
from tests.citizen_world import Citizen
from tests.doors import at_once
from tests.inbox_flow import BACKCHANNEL, NOBODY, SECOND, InboxFlow, nobody, two_agreements
from tests.oauth_flow import COMPLETED, INCOME, agreed, parts_of, refused, verified_proofs
from tests.oauth_world import ISSUER

DETAILS_ERROR = "invalid_authorization_details"


def waits(inbox: InboxFlow) -> None:
    """Let the interval between two polls pass."""
    inbox.world.clock.move(INTERVAL_SECONDS)


def shown(answer: TestResponse) -> list[tuple[str, str]]:
    """Return the header fields of an answer but its number."""
    return sorted(one for one in answer.headers.items() if one[0] != "X-Request-Id")


def only(inbox: InboxFlow, person: Citizen) -> Consent:
    [waiting] = inbox.waiting(person)
    return waiting


class TestAsking:
    def test_ciba_7_3_the_answer_tells_until_when_and_how_often_to_poll(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        answer = inbox.ask(person)
        assert answer.status_code == 200, answer.get_json()
        assert answer.headers["Cache-Control"] == "no-store"
        body = answer.get_json()
        assert set(body) == {"auth_req_id", "expires_in", "interval"}
        assert (body["expires_in"], body["interval"]) == (EXPIRES_SECONDS, INTERVAL_SECONDS)
        assert len(body["auth_req_id"]) == 43, "256 bits (7.3 asks for 128, recommends 160)"
        assert inbox.asked() != body["auth_req_id"], "of another person"

    def test_ciba_7_1_only_the_hash_of_the_auth_req_id_is_kept(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        auth_req_id = inbox.asked(person)
        [row] = inbox.rows("consent_requests", "citizen_ref = :ref", ref=self.ref(inbox, person))
        assert auth_req_id not in str(row)
        assert person.personal_id not in str(row)
        assert (row["channel"], row["client_id"]) == ("ciba_poll", "desk-a")

    def ref(self, inbox: InboxFlow, person: Citizen) -> bytes:
        return inbox.world.wiring.consents.requests.citizen_ref_of(person.citizen_id)

    @pytest.mark.parametrize("seconds", ["60", "3600"])
    def test_ciba_7_1_the_client_may_ask_for_less_time(self, inbox: InboxFlow, seconds: str) -> None:
        assert inbox.ask(requested_expiry=seconds).get_json()["expires_in"] == int(seconds)

    @pytest.mark.parametrize(("asked", "given"), [("1", 60), ("999999999", EXPIRES_SECONDS)])
    def test_ciba_7_1_the_broker_may_set_another_time(self, inbox: InboxFlow, asked: str, given: int) -> None:
        assert inbox.ask(requested_expiry=asked).get_json()["expires_in"] == given

    @pytest.mark.parametrize(
        "changes",
        [
            {"login_hint": ...},
            {"login_hint": ""},
            {"login_hint": "12345"},
            {"login_hint": "0010902000011"},
            {"login_hint": "00109020000x"},
            {"login_hint": "٠٠١٠٩٠٢٠٠٠٠١"},
            {"login_hint": f"{NOBODY}\n"},
            {"login_hint": f" {NOBODY}"},
            {"login_hint": ..., "id_token_hint": "x.y.z"},
            {"login_hint": ..., "login_hint_token": "x.y.z"},
            {"login_hint_token": "x.y.z"},
            {"id_token_hint": "x.y.z"},
            {"request": "x.y.z"},
            {"scope": ...},
            {"scope": "share_record"},
            {"scope": ""},
            {"authorization_details": ...},
            {"requested_expiry": "soon"},
            {"requested_expiry": "-5"},
            {"requested_expiry": "1.5"},
            {"requested_expiry": "1" * 10},
        ],
        ids=repr,
    )
    def test_ciba_7_2_and_13_what_is_missing_or_malformed_is_an_invalid_request(
        self, inbox: InboxFlow, changes: dict[str, Any]
    ) -> None:
        before = inbox.world.count("consent_requests")
        refused(inbox.ask(**changes), "invalid_request")
        assert inbox.world.count("consent_requests") == before

    @pytest.mark.parametrize("scope", ["openid verify_entitlement", "openid request_consent", "openid x"])
    def test_ciba_13_a_scope_that_no_citizen_gives_is_refused(self, inbox: InboxFlow, scope: str) -> None:
        refused(inbox.ask(scope=scope), "invalid_scope")

    @pytest.mark.parametrize(
        "details",
        [
            [{**INCOME, "purpose": "hire_somebody"}],
            [{**INCOME, "fields": ["salary_base", "visit_diagnosis"]}],
            [INCOME, INCOME],
            [{"type": "entitlement_check"}],
            [],
        ],
        ids=repr,
    )
    def test_rfc9396_5_details_that_do_not_fit_are_refused(self, inbox: InboxFlow, details: Any) -> None:
        refused(inbox.ask(authorization_details=json.dumps(details)), DETAILS_ERROR)

    def test_what_the_agreement_does_not_permit_any_more_is_refused_with_its_reason(
        self, inbox: InboxFlow
    ) -> None:
        review_day = datetime(2027, 7, 1, tzinfo=UTC)
        desk = inbox.register_desk("desk-late")
        with inbox.world.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE clients SET expires_at = '2031-01-01Z' WHERE client_id = 'desk-late'"
            )
        inbox.world.clock.at = review_day
        told = refused(inbox.ask(party=desk), DETAILS_ERROR)
        assert told == "the agreement does not permit it: agreement_not_in_force"
        inbox.world.clock.move(-86_400)
        assert inbox.ask(party=desk).status_code == 200

    def test_near_the_end_of_an_agreement_days_that_nobody_asked_for_are_those_left(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        desk = inbox.register_desk("desk-in-june")
        inbox.world.clock.at = datetime(2027, 6, 20, 12, tzinfo=UTC)
        assert inbox.ask(person, desk, authorization_details=json.dumps([SECOND])).status_code == 200
        terms = only(inbox, person).terms
        assert (terms.valid_days, terms.retention_days) == (11, 180)
        details = json.dumps([{**SECOND, "valid_days": 12}])
        told = refused(inbox.ask(party=desk, authorization_details=details), DETAILS_ERROR)
        assert told == "the agreement does not permit it: valid_days_too_long"

    def test_ciba_7_1_the_binding_message_is_shown_to_the_person(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        inbox.asked(person, binding_message="Hồ sơ vay số 42")
        assert dict(only(inbox, person).terms.message) == {"vi": "Hồ sơ vay số 42", "en": "Hồ sơ vay số 42"}

    @pytest.mark.parametrize(
        "message", ["x" * 141, "two\nlines", "\x00", "a\u202eb", "a\u200bb", "\ufeff"], ids=ascii
    )
    def test_ciba_13_a_message_that_cannot_be_shown_is_an_invalid_binding_message(
        self, inbox: InboxFlow, message: str
    ) -> None:
        refused(inbox.ask(binding_message=message), "invalid_binding_message")

    def test_ciba_4_a_client_must_be_registered_for_it(self, inbox: InboxFlow) -> None:
        party = inbox.register_bank("bank-without-ciba", grant_types=["client_credentials"])
        refused(inbox.ask(party=party), "unauthorized_client")
        refused(inbox.poll("x" * 43, party), "unauthorized_client")

    def test_ciba_7_1_the_client_authenticates(self, inbox: InboxFlow, person: Citizen) -> None:
        refused(inbox.ask(person, client_assertion=..., client_assertion_type=...), "invalid_client")
        with_secret: dict[str, Any] = {"client_assertion": ..., "client_secret": "x"}
        refused(inbox.ask(person, client_id="desk-a", **with_secret), "invalid_client")

    def test_rfc7523_3_an_assertion_asks_once(self, inbox: InboxFlow, person: Citizen) -> None:
        assertion = inbox.desk.assertion(inbox.world.clock())
        assert inbox.ask(person, client_assertion=assertion).status_code == 200
        refused(inbox.ask(person, client_assertion=assertion), "invalid_client")

    def test_rfc8707_2_another_resource_is_an_invalid_target(self, inbox: InboxFlow, person: Citizen) -> None:
        refused(inbox.ask(person, resource="https://other.example"), "invalid_target")
        auth_req_id = inbox.asked(person, resource=ISSUER)
        refused(inbox.poll(auth_req_id, resource="https://other.example"), "invalid_target")

    def test_ciba_4_the_metadata_says_so(self, inbox: InboxFlow) -> None:
        document = inbox.world.http.get("/.well-known/openid-configuration").get_json()
        assert document["backchannel_authentication_endpoint"] == ISSUER + BACKCHANNEL
        assert document["backchannel_token_delivery_modes_supported"] == ["poll"]
        assert document["backchannel_user_code_parameter_supported"] is False


class TestPolling:
    def test_ciba_10_1_1_what_was_given_is_handed_out(self, inbox: InboxFlow, person: Citizen) -> None:
        consent, body = inbox.given(person)
        assert set(body) == {
            *("access_token", "token_type", "expires_in", "scope", "authorization_details"),
            *("grant_id", "refresh_token", "id_token"),
        }
        assert (body["token_type"], body["scope"]) == ("DPoP", "openid share_record")
        assert agreed(body["authorization_details"]) == [COMPLETED]
        assert body["authorization_details"][0]["consent_id"] == consent.consent_id
        claims = parts_of(body["access_token"])[1]
        assert claims["authorization_details"] == body["authorization_details"]
        assert claims["cnf"] == {"jkt": inbox.desk.key.thumbprint()}
        assert claims["sub"] == consent.subject
        assert inbox.is_good(body["access_token"], inbox.desk)

    def test_ciba_10_1_1_the_id_token_is_for_the_client_and_says_how_the_person_signed_in(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        header, claims = parts_of(body["id_token"])
        now = int(inbox.world.clock().timestamp())
        assert header["alg"] == "ES256"
        assert claims["exp"] > claims.pop("iat") == now
        del claims["exp"]
        assert claims == {
            "iss": ISSUER,
            "sub": consent.subject,
            "aud": "desk-a",
            "acr": "level-2",
            "auth_time": now,
        }

    def test_refresh_tokens_are_for_clients_registered_for_them(self, inbox: InboxFlow) -> None:
        party = inbox.register_desk(
            "desk-without-refresh", grant_types=["client_credentials", "urn:openid:params:grant-type:ciba"]
        )
        assert "refresh_token" not in inbox.given(inbox.citizen(), party)[1]
        _, body = inbox.given(inbox.citizen())
        renewed = inbox.refresh(body["refresh_token"], inbox.desk).get_json()
        assert renewed["authorization_details"] == body["authorization_details"]
        assert renewed["grant_id"] == body["grant_id"]

    def test_ciba_11_until_the_decision_it_is_pending(self, inbox: InboxFlow, person: Citizen) -> None:
        auth_req_id = inbox.asked(person)
        refused(inbox.poll(auth_req_id), "authorization_pending")
        waits(inbox)
        inbox.verbs.view(inbox.actor(person), only(inbox, person).consent_id, inbox.world.clock())
        refused(inbox.poll(auth_req_id), "authorization_pending")

    def test_ciba_11_who_polls_faster_than_the_interval_is_told_to_slow_down(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        auth_req_id = inbox.asked(person)
        refused(inbox.poll(auth_req_id), "authorization_pending")
        inbox.world.clock.move(INTERVAL_SECONDS - 1)
        refused(inbox.poll(auth_req_id), "slow_down")
        inbox.world.clock.move(INTERVAL_SECONDS - 1)
        refused(inbox.poll(auth_req_id), "slow_down")
        waits(inbox)
        refused(inbox.poll(auth_req_id), "authorization_pending")
        inbox.answer(person, only(inbox, person))
        assert inbox.poll(auth_req_id).status_code == 200, "what is there is never held back"

    def test_ciba_11_silence_never_gives_consent(self, inbox: InboxFlow, person: Citizen) -> None:
        auth_req_id = inbox.asked(person, requested_expiry="60")
        waiting = only(inbox, person)
        inbox.world.clock.move(59.9)
        refused(inbox.poll(auth_req_id), "authorization_pending")
        inbox.world.clock.move(0.1)
        refused(inbox.poll(auth_req_id), "expired_token")
        assert inbox.waiting(person) == []
        with pytest.raises(ConsentTransitionRefused):
            inbox.answer(person, waiting)
        refused(inbox.poll(auth_req_id), "expired_token")
        assert inbox.rows("grants", "citizen_id = :id", id=person.citizen_id) == []

    def test_ciba_11_a_refusal_is_access_denied(self, inbox: InboxFlow, person: Citizen) -> None:
        auth_req_id = inbox.asked(person)
        assert inbox.answer(person, only(inbox, person), ()).state == "refused"
        refused(inbox.poll(auth_req_id), "access_denied")
        refused(inbox.poll(auth_req_id), "access_denied")
        assert inbox.rows("grants", "citizen_id = :id", id=person.citizen_id) == []

    def test_ciba_13_who_was_refused_may_not_ask_again_at_once(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        inbox.asked(person)
        inbox.answer(person, only(inbox, person), ())
        refused(inbox.ask(person), "access_denied")
        inbox.world.clock.move(30 * 86_400)
        assert inbox.ask(person).status_code == 200

    def test_a_proof_is_verified_once(
        self, inbox: InboxFlow, person: Citizen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        auth_req_id = inbox.asked(person)
        inbox.answer(person, only(inbox, person))
        verified = verified_proofs(monkeypatch)
        assert inbox.poll(auth_req_id).status_code == 200
        assert len(verified) == 1

    def test_only_what_was_ticked_is_handed_out(self, inbox: InboxFlow, person: Citizen) -> None:
        auth_req_id = inbox.asked(person)
        inbox.answer(person, only(inbox, person), ["salary_base"])
        body = inbox.poll(auth_req_id).get_json()
        assert agreed(body["authorization_details"]) == [{**COMPLETED, "fields": ["salary_base"]}]

    def test_ciba_10_1_one_auth_req_id_buys_one_token(self, inbox: InboxFlow, person: Citizen) -> None:
        auth_req_id = inbox.asked(person)
        inbox.answer(person, only(inbox, person))
        body = inbox.poll(auth_req_id).get_json()
        refused(inbox.poll(auth_req_id), "invalid_grant")
        assert inbox.is_good(body["access_token"], inbox.desk), "the first one keeps what it has"

    def test_ciba_10_1_of_eight_polls_at_the_same_moment_one_is_served(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        auth_req_id = inbox.asked(person)
        inbox.answer(person, only(inbox, person))
        before = inbox.world.count("access_tokens"), inbox.world.count("refresh_tokens")
        answers = at_once(lambda _: inbox.poll(auth_req_id), range(8))
        assert sorted(answer.status_code for answer in answers) == [200, *[400] * 7]
        for answer in answers:
            if answer.status_code == 400:
                refused(answer, "invalid_grant")
        after = inbox.world.count("access_tokens"), inbox.world.count("refresh_tokens")
        assert after == (before[0] + 1, before[1] + 1)

    def test_what_fails_before_a_token_is_kept_uses_nothing_up(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        auth_req_id = inbox.asked(person)
        inbox.answer(person, only(inbox, person))
        proof = inbox.desk.proof(inbox.world.clock())
        form = {"grant_type": "client_credentials", "scope": "request_consent"}
        assert inbox.post("/oauth/token", form, inbox.desk, proof).status_code == 200
        refused(inbox.poll(auth_req_id, proof=proof), "invalid_dpop_proof")
        refused(inbox.poll(auth_req_id, proof=""), "invalid_dpop_proof")
        assert inbox.poll(auth_req_id).status_code == 200

    def test_ciba_7_3_what_was_given_in_time_waits_for_the_client(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        auth_req_id = inbox.asked(person, requested_expiry="60")
        inbox.world.clock.move(59)
        inbox.answer(person, only(inbox, person))
        inbox.world.clock.move(30 * 86_400 - 1)
        assert inbox.poll(auth_req_id).status_code == 200

    def test_what_was_given_ends_unfetched_with_its_consent(self, inbox: InboxFlow, person: Citizen) -> None:
        auth_req_id = inbox.asked(person)
        inbox.answer(person, only(inbox, person))
        inbox.world.clock.move(30 * 86_400 + 1)
        refused(inbox.poll(auth_req_id), "invalid_grant")

    def test_ciba_11_another_clients_auth_req_id_is_one_that_never_was(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        other = inbox.register_desk("desk-b")
        auth_req_id = inbox.asked(person)
        never = inbox.poll("x" * 43, other)
        for _ in ("pending", "given"):
            stolen = inbox.poll(auth_req_id, other)
            assert (stolen.status_code, stolen.data) == (never.status_code, never.data)
            refused(stolen, "invalid_grant")
            for waiting in inbox.waiting(person):
                inbox.answer(person, waiting)
        assert inbox.poll(auth_req_id).status_code == 200

    @pytest.mark.parametrize("auth_req_id", [..., "", "x", "é" * 9, "x" * 5_000, "\x00"], ids=ascii)
    def test_ciba_11_what_is_no_auth_req_id_buys_nothing(self, inbox: InboxFlow, auth_req_id: Any) -> None:
        answer = inbox.poll(auth_req_id)
        refused(answer, "invalid_grant" if auth_req_id not in (..., "") else "invalid_request")

    def test_ciba_10_1_the_token_is_bound_to_who_polls(self, inbox: InboxFlow, person: Citizen) -> None:
        _, body = inbox.given(person)
        thief = inbox.register_desk("desk-thief")
        assert inbox.get("/v1/token-info", body["access_token"], thief).status_code == 401
        assert (
            inbox.get("/v1/token-info", body["access_token"], inbox.desk, scheme="Bearer").status_code == 401
        )

    def test_a_suspended_client_is_handed_nothing(self, inbox: InboxFlow, person: Citizen) -> None:
        party = inbox.register_desk("desk-suspended")
        auth_req_id = inbox.asked(person, party)
        inbox.answer(person, only(inbox, person))
        with inbox.world.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE clients SET status = 'suspended' WHERE client_id = 'desk-suspended'"
            )
        refused(inbox.poll(auth_req_id, party), "invalid_client")
        refused(inbox.ask(person, party), "invalid_client")


class TestNobodyThere:
    """Whether there is such a person, with an account or without, is never told."""

    def test_asking_and_polling_are_answered_alike(self, inbox: InboxFlow, person: Citizen) -> None:
        told = []
        for citizen in (person, None):
            asked = inbox.ask(citizen)
            polled = []
            for move in (0, 1, EXPIRES_SECONDS):
                inbox.world.clock.move(move)
                polled.append(inbox.poll(asked.get_json()["auth_req_id"]))
            told.append(
                [
                    (answer.status_code, shown(answer), sorted(answer.get_json()), body)
                    for answer in (asked, *polled)
                    for body in [{**answer.get_json(), "auth_req_id": ""}]
                ]
            )
            inbox.world.clock.move(-EXPIRES_SECONDS - 1)
        assert told[0] == told[1]
        assert [one[3].get("error") for one in told[0]] == [
            None,
            "authorization_pending",
            "slow_down",
            "expired_token",
        ]

    def test_who_gets_an_account_in_time_finds_the_request(self, inbox: InboxFlow) -> None:
        late = inbox.citizen()
        with inbox.world.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE citizens SET personal_id_ref = decode(repeat('00', 32), 'hex') WHERE citizen_id = %s",
                (late.citizen_id,),
            )
        auth_req_id = inbox.asked(late)
        assert inbox.waiting(late) == []
        with inbox.world.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE citizens SET personal_id_ref = %s WHERE citizen_id = %s",
                (inbox._references.citizen_ref(late.personal_id), late.citizen_id),
            )
        inbox.answer(late, only(inbox, late))
        assert inbox.poll(auth_req_id).status_code == 200


class TestWhatBecomesOfIt:
    def test_a_withdrawal_ends_every_token_at_the_next_request(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        renewed = inbox.refresh(body["refresh_token"], inbox.desk).get_json()
        at = inbox.world.clock()
        assert inbox.verbs.withdraw(inbox.actor(person), consent.consent_id, at).state == "withdrawn"
        for token in (body["access_token"], renewed["access_token"]):
            assert not inbox.is_good(token, inbox.desk)
        refused(inbox.refresh(body["refresh_token"], inbox.desk), "invalid_grant")

    def test_what_was_withdrawn_before_the_first_poll_is_access_denied(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        auth_req_id = inbox.asked(person)
        consent = inbox.answer(person, only(inbox, person))
        inbox.verbs.withdraw(inbox.actor(person), consent.consent_id, inbox.world.clock())
        refused(inbox.poll(auth_req_id), "access_denied")

    def test_tokens_outlive_a_pause_and_read_nothing_meanwhile(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        """The statement that records a release refuses not_active_paused (test_consented_records)."""
        consent, body = inbox.given(person)
        at = inbox.world.clock()
        assert inbox.verbs.pause(inbox.actor(person), consent.consent_id, at).state == "paused"
        assert inbox.is_good(body["access_token"], inbox.desk)
        assert inbox.refresh(body["refresh_token"], inbox.desk).status_code == 200
        [row] = inbox.rows("consents", "consent_id = :id", id=consent.consent_id)
        assert (row["state"], row["grant_id"]) == ("paused", body["grant_id"])
        assert inbox.verbs.resume(inbox.signer(person), consent.consent_id, at).state == "active"
        assert inbox.is_good(body["access_token"], inbox.desk)

    def test_after_an_extension_the_next_renewal_is_for_the_new_consent(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        inbox.world.clock.move(10 * 86_400)
        at = inbox.world.clock()
        heir = inbox.verbs.extend(inbox.signer(person), consent.consent_id, inbox.notice(), at)
        assert (heir.supersedes, heir.state) == (consent.consent_id, "active")
        renewed = inbox.refresh(body["refresh_token"], inbox.desk)
        assert renewed.status_code == 200, renewed.get_json()
        [detail] = renewed.get_json()["authorization_details"]
        assert detail["consent_id"] == heir.consent_id
        assert detail["record_hash"] != body["authorization_details"][0]["record_hash"]
        inbox.world.clock.move(25 * 86_400)
        assert inbox.refresh(body["refresh_token"], inbox.desk).status_code == 200, "it lasts longer now"

    def test_a_grant_ends_with_its_consent(self, inbox: InboxFlow, person: Citizen) -> None:
        _, body = inbox.given(person)
        inbox.world.clock.move(30 * 86_400 - 1)
        assert inbox.refresh(body["refresh_token"], inbox.desk).status_code == 200
        inbox.world.clock.move(1)
        refused(inbox.refresh(body["refresh_token"], inbox.desk), "invalid_grant")

    def test_two_purposes_are_decided_one_by_one_and_end_one_by_one(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        auth_req_id = inbox.asked(person, authorization_details=json.dumps([INCOME, SECOND]))
        first, second = inbox.waiting(person)
        first = inbox.answer(person, first)
        refused(inbox.poll(auth_req_id), "authorization_pending")
        second = inbox.answer(person, second)
        body = inbox.poll(auth_req_id).get_json()
        ids = {detail["purpose"]: detail["consent_id"] for detail in body["authorization_details"]}
        assert ids == {"prove_income": first.consent_id, "local_social_policy": second.consent_id}
        inbox.verbs.withdraw(inbox.actor(person), first.consent_id, inbox.world.clock())
        assert inbox.is_good(body["access_token"], inbox.desk), "the other consent still rests on it"
        inbox.verbs.withdraw(inbox.actor(person), second.consent_id, inbox.world.clock())
        assert not inbox.is_good(body["access_token"], inbox.desk)
        refused(inbox.refresh(body["refresh_token"], inbox.desk), "invalid_grant")

    @pytest.mark.parametrize("given", [0, 1])
    def test_of_two_purposes_the_token_is_for_the_one_that_was_given(
        self, inbox: InboxFlow, person: Citizen, given: int
    ) -> None:
        auth_req_id = inbox.asked(person, authorization_details=json.dumps([INCOME, SECOND]))
        waiting = inbox.waiting(person)
        for position, consent in enumerate(waiting):
            inbox.answer(person, consent, None if position == given else ())
        [detail] = inbox.poll(auth_req_id).get_json()["authorization_details"]
        assert detail["consent_id"] == waiting[given].consent_id


def test_the_second_agreement_of_these_tests_differs_in_its_purpose_alone() -> None:
    first, second = (
        two_agreements().find_agreement(one) for one in ("bank_income_proof", "bank_social_policy")
    )
    assert first is not None
    assert second is not None
    assert first.rules == second.rules
    assert (first.purpose, second.purpose) == ("prove_income", "local_social_policy")


def test_a_grant_never_outlives_the_registration(inbox: InboxFlow, person: Citizen) -> None:
    party = inbox.register_desk("desk-short")
    until = inbox.world.clock() + timedelta(days=3)
    with inbox.world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE clients SET expires_at = %s WHERE client_id = 'desk-short'", (until,)
        )
    _, body = inbox.given(person, party)
    [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
    assert grant["expires_at"] == until


def test_in_the_last_second_of_a_grant_there_is_no_token_any_more(inbox: InboxFlow) -> None:
    inbox.world.clock.at = inbox.world.clock().replace(microsecond=500_000)
    consent, body = inbox.given(inbox.citizen())
    assert consent.valid_to_at is not None
    inbox.world.clock.at = consent.valid_to_at - timedelta(milliseconds=300)
    refused(inbox.refresh(body["refresh_token"], inbox.desk), "invalid_grant")
    inbox.world.clock.move(-1)
    assert inbox.refresh(body["refresh_token"], inbox.desk).get_json()["expires_in"] == 1


class TestAskingAgain:
    def test_the_same_words_while_it_waits_are_the_same_request(self, inbox: InboxFlow) -> None:
        """After an answer that got lost nobody is locked out until the first request is over."""
        person = inbox.citizen()
        first = inbox.ask(person).get_json()
        inbox.world.clock.move(60)
        again = inbox.ask(person).get_json()
        assert again == {**first, "expires_in": first["expires_in"] - 60}
        assert len(inbox.waiting(person)) == 1

    @pytest.mark.parametrize("is_known", [True, False])
    def test_other_words_for_the_same_purpose_wait_for_the_first(
        self, inbox: InboxFlow, is_known: bool
    ) -> None:
        personal_id = inbox.citizen().personal_id if is_known else nobody()
        inbox.ask(login_hint=personal_id)
        answer = inbox.ask(login_hint=personal_id, binding_message="Again")
        description = "the person is being asked already, or refused a short while ago"
        assert (answer.status_code, answer.get_json()) == (
            400,
            {"error": "access_denied", "error_description": description},
        )
