"""What a protected table costs: `make bench-statistics`; with QUICK=1 under three minutes.

A made-up release of three rows a person; one table of some 41,000 cells, exported whole (engine, noise and
hiding, auditor, SDMX package) in a process of its own, in turn with the raw GROUP BY of the same aggregates;
the auditor with many tables of the release; what pandas and acro do of it. Results go to
.artifacts/bench-statistics.json and, for the full run, to docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console

from broker.statistics.frozen import FrozenRelease
from tests.bench.report import machine, replace_block
from tests.bench.statistics_export import (
    ExportRun,
    Run,
    alone,
    export_run,
    finest_raw_run,
    pandas_run,
    whole_raw_run,
)
from tests.bench.statistics_mart import MONTHS, made_release
from tests.bench.statistics_peers import acro_figures
from tests.bench.statistics_tables import LARGE, auditor_figures
from tests.bench.statistics_useful import useful_figures

ARTIFACT = Path(".artifacts/bench-statistics.json")
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. small_persons: of the release for pandas, acro and the auditor's many tables.

    acro_seconds: how long acro may take for one table.
    """

    persons: int
    small_persons: int
    rounds: int
    acro_seconds: float


FULL = Size(10_000_000, 1_000_000, 7, 300)
QUICK = Size(1_000_000, 1_000_000, 5, 10)

TARGETS: Mapping[str, float] = {
    "ratio_to_raw": 1.5,
    "peak_rss_mb": 1536,
    "control_seconds": 0.5,
    "auditor_seconds": 5,
    "auditor_seconds_8": 5,
    "auditor_seconds_32": 5,
    "auditor_seconds_63": 5,
    "count_error_median": 0.02,
    "hidden_share_of_persons": 0.01,
}
"""Figure → the most that it may be."""

ONLY_FULL = ("count_error_median", "hidden_share_of_persons")
"""Targets of the full size: a tenth of the persons in as many cells is another table."""


def written(directory: Path, persons: int) -> FrozenRelease:
    """Write a release, in a process of its own: its memory is no export's."""
    directory.mkdir()
    console.print(f"writing {persons:,} persons, {persons * len(MONTHS):,} rows ...")
    release = alone(made_release, directory, persons, 1, _silent)
    console.print(f"{sum(one.bytes_count for one in release.manifest.files) / 1e6:,.0f} MB of Parquet")
    return release


def _silent(share: float) -> None:
    del share


def in_turn(release: FrozenRelease, rounds: int) -> tuple[list[ExportRun], list[Run], list[Run]]:
    """Return exports and raw statements, each in turn first; a first round only warms the files."""
    exports: list[ExportRun] = []
    whole: list[Run] = []
    finest: list[Run] = []
    steps: list[Callable[[], None]] = [
        lambda: exports.append(alone(export_run, release, LARGE)),
        lambda: whole.append(alone(whole_raw_run, release, LARGE)),
        lambda: finest.append(alone(finest_raw_run, release, LARGE)),
    ]
    for number in range(rounds + 1):
        for at in range(len(steps)):
            steps[(number + at) % len(steps)]()
        console.print(
            f"round {number}: export {exports[-1].seconds:.2f} s, raw {whole[-1].seconds:.2f} s, "
            f"inner cells alone {finest[-1].seconds:.2f} s"
        )
    return exports[1:], whole[1:], finest[1:]


def export_figures(release: FrozenRelease, rounds: int) -> dict[str, float]:
    """Return what a whole export takes beside the raw statements of the same run, and how useful it is."""
    exports, whole, finest = in_turn(release, rounds)
    if len({one.package_hash for one in exports}) != 1:
        raise RuntimeError("one question was answered with several packages")
    pairs = list(zip(exports, whole, finest, strict=True))
    return {
        "ratio_to_raw": median(one.seconds / raw.seconds for one, raw, _ in pairs),
        "lowest_ratio_to_raw": min(one.seconds / raw.seconds for one, raw, _ in pairs),
        "highest_ratio_to_raw": max(one.seconds / raw.seconds for one, raw, _ in pairs),
        "cpu_ratio_to_raw": median(one.cpu_seconds / raw.cpu_seconds for one, raw, _ in pairs),
        "ratio_to_raw_inner_cells": median(one.seconds / raw.seconds for one, _, raw in pairs),
        "export_seconds": median(one.seconds for one in exports),
        "raw_seconds": median(one.seconds for one in whole),
        "raw_inner_cells_seconds": median(one.seconds for one in finest),
        "count_seconds": median(one.count_seconds for one in exports),
        "control_seconds": median(one.control_seconds for one in exports),
        "auditor_seconds": median(one.auditor_seconds for one in exports),
        "package_seconds": median(one.package_seconds for one in exports),
        "package_mb": exports[0].package_bytes / 1e6,
        "peak_rss_mb": max(one.peak_mb for one in exports),
        "raw_peak_rss_mb": max(one.peak_mb for one in whole),
        **useful_figures(exports[0].released),
    }


