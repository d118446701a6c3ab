"""`make chaos`: breaks a broker in eight ways and counts what came of it. `--quick`: about two minutes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from broker.cli.embedded import embedded_cluster
from tests.chaos import (
    clocks,
    disks_full,
    old_states,
    postgres_killed,
    sequencer_steps,
    turned_bits,
    two_sequencers,
    workers_killed,
)
from tests.chaos.http_stage import http_stage
from tests.chaos.log_stage import LogPlace
from tests.chaos.report import Fault, console, document_of, exit_code, show, write
from tests.doors import cluster_directory
from tests.log_world import log_databases

Faults = Sequence[tuple[str, str, Callable[..., None]]]

ON_A_BROKER: Faults = (
    ("a", "workers killed under load", workers_killed.run),
    ("c", "PostgreSQL killed under load", postgres_killed.run),
    ("g", "clock of a worker two hours off", clocks.run_worker),
    ("d", "no space for the log, none in the database", disks_full.run),
)
ON_A_LOG: Faults = (
    ("b", "sequencer killed at each of its steps", sequencer_steps.run),
    ("e", "an older state brought back", old_states.run),
    ("f", "one bit turned", turned_bits.run),
    ("g", "clock of the sequencer two hours off", clocks.run_sequencer),
    ("h", "two sequencers at once, and one asleep", two_sequencers.run),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything: about two minutes")
    parser.add_argument("--only", default="", metavar="LETTERS", help="these faults alone, such as bf")
    given = parser.parse_args()
    console.print(f"load before: {Path('/proc/loadavg').read_text().split()[:3]}", markup=False)
    started = perf_counter()
    faults: list[Fault] = []

    def broken(chosen: Faults, stage: Any) -> None:
        for name, title, run in chosen:
            fault = Fault(name, title)
            faults.append(fault)
            with fault.timed():
                run(fault, stage, quick=given.quick)

    def of(all_of_them: Faults) -> Faults:
        return [one for one in all_of_them if not given.only or one[0] in given.only]

    with ExitStack() as opened:
        if chosen := of(ON_A_BROKER):
            broken(chosen, opened.enter_context(http_stage()))
    with ExitStack() as opened:
        if chosen := of(ON_A_LOG):
            directory = opened.enter_context(cluster_directory())
            cluster = opened.enter_context(embedded_cluster(directory))
            broken(chosen, LogPlace(cluster, opened.enter_context(log_databases(cluster))))
    document = document_of(faults, quick=given.quick, seconds=perf_counter() - started)
    write(document)
    show(document)
    return exit_code(document)


if __name__ == "__main__":
    sys.exit(main())
