"""Every kind of entry: closed members, closed words, canonical bytes, and one table that knows them all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, get_args

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from broker.consent.record import ActorKind, EventType, State
from broker.evidence import shapes
from broker.evidence.administration_entry import (
    ABOUT_A_PERSON,
    ACTS,
    Administration,
    administration_entry_bytes,
)
from broker.evidence.canonical import ENTRY_BYTES_MAX, canonical_bytes, check_closed
from broker.evidence.consent_entry import CONSENT_ACTORS, CONSENT_EVENTS, CONSENT_STATES
from broker.evidence.entry import instant_text
from broker.evidence.erasure_entry import Erasure, erasure_entry_bytes
from broker.evidence.export_entry import Export, export_entry_bytes, export_row
from broker.evidence.key_entry import KeyChange, KeyPurpose, key_entry_bytes
from broker.evidence.kinds import CHECKS, check_any, parse_entry
from broker.evidence.log_read_entry import LogRead, log_read_entry_bytes
from broker.evidence.policy_entry import PolicyChange, policy_entry_bytes
from broker.evidence.reasons import EvidenceInvalid
from broker.oauth.client_authentication import NEW_ID
from broker.oauth.stored_keys import PURPOSES
from tests.evidence_entries import AT, HASH, STAFF, decoded, one_of_each_kind, reference

ENTRIES: Final = one_of_each_kind()
FREE_TEXTS: Final = ("Nguyễn Văn An", "An Nguyen", "", "x" * 81, "a\nb")
_ASKED: Final = Export(
    reference=reference(1),
    at=AT,
    step="requested",
    client="c",
    recipient="o",
    agreement="a",
    agreement_revision=HASH,
    job=reference(2),
    release="2026-q3.1",
    plan_hash=HASH,
    format="csv",
)
_TABLE: Final[dict[str, Any]] = {
    "content_hash": HASH,
    "table_hash": HASH,
    "cell_count": 0,
    "suppressed_permille": 0,
}
EXPORTS: Final = {
    "requested": _ASKED,
    "released": replace(_ASKED, step="released", **_TABLE),
    "downloaded": replace(_ASKED, step="downloaded", acting_person=STAFF, **_TABLE),
    "refused": replace(_ASKED, step="refused", reason="cell_narrowed"),
    "refused at the door": replace(
        _ASKED, step="refused", reason="plan_malformed", job=None, release=None, plan_hash=None, format=None
    ),
    "refused by the cap": replace(_ASKED, step="refused", reason="tables_exhausted", job=None),
}
# Members that may be empty.
MAY_BE_EMPTY: Final = {
    "release": {"purpose", "legal_basis", "agreement", "agreement_revision", "reason"},
    "refusal": {"purpose", "legal_basis", "agreement", "agreement_revision", "reason"},
    "consent": {"notice_hash"},
    "policy_change": {"old_revision", "old_registers", "new_registers"},
    "administration": {"client", "target"},
    "log_read": {
        *("entry", "period_begin", "period_end"),
        *("agreement", "agreement_revision", "client", "recipient"),
    },
}


def test_the_table_knows_exactly_the_kinds_that_can_be_made() -> None:
    assert CHECKS.keys() == ENTRIES.keys()


@pytest.mark.parametrize("kind", ENTRIES)
def test_each_kind_is_canonical_and_reads_as_it_was_made(kind: str) -> None:
    content = ENTRIES[kind]
    entry = decoded(content)
    assert content == rfc8785.dumps(entry) == canonical_bytes(entry)
    assert parse_entry(content) == entry
    assert (entry["kind"], entry["schema"]) == (kind, 2 if kind == "export" else 1)
    assert entry["at"] == "2026-11-22T00:15:04.123Z"
    assert content.isascii(), "codes only"


@pytest.mark.parametrize("kind", ENTRIES)
def test_no_member_can_be_added_or_left_out(kind: str) -> None:
    entry = decoded(ENTRIES[kind])
    for name in entry.keys() - {"kind"}:
        with pytest.raises(EvidenceInvalid, match=f"entry_schema: members differ: {name}"):
            check_any({one: value for one, value in entry.items() if one != name})
    with pytest.raises(EvidenceInvalid, match="entry_schema: members differ: remark"):
        check_any({**entry, "remark": "free text"})


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("text", FREE_TEXTS)
def test_no_member_holds_free_text(kind: str, text: str) -> None:
    entry = decoded(ENTRIES[kind])
    for name in entry.keys() - {"kind"}:
        if text or name not in MAY_BE_EMPTY.get(kind, set()):
            with pytest.raises(EvidenceInvalid, match="entry_schema"):
                check_any({**entry, name: text})


@pytest.mark.parametrize("kind", sorted(ENTRIES.keys() - {"release", "refusal"}))
@given(st.integers(0, 10**12 - 1).map("{:012d}".format))
def test_no_member_of_what_is_done_holds_a_persons_number(kind: str, number: str) -> None:
    """Not even within a list; of releases a client chooses the request's id itself."""
    entry = decoded(ENTRIES[kind])
    for name in entry.keys() - {"kind"}:
        for value in (number, [[number, number]], [["scope", number]]):
            with pytest.raises(EvidenceInvalid, match="entry_schema"):
                check_any({**entry, name: value})


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize(
    "value", [True, 1.5, 2**53, -1, [], {}, ["a"], {"a": "b"}, [["a", "b", "c"]], b"bytes"]
)
def test_no_member_holds_a_value_of_another_sort(kind: str, value: Any) -> None:
    entry = decoded(ENTRIES[kind])
    lists = {"fields", "given", "released", "withheld", "determining_rules"}
    for name in entry.keys() - {"kind"}:
        if not (isinstance(value, list) and name in lists and (not value or name == "determining_rules")):
            with pytest.raises(EvidenceInvalid, match="entry_schema"):
                check_any({**entry, name: value})


