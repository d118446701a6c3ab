"""Parquet: a row for each cell, codes as dictionaries, and what they mean in the metadata of the schema."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from broker.exports.about import Indicator, TableAbout, columns_of, indicators_of, told_of
from broker.exports.described import described
from broker.exports.texts import plain
from broker.statistics.manifest import Label
from broker.statistics.output import OutputTable

METADATA_KEY: Final = b"statistical_table"
"""Of the schema: JSON as of `described`. Of a column: `label_vi`, `label_en`, and `unit` of numbers."""


def members(table: OutputTable, about: TableAbout) -> dict[str, bytes]:
    """Return the one file that has it all."""
    return {"data.parquet": data_parquet(table, about)}


def data_parquet(table: OutputTable, about: TableAbout) -> bytes:
    """Return the data: columns as those of CSV, null where hidden."""
    rows, columns, fields = list(table.rows()), [], []
    dimensions = zip(columns_of(about), table.dimensions, strict=True)
    for at, (column, (name, categories)) in enumerate(dimensions):
        codes = ("_T", *categories)
        columns.append(_coded(codes, [row.codes[at] for row in rows]))
        fields.append(_field(name, columns[-1].type, column.label, is_nullable=False))
    for one in indicators_of(about):
        kind = pa.float64() if one.kind == "mean" else pa.int64()
        columns.append(pa.array([told_of(row, one) for row in rows], kind))
        fields.append(_field(one.name, kind, one.label, one))
    said = json.dumps(described(about), ensure_ascii=False, separators=(",", ":"))
    schema = pa.schema(fields, {METADATA_KEY: said.encode()})
    written = BytesIO()
    parquet.write_table(pa.table(columns, schema), written, compression="zstd")
    return written.getvalue()


def _coded(codes: tuple[str, ...], values: list[str]) -> Any:
    """Return codes as a dictionary in the registry's order, those that no cell has among them."""
    places = {code: at for at, code in enumerate(codes)}
    return pa.DictionaryArray.from_arrays(pa.array([places[one] for one in values], pa.int32()), list(codes))


def _field(
    name: str, kind: Any, label: Label, indicator: Indicator | None = None, *, is_nullable: bool = True
) -> Any:
    said = {"label_vi": plain(label.vi), "label_en": plain(label.en)}
    if indicator is not None:
        said["unit"] = plain(indicator.unit)
    return pa.field(name, kind, is_nullable, said)
