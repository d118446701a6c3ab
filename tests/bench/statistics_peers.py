"""acro beside us: the largest table that it finishes within a bound, from the same made-up persons."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet

from broker.engines.mart import dimension_column, measure_column
from broker.statistics.frozen import FrozenRelease

ACRO: Final = Path(".venv-acro/bin/python")
SCRIPT: Final = Path(__file__).with_name("acro_peer.py")
AXES: Final = ("facility", "sex", "age", "sector")

LADDER: Final = ((100_000, 2), (100_000, 3), (1_000_000, 3), (100_000, 4), (1_000_000, 4))
"""Rows, and by how many of the axes they are cut: each step is more work than the one before."""


def acro_figures(release: FrozenRelease, directory: Path, bound_seconds: float) -> dict[str, float]:
    """Return the largest table that acro finishes within a bound; nothing where it is not installed."""
    if not ACRO.exists():
        return {}
    figures: dict[str, float] = {"acro_bound_seconds": bound_seconds}
    for rows, cut in LADDER:
        source = directory / f"acro-{rows}.npz"
        if not source.exists():
            _write_rows(release, source, rows)
        try:
            ended = subprocess.run(
                [str(ACRO), str(SCRIPT), str(source), str(cut)],
                capture_output=True,
                check=True,
                timeout=bound_seconds,
            )
        except subprocess.TimeoutExpired:
            return {**figures, "acro_unfinished_rows": rows, "acro_unfinished_dimensions": cut}
        told = json.loads(ended.stdout)
        figures |= {
            "acro_rows": rows,
            "acro_cells": told["cells"],
            "acro_seconds": told["seconds"],
        }
    return figures


def _write_rows(release: FrozenRelease, target: Path, count: int) -> None:
    """Write rows of one month of all provinces for acro, each person once."""
    month = release.manifest.files[0].period
    files = [one for one in release.manifest.files if one.period == month]
    columns = [dimension_column(name) for name in AXES] + [measure_column("contributions")]
    paths = [str(Path(release.directory) / one.path) for one in files]
    table = pyarrow.concat_tables(
        [pyarrow.parquet.read_table(path, columns=columns, partitioning=None) for path in paths]
    )
    chosen = np.random.default_rng(1).permutation(len(table))[:count]
    names = dict(zip(columns, (*AXES, "amount"), strict=True))
    np.savez(target, **{name: table[column].to_numpy()[chosen] for column, name in names.items()})
