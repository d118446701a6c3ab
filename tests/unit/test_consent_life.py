"""The life of a consent, clause by clause: the table, who may do what, instants at the edge, what follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final, get_args

import pytest

from broker.consent import life
from broker.consent.codec import consent_document, consent_from, record_hash
from broker.consent.life import Change, state_at
from broker.consent.record import (
    FINAL,
    Actor,
    Consent,
    EventType,
    Frequency,
    Signing,
    State,
)
from tests.consent_lives import (
    ALL,
    AT,
    BANK,
    BROKER,
    CHILD,
    OPERATOR,
    PARENT,
    PERSON,
    SECOND,
    STATES,
    TERMS,
    active,
    notice,
    parent,
    reason_of,
    requested,
    signer,
)
from tests.house.project import ROOT, table_rows
from tests.reference.consent import FINAL as REFERENCE_FINAL
from tests.reference.consent import TRANSITIONS

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
