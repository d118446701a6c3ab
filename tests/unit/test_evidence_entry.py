"""Entries: one closed schema, canonical bytes, a bound, commitments that need their salt."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785

from broker.evidence.canonical import canonical_bytes, check_closed, commitment
from broker.evidence.entry import (
    Circumstances,
    Outcome,
    check_entry,
    entry_bytes,
    entry_object,
    instant_text,
)
from broker.evidence.pseudonyms import KeyedPseudonyms

AT = datetime(2026, 11, 22, 0, 15, 4, 123_999, tzinfo=UTC)
WHO = Circumstances(
    reference="01a200d1-6a6f-713d-b8ef-eedbe9e62e9d",
    request_id="desk-4",
    at=AT,
    client="hospital-79001",
    recipient="facility-79001",
    acting_person="ab" * 32,
    encounter="cd" * 16,
    action="verify_entitlement",
    purpose="check_health_insurance_entitlement",
    legal_basis="L19_1_c",
    agreement="hospital_entitlement_check",
    agreement_revision="ef" * 32,
)
RELEASE = Outcome(
    kind="release",
    result="released",
    reason="",
    released=(("hi_card", "value"), ("valid_to", "value")),
    withheld=(("ethnicity", "not_in_agreement"),),
    determining_rules=("hospital_entitlement_check/card",),
    data_subject_commit="12" * 32,
    payload_commit="34" * 32,
)


def decoded(circumstances: Circumstances = WHO, outcome: Outcome = RELEASE) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(entry_bytes(circumstances, outcome))
    return entry


def test_an_entry_is_the_canonical_form_of_its_closed_members() -> None:
    content = entry_bytes(WHO, RELEASE)
    assert content == rfc8785.dumps(json.loads(content)) == canonical_bytes(entry_object(WHO, RELEASE))
    check_entry(json.loads(content))


def test_every_fact_stands_in_the_entry_under_its_name() -> None:
    entry = decoded()
    for one in fields(Circumstances):
        if one.name != "at":
            assert entry[one.name] == getattr(WHO, one.name)
    assert entry["at"] == "2026-11-22T00:15:04.123Z"
    assert entry["released"] == [["hi_card", "value"], ["valid_to", "value"]]
    assert entry.keys() == {
        *(one.name for one in fields(Circumstances)),
        *(one.name for one in fields(Outcome)),
        "schema",
    }


def test_what_is_absent_is_null_and_never_left_out() -> None:
    nobody = decoded(
        replace(WHO, acting_person=None, encounter=None), Outcome("refusal", "refused", "no_agreement")
    )
    check_entry(nobody)
    absent = {name for name, value in nobody.items() if value is None}
    assert absent == {
        "acting_person", "encounter", "consent", "consent_version", "data_subject_commit", "payload_commit",
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"full_name": "Nguyễn Văn An"},
        {"released": [["hi_card", "7912345678 Nguyễn"]]},
        {"released": [["hi_card"]]},
        {"released": {"hi_card": "value"}},
        {"withheld": [["ethnicity", ""]]},
        {"client": "bệnh viện"},
        {"client": None},
        {"recipient": ""},
        {"reference": 7},
        {"request_id": "x" * 81},
        {"action": "two words"},
        {"kind": "rumour"},
        {"result": "maybe"},
        {"schema": 2},
        {"payload_commit": "34" * 31},
        {"payload_commit": "34" * 33},
        {"data_subject_commit": "XY" * 32},
        {"schema": True},
        {"at": "2026-02-29T00:00:00.000Z"},
        {"at": "2026-11-22T00:15:04Z"},
        {"at": 7},
        {"consent": "Nguyễn Văn An"},
        {"consent": "An Nguyen Van"},
        {"consent": 7},
        {"consent": ["c-1"]},
        {"consent_version": "1"},
        {"consent_version": True},
        {"consent_version": -1},
        {"consent_version": 1.5},
        {"consent_version": 2**53},
    ],
)
def test_what_does_not_fit_the_schema_is_no_entry(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_entry({**decoded(), **change})


def test_a_missing_member_is_named() -> None:
    entry = decoded()
    del entry["legal_basis"]
    with pytest.raises(ValueError, match="legal_basis"):
        check_entry(entry)


def test_an_entry_that_the_log_could_not_hold_is_never_made() -> None:
    fitting = 65_535 - len(entry_bytes(WHO, RELEASE))
    longest = replace(WHO, purpose=WHO.purpose + "x" * fitting)
    assert len(entry_bytes(longest, RELEASE)) == 65_535
    with pytest.raises(ValueError, match="too long"):
        entry_bytes(replace(longest, purpose=longest.purpose + "x"), RELEASE)


@pytest.mark.parametrize(
    ("instant", "told"),
    [
        (AT, "2026-11-22T00:15:04.123Z"),
        (AT.replace(microsecond=0), "2026-11-22T00:15:04.000Z"),
        (AT.astimezone(timezone(timedelta(hours=7))), "2026-11-22T00:15:04.123Z"),
        (datetime(2026, 11, 22, 17, tzinfo=timezone.utc), "2026-11-22T17:00:00.000Z"),  # noqa: UP017
        (datetime(2026, 11, 22, 2, tzinfo=timezone(timedelta(hours=7))), "2026-11-21T19:00:00.000Z"),
    ],
)
def test_instants_are_told_in_utc_with_milliseconds(instant: datetime, told: str) -> None:
    assert instant_text(instant) == told


class TestCommitments:
    def test_a_commitment_is_the_hash_of_salt_and_content(self) -> None:
        salt = bytes(range(32))
        assert commitment(salt, b"content") == hashlib.sha256(salt + b"content").hexdigest()

    @pytest.mark.parametrize("length", [0, 16, 31, 33])
    def test_a_salt_has_32_bytes(self, length: int) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            commitment(b"x" * length, b"001090123456")


class TestPseudonyms:
    names = KeyedPseudonyms(b"k" * 32)

    def test_the_same_words_under_the_same_key_give_the_same_name(self) -> None:
        again = KeyedPseudonyms(b"k" * 32)
        assert self.names.staff_ref("a", "1") == again.staff_ref("a", "1")
        assert len(self.names.staff_ref("a", "1")) == len(self.names.data_subject_ref("1")) == 32
        assert len(bytes.fromhex(self.names.encounter_ref("a", "1"))) == 16

    def test_other_words_another_use_or_another_key_give_another_name(self) -> None:
        other = KeyedPseudonyms(b"l" * 32)
        found = [
            self.names.staff_ref("a", "1"),
            self.names.staff_ref("a1", ""),
            self.names.staff_ref("", "a1"),
            self.names.staff_ref("1", "a"),
            self.names.data_subject_ref("a1"),
            self.names.data_subject_ref("1:a"),
            bytes.fromhex(self.names.encounter_ref("a", "1")),
            other.staff_ref("a", "1"),
            other.data_subject_ref("a1"),
        ]
        assert len({ref[:16] for ref in found}) == len(found)

    @pytest.mark.parametrize("length", [0, 31, 33, 64])
    def test_the_key_has_32_bytes(self, length: int) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            KeyedPseudonyms(b"k" * length)


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), b"x", {1, 2}, {"ä": 1}, {1: 1}, [2**53], [-(2**53)], {"a": [{"b": 0.5}]}, AT]
)
def test_evidence_has_no_place_for_other_values(value: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_closed(value)
