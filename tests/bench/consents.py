"""Whether a consented release grows with the number of consents: `make bench-consents`, with QUICK=1 smaller.

First with 1,000 consents in the store, then with 1,000,000 of 200,000 citizens (quick: 100,000 of 20,000), on
the same server. CPU per release, of the quietest of some rounds, is also given as a ratio to entitlement
checks measured beside it, because absolute figures drift with the machine. Besides: how long the list of a
citizen's consents takes, the query and the page, and how long after an answered withdrawal the recipient's
next request is refused.
Results go to .artifacts/bench-consents.json and, for the full run, to docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg

from broker.actions.consent_writer import ConsentWriter
from broker.app import new_reference, new_salt
from broker.consent import life
from broker.consent.record import Actor
from broker.storage.consents import PostgresConsents
from broker.storage.openings import PostgresOpenings
from connectors.postgres import conninfo_of_url
from consent_ui.addresses import CONSENTS_RULE
from tests.bench.deciding import page_request, sign_in
from tests.bench.lending import Lending, Lent, rendered_read
from tests.bench.load import run_load
from tests.bench.release import CONSENTED, SPARE_ROUNDS, Bench
from tests.bench.report import replace_block
from tests.bench.stage import Stage, console, staged
from tests.consent_world import FixedReceipts

ARTIFACT = Path(".artifacts/bench-consents.json")
SMALL = 1_000
LISTS, WITHDRAWALS = 500, 500
LIST_PAGES = 200
_TARGETS = {
    "growth_ratio": "≤ 1.10",
    "release_in_checks": "≤ 1.25",
    "list_p95_ms": "≤ 100",
    "withdrawn_to_refused_p99_ms": "≤ 50",
}


@dataclass(frozen=True, slots=True)
class Size:
    """What was measured with so many consents in the store. database_us: the database's part of a release.

    list_p95_ms: the query of a citizen's list; list_page_p95_ms: the page of it, over HTTP.
    """

    consented_us: float
    database_us: float
    check_us: float
    list_p95_ms: float
    list_page_p95_ms: float

    @property
    def ratio(self) -> float:
        """CPU of a consented release, in checks."""
        return self.consented_us / self.check_us


class Growth:
    """Measures on a stage, before and after the crowd has come."""

    def __init__(self, stage: Stage, request_count: int, rounds: int) -> None:
        self.stage = stage
        self.request_count = request_count
        self.rounds = rounds
        self.lending = Lending(stage.settings, stage.cluster.owner_url, stage.cluster.source_owner_url)
        self.persons = self.lending.load_citizens(self.lending.persons(4_000))
        key = stage.settings.key_encryption_key_file.reveal()
        openings = PostgresOpenings(self.lending.store, key)
        self.store = PostgresConsents(self.lending.store.engine, openings)

    def lend(self, count: int) -> list[Lent]:
        """Have so many consents written, each good for one request."""
        citizens = [self.persons[at % len(self.persons)] for at in range(count)]
        return list(self.lending.load_consents(citizens))

    def size(self, citizens: list[str]) -> Size:
        """Measure releases, and the lists of some of these citizens."""
        bench = Bench(self.stage, self.request_count, self.lending)
        bench.lent = iter(self.lend(self.request_count * (self.rounds + 1 + SPARE_ROUNDS)))
        with psycopg.connect(conninfo_of_url(self.stage.cluster.owner_url), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        bench.rounds(["broker", CONSENTED], self.rounds)
        series = bench.series
        # The quietest rounds: whatever else the machine does can only add.
        lent = series[CONSENTED]
        return Size(
            consented_us=lent.lowest_us,
            database_us=median(lent.database_us),
            check_us=series["broker"].lowest_us,
            list_p95_ms=self.list_p95_ms(citizens),
            list_page_p95_ms=self.list_page_p95_ms(citizens),
        )

    def list_p95_ms(self, citizens: list[str]) -> float:
        """Return how long the query of a citizen's list takes."""
        dice, times = random.Random(1), []
        for citizen_id in dice.choices(citizens, k=LISTS):
            begun = perf_counter()
            found = self.store.find_of_citizen(citizen_id)
            times.append((perf_counter() - begun) * 1000)
            if not found:
                raise RuntimeError("a citizen without consents was asked about")
        return sorted(times)[int(LISTS * 0.95)]

    def list_page_p95_ms(self, citizens: list[str]) -> float:
        """Return how long the page of one's consents takes, one after the other, from a warm server."""
        server, dice = self.stage.servers["broker"], random.Random(2)
        engine, chosen = self.lending.store.engine, dice.choices(citizens, k=LIST_PAGES)
        pages = [page_request(f"{CONSENTS_RULE}?lang=vi", sign_in(engine, one)) for one in chosen]
        where = ("127.0.0.1", server.port)
        run_load(where, pages[: LIST_PAGES // 10], 1)
        result = run_load(where, pages, 1)
        if result.statuses != {200: LIST_PAGES}:
            raise RuntimeError(f"lists: {result.statuses} {result.first_other[-300:]!r}")
        return result.percentile_ms(0.95)

    def withdrawals(self) -> list[float]:
        """Return the ms from each answered withdrawal to the refusal of the request that follows it."""
        server, times = self.stage.servers["broker"], []
        writer = ConsentWriter(self.lending.pseudonyms, new_salt, FixedReceipts(), new_reference)
        lent = self.lend(WITHDRAWALS)
        tokens = self.lending.tokens(server.url, lent)
        for one, token in zip(lent, tokens, strict=True):
            held, at = self.store.find_one(one.consent.consent_id), datetime.now(UTC)
            if held is None:
                raise RuntimeError("a consent is not there")
            actor = Actor(kind="data_subject", reference=one.consent.citizen_id)
            writings, evidence = writer.compose(life.withdraw(held.consent, actor, at), held, at)
            self.store.write(writings, evidence)
            request = rendered_read(server.url, one.lender, token)
            result = run_load(("127.0.0.1", server.port), [request], 1)
            if result.statuses != {403: 1}:
                raise RuntimeError(f"after a withdrawal: {result.statuses} {result.first_other[-300:]!r}")
            times.append(result.latencies_ms[0])
        return sorted(times)


def figures(small: Size, large: Size, withdrawals: list[float]) -> Mapping[str, float]:
    """Return what the artifact holds."""
    return {
        "release_cpu_us_small": small.consented_us,
        "release_cpu_us_large": large.consented_us,
        "release_database_us_small": small.database_us,
        "release_database_us_large": large.database_us,
        "check_cpu_us_small": small.check_us,
        "check_cpu_us_large": large.check_us,
        "growth_ratio": large.consented_us / small.consented_us,
        "growth_ratio_in_checks": large.ratio / small.ratio,
        "release_in_checks": large.ratio,
        "list_p95_ms_small": small.list_p95_ms,
        "list_p95_ms": large.list_p95_ms,
        "list_page_p95_ms_small": small.list_page_p95_ms,
        "list_page_p95_ms": large.list_page_p95_ms,
        "withdrawn_to_refused_p50_ms": withdrawals[len(withdrawals) // 2],
        "withdrawn_to_refused_p99_ms": withdrawals[int(len(withdrawals) * 0.99)],
    }


def report(measured: Mapping[str, float], consents: int, citizens: int) -> None:
    """Write the table of docs/performance.md."""
    rows = [f"| `{name}` | {value:.2f} | {_TARGETS.get(name, '')} |" for name, value in measured.items()]
    day = datetime.now(UTC).date().isoformat()
    head = f"Measured on {day}: {SMALL:,} consents, then {consents:,} of {citizens:,} citizens."
    replace_block(
        "bench-consents", "\n".join([head, "", "| figure | measured | target |", "|---|---|---|", *rows])
    )


def main() -> None:
    """Measure, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 consents of 20,000 citizens")
    arguments = parser.parse_args()
    consents, citizens = (100_000, 20_000) if arguments.quick else (1_000_000, 200_000)
    with tempfile.TemporaryDirectory(prefix="broker-bench-", ignore_cleanup_errors=True) as temporary:
        state = Path(temporary)
        state.chmod(0o755)
        with staged(state, 100_000, 2, 4, only=("broker",)) as stage:
            growth = Growth(stage, 1_000 if arguments.quick else 2_000, 5 if arguments.quick else 7)
            some = growth.lending.load_citizens([f"9{number:011d}" for number in range(SMALL // 5)])
            growth.lending.load_crowd(some, SMALL)
            small = growth.size(some)
            console.print(f"loading {consents:,} consents of {citizens:,} citizens ...")
            crowd = growth.lending.load_citizens([f"8{number:011d}" for number in range(citizens)])
            growth.lending.load_crowd(crowd, consents)
            large = growth.size(crowd)
            measured = figures(small, large, growth.withdrawals())
            growth.lending.close()
    ARTIFACT.parent.mkdir(exist_ok=True)
    document = {"consents": consents, "citizens": citizens, **measured}
    ARTIFACT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if not arguments.quick:
        report(measured, consents, citizens)
    for name, value in measured.items():
        print(f"{name:32} {value:10.3f}")


if __name__ == "__main__":
    main()
