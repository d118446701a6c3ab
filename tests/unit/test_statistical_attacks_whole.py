"""Attacks on the whole way: a question as JSON, the engine on files, the answer, the downloaded package.

Those on the heart alone are in `test_statistical_attacks`; here are the ones that need formats, clients or
several releases, and some of those once more through everything that a job goes through.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from broker.actions.answer_export import ExportDoors, ExportQuestion, answer_export
from broker.engines.duckdb_engine import DuckDBEngine
from broker.exports.about import TableAbout
from broker.exports.package import Packed, packed
from broker.statistics.axes import on_grid
from broker.statistics.cells import CellTable
from broker.statistics.draws import keyed_draw
from broker.statistics.export_answer import ExportAnswer, KeptTable
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import Label
from broker.statistics.output import OutputTable
from broker.statistics.plan import TablePlan
from broker.statistics.plan_layout import axes_of
from broker.statistics.plan_parse import parse_plan
from broker.statistics.protect import perturbed_counts
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.release_cap import may_release
from broker.statistics.revision import Change, RevisionPolicy, check_change, check_revision
from tests.frozen_release import SmallRelease, frozen_release
from tests.naive_exporters import fresh_noise

HERS: Final = ("_U", "_U")
"""The thinnest cell by age and sex: fewer than the threshold are in it."""


class CountedOnce:
    """DuckDB, asked once for each table: attacks ask many times."""

    def __init__(self) -> None:
        self.engine, self.found = DuckDBEngine(memory_mb=256, threads=1), dict[str, CellTable]()

    def count(self, release: FrozenRelease, plan: TablePlan, on_share: Callable[[float], None]) -> CellTable:
        if plan.hash not in self.found:
            self.found[plan.hash] = self.engine.count(release, plan, on_share)
        return self.found[plan.hash]


def pack(table: OutputTable, release: FrozenRelease, question: ExportQuestion) -> Packed:
    name = Label("thử", "test")
    about = TableAbout(
        manifest=release.manifest,
        plan=question.plan,
        agreement=question.agreement,
        title=name,
        owner="national_insurance_agency",
        owner_name=name,
    )
    return packed(table, about, question.format)


def no_key(jwk: object, content: bytes, media_type: str) -> bytes:
    raise AssertionError("nobody asked for encryption")


def unheard(share: float) -> None:
    """Nobody looks how far it is."""


DOORS: Final = ExportDoors(CountedOnce(), pack, no_key)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    return frozen_release(Path(tmp_path_factory.mktemp("attacked")), persons=2_000)


def asked(release: SmallRelease, *cut: tuple[str, str], **more: Any) -> TablePlan:
    dimensions = [{"name": name, "level": level} for name, level in cut]
    question = {"release": release.registry.release, "dimensions": dimensions, **more}
    return parse_plan(question, release.registry)


def answer(
    release: FrozenRelease,
    plan: TablePlan,
    earlier: list[KeptTable] | None = None,
    *,
    agreement: str = "ministry_a/1",
    code: str = "csv",
) -> ExportAnswer:
    question = ExportQuestion(
        plan=plan, format=code, agreement=agreement, agreement_revision="1", recipient_key=None
    )
    return answer_export(question, release, earlier or [], DOORS, unheard)


def told(content: bytes) -> Iterator[tuple[tuple[str, str], int | None]]:
    """Yield cells of a CSV package by age and sex as an attacker reads them; None: hidden."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        lines = csv.DictReader(io.StringIO(archive.read("data.csv").decode()))
        for line in lines:
            yield (line["age"], line["sex"]), int(line["persons"]) if line["persons"] else None


def under_secret(release: SmallRelease, number: int) -> FrozenRelease:
    return replace(release.frozen, secret_table=number.to_bytes(32, "big"))


AGE_AND_SEX: Final = (("age", "age_group"), ("sex", "sex"))


def test_a_tracker_on_downloaded_packages_is_right_by_luck_alone(small: SmallRelease) -> None:
    plan = asked(small, *AGE_AND_SEX)
    grid = on_grid(small.cells(plan), axes_of(small.registry, plan))
    truth = int(grid.persons[-1, -1])
    assert 0 < truth < 10
    assert int(grid.persons[-1, 0] - grid.persons[-1, 1:-1].sum()) == truth, "exact tables tell it"
    hits, tries = 0, 0
    for secret in range(60):
        try:
            cells = dict(told(answer(under_secret(small, secret), plan).content))
        except StatisticsRefused:
            continue
        assert len(cells) == 7 * 4
        hidden, total = cells[HERS], cells["_U", "_T"]
        others = [cells["_U", "F"], cells["_U", "M"]]
        if hidden is not None or total is None or None in others:
            continue
        tries += 1
        hits += total - sum(one or 0 for one in others) == truth
    assert tries >= 20
    assert hits / tries <= 0.45, "three cells' noise lies on the difference"


