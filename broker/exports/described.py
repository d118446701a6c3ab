"""A table in one JSON document: what Parquet holds in its schema and CSVW in its notes."""

from __future__ import annotations

import json
from typing import Any

from broker.exports.about import DimensionColumn, TableAbout, columns_of, indicators_of
from broker.exports.texts import plain
from broker.statistics.manifest import Label


def described(about: TableAbout) -> dict[str, Any]:
    """Return release, question, method and what columns and codes are called; nothing of a cell."""
    manifest = about.manifest
    return {
        "title": _both(about.title),
        "owner": _both(about.owner_name),
        "agreement": about.agreement,
        "release": {
            "code": manifest.release,
            "period": manifest.period,
            "supersedes": manifest.supersedes,
            "as_of": manifest.as_of.isoformat(),
            "frozen_at": manifest.frozen_at.isoformat(),
        },
        "question": {"hash": about.plan.hash, "plan": json.loads(about.plan.canonical())},
        "method": method_of(about),
        "dimensions": [_dimension(column) for column in columns_of(about)],
        "indicators": [
            {
                "name": one.name,
                "label": _both(one.label),
                "unit": one.unit,
                "unit_label": _both(one.unit_label),
            }
            for one in indicators_of(about)
        ],
    }


def method_of(about: TableAbout) -> dict[str, Any]:
    """Return the parameters in force, as the method note tells them too."""
    parameters = about.manifest.parameters
    counts, sums = parameters.counts, parameters.sums
    return {
        "name": "cell-key",
        "counts": {"D": counts.bound, "V": counts.variance, "js": counts.barred},
        "sums": {"D": sums.bound, "V": sums.variance, "share": parameters.share_large},
        "threshold": parameters.threshold,
        "dominance_percent": parameters.dominance_percent,
        "digits": parameters.digits,
    }


def _dimension(column: DimensionColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "label": _both(column.label),
        "level": column.levels[0][0],
        "level_label": _both(column.levels[0][1]),
        "categories": {one.code: _both(one.label) for one in column.categories[0]},
    }


def _both(label: Label) -> dict[str, str]:
    return {"vi": plain(label.vi), "en": plain(label.en)}
