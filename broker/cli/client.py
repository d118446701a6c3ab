"""`broker client`: which systems of which organisations may ask, with which keys, for what, until when."""

from __future__ import annotations

import click

from broker.cli.client_files import row_of
from broker.cli.client_register import register_command
from broker.cli.client_rotate import extend_command, rotate_command
from broker.cli.output import EXIT_CODES, CommandRefused, refusals, show
from broker.cli.session import open_session
from broker.clock import system_clock
from broker.storage.clients import PostgresClients


@click.group(epilog=EXIT_CODES)
def client_group() -> None:
    """Register clients (systems) of organisations, look at them, change their keys, suspend and resume them.

    A client proves itself with its own private key; the broker only ever sees the public one.
    """


client_group.add_command(register_command, "register")
client_group.add_command(rotate_command, "rotate")
client_group.add_command(extend_command, "extend")


@client_group.command("show", epilog=EXIT_CODES)
@click.argument("client_id")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, with all metadata and public keys.")
def show_command(client_id: str, as_json: bool) -> None:
    """Show one client."""
    with refusals(), open_session() as session:
        found = PostgresClients(session.engine).list_clients(client_id)
    if not found:
        raise CommandRefused(f"there is no client {client_id}", 4)
    metadata = dict(found[0].client_metadata)
    more = {"jwks": metadata.pop("jwks", None), "metadata": metadata} if as_json else {}
    show([{**row_of(found[0]), **more}], as_json)


@client_group.command("list", epilog=EXIT_CODES)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_command(as_json: bool) -> None:
    """List all clients."""
    with refusals(), open_session() as session:
        found = PostgresClients(session.engine).list_clients()
    show([row_of(record) for record in found], as_json)


@client_group.command("suspend", epilog=EXIT_CODES)
@click.argument("client_id")
def suspend_command(client_id: str) -> None:
    """Suspend a client at once: its tokens are revoked and its next request anywhere is refused."""
    with refusals(), open_session() as session:
        revoked = PostgresClients(session.engine, session.acts).suspend_client(client_id, system_clock())
    click.echo(f"{client_id} is suspended; live tokens revoked: {revoked}")


@client_group.command("resume", epilog=EXIT_CODES)
@click.argument("client_id")
def resume_command(client_id: str) -> None:
    """Let a suspended client ask for tokens again; its old tokens stay revoked."""
    with refusals(), open_session() as session:
        PostgresClients(session.engine, session.acts).resume_client(client_id)
    click.echo(f"{client_id} is active")