@pytest.mark.parametrize("kind", ENTRIES)
def test_null_stands_only_where_something_can_be_absent(kind: str) -> None:
    entry = decoded(ENTRIES[kind])
    taken = set()
    for name in entry.keys() - {"kind"}:
        try:
            check_any({**entry, name: None})
        except EvidenceInvalid as broken:
            assert broken.reason == "entry_schema"  # noqa: PT017 - both ways are right
        else:
            taken.add(name)
    assert taken <= {
        *("acting_person", "encounter", "consent", "consent_version"),
        *("data_subject_commit", "payload_commit"),
        *(("reason",) if kind == "export" else ()),
    }


@pytest.mark.parametrize("kind", ["release", "refusal", "consent"])
def test_whatever_a_client_or_organisation_may_be_called_can_stand_in_an_entry(kind: str) -> None:
    name = "A.b_c~d-9"
    assert re.fullmatch(NEW_ID, name)
    check_any({**decoded(ENTRIES[kind]), "client": name, "recipient": name})


@pytest.mark.parametrize("kind", ["", "rumour", "Release", None, 1, ["release"], {"release": 1}])
def test_an_unknown_kind_is_refused_as_unknown(kind: Any) -> None:
    with pytest.raises(EvidenceInvalid, match="entry_kind_unknown"):
        check_any({**decoded(ENTRIES["release"]), "kind": kind})


def test_the_check_of_a_kind_takes_no_other_kind() -> None:
    for kind, check in CHECKS.items():
        with pytest.raises(ValueError, match="kind is not known"):
            check({**decoded(ENTRIES[kind]), "kind": "rumour"})


