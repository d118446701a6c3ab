"""What evidence costs: `make bench-evidence`, `make bench-evidence QUICK=1` (under three minutes).

An entitlement check with its evidence and without, in interleaved rounds of one run; the sequencer; a
proof from the tiles of a large tree; the delay until an entry is published, under full load; what an
entry takes on the disk; and the reading of a whole log. CPU from /proc and of the own process. Results go
to .artifacts/bench-evidence.json and, for the full run, to docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from tests.bench.proving import proof_figures
from tests.bench.published import Published
from tests.bench.release import THREADS, WORKERS, Bench, Series
from tests.bench.replay import replay, synthetic_log
from tests.bench.report import machine, replace_block
from tests.bench.sequencing import sequencing_figures
from tests.bench.stage import UNRECORDED, Stage, console, staged

ARTIFACT = Path(".artifacts/bench-evidence.json")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. requests: of one round; load: requests under which entries are published."""

    persons: int
    requests: int
    rounds: int
    load: int
    sequenced: int
    leaves: int
    replayed: int


FULL = Size(200_000, 400, 60, 12_000, 200_000, 10_000_000, 200_000)
QUICK = Size(10_000, 200, 24, 3_000, 50_000, 1_000_000, 20_000)

TARGETS: Mapping[str, tuple[str, float]] = {
    "evidence_added": ("≤", 0.15),
    "sequenced_per_cpu_second": ("≥", 20_000),
    "proof_p99_ms": ("≤", 5),
    "merge_delay_p99_s": ("≤", 1),
    "growth_bytes": ("≤", 400),
    "audited_per_cpu_second": ("≥", 20_000),
}
"""Figure → how it must stand to a number."""


def totals(series: Series) -> list[float]:
    """Return CPU µs per request of each round, server and database together."""
    return [a + b for a, b in zip(series.server_us, series.database_us, strict=True)]


def cost_figures(bench: Bench, rounds: int) -> dict[str, float]:
    """Return what evidence adds to a check: the median, and the middle half, of many short pairs of rounds.

    The two of a pair stand side by side, now the one first, now the other: what else the machine does falls
    on both.
    """
    bench.rounds(["broker", UNRECORDED], rounds)
    checks, without = bench.series["broker"], bench.series[UNRECORDED]
    pairs = zip(totals(checks), totals(without), strict=True)
    lower, added, upper = quantiles([one / other - 1 for one, other in pairs], n=4)
    server = [a - b for a, b in zip(checks.server_us, without.server_us, strict=True)]
    database = [a - b for a, b in zip(checks.database_us, without.database_us, strict=True)]
    return {
        "evidence_added": added,
        "evidence_added_lower_quartile": lower,
        "evidence_added_upper_quartile": upper,
        "check_cpu_us": checks.total_us,
        "check_without_evidence_cpu_us": without.total_us,
        "evidence_server_us": median(server),
        "evidence_database_us": median(database),
    }


def published_figures(stage: Stage, bench: Bench, load: int) -> dict[str, float]:
    """Return the delays until entries were published, and the bytes that each takes."""
    published = Published(stage, stage.servers["broker"])
    with published.sequencer():
        console.print(f"waiting until {published.count():,} entries are published ...")
        published.wait()
        console.print(f"{load:,} checks, and when each is published ...")
        delays = published.delays(bench, load)
    held = published.bytes_per_entry()
    parts = ("table_bytes", "openings_bytes", "positions_bytes", "tile_bytes")
    return {
        "merge_delay_p50_s": delays[len(delays) // 2],
        "merge_delay_p99_s": delays[int(len(delays) * 0.99)],
        "merge_delay_longest_s": delays[-1],
        "growth_bytes": sum(held[part] for part in parts),
        **held,
    }


def measured(size: Size, directory: Path) -> dict[str, float]:
    """Measure everything; tell on standard error how far it is."""
    figures: dict[str, float] = {"load_average_at_start": os.getloadavg()[0]}
    with staged(directory / "stage", size.persons, WORKERS, THREADS, only=("broker", UNRECORDED)) as stage:
        bench = Bench(stage, size.requests)
        figures |= cost_figures(bench, size.rounds)
        figures |= published_figures(stage, bench, size.load)
        console.print(f"ordering twice {size.sequenced:,} entries ...")
        figures |= sequencing_figures(stage.cluster, directory / "ordered", size.sequenced)
    console.print(f"a tree of {size.leaves:,} leaves, and proofs from its tiles ...")
    figures |= proof_figures(directory / "tree", size.leaves)
    console.print(f"reading a log of {size.replayed:,} entries again ...")
    head = synthetic_log(directory / "replayed", size.replayed)
    rounds = [replay(directory / "replayed", head) for _ in range(3)]
    figures["audited_per_cpu_second"] = median(processor for processor, _ in rounds)
    figures["audited_per_second"] = median(wall for _, wall in rounds)
    return {**figures, "load_average_at_end": os.getloadavg()[0]}


def verdict(name: str, value: float) -> tuple[str, str]:
    """Return the target of a figure, and whether it is met; both empty where there is none."""
    if name not in TARGETS:
        return "", ""
    sign, bound = TARGETS[name]
    is_met = value <= bound if sign == "≤" else value >= bound
    return f"{sign} {bound:,}", "met" if is_met else "missed"


def shown(value: float) -> str:
    """Return a figure as it is told."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def report(figures: Mapping[str, float], size: Size) -> None:
    """Write the table of docs/performance.md."""
    day = datetime.now(UTC).date().isoformat()
    head = (
        f"Measured on {day}: {machine()}; {size.persons:,} persons, {size.rounds} rounds of "
        f"{size.requests:,} checks, twice {size.sequenced:,} entries ordered, {size.leaves:,} leaves."
    )
    rows = [
        f"| `{name}` | {shown(value)} | {' | '.join(verdict(name, value))} |"
        for name, value in figures.items()
    ]
    block = [head, "", "| figure | measured | target | |", "|---|---|---|---|", *rows]
    replace_block("bench-evidence", "\n".join(block))


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="under three minutes; nothing is written to docs"
    )
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory(prefix="broker-bench-", ignore_cleanup_errors=True) as temporary:
        Path(temporary).chmod(0o755)
        figures = measured(size, Path(temporary))
    ARTIFACT.parent.mkdir(exist_ok=True)
    ARTIFACT.write_text(
        json.dumps({"is_quick": arguments.quick, **figures}, indent=2) + "\n", encoding="utf-8"
    )
    if not arguments.quick:
        report(figures, size)
    for name, value in figures.items():
        target, met = verdict(name, value)
        print(f"{name:32} {shown(value):>10}  {target:10} {met}")


if __name__ == "__main__":
    main()
