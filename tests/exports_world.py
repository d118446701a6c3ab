"""A frozen release of made-up persons, questions to it, jobs, and an engine that counts it right here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import numpy as np

from broker.actions.ended_exports import released_row
from broker.app import new_reference
from broker.evidence.recording import EvidenceRow
from broker.statistics.aggregate import aggregated
from broker.statistics.cells import CellTable
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.export_answer import ExportAnswer
from broker.statistics.export_job import ExportJob, ExportResult
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.methods import hashes_of
from broker.statistics.plan import Filter, TablePlan, planned
from broker.statistics.plan_layout import layout_of
from broker.statistics.registry import Dimension, Level, Limits, Registry
from broker.statistics.table_csv import table_name, table_to_csv
from tests.oracles import table_of
from tests.statistics_world import AGE, PROVINCE, SECRET_TABLE, SEX, WAGE, population

PERIOD: Final = "2026-q3"
PEOPLE: Final = 20_000
AT: Final = datetime(2026, 10, 5, 3, 0, tzinfo=UTC)
"""When a release was frozen; no test's clock."""
FINEST: Final = {
    axis.name: tuple((code, (code,)) for code in axis.categories) for axis in (PROVINCE, SEX, AGE)
}
REGIONS: Final = (("north", PROVINCE.categories[:25]), ("south", PROVINCE.categories[25:]))
COLUMNS: Final = {"province": 0, "sex": 1, "age": 2}
PARAMETERS: Final = DisclosureParameters()


def manifest(revision: int = 1, **limits: int) -> ReleaseManifest:
    """Return the manifest of a release of one quarter. limits: of `registry.Limits`."""
    dimensions = (
        Dimension(name="province", levels=(Level("province", FINEST["province"]), Level("region", REGIONS))),
        Dimension(name="sex", levels=(Level("sex", FINEST["sex"]),)),
        Dimension(name="age", levels=(Level("age", FINEST["age"]),)),
    )
    release = f"{PERIOD}.{revision}"
    return ReleaseManifest(
        release=release,
        period=PERIOD,
        revision=revision,
        supersedes=f"{PERIOD}.{revision - 1}" if revision > 1 else "",
        frozen_at=AT,
        as_of=AT,
        registry=Registry(release=release, dimensions=dimensions, measures=(WAGE,), limits=Limits(**limits)),
        dimensions=(),
        measures=(),
        parameters=PARAMETERS,
        perturbation=hashes_of(perturbation()),
        files=(),
        persons_count=PEOPLE,
        rows_count=PEOPLE,
    )


def frozen(given: ReleaseManifest | None = None) -> FrozenRelease:
    """Return the release with its secret and its perturbation tables."""
    return FrozenRelease(given or manifest(), "/nowhere", True, SECRET_TABLE, perturbation())


@cache
def perturbation() -> Mapping[str, str]:
    """Return table name → CSV of the default parameters."""
    tables = [table_of(PARAMETERS.counts), table_of(PARAMETERS.sums)]
    return {table_name(one.parameters): table_to_csv(one) for one in tables}


def plan_of(
    given: ReleaseManifest,
    *cut: tuple[str, str],
    measures: tuple[str, ...] = (),
    only: tuple[str, str, str] | None = None,
) -> TablePlan:
    """Return the plan of a question. only: dimension, level and category of a filter."""
    filters = () if only is None else (Filter(only[0], only[1], (only[2],)),)
    return planned(given.registry, cut or (("sex", "sex"),), filters, measures)


def one_of_each_province(given: ReleaseManifest, number: int) -> TablePlan:
    """Return one of many distinct plans that overlap with none of the others by a filter alone."""
    cuts = [("sex", "sex"), ("age", "age"), ("province", "province"), ("province", "region")]
    chosen = [one for at, one in enumerate(cuts) if (number % 15 + 1) >> at & 1]
    if ("province", "province") in chosen and ("province", "region") in chosen:
        chosen.remove(("province", "region"))
    measures = (WAGE,) if number % 2 else ()
    return planned(given.registry, tuple(chosen), (), measures)


def job_of_plan(plan: TablePlan, client_id: str = "ministry-a", **changed: Any) -> ExportJob:
    """Return a waiting job that asks for a table."""
    job = ExportJob(
        job_id=new_reference(),
        reference=new_reference(),
        client_id=client_id,
        recipient="ministry",
        agreement="ministry_statistics",
        agreement_revision="ab" * 32,
        acting_person="0f" * 32,
        release=plan.release,
        plan=plan.canonical(),
        plan_hash=plan.hash,
        format="csv",
        recipient_key=None,
        state="waiting",
        percent=0,
        reason="",
        requested_at=datetime.now(UTC),
        finished_at=None,
        expires_at=None,
        result=None,
    )
    return replace(job, **changed)


def counted(given: ReleaseManifest, plan: TablePlan) -> CellTable:
    """Return what is true of the made-up persons."""
    people, layout = population(PEOPLE), layout_of(given.registry, plan)
    kept = np.ones(len(people.persons), dtype=bool)
    for name, leaves in layout.kept.items():
        kept &= leaves[people.codes[:, COLUMNS[name]]]
    places = [layout.places[name][people.codes[:, COLUMNS[name]]] - 1 for name in layout.axes]
    values = people.wages[:, None][:, : len(plan.measures)]
    codes = np.stack(places, axis=1)
    return aggregated(
        layout.axes, plan.measures, codes[kept], people.persons[kept], values[kept], people.keys
    )


@dataclass
class CountingEngine:
    """An engine that counts the made-up persons, and how often it was asked.

    before: called with the plan first, and may raise.
    """

    before: Callable[[TablePlan], None] = lambda _plan: None
    asked: list[TablePlan] = field(default_factory=list)

    def count(self, release: FrozenRelease, plan: TablePlan, on_share: Callable[[float], None]) -> CellTable:
        self.asked.append(plan)
        self.before(plan)
        on_share(0.0)
        cells = counted(release.manifest, plan)
        on_share(1.0)
        return cells


def answer_of(
    plan: TablePlan, content: bytes = b"a package", cells: CellTable | None = None, **changed: Any
) -> ExportAnswer:
    """Return an answer with some bytes, of a table that is released with it where cells are given."""
    answer = ExportAnswer(
        content=content,
        media_type="application/zip",
        file_name=f"{plan.release}.zip",
        table_hash=plan.hash[::-1],
        cell_count=3,
        suppressed_permille=0,
        cells=cells,
    )
    return replace(answer, **changed)


def evidence_row(job: ExportJob, table_hash: str, at: datetime) -> EvidenceRow:
    """Return a row of evidence of what became of a job."""
    result = ExportResult(
        media_type="application/zip",
        file_name="a.zip",
        bytes_count=1,
        content_hash=table_hash,
        table_hash=table_hash,
        cell_count=1,
        suppressed_permille=0,
    )
    return released_row(job, result, new_reference(), at)


def told(job: ExportJob | None) -> Mapping[str, Any]:
    """Return how a job stands, without its instants."""
    assert job is not None
    return {"state": job.state, "percent": job.percent, "reason": job.reason}
