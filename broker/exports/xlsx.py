"""XLSX for people: a sheet of data, one of notes, one of codes; texts stay texts, and bytes stay the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC
from io import BytesIO
from typing import Any, Final
from zipfile import ZIP_STORED, ZipFile

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.writer.excel import ExcelWriter

from broker.exports import words
from broker.exports.about import TableAbout, columns_of, indicators_of, told_of
from broker.exports.method_note import method_note
from broker.exports.texts import is_obeyed, plain
from broker.exports.zipped import zipped
from broker.statistics.output import OutputTable

_CELL_MAX: Final = 30_000
"""Excel holds 32,767 characters in a cell; openpyxl cuts what is longer."""
_MODIFIED: Final = re.compile(rb"(<dcterms:modified[^>]*>)[^<]*(</dcterms:modified>)")
_BOLD: Final = Font(bold=True)
_NOTE_WIDTH: Final = 104
_WIDTH: Final = 18


def members(table: OutputTable, about: TableAbout) -> dict[str, bytes]:
    """Return the one workbook."""
    return {"data.xlsx": workbook(table, about)}


def workbook(table: OutputTable, about: TableAbout) -> bytes:
    """Return the workbook. A hidden cell is an empty one."""
    book = Workbook(write_only=True)
    book.properties.creator = plain(about.owner_name.vi)
    book.properties.title = plain(about.title.vi)
    book.properties.created = about.manifest.frozen_at.astimezone(UTC).replace(tzinfo=None)
    _add_data(book, table, about)
    _add_notes(book, table, about)
    _add_codes(book, about)
    written = BytesIO()
    ExcelWriter(book, ZipFile(written, "w", ZIP_STORED)).save()
    return _settled(written.getvalue(), about)


def _add_data(book: Workbook, table: OutputTable, about: TableAbout) -> None:
    indicators = indicators_of(about)
    head = [*(name for name, _ in table.dimensions), *(one.name for one in indicators)]
    sheet = book.create_sheet(words.SHEET_DATA)
    _settle_columns(sheet, head)
    sheet.freeze_panes = f"{get_column_letter(len(table.dimensions) + 1)}2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(head))}{table.cells + 1}"
    sheet.append(_bold(sheet, head))
    codes = {code for _, categories in table.dimensions for code in categories}
    obeyed = {code: _text(sheet, code) for code in codes if is_obeyed(code)}
    for row in table.rows():
        sheet.append(
            [obeyed.get(code, code) for code in row.codes] + [told_of(row, one) for one in indicators]
        )


def _add_notes(book: Workbook, table: OutputTable, about: TableAbout) -> None:
    sheet = book.create_sheet(words.SHEET_NOTES)
    sheet.column_dimensions["A"].width = _NOTE_WIDTH
    for language in ("vi", "en"):
        for line in method_note(table, about, language).split("\n"):
            for start in range(0, max(len(line), 1), _CELL_MAX):
                sheet.append([_text(sheet, line[start : start + _CELL_MAX])])


def _add_codes(book: Workbook, about: TableAbout) -> None:
    head = ["name", "level", "code", "name_vi", "name_en", "parent"]
    sheet = book.create_sheet(words.SHEET_CODES)
    _settle_columns(sheet, head)
    sheet.append(_bold(sheet, head))
    for one in indicators_of(about):
        _append(sheet, [one.name, "", "", one.label.vi, one.label.en, ""])
    for column in columns_of(about):
        _append(sheet, [column.name, "", "", column.label.vi, column.label.en, ""])
        _append(sheet, [column.name, column.levels[0][0], "_T", words.TOTAL.vi, words.TOTAL.en, ""])
        for (level, _), categories in zip(column.levels, column.categories, strict=True):
            for code in categories:
                _append(sheet, [column.name, level, code.code, code.label.vi, code.label.en, code.parent])


def _append(sheet: Any, texts: Iterable[str]) -> None:
    sheet.append([_text(sheet, text) for text in texts])


def _text(sheet: Any, text: str) -> Any:
    """Return a cell that is text whatever it begins with, also after somebody edited it."""
    cell = WriteOnlyCell(sheet, plain(text))
    cell.data_type = "s"
    cell.quotePrefix = is_obeyed(text)
    return cell


def _bold(sheet: Any, texts: Sequence[str]) -> list[Any]:
    cells = [_text(sheet, text) for text in texts]
    for cell in cells:
        cell.font = _BOLD
    return cells


def _settle_columns(sheet: Any, head: Sequence[str]) -> None:
    for at, name in enumerate(head, start=1):
        sheet.column_dimensions[get_column_letter(at)].width = max(_WIDTH, len(name) + 2)


def _settled(content: bytes, about: TableAbout) -> bytes:
    """Return a workbook that says nothing of the instant at which it was written."""
    at = about.manifest.frozen_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    with ZipFile(BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    core = "docProps/core.xml"
    files[core] = _MODIFIED.sub(rb"\g<1>" + at + rb"\g<2>", files[core])
    return zipped(files, about.manifest.frozen_at)
