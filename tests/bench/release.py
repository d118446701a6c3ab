"""What an entitlement check, a consented release and a decision page cost, beside two floor apps in one run.

`make bench`, `make bench QUICK=1`.

CPU µs per request of server and database from /proc, in interleaved rounds; every check is about another
person and carries a fresh DPoP proof. Results go to .artifacts/bench-release.json and, for the full run,
to docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from pathlib import Path
from statistics import median

from tests.bench.callers import check_body, proof_of, token_of
from tests.bench.deciding import PAGES, Deciding
from tests.bench.decision import measure
from tests.bench.lending import Lending, Lent
from tests.bench.load import LoadResult, rendered, run_load
from tests.bench.processes import cpu_us
from tests.bench.report import write_report
from tests.bench.stage import MANY_AGREEMENTS, SMALL_PERSONS, Server, Stage, console, staged

CHECK_PATH = "/v1/entitlement-checks"
WORKERS, THREADS = 2, 4
CONNECTIONS = 4
ARTIFACT = Path(".artifacts/bench-release.json")


@dataclass
class Series:
    """What the rounds of one server measured."""

    server_us: list[float] = field(default_factory=list)
    database_us: list[float] = field(default_factory=list)
    results: list[LoadResult] = field(default_factory=list)

    @property
    def total_us(self) -> float:
        """Median over the rounds of CPU µs per request, server and database together."""
        return median(a + b for a, b in zip(self.server_us, self.database_us, strict=True))

    @property
    def lowest_us(self) -> float:
        """The quietest round."""
        return min(a + b for a, b in zip(self.server_us, self.database_us, strict=True))


SPARE_ROUNDS = 6
"""For how many more rounds than wanted there are consents: some may stall."""
CONSENTED = "consented"
"""The series of consented releases: at the broker's own server, every request under another consent."""
PAGE = "decision_page"
"""The series of decision pages: GET for a citizen who is signed in, at the broker's own server."""
PAGE_SHARE = 5
"""So many times fewer pages than checks in a round: a page costs several checks."""


