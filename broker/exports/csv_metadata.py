"""What the CSV of a package is: for CSVW (`data.csv-metadata.json`) and Frictionless (`datapackage.json`).

Both say the same: types, the least count that is shown, which codes there are, and that empty is hidden.
"""

from __future__ import annotations

import json
from typing import Any, Final

from broker.exports import words
from broker.exports.about import (
    DimensionColumn,
    Indicator,
    TableAbout,
    columns_of,
    indicators_of,
)
from broker.exports.described import described
from broker.exports.texts import plain
from broker.statistics.manifest import Label

DATA: Final = "data.csv"
CODE: Final = "code"


def code_file(dimension: str) -> str:
    """Return the name of a dimension's table of codes."""
    return f"codes-{dimension}.csv"


def code_columns(column: DimensionColumn) -> list[tuple[str, Label]]:
    """Return the columns of a table of codes: the code, its names, and the same of each coarser level."""
    found = [(CODE, column.levels[0][1]), ("name_vi", words.NAME_VI), ("name_en", words.NAME_EN)]
    for level, label in column.levels[1:]:
        found += [(f"in_{level}", label), (f"vi_{level}", words.NAME_VI), (f"en_{level}", words.NAME_EN)]
    return found


def csvw_json(about: TableAbout) -> bytes:
    """Return the metadata of CSV on the Web: a group of tables, the data first."""
    columns = columns_of(about)
    data = {
        "url": DATA,
        "dc:title": _both(about.title),
        "tableSchema": {
            "columns": [
                *(_csvw_column(one.name, one.label, "string", required=True) for one in columns),
                *(_csvw_column(one.name, one.label, _csvw_type(about, one)) for one in indicators_of(about)),
            ],
            "primaryKey": [one.name for one in columns],
            "foreignKeys": [
                {
                    "columnReference": one.name,
                    "reference": {"resource": code_file(one.name), "columnReference": CODE},
                }
                for one in columns
            ],
        },
    }
    group = {
        "@context": "http://www.w3.org/ns/csvw",
        "dc:title": _both(about.title),
        "dc:publisher": _both(about.owner_name),
        "dc:identifier": about.plan.hash,
        "dc:issued": about.manifest.frozen_at.isoformat(),
        "notes": [{"null": _both(words.HIDDEN_NULL)}, described(about)],
        "dialect": {"encoding": "utf-8", "header": True, "delimiter": ",", "lineTerminators": ["\n"]},
        "tables": [data, *(_csvw_codes(one) for one in columns)],
    }
    return _written(group)


def frictionless_json(about: TableAbout) -> bytes:
    """Return the descriptor of a Data Package."""
    columns = columns_of(about)
    data = {
        "name": "data",
        "path": DATA,
        "schema": {
            "fields": [
                *(_field(one.name, one.label, "string", {"required": True}) for one in columns),
                *(_number_field(about, one) for one in indicators_of(about)),
            ],
            "missingValues": [""],
            "primaryKey": [one.name for one in columns],
            "foreignKeys": [
                {"fields": [one.name], "reference": {"resource": _code_resource(one), "fields": [CODE]}}
                for one in columns
            ],
        },
    }
    codes = [
        {
            "name": _code_resource(column),
            "path": code_file(column.name),
            "schema": {
                "fields": [
                    _field(name, label, "string", {"required": name == CODE})
                    for name, label in code_columns(column)
                ],
                "primaryKey": [CODE],
            },
        }
        for column in columns
    ]
    package = {
        "name": f"table-{about.plan.hash[:16]}",
        "title": plain(f"{about.title.vi} / {about.title.en}"),
        "description": f"{words.HIDDEN_NULL.vi} / {words.HIDDEN_NULL.en}",
        "created": about.manifest.frozen_at.isoformat(),
        "resources": [data, *codes],
    }
    return _written(package)


def _csvw_codes(column: DimensionColumn) -> dict[str, Any]:
    return {
        "url": code_file(column.name),
        "dc:title": _both(column.label),
        "tableSchema": {
            "columns": [
                _csvw_column(name, label, "string", required=name == CODE)
                for name, label in code_columns(column)
            ],
            "primaryKey": [CODE],
        },
    }


def _csvw_column(name: str, label: Label, datatype: Any, *, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "titles": name,
        "dc:title": _both(label),
        "datatype": datatype,
        "required": required,
        "null": [""],
    }


def _csvw_type(about: TableAbout, indicator: Indicator) -> dict[str, Any]:
    base = "decimal" if indicator.kind == "mean" else "integer"
    return {"base": base, "minimum": least(about, indicator)}


def least(about: TableAbout, indicator: Indicator) -> int:
    """Return the least number that is shown of an indicator: smaller ones are hidden."""
    return about.manifest.parameters.threshold if indicator.kind == "persons" else 0


def _number_field(about: TableAbout, one: Indicator) -> dict[str, Any]:
    kind = "number" if one.kind == "mean" else "integer"
    return _field(one.name, one.label, kind, {"minimum": least(about, one)})


def _field(name: str, label: Label, kind: str, constraints: dict[str, Any]) -> dict[str, Any]:
    title = plain(f"{label.vi} / {label.en}")
    return {"name": name, "type": kind, "title": title, "constraints": constraints}


def _code_resource(column: DimensionColumn) -> str:
    return f"codes-{column.name.replace('_', '-')}"


def _both(label: Label) -> list[dict[str, str]]:
    return [
        {"@value": plain(label.vi), "@language": "vi"},
        {"@value": plain(label.en), "@language": "en"},
    ]


def _written(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
