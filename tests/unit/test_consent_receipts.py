"""Receipts of consents: both standard forms for every event, and nothing in them that must not be there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from jsonschema_rs import Draft202012Validator

from broker.consent.change import _RECEIPTS
from broker.consent.codec import record_hash
from broker.consent.receipt_dpv import DCT
from broker.consent.receipt_words import ENDED, TITLES, termination
from broker.consent.receipts import ReceiptIssuer, difference, receipt_payload
from broker.consent.record import Consent, EventType
from broker.evidence.canonical import canonical_bytes
from policies.vocabulary import DPV
from tests.receipt_world import (
    AT,
    BANK_EN,
    BANK_VI,
    ISSUER,
    NOTICE,
    WITH_LIMITS,
    every_event,
    given,
    names_of,
    naming,
    payload,
    requested,
    terms,
)

DATA = Path(__file__).parents[1] / "data"
CASES = list(every_event())
EVENTS = pytest.mark.parametrize(
    ("event", "consent", "before", "at"), CASES, ids=[event for event, *_ in CASES]
)


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((DATA / name).read_text("utf-8")))


DPV_RECEIPT = validator("dpv_27560_receipt.json")
KANTARA_RECEIPT = validator("kantara_consent_receipt_1_1.json")


def faults(schema: Draft202012Validator, document: Any) -> list[str]:
    return [f"{list(error.instance_path)}: {error.message}" for error in schema.iter_errors(document)]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings(member)


def process_of(signed: dict[str, Any]) -> dict[str, Any]:
    process: dict[str, Any] = signed["receipt_27560"][f"{DPV}hasRecordOfActivity"][f"{DPV}hasProcess"]
    return process


def status_of(signed: dict[str, Any]) -> dict[str, Any]:
    status: dict[str, Any] = signed["receipt_27560"][f"{DPV}hasRecordOfActivity"][f"{DPV}hasConsentStatus"]
    return status


def fields_of(personal_data: list[dict[str, Any]]) -> set[str]:
    return {one[f"{DCT}identifier"] for one in personal_data}


def test_there_is_a_case_and_a_title_for_every_event_that_gives_a_receipt() -> None:
    assert {event for event, *_ in CASES} == set(TITLES) == _RECEIPTS


@EVENTS
def test_every_event_gives_a_whole_receipt_of_the_iso_form(
    event: EventType, consent: Consent, before: Consent | None, at: datetime
) -> None:
    signed = payload(event, consent, before, at)
    assert faults(DPV_RECEIPT, signed["receipt_27560"]) == []
    assert status_of(signed)[f"{DCT}type"] == event


@EVENTS
def test_every_event_gives_a_whole_receipt_of_kantaras_form(
    event: EventType, consent: Consent, before: Consent | None, at: datetime
) -> None:
    document = payload(event, consent, before, at)["receipt_kantara"]
    assert faults(KANTARA_RECEIPT, document) == []
    assert document["consentTimestamp"] == int(at.timestamp())
    [purpose] = document["services"][0]["purposes"]
    assert purpose["thirdPartyDisclosure"] is (event not in ENDED and event != "paused")
    assert purpose["thirdPartyName"] == BANK_VI


@EVENTS
def test_what_is_signed_has_one_form_by_rfc_8785(
    event: EventType, consent: Consent, before: Consent | None, at: datetime
) -> None:
    signed = payload(event, consent, before, at)
    assert canonical_bytes(signed) == rfc8785.dumps(signed)
    assert (signed["record_hash"], signed["version"]) == (record_hash(consent), consent.version)
    assert (signed["issuer"], signed["event"]) == (ISSUER, event)


@EVENTS
def test_a_receipt_names_the_person_by_the_pairwise_name_only(
    event: EventType, consent: Consent, before: Consent | None, at: datetime
) -> None:
    """Nor the account, nor who signed, nor the recipient's own message."""
    said = set(strings(payload(event, consent, before, at)))
    assert consent.subject in said
    hidden = {consent.citizen_id, *(one.citizen_id for one in consent.signers), "Lời nhắn của ngân hàng"}
    assert [text for text in said for one in hidden if one in text] == []


