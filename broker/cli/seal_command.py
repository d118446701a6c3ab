"""`broker evidence seal`: what an earlier release kept in the clear beside the log is sealed."""

from __future__ import annotations

import click

from broker.cli.output import CommandRefused, refusals, show
from broker.cli.progress import progress_bar
from broker.cli.session import open_session
from broker.storage.openings import PostgresOpenings
from broker.storage.sealing import PostgresSealing


@click.command(
    epilog="Exit codes: 0 nothing is in the clear any more, 1 failed, or rows came meanwhile: say it again, "
    "2 wrong usage.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--progress", is_flag=True, help="Show progress even where nobody watches.")
def seal_command(as_json: bool, progress: bool) -> None:
    """Seal what a release before revision 0007 kept in the clear, where broker prepare refuses to go on.

    As the owner role (BROKER_OWNER_DATABASE_URL), a transaction for each few thousand rows: a run that was
    stopped is simply run again. Servers of such a release go on to write in the clear: say it when the last
    one is gone. Since revision 0009 there is nothing to seal.
    """
    with refusals(), open_session() as session, session.open_owner() as owner:
        openings = PostgresOpenings(session.store, session.settings.key_encryption_key_file.reveal())
        sealing = PostgresSealing(owner, openings)
        if not sealing.is_needed():
            show([{"sealed": 0, "left": 0}], as_json)
            return
        pages = sealing.count_pages()
        with progress_bar(pages, "pages sealed", progress) as advance:
            sealed = sealing.seal(pages, advance)
        sealing.sweep()
        left = sealing.count_left()
    show([{"sealed": sealed, "left": left}], as_json)
    if left:
        raise CommandRefused(f"{left} rows are in the clear: is a server of the earlier release running?")
