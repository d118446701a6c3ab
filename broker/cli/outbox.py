"""`broker outbox`: notices to recipients that could not be delivered."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Final
from uuid import UUID

import click

from broker.cli.output import EXIT_CODES, CommandRefused, refusals, show
from broker.cli.session import open_session
from broker.clock import system_clock
from broker.storage.outbox import PostgresOutbox

_WHICH: Final = ("message_id", "client_id", "consent_id", "kind", "queued_at")
_DEAD: Final = (*_WHICH, "dead_at", "try_count", "last_fault")
_UNACKNOWLEDGED: Final = (*_WHICH, "obey_by", "told_at", "dead_at")


@click.group(epilog=EXIT_CODES)
def outbox_group() -> None:
    """Look at notices to recipients that were given up, and try them again."""


@outbox_group.command("list", epilog=EXIT_CODES)
@click.option(
    "--most", type=click.IntRange(1, 10_000), default=100, show_default=True, help="So many at most."
)
@click.option(
    "--unacknowledged",
    "until_days",
    type=click.IntRange(0, 20),
    is_flag=False,
    flag_value=5,
    help="Withdrawals to be obeyed within DAYS (5 if left out), or earlier, that nobody acknowledged.",
    metavar="[DAYS]",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_command(most: int, until_days: int | None, as_json: bool) -> None:
    """List dead notices, the oldest first: to whom, of what kind, since when, and why."""
    with refusals(), open_session() as session:
        outbox = PostgresOutbox(session.engine)
        if until_days is None:
            found, names = outbox.list_dead(most), _DEAD
        else:
            until = system_clock() + timedelta(days=until_days)
            found, names = outbox.list_unacknowledged(until, most), _UNACKNOWLEDGED
    show([{name: asdict(one)[name] for name in names} for one in found], as_json)


@outbox_group.command("retry", epilog=EXIT_CODES)
@click.argument("message_id", type=click.UUID, required=False)
@click.option("--all", "retries_all", is_flag=True, help="Every dead notice.")
def retry_command(message_id: UUID | None, retries_all: bool) -> None:
    """Try a dead notice again from now on, as if it were new."""
    if (message_id is None) is not retries_all:
        raise click.UsageError("give MESSAGE_ID or --all")
    wanted = None if message_id is None else str(message_id)
    with refusals(), open_session() as session:
        count = PostgresOutbox(session.engine, session.acts).retry_dead(system_clock(), message_id=wanted)
    if message_id is not None and not count:
        raise CommandRefused(f"there is no dead notice {message_id}", 4)
    click.echo(f"notices to try again: {count}")