@EVENTS
def test_every_name_in_the_iso_form_is_an_absolute_iri(
    event: EventType, consent: Consent, before: Consent | None, at: datetime
) -> None:
    """So that nobody has to load a context to know what is meant."""

    def keys(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, member in value.items():
                yield key
                yield from keys(member)
        elif isinstance(value, list):
            for member in value:
                yield from keys(member)

    named = set(keys(payload(event, consent, before, at)["receipt_27560"]))
    assert {key for key in named if not key.startswith(("https://", "http://"))} == {
        "@id",
        "@type",
        "@value",
        "@language",
    }


def test_a_consent_in_part_tells_what_may_be_read_and_what_may_not() -> None:
    change = given(None, "salary_base", "si_status")
    process = process_of(payload("partially_given", change.consent, None, AT))
    assert fields_of(process[f"{DPV}hasPersonalData"]) == {"salary_base", "si_status"}
    assert fields_of(process[f"{DPV}hasRule"][f"{DPV}hasPersonalData"]) == {
        "contribution_from",
        "contribution_to",
    }


def test_a_consent_to_all_bars_nothing() -> None:
    assert f"{DPV}hasRule" not in process_of(payload("given", given().consent, None, AT))


@EVENTS
def test_after_an_end_all_fields_are_barred(
    event: EventType, consent: Consent, before: Consent | None, at: datetime
) -> None:
    process = process_of(payload(event, consent, before, at))
    barred = fields_of(process.get(f"{DPV}hasRule", {}).get(f"{DPV}hasPersonalData", []))
    assert barred == (
        consent.terms.field_names if event in ENDED else consent.terms.field_names - consent.given_names
    )


def test_sensitive_fields_are_marked_in_both_forms() -> None:
    signed = payload("given", given().consent, None, AT)
    kinds = {one[f"{DCT}identifier"]: one["@type"] for one in process_of(signed)[f"{DPV}hasPersonalData"]}
    assert kinds["si_status"] == [f"{DPV}SensitivePersonalData"]
    assert kinds["salary_base"] == [f"{DPV}PersonalData"]
    kantara = signed["receipt_kantara"]
    assert (kantara["sensitive"], len(kantara["spiCat"])) == (True, 1)


def test_without_a_sensitive_field_nothing_is_sensitive() -> None:
    document = payload("partially_given", given(None, "salary_base").consent, None, AT)["receipt_kantara"]
    assert (document["sensitive"], document["spiCat"]) == (False, [])
    assert faults(KANTARA_RECEIPT, document) == []


def test_bounds_of_time_and_number_stand_in_the_iso_form() -> None:
    signed = payload("given", given(terms(**WITH_LIMITS)).consent, None, AT)
    process = process_of(signed)
    assert process[f"{DCT}temporal"] == "2025-01-01/.."
    assert "3 per month" in set(strings(process[f"{DPV}hasFrequency"]))
    assert process[f"{DPV}hasProcessing"] == {"@id": f"{DPV}Store"}
    assert faults(DPV_RECEIPT, signed["receipt_27560"]) == []


def test_both_who_signed_are_named_by_their_part_in_it() -> None:
    [case] = [case for case in CASES if case[0] == "cosigned"]
    entities = status_of(payload(*case))[f"{DPV}isIndicatedBy"]
    assert entities == [{"@id": f"{DPV}DataSubject"}, {"@id": f"{DPV}Representative"}]


def test_what_time_does_nobody_has_decided() -> None:
    [case] = [case for case in CASES if case[0] == "expired"]
    status = status_of(payload(*case))
    assert status[f"{DPV}isIndicatedBy"] == [{"@id": f"{DPV}DataController"}]
    assert "by time or by rule" in set(strings(status))


def test_a_pause_is_told_as_not_valid_for_processing() -> None:
    [case] = [case for case in CASES if case[0] == "paused"]
    assert status_of(payload(*case))["@type"][0] == f"{DPV}ConsentStatusInvalidForProcessing"


def test_the_language_of_kantaras_form_is_that_of_the_question() -> None:
    consent = replace(given().consent, notice=replace(NOTICE, language="en"))
    document = payload("given", consent, None, AT)["receipt_kantara"]
    assert document["language"] == "en"
    assert document["services"][0]["purposes"][0]["thirdPartyName"] == BANK_EN


def test_a_refusal_before_anything_was_shown_has_a_receipt_too() -> None:
    consent = replace(requested(), state="refused", state_reason="unsigned", notice=None)
    signed = payload("refused", consent, None, AT)
    assert faults(DPV_RECEIPT, signed["receipt_27560"]) == []
    assert faults(KANTARA_RECEIPT, signed["receipt_kantara"]) == []
    assert signed["receipt_kantara"]["services"][0]["purposes"][0]["consentType"] == "N/A"


def test_an_amendment_tells_the_difference_and_nothing_else() -> None:
    [(_, after, before, at)] = [case for case in CASES if case[0] == "amended"]
    assert before is not None
    signed = payload("amended", after, before, at)
    assert signed["difference"] == {"fields_removed": ["contribution_from", "contribution_to", "si_status"]}
    replaced = signed["receipt_27560"][f"{DPV}hasRecordOfActivity"][f"{DCT}replaces"]
    assert replaced == {"@id": f"urn:uuid:{before.consent_id}"}


def test_an_extension_tells_the_old_end_and_the_new() -> None:
    [(_, after, before, at)] = [case for case in CASES if case[0] == "extended"]
    assert payload("extended", after, before, at)["difference"] == {
        "valid_to": ["2026-05-31T09:30:00Z", "2026-06-01T09:30:00Z"]
    }


def test_a_difference_tells_new_fields_other_keeping_and_another_range() -> None:
    before = given(None, "salary_base").consent
    after = given(terms(retention_days=90, data_range=WITH_LIMITS["data_range"])).consent
    assert difference(before, after) == {
        "fields_added": ["contribution_from", "contribution_to", "si_status"],
        "data_range": [None, {"first_day": "2025-01-01", "last_day": None}],
        "retention_days": [180, 90],
    }


def test_a_changed_consent_without_its_predecessor_gets_no_receipt() -> None:
    [(_, after, _before, at)] = [case for case in CASES if case[0] == "amended"]
    with pytest.raises(ValueError, match="has one that it takes the place of, and no other has"):
        payload("amended", after, None, at)
    with pytest.raises(ValueError, match="has one that it takes the place of, and no other has"):
        payload("given", given().consent, after, at)


def test_an_event_that_citizens_need_not_keep_gets_no_receipt() -> None:
    with pytest.raises(ValueError, match="there is no receipt for such an event"):
        payload("viewed", given().consent, None, AT)


def test_names_that_the_policies_no_longer_have_are_told_by_their_codes() -> None:
    """A withdrawal must not fail because an agreement is gone."""
    gone = terms(agreement_id="gone", purpose="gone_too")
    field = replace(gone.fields[0], name="gone_field", form="gone_form")
    consent = replace(given().consent, terms=replace(gone, fields=(field, *gone.fields[1:])))
    names = names_of(consent)
    assert (names.agreement, names.purpose) == (("gone", "gone"), ("gone_too", "gone_too"))
    assert names.fields["gone_field"].label == ("gone_field", "gone_field")
    assert (names.owner.party_id, names.storage, names.risk_assessment) == ("vss", "", "")
    signed = payload("withdrawn", replace(consent, state_reason="by_data_subject"), None, AT)
    assert faults(DPV_RECEIPT, signed["receipt_27560"]) == []
    assert faults(KANTARA_RECEIPT, signed["receipt_kantara"]) == []


def test_how_the_data_owner_is_reached_stands_in_both_forms() -> None:
    known = naming(owner_address="1 Phố Thử", owner_email="a@vss.example", owner_phone="1900 0000")
    names = known.names_of(consent := given().consent)
    signed = receipt_payload(consent, "given", names, consent.consent_id, AT, "reference")
    [controller] = signed["receipt_kantara"]["piiControllers"]
    assert (controller["email"], controller["phone"]) == ("a@vss.example", "1900 0000")
    assert controller["address"] == {"addressCountry": "VN", "streetAddress": "1 Phố Thử"}
    said = set(strings(signed["receipt_27560"]))
    assert {"1 Phố Thử", "a@vss.example", "1900 0000"} <= said
    assert faults(DPV_RECEIPT, signed["receipt_27560"]) == []


def test_until_it_has_an_end_the_days_are_told() -> None:
    consent = replace(given().consent, valid_to_at=None)
    assert termination(consent, "given") == ("Được đọc 90 ngày.", "Read for 90 days.")


def test_the_issuer_looks_for_the_predecessor_of_a_changed_consent_only() -> None:
    [(_, after, before, at)] = [case for case in CASES if case[0] == "extended"]
    assert before is not None
    asked: list[str] = []
    signed: list[Any] = []

    def find(consent_id: str) -> Consent | None:
        asked.append(consent_id)
        return before

    def sign(content: Any) -> str:
        signed.append(content)
        return "jws"

    issuer = ReceiptIssuer(sign, naming(), lambda: "0197d2f0-0000-7000-8000-000000000001", find)
    receipt = issuer.issue(after, "extended", at, "evidence-1")
    assert asked == [before.consent_id]
    assert (receipt.receipt, receipt.event_type, receipt.issued_at) == ("jws", "extended", at)
    assert (receipt.consent_id, receipt.citizen_id) == (after.consent_id, after.citizen_id)
    assert (signed[0]["receipt_id"], signed[0]["evidence_reference"]) == (receipt.receipt_id, "evidence-1")
    issuer.issue(after, "paused", at, "evidence-2")
    assert asked == [before.consent_id]


def test_a_schema_refuses_a_receipt_that_lacks_something() -> None:
    """So that the tests above can fail."""
    signed = payload("given", given().consent, None, AT)
    del signed["receipt_27560"][f"{DPV}hasRecordOfActivity"][f"{DPV}hasConsentStatus"]
    del signed["receipt_kantara"]["services"][0]["purposes"][0]["thirdPartyName"]
    [fault] = faults(KANTARA_RECEIPT, signed["receipt_kantara"])
    assert '"thirdPartyName" is a required property' in fault
    assert len(faults(DPV_RECEIPT, signed["receipt_27560"])) == 1
