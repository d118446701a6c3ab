"""The life of a consent, clause by clause: the table, who may do what, instants at the edge, what follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final, get_args

import pytest

from broker.consent import life
from broker.consent.codec import consent_document, consent_from, record_hash
from broker.consent.life import Change, state_at
from broker.consent.record import (
    FINAL,
    Actor,
    AskedField,
    Consent,
    DataRange,
    EventType,
    Frequency,
    Notice,
    Signer,
    Signing,
    State,
    Terms,
)
from broker.errors import ConsentTransitionRefused
from tests.house.project import ROOT, table_rows
from tests.reference.consent import FINAL as REFERENCE_FINAL
from tests.reference.consent import TRANSITIONS

AT: Final = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
TERMS: Final = Terms(
    agreement_id="bank_income_proof",
    revision_hash="a" * 64,
    purpose="prove_income",
    fields=(
        AskedField("salary_base", "amount_band", True, True),
        AskedField("si_status", "value", False, False),
    ),
    valid_days=30,
    retention_days=90,
    frequency=Frequency(2, "consent"),
    data_range=DataRange(date(2025, 1, 1), date(2025, 12, 31)),
)
ALL: Final = TERMS.field_names
PERSON: Final = Actor(kind="data_subject", reference="person")
PARENT: Final = Actor(kind="representative", reference="parent")
BANK: Final = Actor(kind="client", reference="bank-a")
OPERATOR: Final = Actor(kind="operator", reference="operator-1")
BROKER: Final = Actor(kind="broker")
CHILD: Final = Signing(
    required_roles=("data_subject", "representative"),
    refresh_due_at=AT + timedelta(days=20),
    refresh_roles=("data_subject",),
)


def notice(**changed: Any) -> Notice:
    shown = Notice(version="7", language="vi", rendered_hash="b" * 64, served_at=AT)
    return replace(shown, **changed)


def signer(at: datetime = AT, **changed: Any) -> Signer:
    signing = Signer(role="data_subject", citizen_id="person", level=2, authenticated_at=at, signed_at=at)
    return replace(signing, **changed)


def parent(at: datetime = AT, **changed: Any) -> Signer:
    changed = {"role": "representative", "citizen_id": "parent", "relation_hash": "c" * 64, **changed}
    return signer(at, **changed)


def opening(**changed: Any) -> dict[str, Any]:
    """Return the arguments of a request that could be opened."""
    return {
        "consent_id": "consent-1",
        "request_id": "request-1",
        "client_id": "bank-a",
        "organisation_id": "bank-1",
        "citizen_id": "person",
        "subject": "citizen:pairwise",
        "terms": TERMS,
        "at": AT,
        "expires_at": AT + timedelta(days=7),
        **changed,
    }


def requested(terms: Terms = TERMS, signing: Signing | None = None, **changed: Any) -> Consent:
    return life.open_request(**opening(terms=terms, signing=signing, **changed)).consent


def active(signing: Signing | None = None, given: frozenset[str] = ALL) -> Consent:
    consent = life.decide(requested(signing=signing), given, signer(), notice(), AT).consent
    return life.cosign(consent, parent(), notice(), AT).consent if signing is CHILD else consent


def due() -> tuple[Consent, datetime]:
    """Return a consent that waits for its confirmation, and an instant in that time."""
    return active(CHILD), AT + timedelta(days=21)


def reason_of(call: Callable[[], Change]) -> str:
    with pytest.raises(ConsentTransitionRefused) as refused:
        call()
    return refused.value.reason


STATES: Final[dict[State, Consent]] = {
    "requested": requested(),
    "pending_cosign": life.decide(requested(signing=CHILD), ALL, signer(), notice(), AT).consent,
    "active": active(),
    "paused": life.pause(active(), PERSON, AT).consent,
    "refresh_due": replace(active(), state="refresh_due"),
    "refused": life.refuse(requested(), PERSON, AT).consent,
    "cancelled": life.cancel(requested(), BANK, AT).consent,
    "withdrawn": life.withdraw(active(), PERSON, AT).consent,
    "inapplicable": life.make_inapplicable(active(), BROKER, "agreement_ended", AT).consent,
    "invalidated": life.invalidate(active(), OPERATOR, "court_order", AT).consent,
    "superseded": life.amend(active(), "consent-2", ALL, signer(), notice(), AT).consent,
    "expired": life.exhaust(active(), 2, AT).consent,
    "request_expired": replace(requested(), state="request_expired"),
}
# Every function, called by the one whose it is.
VERBS: Final[dict[str, Callable[[Consent], Change]]] = {
    "view": lambda one: life.view(one, PERSON, AT),
    "decide": lambda one: life.decide(one, ALL, signer(), notice(), AT),
    "cosign": lambda one: life.cosign(one, parent(), notice(), AT),
    "refuse": lambda one: life.refuse(one, PERSON, AT),
    "cancel": lambda one: life.cancel(one, BANK, AT),
    "pause": lambda one: life.pause(one, PERSON, AT),
    "resume": lambda one: life.resume(one, signer(), AT),
    "withdraw": lambda one: life.withdraw(one, PERSON, AT),
    "exhaust": lambda one: life.exhaust(one, 2, AT),
    "invalidate": lambda one: life.invalidate(one, OPERATOR, "court_order", AT),
    "make_inapplicable": lambda one: life.make_inapplicable(one, OPERATOR, "agreement_ended", AT),
    "amend": lambda one: life.amend(one, "consent-9", ALL, signer(), notice(), AT),
    "extend": lambda one: life.extend(
        replace(one, valid_to_at=None if one.valid_to_at is None else AT + SECOND),
        "consent-9",
        signer(),
        notice(),
        AT,
    ),
    "confirm": lambda one: life.confirm(replace(one, signers=()), signer(), notice(), AT, signing=Signing()),
}


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("verb", VERBS)
def test_every_function_leads_from_every_state_where_the_table_says_and_nowhere_else(
    state: State, verb: str
) -> None:
    consent = STATES[state]
    assert consent.state == state
    targets = TRANSITIONS.get((state, verb))
    if targets is None:
        reason = reason_of(lambda: VERBS[verb](consent))
        assert reason == "final_state" if state in FINAL else reason.startswith("not_")
    else:
        change = VERBS[verb](consent)
        assert change.consent.state in targets
        assert change.consent.version == consent.version + 1


def test_the_final_states_are_those_of_the_table() -> None:
    assert FINAL == REFERENCE_FINAL
    assert not {state for state, _ in TRANSITIONS} & FINAL


def documented(head: str) -> list[list[str]]:
    """Return the rows of the one table of docs/consent.md whose first line begins like this."""
    page = (ROOT / "docs/consent.md").read_text(encoding="utf-8")
    tables = [block for block in page.split("\n\n") if block.startswith(f"| {head} |")]
    assert len(tables) == 1
    return [[cell.replace("`", "") for cell in row] for row in table_rows(tables[0])][1:]


def test_the_documented_tables_are_the_ones_that_are_tried() -> None:
    states = {row[0]: row[1] for row in documented("state | final")}
    assert states == {state: "yes" if state in FINAL else "no" for state in get_args(State)}
    assert {row[0] for row in documented("state | final") if row[2] == "yes"} == {"active"}
    rows = documented("from | function")
    assert {(row[0], row[1]): set(row[2].split()) for row in rows} == TRANSITIONS
    assert len(rows) == len(TRANSITIONS)
    told = {
        name
        for row in documented("event | recipient is told")
        for name in row[0].partition(" (")[0].split(", ")
    }
    assert told == set(get_args(EventType))


class TestCapture:
    def test_con_1_a_given_consent_holds_all_that_must_be_proved(self) -> None:
        consent = active()
        assert (consent.subject, consent.organisation_id, consent.terms.purpose) == (
            "citizen:pairwise",
            "bank-1",
            "prove_income",
        )
        assert [(one.name, one.form, one.is_given) for one in consent.decisions] == [
            ("salary_base", "amount_band", True),
            ("si_status", "value", True),
        ]
        assert (consent.valid_from_at, consent.valid_to_at) == (AT, AT + timedelta(days=30))
        assert consent.notice == notice()
        assert consent.notice is not None
        assert consent.notice.method == "web_form"
        assert consent.signers == (signer(),)

    @pytest.mark.parametrize(
        "lacking",
        [
            {"version": ""},
            {"language": "fr"},
            {"rendered_hash": "b" * 63},
            {"rendered_hash": "B" * 64},
            {"served_at": AT + SECOND},
        ],
    )
    def test_con_1_nothing_is_given_without_the_notice_that_was_shown(self, lacking: dict[str, Any]) -> None:
        shown = notice(**lacking)
        assert reason_of(lambda: life.decide(requested(), ALL, signer(), shown, AT)) == "notice_missing"

    def test_con_1_nothing_is_asked_without_fields_or_without_anybody_who_signs(self) -> None:
        empty = replace(TERMS, fields=())
        assert reason_of(lambda: life.open_request(**opening(terms=empty))) == "nothing_asked"
        nobody = Signing(required_roles=())
        assert reason_of(lambda: life.open_request(**opening(signing=nobody))) == "nothing_asked"

    def test_con_2_and_8_refusing_one_purpose_leaves_the_other(self) -> None:
        other = requested(replace(TERMS, purpose="local_social_policy"), consent_id="consent-2")
        assert life.refuse(requested(), PERSON, AT).consent.state == "refused"
        assert life.decide(other, ALL, signer(), notice(), AT).consent.state == "active"

    def test_con_3_submitting_untouched_is_a_recorded_refusal(self) -> None:
        change = life.decide(requested(), frozenset(), signer(level=1), notice(), AT)
        assert (change.consent.state, change.consent.state_reason) == ("refused", "by_data_subject")
        assert [one.is_given for one in change.consent.decisions] == [False, False]
        assert change.consent.notice == notice()
        assert (change.told, change.receipt, change.ends_grant) == (None, "refused", False)

    def test_con_4_silence_never_gives(self) -> None:
        consent, end = requested(), AT + timedelta(days=7)
        assert state_at(consent, end - timedelta(microseconds=1)) == "requested"
        assert state_at(consent, end) == "request_expired"
        assert reason_of(lambda: life.decide(consent, ALL, signer(end), notice(), end)) == "final_state"
        change = life.settled(consent, end + timedelta(days=9))
        assert change is not None
        assert (change.consent.state, change.consent.state_since_at) == ("request_expired", end)
        assert (change.events[0].actor, change.events[0].at) == (BROKER, end)
        assert (change.told, change.receipt) == (None, None)

    def test_con_4_the_silence_of_the_second_signer_refuses(self) -> None:
        consent, end = STATES["pending_cosign"], AT + timedelta(days=7)
        assert state_at(consent, end - SECOND) == "pending_cosign"
        change = life.settled(consent, end)
        assert change is not None
        assert (change.consent.state, change.consent.state_reason) == ("refused", "unsigned")
        assert (change.told, change.receipt) == (None, "refused")

    def test_con_5_a_sensitive_field_needs_level_2_and_only_where_it_is_given(self) -> None:
        weak = signer(level=1)
        assert reason_of(lambda: life.decide(requested(), ALL, weak, notice(), AT)) == "level_too_low"
        optional = replace(TERMS, fields=tuple(replace(one, is_required=False) for one in TERMS.fields))
        given = frozenset({"si_status"})
        assert life.decide(requested(optional), given, weak, notice(), AT).consent.state == "active"
        none = signer(level=0)
        assert (
            reason_of(lambda: life.decide(requested(optional), given, none, notice(), AT)) == "level_too_low"
        )

    @pytest.mark.parametrize(("age", "is_fresh"), [(0, True), (300, True), (301, False), (-1, False)])
    def test_giving_needs_a_sign_in_of_the_last_300_seconds(self, age: int, is_fresh: bool) -> None:
        hand = signer(authenticated_at=AT - age * SECOND)
        if is_fresh:
            assert life.decide(requested(), ALL, hand, notice(), AT).consent.state == "active"
        else:
            assert reason_of(lambda: life.decide(requested(), ALL, hand, notice(), AT)) == "sign_in_too_old"

    def test_con_7_the_event_of_giving_holds_notice_level_method_and_what_was_agreed(self) -> None:
        change = life.decide(requested(), ALL, signer(), notice(), AT)
        assert change.events[0].actor == PERSON
        assert dict(change.events[0].details) == {
            "state": "active",
            "level": "2",
            "method": "web_form",
            "notice_hash": "b" * 64,
            "record_hash": record_hash(change.consent),
        }

    def test_con_9_in_part_by_field_days_and_range(self) -> None:
        inner = DataRange(date(2025, 6, 1), date(2025, 12, 31))
        change = life.decide(
            requested(),
            frozenset({"salary_base"}),
            signer(),
            notice(),
            AT,
            valid_days=5,
            data_range=inner,
        )
        consent = change.consent
        assert consent.given_names == {"salary_base"}
        assert (consent.readable_days, consent.readable_range) == (5, inner)
        assert consent.valid_to_at == AT + timedelta(days=5)
        assert (change.events[0].type, change.told, change.receipt) == (
            "partially_given",
            "consent_given",
            "partially_given",
        )

    @pytest.mark.parametrize(
        ("given", "more"),
        [
            (ALL | {"full_name"}, {}),
            (ALL, {"valid_days": 31}),
            (ALL, {"valid_days": 0}),
            (ALL, {"valid_days": -1}),
            (ALL, {"data_range": DataRange(None, date(2025, 12, 31))}),
            (ALL, {"data_range": DataRange(date(2024, 12, 31), date(2025, 12, 31))}),
            (ALL, {"data_range": DataRange(date(2025, 7, 1), date(2025, 6, 30))}),
        ],
    )
    def test_con_9_nothing_beyond_what_was_asked_can_be_given(
        self, given: frozenset[str], more: dict[str, Any]
    ) -> None:
        call = lambda: life.decide(requested(), given, signer(), notice(), AT, **more)  # noqa: E731
        assert reason_of(call) == "not_narrower"

    def test_con_9_without_a_required_field_nobody_is_taken_to_have_refused(self) -> None:
        given = frozenset({"si_status"})
        assert (
            reason_of(lambda: life.decide(requested(), given, signer(), notice(), AT))
            == "required_field_refused"
        )


class TestWithdrawal:
    @pytest.mark.parametrize("state", ["active", "paused", "refresh_due"])
    def test_rig_1_withdrawal_ends_all_tokens_with_one_change(self, state: State) -> None:
        change = life.withdraw(STATES[state], PERSON, AT)
        assert (change.consent.state, change.consent.state_reason) == ("withdrawn", "by_data_subject")
        assert (change.ends_grant, change.told, change.receipt) == (True, "consent_withdrawn", "withdrawn")
        assert state_at(change.consent, AT) == "withdrawn"

    def test_rig_1_a_child_may_withdraw_alone_and_so_may_its_representative(self) -> None:
        for actor in (PERSON, PARENT):
            assert life.withdraw(active(CHILD), actor, AT).consent.state == "withdrawn"

    @pytest.mark.parametrize(
        "actor",
        [BANK, OPERATOR, BROKER, Actor(kind="data_subject", reference="other"), Actor(kind="data_subject")],
    )
    def test_nobody_else_withdraws(self, actor: Actor) -> None:
        assert reason_of(lambda: life.withdraw(active(), actor, AT)) == "wrong_actor"

    def test_an_expired_consent_is_not_turned_into_a_withdrawn_one(self) -> None:
        end = AT + timedelta(days=30)
        assert state_at(active(), end - timedelta(microseconds=1)) == "active"
        assert reason_of(lambda: life.withdraw(active(), PERSON, end)) == "final_state"
        change = life.settled(active(), end)
        assert change is not None
        assert (change.consent.state, change.consent.state_reason) == ("expired", "valid_to")

    def test_rig_3_what_was_given_stays_in_the_record_after_the_withdrawal(self) -> None:
        before = active()
        after = life.withdraw(before, PERSON, AT + timedelta(days=1)).consent
        assert (after.decisions, after.signers, after.notice) == (
            before.decisions,
            before.signers,
            before.notice,
        )
        assert (after.valid_from_at, after.valid_to_at) == (before.valid_from_at, before.valid_to_at)
        assert record_hash(after) == record_hash(before)

    def test_pausing_and_resuming_leaves_what_was_agreed_and_the_tokens(self) -> None:
        paused = life.pause(active(), PERSON, AT)
        assert (paused.ends_grant, paused.told, paused.receipt) == (False, "consent_paused", "paused")
        resumed = life.resume(paused.consent, signer(), AT)
        assert (resumed.told, resumed.receipt) == ("consent_resumed", "resumed")
        assert record_hash(resumed.consent) == record_hash(active())
        stale = signer(authenticated_at=AT - timedelta(seconds=301))
        assert reason_of(lambda: life.resume(paused.consent, stale, AT)) == "sign_in_too_old"


class TestOthers:
    def test_a_client_cancels_its_own_request_and_nothing_else(self) -> None:
        other = Actor(kind="client", reference="bank-b")
        assert reason_of(lambda: life.cancel(requested(), other, AT)) == "wrong_actor"
        assert reason_of(lambda: life.cancel(requested(), PERSON, AT)) == "wrong_actor"
        for act in (life.view, life.refuse):
            assert reason_of(partial(act, requested(), BANK, AT)) == "wrong_actor"

    def test_only_a_named_operator_invalidates(self) -> None:
        for actor in (BROKER, PERSON, BANK, Actor(kind="operator")):
            assert reason_of(partial(life.invalidate, active(), actor, "fraud", AT)) == "wrong_actor"

    def test_a_request_that_becomes_inapplicable_is_told_to_nobody(self) -> None:
        change = life.make_inapplicable(requested(), BROKER, "recipient_suspended", AT)
        assert (change.told, change.receipt, change.ends_grant) == (None, None, False)
        given = life.make_inapplicable(active(), BROKER, "recipient_suspended", AT)
        assert (given.told, given.receipt, given.ends_grant) == ("consent_expired", "inapplicable", True)

    def test_a_client_gives_up_what_it_was_given_and_no_more(self) -> None:
        other = Actor(kind="client", reference="bank-b")
        for state in ("active", "paused", "refresh_due"):
            change = life.make_inapplicable(STATES[state], BANK, "by_client", AT)
            assert (change.consent.state, change.consent.state_reason) == ("inapplicable", "by_client")
            assert (change.told, change.receipt, change.ends_grant) == (
                "consent_expired",
                "inapplicable",
                True,
            )
            assert change.events[-1].actor == BANK
            call = partial(life.make_inapplicable, STATES[state], other, "by_client", AT)
            assert reason_of(call) == "wrong_actor"
        for asked in (requested(), STATES["pending_cosign"]):
            call = partial(life.make_inapplicable, asked, BANK, "by_client", AT)
            assert reason_of(call) == "wrong_actor"

    def test_uses_end_a_consent_only_where_they_are_counted_over_its_life(self) -> None:
        assert reason_of(lambda: life.exhaust(active(), 1, AT)) == "not_used_up"
        daily = life.decide(
            requested(replace(TERMS, frequency=Frequency(1, "day"))), ALL, signer(), notice(), AT
        ).consent
        assert reason_of(lambda: life.exhaust(daily, 9, AT)) == "not_used_up"
        assert life.exhaust(active(), 2, AT).consent.state_reason == "used_up"


class TestKeeping:
    @pytest.mark.parametrize("state", get_args(State))
    def test_a_record_comes_back_from_json_as_it_was(self, state: State) -> None:
        text = json.dumps(consent_document(STATES[state]))
        assert consent_from(json.loads(text)) == STATES[state]

    @pytest.mark.parametrize("part", ["", "terms", "notice"])
    def test_a_member_too_many_or_too_few_is_refused(self, part: str) -> None:
        for is_more in (True, False):
            document = json.loads(json.dumps(consent_document(active())))
            inner = document[part] if part else document
            if is_more:
                inner["more"] = 1
            else:
                inner.popitem()
            with pytest.raises(ValueError, match="these are not the members of"):
                consent_from(document)

    def test_an_instant_without_zone_is_not_written_down(self) -> None:
        with pytest.raises(ValueError, match="an instant is aware"):
            consent_document(replace(active(), requested_at=AT.replace(tzinfo=None)))
