"""How a consent comes to be: asked for, given whole or in part, signed by two, refused, expired."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from broker.consent import life
from broker.consent.codec import record_hash
from broker.consent.life import state_at
from broker.consent.record import (
    DataRange,
    Signing,
)
from tests.consent_lives import (
    ALL,
    AT,
    BROKER,
    PERSON,
    SECOND,
    STATES,
    TERMS,
    active,
    notice,
    opening,
    reason_of,
    requested,
    signer,
)


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
