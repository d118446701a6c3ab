"""Workers killed at random while hospitals ask: what was acknowledged is on record and in the log."""

from __future__ import annotations

import random
import threading
from time import perf_counter

from tests.chaos.http_stage import HttpStage
from tests.chaos.processes import killed
from tests.chaos.report import Fault
from tests.chaos.traffic import Traffic
from tests.doors import wait_until

RELEASES, QUICK_RELEASES = 10_000, 1_500
CALLERS = 6
BETWEEN = (20, 200)
"""So many releases are acknowledged between two kills, drawn anew each time: a worker takes its time to
start, and with none there is no load.
"""


def run(fault: Fault, stage: HttpStage, *, quick: bool) -> None:
    wanted = QUICK_RELEASES if quick else RELEASES
    seed = random.SystemRandom().randrange(2**32)
    fault.note(seed=seed)
    stop = threading.Event()
    started = perf_counter()
    with Traffic(stage.world, stage.issuer, CALLERS) as traffic:
        killer = threading.Thread(target=_kill, args=(fault, stage, traffic, random.Random(seed), stop))
        killer.start()
        try:
            for share in range(1, 11):
                wait_until(
                    lambda share=share: len(traffic.acknowledged) >= wanted * share // 10,  # type: ignore[misc]
                    f"{wanted * share // 10} releases are acknowledged", 300,
                )  # fmt: skip
                fault.say(
                    f"{len(traffic.acknowledged)} acknowledged, {fault.counts.get('kills', 0)} workers killed"
                )
        finally:
            stop.set()
            killer.join()
    seconds = perf_counter() - started
    fault.note(
        acknowledged_a_second=round(len(traffic.acknowledged) / seconds),
        statuses=dict(traffic.statuses),
        without_an_answer=dict(traffic.broken),
    )
    fault.expect(fault.counts.get("kills", 0) >= 5, "fewer than five workers were killed")
    fault.expect(not traffic.leaks, f"refusals with members of their own: {traffic.leaks[:3]}")
    # A request under way may be on record without an answer; sent again by the client, its proof is used up.
    strange = set(traffic.statuses) - {200, 401, 503}
    fault.expect(not strange, f"other answers: {strange}, {dict(traffic.problems)}")
    stage.all_workers_are_there()
    stage.judge(fault, traffic.acknowledged)


def _kill(
    fault: Fault, stage: HttpStage, traffic: Traffic, dice: random.Random, stop: threading.Event
) -> None:
    due = dice.randint(*BETWEEN)
    while not stop.wait(0.01):
        workers = stage.worker_pids() if len(traffic.acknowledged) >= due else []
        if workers and killed(dice.choice(workers)):
            fault.add("kills")
            due = len(traffic.acknowledged) + dice.randint(*BETWEEN)
