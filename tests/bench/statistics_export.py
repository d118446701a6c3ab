"""One export, one raw statement, one answer of pandas: each in a process of its own, with its peak memory.

Libraries are loaded before the clock starts: a worker loads them once for all its exports.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Final, TypeVar

from broker.statistics.answering import answered
from broker.statistics.audit import check_audit
from broker.statistics.audit_rules import AuditRules
from broker.statistics.axes import on_grid
from broker.statistics.frozen import FrozenRelease
from broker.statistics.methods import method_of
from broker.statistics.plan import TablePlan
from broker.statistics.plan_layout import axes_of, layout_of
from broker.statistics.protect import Method, protected
from broker.statistics.views import Released
from tests.bench.statistics_engine import counted_cells, packed_bytes, prepared
from tests.bench.statistics_raw import connected, fetched, raw_query

RULES: Final = AuditRules()
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one process took. cpu_seconds: of all its threads. peak_mb: the most memory that it ever held."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRun(Run):
    """A whole export and its parts. control, auditor: measured once more by themselves, after the peak."""

    count_seconds: float
    package_seconds: float
    package_bytes: int
    package_hash: str
    control_seconds: float
    auditor_seconds: float
    released: Released


def alone(function: Callable[..., Result], *arguments: object) -> Result:
    """Return what a function gives in a new process, which ends with it."""
    context = get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context, max_tasks_per_child=1) as pool:
        return pool.submit(function, *arguments).result()


class Clock:
    """Seconds since it was made, by the wall and of the processor."""

    def __init__(self) -> None:
        self._wall, self._cpu = perf_counter(), process_time()

    def run(self) -> Run:
        """Return what was taken until now."""
        return Run(
            seconds=perf_counter() - self._wall, cpu_seconds=process_time() - self._cpu, peak_mb=peak_mb()
        )


def peak_mb() -> float:
    """Return the most memory that this program has held, in MB.

    Not of getrusage, whose peak a child inherits from whoever started it.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel tells no peak")


def release_method(release: FrozenRelease) -> Method:
    """Return the method of a release, as jobs make it."""
    manifest = release.manifest
    return method_of(
        manifest.parameters, manifest.registry.measures, release.perturbation, release.secret_table
    )


def export_run(release: FrozenRelease, plan: TablePlan) -> ExportRun:
    """Count, protect, look at and pack a plan's table, as the worker does."""
    prepared()
    registry = release.manifest.registry
    clock = Clock()
    cells = counted_cells(release, plan)
    counted = clock.run()
    answer = answered(registry, plan, cells, release_method(release), [], RULES)
    reviewed = clock.run()
    content = packed_bytes(release, answer)
    whole = clock.run()
    method = release_method(release)
    control = perf_counter()
    grid = on_grid(cells, axes_of(registry, plan))
    released = Released(grid, protected(grid, method, plan.hash), layout_of(registry, plan))
    auditor = perf_counter()
    check_audit([released], method, RULES)
    return ExportRun(
        seconds=whole.seconds,
        cpu_seconds=whole.cpu_seconds,
        peak_mb=whole.peak_mb,
        count_seconds=counted.seconds,
        package_seconds=whole.seconds - reviewed.seconds,
        package_bytes=len(content),
        package_hash=sha256(content).hexdigest(),
        control_seconds=auditor - control,
        auditor_seconds=perf_counter() - auditor,
        released=answer.released,
    )


def raw_run(release: FrozenRelease, plan: TablePlan, *, is_whole: bool) -> Run:
    """Answer a plan's raw statement, with all margins or of its inner cells alone."""
    directory = Path(release.directory)
    query = raw_query(release.manifest.registry, plan, directory)
    clock = Clock()
    with connected(directory) as connection:
        fetched(connection, query.whole if is_whole else query.finest)
    return clock.run()


def whole_raw_run(release: FrozenRelease, plan: TablePlan) -> Run:
    """Answer the raw statement of the very aggregates that an export has."""
    return raw_run(release, plan, is_whole=True)


def finest_raw_run(release: FrozenRelease, plan: TablePlan) -> Run:
    """Answer the raw statement of the inner cells alone."""
    return raw_run(release, plan, is_whole=False)


def pandas_run(release: FrozenRelease, plan: TablePlan) -> Run:
    """Do in pandas what the raw statement does of the inner cells, all rows in memory."""
    import pandas

    from broker.engines.mart import PERSON, RECORD_KEY, dimension_column, measure_column

    by = [dimension_column(name) for name, _ in plan.cut]
    measures = [measure_column(one) for one in plan.measures]
    clock = Clock()
    rows = pandas.read_parquet(release.directory, columns=[PERSON, RECORD_KEY, *by, *measures])
    how = {RECORD_KEY: "first", **dict.fromkeys(measures, "sum")}
    units = rows.groupby([PERSON, *by], sort=False).agg(how).reset_index()
    found = units.groupby(by).agg({PERSON: "count", RECORD_KEY: "sum", **dict.fromkeys(measures, "sum")})
    for one in measures:
        units.sort_values(one, ascending=False).groupby(by, sort=False).head(3)
    if not len(found):
        raise RuntimeError("pandas found no cell")
    return clock.run()
