"""Writes what the release bench measured into docs/performance.md, between two marks."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

DOCUMENT = Path("docs/performance.md")

_TARGETS = {
    "ratio_to_ordinary_floor": "≤ 1.0",
    "ratio_to_lean_floor": "≤ 1.7",
    "decision_us_10": "≤ 5",
    "decision_us_1000": "≤ 5",
    "growth_ratio": "≤ 1.15",
    "consented_ratio_to_check": "≤ 1.25",
    "p99_ms": "≤ 50",
}


def write_report(measured: Mapping[str, float], persons: int, small: int, agreements: int) -> None:
    """Replace the block between the marks."""
    day = datetime.now(UTC).date().isoformat()
    lines = [
        f"Measured on {day}: {machine()}, {persons:,} persons, 2 workers with 4 threads.",
        f"Growth from {small:,} persons, and to {agreements:,} agreements. Medians of interleaved rounds.",
        "",
        "| figure | measured | target |",
        "|---|---|---|",
        *(f"| `{name}` | {value:.2f} | {_TARGETS.get(name, '')} |" for name, value in measured.items()),
    ]
    replace_block("bench-release", "\n".join(lines))


def replace_block(name: str, block: str) -> None:
    """Replace what stands between the marks of this name in the document."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, rest = DOCUMENT.read_text(encoding="utf-8").split(begin, 1)
    tail = rest.split(end, 1)[1]
    DOCUMENT.write_text(f"{head}{begin}\n{block}\n{end}{tail}", encoding="utf-8")


def machine() -> str:
    """Return what the measurements were made on."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, PostgreSQL 18"
