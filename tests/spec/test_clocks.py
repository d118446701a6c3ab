"""The clocks of tests: what a test shows and answers some minutes later must not become another day."""

from __future__ import annotations

from datetime import timedelta

from policies.civil_time import civil_date
from tests.inbox_flow import InboxFlow
from tests.oauth_flow import Flow
from tests.oauth_world import MovableClock, present


def test_no_clock_begins_shortly_before_midnight(flow: Flow, inbox: InboxFlow) -> None:
    for at in (present(), MovableClock()(), flow.world.clock(), inbox.world.clock()):
        assert civil_date(at) == civil_date(at + timedelta(minutes=15))
