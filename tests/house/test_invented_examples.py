"""Invented examples judge the code: none has a time limit, and all runs of all tests look at the same."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.house.project import ROOT

IS_FUZZING = "FUZZ_EXAMPLES" in os.environ


def test_a_slow_machine_makes_no_example_fail() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check


@pytest.mark.skipif(IS_FUZZING, reason="looks for new examples on purpose")
def test_a_run_of_all_tests_looks_at_the_same_examples_every_time() -> None:
    assert settings.default is not None
    assert settings.default.derandomize


def test_no_property_takes_that_back() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "deadline=timedelta" in line or "derandomize=False" in line or "load_profile(" in line
    }
    assert found == {"tests/conftest.py", "tests/house/test_invented_examples.py"}
