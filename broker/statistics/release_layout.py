"""Where things lie below a release's directory: words that storage and engines share."""

from __future__ import annotations

from typing import Final

MANIFEST: Final = "manifest.json"


def rows_path(period: str, province: str, number: int = 0) -> str:
    """Return the path of a file of rows. period, province: finest categories."""
    return f"period={period}/province={province}/part-{number}.parquet"


def perturbation_path(content_hash: str) -> str:
    """Return the path of a perturbation table. content_hash: SHA-256 of its CSV in hex."""
    return f"perturbation/{content_hash}.csv"
