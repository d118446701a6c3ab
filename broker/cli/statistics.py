"""`broker statistics`: tables that tell of nobody."""

from __future__ import annotations

import click

from broker.cli.statistics_export import catalogue_command, export_command


@click.group()
def statistics_group() -> None:
    """Ask for statistical tables; see what may be asked for."""


statistics_group.add_command(export_command, "export")
statistics_group.add_command(catalogue_command, "catalogue")
