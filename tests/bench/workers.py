"""Which worker shape serves best, also while the source drags. `make bench-workers`.

For each shape: a burst at full speed, then six seconds of checks at a pace during which the insurance
database is locked for two; meanwhile a second line asks for the published keys, which need no source. A shape
is good when the burst is quick and the second line does not notice that the source drags.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from connectors.postgres import conninfo_of_url
from tests.bench.load import LoadResult, run_load
from tests.bench.processes import cpu_us
from tests.bench.release import Bench
from tests.bench.report import replace_block
from tests.bench.stage import console, staged

SHAPES = ((2, 1), (2, 2), (2, 4), (2, 8), (4, 2))
PACE_PER_SECOND = 80
SLOW_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What one shape measured."""

    workers: int
    threads: int
    cpu_us: float
    per_second: float
    p99_ms: float
    slow: LoadResult
    keys: LoadResult

    def row(self) -> str:
        """Return the row of the table."""
        refused = self.slow.statuses.get(503, 0) / sum(self.slow.statuses.values())
        cells = [
            f"{self.workers} × {self.threads}",
            f"{self.cpu_us:.0f}",
            f"{self.per_second:.0f}",
            f"{self.p99_ms:.0f}",
            f"{self.slow.percentile_ms(0.99):.0f}",
            f"{refused:.0%}",
            f"{self.keys.percentile_ms(0.5):.0f}",
            f"{self.keys.percentile_ms(0.99):.0f}",
        ]
        return "| " + " | ".join(cells) + " |"


def measure(state: Path, workers: int, threads: int) -> Shape:
    """Measure one shape on a stage of its own."""
    with staged(state, 10_000, workers, threads, only=("broker",)) as stage:
        bench = Bench(stage, 1_500)
        bench.rounds(["broker"], 3)
        series, server = bench.series["broker"], stage.servers["broker"]
        checks = bench.requests_for(server, PACE_PER_SECOND * 6)
        keys = [b"GET /oauth/jwks HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"] * (30 * 6)
        results: dict[str, LoadResult] = {}

        def load(name: str, requests: list[bytes], connections: int, pace: float) -> None:
            address = ("127.0.0.1", server.port)
            results[name] = run_load(address, requests, connections, pace_per_second=pace)

        before = cpu_us(server.pid)
        lines = [
            threading.Thread(target=load, args=("checks", checks, 200, PACE_PER_SECOND)),
            threading.Thread(target=load, args=("keys", keys, 8, 30)),
        ]
        for line in lines:
            line.start()
        time.sleep(1.5)
        _drag(stage.cluster.source_owner_url)
        for line in lines:
            line.join()
        console.print(f"  {workers} x {threads}: {cpu_us(server.pid) - before:.0f} µs CPU in the slow part")
        return Shape(
            workers,
            threads,
            series.total_us,
            series.results[-1].requests_per_second,
            series.results[-1].percentile_ms(0.99),
            results["checks"],
            results["keys"],
        )


def _drag(owner_url: str) -> None:
    """Hold the persons under a lock: every look-up waits, as behind a vacuum or a migration."""
    with psycopg.connect(conninfo_of_url(owner_url)) as connection:
        connection.execute("LOCK TABLE person IN ACCESS EXCLUSIVE MODE")
        time.sleep(SLOW_SECONDS)


def main() -> None:
    """Measure all shapes and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, help="keep databases here for the next run")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="broker-bench-") as temporary:
        Path(temporary).chmod(0o755)
        for workers, threads in SHAPES:
            rows.append(measure(arguments.state or Path(temporary), workers, threads).row())
            print(rows[-1])
    header = [
        "| workers × threads | CPU µs | checks/s | p99 ms | p99 dragging | 503 | keys p50 ms | keys p99 ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    replace_block("bench-workers", "\n".join([*header, *rows]))


if __name__ == "__main__":
    main()
