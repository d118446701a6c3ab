"""What the house tests look at: the files under version control, and the modules of the four packages."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("broker", "policies", "connectors", "consent_ui")


@cache
def tracked_files() -> tuple[Path, ...]:
    """Return the files under version control that exist, relative to the root, in order."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    return tuple(Path(name) for name in sorted(listed.stdout.split("\0")) if name and (ROOT / name).exists())


def product_modules() -> tuple[str, ...]:
    """Return the dotted names of all modules of the product, packages included, in order."""
    return tuple(
        sorted(
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for package in PACKAGES
            for path in (ROOT / package).rglob("*.py")
        )
    )


def source_of(module: str) -> Path:
    """Return the file of a module of the project."""
    path = ROOT / module.replace(".", "/")
    package = path / "__init__.py"
    return package if package.exists() else path.with_suffix(".py")


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything that a module imports, wherever the import stands.

    `from a import b` yields both a and a.b: b may be a module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError("imports are absolute in this house")
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def table_rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of every row of a Markdown table in text, heads included and rules left out."""
    for line in text.splitlines():
        if line.startswith("|") and set(line) - set("|-: "):
            yield [cell.strip() for cell in line.strip().strip("|").replace("\\|", "\0").split("|")]


def headings(text: str) -> list[str]:
    """Return the headings of a Markdown text, without their signs, leaving out what stands in code blocks."""
    found: list[str] = []
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif line.startswith("#") and not fenced:
            found.append(line.lstrip("#").strip())
    return found