def peer_figures(release: FrozenRelease, directory: Path, size: Size) -> dict[str, float]:
    """Return what pandas and acro take, and an export of the same release."""
    console.print("pandas, and an export of the same rows ...")
    runs = [
        (alone(pandas_run, release, LARGE), alone(export_run, release, LARGE))
        for _ in range(max(size.rounds // 2, 1))
    ]
    figures: dict[str, float] = {
        "pandas_rows": release.manifest.rows_count,
        "pandas_seconds": median(one.seconds for one, _ in runs),
        "pandas_peak_rss_mb": max(one.peak_mb for one, _ in runs),
        "export_of_these_seconds": median(one.seconds for _, one in runs),
        "export_of_these_peak_rss_mb": max(one.peak_mb for _, one in runs),
    }
    console.print("acro ...")
    found = acro_figures(release, directory, size.acro_seconds)
    if not found:
        console.print("acro is not there (.venv-acro): its figures are left out")
    return {**figures, **found}


def measured(size: Size, directory: Path) -> dict[str, float]:
    """Measure everything; tell on standard error how far it is."""
    begun = perf_counter()
    figures: dict[str, float] = {"load_average_at_start": os.getloadavg()[0]}
    release = written(directory / "large", size.persons)
    figures |= {"persons": release.manifest.persons_count, "rows": release.manifest.rows_count}
    figures |= export_figures(release, size.rounds)
    small = release
    if size.small_persons != size.persons:
        small = written(directory / "small", size.small_persons)
    console.print("the auditor, with many tables of one release ...")
    figures |= alone(auditor_figures, small)
    figures |= peer_figures(small, directory, size)
    figures |= {"load_average_at_end": os.getloadavg()[0], "minutes": (perf_counter() - begun) / 60}
    return figures


def verdict(name: str, value: float, *, is_quick: bool = False) -> tuple[str, str]:
    """Return the target of a figure, and whether it is met; both empty where there is none."""
    if name not in TARGETS or (is_quick and name in ONLY_FULL):
        return "", ""
    return f"≤ {TARGETS[name]:,}", "met" if value <= TARGETS[name] else "missed"


def shown(value: float) -> str:
    """Return a figure as it is told."""
    return f"{value:,.0f}" if value >= 1_000 or value == int(value) else f"{value:.3g}"


def report(figures: Mapping[str, float], size: Size) -> None:
    """Write the table of docs/performance.md."""
    day = datetime.now(UTC).date().isoformat()
    head = (
        f"Measured on {day}: {machine()}; {size.persons:,} persons, {size.rounds} rounds; the auditor's "
        f"many tables, pandas and acro on {size.small_persons:,} persons."
    )
    rows = [
        f"| `{name}` | {shown(value)} | {' | '.join(verdict(name, value))} |"
        for name, value in figures.items()
    ]
    block = [head, "", "| figure | measured | target | |", "|---|---|---|---|", *rows]
    replace_block("bench-statistics", "\n".join(block))


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="under three minutes; nothing is written to docs"
    )
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory(prefix="broker-bench-", ignore_cleanup_errors=True) as temporary:
        figures = measured(size, Path(temporary))
    ARTIFACT.parent.mkdir(exist_ok=True)
    ARTIFACT.write_text(
        json.dumps({"is_quick": arguments.quick, **figures}, indent=2) + "\n", encoding="utf-8"
    )
    if not arguments.quick:
        report(figures, size)
    for name, value in figures.items():
        target, met = verdict(name, value, is_quick=arguments.quick)
        print(f"{name:32} {shown(value):>12}  {target:10} {met}")


if __name__ == "__main__":
    main()
