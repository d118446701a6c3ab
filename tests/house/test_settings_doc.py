"""docs/settings.md says of every setting what the code says, and of nothing else."""

from __future__ import annotations

import re
from dataclasses import MISSING, Field, fields
from typing import Any

import pytest

from broker.settings import COMPANIONS, Settings, variable_of
from tests.house.project import ROOT, table_rows

TEXT = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
SERVER, COMMANDS = TEXT.split("## What the server reads")[1].split("## What only commands read")
ROWS = {row[0].strip("`"): row[1:] for row in table_rows(SERVER) if len(row) == 4}
DECLARED = {variable_of(declared): declared for declared in fields(Settings)}


def told_default(declared: Field[Any]) -> str:
    """Return how the page writes the default of a setting."""
    if declared.default is MISSING:
        return "(required)"
    return f"`{declared.default}`" if declared.default not in ("", ()) else "(empty)"


def read(declared: Field[Any], text: str) -> Any:
    return declared.metadata["read"](text)


def test_every_setting_stands_on_the_page_and_nothing_else_does() -> None:
    assert set(ROWS) == set(DECLARED) | {"variable"}
    assert list(ROWS)[1:] == list(DECLARED)


@pytest.mark.parametrize("name", DECLARED)
def test_meaning_and_default_are_the_codes(name: str) -> None:
    meaning, default, _ = ROWS[name]
    assert meaning == DECLARED[name].metadata["meaning"]
    assert default == told_default(DECLARED[name])


@pytest.mark.parametrize("name", DECLARED)
def test_bounds_are_the_codes(name: str) -> None:
    declared, accepted = DECLARED[name], ROWS[name][2]
    if accepted.startswith("one of "):
        words = accepted.removeprefix("one of ").split(", ")
        assert [read(declared, word) for word in words] == words
        with pytest.raises(ValueError, match=re.escape(", ".join(words))):
            read(declared, "loud")
    elif " above 0, at most " in accepted:
        highest = re.findall(r"at most ([0-9.]+[0-9]|[0-9]+)", accepted)[0]
        kind = int if accepted.startswith("whole number") else float
        assert read(declared, highest) == kind(highest)
        assert type(read(declared, highest)) is kind
        for outside in ("0", str(kind(highest) + 1)):
            with pytest.raises(ValueError, match=f"above 0 and at most {highest}"):
                read(declared, outside)
    else:
        assert accepted.split(" ")[0] in {"an", "a", "text"}
        assert (accepted == "text") is (declared.metadata["read"] is str)


def test_every_variable_of_commands_stands_on_the_page_and_nothing_else_does() -> None:
    assert {row[0].strip("`") for row in table_rows(COMMANDS)} == set(COMPANIONS) | {"variable"}


def test_no_variable_is_named_that_nobody_reads() -> None:
    known = set(DECLARED) | set(COMPANIONS)
    named = {
        (str(path.relative_to(ROOT)), word)
        for path in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*"), ROOT / "README.md"]
        if path.is_file()
        for word in re.findall(r"BROKER_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8"))
    }
    assert {(path, word) for path, word in named if word not in known} == set()
