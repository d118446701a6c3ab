"""The `broker` command."""

from __future__ import annotations

import click

from broker.cli.agreement import agreement_group
from broker.cli.call import call_command
from broker.cli.citizen import citizen_group
from broker.cli.client import client_group
from broker.cli.complaint import complaint_group
from broker.cli.consent import consent_group
from broker.cli.demo import demo_command
from broker.cli.evidence import evidence_group
from broker.cli.keys import keys_group
from broker.cli.log import log_group
from broker.cli.maintain import maintain_command
from broker.cli.operator import VARIABLE
from broker.cli.outbox import outbox_group
from broker.cli.policy import policy_group
from broker.cli.prepare import prepare_command
from broker.cli.sequencer import sequencer_command
from broker.cli.serve import serve_command
from broker.cli.sign import sign_group
from broker.cli.staff import staff_group
from broker.cli.statistics import statistics_group
from broker.cli.synthesize import synthesize_command
from broker.cli.witness import witness_group
from broker.cli.worker import worker_command


@click.group()
@click.option(
    "--operator",
    metavar="NAME",
    envvar=VARIABLE,
    help="Who acts; stands in the evidence as a keyed hash. Default: whoever is logged in to this machine.",
)
def main(operator: str | None) -> None:
    """Run and look after the data-sharing and consent broker."""


main.add_command(demo_command, "demo")
main.add_command(prepare_command, "prepare")
main.add_command(serve_command, "serve")
main.add_command(maintain_command, "maintain")
main.add_command(worker_command, "worker")
main.add_command(outbox_group, "outbox")
main.add_command(agreement_group, "agreement")
main.add_command(policy_group, "policy")
main.add_command(synthesize_command, "synthesize")
main.add_command(statistics_group, "statistics")
main.add_command(client_group, "client")
main.add_command(staff_group, "staff")
main.add_command(citizen_group, "citizen")
main.add_command(complaint_group, "complaint")
main.add_command(consent_group, "consent")
main.add_command(keys_group, "keys")
main.add_command(log_group, "log")
main.add_command(sequencer_command, "sequencer")
main.add_command(call_command, "call")
main.add_command(sign_group, "sign")
main.add_command(evidence_group, "evidence")
main.add_command(witness_group, "witness")
