"""What a downloaded package tells, read again: cells by their codes, whatever the format."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, Final, TypeAlias
from zipfile import BadZipFile, ZipFile

Codes: TypeAlias = tuple[str, ...]
Cells: TypeAlias = Mapping[Codes, tuple[int | None, ...]]
_ESCAPED: Final = re.compile(r"\$([0-9A-F]{2})")


class PackageUnreadable(ValueError):
    """A file is not a package of one of our formats."""


def read_cells(file: Path, dimensions: tuple[str, ...], measures: tuple[str, ...]) -> Cells:
    """Return codes of the dimensions, in this order → persons and sums of the measures, None where hidden.

    Raises PackageUnreadable, and ModuleNotFoundError for Parquet or a spreadsheet without the extra
    `statistics`.
    """
    columns = ("persons", *(f"{name}_sum" for name in measures))
    try:
        with ZipFile(file) as package:
            rows = _rows(package, dimensions, columns)
            return {
                tuple(str(row[name]) for name in dimensions): tuple(_told(row.get(name)) for name in columns)
                for row in rows
            }
    except (BadZipFile, KeyError, ValueError) as fault:
        raise PackageUnreadable(f"{file}: {type(fault).__name__}") from None


def read_note(file: Path, lang: str) -> str:
    """Return the method note of a package. Raises PackageUnreadable."""
    try:
        with ZipFile(file) as package:
            return package.read(f"method-note.{lang}.txt").decode("utf-8")
    except (BadZipFile, KeyError) as fault:
        raise PackageUnreadable(f"{file}: {type(fault).__name__}") from None


def _rows(package: ZipFile, dimensions: Codes, columns: Codes) -> Iterable[Mapping[str, Any]]:
    names = set(package.namelist())
    if "structure.xml" in names:
        return _sdmx(_csv(package.read("data.csv")), dimensions, columns)
    if "data.csv" in names:
        return ({name: _fused(text) for name, text in row.items()} for row in _csv(package.read("data.csv")))
    if "data.parquet" in names:
        return _parquet(package.read("data.parquet"))
    return _xlsx(package.read("data.xlsx"))


def _csv(content: bytes) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(TextIOWrapper(BytesIO(content), encoding="utf-8", newline=""))


def _sdmx(rows: Iterable[Mapping[str, str]], dimensions: Codes, columns: Codes) -> list[dict[str, Any]]:
    """Put the indicators of each cell side by side again, and give codes their own letters."""
    cells: dict[Codes, dict[str, Any]] = {}
    for row in rows:
        codes = tuple(_plain(row[_component(name, row)]) for name in dimensions)
        cell = cells.setdefault(codes, dict(zip(dimensions, codes, strict=True)))
        name, value = row["INDICATOR"].lower(), row["OBS_VALUE"]
        if name in columns:
            cell[name] = None if value == "NaN" else value
    return [*cells.values()]


def _component(name: str, row: Mapping[str, str]) -> str:
    """Return the column of a dimension: SDMX's own names have an underscore behind them."""
    return f"{name.upper()}_" if f"{name.upper()}_" in row else name.upper()


def _plain(code: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), code)


def _fused(text: str) -> str:
    return text.removeprefix("'")


def _parquet(content: bytes) -> list[dict[str, Any]]:
    from pyarrow import BufferReader, parquet

    rows: list[dict[str, Any]] = parquet.read_table(BufferReader(content)).to_pylist()
    return rows


def _xlsx(content: bytes) -> Iterator[dict[str, Any]]:
    from openpyxl import load_workbook

    sheet = load_workbook(BytesIO(content), read_only=True, data_only=True).worksheets[0]
    head, *rows = sheet.iter_rows(values_only=True)
    for row in rows:
        # A row ends with its last cell that is not empty.
        yield {str(name): value for name, value in zip(head, row, strict=False)}


def _told(value: object) -> int | None:
    return None if value in (None, "") else int(str(value))
