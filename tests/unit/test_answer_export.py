"""The verb that answers a job: engine, noise, auditor, package, and an encrypted one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from broker.actions.answer_export import ExportDoors, ExportQuestion, answer_export
from broker.statistics.cells import CellTable
from broker.statistics.export_answer import ExportAnswer, KeptTable
from broker.statistics.frozen import FrozenRelease
from broker.statistics.output import OutputTable
from broker.statistics.plan import TablePlan
from broker.statistics.reasons import StatisticsRefused
from connectors.base import SourceUnavailable
from tests.exports_world import CountingEngine, counted, frozen, manifest, plan_of
from tests.statistics_world import WAGE

RELEASE = frozen()
SEX = plan_of(RELEASE.manifest, ("sex", "sex"), measures=(WAGE,))
AGE = plan_of(RELEASE.manifest, ("age", "age"), ("province", "region"), measures=(WAGE,))


@dataclass(frozen=True)
class Package:
    media_type: str
    file_name: str
    content: bytes


def pack(table: OutputTable, release: FrozenRelease, question: ExportQuestion) -> Package:
    """Return every told number in plain text: a package that is easy to compare."""
    told = "\n".join(repr(row) for row in table.rows())
    name = f"{release.manifest.release}.{question.format}"
    return Package("application/zip", name, told.encode())


def encrypt(jwk: Mapping[str, Any], content: bytes, media_type: str) -> bytes:
    return f"{jwk['kid']} {media_type} ".encode() + content[::-1]


def question(plan: TablePlan, **changed: Any) -> ExportQuestion:
    asked = ExportQuestion(
        plan=plan, format="csv", agreement="a", agreement_revision="ab" * 32, recipient_key=None
    )
    return replace(asked, **changed)


def answer(
    asked: ExportQuestion,
    earlier: list[KeptTable] | None = None,
    engine: CountingEngine | None = None,
    release: FrozenRelease = RELEASE,
    shares: list[float] | None = None,
) -> ExportAnswer:
    doors = ExportDoors(engine or CountingEngine(), pack, encrypt)
    told = [] if shares is None else shares
    return answer_export(asked, release, earlier or [], doors, told.append)


def kept(plan: TablePlan, release: FrozenRelease = RELEASE) -> KeptTable:
    return KeptTable(plan, counted(release.manifest, plan))


def test_a_question_becomes_a_package_and_says_what_is_to_be_kept() -> None:
    engine, shares = CountingEngine(), list[float]()
    found = answer(question(SEX), engine=engine, shares=shares)
    assert engine.asked == [SEX]
    assert shares == [0.0, 0.8, 0.8, 1.0]
    assert (found.media_type, found.file_name) == ("application/zip", f"{SEX.release}.csv")
    assert (found.cell_count, found.suppressed_permille) == (3, 0)
    assert found.cells is not None
    assert found.cells.content() == counted(RELEASE.manifest, SEX).content()
    assert found.content.count(b"OutputRow") == 3
    true = str(int(found.cells.persons[0])).encode()
    assert true not in found.content, "what is told has noise"
    result = found.result()
    assert (result.bytes_count, result.table_hash) == (len(found.content), found.table_hash)


def test_the_same_question_again_needs_no_engine_and_has_the_same_bytes() -> None:
    first, engine = answer(question(SEX), [kept(AGE)]), CountingEngine()
    again = answer(question(SEX), [kept(AGE), kept(SEX)], engine)
    assert engine.asked == []
    assert again.content == first.content
    assert again.table_hash == first.table_hash
    assert again.cells is None, "there is nothing new to keep"
    other = frozen(manifest(tables=2))
    full = [kept(one, other) for one in (SEX, AGE)]
    assert answer(question(SEX), full, engine, other).content == first.content, "also when all are taken"


def test_a_recipients_key_encrypts_the_package_and_changes_nothing_within() -> None:
    plain = answer(question(SEX))
    found = answer(question(SEX, recipient_key={"kid": "ministry-1"}))
    assert found.content == b"ministry-1 application/zip " + plain.content[::-1]
    assert (found.media_type, found.file_name) == ("application/jose", f"{SEX.release}.csv.jwe")
    assert found.table_hash == plain.table_hash


def test_what_the_auditor_or_the_cap_refuses_is_not_packed() -> None:
    wide = replace(manifest().parameters, audit=replace(manifest().parameters.audit, persons=100))
    strict = frozen(replace(manifest(), parameters=wide))
    fine = plan_of(strict.manifest, ("province", "province"), ("age", "age"))

    def never(*_: object) -> Package:
        raise AssertionError("nothing is packed")

    doors = ExportDoors(CountingEngine(), never, encrypt)
    with pytest.raises(StatisticsRefused, match="cell_narrowed"):
        answer_export(question(fine), strict, [], doors, lambda _: None)
    full = frozen(manifest(tables=1))
    with pytest.raises(StatisticsRefused, match="tables_exhausted"):
        answer_export(question(AGE), full, [kept(SEX, full)], doors, lambda _: None)


def test_an_engine_that_is_away_or_tells_of_something_else_ends_it() -> None:
    def away(_: TablePlan) -> None:
        raise SourceUnavailable("away")

    with pytest.raises(SourceUnavailable):
        answer(question(SEX), engine=CountingEngine(away))

    class Wrong(CountingEngine):
        def count(
            self, release: FrozenRelease, plan: TablePlan, on_share: Callable[[float], None]
        ) -> CellTable:
            return super().count(release, AGE if plan else plan, on_share)

    with pytest.raises(StatisticsRefused, match="cells_differ"):
        answer(question(SEX), engine=Wrong())


def test_whoever_wants_it_stopped_raises_where_shares_are_told() -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    doors = ExportDoors(CountingEngine(), pack, encrypt)
    with pytest.raises(KeyboardInterrupt):
        answer_export(question(SEX), RELEASE, [], doors, stop)


def test_nothing_true_stands_in_a_repr() -> None:
    assert repr(answer(question(SEX))) == f"ExportAnswer({SEX.release}.csv)"