def test_no_entry_passes_as_another_kind() -> None:
    for kind, content in ENTRIES.items():
        for other in CHECKS.keys() - {kind}:
            if {kind, other} != {"release", "refusal"}:
                with pytest.raises(EvidenceInvalid, match="entry_schema"):
                    check_any({**decoded(content), "kind": other})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "entry_not_canonical"),
        (b"null", "entry_not_canonical"),
        (b"\xff", "entry_not_canonical"),
        (b'{"kind":"\\ud800"}', "entry_not_canonical"),
        (ENTRIES["export"] + b"\n", "entry_not_canonical"),
        (ENTRIES["export"].replace(b":4800", b": 4800"), "entry_not_canonical"),
        (ENTRIES["export"].replace(b'"act', b'"\\u0061ct', 1), "entry_not_canonical"),
        (ENTRIES["export"].replace(b'{"acting', b'{"schema":2,"acting'), "entry_not_canonical"),
        (json.dumps(decoded(ENTRIES["export"])).encode(), "entry_not_canonical"),
        (ENTRIES["export"].replace(b":4800", b":4800.0"), "entry_schema"),
        (ENTRIES["export"].replace(b":4800", b":4.8e3"), "entry_schema"),
        (b"[" * 2000 + b"]" * 2000, "entry_not_canonical"),
        (ENTRIES["export"].replace(b":4800", b":" + b"[" * 900 + b"]" * 900), "entry_schema"),
        (
            ENTRIES["release"].replace(b'"released":[', b'"released":[' + b"[" * 900 + b"]" * 900 + b","),
            "entry_schema",
        ),
        (b'{"a":"' + b"x" * ENTRY_BYTES_MAX + b'"}', "entry_too_long"),
    ],
)
def test_bytes_that_are_no_entry_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(EvidenceInvalid) as refused:
        parse_entry(content)
    assert refused.value.reason == reason


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_whatever_comes_only_the_one_error_is_raised(content: bytes) -> None:
    with pytest.raises(EvidenceInvalid):
        parse_entry(content)


@given(
    st.sampled_from(sorted(ENTRIES)),
    st.data(),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4),
)
def test_a_member_changed_at_will_is_taken_or_refused_and_nothing_else(
    kind: str, data: st.DataObject, value: Any
) -> None:
    entry = decoded(ENTRIES[kind])
    name = data.draw(st.sampled_from(sorted(entry)))
    try:
        check_any({**entry, name: value})
    except EvidenceInvalid as broken:
        assert broken.reason in {"entry_schema", "entry_kind_unknown"}  # noqa: PT017 - both ways are right


def test_lists_within_lists_have_an_end() -> None:
    value: Any = "x"
    for _ in range(64):
        value = [value]
    check_closed(value)
    with pytest.raises(ValueError, match="too deep"):
        check_closed([value])


@pytest.mark.parametrize(
    ("is_of_form", "text", "is_right"),
    [
        (shapes.is_instant, "2026-02-28T23:59:59.999Z", True),
        (shapes.is_instant, "2026-02-29T00:00:00.000Z", False),
        (shapes.is_instant, "2026-13-01T00:00:00.000Z", False),
        (shapes.is_instant, "2026-01-01T24:00:00.001Z", False),
        (shapes.is_instant, "2026-01-01T00:00:00Z", False),
        (shapes.is_instant, "٢٠٢٦-01-01T00:00:00.000Z", False),
        (shapes.is_day, "2028-02-29", True),
        (shapes.is_day, "2026-02-29", False),
        (shapes.is_day, "20260228", False),
        (shapes.is_reference, reference(1), True),
        (shapes.is_reference, reference(1).upper(), False),
        (shapes.is_key_id, "-_Thumbprint_of_RFC_7638", True),
        (shapes.is_key_id, "a.b", False),
    ],
)
def test_instants_days_and_ids_have_one_spelling(
    is_of_form: Callable[[object], bool], text: str, is_right: bool
) -> None:
    assert is_of_form(text) is is_right


def an_act(act: str) -> Administration:
    """Return an act with what its kind of thing asks for."""
    kind = ACTS[act]
    return Administration(
        reference=reference(1),
        at=AT,
        act=act,
        target="" if kind == "citizen" else "t-1",
        actor="operator",
        data_subject_commit=HASH if kind in ABOUT_A_PERSON else None,
    )


