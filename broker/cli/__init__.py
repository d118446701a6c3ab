"""The `broker` command."""

from __future__ import annotations

import click

from broker.cli.call import call_command
from broker.cli.client import client_group
from broker.cli.keys import keys_group
from broker.cli.policy import policy_group
from broker.cli.staff import staff_group
from broker.cli.synthesize import synthesize_command


@click.group()
def main() -> None:
    """Run and look after the data-sharing and consent broker."""


main.add_command(policy_group, "policy")
main.add_command(synthesize_command, "synthesize")
main.add_command(client_group, "client")
main.add_command(staff_group, "staff")
main.add_command(keys_group, "keys")
main.add_command(call_command, "call")
