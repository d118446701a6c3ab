"""The top level is what it is meant to be: few names, each with its place; modules short and introduced."""

from __future__ import annotations

from tests.house.project import PACKAGES, ROOT, product_modules, source_of, tracked_files

TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md",
    "broker", "connectors", "consent_ui", "constraints.txt", "deploy", "docs", "policies", "pyproject.toml",
    "ruff.toml", "setup.cfg", "tests",
}  # fmt: skip
LINES_MAX = 250
"""Blank lines left aside."""


def test_the_top_level_is_exactly_this() -> None:
    assert {path.parts[0] for path in tracked_files()} == TOP_LEVEL


def test_every_module_says_what_it_is() -> None:
    silent = [name for name in product_modules() if not source_of(name).read_text("utf-8").startswith('"""')]
    assert silent == []


def test_no_module_is_longer_than_a_sitting() -> None:
    long = {
        str(path): lines
        for path in tracked_files()
        if path.suffix == ".py" and path.parts[0] in PACKAGES
        if (lines := len([line for line in (ROOT / path).read_text("utf-8").splitlines() if line]))
        > LINES_MAX
    }
    assert long == {}
