"""The `broker` command."""

from __future__ import annotations

import click

from broker.cli.policy import policy_group


@click.group()
def main() -> None:
    """Run and look after the data-sharing and consent broker."""


main.add_command(policy_group, "policy")
