"""What came of breaking things: one fault after the other, with its counts, and what was expected of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from rich.console import Console
from rich.table import Table

ARTIFACT: Final = Path(".artifacts/chaos.json")
console: Final = Console(stderr=True)
SUMS: Final = {"releases": "releases", "unrecorded": "unrecorded_releases", "forks": "forks"}
"""Counts of a fault that are added up over all, and what the sums are called."""


@dataclass
class Fault:
    """One thing that was broken. counts: what was done and seen; failures: what should not have been."""

    name: str
    title: str
    counts: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, name: str, count: float = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + count

    def note(self, **counts: Any) -> None:
        self.counts.update(counts)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Keep a sentence about what is wrong, unless it holds. It goes on: one run tells of all."""
        if not holds:
            self.failures.append(otherwise)
            console.print(f"  [red]{self.name}[/red] {otherwise}", markup=True, highlight=False)

    def say(self, progress: str) -> None:
        console.print(f"  {self.name} {progress}", markup=False, highlight=False)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure, and turn what nobody foresaw into a failure, so that the other faults have their turn."""
        started = perf_counter()
        console.print(f"{self.name}: {self.title}", markup=False, highlight=False)
        try:
            yield
        except (Exception, AssertionError) as unforeseen:
            self.expect(False, f"{type(unforeseen).__name__}: {unforeseen}")
        finally:
            self.seconds = round(perf_counter() - started, 1)

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "holds": not self.failures,
            "seconds": self.seconds,
            "failures": self.failures,
            **self.counts,
        }


def document_of(faults: Sequence[Fault], *, quick: bool, seconds: float) -> dict[str, Any]:
    """Return everything as it stands in the artifact."""
    sums = {told: sum(int(fault.counts.get(name, 0)) for fault in faults) for name, told in SUMS.items()}
    return {
        "quick": quick,
        "seconds": round(seconds, 1),
        "cores": os.cpu_count(),
        "load_at_the_end": [round(one, 2) for one in os.getloadavg()],
        **sums,
        "failed": [fault.name for fault in faults if fault.failures],
        "faults": [fault.document() for fault in faults],
    }


def exit_code(document: Mapping[str, Any]) -> int:
    """Return 1 where an expectation failed, a release is not on record, or the log forked; else 0."""
    is_bad = document["failed"] or document["unrecorded_releases"] or document["forks"]
    return 1 if is_bad or not document["faults"] else 0


def write(document: Mapping[str, Any], path: Path = ARTIFACT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def show(document: Mapping[str, Any]) -> None:
    """Print a table on standard output: what was broken, how long it took, what was counted."""
    table = Table(title="chaos", show_lines=True)
    for heading in ("fault", "s", "counts", "holds"):
        table.add_column(heading, overflow="fold")
    known = {"name", "title", "holds", "seconds", "failures"}
    for fault in document["faults"]:
        counts = "\n".join(f"{name}: {_plain(fault[name])}" for name in fault if name not in known)
        verdict = "yes" if fault["holds"] else "NO\n" + "\n".join(fault["failures"])
        table.add_row(f"{fault['name']} {fault['title']}", str(fault["seconds"]), counts, verdict)
    out = Console(markup=False, highlight=False)
    out.print(table)
    out.print(
        f"{document['releases']} releases acknowledged, {document['unrecorded_releases']} unrecorded, "
        f"{document['forks']} forks, {len(document['failed'])} of {len(document['faults'])} faults with a "
        f"failed expectation, {document['seconds']} s"
    )


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    return str(value)
