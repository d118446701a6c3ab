"""CSV: a row for each cell, a table of codes for each dimension; CSVW and Frictionless say what they are."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO

from broker.exports.about import (
    DimensionColumn,
    TableAbout,
    columns_of,
    indicators_of,
    told_of,
    total_category,
)
from broker.exports.csv_metadata import DATA, code_columns, code_file, csvw_json, frictionless_json
from broker.exports.texts import defused, number_text
from broker.statistics.manifest import Label
from broker.statistics.output import OutputTable


def members(table: OutputTable, about: TableAbout) -> dict[str, bytes]:
    """Return data, codes and metadata."""
    return {
        DATA: data_csv(table, about),
        **{code_file(column.name): codes_csv(column) for column in columns_of(about)},
        f"{DATA}-metadata.json": csvw_json(about),
        "datapackage.json": frictionless_json(about),
    }


def data_csv(table: OutputTable, about: TableAbout) -> bytes:
    """Return a row for each cell: codes of its dimensions, and what is told of it; hidden is empty."""
    indicators = indicators_of(about)
    codes = {code: defused(code) for _, categories in table.dimensions for code in categories}
    head = [*(name for name, _ in table.dimensions), *(one.name for one in indicators)]
    rows = (
        [
            *(codes.get(code, code) for code in row.codes),
            *("" if (told := told_of(row, one)) is None else number_text(told) for one in indicators),
        ]
        for row in table.rows()
    )
    return _written(head, rows)


def codes_csv(column: DimensionColumn) -> bytes:
    """Return the categories of a dimension at the table's level, each with those that it lies in.

    A code stands once, so that the data can refer to it; codes of two levels may be equal.
    """
    total = total_category()
    finest, *coarser = column.categories
    rows = [[total.code, *_names(total.label), *[""] * (3 * len(coarser))]]
    homes = [{one.code: one for one in categories} for categories in coarser]
    for category in finest:
        row, parent = [category.code, *_names(category.label)], category.parent
        for home in homes:
            row += [parent, *_names(home[parent].label)]
            parent = home[parent].parent
        rows.append(row)
    return _written(
        [name for name, _ in code_columns(column)], ([defused(cell) for cell in row] for row in rows)
    )


def _names(label: Label) -> tuple[str, str]:
    return label.vi, label.en


def _written(head: list[str], rows: Iterable[list[str]]) -> bytes:
    file = StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return file.getvalue().encode()
