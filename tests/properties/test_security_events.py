"""Entries told to a SIEM: what OCSF 1.3.0 requires, CEF that an independent parser reads, and no person."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evidence.administration_entry import Administration, administration_entry_bytes
from broker.evidence.cef import cef_line, extension_value, header_value
from broker.evidence.consent_entry import ConsentCircumstances, consent_entry_bytes
from broker.evidence.entry import Circumstances, Outcome, entry_bytes
from broker.evidence.ocsf import ocsf_event, ocsf_line
from broker.evidence.security_event import SecurityEvent, security_event
from tests.evidence_entries import HASH, STAFF, one_of_each_kind
from tests.house.project import ROOT

OCSF = json.loads((ROOT / "tests/data/ocsf_1_3_0_api_activity.json").read_text("utf-8"))
AT = datetime(2026, 11, 22, 1, 2, 3, 456_000, tzinfo=UTC)
SECRETS = ("5" * 64, "6" * 64, "7" * 32, "079190000001", "d2719b1a-1111-7abc-8def-000000000001")
"""Commitments, an encounter, what a client chose as request id, a consent: none of it is told."""
MAKER = {"vendor": "insurance-data-broker", "product": "broker", "version": "0.1.0"}


def decision_entry(action: str = "verify_entitlement", **outcome: Any) -> dict[str, Any]:
    circumstances = Circumstances(
        reference="0197a5b0-0000-7000-8000-000000000001",
        request_id=SECRETS[3],
        at=AT,
        client="hospital-1",
        recipient="facility-1",
        acting_person="a" * 64,
        encounter=SECRETS[2],
        action=action,
        purpose="prove_income",
        legal_basis="CONSENT",
        agreement="bank_income_proof",
        agreement_revision="b" * 64,
        consent=SECRETS[4],
        consent_version=2,
    )
    told: dict[str, Any] = {
        "kind": "release",
        "result": "released",
        "reason": "",
        "released": (("salary_base", "amount_band"),),
        "withheld": (("phone", "not_in_agreement"),),
        "determining_rules": ("bank_income_proof/income",),
        "data_subject_commit": SECRETS[0],
        "payload_commit": SECRETS[1],
        **outcome,
    }
    return dict(json.loads(entry_bytes(circumstances, Outcome(**told))))


def consent_entry(event: str = "given") -> dict[str, Any]:
    circumstances = ConsentCircumstances(
        reference="0197a5b0-0000-7000-8000-000000000002",
        at=AT,
        event=event,
        actor="data_subject",
        consent=SECRETS[4],
        consent_version=2,
        state="active",
        client="bank-1",
        recipient="bank",
        purpose="prove_income",
        agreement="bank_income_proof",
        agreement_revision="b" * 64,
        fields=(("salary_base", "amount_band"),),
        record_hash=SECRETS[0],
        notice_hash=SECRETS[1],
        data_subject_commit=SECRETS[0],
    )
    return dict(json.loads(consent_entry_bytes(circumstances)))


def later_entry() -> dict[str, Any]:
    """An entry of a kind that this program does not know yet, with members that nobody may guess at."""
    return {
        "kind": "rumour",
        "reference": "0197a5b0-0000-7000-8000-000000000003",
        "at": "2026-11-22T01:02:03.456Z",
        "purpose": SECRETS[3],
        "recipient": SECRETS[3],
        "agreement": SECRETS[3],
        "data_subject_commit": SECRETS[0],
    }


def told_entry(kind: str) -> dict[str, Any]:
    """Return an entry of a kind, at the instant of the others here."""
    entry = json.loads(one_of_each_kind()[kind])
    return {**entry, "at": "2026-11-22T01:02:03.456Z"}


def act_upon(act: str, target: str, commit: str) -> dict[str, Any]:
    done = Administration(
        reference="0197a5b0-0000-7000-8000-000000000004",
        at=AT,
        act=act,
        target=target,
        actor="operator",
        data_subject_commit=commit,
        acting_person="c" * 64,
    )
    return dict(json.loads(administration_entry_bytes(done)))


REFUSED: dict[str, Any] = {"kind": "refusal", "result": "refused", "reason": "limit_reached", "released": ()}
OUTAGE: dict[str, Any] = {"kind": "refusal", "result": "error", "reason": "source_slow", "released": ()}
ENTRIES = {
    "released": decision_entry(),
    "refused": decision_entry(**REFUSED),
    "outage": decision_entry(**OUTAGE),
    "requested": consent_entry("requested"),
    "given": consent_entry(),
    "later": later_entry(),
    **{kind: told_entry(kind) for kind in ("policy_change", "key_event", "log_read", "erasure", "export")},
    "administration": told_entry("administration"),
    "administration_of_a_citizen": act_upon("citizen_suspended", "", SECRETS[0]),
    "administration_of_a_consent": act_upon("consent_invalidated", SECRETS[4], SECRETS[0]),
}
every_entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())


def event_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    return ocsf_event(security_event(entry), **MAKER)


def at_path(event: Any, path: str) -> list[dict[str, Any]]:
    """Return the objects of an event at a path like actor.authorizations[].policy, if there are any."""
    found = [event]
    for step in path.split("."):
        inner = [one[step.removesuffix("[]")] for one in found if step.removesuffix("[]") in one]
        found = [one for many in inner for one in many] if step.endswith("[]") else inner
    return found


class TestOcsf:
    @every_entry
    def test_every_required_attribute_is_there_and_no_other_than_the_class_has(
        self, entry: dict[str, Any]
    ) -> None:
        event = event_of(entry)
        assert set(OCSF["required"]) <= event.keys()
        assert event.keys() <= {*OCSF["required"], *OCSF["optional"]}
        for name, values in OCSF["values"].items():
            assert event[name] in values, name
        for path, rule in OCSF["objects"].items():
            for one in at_path(event, path):
                assert set(rule["required"]) <= one.keys(), path
                assert one.keys() <= set(rule["known"]), path
                assert not rule["at_least_one"] or one.keys() & set(rule["at_least_one"]), path

    @every_entry
    def test_types_and_names_go_with_the_activity(self, entry: dict[str, Any]) -> None:
        event = event_of(entry)
        assert event["type_uid"] == 6003 * 100 + event["activity_id"]
        assert event["activity_name"] == OCSF["captions"][str(event["activity_id"])]
        assert event["type_name"] == f"API Activity: {event['activity_name']}"
        assert event["time"] == 1_795_309_323_456
        assert event["metadata"]["uid"] == entry["reference"]
        assert event["metadata"]["version"] == "1.3.0"

    def test_what_happened_is_told(self) -> None:
        told = event_of(ENTRIES["refused"])
        assert (told["activity_id"], told["status_id"], told["severity_id"]) == (2, 2, 2)
        assert (told["status_code"], told["status_detail"]) == ("refused", "limit_reached")
        assert told["actor"] == {
            "app_uid": "hospital-1",
            "user": {"uid": "a" * 64},
            "authorizations": [
                {"decision": "denied", "policy": {"uid": "bank_income_proof", "version": "b" * 64}}
            ],
        }
        assert told["unmapped"]["withheld"] == [{"field": "phone", "reason": "not_in_agreement"}]
        released = event_of(ENTRIES["released"])
        assert (released["status_id"], released["severity_id"]) == (1, 1)
        assert released["unmapped"]["released"] == [{"field": "salary_base", "form": "amount_band"}]
        assert event_of(ENTRIES["outage"])["severity_id"] == 3
        assert event_of(ENTRIES["requested"])["activity_id"] == 1
        assert event_of(ENTRIES["given"])["api"]["operation"] == "consent_given"
        assert event_of(ENTRIES["later"])["activity_id"] == 99

    def test_what_is_done_to_the_broker_is_told_too(self) -> None:
        registered = event_of(ENTRIES["administration"])
        assert (registered["activity_id"], registered["api"]["operation"]) == (1, "client_registered")
        assert registered["actor"]["user"] == {"uid": STAFF}
        assert registered["unmapped"]["target"] == "client:bank-a"
        assert registered["unmapped"]["given"] == [
            {"what": "scope", "which": "read_consented_record"},
            {"what": "until", "which": "2027-06-30"},
        ]
        published = event_of(ENTRIES["policy_change"])
        assert (published["activity_id"], published["api"]["operation"]) == (3, "policy_change_published")
        assert published["actor"]["authorizations"][0]["policy"] == {"uid": "bank_credit", "version": HASH}
        key = event_of(ENTRIES["key_event"])
        assert (key["activity_id"], key["unmapped"]["target"]) == (1, "log:12ab34cd")
        read = event_of(ENTRIES["log_read"])
        assert (read["activity_id"], read["api"]["operation"]) == (2, "log_read_history")
        assert "user" not in read["actor"], "whose look at the own history it is, is not told"
        portal = {**ENTRIES["log_read"], "reader": "portal", "client": "portal-1", "recipient": "portal"}
        asked = event_of({**portal, "agreement": "citizen_portal", "agreement_revision": HASH})
        assert asked["actor"]["app_uid"] == "portal-1"
        assert (asked["unmapped"]["recipient"], asked["unmapped"]["legal_basis"]) == ("portal", "SELF")
        export = event_of(ENTRIES["export"])
        assert (export["activity_id"], export["api"]["operation"]) == (2, "export_released")
        assert (export["actor"]["app_uid"], export["status_code"]) == ("statistics-1", "recorded")
        assert export["unmapped"]["target"] == "statistics:2026-q3.1"
        stopped = {**ENTRIES["export"], "step": "refused", "reason": "cell_narrowed", "acting_person": STAFF}
        refused = event_of(stopped)
        assert (refused["status_code"], refused["status_detail"]) == ("refused", "cell_narrowed")
        assert refused["severity_id"] == 2
        assert refused["actor"]["user"] == {"uid": STAFF}
        assert refused["actor"]["authorizations"][0]["decision"] == "denied"
        unknown = event_of({**stopped, "release": None})
        assert unknown["unmapped"]["target"] == "statistics:"
        assert event_of(ENTRIES["erasure"])["api"]["operation"] == "erasure_kept"
        closed = event_of(ENTRIES["administration_of_a_citizen"])
        assert (closed["api"]["operation"], closed["unmapped"]["target"]) == ("citizen_suspended", "")
        assert event_of(ENTRIES["administration_of_a_consent"])["unmapped"]["target"] == ""

    @every_entry
    def test_a_line_is_one_line_and_the_event(self, entry: dict[str, Any]) -> None:
        line = ocsf_line(security_event(entry), **MAKER)
        assert line.isascii()
        assert "\n" not in line
        assert json.loads(line) == event_of(entry)


@every_entry
def test_no_person_and_no_salt_or_commitment_is_told(entry: dict[str, Any]) -> None:
    event = security_event(entry)
    for line in (ocsf_line(event, **MAKER), cef_line(event, **MAKER)):
        assert [secret for secret in SECRETS if secret in line] == []
        assert not re.search(r"(?<![0-9a-f])[0-9]{12}(?![0-9a-f])", line.replace(entry["reference"], ""))


@pytest.mark.parametrize("action", ["extract_own_record", "share_record"])
def test_who_acts_for_a_child_is_a_citizen_and_not_told(action: str) -> None:
    event = security_event(decision_entry(action))
    assert event.acting_person == ""
    assert "a" * 64 not in ocsf_line(event, **MAKER) + cef_line(event, **MAKER)


def test_of_a_kind_that_is_not_known_only_its_name_and_time_are_told() -> None:
    event = security_event(later_entry())
    told = {field.name: getattr(event, field.name) for field in fields(SecurityEvent)}
    assert {name for name, value in told.items() if value} == {
        "reference",
        "at",
        "kind",
        "operation",
        "result",
    }


def parse_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """Read a line as the CEF standard describes it (ArcSight, "Implementing CEF", character encoding).

    Seven fields of a header end at pipes that no backslash escapes. In the rest a key is what stands before
    an equals sign that no backslash escapes, back to the blank before it; its value goes on to the blank
    before the next key. Written from the standard's words, without looking at the writer.
    """
    header: list[str] = []
    current, at = "", 0
    while len(header) < 7:
        char = line[at]
        if char == "\\":
            assert line[at + 1] in "\\|", "in a header only a backslash and a pipe are escaped"
            current += line[at + 1]
            at += 2
            continue
        if char == "|":
            header.append(current)
            current = ""
        else:
            current += char
        at += 1
    pairs: dict[str, str] = {}
    signs = []
    rest, place = line[at:], 0
    while place < len(rest):
        if rest[place] == "\\":
            assert rest[place + 1] in "\\=nr", "in an extension only these are escaped"
            place += 2
            continue
        if rest[place] == "=":
            signs.append(place)
        place += 1
    begins = [rest.rfind(" ", 0, sign) + 1 for sign in signs]
    for number, sign in enumerate(signs):
        end = begins[number + 1] - 1 if number + 1 < len(signs) else len(rest)
        pairs[rest[begins[number] : sign]] = unescaped(rest[sign + 1 : end])
    return header, pairs


def unescaped(text: str) -> str:
    told, at = "", 0
    while at < len(text):
        if text[at] == "\\":
            told += {"n": "\n", "r": "\r"}.get(text[at + 1], text[at + 1])
            at += 2
        else:
            told += text[at]
            at += 1
    return told


def without_controls(text: str) -> str:
    """Return a text as CEF can carry it: controls and other ends of lines become blanks."""
    others = "\x85\u2028\u2029"
    return "".join(
        " " if one in others or (ord(one) < 32 and one not in "\r\n") or 126 < ord(one) < 160 else one
        for one in text
    )


words = st.text(
    st.one_of(st.sampled_from("|\\= \n\r\tab\u2028\x85ế"), st.characters(exclude_categories=["Cs"]))
)


class TestCef:
    @given(words, words, words)
    def test_whatever_stands_in_a_header_is_read_again(self, one: str, two: str, three: str) -> None:
        line = "|".join(["CEF:0", *map(header_value, (one, two, three)), "id", "name", "3", "act=x"])
        header, pairs = parse_cef(line)
        flat = [without_controls(text).replace("\r", " ").replace("\n", " ") for text in (one, two, three)]
        assert header == ["CEF:0", *flat, "id", "name", "3"]
        assert pairs == {"act": "x"}

    @given(words, words)
    def test_whatever_stands_in_a_value_is_read_again(self, one: str, two: str) -> None:
        line = f"CEF:0|a|b|c|d|e|3|msg={extension_value(one)} reason={extension_value(two)}"
        assert len(line.splitlines()) == 1
        _, pairs = parse_cef(line)
        assert pairs == {"msg": without_controls(one), "reason": without_controls(two)}

    @given(words, words)
    def test_a_whole_line_is_read_again_whatever_its_words(self, client: str, reason: str) -> None:
        told = {
            field.name: getattr(security_event(ENTRIES["refused"]), field.name)
            for field in fields(SecurityEvent)
        }
        event = SecurityEvent(**{**told, "client": client, "reason": reason})
        line = cef_line(event, vendor="a|b", product="c\\d", version="1\n2")
        assert len(line.splitlines()) == 1
        header, pairs = parse_cef(line)
        assert header == ["CEF:0", "a|b", "c\\d", "1 2", "refusal.refused", "Release refused", "5"]
        assert pairs.get("sourceServiceName", "") == without_controls(client)
        assert pairs.get("reason", "") == without_controls(reason)

    def test_what_happened_is_told(self) -> None:
        header, pairs = parse_cef(cef_line(security_event(ENTRIES["released"]), **MAKER))
        assert header[:4] == ["CEF:0", "insurance-data-broker", "broker", "0.1.0"]
        assert header[4:] == ["release.released", "Data released or answered", "3"]
        assert pairs == {
            "rt": "1795309323456",
            "externalId": "0197a5b0-0000-7000-8000-000000000001",
            "cat": "release",
            "act": "verify_entitlement",
            "outcome": "released",
            "sourceServiceName": "hospital-1",
            "suid": "a" * 64,
            "cs1Label": "recipient",
            "cs1": "facility-1",
            "cs2Label": "purpose",
            "cs2": "prove_income",
            "cs3Label": "legalBasis",
            "cs3": "CONSENT",
            "cs4Label": "agreement",
            "cs4": "bank_income_proof@" + "b" * 64,
            "cs5Label": "released",
            "cs5": "salary_base:amount_band",
            "cs6Label": "withheld",
            "cs6": "phone:not_in_agreement",
        }

    def test_what_was_done_to_what_is_told(self) -> None:
        header, pairs = parse_cef(cef_line(security_event(ENTRIES["administration"]), **MAKER))
        assert header[4:] == ["administration.recorded", "Act of administration", "1"]
        assert (pairs["act"], pairs["suid"]) == ("client_registered", STAFF)
        assert (pairs["flexString1Label"], pairs["flexString1"]) == ("target", "client:bank-a")
        assert (pairs["flexString2Label"], pairs["flexString2"]) == (
            "given",
            "scope:read_consented_record,until:2027-06-30",
        )

    def test_a_list_that_is_too_long_says_how_many_are_left_out(self) -> None:
        many = tuple((f"field_number_{number}", "value") for number in range(500))
        _, pairs = parse_cef(cef_line(security_event(decision_entry(released=many)), **MAKER))
        told = pairs["cs5"].split(",")
        assert len(pairs["cs5"]) <= 4_000
        assert told[-1] == f"and {500 - len(told) + 1} more"
        assert told[:-1] == [f"field_number_{number}:value" for number in range(len(told) - 1)]
