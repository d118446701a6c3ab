"""Who signs a consent: two of a child's, and whom a birthday leaves (CON-11, CON-14)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from broker.consent import life
from broker.consent.codec import record_hash
from broker.consent.life import state_at
from broker.consent.record import (
    Signing,
)
from tests.consent_lives import (
    ALL,
    AT,
    CHILD,
    PARENT,
    PERSON,
    SECOND,
    STATES,
    TERMS,
    active,
    due,
    notice,
    opening,
    parent,
    reason_of,
    requested,
    signer,
)


class TestTwoWhoSign:
    def test_con_11_one_signature_is_told_to_nobody_and_two_are(self) -> None:
        first = life.decide(requested(signing=CHILD), ALL, signer(), notice(), AT)
        assert (first.consent.state, first.told, first.receipt) == ("pending_cosign", None, None)
        assert first.consent.valid_from_at is None
        later = AT + timedelta(days=1)
        second = life.cosign(first.consent, parent(later), notice(), later)
        assert (second.consent.state, second.told, second.receipt) == ("active", "consent_given", "cosigned")
        assert second.consent.valid_from_at == later
        assert [one.role for one in second.consent.signers] == ["data_subject", "representative"]
        assert [one.signed_at for one in second.consent.signers] == [AT, later]

    def test_con_11_the_representative_may_sign_first(self) -> None:
        first = life.decide(requested(signing=CHILD), ALL, parent(), notice(), AT)
        assert life.cosign(first.consent, signer(), notice(), AT).consent.state == "active"

    def test_con_11_nobody_signs_twice_or_for_both(self) -> None:
        waiting = STATES["pending_cosign"]
        assert reason_of(lambda: life.cosign(waiting, signer(), notice(), AT)) == "already_signed"
        as_parent = parent(citizen_id="person")
        assert reason_of(lambda: life.cosign(waiting, as_parent, notice(), AT)) == "wrong_actor"
        by_parent = life.decide(requested(signing=CHILD), ALL, parent(), notice(), AT).consent
        other = parent(citizen_id="other-parent")
        assert reason_of(lambda: life.cosign(by_parent, other, notice(), AT)) == "already_signed"

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"authenticated_at": AT - timedelta(seconds=301)}, "sign_in_too_old"),
            ({"level": 1}, "level_too_low"),
            ({"citizen_id": ""}, "wrong_actor"),
            ({"citizen_id": "person"}, "wrong_actor"),
        ],
    )
    def test_con_11_the_second_signature_is_worth_as_much_as_the_first(
        self, changed: dict[str, Any], reason: str
    ) -> None:
        hand = parent(**changed)
        assert reason_of(lambda: life.cosign(STATES["pending_cosign"], hand, notice(), AT)) == reason
        due_one, at = due()
        both = Signing(required_roles=("data_subject", "representative"))
        if "authenticated_at" in changed:
            changed = {"authenticated_at": at - timedelta(seconds=301)}
        late = parent(at, **changed)
        assert reason_of(lambda: life.confirm(due_one, late, notice(), at, signing=both)) == reason

    def test_the_second_signer_is_shown_a_notice_too(self) -> None:
        unseen = notice(served_at=AT + SECOND)
        waiting, (due_one, at) = STATES["pending_cosign"], due()
        assert reason_of(lambda: life.cosign(waiting, parent(), unseen, AT)) == "notice_missing"
        later = notice(served_at=at + SECOND)
        call = lambda: life.confirm(due_one, signer(at), later, at, signing=Signing())  # noqa: E731
        assert reason_of(call) == "notice_missing"
        amending = lambda: life.amend(active(), "c-2", ALL, signer(), unseen, AT)  # noqa: E731
        assert reason_of(amending) == "notice_missing"

    @pytest.mark.parametrize("relation_hash", ["", "c" * 63, "C" * 64, "c" * 65])
    def test_con_14_who_represents_must_be_shown_to(self, relation_hash: str) -> None:
        hand = parent(relation_hash=relation_hash)
        waiting = STATES["pending_cosign"]
        assert reason_of(lambda: life.cosign(waiting, hand, notice(), AT)) == "relation_missing"

    def test_con_14_the_proof_of_the_relation_is_kept_with_the_consent(self) -> None:
        assert [one.relation_hash for one in active(CHILD).signers] == ["", "c" * 64]

    def test_con_11_the_second_signs_what_the_first_gave_or_nothing(self) -> None:
        waiting = STATES["pending_cosign"]
        for less in (frozenset({"salary_base"}), frozenset(), ALL | {"full_name"}):
            call = partial(life.cosign, waiting, parent(), notice(), AT, given=less)
            assert reason_of(call) == "not_as_signed"
        assert life.cosign(waiting, parent(), notice(), AT, given=ALL).consent.state == "active"

    def test_con_11_one_of_two_refuses_for_both(self) -> None:
        change = life.refuse(STATES["pending_cosign"], PARENT, AT)
        assert (change.consent.state, change.consent.state_reason) == ("refused", "by_representative")
        assert change.consent.given_names == frozenset()

    def test_an_adult_is_not_represented(self) -> None:
        assert reason_of(lambda: life.decide(requested(), ALL, parent(), notice(), AT)) == "wrong_actor"
        for act in (life.pause, life.withdraw):
            assert reason_of(partial(act, active(), PARENT, AT)) == "wrong_actor"

    def test_a_request_ends_on_the_birthday_that_changes_who_signs(self) -> None:
        birthday = AT + timedelta(days=2)
        consent = requested(signing=replace(CHILD, refresh_due_at=birthday))
        assert consent.request_expires_at == birthday
        assert state_at(consent, birthday) == "request_expired"
        past = replace(CHILD, refresh_due_at=AT)
        assert reason_of(lambda: life.open_request(**opening(signing=past))) == "request_too_short"

    def test_what_one_of_two_paused_the_other_cannot_resume(self) -> None:
        consent = life.pause(active(CHILD), PERSON, AT).consent
        assert reason_of(lambda: life.resume(consent, parent(), AT)) == "wrong_actor"
        assert life.resume(consent, signer(), AT).consent.state == "active"


class TestComingOfAge:
    def test_con_11_on_the_birthday_nothing_is_released_and_no_token_dies(self) -> None:
        birthday = AT + timedelta(days=20)
        consent = active(CHILD)
        assert state_at(consent, birthday - timedelta(microseconds=1)) == "active"
        change = life.settled(consent, birthday)
        assert change is not None
        assert (change.consent.state, change.consent.state_since_at) == ("refresh_due", birthday)
        assert (change.ends_grant, change.told, change.receipt) == (False, "consent_paused", None)

    def test_con_11_from_then_on_the_representative_has_no_say(self) -> None:
        consent, at = due()
        assert reason_of(lambda: life.withdraw(consent, PARENT, at)) == "wrong_actor"
        hand = parent(at)
        call = lambda: life.confirm(consent, hand, notice(), at, signing=Signing())  # noqa: E731
        assert reason_of(call) == "wrong_actor"

    def test_con_11_the_representatives_say_ends_with_the_very_instant(self) -> None:
        paused, birthday = life.pause(active(CHILD), PARENT, AT).consent, AT + timedelta(days=20)
        before = birthday - timedelta(microseconds=1)
        assert life.withdraw(paused, PARENT, before).consent.state == "withdrawn"
        assert reason_of(lambda: life.withdraw(paused, PARENT, birthday)) == "wrong_actor"
        assert reason_of(lambda: life.resume(paused, parent(birthday), birthday)) == "wrong_actor"
        # What the representative paused the person may now resume; it falls due for confirmation.
        resumed = life.resume(paused, signer(birthday), birthday).consent
        assert (resumed.state, resumed.state_since_at) == ("refresh_due", birthday)

    def test_con_11_the_person_alone_confirms_and_the_end_stays(self) -> None:
        consent, at = due()
        change = life.confirm(consent, signer(at), notice(), at, signing=Signing())
        after = change.consent
        assert (after.state, after.required_roles, after.refresh_due_at) == (
            "active",
            ("data_subject",),
            None,
        )
        assert after.valid_to_at == consent.valid_to_at
        assert [event.type for event in change.events] == ["refresh_due", "confirmed"]
        assert {event.version for event in change.events} == {consent.version + 1}
        assert (change.told, change.receipt) == ("consent_resumed", "confirmed")
        assert record_hash(after) != record_hash(consent)

    def test_con_11_at_7_both_confirm(self) -> None:
        both = Signing(required_roles=("data_subject", "representative"))
        infant = Signing(
            required_roles=("representative",),
            refresh_due_at=AT + timedelta(days=20),
            refresh_roles=both.required_roles,
        )
        consent = life.decide(requested(signing=infant), ALL, parent(), notice(), AT).consent
        assert consent.state == "active"
        at = AT + timedelta(days=21)
        first = life.confirm(consent, parent(at), notice(), at, signing=both)
        assert (first.consent.state, first.told, first.events[-1].type) == ("refresh_due", None, "cosigned")
        again = parent(at)
        call = lambda: life.confirm(first.consent, again, notice(), at, signing=both)  # noqa: E731
        assert reason_of(call) == "already_signed"
        second = life.confirm(first.consent, signer(at), notice(), at, signing=both)
        assert (second.consent.state, second.told) == ("active", "consent_resumed")

    def test_con_11_unconfirmed_it_expires_after_30_days_or_at_its_end(self) -> None:
        long = replace(TERMS, valid_days=300)
        first = life.decide(requested(long, CHILD), ALL, signer(), notice(), AT).consent
        consent = life.cosign(first, parent(), notice(), AT).consent
        end = AT + timedelta(days=50)
        assert state_at(consent, end - SECOND) == "refresh_due"
        change = life.settled(consent, end)
        assert change is not None
        assert [(event.type, event.at) for event in change.events] == [
            ("refresh_due", AT + timedelta(days=20)),
            ("expired", end),
        ]
        assert change.consent.state_reason == "unconfirmed"
        assert (change.ends_grant, change.told, change.receipt) == (True, "consent_expired", "expired")
        assert state_at(active(CHILD), AT + timedelta(days=30)) == "expired"

    def test_con_11_what_rested_over_the_birthday_does_not_open_when_resumed(self) -> None:
        paused = life.pause(active(CHILD), PERSON, AT).consent
        at = AT + timedelta(days=21)
        assert state_at(paused, at) == "paused"
        change = life.resume(paused, signer(at), at)
        assert (change.consent.state, change.consent.state_since_at) == ("refresh_due", at)
        assert [event.type for event in change.events] == ["resumed", "refresh_due"]
        assert change.told is None
