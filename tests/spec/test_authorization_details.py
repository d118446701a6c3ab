"""authorization_details (RFC 9396) and resource (RFC 8707): asked, narrowed, told, never widened."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.storage.clients import ClientRecord, Organisation
from tests.citizen_world import Citizen
from tests.oauth_flow import COMPLETED, INCOME, Attempt, Flow, agreed, parts_of, refused
from tests.oauth_world import ISSUER, Party

ERROR = "invalid_authorization_details"
CHECK = {"type": "entitlement_check"}
EXPORT = {"type": "statistics_export"}
FIELDS = list(INCOME["fields"])


def listed(*details: Any) -> str:
    return json.dumps(details)


def marks(details: Any) -> list[tuple[str, str]]:
    """Return what ties the details to their consents."""
    return [(detail["consent_id"], detail["record_hash"]) for detail in details]


class TestWhatIsAsked:
    @pytest.mark.parametrize(
        ("changes", "place"),
        [
            ({"type": "payment_initiation"}, "type"),
            ({"type": 7}, "type"),
            ({"type": None}, "type"),
            ({"type": "entitlement_check"}, "type"),
            ({"unknown_member": 1}, "members"),
            ({"fields": ["salary_base", "no_such_field"]}, "fields"),
            ({"fields": ["salary_base", "visit_diagnosis"]}, "fields"),
            ({"fields": []}, "fields"),
            ({"fields": ["salary_base", "salary_base"]}, "fields"),
            ({"fields": "salary_base"}, "fields"),
            ({"fields": ["Salary Base"]}, "fields"),
            ({"required_fields": ["employer_tax_code"]}, "required_fields"),
            ({"purpose": "hire_somebody"}, "purpose or agreement_id"),
            ({"purpose": "check_health_insurance_entitlement"}, "purpose or agreement_id"),
            ({"agreement_id": "employer_own_unit_contributions"}, "purpose or agreement_id"),
            ({"agreement_id": "hospital_entitlement_check"}, "purpose or agreement_id"),
            ({"retention_days": 181}, "retention_days"),
            ({"retention_days": 0}, "retention_days"),
            ({"retention_days": "180"}, "retention_days"),
            ({"valid_days": 366}, "valid_days"),
            ({"valid_days": True}, "valid_days"),
            ({"locations": ["https://other.example"]}, "locations"),
            ({"actions": ["write"]}, "actions"),
            ({"lookup_keys": ["personal_id"]}, "lookup_keys"),
        ],
        ids=repr,
    )
    def test_rfc9396_5_a_detail_that_does_not_fit_is_refused_by_place(
        self, flow: Flow, changes: dict[str, Any], place: str
    ) -> None:
        told = refused(flow.push(authorization_details=listed({**INCOME, **changes})), ERROR)
        assert told.startswith(f"authorization_details 0: {place}: ")

    @pytest.mark.parametrize("name", ["type", "purpose", "fields"])
    def test_rfc9396_2_what_must_be_there_is_missed(self, flow: Flow, name: str) -> None:
        given = {key: value for key, value in INCOME.items() if key != name}
        refused(flow.push(authorization_details=listed(given)), ERROR)

    @pytest.mark.parametrize(
        "text",
        [
            "x",
            "{}",
            "[]",
            "null",
            "[1]",
            "[[]]",
            json.dumps(INCOME),
            listed(*[INCOME] * 9),
            '[{"type":"insurance_record","type":"insurance_record"}]',
            listed(INCOME)[:-1] + ',"x"]',
            "[" * 100 + "]" * 100,
            '[{"type":' + "[" * 100 + "]" * 100 + "}]",
            "[" * 20_000,
            listed(INCOME) + "]",
            listed(INCOME) + "}",
            listed(INCOME) + ',"more":[]',
            listed({**INCOME, "purpose": "x" * 17_000}),
            '[{"type":"\\ud83d"}]',
            "\x00[]",
        ],
        ids=lambda text: text[:40],
    )
    def test_rfc9396_2_what_is_no_array_of_objects_is_refused(self, flow: Flow, text: str) -> None:
        told = refused(flow.push(authorization_details=text), ERROR)
        assert "x" * 17 not in told

    def test_rfc9396_5_the_second_detail_is_named_by_its_place(self, flow: Flow) -> None:
        told = refused(flow.push(authorization_details=listed(INCOME, {**INCOME, "purpose": "x"})), ERROR)
        assert told.startswith("authorization_details 1: purpose or agreement_id: ")

    def test_nothing_that_was_sent_is_repeated(self, flow: Flow) -> None:
        for value in ("secret_purpose", "0010902000"):
            told = refused(flow.push(authorization_details=listed({**INCOME, "purpose": value})), ERROR)
            assert value not in told

    def test_rfc9396_10_a_client_may_be_registered_for_some_types_only(self, flow: Flow) -> None:
        party = flow.register_bank("bank-without-types", authorization_details_types=["statistics_export"])
        told = refused(flow.push(party=party), ERROR)
        assert told == "authorization_details 0: type: is not registered for this client"

    def test_a_client_of_no_agreement_asks_nobody(self, flow: Flow) -> None:
        party = Party("bank-without-agreement")
        flow.world.clients.register_client(
            ClientRecord(
                client_id=party.client_id,
                organisation_id="bank-1",
                name=party.client_id,
                scopes=("share_record",),
                agreement_ids=(),
                client_metadata={
                    "grant_types": ["authorization_code"],
                    "redirect_uris": ["https://bank.example/callback"],
                    "jwks": {"keys": [party.public_jwk]},
                },
                expires_at=flow.world.clock().replace(year=flow.world.clock().year + 1),
            )
        )
        assert "no agreement of the client fits" in refused(flow.push(party=party), ERROR)

    def test_a_purpose_is_asked_once_however_its_fields_are_spread(self, flow: Flow) -> None:
        other = {**INCOME, "fields": ["si_status"], "required_fields": [], "valid_days": 5}
        told = refused(flow.push(authorization_details=listed({**INCOME, "valid_days": 9}, other)), ERROR)
        assert told == "one detail for each agreement: a purpose is decided once"


class TestWhatIsGiven:
    def test_rfc9396_7_and_9_1_response_and_token_say_what_was_given(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        body = flow.tokens(citizen)
        given = body["authorization_details"]
        assert agreed(given) == [COMPLETED]
        assert parts_of(body["access_token"])[1]["authorization_details"] == given
        info = flow.get("/v1/token-info", body["access_token"]).get_json()
        assert info["authorization_details"] == given

    def test_rfc9396_7_fields_are_told_in_the_order_of_the_catalogue_however_they_were_asked(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        asked = {**INCOME, "fields": FIELDS[::-1]}
        body = flow.tokens(citizen, authorization_details=listed(asked))
        assert agreed(body["authorization_details"]) == [COMPLETED]

    def test_every_redirect_makes_a_consent_of_its_own(self, flow: Flow, citizen: Citizen) -> None:
        first, second = (flow.tokens(citizen)["authorization_details"][0] for _ in range(2))
        assert first["consent_id"] != second["consent_id"]
        assert first["record_hash"] != second["record_hash"]

    def test_rfc9396_7_what_the_citizen_left_out_is_not_in_it(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen, ("0.salary_base",), scope="openid")
        body = flow.redeem(attempt).get_json()
        assert [detail["fields"] for detail in body["authorization_details"]] == [["salary_base"]]
        assert body["scope"] == "openid share_record"

    @pytest.mark.parametrize(
        "asked",
        [
            {"type": "insurance_record"},
            {"type": "insurance_record", "fields": FIELDS[-1:]},
            {"type": "insurance_record", "fields": FIELDS[-2:], "valid_days": 1},
            {**COMPLETED, "retention_days": 1},
        ],
        ids=repr,
    )
    def test_rfc9396_6_a_token_request_may_narrow(
        self, flow: Flow, citizen: Citizen, asked: dict[str, Any]
    ) -> None:
        expected = [{**COMPLETED, **asked}]
        attempt = flow.granted(citizen)
        body = flow.redeem(attempt, authorization_details=listed(asked)).get_json()
        assert agreed(body["authorization_details"]) == expected
        claims = parts_of(body["access_token"])[1]
        assert claims["authorization_details"] == body["authorization_details"]
        renewed = flow.refresh(body["refresh_token"]).get_json()
        whole = renewed["authorization_details"]
        assert agreed(whole) == [COMPLETED], "the grant itself stays as it was given"
        narrower = flow.refresh(body["refresh_token"], authorization_details=listed(asked)).get_json()
        assert agreed(narrower["authorization_details"]) == expected
        assert (
            marks(whole) == marks(body["authorization_details"]) == marks(narrower["authorization_details"])
        )

    @pytest.mark.parametrize(
        "asked",
        [
            {"type": "insurance_record", "fields": [*FIELDS, "first_contribution_month"]},
            {"type": "insurance_record", "fields": FIELDS[:-1]},
            {"type": "insurance_record", "fields": []},
            {"type": "insurance_record", "valid_days": 31},
            {"type": "insurance_record", "retention_days": 181},
            {"type": "insurance_record", "purpose": "hire_somebody"},
            {"type": "insurance_record", "required_fields": []},
            {"type": "insurance_record", "agreement_id": "hospital_entitlement_check"},
            {"type": "insurance_record", "locations": ["https://other.example"]},
            {"type": "insurance_record", "more": 1},
            {"type": "insurance_record", "anything": None},
            {"type": "insurance_record", "locations": None},
            {"type": "insurance_record", "lookup_keys": None},
            {"type": "insurance_record", "consent_id": "01a2018f-2653-70d1-bd94-3efab94f4944"},
            {"type": "insurance_record", "record_hash": "0" * 64},
            {"type": "entitlement_check"},
            {"fields": 7},
            {"fields": [["salary_base"]]},
            {"fields": {"salary_base": 1}},
            {"fields": ["salary_base", "salary_base"]},
            {"lookup_keys": ["personal_id"]},
            {"valid_days": "1"},
            {"valid_days": True},
            {"valid_days": 1.5},
            {"valid_days": None},
        ],
        ids=repr,
    )
    def test_rfc9396_6_a_token_request_never_widens(
        self, flow: Flow, citizen: Citizen, asked: dict[str, Any]
    ) -> None:
        attempt = flow.granted(citizen)
        refused(flow.redeem(attempt, authorization_details=listed(asked)), ERROR)
        body = flow.redeem(attempt).get_json()
        refused(flow.refresh(body["refresh_token"], authorization_details=listed(asked)), ERROR)

    def test_rfc9396_6_a_token_request_names_each_agreement_once(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen)
        asked = listed({"type": "insurance_record"}, {"type": "insurance_record", "valid_days": 1})
        told = refused(flow.redeem(attempt, authorization_details=asked), ERROR)
        assert told == "authorization_details 1: agreement_id: one detail for each agreement"
        body = flow.redeem(attempt).get_json()
        refused(flow.refresh(body["refresh_token"], authorization_details=asked), ERROR)

    def test_rfc9396_6_what_a_citizen_left_out_cannot_be_asked_back(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt = flow.granted(citizen, ("0.salary_base",))
        refused(flow.redeem(attempt, authorization_details=listed(INCOME)), ERROR)
        body = flow.redeem(attempt).get_json()
        refused(flow.refresh(body["refresh_token"], authorization_details=listed(INCOME)), ERROR)


class TestClientsThatActForThemselves:
    @pytest.fixture
    def hospital(self, flow: Flow) -> Party:
        number = flow.world.count("clients")
        return self._register(flow, f"hospital-{number}", "hospital", "hospital_entitlement_check")

    def _register(self, flow: Flow, client_id: str, kind: str, agreement_id: str) -> Party:
        party = Party(client_id)
        flow.world.clients.register_organisation(
            Organisation(organisation_id=client_id, kind=kind, name_vi=client_id, name_en=client_id)
        )
        flow.world.clients.register_client(
            ClientRecord(
                client_id=client_id,
                organisation_id=client_id,
                name=client_id,
                scopes=("verify_entitlement", "export_statistics"),
                agreement_ids=(agreement_id,),
                client_metadata={
                    "grant_types": ["client_credentials"],
                    "jwks": {"keys": [party.public_jwk]},
                },
                expires_at=flow.world.clock().replace(year=flow.world.clock().year + 1),
            )
        )
        return party

    def ask(self, flow: Flow, party: Party, *details: Any, **form: Any) -> Any:
        full = {"grant_type": "client_credentials", "authorization_details": listed(*details), **form}
        return flow.post("/oauth/token", full, party)

    @pytest.mark.parametrize("scope", [..., "verify_entitlement"])
    def test_rfc9396_6_a_client_narrows_its_own_token(self, flow: Flow, hospital: Party, scope: Any) -> None:
        narrow = {**CHECK, "lookup_keys": ["hi_card"]}
        answer = self.ask(flow, hospital, narrow, scope=scope)
        assert answer.status_code == 200, answer.get_json()
        body = answer.get_json()
        expected = [{**narrow, "agreement_id": "hospital_entitlement_check"}]
        assert body["scope"] == "verify_entitlement"
        assert body["authorization_details"] == expected
        claims = parts_of(body["access_token"])[1]
        assert claims["authorization_details"] == expected
        assert claims["sub"] == f"client:{hospital.client_id}"

    def test_statistics_are_narrowed_likewise(self, flow: Flow) -> None:
        ministry = self._register(flow, "ministry_of_health", "ministry", "ministry_of_health_statistics")
        body = self.ask(flow, ministry, {**EXPORT, "fields": ["sex"]}).get_json()
        assert body["scope"] == "export_statistics"
        assert body["authorization_details"][0]["fields"] == ["sex"]
        refused(self.ask(flow, ministry, {**EXPORT, "fields": ["bank_account"]}), ERROR)

    @pytest.mark.parametrize(
        "detail",
        [
            INCOME,
            EXPORT,
            {**CHECK, "lookup_keys": ["passport"]},
            {**CHECK, "lookup_keys": []},
            {**CHECK, "agreement_id": "bank_income_proof"},
            {**CHECK, "purpose": "prove_income"},
            {**CHECK, "fields": ["valid_to"]},
        ],
        ids=repr,
    )
    def test_a_detail_that_does_not_fit_is_refused(
        self, flow: Flow, hospital: Party, detail: dict[str, Any]
    ) -> None:
        refused(self.ask(flow, hospital, detail, scope="verify_entitlement"), ERROR)


class TestResource:
    """RFC 8707: this broker is the only resource there is."""

    def test_rfc8707_2_the_broker_may_be_named_once_and_again(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen, resource=[ISSUER, ISSUER])
        body = flow.redeem(attempt, resource=ISSUER).get_json()
        assert parts_of(body["access_token"])[1]["aud"] == ISSUER
        assert flow.refresh(body["refresh_token"], resource=[ISSUER, ISSUER]).status_code == 200

    @pytest.mark.parametrize(
        "resource", ["https://other.example", f"{ISSUER}/", "x", [ISSUER, "https://other.example"]]
    )
    def test_rfc8707_2_another_resource_is_an_invalid_target_everywhere(
        self, flow: Flow, citizen: Citizen, resource: Any
    ) -> None:
        refused(flow.push(resource=resource), "invalid_target")
        attempt = flow.granted(citizen)
        refused(flow.redeem(attempt, resource=resource), "invalid_target")
        body = flow.redeem(attempt).get_json()
        refused(flow.refresh(body["refresh_token"], resource=resource), "invalid_target")
        form = {"grant_type": "client_credentials", "scope": "grant_management_query", "resource": resource}
        refused(flow.post("/oauth/token", form), "invalid_target")


def test_rfc9396_3_details_outside_the_pushed_request_are_not_looked_at(flow: Flow, citizen: Citizen) -> None:
    attempt = Attempt()
    flow.push(attempt)
    outside = listed({**INCOME, "fields": ["si_status"]})
    assert (
        flow.authorize(flow.browser(), attempt.request_uri, authorization_details=outside).status_code == 303
    )
    flow.decide(citizen, attempt)
    assert agreed(flow.redeem(attempt).get_json()["authorization_details"]) == [COMPLETED]
