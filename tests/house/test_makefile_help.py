"""`make help` lists every target, and every target exists."""

from __future__ import annotations

import os
import re
import subprocess

from tests.house.project import ROOT, tracked_files

TEXT = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", TEXT, re.MULTILINE))


def told() -> dict[str, str]:
    """Return what `make help` says: target → words."""
    # As a person says it: a make above this test would have its own say in what is printed.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    said = subprocess.run(
        ["make", "help"], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    ).stdout
    return {
        words[0]: words[1] for line in said.splitlines() if (words := line.split("make ")[1].split(None, 1))
    }


def test_help_lists_every_target_and_no_other() -> None:
    assert set(told()) == TARGETS


def test_every_target_has_words() -> None:
    assert {target for target, words in told().items() if len(words) < 10} == set()


def test_every_target_is_phony_since_none_makes_a_file_of_its_name() -> None:
    phony = re.findall(r"^\.PHONY: (.*)$", TEXT, re.MULTILINE)
    assert {name for line in phony for name in line.split()} == TARGETS


def test_saying_make_alone_explains() -> None:
    assert ".DEFAULT_GOAL := help" in TEXT


def test_every_make_command_in_the_documents_exists() -> None:
    pages = [path for path in tracked_files() if path.suffix == ".md"]
    named = {
        (str(path), target)
        for path in pages
        for target in re.findall(
            r"(?:`|^    )make ([a-z][a-z-]*)", (ROOT / path).read_text("utf-8"), re.MULTILINE
        )
    }
    assert {("README.md", "demo"), ("README.md", "test"), ("README.md", "check")} <= named
    assert {(path, target) for path, target in named if target not in TARGETS} == set()
