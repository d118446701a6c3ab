"""What is worked out of a decision once is right for that decision alone, however many there are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies import by_identity
from policies.by_identity import ByIdentity
from policies.model import Decision

REFUSED = Decision(permitted=False, reason="no_agreement", determining_rules=("default_deny",))


def test_a_decision_is_worked_upon_once_and_an_equal_one_by_itself() -> None:
    asked: list[Decision] = []

    def reason(decision: Decision) -> str:
        asked.append(decision)
        return decision.reason

    remembered, equal = ByIdentity(reason), replace(REFUSED)
    assert [remembered(one) for one in (REFUSED, REFUSED, equal, REFUSED)] == ["no_agreement"] * 4
    assert [id(one) for one in asked] == [id(REFUSED), id(equal)]


def test_a_decision_that_is_gone_leaves_nothing_to_the_one_that_takes_its_place() -> None:
    remembered = ByIdentity(lambda decision: decision.reason)
    # More than are kept, each forgotten by everybody else at once: their places in memory are used again.
    for number in range(3 * by_identity._KEPT):
        assert remembered(replace(REFUSED, reason=f"reason_{number}")) == f"reason_{number}"


def test_what_cannot_be_worked_out_is_not_remembered() -> None:
    answers = iter([ValueError("not now"), None])

    def fails_once(decision: Decision) -> str:
        fault = next(answers)
        if fault is not None:
            raise fault
        return decision.reason

    remembered = ByIdentity(fails_once)
    with pytest.raises(ValueError, match=r"^not now$"):
        remembered(REFUSED)
    assert remembered(REFUSED) == "no_agreement"