def test_other_formats_and_clients_are_told_the_same_numbers_so_that_nothing_averages(
    small: SmallRelease,
) -> None:
    plan = asked(small, *AGE_AND_SEX)
    grid = on_grid(small.cells(plan), axes_of(small.registry, plan))
    rng = np.random.default_rng(1)
    average = np.mean([fresh_noise(grid, rng) for _ in range(2000)], axis=0)
    assert np.all(np.rint(average) == grid.persons), "fresh noise averages out"
    first = answer(small.frozen, plan)
    assert first.cells is not None
    kept = [KeptTable(plan, first.cells)]
    others = [
        answer(small.frozen, plan, kept, agreement=agreement, code=code)
        for agreement in ("ministry_a/1", "ministry_b/7")
        for code in ("csv", "sdmx-csv", "parquet", "xlsx")
    ]
    assert {one.table_hash for one in others} == {first.table_hash}
    assert all(one.cells is None for one in others), "none of them counts as a new table"
    assert dict(told(others[0].content)) == dict(told(others[4].content)) == dict(told(first.content))
    again = answer(small.frozen, plan, kept)
    assert again.content == first.content


def test_differencing_by_filters_ends_after_a_few_tables(small: SmallRelease) -> None:
    whole = asked(small, ("sex", "sex"), measures=["salary"])
    kept: list[KeptTable] = []
    codes = [code for code, _ in small.registry.dimension("age").level("age_group").categories]
    plans = [whole] + [
        asked(
            small,
            ("sex", "sex"),
            measures=["salary"],
            filters=[
                {"dimension": "age", "level": "age_group", "categories": [one for one in codes if one != out]}
            ],
        )
        for out in codes
    ]
    reasons = []
    for plan in plans:
        try:
            found = answer(small.frozen, plan, kept)
        except StatisticsRefused as refused:
            reasons.append(refused.reason)
            continue
        assert found.cells is not None
        kept.append(KeptTable(plan, found.cells))
    assert set(reasons) <= {"overlap_exhausted", "cell_narrowed"}
    assert "overlap_exhausted" in reasons
    assert len(kept) <= small.registry.limits.differences + 1


def test_a_superseded_release_and_its_successors_average_less_than_policy_allows(
    small: SmallRelease,
) -> None:
    # Nothing changed of these persons; each release has a secret of its own, and so another noise.
    plan = asked(small, *AGE_AND_SEX)
    grid = on_grid(small.cells(plan), axes_of(small.registry, plan))
    place, policy = (1, 1), RevisionPolicy()
    truth, method = int(grid.persons[place]), small.method

    def right(releases: int) -> float:
        rng, hits, tries = np.random.default_rng(2), 0, 150
        for secret in range(tries):
            numbers = []
            for number in range(releases):
                other = replace(method, draw=keyed_draw((100 * secret + number).to_bytes(32, "big")))
                keys = rng.integers(0, 2**32, 1).astype(np.uint32)
                numbers.append(int(perturbed_counts(other, grid.persons[place].reshape(1), keys)[0]))
            hits += round(float(np.mean(numbers))) == truth
        return hits / tries

    assert right(24) > 0.7, "an exporter that froze a release each week would be averaged out"
    assert right(policy.revisions) <= 0.45
    with pytest.raises(StatisticsRefused, match="revisions_exhausted: 3 releases of one quarter"):
        check_revision(policy, policy.revisions + 1)


def test_a_second_release_that_differs_by_one_person_is_not_made(small: SmallRelease) -> None:
    rows = len(small.persons)
    with pytest.raises(StatisticsRefused, match="revision_unlikely: less than 1 in 1000 rows differ"):
        check_change(RevisionPolicy(), Change(rows, rows + 3, gone=0, come=3))
    check_change(RevisionPolicy(), Change(rows, rows + rows // 100, gone=0, come=rows // 100))


def test_tables_of_a_superseded_release_count_in_its_successor(small: SmallRelease, tmp_path: Path) -> None:
    later = frozen_release(tmp_path, persons=50, revision=2)
    limits = replace(later.registry.limits, tables=2)
    registry = replace(later.registry, limits=limits)
    before = [asked(small, ("sex", "sex")), asked(small, ("age", "age_group"))]
    with pytest.raises(StatisticsRefused, match="tables_exhausted: 2 distinct tables"):
        may_release(registry, asked(later, ("sex", "sex")), [], before)
    assert may_release(registry, asked(later, ("sex", "sex")), [], before[:1]).is_new
