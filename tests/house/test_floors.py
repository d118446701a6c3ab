"""Who may import whom: import-linter's contracts hold, every module has its floor, hearts stay pure."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.house.project import PACKAGES, ROOT, imported_names, product_modules, source_of

HEARTS = ("policies", "broker.actions", "broker.consent", "broker.evidence", "broker.statistics")
# What a heart computes with. Nothing here reads a clock, a coin, the environment or a network.
PURE = frozenset({
    "__future__", "abc", "base64", "binascii", "bisect", "calendar", "collections", "csv", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "hmac", "html", "io",
    "itertools", "json", "math", "operator", "re", "string", "struct", "types", "typing", "unicodedata",
})  # fmt: skip
# From outside, and only computing: bytes of evidence, and whether a signature is a key's.
COMPUTES = frozenset({"orjson", "cryptography"})
# Of the second one only what verifies: no heart holds or makes a private key (docs/adr, 18).
VERIFIES = {
    "broker.evidence.signed_note": {
        "cryptography.exceptions",
        "cryptography.exceptions.InvalidSignature",
        "cryptography.hazmat.primitives.asymmetric.ed25519",
        "cryptography.hazmat.primitives.asymmetric.ed25519.Ed25519PublicKey",
    }
}
# Statistics computes with arrays; two of its modules ask a solver, and nobody else does (docs/adr).
ARRAYS = frozenset({"numpy"})
SOLVERS = {
    "broker.statistics.entropy": frozenset({"cvxpy", "warnings"}),
    "broker.statistics.exact": frozenset({"scipy"}),
}
# What arrays could do beside computing: coins and files.
IMPURE_ARRAY_NAMES = frozenset({
    "random", "fromfile", "tofile", "load", "loadtxt", "genfromtxt", "save", "savez", "savetxt", "memmap",
    "open_memmap", "DataSource",
})  # fmt: skip
# The policies are files: their loader reads them, and nothing else in a heart reads anything.
READS_FILES = frozenset({"pathlib", "tomllib"})
IMPURE_NAMES = frozenset({"now", "utcnow", "today", "urandom", "uuid1", "uuid4", "getenv", "environ"})
IMPURE_CALLS = frozenset({"open", "print", "input", "eval", "exec", "compile", "__import__"})


def layers() -> list[str]:
    """Return the floors of the contract, each neighbour on its own."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    text = config["importlinter:contract:floors"]["layers"]
    return [name.strip() for line in text.splitlines() for name in line.split("|") if name.strip()]


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def reached_by_hearts() -> list[str]:
    """Return the hearts' modules, all modules of ours that they import, and the packages these lie in."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    hearts = {module for module in graph.modules if any(within(module, heart) for heart in HEARTS)}
    reached = hearts.union(*(graph.find_upstream_modules(module) for module in hearts))
    for module in list(reached):
        parts = module.split(".")
        reached.update(".".join(parts[:length]) for length in range(1, len(parts)))
    return sorted(reached)


def impurities(source: str, module: str) -> list[str]:
    """Return what a module does that no heart may: imports outside the list, clocks, coins, built-in I/O."""
    allowed, impure_names = PURE | COMPUTES, IMPURE_NAMES
    if within(module, "policies"):
        allowed = PURE | READS_FILES
    if within(module, "broker.statistics"):
        allowed, impure_names = (
            PURE | ARRAYS | SOLVERS.get(module, frozenset()),
            IMPURE_NAMES | IMPURE_ARRAY_NAMES,
        )
    tree = ast.parse(source)
    tops = {name.split(".")[0] for name in imported_names(tree)}
    found = [f"imports {name}" for name in tops - allowed - set(PACKAGES)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in impure_names:
            found.append(f"line {node.lineno}: .{node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            found.append(f"line {node.lineno}: {node.func.id}()")
    return sorted(found)


def test_import_linters_contracts_hold() -> None:
    # In a process of its own: the tool configures logging, and with it everybody's loggers.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "setup.cfg", "--no-cache"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout
    assert "0 broken" in outcome.stdout


def test_every_module_stands_on_a_floor() -> None:
    floors = layers()
    homeless = [
        module
        for module in product_modules()
        if module != "broker" and not any(within(module, floor) for floor in floors)
    ]
    assert homeless == []


def test_every_floor_has_a_module() -> None:
    modules = product_modules()
    assert [floor for floor in layers() if floor not in modules] == []


def test_the_graph_knows_every_module() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    assert sorted(graph.modules) == list(product_modules())


@pytest.mark.parametrize("module", reached_by_hearts())
def test_hearts_and_what_they_import_compute_and_do_nothing_else(module: str) -> None:
    assert impurities(source_of(module).read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize("module", [module for module in reached_by_hearts() if module in product_modules()])
def test_no_heart_reaches_a_package_from_outside(module: str) -> None:
    tops = {name.split(".")[0] for name in imported_names(ast.parse(source_of(module).read_text("utf-8")))}
    if within(module, "broker.statistics"):
        tops -= ARRAYS | SOLVERS.get(module, frozenset())
    assert tops - sys.stdlib_module_names - set(PACKAGES) - COMPUTES == set()


def test_solvers_are_asked_where_that_is_written_down_and_are_there() -> None:
    found = {
        module: frozenset({"cvxpy", "scipy"} & {name.split(".")[0] for name in imported_names(tree)})
        for module in product_modules()
        for tree in [ast.parse(source_of(module).read_text("utf-8"))]
    }
    assert {module: names for module, names in found.items() if names} == {
        module: names - sys.stdlib_module_names for module, names in SOLVERS.items()
    }


def test_hearts_verify_signatures_in_one_place_and_sign_nowhere() -> None:
    found = {
        module: names
        for module in reached_by_hearts()
        if module in product_modules()
        if (names := cryptographic_names(module))
    }
    assert found == VERIFIES


def cryptographic_names(module: str) -> set[str]:
    tree = ast.parse(source_of(module).read_text("utf-8"))
    return {name for name in imported_names(tree) if within(name, "cryptography")}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os", ["imports os"]),
        ("from time import monotonic", ["imports time"]),
        ("def late():\n    import random", ["imports random"]),
        ("import urllib.request", ["imports urllib"]),
        ("from pathlib import Path", ["imports pathlib"]),
        ("from datetime import datetime\nx = datetime.now()", ["line 2: .now"]),
        ("from datetime import date\nx = date.today", ["line 2: .today"]),
        ("x = open('f')", ["line 1: open()"]),
        ("import flask", ["imports flask"]),
    ],
)
def test_impurities_are_found(source: str, found: list[str]) -> None:
    assert impurities(source, "broker.evidence.anything") == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import numpy as np\nx = np.random.default_rng()", ["line 2: .random"]),
        ("import numpy as np\nx = np.load('f')", ["line 2: .load"]),
        ("import scipy", ["imports scipy"]),
        ("import cvxpy", ["imports cvxpy"]),
        ("import numpy as np\nx = np.zeros(3)", []),
    ],
)
def test_statistics_computes_with_arrays_and_nothing_more(source: str, found: list[str]) -> None:
    assert impurities(source, "broker.statistics.anything") == found
    assert impurities("import numpy", "broker.evidence.anything") == ["imports numpy"]


def test_the_loader_of_policies_may_read_files() -> None:
    assert impurities("from pathlib import Path\nimport tomllib", "policies.load") == []