class TestWords:
    def test_the_words_of_consents_are_the_ledger_s(self) -> None:
        assert frozenset(get_args(EventType)) == CONSENT_EVENTS
        assert frozenset(get_args(State)) == CONSENT_STATES
        assert frozenset(get_args(ActorKind)) == CONSENT_ACTORS

    def test_every_signing_key_of_the_broker_can_stand_in_an_entry(self) -> None:
        assert set(PURPOSES) <= set(get_args(KeyPurpose))

    @pytest.mark.parametrize("act", ACTS)
    def test_each_act_is_done_to_its_kind_of_thing(self, act: str) -> None:
        entry = decoded(administration_entry_bytes(an_act(act)))
        assert entry["target_kind"] == ACTS[act]
        for other in set(ACTS.values()) - {ACTS[act]}:
            with pytest.raises(EvidenceInvalid, match="target_kind does not fit"):
                check_any({**entry, "target_kind": other})


class TestWhatIsNeverMade:
    POLICY: Final = PolicyChange(
        reference=reference(1),
        at=AT,
        agreement="a",
        event="published",
        old_revision=HASH,
        new_revision="12" * 32,
        actor="operator",
    )
    READ: Final = LogRead(
        reference=reference(1),
        at=AT,
        reader="own",
        what="history",
        legal_basis="SELF",
        data_subject_commit=HASH,
    )
    PORTAL: Final = replace(
        READ,
        reader="portal",
        client="portal-app",
        recipient="portal",
        agreement="citizen_portal_history",
        agreement_revision=HASH,
    )
    EXPORT: Final = LogRead(
        reference=reference(1),
        at=AT,
        reader="auditor",
        what="export",
        legal_basis="L",
        data_subject_commit=None,
        period_begin=AT,
        period_end=AT + timedelta(days=1),
        acting_person=STAFF,
    )
    ERASURE: Final = Erasure(
        reference=reference(1),
        at=AT,
        data_subject_commit=HASH,
        year=2026,
        result="erased",
        legal_ground="L16",
    )

    def test_the_right_ones_are_made(self) -> None:
        for content in (
            policy_entry_bytes(self.POLICY),
            policy_entry_bytes(replace(self.POLICY, new_registers=HASH)),
            policy_entry_bytes(replace(self.POLICY, event="suspended", new_revision=HASH)),
            policy_entry_bytes(
                replace(self.POLICY, event="registers_changed", new_revision=HASH, new_registers=HASH)
            ),
            log_read_entry_bytes(self.READ),
            log_read_entry_bytes(replace(self.READ, what="evidence_file", entry=reference(2))),
            log_read_entry_bytes(self.PORTAL),
            log_read_entry_bytes(replace(self.PORTAL, data_subject_commit=None)),
            log_read_entry_bytes(self.EXPORT),
            log_read_entry_bytes(replace(self.EXPORT, reader="operator", what="entry_count")),
            log_read_entry_bytes(
                replace(self.EXPORT, what="decision", entry=reference(2), period_begin=None, period_end=None)
            ),
            erasure_entry_bytes(self.ERASURE),
        ):
            parse_entry(content)

    @pytest.mark.parametrize(
        "change",
        [
            {"new_revision": HASH},
            {"event": "suspended"},
            {"event": "resumed", "old_revision": ""},
            {"new_revision": ""},
            {"event": "forgotten"},
            {"actor": "Nguyễn Văn An"},
            {"acting_person": "An"},
            {"agreement": "hai từ"},
            {"reference": "r"},
            {"event": "registers_changed"},
            {"event": "registers_changed", "new_revision": HASH},
            {"event": "suspended", "new_revision": HASH, "new_registers": HASH},
        ],
    )
    def test_a_change_of_policy(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"form|does not fit"):
            policy_entry_bytes(replace(self.POLICY, **change))
        if change.get("event") != "forgotten":
            entry = {**decoded(policy_entry_bytes(self.POLICY)), **change}
            with pytest.raises(EvidenceInvalid, match="entry_schema"):
                check_any(entry)

    @pytest.mark.parametrize(
        "change",
        [
            {"acting_person": STAFF},
            {"data_subject_commit": None},
            {"reader": "operator"},
            {"reader": "auditor"},
            {"reader": "anybody"},
            {"legal_basis": ""},
            {"what": "decision"},
            {"what": "export"},
            {"what": "evidence_file"},
            {"entry": reference(2)},
            {"period_end": AT},
            {"period_begin": AT, "period_end": AT + timedelta(days=1)},
        ],
    )
    def test_a_look_into_the_log(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"form|does not fit"):
            log_read_entry_bytes(replace(self.READ, **change))
        with pytest.raises(EvidenceInvalid, match="entry_schema"):
            check_any({**decoded(log_read_entry_bytes(self.READ)), **told(change)})

    @pytest.mark.parametrize(
        "change",
        [
            {"reader": "own"},
            {"acting_person": STAFF},
            {"client": ""},
            {"recipient": ""},
            {"agreement": ""},
            {"agreement_revision": ""},
            {"what": "evidence_file", "entry": reference(2)},
        ],
    )
    def test_a_portals_question(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="does not fit"):
            log_read_entry_bytes(replace(self.PORTAL, **change))
        with pytest.raises(EvidenceInvalid, match="entry_schema"):
            check_any({**decoded(log_read_entry_bytes(self.PORTAL)), **told(change)})

    @pytest.mark.parametrize(
        "change",
        [
            {"reader": "own"},
            {"acting_person": None},
            {"reader": "own", "acting_person": None, "data_subject_commit": HASH},
            {"what": "history"},
            {"what": "decision"},
            {"entry": reference(2)},
            {"period_begin": None},
            {"period_end": None},
            {"period_end": AT},
        ],
    )
    def test_an_export_of_the_log(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="does not fit"):
            log_read_entry_bytes(replace(self.EXPORT, **change))
        with pytest.raises(EvidenceInvalid, match="entry_schema"):
            check_any({**decoded(log_read_entry_bytes(self.EXPORT)), **told(change)})

    @pytest.mark.parametrize(
        "change",
        [
            {"result": "kept"},
            {"kept_until": "2036-12-31"},
            {"result": "kept", "kept_until": "2036-02-30"},
            {"result": "forgotten"},
            {"year": 26},
            {"year": True},
            {"legal_ground": "vì luật"},
            {"data_subject_commit": ""},
        ],
    )
    def test_an_erasure(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"form|does not fit"):
            erasure_entry_bytes(replace(self.ERASURE, **change))
        with pytest.raises(EvidenceInvalid, match="entry_schema"):
            check_any({**decoded(erasure_entry_bytes(self.ERASURE)), **change})

    @pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS.keys())
    def test_an_export_of_each_step(self, export: Export) -> None:
        content = export_entry_bytes(export)
        assert parse_entry(content)["step"] == export.step
        row = export_row(export)
        assert (row.reference, row.kind, row.entry, row.year) == (reference(1), "export", content, 2026)
        assert (row.data_subject_ref, row.data_subject_salt, row.payload_salt) == (None, None, None)

    @pytest.mark.parametrize(
        "change",
        [
            {"suppressed_permille": 1001},
            {"cell_count": -1},
            {"table_hash": ""},
            {"content_hash": "x"},
            {"format": "two words"},
            {"step": "cancelled"},
            {"client": ""},
            {"job": "1"},
            {"release": ""},
        ],
    )
    def test_an_export(self, change: dict[str, Any]) -> None:
        export = EXPORTS["released"]
        with pytest.raises(ValueError, match="is not of its form"):
            export_entry_bytes(replace(export, **change))
        with pytest.raises(EvidenceInvalid, match=r"entry_schema: [a-z_]+ is not of its form"):
            check_any({**decoded(export_entry_bytes(export)), **change})

    @pytest.mark.parametrize(
        ("step", "change", "told"),
        [
            ("requested", {"job": None}, "a job has a release"),
            ("requested", {"format": None}, "a job has a release"),
            ("requested", {"cell_count": 1}, "what is released has a table"),
            ("requested", {"reason": "plan_malformed"}, "a refusal has a reason"),
            ("released", {"plan_hash": None}, "a job has a release"),
            ("released", {"table_hash": None}, "what is released has a table"),
            ("released", {"suppressed_permille": None}, "what is released has a table"),
            ("downloaded", {"content_hash": None}, "what is released has a table"),
            ("downloaded", {"reason": "expired"}, "a refusal has a reason"),
            ("refused", {"reason": None}, "a refusal has a reason"),
            ("refused", {"content_hash": HASH}, "what is released has a table"),
            ("refused", {"plan_hash": None}, "a job has a release"),
            ("refused at the door", {"plan_hash": HASH}, "a plan is of a release"),
        ],
    )
    def test_members_of_an_export_that_do_not_fit_its_step(
        self, step: str, change: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(ValueError, match=f"step does not fit: {told}"):
            export_entry_bytes(replace(EXPORTS[step], **change))
        with pytest.raises(EvidenceInvalid, match=f"entry_schema: step does not fit: {told}"):
            check_any({**decoded(export_entry_bytes(EXPORTS[step])), **change})

    def test_an_export_of_the_first_version_that_nothing_wrote_is_refused(self) -> None:
        entry = decoded(ENTRIES["export"])
        with pytest.raises(EvidenceInvalid, match="entry_schema: schema is not known"):
            check_any({**entry, "schema": 1})

    @pytest.mark.parametrize(
        "change",
        [{"purpose": "fun"}, {"event": "lost"}, {"kid": "two words"}, {"kid": ""}, {"actor": "client"}],
    )
    def test_a_key_event(self, change: dict[str, Any]) -> None:
        key = KeyChange(
            reference=reference(1),
            at=AT,
            purpose="log",
            kid="12ab34cd",
            event="created",
            effective_at=AT,
            actor="operator",
        )
        parse_entry(key_entry_bytes(key))
        with pytest.raises(ValueError, match="is not of its form"):
            key_entry_bytes(replace(key, **change))

    @pytest.mark.parametrize(
        "change",
        [
            {"act": "anything"},
            {"target": ""},
            {"target": "Văn An"},
            {"target": "001099000001"},
            {"actor": "me"},
            {"actor": "client"},
            {"client": "bank-a"},
            {"given": (("scope", "001099000001"),)},
            {"given": (("name", "bank"),)},
            {"given": (("scope", "a", "b"),)},
            {"data_subject_commit": HASH},
            {"act": "citizen_created"},
            {"act": "citizen_created", "target": ""},
            {"act": "complaint_answered"},
        ],
    )
    def test_an_act_of_administration(self, change: dict[str, Any]) -> None:
        done = an_act("client_suspended")
        with pytest.raises(ValueError, match=r"is not of its form|does not fit"):
            administration_entry_bytes(replace(done, **change))
        if change != {"act": "anything"}:
            with pytest.raises(EvidenceInvalid, match="entry_schema"):
                check_any({**decoded(administration_entry_bytes(done)), **change})

    def test_an_act_done_through_a_client_names_it(self) -> None:
        done = replace(an_act("client_registered"), actor="client", client="registrar")
        assert decoded(administration_entry_bytes(done))["client"] == "registrar"


def told(change: dict[str, Any]) -> dict[str, Any]:
    """Return members as an entry tells them."""
    spelled = {name: instant_text(value) for name, value in change.items() if isinstance(value, datetime)}
    empty = {name: "" for name, value in change.items() if name.startswith("period") and value is None}
    return {**change, **spelled, **empty}


@pytest.mark.parametrize(
    ("value", "is_right"), [(1999, False), (2000, True), (9999, True), (10_000, False), (2000.0, False)]
)
def test_a_number_lies_within_its_bounds_these_included(value: object, is_right: bool) -> None:
    assert shapes.number_within(2000, 9999)(value) is is_right


def test_an_entry_longer_than_the_log_takes_is_never_made() -> None:
    room = ENTRY_BYTES_MAX - len(shapes.shaped_bytes("x", 1, {"a": lambda _: True}, {"a": ""}))
    longest = shapes.shaped_bytes("x", 1, {"a": lambda _: True}, {"a": "x" * room})
    assert len(longest) == ENTRY_BYTES_MAX
    with pytest.raises(ValueError, match="too long"):
        shapes.shaped_bytes("x", 1, {"a": lambda value: isinstance(value, str)}, {"a": "x" * ENTRY_BYTES_MAX})
