"""What an access token costs: `make bench-token`, `make bench-token QUICK=1`.

client_credentials with private_key_jwt and DPoP through the real server: every assertion and every proof is
new, PostgreSQL commits with its default durability, one worker runs on one core and everything else on the
others. CPU from /proc. Results go to .artifacts/bench-token.json and, for the full run, to
docs/performance.md. `--profile` says where the worker's time goes (in one process, without the server).
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import pstats
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import time
from urllib.parse import urlencode

from joserfc import jws
from werkzeug.test import EnvironBuilder, run_wsgi_app

from broker.app import create_app
from broker.cli.session import embedded_environment, settings_of
from tests.bench.callers import Hospital, _random, proof_of
from tests.bench.load import run_load
from tests.bench.processes import cpu_us
from tests.bench.report import replace_block
from tests.bench.stage import Server, Stage, console, staged

TOKEN_PATH = "/oauth/token"
ARTIFACT = Path(".artifacts/bench-token.json")
THREADS = 4
CONNECTIONS = 4
WORKER_CORE = 0
TARGET_MS = 2.1


def form_of(hospital: Hospital, issuer: str) -> bytes:
    """Return the form of one token request, with an assertion of its own."""
    now = int(time())
    claims = {
        "iss": hospital.client_id, "sub": hospital.client_id, "aud": issuer,
        "iat": now, "exp": now + 240, "jti": _random(),
    }  # fmt: skip
    header = {"alg": "ES256", "typ": "JWT", "kid": hospital.key.thumbprint()}
    form = {
        "grant_type": "client_credentials",
        "scope": "verify_entitlement",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jws.serialize_compact(header, json.dumps(claims), hospital.key),
    }
    return urlencode(form).encode("ascii")


def rendered_form(path: str, body: bytes, proof: str) -> bytes:
    """Return the bytes of one POST request with a form."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/x-www-form-urlencoded",
        f"DPoP: {proof}",
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body


def requests_for(stage: Stage, server: Server, request_count: int) -> list[bytes]:
    """Return fresh requests, of one hospital after the other."""
    url = server.url + TOKEN_PATH
    hospitals = [stage.hospitals[number % len(stage.hospitals)] for number in range(request_count)]
    return [
        rendered_form(TOKEN_PATH, form_of(hospital, server.url), proof_of(hospital, url, None))
        for hospital in hospitals
    ]


def pin(root_pid: int, cores: Iterable[int]) -> None:
    """Keep a process, its descendants and all their threads on these cores."""
    wanted, tree = set(cores), {root_pid}
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text()
                parents[int(entry.name)] = int(stat[stat.rindex(")") + 2 :].split()[1])
    while grown := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= grown
    for pid in tree:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                os.sched_setaffinity(int(task.name), wanted)


def measure(stage: Stage, request_count: int, round_count: int) -> dict[str, float]:
    """Return the figures of the artifact: medians over the rounds."""
    server = stage.servers["broker"]
    others = set(range(os.cpu_count() or 1)) - {WORKER_CORE} or {WORKER_CORE}
    postmaster = stage.cluster.postmaster_pid
    served, stored, rates, p99s = [], [], [], []
    for number in range(-1, round_count):
        requests = requests_for(stage, server, request_count)
        pin(server.pid, {WORKER_CORE})
        pin(postmaster, others)
        pin(os.getpid(), others)
        before = cpu_us(server.pid), cpu_us(postmaster)
        result = run_load(("127.0.0.1", server.port), requests, CONNECTIONS)
        after = cpu_us(server.pid), cpu_us(postmaster)
        if set(result.statuses) != {200}:
            raise RuntimeError(f"answered {result.statuses}: {result.first_other[-400:]!r}")
        if number < 0:
            continue  # warms up
        served.append((after[0] - before[0]) / request_count / 1000)
        stored.append((after[1] - before[1]) / request_count / 1000)
        rates.append(result.requests_per_second)
        p99s.append(result.percentile_ms(0.99))
        console.print(f"  {served[-1]:.3f} ms server, {stored[-1]:.3f} ms database, {rates[-1]:.0f} tokens/s")
    return {
        "cpu_ms_per_token": median(served),
        "database_cpu_ms_per_token": median(stored),
        "total_cpu_ms_per_token": median(a + b for a, b in zip(served, stored, strict=True)),
        "tokens_per_second": median(rates),
        "p99_ms": median(p99s),
    }


def profile(stage: Stage, state: Path, request_count: int) -> str:
    """Return where the time of one worker goes: the functions with most time of their own."""
    environ = embedded_environment(stage.cluster, state, {})
    own = {**environ, "BROKER_ISSUER": stage.servers["broker"].url, "BROKER_LOG_LEVEL": "warning"}
    app = create_app(settings_of(own))
    issuer = stage.servers["broker"].url
    prepared = []
    for number in range(request_count):
        hospital = stage.hospitals[number % len(stage.hospitals)]
        proof = proof_of(hospital, issuer + TOKEN_PATH, None)
        builder = EnvironBuilder(
            TOKEN_PATH,
            method="POST",
            data=form_of(hospital, issuer),
            content_type="application/x-www-form-urlencoded",
            headers=[("DPoP", proof)],
        )
        prepared.append(builder.get_environ())
    measured = cProfile.Profile()
    for number, one in enumerate(prepared):
        if number == request_count // 10:
            measured.enable()
        status = run_wsgi_app(app, one)[1]
        if not status.startswith("200"):
            raise RuntimeError(f"answered {status}")
    measured.disable()
    text = io.StringIO()
    pstats.Stats(measured, stream=text).sort_stats("tottime").print_stats(30)
    return text.getvalue()


def report(figures: dict[str, float]) -> None:
    """Write the table of docs/performance.md."""
    targets: dict[str, str] = {"cpu_ms_per_token": f"≤ {TARGET_MS}"}
    rows = [f"| `{name}` | {value:.2f} | {targets.get(name, '')} |" for name, value in figures.items()]
    replace_block("bench-token", "\n".join(["| figure | measured | target |", "|---|---|---|", *rows]))


def main() -> None:
    """Measure, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer tokens; under two minutes")
    parser.add_argument("--profile", action="store_true", help="say where the worker's time goes, and stop")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="broker-bench-", ignore_cleanup_errors=True) as temporary:
        state = Path(temporary)
        state.chmod(0o755)
        with staged(state, 1_000, 1, THREADS, only=("broker",)) as stage:
            if arguments.profile:
                print(profile(stage, state, 2_000))
                return
            count, rounds = (1_000, 5) if arguments.quick else (3_000, 9)
            figures = measure(stage, count, rounds)
    ARTIFACT.parent.mkdir(exist_ok=True)
    ARTIFACT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if not arguments.quick:
        report(figures)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
