"""The questions of the bench: one table of some 41,000 cells, and 63 others of its release."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Final

from broker.actions.statistics_doors import FrozenRelease
from broker.statistics.audit import narrowed
from broker.statistics.axes import on_grid
from broker.statistics.plan import Filter, TablePlan, planned
from broker.statistics.plan_layout import axes_of, layout_of
from broker.statistics.protect import Method, protected
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Registry
from broker.statistics.release_cap import may_release
from broker.statistics.views import Released
from tests.bench.statistics_export import RULES, release_method
from tests.bench.statistics_mart import REGISTRY
from tests.bench.statistics_raw import as_cells, connected, fetched, raw_query

Cut = tuple[tuple[str, str], ...]

LARGE: Final = planned(
    REGISTRY,
    (("facility", "facility_province_old"), ("sex", "sex"), ("age", "age_band"), ("sector", "sector")),
    (
        Filter("facility", "facility_region", ("R1", "R2", "R3", "R4", "R5", "R6")),
        Filter("sex", "sex", ("F", "M")),
        Filter("age", "age_group", ("15-24", "25-54")),
    ),
    ("contributions",),
)
"""63 provinces of cards, both sexes, 8 age bands, 23 sectors, and all margins: 41,472 cells.

Who is of unknown sex, province or age is left out: nobody is, and of cells in which nobody can be the
auditor shows too few to be safe (docs/statistics.md).
"""

EARLIER: Final = (8, 32, 63)
"""How many tables of the release are out already when the auditor looks at the large one."""

# Sectors and months at one level, without filters: other tables would be looked at with a caution that
# refuses (docs/statistics.md), and what is refused is not what an export costs.
_CUTS: Final[tuple[Cut, ...]] = (
    (("province", "province"), ("age", "age_band")),
    (("province", "province"), ("sex", "sex"), ("age", "age_band")),
    (("province", "province"), ("age", "age_group"), ("sex", "sex")),
    (("sector", "sector"), ("age", "age_band"), ("sex", "sex")),
    (("province", "region"), ("age", "age_band"), ("sex", "sex")),
    (("facility", "facility_province_old"), ("sex", "sex")),
    (("period", "month"), ("province", "region")),
    (("facility", "facility_region"), ("age", "age_band"), ("sex", "sex")),
    (("province", "region"), ("sector", "sector"), ("sex", "sex")),
    (("province", "province"), ("sector", "sector"), ("sex", "sex")),
    (("period", "month"), ("sector", "sector"), ("age", "age_group")),
    (("facility", "facility_province"), ("age", "age_group")),
)
BOUND_SECONDS: Final = 30
"""If the auditor took longer than this beside fewer tables, more are not tried: its figures are left out."""

_KNOWN: Final = {
    "province": Filter("province", "region", ("R1", "R2", "R3", "R4", "R5", "R6")),
    "facility": Filter("facility", "facility_region", ("R1", "R2", "R3", "R4", "R5", "R6")),
    "sex": Filter("sex", "sex", ("F", "M")),
    "age": Filter("age", "age_group", ("15-24", "25-54", "55-64")),
}
"""What a table that cuts one of these leaves in: as the large one, categories in which somebody is."""

_NARROWER: Final[tuple[Filter | None, ...]] = (
    None,
    Filter("sex", "sex", ("F",)),
    Filter("province", "region", ("R1",)),
    Filter("facility", "facility_region", ("R1", "R2")),
    Filter("age", "age_group", ("25-54",)),
)
_MEASURES: Final[tuple[tuple[str, ...], ...]] = ((), ("contributions",), ("salary",))


def earlier_plans(registry: Registry) -> list[TablePlan]:
    """Return plans beside the large table: as many as the cap of a release leaves.

    More of them differ by a filter than a release answers: that is harder for the auditor, who is measured.
    Kinds are taken in turn, so that the first few are as different as all of them.
    """
    registry = replace(registry, limits=replace(registry.limits, differences=registry.limits.tables))
    taken = [LARGE]
    kinds = list(product(_MEASURES, _NARROWER, _CUTS))
    step = 37  # Coprime to how many there are: every kind comes once.
    for at in range(len(kinds)):
        measures, narrower, cut = kinds[at * step % len(kinds)]
        kept = {name: _KNOWN[name] for name, _ in cut if name in _KNOWN}
        if narrower is not None:
            kept[narrower.dimension] = narrower
        try:
            plan = planned(registry, cut, tuple(kept.values()), measures)
            if may_release(registry, plan, taken).is_new:
                taken.append(plan)
        except StatisticsRefused:
            continue
    return taken[1:]


def released_table(release: FrozenRelease, plan: TablePlan, method: Method) -> Released:
    """Return a plan's table without asking the auditor; counted by the raw statement, which is quicker."""
    registry, directory = release.manifest.registry, Path(release.directory)
    with connected(directory) as connection:
        columns = fetched(connection, raw_query(registry, plan, directory).whole)
    grid = on_grid(as_cells(plan, columns), axes_of(registry, plan))
    return Released(grid, protected(grid, method, plan.hash), layout_of(registry, plan))


def auditor_figures(release: FrozenRelease) -> dict[str, float]:
    """Return what the auditor takes for the large table beside others of the release, and what it refuses."""
    method = release_method(release)
    plans = earlier_plans(release.manifest.registry)[: max(EARLIER)]
    if len(plans) < max(EARLIER):
        raise RuntimeError(f"the release answers {len(plans)} tables beside the large one alone")
    large = released_table(release, LARGE, method)
    others = [released_table(release, plan, method) for plan in plans]
    figures: dict[str, float] = {}
    for count in EARLIER:
        begun = perf_counter()
        found = narrowed([*others[:count], large], method, RULES)
        figures[f"auditor_seconds_{count}"] = perf_counter() - begun
        figures[f"auditor_refused_cells_{count}"] = sum(len(one.cells) for one in found)
        if figures[f"auditor_seconds_{count}"] > BOUND_SECONDS:
            break
    return figures
