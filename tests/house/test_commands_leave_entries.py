"""Every command leaves an entry of evidence, or stands in the list of those that change and read nothing."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Final, get_args

import pytest

from broker.evidence.administration_entry import ACTS
from broker.evidence.key_entry import KeyEvent
from broker.evidence.kinds import CHECKS
from broker.evidence.log_read_entry import What
from broker.evidence.policy_entry import PolicyEvent
from tests.house.project import ROOT, table_rows
from tests.house.test_commands_doc import COMMANDS

PAGE: Final = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
SECTION: Final = PAGE.split("### Commands and their entries")[1].split("\n## ")[0]
ROWS: Final = {row[0].strip("`"): row[1] for row in [*table_rows(SECTION)][1:]}
WORDS: Final = {
    "policy_change": set(get_args(PolicyEvent)),
    "key_event": set(get_args(KeyEvent)),
    "administration": set(ACTS),
    "log_read": set(get_args(What)),
    "erasure": {"erased", "kept"},
    "consent": set(),
}
"""Kind of entry → the words that say what was done."""
NO_COMMAND: Final = {"log_recovered", "log_closed", "emergency_begun", "emergency_ended"}
"""Acts that nothing does yet: the words are there, so that the kind need not change for them."""
WRITES: Final = frozenset({".acts", "acts_of", "operator_acting", "record_look", ".erase", ".invalidate"})
"""Names, attributes with a dot, without which no command can have an entry written."""


def told(name: str) -> dict[str, set[str]]:
    """Return kind → words of what a command leaves, {} where the page says that it leaves nothing."""
    if ROWS[name].startswith("nothing: "):
        return {}
    found: dict[str, set[str]] = {}
    kind = ""
    for word in re.findall(r"`([a-z_]+)`", ROWS[name]):
        if word in CHECKS and word != "export":
            kind = word
            found[kind] = set()
        else:
            found[kind].add(word)
    return found


def test_the_page_tells_of_every_command_and_of_no_other() -> None:
    assert list(ROWS) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_it_leaves_is_told_in_words_of_the_schema_or_why_it_leaves_nothing(name: str) -> None:
    left = told(name)
    if not left:
        assert len(ROWS[name].removeprefix("nothing: ").split()) >= 4, "a reason"
    for kind, words in left.items():
        assert words <= WORDS[kind], (name, kind)
        assert bool(words) is bool(WORDS[kind]), (name, kind)


def test_every_word_that_an_entry_can_hold_is_left_by_something() -> None:
    left = [told(name) for name in COMMANDS]
    acts = set().union(*(one.get("administration", set()) for one in left))
    assert acts == set(ACTS) - NO_COMMAND
    for kind in ("policy_change", "key_event"):
        assert set().union(*(one.get(kind, set()) for one in left)) == WORDS[kind]


def names_used(name: str) -> set[str]:
    """Return the names that a command's function uses, and those that it calls in its own module."""
    callback = COMMANDS[name].callback
    assert callback is not None
    module = inspect.getmodule(callback)
    found: set[str] = set()
    waiting: list[object] = [callback]
    while waiting:
        function = waiting.pop()
        if not inspect.isfunction(function) or inspect.getmodule(function) is not module:
            continue
        tree = ast.parse(inspect.getsource(function))
        used = {f".{node.attr}" for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        waiting += [getattr(module, one, None) for one in used - found]
        found |= used
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_who_leaves_nothing_has_nobody_who_acts_and_who_leaves_something_has(name: str) -> None:
    """The server and the demonstration have others behind them, who act."""
    if name in ("broker demo", "broker serve"):
        return
    acts = bool(names_used(name) & WRITES)
    assert acts is bool(told(name)), names_used(name) & WRITES
