"""`broker keys rewrap`: everything sealed is taken from an old key-encryption key to the current one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import click

from broker.cli.output import CommandRefused, refusals, show
from broker.cli.progress import progress_bar
from broker.cli.session import open_session
from broker.oauth.rewrapping import Rewrapping
from broker.setting_readers import Secret, read_secret_from_file
from broker.storage.rewrap import Counted, PostgresRewrap, UnreadableRow


@click.command(
    epilog="Exit codes: 0 done, 1 failed: neither key opens a row, or the store went away, 2 wrong usage. "
    "Example: broker keys rewrap --old-key-file /etc/insurance-broker/key_encryption_key.old"
)
@click.option("--old-key-file", required=True, help="File with the key-encryption key used until now.")
@click.option("--check", "only_look", is_flag=True, help="Open every row and change none.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--progress", is_flag=True, help="Show progress even where nobody watches.")
def rewrap_command(old_key_file: str, only_look: bool, as_json: bool, progress: bool) -> None:
    """Seal all keys, secrets of citizens and of statistics, and complaints under the current key.

    The current key is that of BROKER_KEY_ENCRYPTION_KEY_FILE. First every row is opened; if neither key opens
    one, nothing is changed. Then rows are sealed anew, a transaction for each 500: a run that was stopped is
    simply run again. Stop servers and workers first, or they go on to seal under the old key. Keys of
    evidence and secrets of releases of statistics are changed as the owner role
    (BROKER_OWNER_DATABASE_URL).
    """
    old = _old_key(old_key_file)
    with refusals(), open_session() as session, ExitStack() as opened:
        new = session.settings.key_encryption_key_file
        if old.reveal() == new.reveal():
            raise click.UsageError("--old-key-file holds the key of BROKER_KEY_ENCRYPTION_KEY_FILE")
        rewrapping = Rewrapping(old.reveal(), new.reveal())
        owner = None if only_look else opened.enter_context(session.open_owner())
        rows = PostgresRewrap(session.engine, owner, rewrapping, session.acts)
        total = rows.count_rows()
        try:
            counted = _told(rows.look, total, "rows opened", progress)
            if not only_look:
                counted = _told(rows.rewrap, total, "rows sealed", progress)
        except UnreadableRow as fault:
            raise CommandRefused(f"{fault}: it was sealed under a third key, or changed") from None
    show([_row(one, only_look) for one in counted], as_json)


def _old_key(path: str) -> Secret:
    try:
        return read_secret_from_file(path)
    except ValueError as fault:
        raise click.UsageError(f"--old-key-file must be {fault}") from None


def _told(
    walk: Callable[[Callable[[int], None]], Sequence[Counted]], total: int, what: str, progress: bool
) -> Sequence[Counted]:
    """Run one pass over all rows with a bar."""
    done = 0
    with progress_bar(total, what, progress) as advance:

        def on_rows(rows: int) -> None:
            nonlocal done
            done += rows
            advance(done)

        return walk(on_rows)


def _row(one: Counted, only_look: bool) -> dict[str, Any]:
    old = "under_old_key" if only_look else "rewrapped"
    return {"table": one.table, old: one.under_old_key, "under_new_key": one.under_new_key}
