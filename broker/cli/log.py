"""`broker log`: makes the yearly shards of the log, and says how they stand."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from broker.cli.log_session import LogSession, open_log_session
from broker.cli.operator import operator_acting
from broker.cli.output import CommandRefused, refusals, show
from broker.cli.sequencer import waiting_in
from broker.cli.session import COMMAND_SECONDS
from broker.clock import system_clock
from broker.evidence.sequencing import MERGE_DELAY_SECONDS, LogHead
from broker.evidence.signed_note import parse_note
from broker.settings import Settings
from broker.storage.acts import acts_of, record_act
from broker.storage.log_files import LogFiles, shard_directory, size_of
from broker.storage.log_timestamps import TimestampFiles
from broker.storage.session import open_store

IS_LATE = 6
"""Exit code: an entry waits for longer than it may."""


@click.group()
def log_group() -> None:
    """Make and look after the transparency log over the evidence.

    As the role of BROKER_SEQUENCER_DATABASE_URL, with the head store of BROKER_LOG_HEAD_URL and the files
    below BROKER_LOG_DIRECTORY.
    """


@log_group.command("create")
@click.option("--year", type=click.IntRange(2000, 2999), help="Calendar year, UTC; default: this one.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def create_command(year: int | None, as_json: bool) -> None:
    """Make the empty log of a calendar year, signed and published.

    Nothing else ever makes one: a sequencer without it stops. Make next year's in December; earlier years may
    be made too, where entries of theirs are there. Exit codes: 0 made, 1 failed, 2 wrong usage, 3 it is there
    already, 5 what is there does not fit together.
    """
    this_year = system_clock().year
    wanted = this_year if year is None else year
    if wanted > this_year + 1:
        raise click.BadParameter("at most next year's log can be made", param_hint="--year")
    with refusals(), open_log_session() as session:
        head = session.sequencer.create(wanted, partial(_record, session.settings))
        if head is None:
            raise CommandRefused(f"the log of {wanted} is there already", 3)
        show([_row(session, head)], as_json)


@log_group.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def status_command(as_json: bool) -> None:
    """Say of each shard what was signed and published, and how long the oldest entry waits.

    Exit codes: 0 all is in time, 1 failed, 2 wrong usage, 6 an entry waits for more than two minutes.
    """
    with refusals(), open_log_session() as session:
        heads = session.heads.find(session.sequencer.host)
        waiting = waiting_in(session)
        age = waiting.age_seconds(system_clock())
        waits = {"waiting": waiting.count, "oldest_seconds": int(age)}
        show([*({**_row(session, head), **waits} for head in heads)] or [waits], as_json)
    if age > MERGE_DELAY_SECONDS:
        raise CommandRefused(
            f"an entry has waited for {int(age)} s: does broker sequencer run, and what does it say?", IS_LATE
        )


def _record(settings: Settings, year: int) -> None:
    """Record who makes a shard, as the application role: the sequencer's may not write entries."""
    store = open_store(settings.database_url, deadline_seconds=COMMAND_SECONDS)
    try:
        record_act(store, acts_of(store, settings, operator_acting(settings)), "log_created", str(year))
    finally:
        store.close()


def _row(session: LogSession, head: LogHead) -> dict[str, Any]:
    checkpoint = head.checkpoint
    files = LogFiles(shard_directory(session.settings.log_directory, checkpoint.origin))
    published, stamped = files.checkpoint(), TimestampFiles(files.directory).newest()
    key, _ = session.sequencer.signer(checkpoint.origin)
    return {
        "origin": checkpoint.origin,
        "tree_size": checkpoint.tree_size,
        "root_hash": parse_note(head.note).text.split("\n")[2],
        "signed_at": head.signed_at,
        "published_size": None if published is None else size_of(published),
        "stamped_size": None if stamped is None else size_of(stamped),
        "verifier_key": key.vkey,
        "directory": str(files.directory),
    }
