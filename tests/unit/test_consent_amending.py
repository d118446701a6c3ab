"""A consent is amended or extended: the new one in the place of the old, and who must sign that."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from broker.consent import life
from broker.consent.record import (
    AskedField,
    Terms,
)
from tests.consent_lives import ALL, AT, CHILD, SECOND, TERMS, active, notice, reason_of, signer


class TestAmending:
    def test_an_amendment_is_one_change_with_the_new_consent_in_it(self) -> None:
        change = life.amend(
            active(), "consent-2", frozenset({"salary_base"}), signer(), notice(), AT + SECOND
        )
        successor = change.successor
        assert successor is not None
        assert (change.consent.state, change.consent.superseded_by) == ("superseded", "consent-2")
        assert (change.ends_grant, change.told, change.receipt) == (True, "consent_changed", None)
        assert (successor.consent.supersedes, successor.consent.state) == ("consent-1", "active")
        assert (successor.consent.valid_from_at, successor.consent.valid_to_at) == (
            AT + SECOND,
            AT + timedelta(days=30),
        )
        assert (successor.receipt, successor.told, successor.ends_grant) == ("amended", None, False)
        assert dict(successor.events[0].details)["supersedes"] == "consent-1"

    def test_the_new_consent_begins_without_the_tokens_of_the_old_one(self) -> None:
        granted = replace(active(), grant_id="grant-1")
        change = life.amend(granted, "consent-2", ALL, signer(), notice(), AT)
        assert change.successor is not None
        assert (change.consent.grant_id, change.successor.consent.grant_id) == ("grant-1", None)

    def test_to_give_less_one_signature_is_enough_however_old_the_sign_in(self) -> None:
        old = signer(authenticated_at=AT - timedelta(days=1), level=1)
        change = life.amend(active(CHILD), "consent-2", frozenset({"salary_base"}), old, notice(), AT)
        assert change.successor is not None
        assert [one.role for one in change.successor.consent.signers] == ["representative", "data_subject"]

    @pytest.mark.parametrize(
        "more",
        [
            {"given": ALL},
            {"given": frozenset({"salary_base"}), "valid_days": 30},
            {
                "given": frozenset({"salary_base"}),
                "valid_days": 5,
                "terms": replace(TERMS, retention_days=91),
            },
            {"given": frozenset({"salary_base"}), "valid_days": 5, "terms": replace(TERMS, mode="store")},
            {"given": frozenset({"salary_base"}), "valid_days": 5, "terms": replace(TERMS, frequency=None)},
            {
                "given": frozenset({"salary_base"}),
                "valid_days": 5,
                "terms": replace(TERMS, fields=(AskedField("salary_base", "value", True, True),)),
            },
            {"given": frozenset({"salary_base"}), "valid_days": 5, "terms": replace(TERMS, data_range=None)},
        ],
    )
    def test_to_give_more_needs_a_fresh_sign_in_and_everybody(self, more: dict[str, Any]) -> None:
        given, more = more["given"], {name: more[name] for name in more if name != "given"}
        at = AT + SECOND
        part = frozenset({"salary_base"})
        alone, two = active(given=part), active(CHILD, part)
        stale = signer(authenticated_at=AT - timedelta(days=1))
        assert (
            reason_of(lambda: life.amend(alone, "c-2", given, stale, notice(), at, **more))
            == "sign_in_too_old"
        )
        hand = signer(at)
        assert reason_of(lambda: life.amend(two, "c-2", given, hand, notice(), at, **more)) == "cosign_needed"
        change = life.amend(alone, "c-2", given, hand, notice(), at, **more)
        assert change.successor is not None
        assert change.successor.consent.given_names == given

    @pytest.mark.parametrize(
        ("terms", "consent_id"),
        [
            (replace(TERMS, purpose="local_social_policy"), "consent-2"),
            (replace(TERMS, agreement_id="another"), "consent-2"),
            (TERMS, "consent-1"),
        ],
    )
    def test_another_matter_is_asked_for_by_itself(self, terms: Terms, consent_id: str) -> None:
        call = lambda: life.amend(active(), consent_id, ALL, signer(), notice(), AT, terms=terms)  # noqa: E731
        assert reason_of(call) == "other_matter"

    def test_giving_nothing_is_no_amendment(self) -> None:
        call = lambda: life.amend(active(), "consent-2", frozenset(), signer(), notice(), AT)  # noqa: E731
        assert reason_of(call) == "nothing_asked"

    def test_an_extension_lasts_from_now_and_no_longer_than_asked(self) -> None:
        at = AT + timedelta(days=10)
        change = life.extend(active(), "consent-2", signer(at), notice(), at)
        assert change.successor is not None
        assert change.successor.consent.valid_to_at == at + timedelta(days=30)
        assert (change.successor.receipt, change.successor.events[0].type) == ("extended", "extended")
        for days, reason in ((31, "not_narrower"), (20, "not_longer")):
            call = partial(life.extend, active(), "consent-2", signer(at), notice(), at, valid_days=days)
            assert reason_of(call) == reason
