"""The state of a former version: as its events tell, what time alone had done by then included."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.consent.chain import ConsentChainBroken, chained
from broker.consent.past import state_then
from broker.consent.record import Actor, ConsentEvent, EventType

START = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)
CITIZEN = Actor(kind="data_subject", reference="somebody")
BROKER = Actor(kind="broker")


def event(version: int, kind: EventType, state: str, hours: int, reason: str = "") -> ConsentEvent:
    told = (("state", state), *((("reason", reason),) if reason else ()))
    actor = BROKER if reason else CITIZEN
    return ConsentEvent(
        consent_id="c", version=version, type=kind, actor=actor, at=START + hours * HOUR, details=told
    )


LIFE = chained(
    [
        event(1, "requested", "requested", 0),
        event(2, "viewed", "requested", 1),
        event(3, "given", "active", 2),
        event(4, "paused", "paused", 4),
        event(5, "resumed", "active", 6),
        # A birthday at hour 8, written down when it was confirmed at hour 10.
        event(6, "refresh_due", "refresh_due", 8, "confirmation_due"),
        event(6, "confirmed", "active", 10),
        event(7, "expired", "expired", 20, "valid_to"),
    ],
    0,
    b"",
)


@pytest.mark.parametrize(
    ("version", "hour", "state"),
    [
        (1, 0, "requested"),
        (2, 1, "requested"),
        (3, 3, "active"),
        (3, 9, "active"),
        (4, 5, "paused"),
        (5, 7, "active"),
        (5, 8, "refresh_due"),
        (5, 9, "refresh_due"),
        (6, 11, "active"),
        (6, 19, "active"),
        (6, 20, "expired"),
    ],
)
def test_the_state_is_that_of_the_version_with_what_time_had_done(
    version: int, hour: int, state: str
) -> None:
    assert state_then(LIFE, version, START + hour * HOUR) == state


def test_an_end_that_somebody_made_is_not_supposed_for_the_version_before() -> None:
    """Used up under version 2: whoever read version 1 a moment before did not yet find it so."""
    ended = chained(
        [event(1, "given", "active", 0), event(2, "expired", "expired", 1, "used_up")],
        0,
        b"",
    )
    assert state_then(ended, 1, START + 2 * HOUR) == "active"
    assert state_then(ended, 2, START + 2 * HOUR) == "expired"


def test_events_that_were_changed_are_not_believed() -> None:
    forged = (*LIFE[:3], replace(LIFE[3], entry=LIFE[3].entry.replace(b"paused", b"active")), *LIFE[4:])
    with pytest.raises(ConsentChainBroken):
        state_then(forged, 4, START + 5 * HOUR)
