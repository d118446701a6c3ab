"""What is wrong with the log is said in lines: when it begins, each minute, and when it is over."""

from __future__ import annotations

import logging

import pytest

from broker.api.log_alarm import AGAIN_SECONDS, LATE, STOPPED, Alarm


class Moved:
    """A probe and a clock that the test moves."""

    def __init__(self) -> None:
        self.fault: str | None = None
        self.now = 100.0
        self.alarm = Alarm(lambda: self.fault, LATE, "the log is in time again", lambda: self.now)


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """Lines of the log's own logger; an application that ran before keeps them to itself."""
    monkeypatch.setattr(logging.getLogger("broker"), "propagate", True)
    caplog.set_level(logging.WARNING, "broker.log")
    return caplog


def lines(heard: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [(one.levelname, one.getMessage()) for one in heard.records if one.name == "broker.log"]
    heard.clear()
    return found


def test_it_is_said_once_then_each_minute_then_that_it_is_over(heard: pytest.LogCaptureFixture) -> None:
    moved = Moved()
    assert (moved.alarm(), lines(heard)) == (None, [])
    moved.fault = "late"
    assert [moved.alarm() for _ in range(3)] == ["late"] * 3
    assert lines(heard) == [("ERROR", "an entry of the evidence waits too long for the published log")]
    moved.now += AGAIN_SECONDS - 1
    moved.alarm()
    assert lines(heard) == []
    moved.now += 1
    moved.alarm()
    assert lines(heard) == [("ERROR", LATE["late"])]
    moved.fault = None
    assert [moved.alarm(), moved.alarm()] == [None, None]
    assert lines(heard) == [("WARNING", "the log is in time again")]
    moved.fault = "late"
    moved.alarm()
    assert lines(heard) == [("ERROR", LATE["late"])]


def test_another_fault_is_said_at_once_and_what_is_no_alarm_is_not(heard: pytest.LogCaptureFixture) -> None:
    moved = Moved()
    moved.fault = "none"
    assert (moved.alarm(), lines(heard)) == ("none", [])
    moved.fault = "unreadable"
    moved.alarm()
    moved.fault = "late"
    moved.alarm()
    assert [one for _, one in lines(heard)] == [LATE["unreadable"], LATE["late"]]


def test_that_a_log_is_not_required_is_no_alarm() -> None:
    assert "log_not_required" not in STOPPED
    assert "none" not in LATE
