"""docs/operators.md knows all that /readyz says, every key that rotates, and every agreement's route."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from broker.app import policies_fault
from broker.keys import PURPOSES
from broker.settings import Settings, variable_of
from broker.storage.readiness import find_fault
from policies.load import SHIPPED, load_directory
from tests.house.project import ROOT, table_rows

TEXT = (ROOT / "docs/operators.md").read_text(encoding="utf-8")
POLICIES = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
ENVIRONMENT = (ROOT / "deploy/environment.example").read_text(encoding="utf-8")


def returned_words(function: Callable[..., Any]) -> set[str]:
    """Return the strings that stand in the return statements of a function."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    parts = [part for node in returns for part in ast.walk(node)]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def test_every_fault_of_readyz_has_a_row_and_every_row_a_fault() -> None:
    table = TEXT.split("`/readyz` faults:")[1].split("\n\n`source`")[0]
    told = {row[0].strip("`") for row in table_rows(table) if row[0] != "fault"}
    assert told == {
        *(f"ledger: {word}" for word in returned_words(find_fault)),
        *(f"policies: {word}" for word in returned_words(policies_fault)),
        # What signing a probe raises.
        "signing: signing_key_unavailable",
        "signing: store_unavailable",
    }


@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_key_that_rotates_is_named(purpose: str) -> None:
    [paragraph] = re.findall(r"\*\*Rotate keys\.\*\*.*?\n\n", TEXT, re.DOTALL)
    assert f"`{purpose}`" in paragraph


def test_every_agreement_that_ships_has_a_row_that_says_which_route_serves_it() -> None:
    table = POLICIES.split("## The agreements that ship")[1].split("## In code")[0]
    rows = {name: row[2] for row in table_rows(table) for name in re.findall(r"`([a-z_]+)`", row[0])}
    served = {
        "verify_entitlement": {"`/v1/entitlement-checks`"},
        # By consent; what is read by law alone has no route yet.
        "share_record": {"`/v1/consented-record`", "no route yet"},
        "extract_own_record": {"the citizen's own page"},
        "export_statistics": {"`/v1/statistics/exports`"},
    }
    agreements = load_directory(SHIPPED).agreements
    assert set(rows) == {one.id for one in agreements}
    for one in agreements:
        assert rows[one.id] in served[one.action]
        if one.action == "share_record":
            assert (rows[one.id] == "no route yet") is ("has_consented" not in one.conditions), one.id


def test_the_example_environment_leaves_out_only_what_has_a_default_for_everybody() -> None:
    without = [
        variable_of(one)
        for one in Settings.__dataclass_fields__.values()
        if one.default == "" and f"{variable_of(one)}=" not in ENVIRONMENT
    ]
    assert without == ["BROKER_METRICS_DIRECTORY"]
