"""The questions of the bench: one table of some 48,000 cells, and 63 others that its release answers too."""

from __future__ import annotations

from itertools import product
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
from tests.bench.statistics_engine import counted_cells, prepared
from tests.bench.statistics_export import RULES, method_of
from tests.bench.statistics_registry import REGISTRY

Cut = tuple[tuple[str, str], ...]

LARGE: Final = planned(
    REGISTRY,
    (("province", "province_old"), ("sex", "sex"), ("age", "age_band"), ("sector", "sector")),
    (),
    ("contributions",),
)
"""63 provinces, both sexes, 10 ages, 22 sectors, and all margins."""

EARLIER: Final = (8, 32, 63)
"""How many tables of the release are out already when the auditor looks at the large one."""

# Sectors and months at one level, without filters: other tables would be looked at with a caution that
# refuses (docs/statistics.md), and what is refused is not what an export costs.
_CUTS: Final[tuple[Cut, ...]] = (
    (("province", "province_old"), ("age", "age_band")),
    (("province", "province"), ("sex", "sex"), ("age", "age_band")),
    (("province", "province"), ("age", "age_group"), ("payer", "payer_group")),
    (("sector", "sector"), ("age", "age_band"), ("sex", "sex")),
    (("benefit", "benefit_level"), ("province", "province"), ("sex", "sex")),
    (("facility", "facility_old"), ("sex", "sex")),
    (("period", "month"), ("province", "region")),
    (("payer", "payer_group"), ("benefit", "benefit_level"), ("age", "age_band"), ("sex", "sex")),
    (("province", "region"), ("sector", "sector"), ("sex", "sex")),
    (("province", "province"), ("sector", "sector"), ("sex", "sex")),
    (("period", "month"), ("sector", "sector"), ("age", "age_group")),
    (("facility", "facility_province"), ("age", "age_group")),
)
_FILTERS: Final[tuple[tuple[Filter, ...], ...]] = (
    (),
    (Filter("sex", "sex", ("F",)),),
    (Filter("payer", "payer_group", ("Q01",)),),
    (Filter("benefit", "benefit_level", ("B01", "B02")),),
    (Filter("age", "age_group", ("G01",)),),
)
_MEASURES: Final[tuple[tuple[str, ...], ...]] = ((), ("contributions",), ("salary",))


def earlier_plans(registry: Registry) -> list[TablePlan]:
    """Return plans that the release answers beside the large table: as many as its cap leaves.

    Kinds are taken in turn, so that the first few are as different as all of them.
    """
    taken = [LARGE]
    kinds = list(product(_MEASURES, _FILTERS, _CUTS))
    step = 37  # Coprime to how many there are: every kind comes once.
    for at in range(len(kinds)):
        measures, filters, cut = kinds[at * step % len(kinds)]
        try:
            plan = planned(registry, cut, filters, measures)
            if may_release(registry, plan, taken).is_new:
                taken.append(plan)
        except StatisticsRefused:
            continue
    return taken[1:]


def released_table(release: FrozenRelease, plan: TablePlan, method: Method) -> Released:
    """Return a plan's table without asking the auditor."""
    registry = release.manifest.registry
    grid = on_grid(counted_cells(release, plan), axes_of(registry, plan))
    return Released(grid, protected(grid, method, plan.hash), layout_of(registry, plan))


def auditor_figures(release: FrozenRelease) -> dict[str, float]:
    """Return what the auditor takes for the large table beside others of the release, and what it refuses."""
    prepared()
    method = method_of(release)
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
    return figures
