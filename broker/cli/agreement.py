"""`broker agreement`: which sharing agreements are in force, and ending or resuming one at once."""

from __future__ import annotations

import json
from typing import Literal

import click

from broker.app import load_policies, policy_directory
from broker.cli.output import refusals
from broker.cli.prepare import revisions
from broker.cli.session import open_session
from broker.storage.agreements import (
    RevisionNotNewer,
    publish_agreement,
    published_agreements,
    set_agreement_status,
)
from policies.load import register_texts


@click.group()
def agreement_group() -> None:
    """Publish, suspend and list sharing agreements.

    An agreement is written as TOML (docs/policies.md), checked with `broker policy check`, and takes effect
    when it is published here. From that moment every release decided on another revision is refused.
    """


@agreement_group.command("publish")
@click.option("--json", "as_json", is_flag=True, help="Print the published ids as JSON.")
def publish_command(as_json: bool) -> None:
    """Publish every agreement of the policy directory whose revision is new."""
    with refusals(), open_session() as session:
        policy_set, registers = (
            load_policies(session.settings),
            register_texts(policy_directory(session.settings)),
        )
        try:
            done = [
                one.agreement_id
                for one in revisions(policy_set)
                if publish_agreement(session.engine, session.acts, one, registers)
            ]
        except RevisionNotNewer as fault:
            raise click.ClickException(str(fault)) from None
    click.echo(json.dumps({"published": done}) if as_json else "\n".join(done) or "nothing new")


@agreement_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the agreements as JSON.")
def list_command(as_json: bool) -> None:
    """List agreements: id, status, current revision, validity."""
    with refusals(), open_session() as session:
        found = published_agreements(session.engine)
    if as_json:
        click.echo(
            json.dumps(
                [
                    {
                        "agreement_id": one.agreement_id,
                        "status": one.status,
                        "revision_hash": one.revision_hash,
                        "valid_from": one.valid_from.isoformat(),
                        "valid_to": one.valid_to.isoformat(),
                        "review_date": one.review_date.isoformat(),
                    }
                    for one in found
                ]
            )
        )
        return
    for one in found:
        click.echo(
            f"{one.agreement_id:40} {one.status:10} {one.revision_hash[:12]}  "
            f"{one.valid_from} to {one.valid_to}, review {one.review_date}"
        )


def _set_status(agreement_id: str, status: Literal["suspended", "active"]) -> None:
    with refusals(), open_session() as session:
        if not set_agreement_status(session.engine, session.acts, agreement_id, status):
            raise click.ClickException(f"no agreement {agreement_id} is published")
    click.echo(f"{agreement_id}: {status}")


@agreement_group.command("suspend")
@click.argument("agreement_id")
def suspend_command(agreement_id: str) -> None:
    """Suspend an agreement: from the next request on nothing leaves under it."""
    _set_status(agreement_id, "suspended")


@agreement_group.command("resume")
@click.argument("agreement_id")
def resume_command(agreement_id: str) -> None:
    """Let releases go on under a suspended agreement."""
    _set_status(agreement_id, "active")