class Bench:
    """Runs rounds against the servers of a stage.

    lending: where there are consents to read by; deciding: where there are pages to decide on.
    """

    def __init__(
        self,
        stage: Stage,
        request_count: int,
        lending: Lending | None = None,
        deciding: Deciding | None = None,
    ) -> None:
        self.stage = stage
        self.request_count = request_count
        self.positions = {name: count() for name in stage.servers}
        self.lending = lending
        self.lent: Iterator[Lent] = iter(())
        self.deciding = deciding
        beside = {CONSENTED: lending, PAGE: deciding}
        names = [*stage.servers, *(name for name, part in beside.items() if part is not None)]
        self.series = {name: Series() for name in names}

    def lend(self, citizens: Sequence[str], request_count: int) -> None:
        """Have so many consents of citizens written, each good for one request."""
        if self.lending is not None:
            self.lent = iter(list(self.lending.load_consents(islice(cycle(citizens), request_count))))

    def server(self, name: str) -> Server:
        """Return the server that a series is measured at."""
        return self.stage.servers["broker" if name in (CONSENTED, PAGE) else name]

    def requests_for(self, server: Server, request_count: int) -> list[bytes]:
        """Return fresh requests: another person and another proof each."""
        positions = self.positions[server.name]
        if server.name in ("lean", "ordinary"):
            bodies = (server.people[next(positions) % len(server.people)] for _ in range(request_count))
            return [rendered("/check", json.dumps({"card_number": one[0]}).encode()) for one in bodies]
        tokens = [token_of(hospital, server.url) for hospital in self.stage.hospitals]
        made = []
        for _ in range(request_count):
            position = next(positions)
            number = position % len(tokens)
            hospital, token = self.stage.hospitals[number], tokens[number]
            body = check_body(hospital, position // len(tokens), server.people[position % len(server.people)])
            proof = proof_of(hospital, server.url + CHECK_PATH, token)
            headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
            made.append(rendered(CHECK_PATH, body, headers))
        return made

    def burst(self, name: str, server: Server) -> list[bytes]:
        """Return the requests of one round of a series."""
        if name == CONSENTED and self.lending is not None:
            return self.lending.requests(server.url, list(islice(self.lent, self.request_count)))
        if name == PAGE and self.deciding is not None:
            return self.deciding.requests(server.url, max(1, self.request_count // PAGE_SHARE))
        return self.requests_for(server, self.request_count)

    def round(self, name: str, *, keep: bool = True, tries: int = 3) -> None:
        """Measure one burst against one server; again, at most so often, if the machine stalled in it.

        A stall is a disk or a scheduler that kept a statement longer than its deadline: 503, and a round
        that measures something else.
        """
        server = self.server(name)
        requests = self.burst(name, server)
        postmaster = self.stage.cluster.postmaster_pid
        before = cpu_us(server.pid), cpu_us(postmaster)
        result = run_load(("127.0.0.1", server.port), requests, CONNECTIONS)
        after = cpu_us(server.pid), cpu_us(postmaster)
        if set(result.statuses) == {200, 503} and tries > 1:
            console.print(f"  {name:10} stalled: {result.statuses}")
            self.round(name, keep=keep, tries=tries - 1)
            return
        if set(result.statuses) != {200}:
            raise RuntimeError(f"{name} answered {result.statuses}: {result.first_other[-400:]!r}")
        if keep:
            series = self.series[name]
            series.server_us.append((after[0] - before[0]) / len(requests))
            series.database_us.append((after[1] - before[1]) / len(requests))
            series.results.append(result)
            total = series.server_us[-1] + series.database_us[-1]
            console.print(f"  {name:10} {total:7.0f} µs  {result.requests_per_second:6.0f}/s")

    def rounds(self, names: Iterable[str], round_count: int) -> None:
        """Measure interleaved rounds, after one that only warms up."""
        ordered = list(names)
        for name in ordered:
            self.round(name, keep=False)
        for number in range(round_count):
            console.print(f"round {number + 1} of {round_count}")
            for name in ordered[number % len(ordered) :] + ordered[: number % len(ordered)]:
                self.round(name)

    def half_load(self) -> LoadResult:
        """Measure latencies at half of the throughput that the bursts reached."""
        server = self.stage.servers["broker"]
        rate = median(one.requests_per_second for one in self.series["broker"].results) / 2
        requests = self.requests_for(server, int(min(rate * 10, 6000)))
        return run_load(("127.0.0.1", server.port), requests, CONNECTIONS, pace_per_second=rate)


def quietly(measure_once: Callable[[], float]) -> float:
    """Return the lower of two measurements: the second is warm."""
    return min(measure_once(), measure_once())


def figures(bench: Bench) -> dict[str, float]:
    """Return what the artifact holds."""
    series = bench.series
    check = series["broker"].total_us
    half = bench.half_load()
    return {
        "ratio_to_ordinary_floor": check / series["ordinary"].total_us,
        "ratio_to_lean_floor": check / series["lean"].total_us,
        "check_cpu_us": check,
        "ordinary_floor_cpu_us": series["ordinary"].total_us,
        "lean_floor_cpu_us": series["lean"].total_us,
        "check_server_cpu_us": median(series["broker"].server_us),
        "check_database_cpu_us": median(series["broker"].database_us),
        "lowest_ratio_to_ordinary_floor": series["broker"].lowest_us / series["ordinary"].lowest_us,
        "lowest_ratio_to_lean_floor": series["broker"].lowest_us / series["lean"].lowest_us,
        "decision_us_10": quietly(lambda: measure(10)),
        "decision_us_1000": quietly(lambda: measure(1_000)),
        "growth_ratio_persons": check / series["small"].total_us,
        "growth_ratio_agreements": series["many"].total_us / check,
        "growth_ratio": max(check / series["small"].total_us, series["many"].total_us / check),
        "consented_ratio_to_check": series[CONSENTED].total_us / check,
        "consented_cpu_us": series[CONSENTED].total_us,
        "decision_page_cpu_ms": series[PAGE].total_us / 1000,
        "decision_page_in_checks": series[PAGE].total_us / check,
        "requests_per_second": median(one.requests_per_second for one in series["broker"].results),
        "p50_ms": half.percentile_ms(0.50),
        "p95_ms": half.percentile_ms(0.95),
        "p99_ms": half.percentile_ms(0.99),
        "p99_ms_full_load": median(one.percentile_ms(0.99) for one in series["broker"].results),
    }


def main() -> None:
    """Run the bench and write what it measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 persons, under 5 minutes")
    parser.add_argument("--persons", type=int, help="size of the population")
    parser.add_argument("--state", type=Path, help="keep databases here for the next run")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--requests", type=int, help="checks in a round; fewer than usual is a trial only")
    arguments = parser.parse_args()
    persons = arguments.persons or (100_000 if arguments.quick else 1_000_000)
    with tempfile.TemporaryDirectory(prefix="broker-bench-") as temporary:
        Path(temporary).chmod(0o755)
        state = arguments.state or Path(temporary)
        with staged(state, persons, WORKERS, THREADS) as stage:
            count, rounds = (1_500, 6) if arguments.quick else (3_000, 8)
            count, rounds = arguments.requests or count, arguments.rounds or rounds
            lent_count = count * (rounds + 1 + SPARE_ROUNDS)
            cluster = stage.cluster
            lending = Lending(stage.settings, cluster.owner_url, cluster.source_owner_url)
            citizens = lending.load_citizens(lending.persons(lent_count))
            bench = Bench(stage, count, lending, Deciding(lending, citizens[:PAGES]))
            bench.lend(citizens, lent_count)
            bench.rounds(bench.series, rounds)
            measured = figures(bench)
            lending.close()
    ARTIFACT.parent.mkdir(exist_ok=True)
    ARTIFACT.write_text(json.dumps({"persons": persons, **measured}, indent=2) + "\n", encoding="utf-8")
    is_whole = not arguments.quick and arguments.persons is None and arguments.requests is None
    if is_whole:
        write_report(measured, persons, SMALL_PERSONS, MANY_AGREEMENTS)
    for name, value in measured.items():
        print(f"{name:32} {value:10.3f}")


if __name__ == "__main__":
    main()
