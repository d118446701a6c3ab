"""What reading a whole log again costs: `python -m tests.bench.replay`, one core, files in a directory.

A synthetic log of 200,000 releases is written as a sequencer would write it, then read by what
`broker evidence audit` runs: every entry parsed and hashed, every tile built anew and compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from broker.cli.audit import Head, replay_of
from broker.evidence.checkpoint import open_checkpoint
from broker.evidence.log_replay import EMPTY_EDGE
from connectors.log_files import DirectoryFiles
from tests.bench.report import replace_block
from tests.evidence_entries import release
from tests.evidence_log import LOG_KEY, MemoryLog, write_log

ENTRIES: Final = 200_000
ROUNDS: Final = 5
BATCH: Final = 5_000
TARGET: Final = 20_000


def synthetic_log(directory: Path, entry_count: int) -> Head:
    """Write a log that grew in batches; return its head."""
    log = MemoryLog()
    for first in range(0, entry_count, BATCH):
        log.append([release(at) for at in range(first, min(first + BATCH, entry_count))])
    write_log(log, directory)
    return Head(open_checkpoint(log.note().content, [LOG_KEY]), (), ())


def replay(directory: Path, head: Head) -> tuple[float, float]:
    """Return entries a second of processor time and of the wall clock."""
    size = head.opened.checkpoint.tree_size
    processor, wall = time.process_time(), time.perf_counter()
    with replay_of(DirectoryFiles(directory).find, head, (), EMPTY_EDGE, is_far=False) as steps:
        findings = [one for step in steps for one in step.findings]
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    if findings:
        raise RuntimeError(f"a faultless log has findings: {findings[:3]}")
    return size / processor, size / wall


def main() -> None:
    """Measure, and write what was measured into docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    arguments = parser.parse_args()
    # What reads has one core; another one may be busy with other work.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(prefix="broker-bench-") as temporary:
        head = synthetic_log(Path(temporary), arguments.entries)
        rounds = [replay(Path(temporary), head) for _ in range(ROUNDS)]
    processor, wall = (statistics.median(column) for column in zip(*rounds, strict=True))
    figures = {
        "replay_entries_per_cpu_second": (processor, f"≥ {TARGET:,}"),
        "replay_entries_per_second": (wall, ""),
    }
    rows = [f"| `{name}` | {value:,.0f} | {target} |" for name, (value, target) in figures.items()]
    print("\n".join(rows))
    if arguments.entries == ENTRIES:
        replace_block("bench-replay", "\n".join(["| figure | measured | target |", "|---|---|---|", *rows]))


if __name__ == "__main__":
    main()
