"""docs/commands.md names every command and every option, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from broker.cli import main
from tests.house.project import ROOT, table_rows

TEXT = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (broker [a-z -]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with the words that call it."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*words, name))
    else:
        yield " ".join(words), command


COMMANDS = dict(commands(main, ("broker",)))


def options(command: click.Command) -> dict[str, click.Option]:
    """Return the options that are meant for people, by their long name."""
    shown = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    return {max(one.opts, key=len): one for one in shown}


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert set(SECTIONS) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_row_and_every_row_an_option(name: str) -> None:
    told = [row[0].strip("`") for row in table_rows(SECTIONS.get(name, "")) if row[0] != "option"]
    assert sorted(told) == sorted(options(COMMANDS[name]))


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_required_is_told_as_required(name: str) -> None:
    told = {row[0].strip("`") for row in table_rows(SECTIONS.get(name, "")) if row[1].endswith("(required)")}
    # An option that is asked for when it is missing need not be given.
    needed = {opt for opt, one in options(COMMANDS[name]).items() if one.required and one.prompt is None}
    assert told == needed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_named(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Argument):
            assert re.search(rf"`[A-Z_ ]*\b{parameter.human_readable_name}\b", SECTIONS.get(name, ""))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_explains_itself_where_its_values_do_not(name: str) -> None:
    silent = [
        opt
        for opt, one in options(COMMANDS[name]).items()
        if not one.help and not isinstance(one.type, click.Choice)
    ]
    assert silent == []
    assert COMMANDS[name].help
