"""`broker statistics`: tables that tell of nobody."""

from __future__ import annotations

import click

from broker.cli.statistics_export import catalogue_command, export_command
from broker.cli.statistics_load import load_command
from broker.cli.statistics_release import release_group


@click.group()
def statistics_group() -> None:
    """Ask for statistical tables; see what may be asked for; freeze what they are counted from."""


statistics_group.add_command(export_command, "export")
statistics_group.add_command(catalogue_command, "catalogue")
statistics_group.add_command(release_group, "release")
release_group.add_command(load_command, "load")
