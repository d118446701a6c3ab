"""`broker maintain`: sweeps what has served its time. `broker serve` runs it beside the workers."""

from __future__ import annotations

import json
import time

import click

from broker.cli.session import Session, open_session
from broker.clock import system_clock
from broker.errors import BrokerError
from broker.evidence.acting import BY_ITSELF
from broker.storage.cleaning import delete_expired
from broker.storage.counters import delete_closed_windows
from broker.storage.hidden_reads import PostgresHiddenReads
from broker.storage.signing_keys import PostgresSigningKeys


@click.command()
@click.option("--every", "every_seconds", type=click.IntRange(1, 3600), help="Go on, every so many seconds.")
def maintain_command(every_seconds: int | None) -> None:
    """Delete used proofs and assertions, expired tokens and sessions, closed counters and unpublished keys.

    And count, after the end of each quarter, the looks that agreements kept out of histories.

    Each is kept until well after it would be refused for its age alone. Evidence is never touched: the
    application role cannot. Once without --every; prints one JSON line per sweep.
    """
    with open_session() as session:
        while True:
            try:
                click.echo(json.dumps(sweep(session)))
            except BrokerError as fault:
                if every_seconds is None:
                    raise click.ClickException(fault.detail) from None
                click.echo(json.dumps({"event": "sweep failed", "kind": fault.kind}), err=True)
            if every_seconds is None:
                return
            time.sleep(every_seconds)


def sweep(session: Session) -> dict[str, int]:
    """Sweep once; return how many rows went, by table, and how many quarters were counted.

    Raises StoreUnavailable.
    """
    now, by_itself = system_clock(), session.acts.by(BY_ITSELF)
    return {
        **delete_expired(session.engine, now),
        "usage_counters": delete_closed_windows(session.engine, now),
        "signing_keys": PostgresSigningKeys(session.engine, by_itself).delete_unpublished(now),
        "hidden_read_quarters": len(PostgresHiddenReads(session.engine).count_quarters(now)),
    }
