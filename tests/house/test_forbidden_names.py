"""Names say what a thing is: no drawers for odds and ends, no words that mean something else elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.project import ROOT, product_modules, source_of, tracked_files

DRAWERS = frozenset({"util", "utils", "helper", "helpers", "common", "core", "misc"})
DRAWERS |= {"service", "services", "manager", "managers"}
# "say | never" of the house: each of these words means someone or something else in a standard we speak.
NEVER = frozenset({"patient", "partner", "consumer", "requester", "acl", "permission", "blockchain"})
# In two halves, so that this file does not find itself.
MARKS = re.compile(r"\b(" + "TO" + "DO" + "|" + "FIX" + "ME" + "|" + "XX" + "X" + r")\b")
TEXTS = (".py", ".toml", ".cfg", ".md", ".sql", ".conf", ".service", ".mako", ".html", ".css", ".js", ".txt")


def words(name: str) -> set[str]:
    """Return the words of a name in snake_case or CamelCase, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield every name that a module gives to something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def test_no_module_is_a_drawer() -> None:
    stems = {path: words(part) for path in tracked_files() if path.suffix == ".py" for part in path.parts}
    assert {str(path) for path, found in stems.items() if found & DRAWERS} == set()


@pytest.mark.parametrize("module", product_modules())
def test_no_name_uses_a_word_that_means_someone_else(module: str) -> None:
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    assert {name for name in names_in(tree) if words(name) & NEVER} == set()


@pytest.mark.parametrize("module", product_modules())
def test_no_class_is_a_drawer(module: str) -> None:
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    assert {name for name in classes if words(name) & DRAWERS} == set()


def test_nothing_is_left_for_later() -> None:
    named = [path for path in tracked_files() if path.name.endswith(TEXTS) or path.name == "Makefile"]
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in named}
    assert len(texts) > 100
    assert [str(path) for path, text in texts.items() if MARKS.search(text)] == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("key_manager", {"key", "manager"}),
        ("KeyManager", {"key", "manager"}),
        ("ACLTable", {"acl", "table"}),
        ("commonly", {"commonly"}),
    ],
)
def test_words_are_told_apart(name: str, found: set[str]) -> None:
    assert words(name) == found


def test_names_are_found_wherever_they_are_given() -> None:
    tree = ast.parse("class A:\n def b(self, c):\n  self.d = e = 1")
    assert set(names_in(tree)) == {"A", "b", "self", "c", "d", "e"}
