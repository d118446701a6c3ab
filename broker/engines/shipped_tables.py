"""The perturbation tables of the default parameters, as CSV: no solver runs for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

_DIRECTORY: Final = "tables"


@cache
def shipped_tables() -> Mapping[str, str]:
    """Return table name (`table_csv.table_name`) → CSV."""
    found = {}
    for kept in sorted(files(__package__).joinpath(_DIRECTORY).iterdir(), key=lambda one: one.name):
        if kept.name.endswith(".csv"):
            text = kept.read_text("utf-8")
            found[text.partition("\n")[0].removeprefix("# ")] = text
    return found
