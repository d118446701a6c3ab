"""One table as one file: a ZIP with data, what they mean, and the method note; the same bytes each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from broker.exports.about import TableAbout, check_about
from broker.exports.method_note import method_note
from broker.exports.zipped import Members, zipped
from broker.statistics.output import OutputTable

FORMATS: Final[Mapping[str, str]] = {
    "sdmx-csv": "broker.exports.sdmx_csv",
    "csv": "broker.exports.csv_tables",
    "parquet": "broker.exports.parquet",
    "xlsx": "broker.exports.xlsx",
}
"""Formats with the module whose `members` makes each; loaded when asked for, as each has libraries."""

MEDIA_TYPE: Final = "application/zip"


@dataclass(frozen=True, slots=True)
class Packed:
    """A package as it is downloaded."""

    media_type: str
    file_name: str
    content: bytes


def packed(table: OutputTable, about: TableAbout, format_code: str) -> Packed:
    """Return the package of a table in one of `FORMATS`.

    Raises StatisticsRefused("cells_differ") where the table is not the one that it is said to be about, and
    KeyError for another format.
    """
    check_about(table, about)
    members: Callable[[OutputTable, TableAbout], Members] = import_module(FORMATS[format_code]).members
    notes = {
        f"method-note.{language}.txt": method_note(table, about, language).encode()
        for language in ("vi", "en")
    }
    name = f"{about.manifest.release}-{about.plan.hash[:12]}-{format_code}.zip"
    return Packed(MEDIA_TYPE, name, zipped({**notes, **members(table, about)}, about.manifest.frozen_at))
