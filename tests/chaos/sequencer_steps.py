"""The sequencer killed at each of its steps, and started again: one history, and nothing lost."""

from __future__ import annotations

import signal
from collections import Counter
from time import perf_counter

from tests.chaos.judging import audit
from tests.chaos.log_stage import LogPlace, LogStage, log_stage
from tests.chaos.report import Fault
from tests.chaos.steps import STEPS

ENTRIES_EACH = 300
"""More than a tile is wide: with each growth a tile becomes full, and narrower ones are deleted."""


def run(fault: Fault, place: LogPlace, *, quick: bool) -> None:
    with log_stage(place) as stage:
        stage.record(40)
        stage.settled()
        rows: Counter[str] = Counter()
        slowest = 0.0
        for name, step in STEPS.items():
            stage.record(ENTRIES_EACH)
            died = stage.sequencer(at=name)
            code = died.wait(120)
            fault.expect(
                code == -signal.SIGKILL, f"at {name!r} it was not killed but ended with {code}: {died.said}"
            )
            fault.add("kills")
            rows[step.row] += 1
            if quick:
                continue  # the next one takes up what this one left
            started = perf_counter()
            stage.settled()
            slowest = max(slowest, perf_counter() - started)
            _audited(fault, stage, name)
        stage.settled()
        fault.note(rows_of_the_table=dict(rows))
        if not quick:
            fault.note(slowest_recovery_s=round(slowest, 1))
        stage.judge(fault)


def _audited(fault: Fault, stage: LogStage, name: str) -> None:
    told = audit(stage.world.files().directory, stage.world.key(), stage.watcher.notes)
    fault.add("audits")
    fault.expect(told["faultless"], f"after {name!r} the audit finds {told['findings'][:3]}")
    fault.say(f"killed at {name!r}, {told['tree_size']} entries in the log")
