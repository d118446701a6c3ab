"""Clocks two hours off: of the sequencer, and of one worker among several."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text

from broker.cli.serve import server_command, with_metrics
from broker.settings import read_settings
from tests.chaos.http_stage import HttpStage, running, status_of
from tests.chaos.log_stage import LogPlace, log_stage
from tests.chaos.report import Fault
from tests.chaos.traffic import Traffic
from tests.doors import free_port, wait_until

TWO_HOURS: Final = 7_200.0
ENTRIES: Final = 300
CALLERS: Final = 6
WANTED: Final = 100
REFUSALS: Final = frozenset({"clock-skewed", "proof-invalid", "token-invalid"})
ENTRY_SECONDS: Final = 60.0
"""An entry's own instant is at most so far from the one at which the database took it."""


def run_sequencer(fault: Fault, place: LogPlace, *, quick: bool) -> None:
    """It orders by transactions and dates its heads alone by its clock: nothing but those dates is wrong."""
    with log_stage(place) as stage:
        for seconds in (-TWO_HOURS, TWO_HOURS, -TWO_HOURS, 0.0)[: 2 if quick else 4]:
            stage.record(ENTRIES)
            one = stage.sequencer(clock=seconds)
            stage.settled(one)
            code = one.end()
            fault.add("sequencers_with_another_clock", bool(seconds))
            fault.expect(code == 0, f"{seconds:+.0f} s: it ended with {code}: {one.said[-500:]}")
            fault.say(f"sequencer {seconds:+.0f} s: {stage.published_size} entries published")
        stage.record(ENTRIES)
        stage.settled()
        stage.judge(fault)


def run_worker(fault: Fault, stage: HttpStage, *, quick: bool) -> None:
    """What it would release it refuses; tokens and proofs that are good for the others are not for it."""
    acknowledged: list[str] = []
    for seconds in (TWO_HOURS,) if quick else (TWO_HOURS, -TWO_HOURS):
        acknowledged += _beside(fault, stage, seconds)
    _dated(fault, stage)
    stage.judge(fault, acknowledged)


def _beside(fault: Fault, stage: HttpStage, seconds: float) -> list[str]:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    name = f"skewed{seconds:+.0f}"
    metrics = stage.directory / f"{name}-metrics"
    metrics.mkdir()
    own = {"BROKER_ISSUER": issuer, "BROKER_BIND": f"127.0.0.1:{port}", "CHAOS_CLOCK": str(seconds)}
    own["CHAOS_MARK"] = str(stage.directory / f"{name}-mark")
    environ = with_metrics({**stage.environ, **own}, metrics)
    words = [*server_command(read_settings(environ), "gunicorn")[1:-1], "tests.chaos.skewed:create_app()"]
    with running(words, environ, stage.directory / f"{name}.log"):
        wait_until(lambda: status_of(f"{issuer}/healthz") == 200, "the server answers", 120)
        with Traffic(stage.world, issuer, CALLERS, fresh_connections=True) as traffic:
            wait_until(
                lambda: len(traffic.acknowledged) >= WANTED and traffic.refusals >= WANTED // 10,
                "both kinds of workers have answered", 180,
            )  # fmt: skip
    fault.add("refused_by_the_other_clock", traffic.refusals)
    fault.note(**{f"problems_at_{seconds:+.0f}_s": dict(traffic.problems + traffic.broken)})
    strange = set(traffic.problems) - REFUSALS
    fault.expect(not strange, f"{seconds:+.0f} s: other refusals: {strange}")
    fault.expect(not traffic.leaks, f"refusals with members of their own: {traffic.leaks[:3]}")
    fault.say(
        f"worker {seconds:+.0f} s: {len(traffic.acknowledged)} acknowledged, {traffic.refusals} refused"
    )
    return traffic.acknowledged


def _dated(fault: Fault, stage: HttpStage) -> None:
    with stage.world.owner.connect() as connection:
        rows = connection.execute(text("SELECT entry, recorded_at FROM evidence_entries")).all()
    bound = timedelta(seconds=ENTRY_SECONDS)
    wrong = sum(
        abs(datetime.fromisoformat(json.loads(bytes(row.entry))["at"]) - row.recorded_at) > bound
        for row in rows
    )
    fault.note(entries_dated_wrongly=wrong)
    fault.expect(not wrong, f"{wrong} entries tell another instant than that of their recording")
